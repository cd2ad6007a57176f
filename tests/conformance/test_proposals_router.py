"""A1 to A7: the M-N router, the subscription in two steps, and redirects."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterable
from typing import Any

import pytest

import actorflow
from actorflow import Broker, Closed, Refused, SubscriptionOptions, Topology
from actorflow.protocol.control import CancelSubscription
from actorflow.protocol.messages import Ask, Subscribe, Unsubscribe
from actorflow.supervision import changes, operations
from actorflow.supervision.wiring import EdgeState
from actorflow.testing import Faults
from actorflow.testing.harness import StageHarness
from actorflow.testing.simulation import Simulation
from actorflow.testing.topologies import Numbers, Sink
from tests.conformance.helpers.stages import Counter as Counting
from tests.conformance.helpers.stages import Forwarder, Idle, Same
from tests.conformance.helpers.supervised import Supervised, child
from tests.seeds import seeds


def router(
    producers: int,
    consumers: int,
    *,
    source: Any = Counting,
    sink: Any = Forwarder,
    spares: int = 0,
    count: int = 0,
    **broker: Any,
) -> Topology:
    """M producers, N consumers and a broker between; the spares are producers of nobody yet."""
    topology = Topology("router", supervisor=actorflow.SupervisorOptions(max_restarts=1000))
    for number in range(producers + spares):
        args = {"first": number * 1000, "count": count} if source is Numbers else {}
        topology = topology.stage(f"p{number}", source, args=args)
    members = [f"p{number}" for number in range(producers)]
    topology = topology.stage("broker", Broker, members=members, **broker)
    return topology.stage(
        "c", sink, replicas=consumers, subscribe_to=[{"to": "broker", "max_demand": 4}]
    )


def direct(core: Any) -> list[tuple[str, str]]:
    """The direct edges that are established, as pairs of consumer and producer."""
    return sorted(
        (str(edge.consumer), str(edge.producer))
        for edge in core.wiring.edges
        if edge.via is not None and edge.state is EdgeState.ESTABLISHED and not edge.leaving
    )


def all_pairs(consumers: Iterable[str], producers: Iterable[str]) -> list[tuple[str, str]]:
    """Each consumer with each producer."""
    return sorted((c, p) for c in consumers for p in producers)


def indexed(name: str, count: int) -> list[str]:
    """The replicas of a stage."""
    return [f"{name}/{index}" for index in range(count)]


def sources(count: int) -> list[str]:
    """The producers of `router`."""
    return [f"p{number}/0" for number in range(count)]


def in_processes(run: Supervised) -> list[tuple[str, str]]:
    """The pairs as the producers' own books have them: once for each subscription they serve."""
    return sorted(
        (str(each.handle.peer.stage), str(process.child.stage))
        for process in run.simulation.world.processes
        if process.machine is not None
        and process.machine.producing is not None
        and process.child.stage.name not in ("broker", "manager")
        for each in process.machine.producing.subscriptions.values()
        if each.state.name == "ACTIVE"
    )


# --- A1 -------------------------------------------------------------------------------------------


def test_a01_a_fifth_consumer_gets_three_edges_and_a_fourth_producer_five() -> None:
    """Edges are made for whoever comes, with no restart; no event passes the broker."""
    run = Supervised(router(3, 4, spares=1))
    consumers = indexed("c", 4)
    run.until(lambda: direct(run.core) == all_pairs(consumers, sources(3)))

    started = operations.start_child(run.core, child("late", Forwarder))
    run.wait(started)
    run.wait(operations.subscribe(run.core, "late", "broker", SubscriptionOptions(max_demand=4)))
    consumers.append("late/0")
    run.until(lambda: direct(run.core) == all_pairs(consumers, sources(3)))
    assert len(direct(run.core)) == 15

    changes.change_members(run.core, "broker", "add", ["p3"])
    run.until(lambda: direct(run.core) == all_pairs(consumers, sources(4)))
    assert len(direct(run.core)) == 20
    assert in_processes(run) == direct(run.core)

    run.until(lambda: all(len(run.batches(each)) > 3 for each in consumers))
    row = changes.routers(run.core)[0]
    assert (row.edges, row.established, row.monitors) == (20, 20, 4 + 5)
    assert all(each.restarts == 0 for each in operations.which_children(run.core))
    from_broker = run.simulation.world.counters(row_id(run, "broker"))
    assert from_broker["events_out"] == from_broker["batches_out"] == 0


def row_id(run: Supervised, stage: str) -> Any:
    """A stage's identity."""
    return operations.find(run.core, stage).id


