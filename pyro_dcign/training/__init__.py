"""Typed minibatches through SVI: schedule, feed, steps, records."""
