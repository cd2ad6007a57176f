"""What a link costs the supervisor does not grow with the number of links."""

from __future__ import annotations

import sys
from contextlib import suppress
from types import FrameType
from typing import Any

from actorflow import Topology
from actorflow.supervision.wiring import EdgeState
from actorflow.testing import Stalled
from actorflow.testing.simulation import Simulation
from tests.conformance.helpers.stages import Forwarder, Idle

PLACES = ("actorflow/supervision/", "actorflow/records.py")
"""Where the calls are counted: the supervisor's own, and comparisons of the names of stages."""


class Calls:
    """Counts the supervisor's calls while it is entered."""

    def __init__(self) -> None:
        self.count = 0

    def __enter__(self) -> Calls:
        sys.setprofile(self._called)
        return self

    def __exit__(self, *exc: object) -> None:
        sys.setprofile(None)

    def _called(self, frame: FrameType, event: str, argument: Any) -> None:
        if event == "call" and any(place in frame.f_code.co_filename for place in PLACES):
            self.count += 1


def calls_per_link(width: int) -> float:
    """Of as many producers as consumers, each linked with each."""
    topology = (
        Topology("wide")
        .stage("source", Idle, replicas=width)
        .stage("sink", Forwarder, replicas=width, subscribe_to=["source"])
    )
    simulation = Simulation(topology, seed=1)
    with Calls() as calls, suppress(Stalled):
        simulation.run_until(lambda: False)  # until nothing can happen: the sources have nothing
    edges = simulation.core.wiring.edges
    assert [edge.state for edge in edges] == [EdgeState.ESTABLISHED] * width * width
    return calls.count / len(edges)


def test_each_of_many_links_costs_no_more_than_each_of_a_few() -> None:
    """Every one was once looked for among all the others."""
    few, many = calls_per_link(6), calls_per_link(12)
    assert many < few
