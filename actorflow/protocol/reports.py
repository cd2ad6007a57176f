"""What a stage tells its supervisor, on its control link (see `control`)."""

from __future__ import annotations

from dataclasses import field
from typing import Any

from actorflow.records import dataclass

__all__ = [
    "DeadLetter",
    "Established",
    "Exiting",
    "LogRecord",
    "Members",
    "Ready",
    "Redirected",
    "Snapshot",
    "SubscriptionEnded",
]


@dataclass(frozen=True, slots=True)
class Ready:
    """From a stage: `on_start` is done; `kind` says what it is."""

    kind: str


@dataclass(frozen=True, slots=True)
class Established:
    """From a producer: this subscription is accepted."""

    ref: int


@dataclass(frozen=True, slots=True)
class Redirected:
    """From a producer: who subscribes with this ref is to subscribe to these stages instead.

    Args:
        ref: the subscription.
        stages: names, ``"numbers"`` or ``"numbers/1"``.
    """

    ref: int
    stages: list[str]


@dataclass(frozen=True, slots=True)
class Members:
    """From a manager: these stages are to be its members, or no more.

    Args:
        change: ``"set"``, ``"add"`` or ``"remove"``.
        stages: names, ``"numbers"`` or ``"numbers/1"``.
    """

    change: str
    stages: list[str]


@dataclass(frozen=True, slots=True)
class SubscriptionEnded:
    """From a consumer: this subscription is over.

    Args:
        ref: which.
        reason: why.
        finished: whether the producer says so because it has finished.
    """

    ref: int
    reason: Any
    finished: bool = False


@dataclass(frozen=True, slots=True)
class LogRecord:
    """From a stage: one log line, to be written by the host."""

    level: str
    event: str
    values: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """From a stage: what a successor of it needs to go on from here.

    The supervisor keeps it, puts it into the checkpoint file if there is one, and answers with
    `SnapshotStored`. Only then does the stage acknowledge what the snapshot covers, and release
    what was made from it.

    Args:
        number: counts the snapshots of one incarnation, from 1.
        state: what the behaviour's `snapshot` returned, pickled; None when it keeps no state.
        inputs: for each subscription to a producer a map of ``ref``, ``seq`` (the last batch that
            is covered), ``edge`` and ``events`` (how many events of that edge are covered).
        outputs: for each edge to a consumer a map of ``edge``, ``consumer``, ``acked`` (how many of
            its events are acknowledged), ``sent`` (how many there are) and ``batches``, those made
            since the last snapshot: maps of ``first`` (the place of the first event on its edge),
            ``count`` and ``body``. With
            ``closed`` the edge is over, and what was not acknowledged on it was given to others.
        buffer: the events that nobody has asked for yet, pickled, or None.
        finishing: whether the stage has finished and only hands over what is left.
    """

    number: int
    state: bytes | None = None
    inputs: list[dict[str, Any]] = field(default_factory=list)
    outputs: list[dict[str, Any]] = field(default_factory=list)
    buffer: bytes | None = None
    finishing: bool = False


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """From a consumer: an event that it has given up.

    The supervisor keeps it and answers with `DeadLetterKept`; only then is the event finished.
    Where there is nothing to keep it in, the run ends with the failure.

    Args:
        number: counts the dead letters of one incarnation, from 1.
        ref: the subscription that the event came by.
        seq: the batch that it came in.
        producer: the stage that the event came from.
        event: the event, pickled.
        shown: the event as text, for people.
        attempts: how often it was tried.
        failure: what came of the last time, as `Failure.to_wire` has it.
    """

    number: int
    ref: int
    seq: int
    producer: str
    event: bytes
    shown: str
    attempts: int
    failure: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Exiting:
    """From a stage: its last words.

    Args:
        reason: why it ends.
        failure: the encoded exception (see `protocol.failure`) when it ends badly, else None.
        result: what `set_result` was given, pickled, else None.
        unhandled: how many events it had taken and not begun to handle when it was made to stop, by
            the stage that had sent them.
    """

    reason: Any
    failure: dict[str, Any] | None = None
    result: bytes | None = None
    unhandled: dict[str, int] = field(default_factory=dict)
