"""Trees of supervisors in simulated runs: real stages, crashes, verdicts, pauses, ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from actorflow import (
    Consumer,
    IntensityExceeded,
    Producer,
    StageKilled,
    SubscribeTo,
    Subscription,
    SupervisorOptions,
    Topology,
)
from actorflow.protocol.identity import StageId
from actorflow.supervision import operations
from actorflow.supervision.children import ChildState
from actorflow.supervision.events import (
    ChildEnded,
    ChildReady,
    ChildRestarting,
    SupervisorEnded,
)
from actorflow.testing import CrashAt, Faults, Simulation, simulate
from actorflow.testing.topologies import Numbers, Sink, Through
from tests.seeds import seeds

SEEDS = seeds(25)

Act = Callable[[Simulation], Any]


class Idle(Producer):
    """Has nothing yet, and is never done."""

    def handle_demand(self, demand: int) -> None:
        """Nothing."""


class Fails(Consumer):
    """Cannot take anything."""

    def handle_events(self, events: list[int], subscription: Subscription) -> None:
        raise ValueError(f"not {events[0]}")


def chain(strategy: str = "one_for_one", *, count: int = 40, **root: Any) -> Topology:
    """Source a, stages b, c and d behind it, and the sink e; b, c and d are to be supervised."""
    topology = Topology("nested", supervisor=SupervisorOptions(strategy=strategy, **root))
    topology = topology.stage("a", Numbers, args={"first": 0, "count": count})
    for name, before in zip("bcd", "abc", strict=True):
        topology = topology.stage(
            name, Through, args={"rule": "identity"}, subscribe_to=[to(before)]
        )
    return topology.stage("e", Sink, subscribe_to=[to("d")])


def to(stage: str, **options: Any) -> SubscribeTo:
    """Few events under way, so that a crash finds some of them anywhere."""
    return SubscribeTo(stage, max_demand=3, **options)


def lives(simulation: Simulation) -> dict[str, int]:
    """The generation of each stage."""
    return {str(child.id)[0]: child.generation for child in simulation.core.in_order()}


def crash(simulation: Simulation, stage: str) -> None:
    """Kill a stage that runs, and let the supervisor see it."""
    child = simulation.core.children[StageId(stage)]
    simulation.run_until(lambda: child.state is ChildState.RUNNING)
    simulation.world.signal(child.incarnation, "kill")
    life = child.generation
    simulation.run_until(lambda: child.generation > life or child.ended_for_good)


# The inner supervisor looks after b, c and d and allows nothing, so that it gives up at once.
RESTARTED = {
    ("one_for_one", "one_for_one"): "c",
    ("one_for_one", "one_for_all"): "bcd",
    ("one_for_one", "rest_for_one"): "cd",
    ("rest_for_one", "one_for_one"): "c",
    ("one_for_all", "one_for_one"): "c",
}
GIVEN_UP = {"one_for_one": "bcd", "rest_for_one": "bcde", "one_for_all": "abcde"}


@pytest.mark.parametrize(("outer", "inner"), RESTARTED)
def test_the_inner_strategy_decides_among_its_own(outer: str, inner: str) -> None:
    """Nobody else gets a new process, whatever the outer strategy is."""
    for seed in SEEDS:
        topology = chain(outer).supervise("inner", [*"bcd"], strategy=inner)
        simulation = Simulation(topology, seed=seed, laws=True)
        crash(simulation, "c")
        run = simulation.finish()
        changed = "".join(stage for stage, life in lives(simulation).items() if life > 1)
        assert changed == RESTARTED[outer, inner]
        assert set(run.handled("e")) == set(range(40))


@pytest.mark.parametrize("outer", GIVEN_UP)
def test_an_exceeded_intensity_restarts_the_subtree(outer: str) -> None:
    """The parent's strategy decides; permanent consumers outside wait for the successors."""
    for seed in SEEDS:
        topology = chain(outer).supervise("inner", [*"bcd"], max_restarts=0)
        simulation = Simulation(topology, seed=seed, laws=True)
        crash(simulation, "c")
        run = simulation.finish()
        changed = "".join(stage for stage, life in lives(simulation).items() if life > 1)
        assert changed == GIVEN_UP[outer]
        assert SupervisorEnded("inner", "gave_up", True) in run.events
        if outer != "one_for_all":
            assert set(run.handled("e")) == set(range(40))


