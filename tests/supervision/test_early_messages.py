"""What a stage is sent before it is there."""

from __future__ import annotations

from typing import Any

import pytest

from actorflow import Consumer, Producer, Subscription, Topology
from actorflow.supervision import operations
from actorflow.testing import Simulation


class Queue(Producer):
    """Emits what it is cast."""

    def handle_demand(self, demand: int) -> None:
        return None

    def handle_cast(self, jobs: list[int]) -> list[int]:
        return jobs


class Done(Consumer):
    """Its result is what it has taken."""

    def __init__(self) -> None:
        self.jobs: list[int] = []

    def handle_events(self, events: list[int], subscription: Subscription) -> None:
        self.jobs += events

    def on_stop(self, reason: Any) -> None:
        self.set_result(self.jobs)


@pytest.mark.parametrize("seed", range(4))
def test_a_drain_right_after_a_cast_still_has_the_cast_taken(seed: int) -> None:
    """Both come before the stage is ready; it is told to finish behind what it was cast."""
    topology = Topology("early").stage("queue", Queue).stage("done", Done, subscribe_to=["queue"])
    simulation = Simulation(topology, seed=seed)
    simulation.start()
    operations.cast(simulation.core, "queue", [1, 2, 3])
    simulation.core.drain()
    assert simulation.finish().results == {"done": [1, 2, 3]}
