"""Changing what runs while it runs: replicas and replacements, with crashes at every step."""

from __future__ import annotations

import pickle
from concurrent.futures import Future
from typing import Any

import pytest

from actorflow import (
    Broker,
    Consumer,
    OptionError,
    Producer,
    ProducerConsumer,
    Refused,
    StartFailed,
    Subscription,
    SupervisorOptions,
    Topology,
)
from actorflow.errors import ActorflowError
from actorflow.stage.restored import Restored
from actorflow.supervision import changes, operations
from actorflow.supervision.checkpoint import Kept
from actorflow.supervision.events import StageLogged
from actorflow.testing import Faults
from actorflow.testing.simulation import Simulation
from actorflow.testing.topologies import Numbers, Sink
from tests.conformance.helpers.stages import Counter, Forwarder, Idle
from tests.conformance.helpers.supervised import Supervised
from tests.seeds import seeds


class Pass(ProducerConsumer):
    """Passes events on; its result is how many it had, and how many replicas it knew of."""

    def __init__(self, tag: str = "") -> None:
        self.tag = tag
        self.count = 0
        if tag == "broken":
            raise ValueError("this one does not start")

    def handle_events(self, events: list[Any], subscription: Subscription) -> list[Any]:
        self.count += len(events)
        return events

    def handle_call(self, request: Any, sender: Any) -> Any:
        return {"tag": self.tag, "replicas": self.replicas, "count": self.count}

    def on_stop(self, reason: Any) -> None:
        self.set_result(self.count)


def pipeline(count: int = 30, *, middle: int = 2, delivery: str = "at_least_once") -> Topology:
    """Two sources, a stage in the middle and two sinks."""
    return (
        Topology("pipeline", supervisor=SupervisorOptions(max_restarts=1000))
        .stage("numbers", Numbers, replicas=2, args={"first": 0, "count": count})
        .stage(
            "middle",
            Pass,
            replicas=middle,
            delivery=delivery,
            subscribe_to=[{"to": "numbers", "max_demand": 4}],
        )
        .stage("sink", Sink, replicas=2, subscribe_to=[{"to": "middle", "max_demand": 4}])
    )


def wanted(count: int = 30) -> set[int]:
    """What the sinks of `pipeline` have to have handled."""
    return {first + number for first in (0, 10_000) for number in range(count)}


def changed(seed: int, change: Any, topology: Topology, faults: Faults | None = None) -> Any:
    """Run a topology, make a change at some step, and run to the end."""
    simulation = Simulation(topology, seed=seed, faults=faults, laws=True)
    simulation.run_until(lambda: simulation.world.steps >= 60 + 7 * seed % 500)
    futures: list[Future[Any]] = []
    if not simulation.over:
        try:
            futures.append(change(simulation.core))
        except ActorflowError:
            futures.clear()  # all of it has ended by now
    run = simulation.finish(max_steps=200_000, check=False)
    if run.status == "failed":
        killed_early = any(str(each).endswith("#1") for each in run.crashed)
        assert killed_early, run.error
        return None
    assert run.status == "done"
    assert all(future.done() for future in futures)
    return run


def crash(seed: int, *stages: str) -> Faults:
    """None, one or two kills."""
    return Faults(crashes=seed % 3, within=700, stages=stages)


@pytest.mark.parametrize(("before", "after"), [(1, 3), (3, 1), (2, 2)])
def test_scaling_up_and_down_loses_nothing_with_crashes_at_every_step(
    before: int, after: int
) -> None:
    """Under at_least_once every number is handled, whoever dies while it happens."""
    for seed in seeds(40):
        run = changed(
            seed,
            lambda core: changes.scale(core, "middle", after, 30.0),
            pipeline(middle=before),
            crash(seed, "middle", "sink"),
        )
        if run is not None:
            assert set(run.handled("sink")) == wanted(), seed


