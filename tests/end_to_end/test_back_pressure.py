"""A stopped consumer stops its producers; nothing grows meanwhile, and nothing is lost."""

from __future__ import annotations

import os
import signal
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil
import pytest

from actorflow import Run, SubscribeTo, Topology
from tests.end_to_end.helpers import Events, how_many_in, numbers_in, pids, wait_until
from tests.end_to_end.stages import Collect, Numbers, Pass
from tests.stopwatch import within

pytestmark = pytest.mark.processes

MOVING = ("events_in", "events_out", "asks_in", "asks_out", "buffered", "unacknowledged")


def counters(run: Run) -> list[Any]:
    """What moves while events flow."""
    return [[asdict(stage)[name] for name in MOVING] for stage in run.stats().stages]


def wait_until_still(run: Run, *stages: str) -> list[Any]:
    """Wait until no counter moves though each of these had its turns; returns the counters.

    What has answered has also looked at its links: what moves on, a slow machine may hold up, but
    not through five rounds of answers.
    """
    rounds, last = 0, counters(run)

    def still() -> bool:
        nonlocal rounds, last
        for stage in stages:
            run.status(stage)
        now = counters(run)
        rounds, last = (rounds + 1 if now == last else 0), now
        return rounds == 5

    wait_until(still, "the counters to stand still")
    return last


@pytest.mark.parametrize("demand", ["auto", 100])
def test_a_stopped_sink_stops_the_source(demand: int | str, tmp_path: Path) -> None:
    """With the sink in SIGSTOP everything stands still and nothing grows, until SIGCONT."""
    journal = tmp_path / "journal"
    events = Events()
    topology = (
        Topology("pressure")
        .stage("numbers", Numbers)
        .stage("pass", Pass, subscribe_to=[SubscribeTo("numbers", max_demand=demand)])
        .stage(
            "sink",
            Collect,
            args={"path": str(journal)},
            subscribe_to=[SubscribeTo("pass", max_demand=demand)],
        )
    )
    with topology.start(events) as run:
        events.started("numbers", "pass", "sink")
        wait_until(lambda: how_many_in(journal) > 1000, "events to flow")
        sink = pids(run)["sink/0"]
        os.kill(sink, signal.SIGSTOP)
        try:
            still = wait_until_still(run, "numbers", "pass")
            processes = [psutil.Process(pid) for pid in pids(run).values()]
            before = [process.memory_info().rss for process in processes]
            asked = [stage.demand_in for stage in run.stats().stages]
            assert wait_until_still(run, "numbers", "pass") == still
            after = [process.memory_info().rss for process in processes]
            # What stands still does not grow: a page or two for the looking itself.
            assert [b - a < 1 << 18 for a, b in zip(before, after, strict=True)] == [True] * 3
            for stage, demand_in in zip(run.stats().stages[:2], asked, strict=False):
                assert stage.events_out <= demand_in
        finally:
            os.kill(sink, signal.SIGCONT)
        seen = how_many_in(journal)
        wait_until(lambda: how_many_in(journal) > seen + 1000, "events to flow again")
        outcome = run.drain(timeout=50)
    assert outcome.status == "done"
    assert numbers_in(journal) == list(range(outcome.results["numbers"]))


def test_a_run_with_a_stopped_stage_can_be_stopped(tmp_path: Path) -> None:
    """A stage in SIGSTOP hears neither message nor SIGTERM; it is killed when its time is up."""
    events = Events()
    topology = (
        Topology("stopped")
        .stage("numbers", Numbers)
        .stage(
            "sink",
            Collect,
            args={"path": str(tmp_path / "journal")},
            shutdown=0.4,
            subscribe_to=["numbers"],
        )
    )
    with topology.start(events) as run:
        events.started("numbers", "sink")
        os.kill(pids(run)["sink/0"], signal.SIGSTOP)
        with within(0.4 + 1.0):
            assert run.stop().status == "stopped"
