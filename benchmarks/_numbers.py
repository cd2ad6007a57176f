"""The stages of the benchmarks that send integers, in a module that imports actorflow alone.

A stage's process has what the module of its class imports, and so do the children it forks.
"""

from __future__ import annotations

import time
from typing import Any

from actorflow import Consumer, Producer, ProducerConsumer, Subscription

__all__ = ["Double", "Numbers", "Total"]


class Numbers(Producer):
    """Counts up to a limit."""

    def __init__(self, limit: int) -> None:
        self.next = 0
        self.limit = limit

    def handle_demand(self, demand: int) -> range:
        """The next integers."""
        end = min(self.limit, self.next + demand)
        events = range(self.next, end)
        self.next = end
        if end == self.limit:
            self.finish()
        return events


class Double(ProducerConsumer):
    """Doubles."""

    def handle_events(self, events: list[int], subscription: Subscription) -> list[int]:
        """Twice each."""
        return [2 * event for event in events]


class Total(Consumer):
    """Adds up, and times itself from its first batch to its last."""

    def __init__(self) -> None:
        self.total = 0
        self.first = 0.0
        self.last = 0.0

    def handle_events(self, events: list[int], subscription: Subscription) -> None:
        """Add a batch."""
        self.first = self.first or time.perf_counter()
        self.total += sum(events)
        self.last = time.perf_counter()

    def on_stop(self, reason: Any) -> None:
        """Leave the result behind."""
        self.set_result([self.total, self.last - self.first])