@pytest.mark.parametrize(("before", "after"), [(1, 3), (3, 1)])
def test_scaling_without_crashes_repeats_nothing(before: int, after: int) -> None:
    """A replica that leaves finishes what it has; nothing is delivered twice."""
    for seed in seeds(25):
        run = changed(
            seed,
            lambda core: changes.scale(core, "middle", after, 30.0),
            pipeline(middle=before),
        )
        assert sorted(run.handled("sink")) == sorted(wanted()), seed


class Tally(Consumer):
    """Has a state: how many events it has had."""

    def __init__(self) -> None:
        self.count = 0

    def handle_events(self, events: list[Any], subscription: Subscription) -> None:
        self.count += len(events)

    def snapshot(self) -> int:
        return self.count

    def restore(self, state: int) -> None:
        self.count = state

    def on_stop(self, reason: Any) -> None:
        self.set_result(self.count)


def tallied() -> Topology:
    """A source and two replicas with a state."""
    source = Topology("tallied").stage("numbers", Numbers, args={"first": 0, "count": 60})
    return source.stage(
        "tally", Tally, replicas=2, subscribe_to=[{"to": "numbers", "max_demand": 2}]
    )


def test_a_replica_that_comes_again_goes_on_from_its_state() -> None:
    """What the one before it had counted is neither lost nor counted twice."""
    for seed in seeds(25):
        simulation = Simulation(tallied(), seed=seed)
        simulation.run_until(lambda: len(simulation.history) > 8)  # noqa: B023
        for replicas in (1, 2):
            there = changes.scale(simulation.core, "tally", replicas, 30.0)
            simulation.run_until(there.done)
        assert sum(simulation.finish().results["tally"]) == 60, seed


def test_a_state_whose_stage_is_not_in_a_resumed_run_is_said_and_kept() -> None:
    """It is of a replica that the run before had added; added again, it has it."""
    simulation = Simulation(tallied(), seed=1)
    simulation.core.resume({"tally/2": Kept(Restored(state=pickle.dumps(1000)))})
    simulation.run_until(lambda: len(simulation.history) > 2)
    changes.scale(simulation.core, "tally", 3, 30.0)
    run = simulation.finish()
    assert sum(run.results["tally"]) == 1060
    said = [str(each.child) for each in run.events if isinstance(each, StageLogged)]
    assert "tally/2#1" in said


def test_scaling_sinks_and_sources() -> None:
    """A consumer's replicas leave with all acknowledged; a source's hand over what they have."""
    for seed in seeds(25):
        sinks = 1 + 2 * (seed % 2)
        run = changed(seed, lambda core, n=sinks: changes.scale(core, "sink", n, 30.0), pipeline())
        assert sorted(run.handled("sink")) == sorted(wanted()), seed
        run = changed(seed, lambda core: changes.scale(core, "numbers", 1, 30.0), pipeline())
        assert len(set(run.handled("sink"))) == len(run.handled("sink")), seed
        assert set(range(30)) <= set(run.handled("sink")), seed


def supervised(topology: Topology) -> Supervised:
    """With its middle, if there is one, linked."""
    run = Supervised(topology)
    run.until(lambda: all(e.state.name == "ESTABLISHED" for e in run.core.wiring.edges))
    return run


def idle(middle: int = 1) -> Topology:
    """A pipeline whose source emits what it is cast."""
    return (
        Topology("idle", supervisor=SupervisorOptions(max_restarts=1000))
        .stage("source", Idle)
        .stage("middle", Pass, replicas=middle, subscribe_to=[{"to": "source", "max_demand": 4}])
        .stage("sink", Forwarder, subscribe_to=[{"to": "middle", "max_demand": 4}])
    )