def test_the_last_started_stop_first_and_start_last() -> None:
    """In start order, over the whole tree."""
    topology = chain("one_for_all").supervise("inner", [*"bcd"])
    simulation = Simulation(topology, seed=1)
    crash(simulation, "a")
    simulation.finish()
    order = [str(spec.stage.id)[0] for spec in simulation.plan.children]
    assert order == list("abcde")
    assert lives(simulation) == dict.fromkeys("abcde", 2)


def test_the_root_ends_the_run_with_the_root_cause() -> None:
    """Three supervisors give up one after the other; the error has the stage's own exception."""
    topology = (
        Topology("causes", supervisor=SupervisorOptions(max_restarts=0))
        .stage("a", Numbers, args={"first": 0, "count": 9})
        .stage("b", Fails, subscribe_to=["a"])
        .supervise("outer", max_restarts=1)
        .supervise("inner", ["b"], inside="outer", max_restarts=1)
    )
    run = simulate(topology, seed=3, check=False)
    assert run.status == "failed"
    assert isinstance(run.error, IntensityExceeded)
    assert "supervisor 'inner' allows" in str(run.error)
    assert "supervisor 'outer' allows" in str(run.error)
    assert "ValueError: not 0" in str(run.error)
    assert isinstance(run.error.__cause__, ValueError)
    ended = [event for event in run.events if isinstance(event, SupervisorEnded)]
    assert [(event.supervisor, event.restarting) for event in ended] == [
        ("inner", True),
        ("inner", False),
        ("outer", False),
        ("", False),
    ]
    assert len([e for e in run.events if isinstance(e, ChildEnded) and e.error]) == 4


def test_a_killed_temporary_producer_is_the_cause() -> None:
    """Its permanent consumer cannot live without it; the error says who was killed, and how."""
    topology = (
        Topology("lost")
        .stage("a", Numbers, args={"first": 0, "count": 1000}, restart="temporary")
        .stage("b", Through, args={"rule": "identity"}, subscribe_to=[to("a")])
        .stage("c", Sink, subscribe_to=[to("b")])
    )
    for seed in SEEDS:
        simulation = Simulation(topology, seed=seed)
        simulation.run_until(lambda: len(simulation.history) > 3)  # noqa: B023
        simulation.world.signal(simulation.core.children[StageId("a")].incarnation, "kill")
        run = simulation.finish(check=False)
        assert isinstance(run.error, IntensityExceeded)
        assert isinstance(run.error.__cause__, StageKilled)
        assert "stage a/0 died" in str(run.error)


@pytest.mark.parametrize("seed", SEEDS)
def test_random_crashes_in_a_deep_tree_lose_nothing(seed: int) -> None:
    """Each stage in a supervisor of its own, one inside the other; any of them is killed."""
    topology = chain("rest_for_one", max_restarts=9, count=60)
    for depth, name in enumerate("bcd"):
        inside = f"s{depth - 1}" if depth else None
        topology = topology.supervise(f"s{depth}", [name], inside=inside, max_restarts=depth % 2)
    faults = Faults(crashes=4, within=900, stages=("b", "c", "d", "e"))
    run = simulate(topology, seed=seed, faults=faults, laws=True, check=False)
    killed_in_start = run.crashed and run.status == "failed"
    if killed_in_start:
        ready = {str(event.child) for event in run.events if isinstance(event, ChildReady)}
        assert any(child not in ready for child in run.crashed)
    else:
        assert set(run.handled("e")) == set(range(60))


# --- shutting down --------------------------------------------------------------------------------


def test_a_source_that_restarts_for_anothers_sake_ends_when_its_consumers_are_done() -> None:
    """They are outside of its part, and had everything: its second life has nothing to do."""
    for seed in SEEDS:
        topology = (
            Topology("apart")
            .stage("a", Numbers, args={"first": 0, "count": 3})
            .stage("b", Sink, subscribe_to=["a"])
            .stage("c", Numbers, args={"first": 0, "count": 60})
            .stage("d", Sink, subscribe_to=[to("c")])
            .supervise("part", ["a", "d"], strategy="one_for_all")
        )
        simulation = Simulation(topology, seed=seed)
        sink = simulation.core.children[StageId("b")]
        simulation.run_until(lambda sink=sink: sink.ended_for_good)  # type: ignore[misc]
        crash(simulation, "d")
        run = simulation.finish()
        assert lives(simulation) == {"a": 2, "b": 1, "c": 1, "d": 2}
        assert set(run.handled("d")) == set(range(60))


