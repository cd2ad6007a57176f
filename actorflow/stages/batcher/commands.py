"""What a batcher's core wants done, and what it reports. Plain records."""

from __future__ import annotations

from enum import Enum
from typing import Any

from actorflow.errors import BatchError
from actorflow.records import dataclass

__all__ = [
    "Acquire",
    "Answer",
    "BatcherStatistics",
    "Command",
    "Interrupt",
    "Leave",
    "Outcome",
    "Process",
    "Release",
    "ShutdownReport",
    "Trigger",
]


class Trigger(Enum):
    """Why a batch started."""

    SIZE = "size"
    """It was full, in items or in bytes."""
    TIMEOUT = "timeout"
    """Its time had come."""
    CAPACITY = "capacity"
    """Capacity was free, and its policy wants no more than that."""
    FLUSH = "flush"
    """It was told to, or nothing more could come."""


class Outcome(Enum):
    """How a batch ended, for whoever releases its resources.

    Example:
        >>> class Leases:
        ...     def release_resources(self, key, resources, outcome):
        ...         return "back to the pool" if outcome is Outcome.DONE else "closed"
        >>> Leases().release_resources("a", None, Outcome.FAILED)
        'closed'
    """

    DONE = "done"
    FAILED = "failed"
    """The processor raised, died, or returned the wrong number of results."""
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Acquire:
    """Acquire resources for a batch; `BatcherCore.acquired` is told."""

    batch: int
    key: Any


@dataclass(frozen=True, slots=True)
class Process:
    """Process a batch; `BatcherCore.finished` is told."""

    batch: int
    key: Any
    inputs: list[Any]
    resources: Any
    trigger: Trigger


@dataclass(frozen=True, slots=True)
class Release:
    """Release what a batch had acquired; `BatcherCore.released` is told."""

    batch: int
    key: Any
    resources: Any
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Interrupt:
    """Nobody waits for what this batch is doing any more; its end is still to be told."""

    batch: int


@dataclass(frozen=True, slots=True)
class Answer:
    """An item has its one answer: a value, or an error."""

    token: Any
    value: Any = None
    error: BatchError | None = None


@dataclass(frozen=True, slots=True)
class ShutdownReport:
    """How a batcher ended.

    Args:
        mode: ``"flush"``, ``"drain"``, ``"close"``, ``"abort"`` or ``"upstream"``: the strictest
            that was asked for.
        escalated: whether the deadline passed, so that it became an abort.
        replied: items answered with a value since the first request to shut down.
        failed: items answered with an error since then, those that were cancelled included.
        refused: items refused since then.
        abandoned: the keys of items that were cancelled, as text, at most 100.

    Example:
        >>> report = ShutdownReport("drain", replied=98, failed=2)
        >>> report.mode, report.escalated
        ('drain', False)
    """

    mode: str
    escalated: bool = False
    replied: int = 0
    failed: int = 0
    refused: int = 0
    abandoned: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Leave:
    """Everything is answered and released: the batcher may end."""

    report: ShutdownReport


Command = Acquire | Process | Release | Interrupt | Answer | Leave


@dataclass(frozen=True, slots=True)
class BatcherStatistics:
    """What a batcher has at this moment, and has had.

    Args:
        active_keys: keys with an item that waits or is being processed.
        queued_batches: batches that wait, of all keys.
        queued_items: items in them, and behind them.
        acquiring: batches in the queue that acquire resources already.
        processing: batches that have left it.
        accepted: items ever taken.
        answered: items ever answered.
        rejected: items refused for want of room.
        batches: batches that ever started.

    Example:
        >>> counts = BatcherStatistics(queued_items=3, accepted=10, answered=7)
        >>> counts.accepted == counts.answered + counts.queued_items
        True
    """

    active_keys: int = 0
    queued_batches: int = 0
    queued_items: int = 0
    acquiring: int = 0
    processing: int = 0
    accepted: int = 0
    answered: int = 0
    rejected: int = 0
    batches: int = 0
