"""Whole topologies in one process, under a virtual clock and a seeded scheduler."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from typing import Any, Protocol, Self

from actorflow.errors import OptionError
from actorflow.observe.statistics import RunStatistics, gather
from actorflow.protocol.arguments import check_instance, check_integer
from actorflow.protocol.identity import Incarnation
from actorflow.records import dataclass
from actorflow.runtime.simulated.faults import Faults
from actorflow.runtime.simulated.process import SimulatedProcess
from actorflow.runtime.simulated.schedule import Conditions
from actorflow.runtime.simulated.witness import Witness, Witnesses
from actorflow.runtime.simulated.world import Step, World
from actorflow.stage.callbacks import HANDLE_AGAIN, HANDLE_EVENTS
from actorflow.stage.failing import Failed
from actorflow.stage.work import Work
from actorflow.supervision.core import SupervisorCore
from actorflow.supervision.events import Outcome, SupervisorEvent
from actorflow.supervision.letters import DeadLetter
from actorflow.supervision.recovery import SnapshotStore
from actorflow.supervision.remains import Remains
from actorflow.supervision.specs import Plan
from actorflow.testing.checker import Checker

__all__ = ["Handled", "SimulatedRun", "Simulation", "simulate"]

MAX_STEPS = 1_000_000


class _Compiles(Protocol):
    """What can be simulated besides a plan: a topology."""

    def plan(self) -> Plan: ...


@dataclass(frozen=True, slots=True)
class Handled:
    """A batch whose callback has returned.

    Args:
        time: when, in virtual seconds.
        stage: who took it.
        producer: whom it came from.
        events: its events.

    Example:
        >>> from actorflow import Topology
        >>> from actorflow.stages.sources import Range
        >>> from actorflow.testing.topologies import Sink
        >>> topology = Topology("example").stage("numbers", Range, args={"stop": 2})
        >>> run = simulate(topology.stage("sink", Sink, subscribe_to=["numbers"]))
        >>> [(str(each.stage.stage), each.events) for each in run.history]
        [('sink/0', (0,)), ('sink/0', (1,))]
    """

    time: float
    stage: Incarnation
    producer: Incarnation
    events: tuple[Any, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedRun:
    """A simulated run that is over.

    Args:
        seed: what made its choices.
        conditions: what its world was like.
        status: ``"done"``, ``"stopped"`` or ``"failed"``.
        error: what ended it, when it failed.
        results: what stages passed to `set_result`, by stage name.
        remains: what was not finished, of each stage that had something.
        report: every stage's counters: events in and out, redelivered, restarts, …
        history: what was handled by whom, in order, by incarnations that died later as well.
        events: what the supervisor reported, in order.
        crashed: the incarnations that faults killed, in order.
        dead_letters: what stages gave up, where the topology has `dead_letters`; no file is
            written.
        steps: how many actions it took.
        seconds: how much virtual time it took.
        trace: the last steps.
        trace_hash: a digest of all steps: equal for equal runs.

    Example:
        >>> from actorflow import Topology
        >>> from actorflow.stages.sources import Range
        >>> from actorflow.testing.topologies import Sink
        >>> topology = Topology("example").stage("numbers", Range, args={"stop": 3})
        >>> run = simulate(topology.stage("sink", Sink, subscribe_to=["numbers"]))
        >>> run.status, run.handled("sink"), run.crashed
        ('done', [0, 1, 2], ())
    """

    seed: int
    conditions: Conditions
    status: str
    error: BaseException | None
    results: dict[str, Any]
    remains: tuple[Remains, ...]
    report: RunStatistics
    history: tuple[Handled, ...]
    events: tuple[SupervisorEvent, ...]
    crashed: tuple[str, ...]
    dead_letters: tuple[DeadLetter, ...]
    steps: int
    seconds: float
    trace: tuple[Step, ...]
    trace_hash: str

    def handled(self, stage: str) -> list[Any]:
        """The events that a stage has handled, in order, all replicas and lives together.

        Args:
            stage: ``"count"``, or ``"count/1"`` for one replica.
        """
        return [
            event
            for each in self.history
            if stage in (each.stage.stage.name, str(each.stage.stage))
            for event in each.events
        ]


class Letters:
    """Keeps dead letters in memory."""

    def __init__(self) -> None:
        self.kept: list[DeadLetter] = []

    def keep(self, letter: DeadLetter) -> None:
        """Keep a letter."""
        self.kept.append(letter)


class Simulation:
    """A simulated run in the making, step by step.

    Args:
        topology: a topology or a plan.
        seed: makes every choice; the same seed gives the same run.
        faults: what goes wrong.
        conditions: what of the world's nature is fixed; the rest is drawn from the seed.
        laws: whether every conservation law of the protocol is checked after every step.
        witness: is told what happens, besides.
        store: where snapshots are kept besides, as a checkpoint file would; None for nowhere.

    Example:
        >>> from actorflow import Topology
        >>> from actorflow.stages.sources import Range
        >>> from actorflow.testing.topologies import Sink
        >>> topology = Topology("example").stage("numbers", Range, args={"stop": 100})
        >>> simulation = Simulation(topology.stage("sink", Sink, subscribe_to=["numbers"]), seed=7)
        >>> simulation.run_until(lambda: len(simulation.history) == 1)
        >>> simulation.over, simulation.finish().status
        (False, 'done')
    """

    def __init__(
        self,
        topology: Plan | _Compiles,
        *,
        seed: int = 0,
        faults: Faults | None = None,
        conditions: Conditions | None = None,
        laws: bool = False,
        witness: Witness | None = None,
        store: SnapshotStore | None = None,
    ) -> None:
        if not isinstance(topology, Plan) and not callable(getattr(topology, "plan", None)):
            raise OptionError("topology", "a Topology or a Plan", topology)
        check_integer("seed", seed, None)
        for option, value, kind in (
            ("faults", faults, Faults),
            ("conditions", conditions, Conditions),
            ("witness", witness, Witness),
        ):
            if value is not None:
                check_instance(option, value, kind)
        self.plan = topology if isinstance(topology, Plan) else topology.plan()
        self._history = _History()
        witnesses = [self._history, *([Checker()] if laws else []), *([witness] if witness else [])]
        self.world = World(
            seed,
            faults=faults,
            conditions=conditions,
            witness=Witnesses(*witnesses) if len(witnesses) > 1 else self._history,
        )
        self._history.now = self.world.now
        self._events: list[SupervisorEvent] = []
        self.letters = Letters()
        """The dead letters so far."""
        box = self.letters if self.plan.dead_letters is not None else None
        self.core = SupervisorCore(self.plan, self.world, self._events.append, store, box)
        self.world.open(self.core.observe)
        self._began = self.world.now()
        self._started = False

    @property
    def over(self) -> bool:
        """Whether the run has ended."""
        return self.core.outcome is not None

    @property
    def history(self) -> list[Handled]:
        """What has been handled so far."""
        return self._history.handled

    def start(self) -> Self:
        """Start every stage, once; `run_until` and `finish` do it by themselves."""
        if not self._started:
            self._started = True
            self.core.start()
        return self

    def run_until(self, condition: Callable[[], bool], *, max_steps: int = MAX_STEPS) -> None:
        """Let things happen until something holds, or the run is over.

        Args:
            condition: asked before each step.
            max_steps: how many steps the run may have taken in all.

        Raises:
            Stalled: nothing can happen any more; the error shows who waits for whom.
            Endless: `max_steps` were not enough.
        """
        check_integer("max_steps", max_steps, 1)
        # What stages draw from Python's own generator is part of the run, and nobody else's.
        outer = random.getstate()
        random.seed(self.world.seed)
        try:
            self.start()
            self.world.run(lambda: self.over or condition(), max_steps=max_steps)
        finally:
            random.setstate(outer)

    def finish(self, *, max_steps: int = MAX_STEPS, check: bool = True) -> SimulatedRun:
        """Run to the end.

        Args:
            max_steps: how many steps the run may take in all.
            check: whether an error that ended the run is raised.

        Raises:
            Stalled: it hangs.
            Endless: it takes more than `max_steps`.
            Exception: the one that ended the run, as the stage raised it.
        """
        self.run_until(lambda: False, max_steps=max_steps)
        outcome = self.core.outcome
        assert outcome is not None
        error = outcome.root_cause
        if check and error is not None:
            error.add_note(f"in a simulated run with seed={self.world.seed}")
            raise error
        return self._run(outcome)

    def stop(self) -> SimulatedRun:
        """Stop every stage now, and run until they have."""
        self.start()
        self.core.stop()
        return self.finish(check=False)

    def _run(self, outcome: Outcome) -> SimulatedRun:
        world = self.world
        seconds = world.now() - self._began
        return SimulatedRun(
            seed=world.seed,
            conditions=world.conditions,
            status=outcome.status,
            error=outcome.error,
            results=outcome.results,
            remains=outcome.remains,
            report=gather(self.plan, world, seconds, None),
            history=tuple(self._history.handled),
            events=tuple(self._events),
            crashed=tuple(world.crashed),
            dead_letters=tuple(self.letters.kept),
            steps=world.steps,
            seconds=seconds,
            trace=tuple(world.trace),
            trace_hash=world.trace_hash,
        )


def simulate(
    topology: Plan | _Compiles,
    *,
    seed: int = 0,
    faults: Faults | None = None,
    conditions: Conditions | None = None,
    max_steps: int = MAX_STEPS,
    laws: bool = False,
    witness: Witness | None = None,
    check: bool = True,
) -> SimulatedRun:
    """Run a topology to its end in a simulated world.

    Each seed is another order of events: of deliveries, callbacks, timers, process starts and
    ends, and of crashes where `faults` has some. What goes wrong with a seed goes wrong with it
    again.

    Args:
        topology: a topology or a plan.
        seed: makes every choice.
        faults: what goes wrong, such as ``Faults(crashes=1)``.
        conditions: what of the world's nature is fixed; the rest is drawn from the seed.
        max_steps: how many steps the run may take.
        laws: whether every conservation law of the protocol is checked after every step.
        witness: is told what happens, besides.
        check: whether an error that ended the run is raised.

    Raises:
        Stalled: the run hangs; the error shows who waits for whom.
        Endless: it takes more than `max_steps`.
        LawBroken: a law does not hold.
        Exception: the one that ended the run, as the stage raised it.

    Example:
        >>> from actorflow import Topology
        >>> from actorflow.stages.sources import Range
        >>> from actorflow.testing.topologies import Sink
        >>> topology = Topology("example").stage("numbers", Range, args={"stop": 100})
        >>> topology = topology.stage("sink", Sink, subscribe_to=["numbers"])
        >>> for seed in range(3):
        ...     run = simulate(topology, seed=seed, faults=Faults(crashes=1, stages=("sink",)))
        ...     assert set(run.handled("sink")) == set(range(100))
    """
    simulation = Simulation(
        topology, seed=seed, faults=faults, conditions=conditions, laws=laws, witness=witness
    )
    return simulation.finish(max_steps=max_steps, check=check)


class _History(Witness):
    """Writes down what is handled."""

    def __init__(self) -> None:
        self.handled: list[Handled] = []
        self.now: Callable[[], float] = float

    def finishes(self, process: SimulatedProcess, work: Work, result: object) -> None:
        """Note a batch of events."""
        again = work.label == HANDLE_AGAIN
        if (again or work.label == HANDLE_EVENTS) and not isinstance(result, Failed):
            events: Iterable[Any] = work.args[0]
            peer = work.args[1].peer
            self.handled.append(Handled(self.now(), process.child, peer, tuple(events)))
