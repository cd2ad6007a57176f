"""State, and under `exactly_once` everything, survives the death of any process at any moment."""

from __future__ import annotations

from collections import Counter
from itertools import chain
from typing import Any

import pytest

from actorflow import (
    Consumer,
    Defaults,
    ProducerConsumer,
    SubscribeTo,
    Subscription,
    SupervisorOptions,
    Topology,
)
from actorflow.stages.sources import Items
from actorflow.testing import CrashAt, Faults, SimulatedRun, simulate
from tests.seeds import few, seeds

NUMBERS = 40
SEEDS = seeds(24)


class Several(ProducerConsumer):
    """Makes none, one or two events of each, and counts what it has taken."""

    def __init__(self) -> None:
        self.taken = 0

    def handle_events(self, events: list[int], subscription: Subscription) -> list[list[int]]:
        self.taken += len(events)
        return [[event, part] for event in events for part in range(event % 3)]

    def snapshot(self) -> int:
        return self.taken

    def restore(self, state: int) -> None:
        self.taken = state

    def on_stop(self, reason: Any) -> None:
        self.set_result(self.taken)


class Plain(ProducerConsumer):
    """The same without a state of its own."""

    def handle_events(self, events: list[int], subscription: Subscription) -> list[list[int]]:
        return [[event, part] for event in events for part in range(event % 3)]


class Collect(Consumer):
    """Keeps every event; its result is all of them."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    def handle_events(self, events: list[Any], subscription: Subscription) -> None:
        self.events += events

    def snapshot(self) -> list[Any]:
        return list(self.events)

    def restore(self, state: list[Any]) -> None:
        self.events = list(state)

    def on_stop(self, reason: Any) -> None:
        self.set_result(self.events)


def made() -> Counter[str]:
    """What comes out of `Several`, and how often."""
    return Counter(str([n, part]) for n in range(NUMBERS) for part in range(n % 3))


def counted(run: SimulatedRun, stage: str = "collect") -> Counter[str]:
    """What arrived in a stage's state, all replicas together."""
    assert run.status == "done", run.error
    result = run.results[stage]
    return Counter(str(event) for event in result)


def topology(delivery: str, **source: Any) -> Topology:
    """A topology with a source of numbers and patience with restarts."""
    return Topology(
        "snapshots",
        supervisor=SupervisorOptions(max_restarts=1000),
        defaults=Defaults(delivery=delivery),
    ).stage("numbers", Items, args={"items": list(range(NUMBERS))}, **source)


def two_between(delivery: str, between: type[ProducerConsumer] = Several) -> Topology:
    """Two stages between a source and a sink."""
    return (
        topology(delivery)
        .stage("several", between, replicas=2, subscribe_to=[SubscribeTo("numbers", max_demand=7)])
        .stage("collect", Collect, subscribe_to=[SubscribeTo("several", max_demand=5)])
    )


def crashing(seed: int) -> Faults:
    """Up to four crashes, early enough to matter."""
    return Faults(crashes=seed % 5, within=300)


@pytest.mark.parametrize("between", [Several, Plain])
def test_every_event_counts_once_in_the_state_of_a_chain(between: type[ProducerConsumer]) -> None:
    """Sources, producer-consumers with and without a state, and sinks are killed."""
    for seed in SEEDS:
        run = simulate(two_between("exactly_once", between), seed=seed, faults=crashing(seed))
        assert counted(run) == made(), seed
        if between is Several:
            assert sum(run.results["several"]) == NUMBERS, seed


def test_every_event_counts_once_for_each_consumer_of_a_broadcast() -> None:
    """A successor takes its predecessor's place, and nobody has an event twice."""
    broadcast = topology("exactly_once", dispatcher="broadcast")
    for replica in ("left", "right"):
        subscription = SubscribeTo("numbers", max_demand=4)
        broadcast = broadcast.stage(replica, Collect, subscribe_to=[subscription])
    for seed in SEEDS:
        run = simulate(broadcast, seed=seed, faults=crashing(seed))
        for replica in ("left", "right"):
            assert run.results[replica] == list(range(NUMBERS)), seed


def test_every_event_counts_once_in_its_partition() -> None:
    """What waits for one partition is in the snapshot as well."""
    partitioned = topology("exactly_once", dispatcher={"partition": {"partitions": 3}}).stage(
        "collect", Collect, replicas=3, subscribe_to=[SubscribeTo("numbers", max_demand=2)]
    )
    whole = simulate(partitioned, seed=0).results["collect"]
    assert sorted(chain.from_iterable(whole)) == list(range(NUMBERS))
    for seed in SEEDS:
        run = simulate(partitioned, seed=seed, faults=crashing(seed))
        assert run.results["collect"] == whole, seed


def test_a_state_reflects_every_event_once_while_its_sources_live() -> None:
    """Under `at_least_once` that is the promise for a stage that keeps a state."""
    direct = topology("at_least_once").stage(
        "collect", Collect, replicas=2, subscribe_to=[SubscribeTo("numbers", max_demand=6)]
    )
    for seed in SEEDS:
        faults = Faults(crashes=seed % 5, within=200, stages=("collect",))
        run = simulate(direct, seed=seed, faults=faults)
        assert Counter(chain.from_iterable(run.results["collect"])) == Counter(range(NUMBERS)), seed


def test_a_source_with_positions_loses_nothing() -> None:
    """It goes on from where everything before was finished; what came after comes again."""
    for seed in SEEDS:
        faults = Faults(crashes=seed % 5, within=300)
        run = simulate(two_between("at_least_once"), seed=seed, faults=faults)
        assert not made() - counted(run), seed


def test_a_source_with_positions_does_not_begin_anew() -> None:
    """Of a long stream what comes again is what was under way, not all of it."""
    long = Topology("long", supervisor=SupervisorOptions(max_restarts=1000))
    long = long.stage("numbers", Items, args={"items": list(range(2000))}).stage(
        "collect", Collect, subscribe_to=[SubscribeTo("numbers", max_demand=10)]
    )
    again = 0
    for seed in seeds(10):
        faults = Faults(crashes=1, within=2000, stages=("numbers",))
        run = simulate(long, seed=seed, faults=faults)
        again = max(again, len(run.results["collect"]) - 2000)
        assert set(run.results["collect"]) == set(range(2000))
    assert again < 1000


def small(delivery: str) -> Topology:
    """As few events as fill every place once."""
    return (
        Topology(
            "small",
            supervisor=SupervisorOptions(max_restarts=10),
            defaults=Defaults(delivery=delivery),
        )
        .stage("numbers", Items, args={"items": [2, 4, 5]})
        .stage("several", Several, subscribe_to=[SubscribeTo("numbers", max_demand=2)])
        .stage("collect", Collect, subscribe_to=[SubscribeTo("several", max_demand=2)])
    )


@pytest.mark.parametrize("delivery", ["exactly_once", "at_least_once"])
@pytest.mark.parametrize("victim", ["numbers", "several", "collect"])
def test_a_crash_at_every_step_of_a_small_topology(victim: str, delivery: str) -> None:
    """Wherever the process is killed, the state is what the mode promises; few of them here."""
    undisturbed = simulate(small(delivery), seed=3)
    wanted = Counter(map(str, undisturbed.results["collect"]))
    assert wanted.total() == 5
    for step in few(range(1, undisturbed.steps + 1)):
        faults = Faults(at=(CrashAt(step, victim),))
        run = simulate(small(delivery), seed=3, faults=faults)
        got = counted(run)
        assert got == wanted if delivery == "exactly_once" else not wanted - got, step