def test_new_replicas_get_the_declared_subscriptions_and_all_know_how_many_they_are() -> None:
    """`self.replicas` follows; so do the rows, and the statistics."""
    run = supervised(idle())
    rows = run.wait(changes.scale(run.core, "middle", 3, 5.0))
    assert [row.id for row in rows] == ["middle/0", "middle/1", "middle/2"]
    assert {row.state for row in rows} == {"running"}
    run.until(lambda: all(e.state.name == "ESTABLISHED" for e in run.core.wiring.edges))
    assert len(run.core.wiring.edges) == 6
    told = [run.wait(operations.call(run.core, f"middle/{index}", "")) for index in range(3)]
    assert [each["replicas"] for each in told] == [3, 3, 3]
    operations.cast(run.core, "source", list(range(12)))
    run.until(lambda: sum(map(len, run.batches("sink/0"))) == 12)

    rows = run.wait(changes.scale(run.core, "middle", 1, 5.0))
    assert [row.id for row in rows] == ["middle/0"]
    assert run.wait(operations.call(run.core, "middle", ""))["replicas"] == 1
    assert len(run.core.wiring.edges) == 2
    operations.cast(run.core, "source", list(range(12)))
    run.until(lambda: sum(map(len, run.batches("sink/0"))) == 24)


def test_each_replica_that_ever_was_has_its_result() -> None:
    """In a list by index, as long as there were ever replicas."""
    run = supervised(idle(2))
    operations.cast(run.core, "source", list(range(8)))
    run.until(lambda: sum(map(len, run.batches("sink/0"))) == 8)
    run.wait(changes.scale(run.core, "middle", 1, 5.0))
    run.core.drain()
    finished = run.simulation.finish()
    assert len(finished.results["middle"]) == 2
    assert sum(finished.results["middle"]) == 8


def test_a_name_of_a_replica_that_was_is_never_used_again() -> None:
    """Its next life has a number of its own, so that no late message is taken for its."""
    run = supervised(idle(2))
    run.wait(changes.scale(run.core, "middle", 1, 5.0))
    run.wait(changes.scale(run.core, "middle", 2, 5.0))
    assert run.row("middle/1").generation == 2
    assert run.row("middle/0").generation == 1


def test_a_replica_that_does_not_finish_in_time_is_stopped_and_loses_nothing() -> None:
    """What it has in hand is delivered to those that stay."""
    topology = (
        Topology("slow")
        .stage("source", Numbers, args={"first": 0, "count": 20})
        .stage("worker", Hangs, replicas=2, shutdown=1, subscribe_to=["source"])
    )
    simulation = Simulation(topology, seed=3)
    simulation.run_until(lambda: len(simulation.history) > 2)
    left = changes.scale(simulation.core, "worker", 1, 2.0)
    run = simulation.finish()
    assert left.done()
    assert set(run.handled("worker/0")) | set(run.handled("worker/1")) == set(range(20))


class Hangs(Consumer):
    """Replica 1 never finishes its second batch: it keeps it, unacknowledged, for ever."""

    finishes_later = True

    def handle_events(self, events: list[Any], subscription: Subscription) -> None:
        if self.index:
            self.later()  # type: ignore[attr-defined]


def test_what_does_not_fit_is_refused_and_changes_nothing() -> None:
    """By name and value, at the call."""
    topology = (
        Topology("fits")
        .stage("parts", Idle, dispatcher={"partition": {"partitions": 2}})
        .stage("each", Forwarder, replicas=2, subscribe_to=["parts"])
        .stage("broker", Broker, members=["parts"])
    )
    run = supervised(topology)
    with pytest.raises(Refused, match="parts has 2 partitions, and each takes one each"):
        changes.scale(run.core, "each", 3, 5.0)
    with pytest.raises(Refused, match="broker has members"):
        changes.scale(run.core, "broker", 2, 5.0)
    with pytest.raises(OptionError, match="without an index"):
        changes.scale(run.core, "each/1", 2, 5.0)
    with pytest.raises(ActorflowError, match="there is no stage 'eahc'"):
        changes.scale(run.core, "eahc", 2, 5.0)
    with pytest.raises(Refused, match="fixed_option"):
        changes.replace(run.core, "parts", None, {"dispatcher": "demand"}, 5.0)
    assert run.wait(changes.scale(run.core, "each", 2, 5.0))[1].id == "each/1"


