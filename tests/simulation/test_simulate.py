"""Simulating a topology: results, reports, faults, hangs, step by step."""

from __future__ import annotations

import pickle
import random
from collections.abc import Mapping
from typing import Any

import pytest

from actorflow import (
    Consumer,
    Producer,
    SubscribeTo,
    Subscription,
    SubscriptionOptions,
    Topology,
)
from actorflow.runtime.simulated.world import World
from actorflow.supervision import operations
from actorflow.supervision.events import ChildEnded, ChildReady
from actorflow.testing import (
    Conditions,
    CrashAt,
    Endless,
    Faults,
    Gate,
    Simulation,
    Stalled,
    fault_point,
    simulate,
    spend,
)
from actorflow.testing.topologies import Numbers, Sink, Through
from tests.seeds import seeds


class Sum(Consumer):
    """Adds up; its answer is the sum."""

    def __init__(self, gate: Gate | None = None, seconds: float = 0.0) -> None:
        self.total = 0
        self.gate = gate
        self.seconds = seconds

    def handle_events(self, events: list[int], subscription: Subscription) -> None:
        if self.gate is not None:
            self.gate.wait()
        spend(self.seconds)
        self.total += sum(events)
        fault_point("added")
        self.set_result(self.total)


class Never(Consumer):
    """Asks for nothing."""

    def handle_subscribe(
        self, side: str, options: Mapping[str, Any], subscription: Subscription
    ) -> str:
        return "manual"


class Ticker(Producer):
    """Never ends, and never has anything."""

    def on_start(self) -> None:
        self.send_after(1.0, "tick")

    def handle_demand(self, demand: int) -> None:
        return None

    def handle_info(self, message: str) -> None:
        self.send_after(1.0, message)


class Broken(Consumer):
    """Raises at the first event."""

    def handle_events(self, events: list[int], subscription: Subscription) -> None:
        raise LookupError(f"no {events[0]}")


class Dice(Consumer):
    """Draws from Python's own generator."""

    def __init__(self) -> None:
        self.drawn: list[float] = []

    def handle_events(self, events: list[int], subscription: Subscription) -> None:
        self.drawn += [random.random() for _ in events]
        self.set_result(self.drawn)


def pipeline(count: int, sink: type[Consumer] = Sum, **args: Any) -> Topology:
    """Numbers, doubled twice, into a sink."""
    return (
        Topology("pipeline")
        .stage("numbers", Numbers, args={"first": 0, "count": count})
        .stage("through", Through, args={"rule": "identity"}, subscribe_to=["numbers"])
        .stage("sink", sink, args=args, subscribe_to=[SubscribeTo("through", max_demand=4)])
    )


def test_a_run_tells_its_results_and_its_report() -> None:
    """What `run.wait()` would return, each stage's counters, and what happened in between."""
    run = simulate(pipeline(10), seed=1)
    assert run.status == "done"
    assert run.results == {"sink": 45}
    assert run.report.stage("numbers").events_out == 10
    assert run.report.stage("sink").events_in == 10
    assert run.handled("sink") == list(range(10))
    assert {type(event) for event in run.events} >= {ChildReady, ChildEnded}
    assert run.steps == run.trace[-1].number


def test_a_killed_stage_is_restarted_and_nothing_is_lost() -> None:
    """At whatever step it is killed."""
    for step in range(120, 400, 20):
        faults = Faults(at=(CrashAt(step, "through"),))
        run = simulate(pipeline(10), seed=step, faults=faults, check=False)
        if run.status == "done":
            assert set(run.handled("sink")) == set(range(10))
            assert run.report.stage("through").restarts == len(run.crashed)


def test_crashes_hit_only_the_stages_that_are_named() -> None:
    """By name, or by name and index."""
    for seed in seeds(20):
        faults = Faults(crashes=2, within=200, stages=("sink/0",))
        run = simulate(pipeline(10), seed=seed, faults=faults, check=False)
        assert {crashed.partition("#")[0] for crashed in run.crashed} <= {"sink/0"}


def test_a_stage_is_killed_at_a_named_point() -> None:
    """At one of its passes; what the callback had done by then is not acknowledged."""
    run = simulate(pipeline(10), faults=Faults(points={"added": 2}))
    assert run.crashed == ("sink/0#1",)
    assert set(run.handled("sink")) == set(range(10))


def test_each_life_has_a_state_of_its_own() -> None:
    """Its class and arguments are unpickled anew, as in a new process."""
    args = {"rules": ["identity"]}

    class Remembers(Consumer):
        def __init__(self, rules: list[str]) -> None:
            rules.append("seen")
            self.rules = rules

        def handle_events(self, events: list[int], subscription: Subscription) -> None:
            fault_point("handled")
            self.set_result(self.rules)

    topology = pipeline(10, Remembers, **args)
    run = simulate(topology, faults=Faults(points={"handled": 2}))
    assert run.results == {"sink": ["identity", "seen"]}
    assert args == {"rules": ["identity"]}


def test_a_process_that_cannot_be_made_fails_the_run() -> None:
    """As when the system is out of processes."""
    run = simulate(pipeline(1), faults=Faults(spawn_failures=1), check=False)
    assert run.status == "failed"
    assert "a fault" in str(run.error)


def test_the_exception_that_ended_the_run_is_raised() -> None:
    """The original one, with a note of the seed that leads to it."""
    with pytest.raises(LookupError, match="no 0") as caught:
        simulate(pipeline(3, Broken), seed=8)
    assert any("seed=8" in note for note in caught.value.__notes__)


