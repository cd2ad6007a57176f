"""What simulated runs have found, each as a small test of its own, so that it stays found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import pairwise
from typing import Any

import pytest

from actorflow import (
    ActorflowError,
    Consumer,
    Defaults,
    SubscribeTo,
    Subscription,
    SubscriptionOptions,
    SupervisorOptions,
    Topology,
)
from actorflow.protocol import control
from actorflow.protocol.delivery import Unfinished
from actorflow.protocol.demand import AutoWindow
from actorflow.stage.buffer import Buffer, Chunk
from actorflow.supervision import changes, operations
from actorflow.supervision.runtime import Received
from actorflow.testing import (
    Conditions,
    CrashAt,
    Faults,
    SimulatedRun,
    Simulation,
    StageHarness,
    fault_point,
    simulate,
)
from actorflow.testing.players import ExactNumbers, ExactSink
from actorflow.testing.topologies import ByHand, Numbers, Sink, Through
from tests.seeds import seeds

SEEDS = seeds(20)
EVEN = "actorflow.testing.topologies:is_even"


class Fragile(Through):
    """Passes a point at which it may be killed, once for each batch."""

    def handle_events(self, events: list[int], subscription: Subscription) -> list[int]:
        fault_point("handling")
        return super().handle_events(events, subscription)


class Leaver(Consumer):
    """Stops when it is about to subscribe."""

    def handle_subscribe(
        self, side: str, options: Mapping[str, Any], subscription: Subscription
    ) -> None:
        self.stop()


def numbers(count: int, answer: str = "exact", **options: Any) -> Topology:
    """A topology that begins with a source of so many numbers."""
    args = {"first": 0, "count": count, "answer": answer}
    return Topology("found").stage("numbers", Numbers, args=args, **options)


def test_the_lowest_unfinished_place_is_not_that_of_the_oldest_batch() -> None:
    """A dead consumer's batch, sent again behind newer ones, keeps its inputs unfinished."""
    store = Unfinished()
    store.sent(["newer"], position=3)
    store.sent(["again"], position=0)
    assert store.first_position == 0
    store.acknowledge(2)
    store.sent(["next"], position=7)
    assert store.first_position == 7


def test_an_automatic_window_counts_what_is_in_hand() -> None:
    """While batches wait to be handled, a window that grows does not ask for their room again."""
    window = AutoWindow()
    asked = window.open()
    handled = 0
    for _ in range(12):
        arrived = asked - handled
        for batch in window.split(arrived):
            handled += batch.size
            asked += batch.ask + window.measured(batch.size, 0.0)
            assert 0 < asked - handled <= window.max_demand


def test_events_that_came_back_with_gaps_are_taken_piece_by_piece() -> None:
    """A chunk has one place for all its events, so that none can be taken for a later one."""
    buffer = Buffer(None)
    buffer.put_back(["a"], 3)
    buffer.put_back(["d", "e"], 7)
    assert [buffer.take(9), buffer.take(9)] == [Chunk(["a"], 3), Chunk(["d", "e"], 7)]
    buffer.put_back(["d"], 7)
    buffer.put_back(["b"], 4)
    buffer.put_back(["a"], 3)
    assert buffer.take(9) == Chunk(["a", "b"], 3)


@pytest.mark.parametrize("seed", SEEDS)
def test_what_selectors_turn_down_does_not_hold_up_the_rest(seed: int) -> None:
    """Events that are emitted at once go on while there is demand, whoever turned some down."""
    topology = numbers(9, "more", dispatcher="broadcast").stage(
        "sink",
        Sink,
        subscribe_to=[SubscribeTo("numbers", max_demand=4, min_demand=0, selector=EVEN)],
    )
    assert simulate(topology, seed=seed, laws=True).handled("sink") == [0, 2, 4, 6, 8]


