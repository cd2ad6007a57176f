"""The mutation list: breaks that were made on purpose, and the tests that have to catch each.

A module for each area has a list `MUTATIONS`. ``python -m tests.mutations`` applies all of them,
``python -m tests.mutations M3 M10`` some, one by one in a copy of the project; nothing in the
project itself is changed.
"""