def test_a_new_replica_that_does_not_start_is_the_operations_error() -> None:
    """The run goes on with those that are there, and they know how many they are."""
    topology = idle()
    run = supervised(topology)
    run.wait(changes.scale(run.core, "middle", 2, 5.0))
    middle = next(c for s, c in run.core.children.items() if s.name == "middle")
    object.__setattr__(middle.spec.stage, "arguments", {"tag": "broken"})
    with pytest.raises(StartFailed):
        run.wait(changes.scale(run.core, "middle", 3, 5.0))
    run.until(lambda: run.core.outcome is None)
    told = run.wait(operations.call(run.core, "middle/0", ""))
    assert told["replicas"] == 2


def test_members_of_a_broker_scale_and_so_do_its_subscribers() -> None:
    """Every subscriber is joined with every replica of every member."""
    topology = (
        Topology("joined")
        .stage("source", Idle)
        .stage("broker", Broker, members=["source"])
        .stage("sink", Forwarder, subscribe_to=["broker"])
    )
    run = supervised(topology)
    for sources, sinks in ((2, 1), (2, 3), (1, 3), (1, 1)):
        run.wait(changes.scale(run.core, "source", sources, 5.0))
        run.wait(changes.scale(run.core, "sink", sinks, 5.0))
        run.until(lambda n=sources * sinks: changes.routers(run.core)[0].established == n)  # type: ignore[misc]
        assert changes.routers(run.core)[0].edges == sources * sinks


# --- replacements ---------------------------------------------------------------------------------


def test_a_replacement_is_one_replica_after_the_other_with_the_new_arguments() -> None:
    """Never are two of them away at the same time."""
    run = supervised(idle(3))
    away: list[int] = []
    future = changes.replace(run.core, "middle", {"tag": "new"}, {"buffer_size": 7}, 5.0)

    def count() -> bool:
        rows = [r for r in operations.which_children(run.core) if r.id.startswith("middle")]
        away.append(sum(row.state != "running" for row in rows))
        return future.done()

    run.until(count)
    assert [row.generation for row in future.result(0)] == [2, 2, 2]
    assert max(away) == 1
    told = [run.wait(operations.call(run.core, f"middle/{index}", "")) for index in range(3)]
    assert [each["tag"] for each in told] == ["new"] * 3
    child = operations.find(run.core, "middle/2")
    assert child.spec.stage.options.buffer_size == 7
    operations.cast(run.core, "source", list(range(12)))
    run.until(lambda: sum(map(len, run.batches("sink/0"))) == 12)


def test_a_replacement_that_does_not_start_gives_way_to_what_was() -> None:
    """The operation fails, the run goes on as before, and no restart is counted."""
    run = supervised(idle(2))
    future = changes.replace(run.core, "middle", {"tag": "broken"}, {}, 5.0)
    with pytest.raises(StartFailed):
        run.wait(future)
    run.until(lambda: run.row("middle/0").state == "running")
    told = [run.wait(operations.call(run.core, f"middle/{index}", "")) for index in range(2)]
    assert [each["tag"] for each in told] == ["", ""]
    assert run.row("middle/1").generation == 1
    operations.cast(run.core, "source", list(range(12)))
    run.until(lambda: sum(map(len, run.batches("sink/0"))) == 12)


def test_replacing_loses_nothing_with_crashes_at_every_step() -> None:
    """A stage in the middle and a sink, each replaced while others are killed."""
    for seed in seeds(40):
        name = "middle" if seed % 2 else "sink"
        args = {"tag": "new"} if name == "middle" else {"leaves_after": 0}
        run = changed(
            seed,
            lambda core, name=name, args=args: changes.replace(core, name, args, {}, 30.0),
            pipeline(),
            crash(seed, "middle", "sink"),
        )
        if run is not None:
            assert set(run.handled("sink")) == wanted(), seed