@pytest.mark.parametrize("seed", SEEDS)
def test_an_input_is_finished_when_nobody_takes_its_last_output(seed: int) -> None:
    """Its producer hears of it, though no consumer will ever acknowledge anything of it."""
    topology = (
        numbers(1)
        .stage(
            "expand",
            Through,
            args={"rule": "expand"},
            dispatcher="broadcast",
            subscribe_to=["numbers"],
        )
        .stage("sink", Sink, subscribe_to=[SubscribeTo("expand", max_demand=1, selector=EVEN)])
    )
    assert simulate(topology, seed=seed, laws=True).handled("sink") == [0]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_broadcast_waits_for_the_consumers_that_are_declared(seed: int) -> None:
    """None misses the first events because it took longer to start."""
    topology = numbers(5, dispatcher="broadcast").stage(
        "sink", Sink, replicas=3, subscribe_to=["numbers"]
    )
    run = simulate(topology, seed=seed)
    assert [run.handled(f"sink/{index}") for index in range(3)] == [[0, 1, 2, 3, 4]] * 3


@pytest.mark.parametrize("seed", SEEDS)
def test_a_broadcast_waits_for_them_again_after_it_died(seed: int) -> None:
    """What is delivered again to its successor reaches every consumer."""
    topology = (
        numbers(12)
        .stage(
            "through",
            Fragile,
            args={"rule": "identity"},
            dispatcher="broadcast",
            subscribe_to=[SubscribeTo("numbers", max_demand=5)],
        )
        .stage("sink", Sink, replicas=2, subscribe_to=[SubscribeTo("through", max_demand=3)])
    )
    run = simulate(topology, seed=seed, faults=Faults(points={"handling": 2}))
    assert run.crashed == ("through/0#1",)
    assert [set(run.handled(f"sink/{index}")) for index in range(2)] == [set(range(12))] * 2


@pytest.mark.parametrize("seed", SEEDS)
def test_a_broadcast_does_not_wait_for_one_that_will_not_come(seed: int) -> None:
    """A consumer that ends before it subscribes is waited for no longer."""
    topology = (
        numbers(5, dispatcher="broadcast")
        .stage("leaver", Leaver, subscribe_to=["numbers"])
        .stage("sink", Sink, subscribe_to=["numbers"])
    )
    assert simulate(topology, seed=seed).handled("sink") == [0, 1, 2, 3, 4]


def test_unmet_demand_is_polled_for_when_it_is_wanted_again() -> None:
    """Also when nobody could take anything at the moment at which it would have been polled for."""
    args = {"first": 0, "count": 9, "answer": "less"}
    source = StageHarness(Numbers, args, dispatcher="broadcast", poll_interval=1.0)
    for ref in (1, 2):
        source.subscribe(ref, f"sink/{ref}")
        source.ask(ref, 3)
    assert source.events(1) == [[0, 1]]
    source.hang_up(2)
    source.advance(1.0)
    source.down("sink/2#1", restarting=True)
    source.subscribe(3, "sink/2#2")
    source.ask(3, 3)
    source.advance(1.0)
    assert source.events(1) == [[0, 1], [2]]


@pytest.mark.parametrize("seed", SEEDS)
def test_an_orderly_stop_acknowledges_what_is_finished(seed: int) -> None:
    """What a stage has handled before it stops is not delivered to another."""
    topology = numbers(24).stage(
        "sink",
        Sink,
        args={"leaves_after": 3},
        replicas=3,
        subscribe_to=[SubscribeTo("numbers", max_demand=7, min_demand=0)],
    )
    assert sorted(simulate(topology, seed=seed).handled("sink")) == list(range(24))


@pytest.mark.parametrize("seed", SEEDS)
def test_asking_on_a_subscription_that_has_ended_is_no_mistake(seed: int) -> None:
    """A manual consumer cannot know that its producer has just finished."""
    topology = numbers(3).stage("sink", ByHand, args={"window": 2}, subscribe_to=["numbers"])
    assert simulate(topology, seed=seed).handled("sink") == [0, 1, 2]


