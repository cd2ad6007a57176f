"""One partition of a partition dispatcher: its consumer, its credit, and what waits for it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import field
from typing import Any

from actorflow.dispatch.base import Delivery, Told
from actorflow.protocol.delivery import Attempt, UnfinishedBatch
from actorflow.records import dataclass

__all__ = ["Mark", "Partition", "Said", "Waiting"]


@dataclass(slots=True)
class Waiting:
    """Events that came together and wait, the last one first: to take some costs no more than they.

    Not frozen: they leave as there is credit.

    Args:
        events: at least one.
        offsets: for each, how far behind `position` its place in the order of emission is.
        position: a place at the first one's, or before it.
        attempt: which delivery it is, when a consumer has died of an earlier one; then there is one
            event, and it leaves alone.
    """

    events: list[Any]
    offsets: list[int]
    position: int
    attempt: Attempt | None = None

    @property
    def first_place(self) -> int:
        """The place of the oldest event."""
        return self.position + self.offsets[-1]

    @property
    def places(self) -> list[int]:
        """The place of each event."""
        return [self.position + offset for offset in self.offsets]

    def take(self, count: int) -> list[Any]:
        """Take out so many of the oldest, from 1, oldest first."""
        taken = self.events[: -count - 1 : -1]
        del self.events[-count:], self.offsets[-count:]
        return taken


@dataclass(slots=True)
class Mark:
    """A mark that lies in several queues and is passed when it has left the last."""

    token: object
    left: int


@dataclass(frozen=True, slots=True)
class Said:
    """A message for whoever takes what is queued before it."""

    token: object


@dataclass(slots=True)
class Partition:
    """A partition has credit or a queue, never both; the queue outlives its consumer (B3)."""

    ref: int | None = None
    suspended: bool = False
    awaited: int | None = None
    """Whose successor is expected."""
    credit: int = 0
    queue: deque[Waiting | Mark | Said] = field(default_factory=deque)
    events: int = 0
    """How many events are in the queue."""
    routed: int = 0
    """How many events there have been for it."""

    @property
    def reachable(self) -> bool:
        """Whether there is somebody to send to."""
        return self.ref is not None and not self.suspended

    @property
    def vacant(self) -> bool:
        """Whether nobody has it, and nobody is about to take it over."""
        return self.ref is None and self.awaited is None

    @property
    def first_position(self) -> int | None:
        """The place of the oldest waiting event."""
        return next((item.first_place for item in self.queue if isinstance(item, Waiting)), None)

    @property
    def held(self) -> list[tuple[int, Any]]:
        """The place of each waiting event, and the event, oldest first."""
        return [
            pair
            for item in self.queue
            if isinstance(item, Waiting)
            for pair in zip(reversed(item.places), reversed(item.events), strict=True)
        ]

    def put(self, events: list[Any], chosen: list[int], position: int) -> None:
        """Put some of these events last in line.

        Args:
            events: a batch.
            chosen: which of them, from 0; it is not to be used afterwards.
            position: the place of the batch's first in the order of emission.
        """
        chosen.reverse()
        self.queue.append(Waiting([events[at] for at in chosen], chosen, position))
        self.events += len(chosen)

    def put_back(self, batches: list[UnfinishedBatch]) -> None:
        """Put events first in line, oldest first."""
        for batch in reversed(batches):
            count = len(batch.events)
            offsets = [*range(count - 1, -1, -1)]
            again = Waiting(batch.events[::-1], offsets, batch.position, batch.attempt)
            self.queue.appendleft(again)
            self.events += count

    def take_ready(self, passed: Callable[[Mark], None]) -> list[Delivery | Told]:
        """What can leave now, in one message unless something was said in between.

        Args:
            passed: is told of each mark that nothing is before any more.
        """
        found: list[Delivery | Told] = []
        queue = self.queue
        while queue:
            item = queue[0]
            if isinstance(item, Mark):
                passed(item)
            elif self.ref is None or self.suspended:
                break
            elif isinstance(item, Said):
                found.append(Told(self.ref, item.token))
            elif self.credit:
                count = min(self.credit, len(item.events))
                self.credit -= count
                self.events -= count
                place = item.first_place
                _append(found, Delivery(self.ref, item.take(count), place, item.attempt))
                if item.events:
                    break
            else:
                break
            queue.popleft()
        return found

    def clear(self, passed: Callable[[Mark], None]) -> list[Any]:
        """Take everything out of the queue; returns the events."""
        events = [event for _, event in self.held]
        items, self.queue, self.events = self.queue, deque(), 0
        for item in items:
            if isinstance(item, Mark):
                passed(item)
        return events


def _append(found: list[Delivery | Told], delivery: Delivery) -> None:
    """Add a delivery, to the last one's message where both may be one."""
    last = found[-1] if found else None
    if isinstance(last, Delivery) and last.attempt is None and delivery.attempt is None:
        last.events += delivery.events
    else:
        found.append(delivery)
