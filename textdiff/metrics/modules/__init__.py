"""Metrics of the library `evaluate`, a script each: see `textdiff.metrics.load`."""
