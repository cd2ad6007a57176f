"""What `exactly_once` adds to a producer's store: events numbered over all restarts.

A sequence number counts the batches of one ref, and a restart of either side makes a new ref. So
the events of an *edge*, a subscription over all its refs, are counted as well: the consumer says
how many it has taken into its last snapshot, and the producer goes on from exactly there.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Self

from actorflow.errors import ProtocolError
from actorflow.protocol.delivery import Unfinished, UnfinishedBatch
from actorflow.records import dataclass

__all__ = ["EdgeStore", "Fresh"]


@dataclass(slots=True)
class Fresh:
    """Events sent on an edge that no snapshot holds yet.

    Args:
        first: the place of the first one on the edge.
        events: the events.
    """

    first: int
    events: list[Any]


class EdgeStore(Unfinished):
    """The store of one edge: what is sent and unacknowledged, and what is to be sent again.

    Args:
        edge: its name.
        consumer: the consumer's stage.
        sent: how many events were sent on it before.

    Example:
        >>> store = EdgeStore("a>b", "b/0")
        >>> store.sent(["x", "y"], position=0)
        1
        >>> again = store.successor()
        >>> again.resume(1)
        >>> again.take_owed(5).events
        ['y']
    """

    __slots__ = ("acked_events", "consumer", "edge", "fresh", "next", "owed")

    def __init__(self, edge: str, consumer: str, sent: int = 0) -> None:
        super().__init__()
        self.edge = edge
        self.consumer = consumer
        self.next = sent
        self.acked_events = sent
        self.fresh: list[Fresh] = []
        self.owed: deque[UnfinishedBatch] = deque()
        """What is to be sent again, to this consumer alone, before anything newer."""

    def sent(self, events: list[Any], position: int) -> int:
        """Remember a batch that is about to be sent for the first time."""
        self.fresh.append(Fresh(self.next, events))
        self.next += len(events)
        return super().sent(events, position)

    def sent_again(self, batch: UnfinishedBatch) -> int:
        """Remember a batch of `take_owed` that is about to be sent; it keeps its places."""
        seq = super().sent(batch.events, batch.position)
        if batch.attempt is not None:
            self.attempted(batch.attempt)
        return seq

    def acknowledge(self, seq: int) -> int:
        """Every batch up to `seq` is in a snapshot of the consumer."""
        finished = super().acknowledge(seq)
        self.acked_events += finished
        return finished

    def take_owed(self, count: int) -> UnfinishedBatch | None:
        """Up to `count` events of what is to be sent again, or None."""
        if not self.owed or count <= 0:
            return None
        head = self.owed[0]
        if len(head.events) <= count:
            return self.owed.popleft()
        self.owed[0] = UnfinishedBatch(0, head.events[count:], head.position + count)
        return UnfinishedBatch(0, head.events[:count], head.position)

    @property
    def owing(self) -> int:
        """How many events are to be sent again."""
        return sum(len(batch.events) for batch in self.owed)

    def successor(self) -> Self:
        """The store of the next ref of this edge; everything unfinished is owed."""
        store = type(self)(self.edge, self.consumer, self.next)
        store.acked_events = self.acked_events
        store.fresh = self.fresh
        store.owed.extend(super().give_back())
        store.owed.extend(self.owed)
        self.owed.clear()
        return store

    def resume(self, events: int) -> None:
        """The consumer's snapshot holds so many events of this edge; the rest is owed.

        Raises:
            ProtocolError: ``bad_resume``: more than were sent, or fewer than it had acknowledged.
        """
        if not self.acked_events <= events <= self.next:
            known = f"{self.acked_events} to {self.next}"
            raise ProtocolError("bad_resume", f"event {events} of {self.edge}, expected {known}")
        skip = events - self.acked_events
        self.acked_events = events
        while skip:
            head = self.owed[0]
            share = min(skip, len(head.events))
            skip -= share
            if share == len(head.events):
                self.owed.popleft()
            else:
                self.owed[0] = UnfinishedBatch(0, head.events[share:], head.position + share)

    def give_back(self) -> list[UnfinishedBatch]:
        """Take out everything unfinished, oldest first: it is given to others, as new."""
        batches = [*super().give_back(), *self.owed]
        self.owed.clear()
        self.acked_events = self.next
        return batches

    @property
    def first_position(self) -> int | None:
        """The lowest place of an unfinished event, or None."""
        unfinished = super().first_position
        owed = min((batch.position for batch in self.owed), default=None)
        if unfinished is None or owed is None:
            return unfinished if owed is None else owed
        return min(unfinished, owed)