@pytest.mark.parametrize("strategy", ["one_for_all", "rest_for_one"])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_group_is_restarted(seed: int, strategy: str) -> None:
    """Those that were stopped for a restart start again, and the run comes to its end."""
    topology = Topology(
        "found",
        stages=numbers(12).stages,
        supervisor=SupervisorOptions(strategy=strategy, max_restarts=9),
    )
    topology = topology.stage(
        "through", Fragile, args={"rule": "identity"}, replicas=2, subscribe_to=["numbers"]
    ).stage("sink", Sink, subscribe_to=["through"])
    faults = Faults(points={"handling": 3})
    assert set(simulate(topology, seed=seed, faults=faults).handled("sink")) >= set(range(12))


def test_a_run_that_fails_while_a_group_restarts_ends() -> None:
    """It stops for good, whoever was about to be started again."""
    topology = Topology(
        "found",
        stages=numbers(5).stages,
        supervisor=SupervisorOptions(strategy="one_for_all", max_restarts=1),
    )
    for name in ("first", "second"):
        topology = topology.stage(name, Sink, replicas=2, subscribe_to=["numbers"])
    ends = set()
    for seed in seeds(80):
        faults = Faults(crashes=3, within=80)
        ends.add(simulate(topology, seed=seed, faults=faults, check=False).status)
    assert ends == {"done", "failed"}


@pytest.mark.parametrize("seed", seeds(40))
def test_each_subscription_of_a_restarted_stage_takes_its_own_place(seed: int) -> None:
    """One that is refused leaves no place behind that the producer would wait for."""
    by = "actorflow.testing.topologies:parity"
    topology = numbers(9, dispatcher={"partition": {"partitions": 2, "by": by}}).stage(
        "sink", Sink, replicas=2, subscribe_to=["numbers"]
    )
    crashes = (CrashAt(60 + seed, "sink/1"), CrashAt(90 + seed, "sink/1"))
    simulation = Simulation(topology, seed=seed, faults=Faults(at=crashes))
    simulation.run_until(lambda: simulation.world.steps >= 60 + seed)
    with suppress(ActorflowError):  # one of the two may have ended by now
        options = SubscriptionOptions(cancel="temporary", extra={"partition": 1})
        operations.subscribe(simulation.core, "sink/1", "numbers", options)
    run = simulation.finish(check=False)
    if run.status == "done":
        assert set(run.handled("sink")) == set(range(9))


def test_a_source_that_dies_after_its_consumers_ended_is_not_started_again() -> None:
    """Everything it sent is finished; a successor would wait for ever for somebody to subscribe."""
    topology = numbers(1).stage("sink", Sink, subscribe_to=["numbers"])
    for step in range(1, 120):
        faults = Faults(at=(CrashAt(step, "numbers"),))
        assert simulate(topology, seed=step, faults=faults, check=False).status == "done"


@pytest.mark.parametrize("seed", [0, 3, 23, 47, 57])
def test_a_successor_of_a_source_that_was_done_ends_with_its_consumers(seed: int) -> None:
    """A consumer that had the end of the stream ends, though it is linked with the successor."""
    topology = (
        numbers(1)
        .stage("through", Through, args={"rule": "filter"}, subscribe_to=["numbers"])
        .stage("sink", Sink, subscribe_to=["through"])
    )
    for step in range(59, 140, 3):
        faults = Faults(at=(CrashAt(step, "numbers"),))
        assert simulate(topology, seed=seed, faults=faults, check=False).status == "done"


def finished_without_descriptors(
    simulation: Simulation, lacks: Callable[[int], bool]
) -> SimulatedRun:
    """Finish a run whose host has no descriptors for those links of which `lacks` says so."""
    world, core = simulation.world, simulation.core
    link = world.link
    refused: list[Received] = []

    def without_descriptors(ref: int, producer: Any, consumer: Any, *messages: Any) -> None:
        if lacks(ref):
            said = control.SubscriptionEnded(ref, ["no_link", "too many open files"])
            refused.append(Received(consumer, control.encode_control(said)))
        else:
            link(ref, producer, consumer, *messages)

    world.link = without_descriptors  # type: ignore[method-assign]

    def refuse() -> bool:
        while refused:
            core.observe(refused.pop())
        return False

    simulation.run_until(refuse)
    return simulation.finish()


