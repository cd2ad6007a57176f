"""The witness: sees everything that a simulated run does, for checkers and histories."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from actorflow.stage.work import Work

if TYPE_CHECKING:
    from actorflow.runtime.simulated.process import SimulatedProcess

__all__ = ["Witness"]


class Witness:
    """Is told what happens, as it happens; override what you need.

    It may look at everything and act on nothing. It is called in the middle of a stage's own calls,
    where an exception would be taken for the stage's; so a checker that finds something wrong puts
    an exception into `verdict`, and the world raises it at the end of the step.

    Example:
        >>> from actorflow import Topology
        >>> from actorflow.stages.sources import Range
        >>> from actorflow.testing import simulate
        >>> from actorflow.testing.topologies import Sink
        >>> class Counts(Witness):
        ...     frames = 0
        ...     def received(self, process, link, frame):
        ...         self.frames += 1
        >>> topology = Topology("example").stage("numbers", Range, args={"stop": 3})
        >>> witness = Counts()
        >>> run = simulate(topology.stage("sink", Sink, subscribe_to=["numbers"]), witness=witness)
        >>> witness.frames > 0
        True
    """

    verdict: Exception | None = None

    def sent(self, process: SimulatedProcess, link: int, frame: bytes) -> None:
        """The stage put a frame, with its length, into a link's outbox (0: the supervisor's)."""

    def received(self, process: SimulatedProcess, link: int, frame: bytes) -> None:
        """A whole frame, without its length, is about to be given to the stage."""

    def begins(self, process: SimulatedProcess, work: Work) -> None:
        """A callback is about to be called."""

    def finishes(self, process: SimulatedProcess, work: Work, result: object) -> None:
        """A callback has returned, and the stage machine is about to take its result."""

    def acted(self, process: SimulatedProcess) -> None:
        """Something that may have changed the stage is over: this is a moment to look at it."""

    def died(self, process: SimulatedProcess) -> None:
        """The process is gone, in an orderly way or not."""


class Witnesses(Witness):
    """Several witnesses as one; the first verdict counts. Each hears only what it overrides.

    Args:
        witnesses: told in this order.
    """

    def __init__(self, *witnesses: Witness) -> None:
        self._all = witnesses
        self._hear_sent = self._hearing("sent")
        self._hear_received = self._hearing("received")
        self._hear_begins = self._hearing("begins")
        self._hear_finishes = self._hearing("finishes")
        self._hear_acted = self._hearing("acted")
        self._hear_died = self._hearing("died")

    def sent(self, process: SimulatedProcess, link: int, frame: bytes) -> None:
        """Tell all."""
        for hear in self._hear_sent:
            hear(process, link, frame)
        self._collect()

    def received(self, process: SimulatedProcess, link: int, frame: bytes) -> None:
        """Tell all."""
        for hear in self._hear_received:
            hear(process, link, frame)
        self._collect()

    def begins(self, process: SimulatedProcess, work: Work) -> None:
        """Tell all."""
        for hear in self._hear_begins:
            hear(process, work)
        self._collect()

    def finishes(self, process: SimulatedProcess, work: Work, result: object) -> None:
        """Tell all."""
        for hear in self._hear_finishes:
            hear(process, work, result)
        self._collect()

    def acted(self, process: SimulatedProcess) -> None:
        """Tell all."""
        for hear in self._hear_acted:
            hear(process)
        self._collect()

    def died(self, process: SimulatedProcess) -> None:
        """Tell all."""
        for hear in self._hear_died:
            hear(process)
        self._collect()

    def _hearing(self, hook: str) -> list[Callable[..., None]]:
        unheard = getattr(Witness, hook)
        return [
            getattr(each, hook) for each in self._all if getattr(type(each), hook) is not unheard
        ]

    def _collect(self) -> None:
        for each in self._all:
            if each.verdict is not None and self.verdict is None:
                self.verdict = each.verdict