def test_a01_every_event_of_every_producer_arrives_once_and_the_run_ends() -> None:
    """Finite members: the broker finishes with them, and the consumers then."""
    for seed in seeds(30):
        simulation = Simulation(
            router(3, 3, source=Numbers, sink=Sink, count=10), seed=seed, laws=True
        )
        finished = simulation.finish(max_steps=50_000)
        assert finished.status == "done"
        wanted = [number * 1000 + each for number in range(3) for each in range(10)]
        assert sorted(finished.handled("c")) == wanted


def crashes(victims: tuple[str, ...], count: int = 1) -> Faults:
    """So many of these stages are killed, each at any step."""
    return Faults(crashes=count, within=400, stages=victims)


# --- A2 -------------------------------------------------------------------------------------------


def test_a02_outstanding_four_two_nothing_and_five_events_go_four_and_one() -> None:
    """The strategy that a broker hands down is the member's dispatcher, asked at each emission."""
    topology = router(1, 3, dispatcher="demand")
    member = next(c.stage for c in topology.plan().children if c.stage.id.name == "p0")
    stage = StageHarness(Idle, dispatcher=member.options.dispatcher)
    for ref, demand in ((1, 4), (2, 2), (3, 0)):
        stage.subscribe(ref, f"c/{ref}")
        if demand:
            stage.ask(ref, demand)
    assert sum(stage.behaviour.outstanding.values()) == 6

    stage.cast(list("abcde"))
    assert [stage.events(ref) for ref in (1, 2, 3)] == [[list("abcd")], [["e"]], []]
    assert sum(stage.behaviour.outstanding.values()) == 1


@pytest.mark.parametrize("strategy", ["demand", "broadcast", {"partition": {"partitions": 2}}])
def test_a02_the_strategy_is_pluggable(strategy: Any) -> None:
    """Whatever the broker is given, each member deals by it, and the broker itself does not."""
    plan = router(2, 2, source=Numbers, sink=Sink, count=6, dispatcher=strategy).plan()
    dealt = {c.stage.id.name: c.stage.options.dispatcher for c in plan.children}
    assert dealt["p0"] == dealt["p1"] == strategy
    assert dealt["broker"] == "ready"
    taken = Tally(Simulation(plan, seed=1, laws=True).finish().handled("c"))
    wanted = {number * 1000 + each for number in range(2) for each in range(6)}
    assert set(taken) == wanted
    assert set(taken.values()) == {2 if strategy == "broadcast" else 1}


# --- A3 -------------------------------------------------------------------------------------------


def told_broker(**options: Any) -> StageHarness:
    """A broker with three consumers whose demand is 2, 1 and nothing."""
    broker = StageHarness(Broker, name="broker", dispatcher="ready", **options)
    for ref in (1, 2, 3):
        broker.subscribe(ref, f"c/{ref}")
    broker.ask(1, 2)
    broker.ask(2, 1)
    return broker


def test_a03_a_notification_goes_to_those_with_demand_and_the_caller_returns_after() -> None:
    """Who has no demand does not get it; who called waits until somebody has."""
    broker = told_broker()
    assert broker.call("first") is None
    assert broker.call("second") is None
    assert [broker.events(ref) for ref in (1, 2, 3)] == [[["first"], ["second"]], [["first"]], []]

    third, fourth = broker.send_call("third"), broker.send_call("fourth")
    broker.cast("fifth")
    for call in (third, fourth):
        with pytest.raises(LookupError, match="has not replied"):
            broker.reply_to(call)
    broker.ask(3, 1)
    assert broker.reply_to(third) is None
    with pytest.raises(LookupError):
        broker.reply_to(fourth)
    broker.ask(2, 5)
    assert broker.reply_to(fourth) is None
    assert broker.events(3) == [["third"]]
    assert [event for batch in broker.events(2) for event in batch] == ["first", "fourth", "fifth"]


def test_a03_a_caller_waits_although_the_demand_that_was_there_has_gone() -> None:
    """A consumer that asked and left is no demand; the next one that asks is."""
    broker = StageHarness(Broker, name="broker", dispatcher="ready")
    broker.subscribe(1, "c/1")
    broker.ask(1, 4)
    broker.unsubscribe(1)
    call = broker.send_call("news")
    with pytest.raises(LookupError):
        broker.reply_to(call)
    broker.subscribe(2, "c/2")
    broker.ask(2, 3)
    assert broker.reply_to(call) is None
    assert broker.events(2) == [["news"]]


