"""What the processes of a world have in common: its clock, schedule and witness, kinds of death."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from enum import Enum, auto
from typing import Any

from actorflow.protocol.identity import StageId
from actorflow.records import dataclass
from actorflow.runtime.simulated.actors import ReadySet
from actorflow.runtime.simulated.clock import FakeClock
from actorflow.runtime.simulated.schedule import Schedule
from actorflow.runtime.simulated.witness import Witness
from actorflow.stage.link_counters import HALF_SIZE, named_half
from actorflow.supervision.runtime import LinkCounters

__all__ = [
    "LAST_WORDS",
    "NANOSECONDS",
    "SIGKILL",
    "SIGTERM",
    "CountedLink",
    "Killed",
    "Life",
    "Setting",
]

SIGKILL = 9
SIGTERM = 15
NANOSECONDS = 1_000_000_000

LAST_WORDS = 5.0
"""Seconds that an ending stage may take to hand over what it has sent, as in `runtime.local`."""


class Life(Enum):
    """Where a process stands."""

    ORDERED = auto()
    """Asked for, not yet forked."""
    ALIVE = auto()
    LEAVING = auto()
    """Its stage has ended; what it still has to write leaves first."""
    GONE = auto()


class Killed(BaseException):
    """Raised inside a callback at a fault point. No Exception, so that no handler survives it."""


@dataclass(slots=True)
class CountedLink:
    """What is counted at the two ends of a link."""

    producer: StageId
    consumer: StageId
    partition: Any
    began: float
    live: bool = True
    producing: list[int] = field(default_factory=lambda: [0] * HALF_SIZE)
    consuming: list[int] = field(default_factory=lambda: [0] * HALF_SIZE)

    def read(self) -> LinkCounters:
        """Both ends now."""
        return LinkCounters(
            self.producer,
            self.consumer,
            self.partition,
            self.began,
            1,
            self.live,
            named_half(self.producing),
            named_half(self.consuming),
        )


@dataclass(slots=True)
class Setting:
    """What all processes of a world share.

    Args:
        clock: the virtual time.
        schedule: makes the choices.
        ready: who may be able to act.
        witness: is told what happens.
        points: how often each fault point has been passed.
        fatal_points: at which pass of a fault point the process is killed.
        child_deaths: one in so many children of stages is killed; 0 for none.
        crashed: which incarnations a fault has killed, in order.
        links: what is counted at the ends of each link, by its ref.
    """

    clock: FakeClock
    schedule: Schedule
    ready: ReadySet
    witness: Witness = field(default_factory=Witness)
    points: dict[str, int] = field(default_factory=dict)
    fatal_points: Mapping[str, int] = field(default_factory=dict)
    child_deaths: int = 0
    crashed: list[str] = field(default_factory=list)
    links: dict[int, CountedLink] = field(default_factory=dict)