class Feed(Producer):
    """Emits what it is cast, more than anybody wants; a new one begins with what it is given."""

    def __init__(self, first: list[int]) -> None:
        self.first = first

    def on_start(self) -> None:
        self.emit(self.first)

    def handle_demand(self, demand: int) -> None:
        pass


def test_a_producer_hands_over_what_it_has_emitted_before_it_is_replaced() -> None:
    """Its consumers wait for the new one; nothing is lost, and nothing repeated."""
    topology = (
        Topology("feed")
        .stage("feed", Feed, args={"first": list(range(40))})
        .stage("sink", Sink, replicas=2, subscribe_to=[{"to": "feed", "max_demand": 3}])
    )
    for seed in seeds(30):
        simulation = Simulation(topology, seed=seed, laws=True)
        simulation.run_until(lambda s=simulation, n=1 + seed % 40: len(taken(s)) >= n)  # type: ignore[misc]
        future = changes.replace(
            simulation.core, "feed", {"first": list(range(100, 140))}, {}, 30.0
        )
        simulation.run_until(future.done)
        simulation.run_until(lambda s=simulation: len(taken(s)) == 80)  # type: ignore[misc]
        assert sorted(taken(simulation)) == [*range(40), *range(100, 140)]
        simulation.stop()


def taken(simulation: Simulation) -> list[int]:
    """What the sinks have handled."""
    return [event for each in simulation.history for event in each.events]


# --- pauses ---------------------------------------------------------------------------------------


def endless() -> Topology:
    """A source that never ends, a stage in the middle and a sink."""
    return (
        Topology("endless", supervisor=SupervisorOptions(max_restarts=1000))
        .stage("source", Counter, replicas=2)
        .stage("middle", Pass, subscribe_to=[{"to": "source", "max_demand": 4}])
        .stage("sink", Forwarder, subscribe_to=[{"to": "middle", "max_demand": 4}])
    )


def seen(run: Supervised) -> int:
    """How many events the sink's present life has taken."""
    return sum(map(len, run.batches("sink/0")))


@pytest.mark.parametrize("stage", ["source", "middle", "sink"])
def test_a_paused_stage_rests_over_restarts_until_it_is_resumed(stage: str) -> None:
    """Nothing new is made or taken; nobody is unsubscribed; resumed, all goes on."""
    run = supervised(endless())
    run.until(lambda: seen(run) > 5)
    changes.pause_stage(run.core, stage)
    quiet(run)
    for victim in (stage, "middle"):
        run.kill(f"{victim}/0")
        run.until(lambda v=victim: run.row(f"{v}/0").state == "running")  # type: ignore[misc]
        quiet(run)
    assert all(edge.state.name == "ESTABLISHED" for edge in run.core.wiring.edges)
    before = seen(run)
    changes.resume_stage(run.core, stage)
    run.until(lambda: seen(run) > before + 20)


def quiet(run: Supervised) -> None:
    """Let things happen until everybody is linked and nothing moves; an endless source would."""
    edges = run.core.wiring.edges
    run.until(lambda: all(e.state.name == "ESTABLISHED" for e in edges) and not busy(run))


def busy(run: Supervised) -> bool:
    """Whether anything moves now, or in the next half second."""
    world = run.simulation.world
    due = [process.due for process in world.processes if process.due is not None]
    return bool(world._ready.items) or any(moment < world.now() + 0.5 for moment in due)


def test_a_paused_run_that_is_drained_comes_to_its_end() -> None:
    """A drain lifts every pause, and a run that drains takes no new one."""
    for stage in ("numbers", "middle", "sink"):
        simulation = Simulation(pipeline(), seed=4, laws=True)
        simulation.run_until(lambda s=simulation: len(s.history) > 3)  # type: ignore[misc]
        changes.pause_stage(simulation.core, stage)
        simulation.core.drain()
        with pytest.raises(Refused, match="draining"):
            changes.pause_stage(simulation.core, stage)
        assert simulation.finish().status == "done"
