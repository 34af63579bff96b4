"""Is the posterior right? Checks with ArviZ."""