def test_a03_what_finds_no_room_and_what_cannot_travel_is_refused_to_the_caller() -> None:
    """Nobody waits for ever, and the broker goes on."""
    broker = told_broker(buffer_size=1)
    broker.ask(1, 10)
    assert broker.call("while there is demand") is None
    full = StageHarness(
        Broker, name="broker", dispatcher="ready", buffer_size=1, buffer_keep="first"
    )
    waits, refused = full.send_call("waits"), full.send_call("refused")
    with pytest.raises(Refused, match="overloaded"):
        full.reply_to(refused)
    full.subscribe(1, "c/1")
    full.ask(1, 1)
    assert full.reply_to(waits) is None
    assert full.events(1) == [["waits"]]


def test_a03_those_who_wait_for_a_broker_that_ends_are_told() -> None:
    """The calls are answered before the last words."""
    broker = StageHarness(Broker, name="broker", dispatcher="ready")
    call = broker.send_call("too late")
    broker.stop()
    with pytest.raises(Refused, match="stopped"):
        broker.reply_to(call)


# --- A4 -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("victim", ["broker", "c/1", "p1"])
def test_a04_after_a_restart_there_are_exactly_m_times_n_edges(victim: str) -> None:
    """Whoever is killed, nobody else falls, and no edge is doubled or missing."""
    run = Supervised(router(3, 2, source=Idle))
    pairs = all_pairs(indexed("c", 2), sources(3))
    run.until(lambda: direct(run.core) == pairs)
    for life in (2, 3):
        run.kill(victim if "/" in victim else f"{victim}/0")
        run.until(lambda: direct(run.core) == in_processes(run) == pairs)
        rows = {row.id: row.generation for row in operations.which_children(run.core)}
        killed = victim if "/" in victim else f"{victim}/0"
        assert dict.fromkeys(rows, 1) | {killed: life} == rows


def test_a04_demand_that_a_dead_consumer_had_is_asked_by_the_others() -> None:
    """The events that it would have taken, and those it had taken, are handled by the rest."""
    for seed in seeds(60):
        topology = router(2, 3, source=Numbers, sink=Sink, count=15)
        run = Simulation(topology, seed=seed, faults=crashes(("c",), 2), laws=True).finish()
        assert set(run.handled("c")) == {n * 1000 + each for n in range(2) for each in range(15)}


def test_a04_nothing_is_lost_when_anybody_but_a_source_is_killed_at_any_step() -> None:
    """The broker and consumers die at every step; every event is handled, and the run ends."""
    for seed in seeds(150):
        topology = router(3, 2, source=Numbers, sink=Sink, count=8)
        faults = crashes(("broker", "c"), 1 + seed % 3)
        run = Simulation(topology, seed=seed, faults=faults, laws=True).finish(max_steps=100_000)
        assert run.status == "done", seed
        assert set(run.handled("c")) == {n * 1000 + each for n in range(3) for each in range(8)}


def test_a04_a_killed_producer_costs_its_consumers_no_other_edge() -> None:
    """A member that is not started again leaves; its consumers take from the others on."""
    topology = (
        Topology("router")
        .stage("p0", Idle, restart="temporary")
        .stage("p1", Idle)
        .stage("broker", Broker, members=["p0", "p1"])
        .stage("c", Forwarder, replicas=2, subscribe_to=["broker"])
    )
    run = Supervised(topology)
    run.until(lambda: len(direct(run.core)) == 4)
    run.kill("p0/0")
    run.until(lambda: len(direct(run.core)) == 2)
    operations.cast(run.core, "p1", [1, 2, 3])
    run.until(lambda: sum(len(b) for c in indexed("c", 2) for b in run.batches(c)) == 3)
    assert {row.state for row in operations.which_children(run.core) if row.id != "p0/0"} == {
        "running"
    }


@pytest.mark.parametrize(
    ("shared_fate", "dead", "ends"),
    [
        (None, "broker", True),
        (None, "p0", False),
        (True, "broker", True),
        (True, "p0", True),
        (False, "broker", False),
        (False, "p0", False),
    ],
)
def test_a04_a_shared_fate_is_an_option_of_the_subscription(
    shared_fate: bool | None, dead: str, ends: bool
) -> None:
    """By default on for the edge to the broker, and off for those to the members."""
    topology = (
        Topology("router")
        .stage("p0", Idle, restart="temporary")
        .stage("p1", Idle)
        .stage("broker", Broker, members=["p0", "p1"], restart="temporary")
        .stage(
            "c",
            Forwarder,
            restart="temporary",
            subscribe_to=[{"to": "broker", "shared_fate": shared_fate}],
        )
    )
    run = Supervised(topology)
    run.until(lambda: len(direct(run.core)) == 2)
    run.kill(f"{dead}/0")
    if ends:
        run.until(lambda: run.row("c/0").state == "ended")
    else:
        operations.cast(run.core, "p1", [1, 2, 3])
        run.until(lambda: sum(map(len, run.batches("c/0"))) == 3)


