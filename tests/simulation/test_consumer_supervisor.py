"""ConsumerSupervisor in whole topologies, in virtual time: children end in any order, and die."""

from __future__ import annotations

import pytest

from actorflow import (
    ChildTemplate,
    ConsumerSupervisor,
    ProducerConsumerSupervisor,
    SubscribeTo,
    SupervisorOptions,
    Topology,
)
from actorflow.testing import Faults, SimulatedRun, simulate
from actorflow.testing.topologies import Numbers, Sink
from tests.seeds import seeds

COUNT = 40
SEEDS = seeds(25)


def double(event: int) -> int:
    """What a child makes of an event."""
    return 2 * event


def topology(
    *, restart: str, max_demand: int, min_demand: int, max_restarts: int = 100, replicas: int = 1
) -> Topology:
    """Numbers, a child for each, and a sink for the results."""
    template = ChildTemplate(run=double, restart=restart)  # type: ignore[arg-type]
    return (
        Topology("children", supervisor=SupervisorOptions(max_restarts=100, max_seconds=1e6))
        .stage("numbers", Numbers, args={"first": 0, "count": COUNT, "answer": "exact"})
        .stage(
            "jobs",
            ProducerConsumerSupervisor,
            args={"template": template, "max_restarts": max_restarts},
            replicas=replicas,
            subscribe_to=[SubscribeTo("numbers", max_demand=max_demand, min_demand=min_demand)],
        )
        .stage("sink", Sink, subscribe_to=[SubscribeTo("jobs", max_demand=5)])
    )


def results(run: SimulatedRun) -> list[int]:
    """What the sink has handled."""
    return sorted(run.handled("sink"))


WINDOWS = [(1, 0), (2, 1), (5, 0), (7, 3), (40, 39)]


@pytest.mark.parametrize(("max_demand", "min_demand"), WINDOWS)
def test_every_event_has_its_child_once(max_demand: int, min_demand: int) -> None:
    """Without faults, whatever the schedule and the order of the ends."""
    for seed in SEEDS:
        plan = topology(restart="temporary", max_demand=max_demand, min_demand=min_demand)
        run = simulate(plan, seed=seed)
        assert results(run) == [2 * number for number in range(COUNT)], seed


@pytest.mark.parametrize(("max_demand", "min_demand"), WINDOWS)
def test_transient_children_that_die_are_run_again(max_demand: int, min_demand: int) -> None:
    """One child in five is killed; every event has its result in the end, and the run ends."""
    for seed in SEEDS:
        plan = topology(restart="transient", max_demand=max_demand, min_demand=min_demand)
        run = simulate(plan, seed=seed, faults=Faults(children=5))
        assert results(run) == [2 * number for number in range(COUNT)], seed


def test_temporary_children_that_die_are_counted_and_free_their_slot() -> None:
    """The run ends, with fewer results; none is there twice."""
    died = 0
    for seed in SEEDS:
        plan = topology(restart="temporary", max_demand=3, min_demand=2)
        found = results(simulate(plan, seed=seed, faults=Faults(children=5)))
        assert len(set(found)) == len(found), seed
        assert set(found) <= {2 * number for number in range(COUNT)}
        died += COUNT - len(found)
    assert died > 0


def test_too_many_restarts_end_the_stage_and_its_successor_goes_on() -> None:
    """The intensity of the children is exceeded again and again; no event is lost by that."""
    for seed in SEEDS:
        plan = topology(restart="transient", max_demand=4, min_demand=1, max_restarts=2)
        run = simulate(plan, seed=seed, faults=Faults(children=6))
        assert set(results(run)) == {2 * number for number in range(COUNT)}, seed


@pytest.mark.parametrize("replicas", [1, 3])
def test_killed_supervisors_lose_no_event(replicas: int) -> None:
    """Kill -9 of a supervisor at any step: what its children had not finished is done again."""
    crashed = 0
    for seed in SEEDS:
        plan = topology(restart="transient", max_demand=6, min_demand=3, replicas=replicas)
        faults = Faults(crashes=3, stages=("jobs", "sink"), within=300, children=10)
        run = simulate(plan, seed=seed, faults=faults)
        crashed += len(run.crashed)
        assert set(results(run)) == {2 * number for number in range(COUNT)}, seed
    assert crashed > len(SEEDS)


def test_a_consuming_supervisor_finishes_everything() -> None:
    """Without results: the source knows that each of its events is finished."""
    for seed in SEEDS:
        plan = (
            Topology("children", supervisor=SupervisorOptions(max_restarts=100, max_seconds=1e6))
            .stage(
                "numbers",
                Numbers,
                args={"first": 0, "count": COUNT, "answer": "less"},
                poll_interval=0.01,
            )
            .stage(
                "jobs",
                ConsumerSupervisor,
                args={"template": ChildTemplate(run=double), "max_restarts": 100},
                subscribe_to=["numbers"],
            )
        )
        run = simulate(plan, seed=seed, faults=Faults(children=7, crashes=1, stages=("jobs",)))
        numbers = next(each for each in run.report.stages if each.stage == "numbers/0")
        assert numbers.unacknowledged == 0
        assert numbers.events_out - numbers.redelivered == COUNT, seed
