"""A27: ten filtering chains in forty processes, a million events."""

from __future__ import annotations

from typing import Any

import pytest

from actorflow import Consumer, Producer, ProducerConsumer, Subscription, Topology

pytestmark = pytest.mark.processes

CHAINS, EVENTS = 10, 100_000


class Range(Producer):
    """The numbers up to `count`, as fast as they are wanted."""

    def __init__(self, count: int) -> None:
        self.next = 0
        self.count = count

    def handle_demand(self, demand: int) -> range:
        first, self.next = self.next, min(self.count, self.next + demand)
        if self.next == self.count:
            self.finish()
        return range(first, self.next)


class Multiples(ProducerConsumer):
    """Lets the multiples of a number through, and drops the others."""

    def __init__(self, of: int) -> None:
        self.of = of

    def handle_events(self, events: list[int], subscription: Subscription) -> list[int]:
        return [event for event in events if event % self.of == 0]


class Sum(Consumer):
    """Costs nothing."""

    def __init__(self) -> None:
        self.count = self.total = 0

    def handle_events(self, events: list[int], subscription: Subscription) -> None:
        self.count += len(events)
        self.total += sum(events)

    def on_stop(self, reason: Any) -> None:
        self.set_result([self.count, self.total])


def test_a27_ten_chains_of_filters_over_consumers_that_cost_nothing() -> None:
    """Producer -> filter -> filter -> consumer, ten times: all arrive, and nothing stops."""
    topology = Topology("chains")
    for chain in range(CHAINS):
        topology = (
            topology.stage(f"range{chain}", Range, args={"count": EVENTS})
            .stage(f"even{chain}", Multiples, args={"of": 2}, subscribe_to=[f"range{chain}"])
            .stage(f"tens{chain}", Multiples, args={"of": 10}, subscribe_to=[f"even{chain}"])
            .stage(f"sum{chain}", Sum, subscribe_to=[f"tens{chain}"])
        )
    with topology.start() as run:
        results = run.wait(timeout=50)
        statistics = run.stats()
    expected = [EVENTS // 10, sum(range(0, EVENTS, 10))]
    assert [results[f"sum{chain}"] for chain in range(CHAINS)] == [expected] * CHAINS
    taken = sum(statistics.stage(f"even{chain}").events_in for chain in range(CHAINS))
    assert taken == CHAINS * EVENTS
    assert all(stage.restarts == stage.discarded == 0 for stage in statistics.stages)
