"""Dynamic supervisors and operations on supervisors, in simulated runs."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import pytest

from actorflow import (
    AlreadyStarted,
    Closed,
    Consumer,
    NoSuchStage,
    OptionError,
    Producer,
    Refused,
    SubscriptionOptions,
    SupervisorOptions,
    Topology,
)
from actorflow.protocol.identity import StageId
from actorflow.stage.behaviour import Stage
from actorflow.stage.spec import StageSpec
from actorflow.supervision import dynamic, operations, subtrees
from actorflow.supervision.children import Child, ChildState
from actorflow.supervision.events import SupervisorEnded
from actorflow.supervision.specs import ChildSpec, DynamicSupervisorSpec
from actorflow.supervision.wiring import Edge, EdgeState, Wiring
from actorflow.testing import Simulation
from actorflow.testing.topologies import Sink, Through
from tests.seeds import seeds

SEEDS = seeds(15)


class Idle(Producer):
    """Has what it is told to have, and is never done."""

    def handle_demand(self, demand: int) -> None:
        """Nothing by itself."""

    def handle_cast(self, message: list[int]) -> list[int]:
        """These."""
        return message


class CannotStart(Consumer):
    """Raises in its constructor."""

    def __init__(self) -> None:
        raise ValueError("no disk")


def service(seed: int = 0, **options: Any) -> Simulation:
    """A run with one dynamic supervisor, ``jobs``, and nothing else."""
    return Simulation(Topology("service").dynamic_supervisor("jobs", **options), seed=seed).start()


def start(
    simulation: Simulation, name: str, use: type[Stage] = Idle, *, at: str = "jobs", **options: Any
) -> Child:
    """Start a child and wait until it is ready."""
    stage = StageSpec(id=StageId(dynamic.full_name(at, name)), behaviour=use)
    spec = ChildSpec(stage=stage, supervisor=at, **options)
    future = operations.start_child(simulation.core, spec)
    simulation.run_until(future.done)
    future.result(timeout=0)
    return simulation.core.children[spec.stage.id]


def kill(simulation: Simulation, child: Child) -> None:
    """Kill a child's process, and let the supervisor see it."""
    life = child.generation
    simulation.world.signal(child.incarnation, "kill")
    simulation.run_until(lambda: not child.alive or child.generation > life)


def names(simulation: Simulation, supervisor: str = "jobs") -> list[str]:
    """The children of a supervisor."""
    below = dynamic.children_of(simulation.core, supervisor)
    return [child.id.name.removeprefix("jobs.") for child in below]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_child_is_forgotten_when_it_has_ended_for_good(seed: int) -> None:
    """Its name is free as soon as its process is gone; another child may have it."""
    simulation = service(seed)
    first = start(simulation, "17", restart="temporary")
    kill(simulation, first)
    assert names(simulation) == []
    second = start(simulation, "17")
    assert second is not first
    kill(simulation, second)
    simulation.run_until(lambda: second.state is ChildState.RUNNING)
    assert second.generation == 2
    operations.terminate_child(simulation.core, "jobs.17")
    simulation.run_until(lambda: not second.alive)
    with pytest.raises(NoSuchStage, match="has no child '17'"):
        dynamic.lookup(simulation.core, "jobs", "17")
    assert simulation.stop().status == "stopped"


def test_a_deadline_is_of_a_child_and_not_of_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two children of one name, one after the other, both in their first life."""
    simulation = service()
    core = simulation.core
    fires: list[Callable[[], None]] = []
    monkeypatch.setattr(core, "after", lambda seconds, fire: fires.append(fire))
    first = start(simulation, "17")
    operations.terminate_child(core, "jobs.17")
    simulation.run_until(lambda: not first.alive)
    assert len(fires) == 3  # its start, SIGTERM, SIGKILL
    former, fires[:] = list(fires), []
    spec = ChildSpec(stage=first.spec.stage, supervisor="jobs")
    operations.start_child(core, spec)
    second = core.children[first.id]
    signals: list[str] = []
    monkeypatch.setattr(simulation.world, "signal", lambda who, what: signals.append(what))
    for state in (ChildState.STARTING, ChildState.STOPPING):
        second.state = state
        for fire in former:
            fire()
    assert signals == []
    fires[0]()
    second.state = ChildState.STARTING
    fires[0]()
    assert signals == ["kill"]


def test_a_run_with_a_dynamic_supervisor_waits_for_more() -> None:
    """It does not end with its last child; a drain and a stop end it."""
    simulation = service()
    child = start(simulation, "17", restart="temporary")
    kill(simulation, child)
    assert not simulation.over
    start(simulation, "18")
    simulation.core.drain()
    assert simulation.finish().status == "done"
    assert service().stop().status == "stopped"
    with pytest.raises(Closed):
        start(simulation, "19")


def test_a_child_that_does_not_start_leaves_nothing() -> None:
    """Its error is the operation's; its name and its place are free."""
    simulation = service(max_children=1)
    for _ in range(3):
        with pytest.raises(Exception, match="did not start") as caught:
            start(simulation, "17", CannotStart)
        assert isinstance(caught.value.__cause__, ValueError)
    assert names(simulation) == []


