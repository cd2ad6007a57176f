"""The seam between the supervisor and the place where stages live.

The supervisor decides; a runtime acts and observes. Every method returns at once, never blocks and
never raises because of a child's state: what becomes of it arrives as an observation, through the
`observe` callback, in the order in which it happened to each child. A child's `Exited` comes after
the last message it sent.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

from actorflow.protocol.identity import Incarnation, StageId
from actorflow.protocol.messages import Message
from actorflow.records import dataclass
from actorflow.supervision.specs import StageSpec

__all__ = [
    "ChildSignal",
    "Exited",
    "LinkCounters",
    "Observation",
    "Received",
    "Runtime",
    "RuntimeBroken",
    "Started",
    "TimerFired",
]

ChildSignal = str
"""``"terminate"`` or ``"kill"``."""


@dataclass(frozen=True, slots=True)
class Started:
    """A child's process exists."""

    child: Incarnation
    pid: int


@dataclass(frozen=True, slots=True)
class Received:
    """A child sent a message on its control link."""

    child: Incarnation
    message: Message


@dataclass(frozen=True, slots=True)
class Exited:
    """A child's process is gone and everything it sent has been delivered.

    Args:
        child: who.
        pid: its process id, 0 when the process could not be made.
        status: its exit status, or None when it died of a signal.
        signal: the signal's number, or None.
        max_rss: its largest resident memory in bytes, 0 when unknown.
        detail: whatever else is known, such as why it could not be spawned or the kernel's
            out-of-memory count.
    """

    child: Incarnation
    pid: int
    status: int | None
    signal: int | None = None
    max_rss: int = 0
    detail: str = ""


@dataclass(frozen=True, slots=True)
class TimerFired:
    """A timer that the supervisor set has run out."""

    token: int


@dataclass(frozen=True, slots=True)
class RuntimeBroken:
    """The runtime itself died; no child is left and none can be started."""

    detail: str


@dataclass(frozen=True, slots=True)
class LinkCounters:
    """What was counted on one link, or on several that are over, at one moment.

    Args:
        producer: the stage at one end.
        consumer: the stage at the other.
        partition: which of the producer's partitions it carries, or None.
        began: when the first of them was made, on the runtime's clock.
        links: how many there are.
        live: whether it is not over yet.
        producing: the producer's counters by name (see `stage.link_counters`).
        consuming: the consumer's, read a moment before the producer's, so that no more was received
            than was sent.
    """

    producer: StageId
    consumer: StageId
    partition: Any
    began: float
    links: int
    live: bool
    producing: Mapping[str, int]
    consuming: Mapping[str, int]


Observation = Started | Received | Exited | TimerFired | RuntimeBroken


class Runtime(ABC):
    """Where stages live: processes on this machine, or a simulation.

    Ideas from: the abstract runtime of pykka's own test-suite matrix; GenStage's port notes.
    """

    @abstractmethod
    def open(self, observe: Callable[[Observation], None]) -> None:
        """Start; from now on observations go to `observe`, from whatever thread the runtime has."""

    @abstractmethod
    def now(self) -> float:
        """Seconds on the runtime's own monotonic clock."""

    @abstractmethod
    def spawn(self, child: Incarnation, spec: StageSpec) -> None:
        """Make a process that becomes this stage; `Started` or `Exited` follows."""

    @abstractmethod
    def link(
        self,
        ref: int,
        producer: Incarnation,
        consumer: Incarnation,
        to_producer: Message,
        to_consumer: Message,
    ) -> None:
        """Make a link and hand each end to its stage, with the message that announces it.

        A side that has died in the meantime is no error: the other sees the end of the link.
        """

    @abstractmethod
    def send(self, child: Incarnation, message: Message) -> None:
        """Send a message on the child's control link; dropped when the child is gone."""

    @abstractmethod
    def signal(self, child: Incarnation, signal: ChildSignal) -> None:
        """Send the child's process a signal; nothing when it is gone."""

    @abstractmethod
    def timer(self, seconds: float, token: int) -> None:
        """Observe `TimerFired(token)` after so many seconds; a timer cannot be cancelled."""

    @abstractmethod
    def counters(self, stage: StageId) -> Mapping[str, int]:
        """The stage's counters now, by name (see `stage.counters`), also when it hangs or died."""

    def count_link(
        self, ref: int, producer: StageId, consumer: StageId, partition: Any = None
    ) -> int:
        """A place on the scoreboard for a link that is about to be made; -1 when there is none."""
        return -1

    def link_over(self, ref: int) -> None:
        """Nothing more is sent on a link; its counters stay readable as long as there is room."""

    def links(self) -> list[LinkCounters]:
        """What was counted on every link, live or over, read without a message."""
        return []

    @abstractmethod
    def close(self) -> None:
        """End everything: no process, descriptor, thread or timer of this runtime remains."""

    def describe(self) -> Mapping[str, Any]:
        """What a status page shows of the runtime itself."""
        return {}