def test_a_hang_is_an_error_with_evidence() -> None:
    """Who waits for whom, what each link holds, its last frames, the last steps."""
    with pytest.raises(Stalled) as caught:
        simulate(pipeline(5, Never), seed=2)
    evidence = caught.value.evidence
    stages = {stage.stage: stage for stage in evidence.stages}
    assert any("credit 0" in waits for waits in stages["through/0#1"].waits)
    assert any("asked by hand" in waits for waits in stages["sink/0#1"].waits)
    link = next(link for link in evidence.links if link.name == "sink/0#1>through/0#1")
    assert (link.outbox, link.in_pipe) == (0, 0)
    assert link.frames[0].startswith("Subscribe(")
    assert evidence.seed == 2
    assert "waits for demand" in str(caught.value)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_a_run_that_does_not_end_is_given_up() -> None:
    """After so many steps, with the same evidence."""
    topology = Topology("endless").stage("ticker", Ticker)
    with pytest.raises(Endless, match="not over after 500 steps"):
        simulate(topology, max_steps=500)


def test_time_is_virtual() -> None:
    """A minute of work takes a moment."""
    run = simulate(pipeline(10, seconds=60.0), conditions=Conditions(slowest=0.0))
    batches = sum(each.stage.stage.name == "sink" for each in run.history)
    assert run.seconds >= 60 * batches >= 180
    assert run.results == {"sink": 45}


def test_long_jobs_spread_over_all_consumers() -> None:
    """With no option set: eight one-second jobs on eight consumers take one second."""
    topology = (
        Topology("jobs")
        .stage("numbers", Numbers, args={"first": 0, "count": 8})
        .stage("sink", Sum, args={"seconds": 1.0}, replicas=8, subscribe_to=["numbers"])
    )
    for seed in seeds(10):
        run = simulate(topology, seed=seed, conditions=Conditions(slowest=0.0))
        assert 1.0 <= run.seconds < 1.2


def test_a_gate_holds_a_stage_while_the_others_go_on() -> None:
    """What it sends behind the gate is not seen before the gate opens."""
    with Gate() as gate:
        simulation = Simulation(pipeline(10, gate=gate), seed=3)
        simulation.run_until(lambda: gate.arrived == 1)
        with pytest.raises(Stalled, match="at gate"):
            simulation.run_until(lambda: gate.arrived == 2)
        assert all(each.stage.stage.name != "sink" for each in simulation.history)
        gate.open()
        assert simulation.finish().results == {"sink": 45}


def test_a_run_can_be_stopped_half_way() -> None:
    """Every stage stops, and the run is over."""
    simulation = Simulation(pipeline(1000), seed=4)
    simulation.run_until(lambda: len(simulation.history) > 3)
    run = simulation.stop()
    assert run.status == "stopped"
    assert 0 < len(run.handled("sink")) < 1000


def test_a_run_leaves_pythons_random_numbers_alone() -> None:
    """What stages draw depends on the seed, and the test's own numbers on nothing here."""
    random.seed(1)
    expected = random.random()
    random.seed(1)
    drawn = simulate(pipeline(3, Dice), seed=5).results
    assert random.random() == expected
    assert simulate(pipeline(3, Dice), seed=5).results == drawn


def test_a_class_that_cannot_be_unpickled_fails_the_run() -> None:
    """As in a process: it says why with its last words."""
    args = {"first": 0, "count": Unpicklable()}
    topology = Topology("t").stage("numbers", Numbers, args=args)
    with pytest.raises(ValueError, match="not here"):
        simulate(topology)


class Unpicklable:
    """Leaves well and does not arrive."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _refuse, ()


def _refuse() -> None:
    raise ValueError("not here")


def test_stopping_takes_no_longer_than_it_must() -> None:
    """No run waits for a deadline when nobody is stuck."""
    for seed in seeds(30):
        run = simulate(pipeline(10), seed=seed, conditions=Conditions(slowest=0.0))
        assert run.seconds < 1.0


def test_a_world_is_opened_once_and_closes() -> None:
    """After it is closed nothing is observed any more."""
    world = World(seed=1)
    seen: list[object] = []
    world.open(seen.append)
    with pytest.raises(Exception, match="opened once"):
        world.open(seen.append)
    world.timer(1.0, 7)
    world.close()
    world.step()
    assert seen == []
    assert world.describe()["processes"] == 0


def test_a_sink_alone_ends_by_itself() -> None:
    """A topology without events is over at once."""
    topology = (
        Topology("empty")
        .stage("numbers", Numbers, args={"first": 0, "count": 0})
        .stage("sink", Sink, replicas=3, subscribe_to=["numbers"])
    )
    for seed in seeds(20):
        assert simulate(topology, seed=seed, laws=True).status == "done"


def test_links_that_are_over_are_closed_on_both_sides() -> None:
    """Subscribing and cancelling again and again leaves each process with the links it uses."""
    simulation = Simulation(pipeline(10_000), seed=6)
    core, world = simulation.core, simulation.world
    simulation.run_until(lambda: len(simulation.history) > 3)
    options = SubscriptionOptions(max_demand=2, cancel="temporary")
    for _ in range(30):
        future = operations.subscribe(core, "sink", "through", options)
        simulation.run_until(future.done)
        operations.cancel(core, future.result(0), "enough")
        simulation.run_until(lambda: len(core.wiring.edges) == 2)
    before = world.steps
    simulation.run_until(lambda: world.steps > before + 500)
    assert {process.child.stage.name: len(process.ends.opened) for process in world.processes} == {
        "numbers": 1,
        "through": 2,
        "sink": 1,
    }
    assert not simulation.over
    assert simulation.stop().status == "stopped"
