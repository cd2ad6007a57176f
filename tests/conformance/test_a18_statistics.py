"""A18 and A30: what every stage and every edge counts, and what a stage says of itself."""

from __future__ import annotations

import json
from collections import Counter as Sums
from collections import defaultdict
from collections.abc import Mapping
from random import Random
from typing import Any

import pytest

import actorflow
from actorflow import (
    Dispatched,
    Dispatcher,
    EdgeStatistics,
    RunStatistics,
    SubscribeTo,
    SubscriptionOptions,
    Topology,
)
from actorflow.observe.report import Report
from actorflow.protocol import control
from actorflow.protocol.codec import decode_events
from actorflow.protocol.identity import StageId
from actorflow.protocol.messages import Ask, Route, Subscribe
from actorflow.protocol.wire import decode
from actorflow.runtime.simulated.process import SimulatedProcess
from actorflow.runtime.simulated.witness import Witness
from actorflow.stage.exact import ExactProducingHalf
from actorflow.stage.link_counters import named_half
from actorflow.supervision.events import Outcome
from actorflow.testing import Faults, LawBroken, Simulation, simulate
from actorflow.testing.harness import StageHarness
from actorflow.testing.topologies import random_topology
from tests.conformance.helpers.stages import Counter, Forwarder, Idle, Same
from tests.seeds import few

BOTH = ("events", "batches", "asks", "demand")


class Reconciles(Witness):
    """After every step: the edges count what was sent, and nothing came that was not sent.

    Args:
        killed: whether stages are killed: what is meant for a link that has ended is counted, and
            not sent.
    """

    def __init__(self, *, killed: bool) -> None:
        self.killed = killed
        self.steps = 0
        self.simulation: Simulation | None = None
        self._sent: dict[StageId, Sums[str]] = defaultdict(Sums)

    def sent(self, process: SimulatedProcess, link: int, frame: bytes) -> None:
        """Count a batch or an ask."""
        message = decode(frame[4:]) if link else None
        sums = self._sent[process.child.stage]
        if isinstance(message, Route):
            sums.update(events=len(decode_events(message.codec, message.body)), batches=1)
        elif isinstance(message, Ask) and message.count:
            sums.update(asks=1, demand=message.count)

    def acted(self, process: SimulatedProcess) -> None:
        """Compare."""
        if self.simulation is None or self.verdict is not None:
            return
        self.steps += 1
        machine = process.machine
        holds = machine is not None and isinstance(machine.producing, ExactProducingHalf)
        problem = self._problem(process.child.stage, ahead=self.killed or holds)
        if problem:
            self.verdict = LawBroken("the statistics reconcile", problem)

    def _problem(self, stage: StageId, *, ahead: bool) -> str:
        """What does not add up; what is counted may be held back, or have died, when `ahead`."""
        assert self.simulation is not None
        links = self.simulation.world.links()
        for name in BOTH:
            if name in ("asks", "demand"):
                counted = sum(link.consuming[name] for link in links if link.consumer == stage)
            else:
                counted = sum(link.producing[name] for link in links if link.producer == stage)
            sent = self._sent[stage][name]
            if counted < sent or (counted > sent and not ahead):
                return f"{stage} {name}: {sent} sent, {counted} on its edges"
        for link in links:
            if stage not in (link.producer, link.consumer):
                continue
            for name in BOTH:
                before, after = link.producing[name], link.consuming[name]
                if name in ("asks", "demand"):
                    before, after = after, before
                if after > before:
                    return f"{link.producer} → {link.consumer}: {name} {after} of {before}"
        return ""


def reconciled(topology: Any, seed: int, **arguments: Any) -> RunStatistics:
    """A simulated run in which everything adds up after every step."""
    witness = Reconciles(killed="faults" in arguments)
    simulation = Simulation(topology, seed=seed, laws=False, witness=witness, **arguments)
    witness.simulation = simulation
    report = simulation.finish(check=False).report
    assert witness.steps
    for stage in report.stages:
        out = [edge for edge in report.edges if edge.producer == stage.stage]
        into = [edge for edge in report.edges if edge.consumer == stage.stage]
        assert stage.events_out == sum(edge.events_sent for edge in out)
        assert stage.asks_in == sum(edge.asks_received for edge in out)
        assert stage.events_in == sum(edge.events_received for edge in into)
        assert stage.demand_out == sum(edge.demand_sent for edge in into)
    return report


