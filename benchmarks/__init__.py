"""Benchmarks: each prints a ratio of two things measured in turns in one run."""
