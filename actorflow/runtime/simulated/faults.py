"""Faults: what goes wrong in a simulated run, and when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from math import inf
from random import Random

from actorflow.errors import OptionError
from actorflow.protocol.arguments import check_instance, check_integer, check_map, check_text
from actorflow.records import dataclass
from actorflow.runtime.simulated.process import SimulatedProcess

__all__ = ["CrashAt", "CrashPlan", "Faults"]


_LEAST = {"crashes": 0, "within": 1, "spawn_failures": 0, "children": 0}


@dataclass(frozen=True, slots=True)
class CrashAt:
    """Kill a stage at a step of the run.

    Args:
        step: the step, from 1; the first at or after it at which the stage's process exists.
        stage: ``"count"`` or ``"count/1"``; None for one that the seed chooses.

    Example:
        >>> Faults(at=(CrashAt(100, "count"), CrashAt(200))).at[0].stage
        'count'
    """

    step: int
    stage: str | None = None

    def __post_init__(self) -> None:
        check_integer("step", self.step, 1)
        if self.stage is not None:
            check_text("stage", self.stage, "a stage's name, or none for any")


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """What goes wrong.

    A crash is a SIGKILL: what the process had not yet written to its pipes is lost, perhaps in the
    middle of a frame; what it had written is delivered; then its peers see the end of their links
    and the supervisor sees it exit.

    Args:
        crashes: how many processes to kill, at steps that the seed chooses.
        within: the last step at which one of `crashes` may happen.
        at: crashes at steps of your own choice.
        stages: which stages `crashes` may hit, ``"count"`` or ``"count/1"``; None for any.
        points: for a name given to `actorflow.testing.fault_point`, at which of its passes (from 1)
            the process is killed.
        spawn_failures: how many of the first processes cannot be made.
        children: of the children that a `ConsumerSupervisor` starts, one in so many is killed
            before it is done, which ones the seed chooses; 0 for none.

    Raises:
        OptionError: a number breaks its rule.

    Example:
        >>> Faults(crashes=1, stages=("count",)).within
        500
    """

    crashes: int = 0
    within: int = 500
    at: tuple[CrashAt, ...] = ()
    stages: tuple[str, ...] | None = None
    points: Mapping[str, int] = field(default_factory=dict)
    spawn_failures: int = 0
    children: int = 0

    def __post_init__(self) -> None:
        for option, least in _LEAST.items():
            value = getattr(self, option)
            if type(value) is not int or value < least:
                raise OptionError(option, f"an integer of at least {least}", value)
        if self.stages is not None and not isinstance(self.stages, tuple | list):
            raise OptionError("stages", "a tuple of stages' names", self.stages)
        if not isinstance(self.at, tuple | list):
            raise OptionError("at", "a tuple of CrashAt", self.at)
        for crash in self.at:
            check_instance("at", crash, CrashAt)
        check_map("points", self.points, "a map from names of points to passes")
        for passed in self.points.values():
            check_integer("points", passed, 1)


class CrashPlan:
    """When a run's crashes are due, and whom they hit.

    It draws from numbers of its own: with and without crashes a seed makes the same choices until
    the first of them.

    Args:
        seed: chooses steps and victims.
        faults: what is wanted.
    """

    __slots__ = ("_pending", "_random", "_stages", "next_step")

    def __init__(self, seed: int, faults: Faults) -> None:
        self._random = Random(f"actorflow crashes {seed}")
        self._stages = faults.stages
        drawn = [CrashAt(self._random.randint(1, faults.within)) for _ in range(faults.crashes)]
        self._pending = sorted((*faults.at, *drawn), key=lambda crash: crash.step)
        self.next_step: float = self._pending[0].step if self._pending else inf
        """The step at which the oldest one is due."""

    def victim(self, processes: Sequence[SimulatedProcess]) -> SimulatedProcess | None:
        """Whom the oldest due crash hits; None when nobody that it names exists now."""
        crash = self._pending[0]
        wanted = self._stages if crash.stage is None else (crash.stage,)
        hit = [
            each
            for each in processes
            if wanted is None or each.child.stage.name in wanted or str(each.child.stage) in wanted
        ]
        if not hit:
            return None
        self._pending.pop(0)
        self.next_step = self._pending[0].step if self._pending else inf
        return hit[int(self._random.random() * len(hit))]