@pytest.mark.parametrize("part", range(4))
def test_a18_totals_reconcile_at_every_step(part: int) -> None:
    """Any topology: the edges count what is sent, and at the end all that was sent came."""
    for seed in few(range(part * 10, part * 10 + 10)):
        topology = random_topology(Random(f"a18 {seed}"))
        for edge in reconciled(topology.plan, seed).edges:
            assert edge.state == "over"
            assert edge.events_sent == edge.events_received + edge.undelivered
            assert (edge.in_flight, edge.outstanding, edge.waiting) == (0, 0, 0)
            assert edge.asks_received <= edge.asks_sent
            assert edge.events_sent <= edge.demand_received <= edge.demand_sent


@pytest.mark.parametrize("part", range(2))
def test_a18_totals_reconcile_over_crashes(part: int) -> None:
    """What was on its way when a process was killed is undelivered, and nothing else is missing."""
    fell = 0
    for seed in range(part * 10, part * 10 + 5):
        topology = random_topology(Random(f"a18 crash {seed}"), lossless=True)
        faults = Faults(crashes=2, within=400, stages=topology.crashable)
        report = reconciled(topology.plan, seed, faults=faults)
        for edge in report.edges:
            assert edge.events_sent == edge.events_received + edge.undelivered + edge.in_flight
        fell += sum(edge.subscriptions > 1 for edge in report.edges)
    assert fell


def chain() -> Topology:
    """A source of 100 numbers, a stage in between, and a sink."""

    class Hundred(Counter):
        def handle_demand(self, demand: int) -> Any:
            events = list(super().handle_demand(min(demand, 100 - self.next)))
            if self.next == 100:
                self.finish()
            return events

    return (
        Topology("chain")
        .stage("numbers", Hundred)
        .stage("same", Same, subscribe_to=[SubscribeTo("numbers", max_demand=10, min_demand=5)])
        .stage("sink", Forwarder, subscribe_to=[SubscribeTo("same", max_demand=4, min_demand=2)])
    )


def test_a18_every_edge_reports() -> None:
    """Start, events, messages, asks and demand both ways, outstanding, latency; in start order."""
    report = simulate(chain(), seed=3).report
    assert [(edge.producer, edge.consumer) for edge in report.edges] == [
        ("numbers/0", "same/0"),
        ("same/0", "sink/0"),
    ]
    edge = report.edge("numbers", "same")
    assert (edge.events_sent, edge.events_received) == (100, 100)
    assert edge.batches_sent == edge.batches_received >= 10
    assert edge.asks_sent >= edge.asks_received >= 18
    assert edge.demand_sent >= edge.demand_received >= 100
    assert edge.subscriptions == 1
    assert edge.started > 0
    assert edge.answered > 0
    assert edge.latency is not None
    assert 0 < edge.latency < report.seconds
    assert 0 <= report.stage("numbers").started <= report.stage("sink").started < report.seconds
    with pytest.raises(KeyError):
        report.edge("sink", "numbers")


def test_a18_the_latency_is_from_an_ask_to_its_first_event() -> None:
    """A producer that takes its time shows, whatever else was asked for before."""
    consumer = StageHarness(Forwarder)
    consumer.link_to_producer(1, "producer", max_demand=4, min_demand=2)
    consumer.advance(0.5)
    consumer.route(1, ["a"])
    half = named_half(consumer.link_slots[1])
    assert (half["waited"], half["answered"]) == (500_000_000, 1)
    consumer.route(1, ["b"])
    # Now two more are asked for; their first event is the fifth, and until then nothing is timed.
    assert consumer.asks(1) == [4, 2]
    consumer.advance(1.0)
    consumer.route(1, ["c", "d"])
    assert named_half(consumer.link_slots[1])["answered"] == 1
    consumer.advance(1.0)
    consumer.route(1, ["e"])
    half = named_half(consumer.link_slots[1])
    assert (half["waited"], half["answered"]) == (2_500_000_000, 2)
    assert (half["events"], half["batches"], half["asks"], half["demand"]) == (5, 4, 3, 8)