# --- A5 -------------------------------------------------------------------------------------------


def test_a05_to_end_what_is_no_subscription_is_refused() -> None:
    """By name and by message: an unknown pair is an unknown subscription."""
    run = Supervised(router(2, 2, source=Idle, spares=1))
    run.until(lambda: len(direct(run.core)) == 4)
    with pytest.raises(Refused, match="unknown_subscription"):
        changes.unsubscribe(run.core, "c/0", "p2", "normal")
    stage = StageHarness(Idle)
    stage.subscribe(1, "c")
    stage.receive(1, Unsubscribe(7, "normal"))
    stage.receive(1, Ask(7, 1))
    assert [each.ref for each in stage.sent(1)] == [7, 7]
    assert stage.eos_reasons(1) == ["unknown_subscription"] * 2
    assert len(direct(run.core)) == 4


def test_a05_a_repeated_ref_leaves_the_edge_as_it_is() -> None:
    """The sender is told; it gets what it asked for before, and nothing twice."""
    stage = StageHarness(Idle)
    stage.subscribe(1, "c")
    stage.ask(1, 2)
    stage.receive(1, Subscribe(1, {}))
    assert stage.eos_reasons(1) == ["duplicated_subscription"]
    stage.cast(["a"])
    assert stage.events(1) == [["a"]]
    assert list(stage.behaviour.outstanding.values()) == [1]


# --- A6 -------------------------------------------------------------------------------------------


class Manager(actorflow.Producer):
    """Owns a set of producers, and emits what it is cast: it is one itself."""

    def handle_demand(self, demand: int) -> None:
        pass

    def handle_cast(self, message: Any) -> Any:
        verb, *names = message
        if verb == "emit":
            return names
        getattr(self, f"{verb}_members")(names)
        return None

    def handle_info(self, message: Any) -> None:
        self.log.info("told", reason=message.reason)


def managed(consumers: int = 2) -> Supervised:
    """A manager of nobody yet, three producers and some consumers."""
    topology = Topology("managed")
    for name in ("a", "b", "c"):
        topology = topology.stage(name, Idle)
    topology = topology.stage("manager", Manager)
    subscription = {"to": "manager", "max_demand": 4}
    topology = topology.stage("sink", Forwarder, replicas=consumers, subscribe_to=[subscription])
    run = Supervised(topology)
    run.until(lambda: all(run.linked(each) for each in indexed("sink", consumers)))
    return run


def test_a06_a_consumer_is_given_producers_and_asks_them() -> None:
    """Those that are there, those that come, and no longer those that go."""
    run = managed()
    sinks = indexed("sink", 2)
    operations.cast(run.core, "manager", ["set", "a", "b"])
    run.until(lambda: direct(run.core) == all_pairs(sinks, ["a/0", "b/0"]))
    operations.cast(run.core, "manager", ["add", "c"])
    run.until(lambda: direct(run.core) == all_pairs(sinks, ["a/0", "b/0", "c/0"]))
    operations.cast(run.core, "manager", ["remove", "a"])
    run.until(lambda: in_processes(run) == all_pairs(sinks, ["b/0", "c/0"]))
    assert direct(run.core) == all_pairs(sinks, ["b/0", "c/0"])
    operations.cast(run.core, "manager", ["set", "a"])
    run.until(lambda: in_processes(run) == direct(run.core) == all_pairs(sinks, ["a/0"]))
    operations.cast(run.core, "a", [1, 2])
    operations.cast(run.core, "manager", ["emit", 3])
    run.until(lambda: sum(len(b) for each in sinks for b in run.batches(each)) == 3)


def test_a06_a_change_is_one_message_to_each_consumer() -> None:
    """One link for a new producer, one cancellation for one that goes."""
    sink = StageHarness(Forwarder)
    sink.link_to_producer(1, "manager", max_demand=4)
    sink.link_to_producer(2, "a", max_demand=4, cancel="temporary")
    assert (sink.asks(1), sink.asks(2)) == ([4], [4])
    sink.order(CancelSubscription(2, "removed", replaced=True))
    sink.eos(2, "removed")
    assert not sink.machine.stopping
    assert [call[0] for call in sink.calls("handle_cancel")] == [("cancel", "removed")]


