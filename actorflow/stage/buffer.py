"""The producer's buffer: events that found no demand, and marks that keep their place."""

from __future__ import annotations

from collections import deque
from dataclasses import field
from typing import Any

from actorflow.protocol.delivery import Attempt
from actorflow.records import dataclass

__all__ = ["Buffer", "Chunk", "Mark"]

LONGEST = 1024
"""How many events a chunk holds at most: taking a few moves the rest of their chunk."""


@dataclass(slots=True)
class Chunk:
    """Events with consecutive places in the order of emission, the first at `position`."""

    events: list[Any]
    position: int
    returned: bool = field(default=False, compare=False)
    """Whether they were sent once and came back, so that they must not be dropped."""
    attempt: Attempt | None = field(default=None, compare=False)
    """Which delivery it is, when a consumer has died of an earlier one: it leaves alone."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A message that is due when everything buffered before it has left. Never dropped."""

    token: Any


class Buffer:
    """A first-in-first-out queue of events with a size and a rule for what to drop.

    Args:
        size: how many events it holds, from 0; None for no limit. Marks and events given back
            by `put_back` do not count against it.
        keep: ``"last"`` drops the oldest event for a new one, ``"first"`` drops the new one.

    Bounded and unbounded buffers behave alike, marks included: a mark leaves as soon as
    nothing is before it (GenStage's B19).

    Example:
        >>> buffer = Buffer(2)
        >>> buffer.put(["a", "b", "c"], position=0)
        ['a']
        >>> buffer.take(5).events
        ['b', 'c']
    """

    __slots__ = ("_keep", "_marks", "_returned", "_size", "count", "entries")

    def __init__(self, size: int | None, keep: str = "last") -> None:
        self.entries: deque[Chunk | Mark] = deque()
        """All of it, oldest first, always the same object. Whether there are any is looked at for
        every batch, so without the call that `empty` is."""
        self._size = size
        self._keep = keep
        self._marks = 0
        self._returned = 0
        self.count = 0

    def put(self, events: list[Any], position: int) -> list[Any]:
        """Append events; returns those that had to be dropped, oldest first.

        The list is taken over: the caller must not change it afterwards.
        """
        dropped: list[Any] = []
        size = self._size
        if size is not None and self.count - self._returned + len(events) > size:
            events, position, dropped = self._make_room(events, position, size)
        self.count += len(events)
        if len(events) <= LONGEST:
            if events:
                self.entries.append(Chunk(events, position))
            return dropped
        for start in range(0, len(events), LONGEST):
            self.entries.append(Chunk(events[start : start + LONGEST], position + start))
        return dropped

    def put_back(self, events: list[Any], position: int, attempt: Attempt | None = None) -> None:
        """Insert events that came back, in their order of emission; none is dropped."""
        skipped: list[Chunk | Mark] = []
        while self.entries:
            head = self.entries[0]
            if isinstance(head, Mark) or head.position >= position:
                break
            skipped.append(self.entries.popleft())
        self.entries.appendleft(Chunk(events, position, True, attempt))
        self.entries.extendleft(reversed(skipped))
        self.count += len(events)
        self._returned += len(events)

    def mark(self, token: Any) -> bool:
        """Put a mark behind everything buffered; returns True when there is nothing to wait for."""
        if not self.entries:
            return True
        self.entries.append(Mark(token))
        self._marks += 1
        return False

    def take(self, count: int) -> Chunk | None:
        """Take up to `count` events from the front, stopping at a mark; None without any."""
        entries = self.entries
        if count <= 0 or not entries or isinstance(entries[0], Mark):
            return None
        head = entries[0]
        whole = len(head.events) == count or (len(head.events) < count and len(entries) == 1)
        if whole or head.attempt is not None:
            entries.popleft()
            self._left(head, len(head.events))
            return head
        return self._take_many(count)

    def due_marks(self) -> list[Any]:
        """Take out the tokens of the marks that nothing is before any more."""
        tokens: list[Any] = []
        while self._marks and self.entries and isinstance(self.entries[0], Mark):
            mark = self.entries.popleft()
            assert isinstance(mark, Mark)
            tokens.append(mark.token)
            self._marks -= 1
        return tokens

    def events(self) -> list[Any]:
        """Every event in it, oldest first."""
        chunks = (entry.events for entry in self.entries if isinstance(entry, Chunk))
        return [event for events in chunks for event in events]

    @property
    def empty(self) -> bool:
        """Whether it holds neither events nor marks."""
        return not self.entries

    @property
    def first_position(self) -> int | None:
        """The place of the oldest event, or None."""
        for entry in self.entries:
            if isinstance(entry, Chunk):
                return entry.position
        return None

    def _take_many(self, count: int) -> Chunk:
        entries = self.entries
        taken: list[Any] = []
        position = -1
        while count and entries:
            head = entries[0]
            if isinstance(head, Mark):
                break
            if position < 0:
                position = head.position
            elif head.position != position + len(taken) or head.attempt is not None:
                # What came back is not contiguous, and a chunk has one place for all its events.
                break
            share = min(count, len(head.events))
            taken += head.events[:share]
            count -= share
            self._left(head, share)
            if share == len(head.events):
                entries.popleft()
            else:
                head.events = head.events[share:]
                head.position += share
        return Chunk(taken, position)

    def _left(self, chunk: Chunk, count: int) -> None:
        self.count -= count
        if chunk.returned:
            self._returned -= count

    def _make_room(
        self, events: list[Any], position: int, size: int
    ) -> tuple[list[Any], int, list[Any]]:
        """Drop by the rule; returns the events to append, their place, and the dropped ones."""
        fresh = self.count - self._returned
        if self._keep == "first":
            room = max(0, size - fresh)
            return events[:room], position, events[room:]
        dropped: list[Any] = []
        excess = fresh + len(events) - size
        index = 0
        while excess and index < len(self.entries):
            oldest = self.entries[index]
            if isinstance(oldest, Mark) or oldest.returned:
                index += 1
                continue
            share = min(excess, len(oldest.events))
            dropped += oldest.events[:share]
            excess -= share
            self.count -= share
            if share == len(oldest.events):
                del self.entries[index]
            else:
                oldest.events = oldest.events[share:]
                oldest.position += share
        dropped += events[:excess]
        return events[excess:], position + excess, dropped
