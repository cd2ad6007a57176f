"""A18 with real processes: read while a stage hangs, and after it died, and exact at rest."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from actorflow import EdgeStatistics, LocalRuntime, Run, SubscribeTo, Topology
from tests.end_to_end.helpers import Events, sleeping, wait_until
from tests.end_to_end.stages import Collect, KilledOnce, Numbers

pytestmark = pytest.mark.processes


def received(run: Run, producer: str, consumer: str) -> int:
    """How many events have come over an edge; none before there is one."""
    ends = (f"{producer}/0", f"{consumer}/0")
    edges = run.stats().edges
    return sum(each.events_received for each in edges if (each.producer, each.consumer) == ends)


def test_a18_edges_are_read_while_a_stage_hangs(tmp_path: Path) -> None:
    """No message is needed: a consumer sits in a callback, and everything adds up."""
    told = tmp_path / "sleeps"
    with sleeping(told).start() as run:
        wait_until(told.exists, "the callback")
        edge = run.stats().edge("numbers", "sleep")
        assert run.stats().stage("sleep").busy_for > 0
        assert (edge.events_sent, edge.events_received, edge.in_flight) == (6, 6, 0)
        assert (edge.asks_sent, edge.asks_received, edge.demand_received) == (1, 1, 6)
        assert (edge.state, edge.outstanding, edge.answered) == ("live", 0, 1)
        assert edge.latency is not None
        assert 0 < edge.latency < 30
        run.stop()
        after = run.stats().edge("numbers", "sleep")
    assert (after.state, after.events_sent, after.events_received) == ("over", 6, 6)


def test_a18_edges_are_read_while_a_process_is_stopped(tmp_path: Path) -> None:
    """s117: whoever is stopped shows by what is in flight to it; and all of it arrives."""
    topology = (
        Topology("stopped")
        .stage("numbers", Numbers)
        .stage(
            "sink",
            Collect,
            args={"path": str(tmp_path / "journal")},
            subscribe_to=[SubscribeTo("numbers", max_demand=50)],
        )
    )
    with topology.start() as run:
        wait_until(lambda: received(run, "numbers", "sink") > 50, "events")
        pid = run.stats().stage("sink").pid
        os.kill(pid, signal.SIGSTOP)
        try:

            def out_of_demand() -> EdgeStatistics | None:
                for _ in range(2):  # what comes together with the first may be read behind it
                    run.status("numbers")
                edge = run.stats().edge("numbers", "sink")
                return edge if edge.events_sent == edge.demand_received else None

            at_rest = wait_until(out_of_demand, "the producer to run out of demand")
            # It may have been stopped with an ask that is counted and has not left.
            assert 0 <= at_rest.in_flight <= at_rest.outstanding <= 50
            assert at_rest.events_sent == at_rest.events_received + at_rest.in_flight
        finally:
            os.kill(pid, signal.SIGCONT)
        run.drain(timeout=50)
        edge = run.stats().edge("numbers", "sink")
        assert edge.events_sent == edge.events_received == run.stats().stage("sink").events_in
        assert (edge.in_flight, edge.undelivered, edge.state) == (0, 0, "over")


def test_a18_edges_add_up_over_a_kill(tmp_path: Path) -> None:
    """A killed stage's counters stay; its successor's subscription is added to them.

    It is killed in a callback: two counters of one fact cannot be written at once.
    """
    events = Events()
    topology = (
        Topology("killed")
        .stage("numbers", Numbers)
        .stage(
            "pass",
            KilledOnce,
            args={"at": 100, "path": str(tmp_path / "killed")},
            subscribe_to=[SubscribeTo("numbers", max_demand=10)],
        )
        .stage(
            "sink",
            Collect,
            args={"path": str(tmp_path / "journal")},
            subscribe_to=[SubscribeTo("pass", max_demand=10)],
        )
    )
    with topology.start(events) as run:
        events.restarted("pass")
        seen = received(run, "numbers", "pass")
        wait_until(lambda: received(run, "numbers", "pass") > seen + 50, "more")
        run.drain(timeout=50)
        statistics = run.stats()
    for edge in statistics.edges:
        assert edge.subscriptions == 2
        assert edge.in_flight == 0
        assert edge.events_sent == edge.events_received + edge.undelivered
        producer, consumer = statistics.stage(edge.producer), statistics.stage(edge.consumer)
        assert (producer.events_out, producer.batches_out) == (edge.events_sent, edge.batches_sent)
        assert (consumer.events_in, consumer.asks_out) == (edge.events_received, edge.asks_sent)
        assert (producer.asks_in, producer.demand_in) == (edge.asks_received, edge.demand_received)
    assert statistics.stage("pass").started > statistics.stage("sink").started


def test_a18_links_need_not_be_counted(tmp_path: Path) -> None:
    """A runtime may be told not to; then there are no edges, and all else is as it was."""
    topology = (
        Topology("uncounted")
        .stage("numbers", Numbers, args={"limit": 100})
        .stage(
            "sink",
            Collect,
            args={"path": str(tmp_path / "journal")},
            subscribe_to=[SubscribeTo("numbers")],
        )
    )
    plan = topology.plan()
    runtime = LocalRuntime(import_paths=plan.import_paths, preload=plan.preload, count_links=False)
    with Run(plan, runtime) as run:
        run.wait(timeout=50)
        assert run.stats().edges == ()
        assert run.stats().stage("sink").events_in == 100