@pytest.mark.parametrize("dispatcher", ["demand", "broadcast"])
def test_a_link_that_could_not_be_made_is_made_later(dispatcher: str) -> None:
    """A host without descriptors, for a moment: nobody waits for ever for who never came."""
    whole = Topology("links").stage(
        "numbers",
        Numbers,
        args={"first": 0, "count": 20},
        dispatcher=dispatcher,
    )
    whole = whole.stage("sink", Sink, replicas=2, subscribe_to=[SubscribeTo("numbers")])
    simulation = Simulation(whole, seed=1, faults=Faults(at=(CrashAt(60, "sink/0"),)))
    run = finished_without_descriptors(simulation, lambda ref: ref % 3 != 0)
    assert run.status == "done"
    for stage in ("sink/0", "sink/1") if dispatcher == "broadcast" else ("sink",):
        assert set(run.handled(stage)) == set(range(20))


def test_a_host_that_lacks_descriptors_for_long_tries_less_and_less_often() -> None:
    """Each attempt is a line in its log: not five a second for each subscription."""
    topology = Topology("links").stage("numbers", Numbers, args={"first": 0, "count": 20})
    topology = topology.stage("sink", Sink, subscribe_to=[SubscribeTo("numbers")])
    simulation = Simulation(topology, seed=1)
    attempts: list[float] = []

    def for_a_minute(ref: int) -> bool:
        attempts.append(simulation.world.now())
        return attempts[-1] < 60.0

    run = finished_without_descriptors(simulation, for_a_minute)
    assert (run.status, set(run.handled("sink"))) == ("done", set(range(20)))
    pauses = [later - sooner for sooner, later in pairwise(attempts)]
    assert pauses[:6] == pytest.approx([0.2, 0.4, 0.8, 1.6, 3.2, 5.0], abs=0.1)
    assert max(pauses) < 5.2, "it must notice that there is room again"


@pytest.mark.parametrize("delivery", ["at_most_once", "at_least_once"])
def test_the_successor_of_one_that_had_finished_says_so_and_no_more(delivery: str) -> None:
    """A partition whose consumer has gone home would wait for its events for ever (hold)."""
    source: dict[str, Any] = {"dispatcher": {"partition": {"partitions": 2, "by": None}}}
    whole = Topology("tells", supervisor=SupervisorOptions(max_restarts=100)).stage(
        "numbers", Numbers, args={"first": 0, "count": 6}, delivery=delivery, **source
    )
    whole = whole.stage(
        "sink", Sink, replicas=2, subscribe_to=[SubscribeTo("numbers", max_demand=1)]
    )
    conditions = Conditions(cut="whole", eager=False)
    for seed in seeds(20):
        undisturbed = simulate(whole, seed=seed, conditions=conditions)
        for step in range(undisturbed.steps - 25, undisturbed.steps):
            faults = Faults(at=(CrashAt(step, "numbers"),))
            run = simulate(whole, seed=seed, faults=faults, conditions=conditions)
            assert run.status == "done", (seed, step)


class FallsLast(Sink):
    """Passes a point at which it may be killed when all its input is done."""

    def on_stop(self, reason: Any) -> None:
        fault_point("leaving")
        self.set_result(self.taken)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_consumer_that_falls_after_the_end_of_its_only_dynamic_input_ends(seed: int) -> None:
    """Its successor is told of that end again, and of none that it has left itself."""
    topology = (
        numbers(5).stage("late", Numbers, args={"first": 50, "count": 2}).stage("sink", FallsLast)
    )
    faults = Faults(points={"leaving": 1})
    simulation = Simulation(topology, seed=seed, faults=faults).start()
    core = simulation.core
    options = SubscriptionOptions()
    for producer in ("numbers", "late"):
        simulation.run_until(operations.subscribe(core, "sink", producer, options).done)
    run = simulation.finish()
    assert run.crashed == ("sink/0#1",)
    assert run.status == "done"
    assert not [edge for edge in core.wiring.edges if not edge.declared]