@pytest.mark.parametrize("seed", SEEDS)
def test_one_that_gives_up_begins_again_without_children(seed: int) -> None:
    """As in OTP; those that ran are stopped and forgotten."""
    simulation = service(seed, max_restarts=1)
    children = [start(simulation, str(number)) for number in range(4)]
    for _ in range(2):
        simulation.run_until(lambda: children[0].state is ChildState.RUNNING)
        kill(simulation, children[0])
    simulation.run_until(lambda: not any(child.alive for child in children))
    assert names(simulation) == []
    assert simulation.core.tree.node("jobs").restarts == 1
    start(simulation, "0")
    run = simulation.stop()
    assert SupervisorEnded("jobs", "gave_up", True) in run.events


def test_names_that_can_be_none_are_refused() -> None:
    """At the call, with what is accepted."""
    bad: list[Any] = ["", "a/b", "a#1", " a", "a\n", "x" * 201, 17, None]
    for name in bad:
        with pytest.raises(OptionError, match="name must be a text of 1 to 200"):
            dynamic.full_name("jobs", name)
    assert dynamic.full_name("jobs", "Größe 17.5: a b") == "jobs.Größe 17.5: a b"


def test_a_significant_child_that_would_end_nothing_is_refused() -> None:
    """Where a program starts it, as in a plan; a dynamic supervisor never shuts down by itself."""
    simulation = Simulation(Topology("service").dynamic_supervisor("jobs"), seed=1).start()
    for name, supervisor in (("jobs.a", "jobs"), ("a", "")):
        stage = StageSpec(id=StageId(name), behaviour=Sink)
        spec = ChildSpec(stage=stage, supervisor=supervisor, significant=True)
        with pytest.raises(OptionError, match="significant must be false where the supervisor's"):
            operations.start_child(simulation.core, spec)
    assert not simulation.core.children


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"max_children": 0}, "max_children must be an integer of at least 1"),
        ({"max_children": "3"}, "max_children must be an integer of at least 1"),
        ({"shards": 0}, "shards must be an integer from 1 to 1024"),
        ({"shards": True}, "shards must be an integer from 1 to 1024"),
        ({"strategy": "one_for_all"}, "strategy must be one_for_one for a dynamic supervisor"),
        ({"strategy": "one_for_none"}, "strategy must be one of one_for_one, "),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], rule: str) -> None:
    """Each names itself, its rule and the value."""
    with pytest.raises(OptionError, match=rule):
        DynamicSupervisorSpec(name="jobs", **options)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_subscription_of_the_supervisor_is_one_of_each_child(seed: int) -> None:
    """Of those that are there, of those to come, and of successors; not of other supervisors'."""
    simulation = Simulation(
        Topology("fed").stage("source", Idle).dynamic_supervisor("jobs", shards=3), seed=seed
    ).start()
    core = simulation.core
    source = core.children[StageId("source")]
    simulation.run_until(lambda: source.state is ChildState.RUNNING)
    early = [start(simulation, str(number), Sink) for number in range(4)]
    options = SubscriptionOptions(max_demand=2, cancel="temporary")
    accepted = dynamic.subscribe_all(core, "jobs", "source", options)
    simulation.run_until(accepted.done)
    accepted.result(timeout=0)
    late = start(simulation, "late", Sink)
    subscribed = {edge.consumer for edge in core.wiring.downstream(source.id)}
    assert subscribed == {child.id for child in (*early, late)}
    kill(simulation, early[0])
    core.cast(source, list(range(300)))
    simulation.run_until(lambda: len(taken(simulation)) == 300)
    edges = core.wiring.downstream(source.id)
    simulation.run_until(lambda: all(each.state is EdgeState.ESTABLISHED for each in edges))
    assert (len(edges), early[0].generation) == (5, 2)
    assert simulation.stop().status == "stopped"


def taken(simulation: Simulation) -> set[int]:
    """Every event that somebody has handled."""
    return {event for each in simulation.history for event in each.events}


def test_what_cannot_be_subscribed_is_refused() -> None:
    """A consumer as the source, a supervisor that is not dynamic, a stage that is not there."""
    topology = (
        Topology("fed")
        .stage("sink", Sink)
        .stage("part", Idle)
        .dynamic_supervisor("jobs")
        .supervise("static", ["part"])
    )
    core = Simulation(topology).start().core
    options = SubscriptionOptions()
    with pytest.raises(Refused, match="not_a_producer"):
        dynamic.subscribe_all(core, "jobs", "sink", options)
    with pytest.raises(Refused, match="not_dynamic"):
        dynamic.subscribe_all(core, "static", "part", options)
    with pytest.raises(NoSuchStage):
        dynamic.subscribe_all(core, "jobs", "nobody", options)
    assert core.tree.node("jobs").subscriptions == []


