"""``max_demand: auto`` under the virtual clock: beside every fixed setting, for uneven events."""

from __future__ import annotations

from random import Random

import pytest

from actorflow import Consumer, Producer, SubscribeTo, Subscription, Topology
from actorflow.testing import Conditions, simulate, spend

MESSAGE = 60e-6
"""Seconds that a batch costs, whatever is in it: what one costs between two processes."""

WORKERS = 4
FIXED = (1, 2, 10, 30, 100)

dice = Random(7)
MIXED = [10 ** dice.uniform(-6, -1) for _ in range(250)]
RARE = [0.1 if dice.random() < 0.01 else 1e-6 for _ in range(1500)]

SHAPES = {"mixed": MIXED, "rising": sorted(MIXED), "falling": sorted(MIXED)[::-1], "rare": RARE}


class Costs(Producer):
    """Events that say how long they take."""

    def __init__(self, costs: list[float]) -> None:
        self.costs = costs

    def handle_demand(self, demand: int) -> list[float]:
        part, self.costs = self.costs[:demand], self.costs[demand:]
        if not self.costs:
            self.finish()
        return part


class Work(Consumer):
    """Takes as long as they say."""

    def handle_events(self, events: list[float], subscription: Subscription) -> None:
        spend(MESSAGE + sum(events))


def makespan(shape: str, max_demand: int | str) -> float:
    """Virtual seconds until all is done."""
    topology = (
        Topology("uneven")
        .stage("costs", Costs, args={"costs": SHAPES[shape]})
        .stage(
            "work",
            Work,
            replicas=WORKERS,
            subscribe_to=[SubscribeTo("costs", max_demand=max_demand)],
        )
    )
    calm = Conditions(
        pick="uniform", cut="whole", eager=True, capacity=65536, slowest=0.0, haste=0.0
    )
    return simulate(topology, conditions=calm).seconds


@pytest.mark.parametrize("shape", SHAPES)
def test_auto_is_as_good_as_the_best_fixed_setting(shape: str) -> None:
    """Events from a microsecond to a tenth of a second: within 1.2 times the best makespan."""
    best = min(makespan(shape, max_demand) for max_demand in FIXED)
    assert makespan(shape, "auto") <= 1.2 * best