def test_a_significant_stage_ends_the_run_in_order() -> None:
    """`auto_shutdown: any_significant`: the job is done when it is; the sources need not be."""
    for seed in SEEDS:
        topology = (
            Topology("job", supervisor=SupervisorOptions(auto_shutdown="any_significant"))
            .stage("idle", Idle)
            .stage("sink", Sink, subscribe_to=[to("idle")])
            .stage("brief", Numbers, args={"first": 0, "count": 0}, significant=True)
        )
        run = simulate(topology, seed=seed)
        assert run.status == "done"
        assert SupervisorEnded("", "shutdown", False) in run.events


def test_a_supervisor_that_shuts_down_stops_its_own_stages_only() -> None:
    """Everything else goes on."""
    for seed in SEEDS:
        topology = (
            Topology("parts")
            .stage("idle", Idle)
            .stage("drop", Sink, subscribe_to=[to("idle")])
            .stage("brief", Numbers, args={"first": 0, "count": 0}, significant=True)
            .stage("work", Numbers, args={"first": 0, "count": 50})
            .stage("sink", Sink, subscribe_to=[to("work")])
            .supervise("part", ["idle", "drop", "brief"], auto_shutdown="any_significant")
        )
        run = simulate(topology, seed=seed)
        assert run.status == "done"
        assert set(run.handled("sink")) == set(range(50))
        assert SupervisorEnded("part", "shutdown", False) in run.events


# --- back-off -------------------------------------------------------------------------------------

FLAKY: dict[str, Any] = {"initial": 1.0, "factor": 2, "max": 8}


def flaky(**root: Any) -> Topology:
    """A source that is killed again and again, where no restart is allowed."""
    return (
        Topology("flaky", supervisor=SupervisorOptions(max_restarts=0, **root))
        .stage("a", Numbers, args={"first": 0, "count": 50}, backoff=FLAKY)
        .stage("b", Sink, subscribe_to=[to("a")])
    )


def waiting(seed: int) -> Simulation:
    """A run whose source was killed and waits for its back-off."""
    simulation = Simulation(flaky(), seed=seed)
    child = simulation.core.children[StageId("a")]
    simulation.run_until(lambda: child.state is ChildState.RUNNING)
    simulation.world.signal(child.incarnation, "kill")
    simulation.run_until(lambda: child.state is ChildState.RESTARTING)
    (row, _) = operations.which_children(simulation.core)
    assert (row.state, row.pid) == ("restarting", 0)
    assert operations.count_children(simulation.core).restarting == 1
    return simulation


def test_a_flaky_source_waits_longer_each_time_and_the_run_goes_on() -> None:
    """Five kills take 1 + 2 + 4 + 8 + 8 seconds, and cost nothing of the intensity."""
    for seed in SEEDS:
        simulation = Simulation(flaky().stage("c", Idle, backoff=FLAKY), seed=seed)
        for _ in range(5):
            crash(simulation, "c")
        assert simulation.world.now() >= 23
        assert lives(simulation) == {"a": 1, "b": 1, "c": 6}
        assert simulation.stop().error is None


@pytest.mark.parametrize("seed", seeds(5))
def test_a_stop_does_not_wait_for_the_back_off(seed: int) -> None:
    """Nor is the child started again."""
    simulation = waiting(seed)
    began = simulation.world.now()
    run = simulation.stop()
    assert (run.status, lives(simulation)["a"]) == ("stopped", 1)
    assert simulation.world.now() - began < 0.9


@pytest.mark.parametrize("seed", seeds(5))
def test_a_drain_does_not_wait_for_the_back_off(seed: int) -> None:
    """Who is missed is needed now: it is started, and finishes."""
    simulation = waiting(seed)
    began = simulation.world.now()
    simulation.core.drain()
    run = simulation.finish()
    assert (run.status, lives(simulation)["a"]) == ("done", 2)
    assert simulation.world.now() - began < 0.9


