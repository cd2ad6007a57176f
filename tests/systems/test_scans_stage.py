"""The stages of scans in whole topologies: simulated with every order of events, and real ones."""

from __future__ import annotations

from typing import Any

import pytest

from actorflow import SubscribeTo, Topology
from actorflow.stages.scans import DemuxStage, DistributeStage, ScanConfig, latest, sum_of, take
from actorflow.testing import Faults, StageHarness, run, simulate
from actorflow.testing.topologies import Numbers, Sink
from tests.seeds import seeds, size

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
    """With room for one everywhere, and windows of two, all of it arrives.

    5000 elements in one order of events in a thorough run; else 60.
    """
    count = 60 if seed else size(5000, 60)
    finished = simulate(chained(3, count), seed=seed)
    assert finished.handled("sink") == [None, None, None, *range(count)]


@pytest.mark.parametrize("seed", seeds(10))
def test_a_11_hosts_that_are_killed_at_random(seed: int) -> None:
    """Each is begun anew, and the stage's end comes; what is consumed or lost adds up."""
    config = {"on_error": "restart", "max_restarts": 1000, "max_buffer": 4}
    finished = simulate(chained(1, 60, **config), seed=seed, faults=Faults(children=20))
    report = finished.results["scans-0"]
    (row,) = report.scans
    assert (report.elements, row.state) == (60, "ended")
    assert row.consumed + row.lost == 60
    values = [value for value in finished.handled("sink") if value is not None]
    assert values == sorted(set(values))
    assert len(values) == row.consumed


@pytest.mark.parametrize("seed", seeds(10))
def test_a_stage_that_is_killed_begins_with_fresh_scans(seed: int) -> None:
    """What was not acknowledged comes again, so every number is seen, some of them twice."""
    faults = Faults(crashes=1, stages=("scans-0",))
    finished = simulate(chained(1, 40), seed=seed, faults=faults, check=False)
    if finished.status == "done":  # killed before it was ever ready, a stage fails the run
        assert set(finished.handled("sink")) >= set(range(40))


@pytest.mark.parametrize("seed", seeds(5))
def test_a_07_keys_in_a_whole_topology(seed: int) -> None:
    """Each key's values in order, in every order of events, with scans that end."""
    args = {"key": even, "make": scan_of_parity, "config": {"max_buffer": 2}}
    topology = (
        Topology("keys")
        .stage("numbers", Numbers, args={"first": 0, "count": 60})
        .stage("keys", DemuxStage, args=args, subscribe_to=["numbers"])
        .stage("sink", Sink, subscribe_to=["keys"])
    )
    seen = simulate(topology, seed=seed).handled("sink")
    odd = [value for key, value in seen if not key]
    assert odd == [None, *range(1, 60, 2)]
    evens = [value for key, value in seen if key and value is not None]
    assert evens == list(range(0, 60, 2))


def even(number: int) -> bool:
    """Whether a number is even."""
    return number % 2 == 0


def scan_of_parity(key: bool) -> Any:
    """The latest; of even numbers four at a time."""
    return take(4, latest()) if key else latest()


def test_a_18_the_source_is_pulled_no_further_than_windows_and_buffer() -> None:
    """A consumer that takes three values and asks for no more; a second later nothing has moved."""
    downstream, buffer = 3, 4
    stage = StageHarness(DistributeStage, {"scans": [latest()], "config": {"max_buffer": buffer}})
    stage.link_to_producer(1, "numbers", max_demand=2, min_demand=1)
    stage.subscribe(2, "sink")
    stage.ask(2, downstream)
    pulled = 0
    while pulled < sum(stage.asks(1)):
        stage.route(1, [pulled])
        pulled += 1
        stage.advance(0)
    assert downstream <= pulled <= downstream + buffer + 1
    stage.advance(1.0)
    assert sum(stage.asks(1)) == pulled
    assert sum(map(len, stage.events(2))) == downstream


def test_when_all_scans_are_done_the_stage_leaves_its_source() -> None:
    """And ends, with its report as its answer."""
    config = {"stop_when": "all_done", "worker": "inline"}
    stage = StageHarness(DistributeStage, {"scans": [take(2, sum_of())], "config": config})
    stage.link_to_producer(1, "numbers", max_demand=8)
    stage.subscribe(2, "sink")
    stage.ask(2, 100)
    stage.route(1, [3, 4, 5, 6])
    assert [value for events in stage.events(2) for value in events] == [0, 3, 7]
    assert [each.reason for each in stage.sent(1) if hasattr(each, "reason")] == ["done"]
    stage.eos(1, "done")
    stage.acknowledge(2)
    assert stage.exiting is not None


def test_a_report_for_consumers() -> None:
    """With `inspect` they are notified of it, behind the last value."""
    outputs = run(
        DistributeStage, [1, 2], args={"scans": [sum_of()], "config": ScanConfig(inspect=True)}
    )
    (report,) = outputs.notifications
    assert (report.elements, report.values) == (2, 3)
    assert outputs.result == report
