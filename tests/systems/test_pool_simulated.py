"""The pool in whole topologies, in virtual time: slices end in any order, processes die."""

from __future__ import annotations

from collections import Counter

import pytest

from actorflow import SubscribeTo, SupervisorOptions, Topology
from actorflow.stages.pool import Pipeline, Query, TaskContext, TaskPool
from actorflow.testing import Faults, simulate
from actorflow.testing.topologies import Numbers, Sink
from tests.seeds import seeds

COUNT = 30
SEEDS = seeds(16)


def twice(event: int, context: TaskContext) -> None:
    """Two tasks of an event."""
    context.emit(2 * event)
    context.emit(2 * event + 1)


def out(item: int, context: TaskContext) -> None:
    """An event of the stage."""
    context.emit(item)


def topology(*, idempotent: bool) -> Topology:
    """Numbers, a pool that makes two events of each, and a sink."""
    pipelines = {"twice": Pipeline(run=twice, to=["out"]), "out": out}
    query = Query(name="q", pipelines=pipelines, idempotent=idempotent)
    return (
        Topology("pool", supervisor=SupervisorOptions(max_restarts=100, max_seconds=1e6))
        .stage("numbers", Numbers, args={"first": 0, "count": COUNT, "answer": "exact"})
        .stage(
            "pool",
            TaskPool,
            args={"queries": [query], "workers": 2, "admission_size": 3, "output_size": 2},
            subscribe_to=["numbers"],
        )
        .stage("sink", Sink, subscribe_to=[SubscribeTo("pool", max_demand=5)])
    )


def test_b_02_every_event_has_its_tasks_once() -> None:
    """Without faults, whatever the schedule and the order of the ends."""
    for seed in SEEDS:
        run = simulate(topology(idempotent=False), seed=seed)
        assert sorted(run.handled("sink")) == list(range(2 * COUNT)), seed


@pytest.mark.parametrize("faults", [Faults(children=8), Faults(crashes=1, stages=("pool",))])
def test_b_22_whatever_dies_no_event_is_lost(faults: Faults) -> None:
    """Workers are replaced, and so is the pool: everything is done, some of it twice."""
    for seed in SEEDS:
        run = simulate(topology(idempotent=True), seed=seed, faults=faults)
        assert set(Counter(run.handled("sink"))) == set(range(2 * COUNT)), seed