def by_first(event: list[Any]) -> Any:
    """A partition function."""
    return event[0]


def test_a18_a_hot_partition_shows_on_its_edge() -> None:
    """What waits for a consumer is on its edge, and in the stage's total, whoever waits."""
    by = f"{__name__}:by_first"
    producer = StageHarness(Idle, dispatcher={"partition": {"partitions": 2, "by": by}})
    for ref in (1, 2):
        producer.subscribe(ref, f"c{ref}", partition=ref - 1)
        producer.ask(ref, 5)
    producer.cast([[0, number] for number in range(8)])
    assert named_half(producer.link_slots[1])["waiting"] == 3
    assert named_half(producer.link_slots[2])["waiting"] == 0
    assert producer.counters["queued"] == 3
    producer.ask(1, 2)
    assert named_half(producer.link_slots[1])["waiting"] == 1
    producer.ask(1, 2)
    assert named_half(producer.link_slots[1])["waiting"] == 0
    assert producer.counters["queued"] == 0
    assert named_half(producer.link_slots[1])["events"] == 8


def test_a18_what_a_consumer_leaves_behind_is_on_its_edge() -> None:
    """Given to others, or lost when nobody else is to have it."""
    for dispatcher, found in (("demand", (2, 0)), ("broadcast", (0, 2))):
        producer = StageHarness(Idle, dispatcher=dispatcher)
        producer.subscribe(1, "gone")
        producer.ask(1, 5)
        producer.cast(["a", "b"])
        producer.hang_up(1)
        producer.down("gone")
        half = named_half(producer.link_slots[1])
        assert (half["redelivered"], half["lost"]) == found


def test_a18_a_link_without_a_place_is_counted_in_the_stages_totals() -> None:
    """It works all the same, as when edges are not counted at all."""
    producer = StageHarness(Counter)
    producer.order(control.Link(1, "producer", "sink/0#1"))
    producer.receive(1, Subscribe(1, {}))
    producer.ask(1, 3)
    producer.ask(1, 2)
    assert producer.events(1) == [[0, 1, 2], [3, 4]]
    assert producer.link_slots == {}
    sides = ("events_out", "batches_out", "asks_in", "demand_in")
    assert [producer.counters[name] for name in sides] == [5, 2, 2, 5]

    consumer = StageHarness(Forwarder)
    options = SubscriptionOptions(max_demand=4).to_wire()
    consumer.order(control.Link(1, "consumer", "numbers/0#1", options))
    consumer.route(1, ["a", "b"])
    assert consumer.link_slots == {}
    sides = ("events_in", "batches_in", "asks_out", "demand_out")
    assert [consumer.counters[name] for name in sides] == [2, 1, 2, 6]


def edge(**changes: Any) -> EdgeStatistics:
    """An edge's statistics."""
    numbers = dict.fromkeys(EdgeStatistics.__dataclass_fields__, 0)
    given: dict[str, Any] = {
        **numbers,
        "producer": "a/0",
        "consumer": "b/0",
        "partition": None,
        "state": "live",
        "latency": None,
        **changes,
    }
    return EdgeStatistics(**given)


def test_a18_the_report_has_a_table_of_edges() -> None:
    """Plain in JSON, and for a person the busiest of many."""
    edges = tuple(
        edge(consumer=f"b/{number}", partition=number, events_sent=number, events_received=number)
        for number in range(30)
    )
    statistics = RunStatistics("run", 1.0, (), (*edges, edge(latency=0.0015, events_sent=99)))
    report = Report(statistics, Outcome("done", results={}))
    assert len(json.loads(report.as_json())["edges"]) == 31
    text = report.as_text()
    assert "a/0 → b/29 (29)" in text
    assert "a/0 → b/3 (3)" not in text
    assert "1.50 ms" in text
    assert "… and 11 more edges, in --json" in text


