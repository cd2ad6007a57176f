"""Stages that have nothing to do, in a module that imports no more than such stages need.

What a stage's module imports is the memory of each of its processes: psutil, say, brings
`threading` along, which writes to a hundred pages after each fork.
"""

from __future__ import annotations

from actorflow import Consumer, Producer, Subscription

__all__ = ["Quiet", "Waiting"]


class Quiet(Producer):
    """Has nothing, and is never done."""

    def handle_demand(self, demand: int) -> None:
        """Nothing."""


class Waiting(Consumer):
    """Takes what comes, which is nothing."""

    def handle_events(self, events: list[int], subscription: Subscription) -> None:
        """Nothing."""
