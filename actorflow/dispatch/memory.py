"""The last events that were dispatched, for those who come late."""

from __future__ import annotations

from typing import Any

__all__ = ["Memory"]


class Memory:
    """Remembers events, and keeps the last of them.

    Args:
        size: how many it keeps, from 1.

    Example:
        >>> memory = Memory(2)
        >>> memory.remember(["a", "b", "c"])
        >>> memory.last()
        ['b', 'c']
        >>> memory.forget(1)
        >>> memory.last()
        ['a', 'b']
    """

    __slots__ = ("_events", "_size")

    def __init__(self, size: int) -> None:
        self._size = size
        self._events: list[Any] = []

    def remember(self, events: list[Any]) -> None:
        """These were dispatched, last of all."""
        kept = self._events
        # What is too old goes only now, and twice the size at once: so that the last events can be
        # taken back without a gap, and forgetting costs little.
        if len(kept) > 2 * self._size:
            del kept[: -self._size]
        kept += events

    def forget(self, count: int) -> None:
        """The last `count` could not be sent after all."""
        if count:
            del self._events[-count:]

    def last(self) -> list[Any]:
        """The events to replay, oldest first."""
        return self._events[-self._size :]