class Hostile:
    """Its repr raises."""

    def __repr__(self) -> str:
        raise RuntimeError("no")


class Endless:
    """Its repr never gets to an end."""

    def __repr__(self) -> str:
        return repr(self)


class Odd(actorflow.Producer):
    """Whatever a user's object may be in."""

    def __init__(self) -> None:
        self.huge = list(range(1_000_000))
        self.recursive: list[Any] = []
        self.recursive.append(self.recursive)
        self.hostile = Hostile()
        self.endless = Endless()
        self.infinite = float("inf")
        self.surrogate = "\ud800"
        self.myself = self
        self.__dict__[5] = "five"  # type: ignore[index]
        self.bytes = b"\xff"

    def __getattribute__(self, name: str) -> Any:
        if name == "__dict__" and getattr(type(self), "closed", False):
            raise AttributeError(name)
        return super().__getattribute__(name)

    def handle_demand(self, demand: int) -> Any:
        return None


class Chatty(Dispatcher):
    """Says strange things of itself."""

    holds = False

    def __init__(self, said: Any) -> None:
        self.said = said

    capacity = 0

    def subscribe(self, ref: int, consumer: str, options: Mapping[str, Any]) -> None: ...

    def ask(self, ref: int, count: int) -> None: ...

    def dispatch(self, events: list[Any], position: int) -> Dispatched:
        return Dispatched([], len(events))

    def suspend(self, ref: int) -> None: ...

    def leave(self, ref: int, *, successor: bool = False) -> None: ...

    def give_back(self, ref: int, batches: list[Any]) -> list[Any]:
        return batches

    def describe(self) -> Any:
        if isinstance(self.said, Exception):
            raise self.said
        return self.said


@pytest.mark.parametrize("behaviour", [Counter, Same, Forwarder, Odd])
def test_a30_the_status_of_every_stage_is_plain(behaviour: Any) -> None:
    """It can be written as JSON, whatever is in the stage, before, in and after its life."""
    stage = StageHarness(behaviour)
    if stage.machine.kind != "consumer":
        stage.subscribe(1, "sink", partition=("a", 1))
        stage.ask(1, 5)
    if stage.machine.kind != "producer":
        stage.link_to_producer(2, "source", max_demand=5)
        stage.route(2, ["a"])
    stage.down("sink", restarting=True)
    for moment in ("running", "stopped"):
        text = json.dumps(stage.machine.status(), allow_nan=False)
        assert len(text) < 50_000, moment
        if moment == "running":
            json.dumps(stage.status(), allow_nan=False)
            assert stage.exiting is None
            stage.stop()


def test_a30_state_that_cannot_be_shown_is_shown_as_such() -> None:
    """One bad attribute does not hide the others, and a long one is cut."""
    stage = StageHarness(Odd)
    state = stage.status()["state"]
    assert state["hostile"] == "<Hostile, whose repr raised RuntimeError>"
    assert "whose repr raised RecursionError" in state["endless"]
    assert state["recursive"] == "[[...]]"
    assert state["huge"].startswith("[0, 1, 2")
    assert len(state["huge"]) == 1000
    assert state["5"] == "'five'"
    Odd.closed = True  # type: ignore[attr-defined]
    try:
        assert stage.status()["state"] == state
    finally:
        del Odd.closed  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "said",
    [
        {"a": {1: object(), "b": [float("nan"), (1, 2)]}},
        5,
        None,
        RuntimeError("no"),
        {"a": Hostile()},
    ],
)
def test_a30_whatever_a_dispatcher_says_of_itself(said: Any) -> None:
    """A status page ends no stage."""
    stage = StageHarness(Idle, dispatcher=Chatty(said))
    json.dumps(stage.status(), allow_nan=False)
    assert stage.error is None


def test_a30_run_statistics_are_plain() -> None:
    """As data, and as JSON."""
    report = simulate(chain(), seed=1).report
    found = json.loads(json.dumps(report.as_dict(), allow_nan=False))
    assert [stage["stage"] for stage in found["stages"]] == ["numbers/0", "same/0", "sink/0"]
    assert [edge["events_sent"] for edge in found["edges"]] == [100, 100]
