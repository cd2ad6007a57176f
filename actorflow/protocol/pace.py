"""How wide the window of ``max_demand: auto`` may be: the rule, learned from what batches took.

Pure. A wide window saves messages. But what is in one consumer's window no other consumer can have,
and nobody knows what the next events take. So a window is as wide as pays, and no wider.
"""

from __future__ import annotations

__all__ = ["HORIZON", "MAX_AUTO", "MAX_BYTES", "Pace"]

MAX_AUTO = 10_000
"""The widest window that ``max_demand: auto`` opens, in events."""

MAX_BYTES = 16 << 20
"""How many bytes a window holds at most, unless one event has more: what is under way, and what its
producer keeps until it is finished, takes memory that nobody has asked for by an option."""

HORIZON = 0.005
"""Seconds of work that a window holds. A batch is half of it: some fifty times what a message
costs."""

SHARE = 16
"""A window holds no more than this part of the events that have been handled before: the wider the
window, the more is known of what comes."""

FADING = 0.95
"""How much each batch counts of what is remembered when the next one is over: as far as costs are
alike, what is known is the mean of the last twenty."""


class Pace:
    """What one subscription's batches have taken, and how wide its window may be.

    Args:
        at_once: how many events are worked on at the same time, from 1.

    Example:
        >>> pace = Pace()
        >>> width = 1
        >>> for _ in range(300):
        ...     batch = max(1, width // 2)
        ...     width = pace.wider(width, batch, seconds=batch * 1e-6)
        >>> 4990 < width <= 5000, pace.wider(width, events=500, seconds=0.5)
        (True, 5)
    """

    __slots__ = ("_at_once", "_events", "_handled", "_most", "_seconds")

    def __init__(self, at_once: int = 1) -> None:
        self._at_once = at_once
        self._most = MAX_AUTO
        self._handled = 0
        self._events = self._seconds = 0.0
        """Of the last batches, each counting less than the one after it."""

    def wider(self, width: int, events: int, seconds: float) -> int:
        """Learn from a batch; returns how wide the window may be now.

        Args:
            width: how wide it is, in events.
            events: how many the batch had, from 1.
            seconds: how long it took; for events that were worked on at the same time, the sum.
        """
        at_once = self._at_once
        self._handled += events
        self._events = self._events * FADING + events
        self._seconds = self._seconds * FADING + seconds / at_once
        # A slow batch counts at once, a fast one by its events: a wide window before slow events
        # holds work back from idle consumers, a narrow one before fast events costs little.
        per_event = max(seconds / at_once / events, self._seconds / self._events)
        # Multiplied first: times without measure make the mean as small as floats go.
        fitting = MAX_AUTO if per_event * MAX_AUTO <= HORIZON else int(HORIZON / per_event)
        known = 2 * at_once + self._handled // SHARE
        return max(at_once, min(self._most, 2 * width, known, fitting))

    def weigh(self, events: int, size: int) -> int:
        """Learn how large a message was; returns how wide the window may be at most.

        Args:
            events: how many it had, from 1.
            size: how many bytes they took on their way, from 1.

        Example:
            >>> pace = Pace()
            >>> pace.weigh(events=2, size=8 << 20), pace.weigh(events=2, size=100)
            (4, 10000)
        """
        self._most = max(self._at_once, min(MAX_AUTO, MAX_BYTES * events // size))
        return self._most
