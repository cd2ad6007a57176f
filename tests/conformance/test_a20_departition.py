"""A20: the partial results of partitions become one result per window."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from actorflow import (
    Consumer,
    IntensityExceeded,
    OptionError,
    PartitionLost,
    ProducerConsumer,
    SkewExceeded,
    SubscribeTo,
    Subscription,
    SupervisorOptions,
    Topology,
)
from actorflow.stages.departition import Departition
from actorflow.stages.sources import Items
from actorflow.testing import Faults, StageHarness, fault_point, simulate
from tests.seeds import seeds
from tests.stages.helpers import merge_counts

WORDS = [f"word{number % 13}" for number in range(200)]
WINDOWS = [(number // 50, word) for number, word in enumerate(WORDS)]
"""Four windows of fifty words."""


class CountWindows(ProducerConsumer):
    """One of four partitions: counts the words of each window, and reports when the next begins."""

    def __init__(self) -> None:
        self.window = 0
        self.counts: Counter[str] = Counter()

    def handle_events(self, events: list[Any], subscription: Subscription) -> list[Any]:
        fault_point("counting")
        reports = []
        for window, word in events:
            while self.window < window:
                reports.append(self.report())
            self.counts[word] += 1
        return reports

    def report(self) -> Any:
        """What was counted in this window."""
        report = [self.window, dict(self.counts)]
        self.window += 1
        self.counts.clear()
        return report

    def handle_cancel(self, reason: Any, subscription: Subscription) -> list[Any]:
        if subscription.side == "consumer" or reason != ("cancel", "done"):
            return []
        return [self.report() for _ in range(self.window, 4)]

    def snapshot(self) -> Any:
        return self.window, dict(self.counts)

    def restore(self, state: Any) -> None:
        self.window, self.counts = state[0], Counter(state[1])


class Write(Consumer):
    """Keeps what it gets."""

    def __init__(self) -> None:
        self.results: list[Any] = []

    def handle_events(self, events: list[Any], subscription: Subscription) -> None:
        self.results += events
        self.set_result(self.results)


def topology(restarts: int = 3, restart: str = "transient", **args: Any) -> Topology:
    """Four partitions of words, their counts merged, and two writers of each result."""
    return (
        Topology("departition", supervisor=SupervisorOptions(max_restarts=restarts))
        .stage(
            "words",
            Items,
            args={"items": WINDOWS},
            dispatcher={"partition": {"partitions": 4, "by": lambda event: int(event[1][4:]) % 4}},
        )
        .stage(
            "count",
            CountWindows,
            replicas=4,
            restart=restart,
            subscribe_to=[SubscribeTo("words", max_demand=7)],
        )
        .stage(
            "merge",
            Departition,
            args={
                "partitions": 4,
                "window": first,
                "report": second,
                "init": dict,
                "merge": merge_counts,
                **args,
            },
            dispatcher="broadcast",
            subscribe_to=["count"],
        )
        .stage("one", Write, subscribe_to=["merge"])
        .stage("two", Write, subscribe_to=["merge"])
    )


def first(pair: Any) -> Any:
    """The window of a report."""
    return pair[0]


def second(pair: Any) -> Any:
    """The counts of a report."""
    return pair[1]


EXPECTED = [
    dict(Counter(word for window, word in WINDOWS if window == number)) for number in range(4)
]


@pytest.mark.parametrize("seed", seeds(30))
def test_a20_one_result_per_window_whatever_the_order(seed: int) -> None:
    """All four partitions have reported; both writers see all of each result, once."""
    run = simulate(topology(), seed=seed, laws=True)
    assert run.results["one"] == run.results["two"]
    assert sorted(run.results["one"], key=EXPECTED.index) == EXPECTED


@pytest.mark.parametrize("seed", seeds(30))
def test_a20_a_partition_that_is_restarted_is_waited_for(seed: int) -> None:
    """Killed in the middle of a window, it comes back with its counts; every result is right."""
    run = simulate(topology(), seed=seed, faults=Faults(points={"counting": 9 + seed}), laws=True)
    assert run.crashed
    assert sorted(run.results["one"], key=EXPECTED.index) == EXPECTED


@pytest.mark.parametrize("seed", seeds(20))
def test_a20_the_merging_stage_keeps_its_reports_over_a_restart(seed: int) -> None:
    """A snapshot holds the windows that are not complete yet."""
    faults = Faults(crashes=1, within=900, stages=("merge",))
    run = simulate(topology(), seed=seed, faults=faults, laws=True)
    found = {EXPECTED.index(each) for each in run.handled("one")}
    assert found == set(range(4))


@pytest.mark.parametrize("seed", seeds(20))
def test_a20_a_dead_partition_is_a_typed_error(seed: int) -> None:
    """One that does not come back ends the run with its name and the windows that lack it."""
    faults = Faults(points={"counting": 12 + seed})
    run = simulate(topology(restarts=1, restart="temporary"), seed=seed, faults=faults, check=False)
    assert run.status == "failed"
    assert isinstance(run.error, IntensityExceeded)
    lost = run.error.__cause__
    assert isinstance(lost, PartitionLost)
    assert lost.partition.startswith("count/")
    assert lost.reason == "killed"


def merging(**args: Any) -> StageHarness:
    """The stage alone, with two partitions that the test plays."""
    known = {"partitions": 2, "init": int, "merge": "operator:add", "window": first}
    harness = StageHarness(Departition, {"report": second, **known, **args})
    harness.link_to_producer(1, "p/0", max_demand=10, cancel="temporary")
    harness.link_to_producer(2, "p/1", max_demand=10, cancel="temporary")
    harness.subscribe(9, "sink")
    harness.ask(9, 100)
    return harness


def test_a20_the_result_leaves_with_the_last_report() -> None:
    """Not before, and windows may be complete in any order."""
    stage = merging()
    stage.route(1, [["a", 1], ["b", 10]])
    assert stage.events(9) == []
    stage.route(2, [["b", 20]])
    assert stage.events(9) == [[30]]
    stage.route(2, [["a", 2]])
    assert stage.events(9) == [[30], [3]]


def test_a20_reports_are_merged_in_the_order_of_partitions() -> None:
    """So that a merge that does not commute has one result."""
    for order in ((1, 2), (2, 1)):
        stage = merging(init=str)
        for ref in order:
            stage.route(ref, [["a", f"from {ref} "]])
        assert stage.events(9) == [["from 1 from 2 "]]


def test_a20_a_report_that_comes_again_counts_once() -> None:
    """Before and after its window is complete."""
    stage = merging()
    stage.route(1, [["a", 1]])
    stage.route(1, [["a", 1]])
    stage.route(2, [["a", 2], ["a", 2]])
    stage.route(1, [["a", 1]])
    assert stage.events(9) == [[3]]


def test_a20_a_partition_that_ends_without_its_report() -> None:
    """Its end is the error, when others have reported before it and when they do after it."""
    before = merging()
    before.route(1, [["a", 1]])
    before.eos(2)
    after = merging()
    after.eos(2)
    after.route(1, [["a", 1]])
    for stage in (before, after):
        assert isinstance(stage.error, PartitionLost)
        assert (stage.error.partition, stage.error.windows) == ("p/1", ["a"])


def test_a20_a_partition_that_does_not_come_back_in_time() -> None:
    """Also when its subscription would let this stage run on for ever."""
    stage = merging(patience=5)
    stage.route(1, [["a", 1]])
    stage.down("p/1#1", restarting=True)
    stage.advance(4.9)
    assert stage.error is None
    stage.advance(0.2)
    assert isinstance(stage.error, PartitionLost)
    assert stage.error.reason == "killed"


def test_a20_a_partition_that_comes_back_in_time() -> None:
    """Its successor reports in its place; an older loss does not count for a newer one."""
    stage = merging(patience=5)
    stage.route(1, [["a", 1]])
    stage.down("p/1#1", restarting=True)
    stage.advance(4)
    stage.link_to_producer(3, "p/1#2", max_demand=10, cancel="temporary")
    stage.advance(2)
    stage.down("p/1#2", restarting=True)
    stage.advance(4)
    stage.link_to_producer(4, "p/1#3", max_demand=10, cancel="temporary")
    stage.advance(20)
    stage.route(4, [["a", 2]])
    assert (stage.error, stage.events(9)) == (None, [[3]])


def test_a20_a_partition_too_far_behind() -> None:
    """More incomplete windows than allowed are an error that names the laggard, and not memory."""
    stage = merging(max_open=3)
    stage.route(1, [[number, 1] for number in range(3)])
    assert stage.error is None
    stage.route(1, [[3, 1]])
    assert isinstance(stage.error, SkewExceeded)
    assert (stage.error.limit, stage.error.laggard) == (3, "p/1")


def test_a20_more_partitions_than_were_said() -> None:
    """A third one would never be part of a result."""
    stage = merging()
    stage.link_to_producer(3, "p/2", max_demand=10)
    assert isinstance(stage.error, OptionError)
    assert "partitions must be at least 3" in str(stage.error)


def test_a20_a_shutdown_is_nobodys_fault() -> None:
    """Windows that a stop leaves incomplete are in the log."""
    stage = merging()
    stage.route(1, [["a", 1]])
    stage.stop("shutdown")
    assert stage.error is None
    assert stage.log[-1].event == "stopped with incomplete windows"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, value) for name in ("partitions", "max_open") for value in (0, -1, 1.5, None)),
        *(("patience", value) for value in (-1, float("nan"), float("inf"), "5", True)),
        *((name, value) for name in ("merge", "init", "finish", "window") for value in (5, "no")),
    ],
)
def test_a20_bad_arguments(name: str, value: Any) -> None:
    """Each is named, with what is accepted."""
    right: dict[str, Any] = {"partitions": 2, "init": int, "merge": "operator:add"}
    with pytest.raises(OptionError) as caught:
        Departition(**{**right, name: value})
    assert (caught.value.option, caught.value.value) == (name, value)