@pytest.mark.parametrize("seed", seeds(5))
def test_a_child_that_waits_can_be_terminated_and_started_again(seed: int) -> None:
    """At once, both; the pause that is left does nothing any more."""
    simulation = waiting(seed)
    child = simulation.core.children[StageId("a")]
    began = simulation.world.now()
    assert operations.terminate_child(simulation.core, "a").done()
    assert child.state is ChildState.ENDED
    b = simulation.core.children[StageId("b")]
    simulation.run_until(lambda: not b.alive)
    assert simulation.world.now() - began < 0.9


def test_a_restart_above_takes_a_waiting_child_along() -> None:
    """While one waits, its supervisor is restarted: it comes back with it, once."""
    for seed in seeds(10):
        topology = (
            Topology("both", supervisor=SupervisorOptions(strategy="one_for_all"))
            .stage("a", Numbers, args={"first": 0, "count": 50}, backoff=FLAKY)
            .stage("b", Sink, subscribe_to=[to("a")])
            .stage("c", Numbers, args={"first": 0, "count": 500})
            .stage("d", Sink, subscribe_to=[to("c")])
            .supervise("part", ["a", "b"])
        )
        simulation = Simulation(topology, seed=seed)
        children = simulation.core.children
        for stage in "ac":
            child = children[StageId(stage)]
            simulation.run_until(lambda: child.state is ChildState.RUNNING)  # noqa: B023
            simulation.world.signal(child.incarnation, "kill")
            simulation.run_until(lambda: child.state is ChildState.RESTARTING)  # noqa: B023
        run = simulation.finish()
        assert lives(simulation) == dict.fromkeys("abcd", 2)
        assert set(run.handled("b")) == set(range(50))


def test_a_group_that_another_takes_in_does_not_start_before_it() -> None:
    """While b stops for a, c dies: nobody comes back before everybody has stopped."""
    for seed in seeds(40):
        topology = Topology("groups", supervisor=SupervisorOptions(strategy="one_for_all"))
        for name in "abcde":
            topology = topology.stage(name, Idle)
        topology = topology.supervise("part", ["a", "b"], strategy="one_for_all")
        simulation = Simulation(topology, seed=seed)
        children = simulation.start().core.children
        for stage in "ac":
            child = children[StageId(stage)]
            simulation.run_until(lambda: child.state is ChildState.RUNNING)  # noqa: B023
            simulation.world.signal(child.incarnation, "kill")
            simulation.run_until(
                lambda: child.state is ChildState.RESTARTING or child.generation > 1  # noqa: B023
            )
        simulation.run_until(lambda: all(each.generation > 1 for each in children.values()))  # noqa: B023
        run = simulation.stop()
        last_end = {
            str(e.child): at for at, e in enumerate(run.events) if isinstance(e, ChildEnded)
        }
        first = {
            str(e.child.stage): at
            for at, e in reversed(list(enumerate(run.events)))
            if isinstance(e, ChildRestarting) and e.child.generation == 2
        }
        assert first["c/0"] < first["d/0"]
        if children[StageId("a")].generation == 2:  # one restart for all, and not one after another
            assert max(last_end[f"{name}/0#1"] for name in "abcde") < min(first.values())


# --- order ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("victim", ["sink", "numbers"])
def test_rest_for_one_ends_when_consumers_start_first(victim: str) -> None:
    """A plan may name a consumer before its producer; then they restart the other way round."""
    for seed in SEEDS:
        plan = (
            Topology("reversed", supervisor=SupervisorOptions(strategy="rest_for_one"))
            .stage("numbers", Numbers, args={"first": 0, "count": 30})
            .stage("sink", Sink, subscribe_to=[to("numbers")])
            .plan()
        )
        backwards = type(plan)(
            name=plan.name,
            children=tuple(reversed(plan.children)),
            subscriptions=plan.subscriptions,
            strategy=plan.strategy,
            intensity=plan.intensity,
        )
        for step in (20, 40, 60, 80, 100):
            faults = Faults(at=(CrashAt(step, victim),))
            run = simulate(backwards, seed=seed, faults=faults, laws=True, check=False)
            if run.status == "done":
                assert set(run.handled("sink")) == set(range(30))
