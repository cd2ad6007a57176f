"""A stage's timers: pure, told the time by the driver."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import field

from actorflow.records import dataclass

__all__ = ["Timers"]


@dataclass(order=True, slots=True)
class _Timer:
    due: float
    number: int
    fire: Callable[[], None] = field(compare=False)


class Timers:
    """Callbacks that are due at a time on the driver's monotonic clock.

    Example:
        >>> timers = Timers()
        >>> timers.add(2.0, lambda: print("two"))
        >>> timers.next_due
        2.0
        >>> timers.fire_due(2.5)
        two
    """

    __slots__ = ("_heap", "_number", "next_due")

    def __init__(self) -> None:
        self._heap: list[_Timer] = []
        self._number = 0
        self.next_due: float | None = None
        """When the next one is due, or None."""

    def add(self, due: float, fire: Callable[[], None]) -> None:
        """Call `fire` once `due` is reached; timers of one moment fire in the order of `add`."""
        self._number += 1
        heapq.heappush(self._heap, _Timer(due, self._number, fire))
        self.next_due = self._heap[0].due

    def fire_due(self, now: float) -> None:
        """Call what is due."""
        heap = self._heap
        while heap and heap[0].due <= now:
            timer = heapq.heappop(heap)
            self.next_due = heap[0].due if heap else None
            timer.fire()
