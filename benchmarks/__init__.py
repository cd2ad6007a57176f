"""Benchmarks: each module runs by itself, ``python -m benchmarks.pipeline``, or in the suite.

``actorflow bench`` runs them all; docs/benchmarks.md says what they measure and how to write one.
"""
