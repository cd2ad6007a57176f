"""A stage's timers: pure, told the time by the driver."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import field

from actorflow.records import dataclass

__all__ = ["Alarm", "Timers"]


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


class Alarm:
    """One callback that is due at most once at a time, however often it is set.

    Args:
        timers: the stage's.
        ring: what is called.

    Example:
        >>> timers = Timers()
        >>> alarm = Alarm(timers, lambda: print("ring"))
        >>> alarm.set(2.0), alarm.set(3.0), alarm.is_set
        (None, None, True)
        >>> timers.fire_due(5.0)
        ring
        >>> alarm.is_set
        False
    """

    __slots__ = ("_ring", "_timers", "is_set")

    def __init__(self, timers: Timers, ring: Callable[[], None]) -> None:
        self._timers = timers
        self._ring = ring
        self.is_set = False
        """Whether it will ring."""

    def set(self, due: float) -> None:
        """Have it ring once `due` is reached, unless it is set already."""
        if not self.is_set:
            self.is_set = True
            self._timers.add(due, self._fire)

    def _fire(self) -> None:
        self.is_set = False
        self._ring()
