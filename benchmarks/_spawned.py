"""The stages of `benchmarks.spawn`, and its children's work, in a module that imports no more.

A child has the memory that its stage has, and the fork server beside it that of actorflow alone.
"""

from __future__ import annotations

import time
from typing import Any

from actorflow import Consumer, Subscription

__all__ = ["Total", "double", "double_in_task"]


def double(number: int) -> int:
    """A child's work."""
    return 2 * number


async def double_in_task(number: int) -> int:
    """The same for a task."""
    return 2 * number


class Total(Consumer):
    """Adds up, and times itself from its first batch to its last."""

    def __init__(self) -> None:
        self.total = self.count = self.in_first = 0
        self.first = self.last = 0.0

    def handle_events(self, events: list[int], subscription: Subscription) -> None:
        """Add a batch."""
        self.last = time.perf_counter()
        if not self.count:
            self.first, self.in_first = self.last, len(events)
        self.total += sum(events)
        self.count += len(events)

    def on_stop(self, reason: Any) -> None:
        """Leave the result behind."""
        self.set_result([self.total, self.count - self.in_first, self.last - self.first])