@pytest.mark.parametrize("seed", [3, 5, 6])
def test_each_edge_of_a_consumer_that_comes_back_has_what_was_sent_on_it(seed: int) -> None:
    """The second subscription has the events, the first is refused; a successor makes both again.

    What had been sent on the one was dropped when the other took the place that it had left.
    """
    by = "actorflow.testing.topologies:parity"
    topology = (
        Topology(
            "edges",
            supervisor=SupervisorOptions(max_restarts=1000),
            defaults=Defaults(delivery="exactly_once"),
        )
        .stage(
            "numbers",
            ExactNumbers,
            args={"first": 0, "count": 6},
            dispatcher={"partition": {"partitions": 2, "by": by}},
        )
        .stage("sink", ExactSink, replicas=2, subscribe_to=["numbers"])
    )
    simulation = Simulation(topology, seed=seed).start()
    simulation.run_until(lambda: simulation.world.steps >= 20 + 5 * seed)
    with suppress(ActorflowError):  # one of the two may have ended by now
        options = SubscriptionOptions(cancel="temporary", extra={"partition": 0})
        operations.subscribe(simulation.core, "sink/0", "numbers", options)
    run = simulation.finish()
    counted = [event for state in run.results["sink"] for _, event in state or []]
    assert sorted(counted) == list(range(6))


@pytest.mark.parametrize("seed", [2, 3, 5, 33])
def test_a_consumer_of_one_replica_alone_ends_when_that_one_leaves(seed: int) -> None:
    """It waited for another subscription, and the run for it."""
    feed = [{"to": "numbers", "max_demand": 2}]
    topology = (
        numbers(20)
        .stage("through", Through, replicas=2, args={"rule": "identity"}, subscribe_to=feed)
        .stage("sink", Sink, subscribe_to=["through"])
        .stage("late", Sink)
    )
    simulation = Simulation(topology, seed=seed).start()
    core = simulation.core
    options = SubscriptionOptions(max_demand=2)
    simulation.run_until(operations.subscribe(core, "late", "through/1", options).done)
    left = changes.scale(core, "through", 1, 30.0)
    assert simulation.finish().status == "done"
    assert left.done()


@pytest.mark.parametrize("seed", [16, 29, 99, 106])
def test_of_two_subscriptions_to_a_broadcast_the_older_one_is_taken_again(seed: int) -> None:
    """After a restart the newer one was sometimes read first: the older one's events were lost."""
    topology = (
        Topology(
            "twice",
            supervisor=SupervisorOptions(max_restarts=1000, strategy="one_for_all"),
            defaults=Defaults(delivery="exactly_once"),
        )
        .stage("numbers", ExactNumbers, args={"first": 0, "count": 12}, dispatcher="broadcast")
        .stage("sink", ExactSink, replicas=2, subscribe_to=[{"to": "numbers", "max_demand": 4}])
    )
    faults = Faults(crashes=2, within=250, stages=("sink",))
    simulation = Simulation(topology, seed=seed, faults=faults).start()
    operations.subscribe(simulation.core, "sink/1", "numbers", SubscriptionOptions(max_demand=3))
    run = simulation.finish(max_steps=100_000)
    assert [len(state) for state in run.results["sink"]] == [12, 12]


@pytest.mark.parametrize("seed", [1, 25, 36, 37, 83, 96])
def test_a_replica_that_leaves_before_a_consumer_is_linked_keeps_its_share(seed: int) -> None:
    """Nobody else gets what a broadcast has for that one."""
    topology = (
        Topology("early")
        .stage("feed", Numbers, args={"first": 0, "count": 3})
        .stage(
            "copy",
            Through,
            replicas=2,
            args={"rule": "identity"},
            dispatcher="broadcast",
            subscribe_to=[{"to": "feed", "max_demand": 2}],
        )
        .stage("sink", Sink, subscribe_to=["copy"])
        .stage("other", Sink, subscribe_to=["copy"])
    )
    simulation = Simulation(topology, seed=seed).start()
    step = 20 + seed % 60
    simulation.run_until(lambda: simulation.world.steps >= step)
    changes.scale(simulation.core, "copy", 1, 30.0)
    run = simulation.finish()
    assert sorted(run.handled("sink")) == sorted(run.handled("other")) == [0, 1, 2]
