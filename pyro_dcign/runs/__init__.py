"""A run's folder: its configuration, networks, checkpoints and the codes read from it."""
