"""Benchmarks: each module runs by itself, ``python -m benchmarks.pipeline``."""
