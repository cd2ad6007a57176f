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


@dataclass(frozen=True, slots=True)
class Waiting:
    """An event that waits, and its place in the order of emission."""

    event: Any
    position: int
    attempt: Attempt | None = None
    """Which delivery it is, when a consumer has died of an earlier one: it leaves alone."""


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
        return next((item.position for item in self.queue if isinstance(item, Waiting)), None)

    def put_back(self, batches: list[UnfinishedBatch]) -> None:
        """Put events first in line, oldest first."""
        for batch in reversed(batches):
            self.queue.extendleft(
                Waiting(event, batch.position + offset, batch.attempt)
                for offset, event in reversed(list(enumerate(batch.events)))
            )
            self.events += len(batch.events)

    def take_ready(self, passed: Callable[[Mark], None]) -> list[Delivery | Told]:
        """What can leave now, in one message unless something was said in between.

        Args:
            passed: is told of each mark that nothing is before any more.
        """
        found: list[Delivery | Told] = []
        taken: list[Waiting] = []

        def deliver() -> None:
            if taken and self.ref is not None:
                events = [item.event for item in taken]
                found.append(Delivery(self.ref, events, taken[0].position, taken[0].attempt))
                taken.clear()

        while self.queue:
            item = self.queue[0]
            if isinstance(item, Mark):
                passed(item)
            elif self.ref is None or self.suspended:
                break
            elif isinstance(item, Said):
                deliver()
                found.append(Told(self.ref, item.token))
            elif self.credit:
                if item.attempt is not None or (taken and taken[-1].attempt is not None):
                    deliver()
                taken.append(item)
                self.credit -= 1
                self.events -= 1
            else:
                break
            self.queue.popleft()
        deliver()
        return found

    def clear(self, passed: Callable[[Mark], None]) -> list[Any]:
        """Take everything out of the queue; returns the events."""
        items, self.queue, self.events = self.queue, deque(), 0
        for item in items:
            if isinstance(item, Mark):
                passed(item)
        return [item.event for item in items if isinstance(item, Waiting)]
