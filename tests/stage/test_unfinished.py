"""What is kept until it is acknowledged has a limit: one that hangs cannot fill a memory."""

from __future__ import annotations

from typing import Any

import pytest

from actorflow import (
    Consumer,
    OptionError,
    ProducerConsumer,
    StageId,
    StageOptions,
    SubscribeTo,
    Subscription,
    Topology,
)
from actorflow.runtime.simulated.stall import Stalled
from actorflow.testing import Conditions, Gate, Simulation, StageHarness
from actorflow.testing.topologies import Numbers
from tests.conformance.helpers.stages import Counter


def sent(producer: StageHarness, ref: int = 1) -> int:
    """How many events went to a consumer."""
    return sum(len(batch) for batch in producer.events(ref))


def test_who_finishes_nothing_gets_no_more_than_the_limit() -> None:
    """Whatever it asks for; and as soon as it finishes some, what it asked for comes."""
    producer = StageHarness(Counter, max_unfinished=10)
    producer.subscribe(1, "slow", max_demand=4, min_demand=0)
    for _ in range(10):
        producer.ask(1, 4)
    assert sent(producer) == 12, "the ask that reaches the limit is met whole"
    producer.ask(1, 0, acked=1)
    assert sent(producer) == 12 + 7 * 4, "what it asked for meanwhile was not forgotten"


def test_the_others_go_on() -> None:
    """The limit is each consumer's own."""
    producer = StageHarness(Counter, max_unfinished=3)
    producer.subscribe(1, "slow", max_demand=1)
    producer.subscribe(2, "quick", max_demand=1)
    for turn in range(1, 21):
        producer.ask(1, 1)
        producer.ask(2, 1)
        producer.ask(2, 0, acked=turn) if turn <= len(producer.events(2)) else None
    assert sent(producer, 1) == 3
    assert sent(producer, 2) == 20


def test_a_window_is_never_cut_short() -> None:
    """A limit below `max_demand` is `max_demand`."""
    producer = StageHarness(Counter, max_unfinished=1)
    producer.subscribe(1, "one", max_demand=50)
    producer.ask(1, 30)
    producer.ask(1, 20)
    assert sent(producer) == 50


@pytest.mark.parametrize("options", [{"max_unfinished": None}, {"delivery": "at_most_once"}])
def test_without_a_limit_everything_asked_for_comes(options: dict[str, Any]) -> None:
    """Under `at_most_once` nothing is kept, so there is nothing to limit."""
    producer = StageHarness(Counter, **{"max_unfinished": 10, **options})
    producer.subscribe(1, "one", max_demand=4)
    for _ in range(10):
        producer.ask(1, 4)
    assert sent(producer) == 40


@pytest.mark.parametrize("bad", [0, -1, True, 1.5, "many"])
def test_a_limit_is_an_integer_of_at_least_1(bad: Any) -> None:
    """Anything else is refused by name."""
    with pytest.raises(OptionError, match="max_unfinished"):
        StageOptions(max_unfinished=bad)


class Through(ProducerConsumer):
    """Passes everything on."""

    def handle_events(self, events: list[int], subscription: Subscription) -> list[int]:
        return events


class Hangs(Consumer):
    """The first of its replicas hangs in its first event."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate

    def handle_events(self, events: list[int], subscription: Subscription) -> None:
        if self.index == 0:
            self.gate.wait()


def test_one_hung_replica_does_not_fill_the_memory_of_the_stages_before_it() -> None:
    """Acknowledgements are in order: what the others finish behind it is kept, up to the limit."""
    with Gate() as gate:
        topology = (
            Topology("hung")
            .stage("numbers", Numbers, args={"first": 0, "count": 5000}, max_unfinished=200)
            .stage("through", Through, subscribe_to=[SubscribeTo("numbers", max_demand=20)])
            .stage(
                "sink",
                Hangs,
                args={"gate": gate},
                replicas=2,
                subscribe_to=[SubscribeTo("through", max_demand=10)],
            )
        )
        simulation = Simulation(topology, seed=1, conditions=Conditions(slowest=0.0))

        def kept() -> int:
            return simulation.world.counters(StageId("numbers"))["unacknowledged"]

        simulation.run_until(lambda: gate.arrived == 1 and kept() >= 200)
        with pytest.raises(Stalled):
            simulation.run_until(lambda: kept() > 220)
        gate.open()
        assert sorted(simulation.finish().handled("sink")) == list(range(5000))