def test_a_child_may_not_feed_its_own_source() -> None:
    """Such a subscription would close a cycle."""
    simulation = service()
    core = simulation.core
    start(simulation, "a", Idle)
    through = StageSpec(id=StageId("jobs.b"), behaviour=Through, arguments={"rule": "identity"})
    future = operations.start_child(core, ChildSpec(stage=through, supervisor="jobs"))
    simulation.run_until(future.done)
    with pytest.raises(Refused, match="cycle"):
        dynamic.subscribe_all(core, "jobs", "jobs.b", SubscriptionOptions())


# --- operations on supervisors --------------------------------------------------------------------


def parts(seed: int, **options: Any) -> Simulation:
    """An outer supervisor with a stage and an inner one with two; a stage beside them."""
    topology = (
        Topology("parts", supervisor=SupervisorOptions(**options))
        .stage("a", Idle)
        .stage("b", Idle)
        .stage("c", Idle)
        .stage("d", Idle)
        .supervise("outer", ["a"])
        .supervise("inner", ["b", "c"], inside="outer")
    )
    simulation = Simulation(topology, seed=seed).start()
    children = simulation.core.in_order()
    simulation.run_until(lambda: all(each.state is ChildState.RUNNING for each in children))
    return simulation


def running(simulation: Simulation) -> dict[str, int]:
    """The generation of each stage that runs."""
    return {
        child.id.name: child.generation
        for child in simulation.core.in_order()
        if child.state is ChildState.RUNNING
    }


@pytest.mark.parametrize("seed", SEEDS)
def test_a_part_is_terminated_and_restarted(seed: int) -> None:
    """By the supervisor's name; nobody else notices."""
    simulation = parts(seed)
    core = simulation.core
    gone = subtrees.terminate_supervisor(core, "outer")
    simulation.run_until(gone.done)
    assert running(simulation) == {"d": 1}
    rows = {row.name: row for row in subtrees.which_supervisors(core)}
    assert [(row.state, row.stages, row.active) for row in rows.values()] == [
        ("running", 4, 1),
        ("ended", 3, 0),
        ("ended", 2, 0),
    ]
    with pytest.raises(Refused, match="noproc"):
        subtrees.kill_supervisor(core, "inner")
    stage = StageSpec(id=StageId("more"), behaviour=Idle)
    with pytest.raises(Refused, match="noproc"):
        operations.start_child(core, ChildSpec(stage=stage, supervisor="inner"))
    subtrees.restart_supervisor(core, "outer")
    simulation.run_until(lambda: len(running(simulation)) == 4)
    assert running(simulation) == {"a": 2, "b": 2, "c": 2, "d": 1}
    assert {row.state for row in subtrees.which_supervisors(core)} == {"running"}
    with pytest.raises(Refused, match="running"):
        subtrees.restart_supervisor(core, "inner")
    with pytest.raises(NoSuchStage, match="iner"):
        subtrees.terminate_supervisor(core, "iner")
    for act in (subtrees.terminate_supervisor, subtrees.kill_supervisor):
        with pytest.raises(OptionError, match="below the run's own"):
            act(core, "")
    simulation.stop()


@pytest.mark.parametrize("seed", SEEDS)
def test_a_killed_part_comes_back_by_its_parents_rules(seed: int) -> None:
    """One restart counts; one too many goes up, and at the root ends the run."""
    simulation = parts(seed, max_restarts=0)
    subtrees.kill_supervisor(simulation.core, "inner")
    simulation.run_until(lambda: running(simulation) == {"a": 1, "b": 2, "c": 2, "d": 1})
    subtrees.kill_supervisor(simulation.core, "outer")
    run = simulation.finish(check=False)
    assert run.status == "failed"
    assert "supervisor 'outer' was killed" in str(run.error)
    assert SupervisorEnded("inner", "killed", True) in run.events


def test_a_child_is_started_in_a_part_by_its_name() -> None:
    """And is one of its children from then on: it comes back with them."""
    simulation = parts(1)
    stage = StageSpec(id=StageId("more"), behaviour=Idle)
    started = operations.start_child(simulation.core, ChildSpec(stage=stage, supervisor="inner"))
    simulation.run_until(started.done)
    with pytest.raises(AlreadyStarted):
        operations.start_child(simulation.core, ChildSpec(stage=stage, supervisor="outer"))
    subtrees.kill_supervisor(simulation.core, "inner")
    expected = {"a": 1, "b": 2, "c": 2, "more": 2, "d": 1}
    simulation.run_until(lambda: running(simulation) == expected)


def test_nothing_is_remembered_of_the_subscriptions_of_a_child_that_is_gone() -> None:
    """However many there were; and no two of them ever have the same name."""
    wiring = Wiring()
    source, kept = StageId("source"), StageId("kept")
    wiring.add(Edge(kept, source, SubscriptionOptions()))
    sizes, names = set(), list[str]()
    for _ in range(3):
        for number in range(50):
            child = StageId(f"jobs.{number}")
            for _ in range(2):
                edge = Edge(child, source, SubscriptionOptions(), declared=False)
                wiring.add(edge)
                wiring.over(edge, "done")
                names.append(edge.name)
            wiring.remove(child)
        sizes.add(len(pickle.dumps(wiring)) // 10)
    assert len(sizes) == 1
    assert len(set(names)) == len(names)
