"""The stages of scans in whole topologies: simulated with every order of events, and real ones."""

from __future__ import annotations

from typing import Any

import pytest

from actorflow import SubscribeTo, Topology
from actorflow.stages.scans import DistributeStage, latest
from actorflow.testing import simulate
from actorflow.testing.topologies import Numbers, Sink
from tests.seeds import seeds

TIGHT = {"max_buffer": 1}


def chained(length: int, count: int, **config: Any) -> Topology:
    """A source of numbers, so many stages of one scan each behind it, and a sink."""
    topology = Topology("chained").stage("numbers", Numbers, args={"first": 0, "count": count})
    before = "numbers"
    for number in range(length):
        topology = topology.stage(
            f"scans-{number}",
            DistributeStage,
            args={"scans": [latest()], "config": {**TIGHT, **config}},
            subscribe_to=[SubscribeTo(before, max_demand=2, min_demand=1)],
        )
        before = f"scans-{number}"
    return topology.stage("sink", Sink, subscribe_to=[before])


@pytest.mark.parametrize("seed", seeds(10))
def test_a_20_three_stages_of_scans_behind_each_other(seed: int) -> None:
    """With room for one everywhere, and windows of two, all of it arrives."""
    finished = simulate(chained(3, 60), seed=seed)
    assert finished.handled("sink") == [None, None, None, *range(60)]
