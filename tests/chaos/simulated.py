"""The laws of delivery over simulated runs: a seed is a topology, faults, and perhaps a dead host.

`tests.chaos.campaign` runs many seeds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random
from typing import Any

from actorflow.errors import ActorflowError
from actorflow.protocol.control import Snapshot
from actorflow.protocol.messages import Ask
from actorflow.protocol.wire import decode
from actorflow.runtime.simulated.process import SimulatedProcess
from actorflow.runtime.simulated.stall import Stalled
from actorflow.runtime.simulated.witness import Witness
from actorflow.stage.work import CONTROL_LINK, Work
from actorflow.supervision.checkpoint import Kept
from actorflow.supervision.journal import Journal
from actorflow.supervision.recovery import SnapshotStore
from actorflow.testing import Conditions, Faults, SimulatedRun, Simulation
from tests.chaos.checker import Violation, check
from tests.chaos.history import ACKED, DONE, EMITTED, TAKEN, Life, Record, acknowledged_by
from tests.chaos.players import topology_of
from tests.chaos.shapes import Shape, random_shape

__all__ = ["DeliveryExperiment", "Undelivered", "Watching"]

EVENTS = 20
"""How many events the parts of an experiment take together, about."""

WITHIN = 600
"""Crashes happen in the first so many steps of a life of the host."""

MAX_STEPS = 300_000

CUTS: Any = ("whole", "whole", "random", "whole", "whole", "whole", "random", "whole", "bytes")
"""How reads are cut, by seed: mostly not, as bytes one by one take ten times as many steps."""


class Undelivered(ActorflowError):
    """A mode's promise was broken."""

    def __init__(self, violations: list[Violation]) -> None:
        super().__init__("\n".join(map(str, violations)))
        self.violations = violations

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.violations,)


class Watching(Witness):
    """Writes the histories of simulated stages."""

    def __init__(self) -> None:
        self.lives: list[Life] = []
        self._of: dict[SimulatedProcess, Life] = {}
        self._moment = 0

    def received(self, process: SimulatedProcess, link: int, frame: bytes) -> None:
        """An acknowledgement is about to be believed."""
        machine = process.machine
        if link == CONTROL_LINK or machine is None or machine.producing is None:
            return
        message = decode(frame)
        if isinstance(message, Ask):
            consumer, events = acknowledged_by(machine.producing, message)
            if events:
                self._add(process, ACKED, events, consumer)

    def begins(self, process: SimulatedProcess, work: Work) -> None:
        """Events are about to be handled."""
        if work.label == "handle_events":
            self._add(process, TAKEN, work.args[0])

    def finishes(self, process: SimulatedProcess, work: Work, result: object) -> None:
        """What a callback has handled and made."""
        if isinstance(result, list) and result and work.label != "snapshot":
            self._add(process, EMITTED, result)
        if work.label == "handle_events":
            self._add(process, DONE, work.args[0])

    def _add(self, process: SimulatedProcess, kind: str, events: list[str], peer: str = "") -> None:
        life = self._of.get(process)
        if life is None:
            stage = process.child.stage
            life = self._of[process] = Life(stage.name, stage.index)
            self.lives.append(life)
        self._moment += 1
        life.records.append(Record(self._moment, kind, peer, tuple(events)))


class Disk(SnapshotStore):
    """A checkpoint file as the simulator has it: slow by a few writes, and it survives the host."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._speed = random.choice((0.5, 0.1, 0.02))
        self._journals: dict[str, Journal] = {}
        self._ended: dict[str, Kept] = {}
        self._waiting: list[Any] = []

    def keep(self, stage: str, snapshot: Snapshot, stored: Any) -> None:
        """It is written some time, in order, and then called stored."""

        def write() -> None:
            self._journals.setdefault(stage, Journal()).take(snapshot)
            stored()

        self._waiting.append(write)

    def keep_end(self, stage: str, reason: Any, result: bytes | None) -> None:
        """Written in its turn as well."""
        kept = Kept(None, True, reason, result)
        self._waiting.append(lambda: self._ended.update({stage: kept}))

    def write(self, *, at_once: bool = False) -> None:
        """Perhaps write one of what waits."""
        if self._waiting and (at_once or self._random.random() < self._speed):
            self._waiting.pop(0)()

    @property
    def idle(self) -> bool:
        """Whether nothing waits to be written."""
        return not self._waiting

    def kept(self) -> dict[str, Kept]:
        """What the next host finds."""
        self._waiting.clear()
        found = {stage: Kept(journal.restored()) for stage, journal in self._journals.items()}
        for stage, ended in self._ended.items():
            before = found.get(stage)
            restored = before.restored if before is not None else None
            found[stage] = replace(ended, restored=restored)
        return found


@dataclass(frozen=True, slots=True)
class DeliveryExperiment:
    """A shape to simulate, and what goes wrong.

    Args:
        shape: what runs.
        seed: makes every choice.
        crashes: how many stages are killed in each life of the host.
        hosts: how often the host is killed, and the run resumed.

    Example:
        >>> DeliveryExperiment.of(3).run().status
        'done'
    """

    shape: Shape
    seed: int
    crashes: int = 0
    hosts: int = 0

    @classmethod
    def of(cls, seed: int) -> DeliveryExperiment:
        """The experiment that a seed stands for."""
        random = Random(f"delivery {seed}")
        crashes = random.choice((0, 1, 1, 2, 3, 4))
        hosts = random.choice((0, 0, 0, 1, 2))
        return cls(random_shape(random, events=EVENTS), seed, crashes, hosts)

    def run(self) -> SimulatedRun:
        """Run it to its end, and judge it.

        Raises:
            Stalled: it hangs.
            Endless: it never ends.
            Undelivered: a promise was broken.
            Exception: a stage, or the supervisor, failed.
        """
        watching = Watching()
        random = Random(f"hosts {self.seed}")
        disk = Disk(random)
        finished = None
        for life in range(self.hosts + 1):
            last = life == self.hosts
            simulation = self._simulation(life, watching, disk)
            until = None if last else random.randint(1, WITHIN)
            if self._live(simulation, disk, until):
                finished = simulation.finish(max_steps=MAX_STEPS, check=False)
                if finished.error is not None:
                    raise finished.error
                break
        assert finished is not None
        violations = check(self.shape, watching.lives, finished.results)
        if violations:
            raise Undelivered(violations)
        return finished

    def _simulation(self, life: int, watching: Watching, disk: Disk) -> Simulation:
        faults = Faults(crashes=self.crashes, within=WITHIN)
        simulation = Simulation(
            topology_of(self.shape),
            seed=self.seed + (life << 40),
            faults=faults,
            conditions=Conditions(cut=CUTS[self.seed % len(CUTS)]),
            witness=watching,
            store=disk if self.hosts else None,
        )
        if life:
            simulation.core.resume(disk.kept())
        return simulation

    def _live(self, simulation: Simulation, disk: Disk, steps: int | None) -> bool:
        """Let a host live for so many steps; whether the run came to its end in them."""

        def over() -> bool:
            disk.write()
            return steps is not None and simulation.world.steps >= steps

        while not simulation.over and (steps is None or simulation.world.steps < steps):
            try:
                simulation.run_until(over, max_steps=MAX_STEPS)
            except Stalled:
                if disk.idle:
                    raise
                disk.write(at_once=True)  # everybody waits for it
        return simulation.over

    def describe(self) -> str:
        """What it is, for a person."""
        return f"seed {self.seed}, {self.crashes} crashes, {self.hosts} hosts killed, {self.shape}"
