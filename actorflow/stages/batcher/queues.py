"""What waits in a batcher: items in batches, batches in the queue of their key, and timers."""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import field
from enum import Enum, auto
from typing import Any

from actorflow.records import dataclass
from actorflow.stages.batcher.commands import Trigger
from actorflow.stages.batcher.policies import Limits

__all__ = ["Batch", "Item", "Key", "Phase", "Timer", "TimerKind", "Timers"]


class Phase(Enum):
    """Where a batch stands."""

    QUEUED = auto()
    ACQUIRING_EARLY = auto()
    """It acquires resources, and still takes items."""
    ACQUIRING = auto()
    """It has left the queue, and acquires resources."""
    PROCESSING = auto()
    OVER = auto()
    """Its items are answered, and the end of what it was doing is still to be told."""


@dataclass(slots=True, eq=False)
class Item:
    """One accepted item.

    Args:
        token: what its owner knows it by.
        value: the processor's input.
        weight: in bytes.
        key: its key's state.
    """

    token: Any
    value: Any
    weight: int
    key: Key
    batch: Batch | None = None
    """None while it waits behind a full queue."""


@dataclass(slots=True, eq=False)
class Batch:
    """Items that are processed together.

    Args:
        number: never used twice in the life of a batcher.
        key: its key's state.
        deadline: when it is due, or None for never.
    """

    number: int
    key: Key
    deadline: float | None
    items: list[Item] = field(default_factory=list)
    weight: int = 0
    closed: bool = False
    """It takes no more items: it is full, or the next one did not fit."""
    flushed: bool = False
    """It starts as soon as capacity is free, whatever the policy."""
    phase: Phase = Phase.QUEUED
    trigger: Trigger = Trigger.CAPACITY
    has_resources: bool = False
    resources: Any = None
    timer: Timer | None = None
    """What limits the phase that it is in."""

    def takes(self, weight: int, limits: Limits) -> bool:
        """Whether one more item of this weight fits; anything fits into an empty one."""
        if self.closed:
            return False
        most = limits.max_batch_bytes
        return most is None or not self.items or self.weight + weight <= most

    def put(self, item: Item, limits: Limits) -> None:
        """Take an item that fits."""
        self.items.append(item)
        item.batch = self
        self.weight += item.weight
        most = limits.max_batch_bytes
        heavy = most is not None and self.weight >= most
        self.closed = heavy or len(self.items) >= limits.max_batch_size

    def remove(self, item: Item) -> None:
        """Give up an item."""
        self.items.remove(item)
        self.weight -= item.weight

    def is_due(self, now: float) -> bool:
        """Whether its time has come."""
        return self.deadline is not None and self.deadline <= now


@dataclass(slots=True, eq=False)
class Key:
    """Everything there is of one key; it is forgotten as soon as that is nothing.

    Args:
        value: the key.
    """

    value: Any
    queue: deque[Batch] = field(default_factory=deque)
    """The batches that wait, oldest first; only the last one may take items."""
    waiting: deque[Item] = field(default_factory=deque)
    """Items for which the queue has no room."""
    processing: int = 0
    acquiring: int = 0
    """How many batches acquire resources early."""

    @property
    def load(self) -> int:
        """How much of its capacity is in use."""
        return self.processing + self.acquiring

    @property
    def idle(self) -> bool:
        """Whether nothing is left of it."""
        return not (self.queue or self.waiting or self.processing or self.acquiring)

    def has_room(self, weight: int, limits: Limits) -> bool:
        """Whether an item of this weight may join the queue now."""
        if len(self.queue) < limits.queue_size:
            return True
        return self.queue[-1].takes(weight, limits)


class TimerKind(Enum):
    """What a timer is about."""

    BATCH = auto()
    """A batch that waits is due."""
    ACQUIRE = auto()
    PROCESS = auto()
    SHUTDOWN = auto()
    LEAVE = auto()
    """What was interrupted has had its time to end."""


@dataclass(frozen=True, slots=True)
class Timer:
    """Something that is to happen at a time.

    Args:
        due: when.
        kind: what.
        batch: the batch that it is about, 0 for none.
    """

    due: float
    kind: TimerKind
    batch: int = 0


class Timers:
    """One heap of timers. None is ever removed before its time: who is told of one looks again.

    Example:
        >>> timers = Timers()
        >>> timer = timers.add(2.0, TimerKind.SHUTDOWN)
        >>> timers.next_due, list(timers.take_due(1.0)), list(timers.take_due(2.0)) == [timer]
        (2.0, [], True)
    """

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Timer]] = []
        self._count = 0

    @property
    def next_due(self) -> float | None:
        """When the next one is due."""
        return self._heap[0][0] if self._heap else None

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, due: float, kind: TimerKind, batch: int = 0) -> Timer:
        """Have a timer taken at this time."""
        timer = Timer(due, kind, batch)
        self._count += 1
        heapq.heappush(self._heap, (due, self._count, timer))
        return timer

    def take_due(self, now: float) -> list[Timer]:
        """The timers that are due, in their order; they are gone."""
        found = []
        while self._heap and self._heap[0][0] <= now:
            found.append(heapq.heappop(self._heap)[2])
        return found

    def forget_batches(self, known: set[int]) -> None:
        """Forget timers of batches other than these."""
        self._heap = [each for each in self._heap if not each[2].batch or each[2].batch in known]
        heapq.heapify(self._heap)
