"""The witness: sees everything that a simulated run does, for checkers and histories."""

from __future__ import annotations

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
    """Several witnesses as one; the first verdict counts.

    Args:
        witnesses: told in this order.
    """

    def __init__(self, *witnesses: Witness) -> None:
        self._all = witnesses

    def sent(self, process: SimulatedProcess, link: int, frame: bytes) -> None:
        """Tell all."""
        for each in self._all:
            each.sent(process, link, frame)
        self._collect()

    def received(self, process: SimulatedProcess, link: int, frame: bytes) -> None:
        """Tell all."""
        for each in self._all:
            each.received(process, link, frame)
        self._collect()

    def begins(self, process: SimulatedProcess, work: Work) -> None:
        """Tell all."""
        for each in self._all:
            each.begins(process, work)
        self._collect()

    def finishes(self, process: SimulatedProcess, work: Work, result: object) -> None:
        """Tell all."""
        for each in self._all:
            each.finishes(process, work, result)
        self._collect()

    def acted(self, process: SimulatedProcess) -> None:
        """Tell all."""
        for each in self._all:
            each.acted(process)
        self._collect()

    def died(self, process: SimulatedProcess) -> None:
        """Tell all."""
        for each in self._all:
            each.died(process)
        self._collect()

    def _collect(self) -> None:
        if self.verdict is None:
            self.verdict = next((w.verdict for w in self._all if w.verdict is not None), None)
