"""Benchmarks: the performance goals, measured as ratios within one run."""