def test_a06_a_member_that_comes_back_at_once_is_joined_again() -> None:
    """Also under a broadcast, which takes a consumer only once: the old edge ends first."""
    topology = (
        Topology("managed")
        .stage("a", Idle, dispatcher="broadcast")
        .stage("manager", Manager, members=["a"])
        .stage("sink", Forwarder, subscribe_to=["manager"])
    )
    for seed in seeds(20):
        run = Supervised(topology, seed)
        run.until(lambda run=run: len(direct(run.core)) == 1)  # type: ignore[misc]
        changes.change_members(run.core, "manager", "remove", ["a"])
        changes.change_members(run.core, "manager", "add", ["a"])
        run.until(lambda run=run: direct(run.core) == [("sink/0", "a/0")])  # type: ignore[misc]
        operations.cast(run.core, "a", [1, 2])
        run.until(lambda run=run: sum(map(len, run.batches("sink/0"))) == 2)  # type: ignore[misc]
        run.simulation.stop()


def test_a06_what_cannot_be_a_member_is_refused_and_changes_nothing() -> None:
    """By an error to a program, by a message to the manager; it goes on in either case."""
    run = managed()
    operations.cast(run.core, "manager", ["set", "a"])
    run.until(lambda: len(direct(run.core)) == 2)
    for names, reason in ((["nobody"], "no_such_stage"), (["sink"], "not_a_producer")):
        with pytest.raises(Refused, match=reason):
            changes.change_members(run.core, "manager", "add", names)
        operations.cast(run.core, "manager", ["add", *names])
    with pytest.raises(Refused, match="not_a_producer"):
        changes.change_members(run.core, "manager", "add", ["manager"])
    with pytest.raises(Refused, match="not_a_producer"):
        changes.change_members(run.core, "sink/0", "add", ["a"])
    told: list[Any] = []
    run.until(lambda: len(told_reasons(run, told)) == 2)
    assert told == ["no_such_stage", "not_a_producer"]
    assert len(direct(run.core)) == 2


def told_reasons(run: Supervised, found: list[Any]) -> list[Any]:
    """The reasons that the manager has logged."""
    found[:] = [
        event.record.values["reason"]
        for event in run.simulation._events
        if getattr(getattr(event, "record", None), "event", "") == "told"
    ]
    return found


def test_a06_a_cycle_through_a_member_is_refused() -> None:
    """A consumer that feeds a producer cannot be given it, nor subscribe to whoever has it."""
    topology = (
        Topology("managed")
        .stage("manager", Manager)
        .stage("first", Same, subscribe_to=["manager"])
        .stage("second", Same, subscribe_to=["first"])
        .stage("sink", Forwarder, subscribe_to=["second"])
    )
    run = Supervised(topology)
    for member in ("first", "second"):
        with pytest.raises(Refused, match="cycle"):
            changes.change_members(run.core, "manager", "add", [member])
    run.wait(operations.start_child(run.core, child("other", Manager, "temporary")))
    changes.change_members(run.core, "other", "add", ["second"])
    with pytest.raises(Refused, match="cycle"):
        operations.subscribe(run.core, "first", "other", SubscriptionOptions())


def test_a06_nothing_is_lost_while_members_come_and_go_and_stages_die() -> None:
    """A consumer or the manager is killed at any step while producers are added and removed."""
    for seed in seeds(100):
        topology = router(2, 2, source=Numbers, sink=Sink, count=8, spares=1)
        faults = crashes(("broker", "c"), seed % 3)
        simulation = Simulation(topology, seed=seed, faults=faults, laws=True)
        members = {0, 1}
        for number, (change, member) in enumerate((("add", 2), ("remove", 1), ("add", 1))):
            step = 40 + seed * 3 + 60 * number
            run_to(simulation, step)
            try:
                changes.change_members(simulation.core, "broker", change, [f"p{member}"])
            except (Refused, Closed):
                break  # the broker has ended with its members
            members = members | {member} if change == "add" else members - {member}
        for left_out in {0, 1, 2} - members if not simulation.over else ():
            operations.terminate_child(simulation.core, f"p{left_out}")
        run = simulation.finish(max_steps=100_000)
        assert run.status == "done", seed
        wanted = {n * 1000 + each for n in members for each in range(8)}
        assert wanted <= set(run.handled("c")), seed


def run_to(simulation: Simulation, step: int) -> None:
    """Let things happen up to a step, or until the broker has ended."""
    broker = next(each for name, each in simulation.core.children.items() if name.name == "broker")
    simulation.run_until(lambda: simulation.world.steps >= step or broker.ended_for_good)
