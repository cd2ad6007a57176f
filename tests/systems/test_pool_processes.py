"""The pool with real workers: many sources, workers that are killed, callers that wait."""

from __future__ import annotations

import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from actorflow import Consumer, PoolClosed, Producer, SubscribeTo, Subscription, Topology
from actorflow.stages.pool import ConsumerTaskPool, TaskPool, TaskPoolHandle
from tests.end_to_end.helpers import wait_until
from tests.end_to_end.stages import Idle
from tests.seeds import size
from tests.stopwatch import within
from tests.systems import pool_tasks
from tests.systems.pool_tasks import chain, query

pytestmark = pytest.mark.processes

SOURCES, EACH = 8, size(10_000, 1500)


class Loop(Producer):
    """A source in a tight loop: which one it is, and a number."""

    next = 0

    def handle_demand(self, demand: int) -> list[list[int]]:
        until = min(EACH, self.next + demand)
        events = [[self.index, number] for number in range(self.next, until)]
        self.next = until
        if until == EACH:
            self.finish()
        return events


class Tally(Consumer):
    """How many events there were, how many different ones, and of how many sources."""

    def __init__(self) -> None:
        self.seen: Counter[tuple[int, int]] = Counter()

    def handle_events(self, events: list[list[int]], subscription: Subscription) -> None:
        self.seen.update(map(tuple, events))  # type: ignore[arg-type]

    def on_stop(self, reason: Any) -> None:
        sources = {source for source, _ in self.seen}
        self.set_result([self.seen.total(), len(self.seen), len(sources)])


def test_b_02_eight_sources_in_tight_loops_and_little_room() -> None:
    """Every task runs exactly once, and every event comes out once; then everything ends.

    10 000 events of each source in a thorough run, 1500 otherwise.
    """
    topology = (
        Topology("flood")
        .stage("sources", Loop, replicas=SOURCES)
        .stage(
            "pool",
            TaskPool,
            args={
                "queries": [chain(pool_tasks.emit, pool_tasks.emit)],
                "workers": 2,
                "admission_size": 10,
            },
            subscribe_to=["sources"],
        )
        .stage("tally", Tally, subscribe_to=[SubscribeTo("pool", max_demand=100)])
    )
    with topology.start() as run:
        results = run.wait(timeout=120)
    assert results["tally"] == [SOURCES * EACH, SOURCES * EACH, SOURCES]
    result = results["pool"]["q"]
    assert (result["state"], result["stops"]) == ("stopped", ["a", "b"])
    assert result["executed"] == 2 * SOURCES * EACH


def test_b_22_and_others_by_hand(tmp_path: Path) -> None:
    """Workers that are killed, callers that wait, floods and stops, in one pool."""
    topology = (
        Topology("by_hand")
        .stage("nothing", Idle)
        .stage(
            "pool",
            ConsumerTaskPool,
            args={
                "queries": [query("entry", nothing=pool_tasks.note)],
                "workers": 2,
                "admission_size": 8,
            },
            subscribe_to=["nothing"],
        )
    )
    with topology.start() as run:
        pool = run.task_pool("pool")
        a_killed_worker_is_replaced(pool, tmp_path)
        a_killed_worker_fails_one_query(pool, tmp_path)
        who_waits_for_room_is_told(pool)
        a_stop_overtakes_a_flood(pool, tmp_path)
        stats = pool.stats()
        assert (stats.workers, stats.idle, stats.admission, stats.internal) == (2, 2, 0, 0)
        # B-24: it ends when it is told to, and not when some poll comes round.
        with within(5):
            run.stop()


def a_killed_worker_is_replaced(pool: TaskPoolHandle, folder: Path) -> None:
    """B-22: tasks that may run twice are run again, and the stop that waits for them comes."""
    pool.start(query("sturdy", idempotent=True, a=pool_tasks.die_once))
    for number in range(5):
        pool.submit("sturdy", [number, str(folder / "scar") if number == 2 else None])
    result = pool.stop("sturdy")
    assert (result.state, result.stops, result.outputs) == ("stopped", ("a",), 5)
    assert (folder / "scar").exists()


def a_killed_worker_fails_one_query(pool: TaskPoolHandle, folder: Path) -> None:
    """B-22: the query whose tasks it had; another goes on."""
    pool.start(query("fragile", a=pool_tasks.die_once))
    pool.start(query("other", b=pool_tasks.note))
    ticket = pool.submit("fragile", [0, str(folder / "another")], until="done")
    assert ticket.state == "failed"
    assert pool.submit("other", 1, until="done").state == "done"
    assert "ended: ['signal', 9]" in pool.query("fragile").reason
    assert pool.stop("other").executed == 1


def who_waits_for_room_is_told(pool: TaskPoolHandle) -> None:
    """B-15: the query stops while a caller waits for room."""
    pool.start(query("slow", a=pool_tasks.nap))
    told: list[BaseException] = []

    def push() -> None:
        try:
            while True:
                pool.submit("slow", 0.05, timeout=None)
        except PoolClosed as error:
            told.append(error)

    caller = threading.Thread(target=push)
    caller.start()
    wait_until(lambda: pool.stats().submitting == 1, "a caller that waits for room")
    assert pool.stop("slow", "hard").state == "stopped"
    caller.join(10)
    assert not caller.is_alive()
    assert len(told) == 1


def a_stop_overtakes_a_flood(pool: TaskPoolHandle, folder: Path) -> None:
    """B-16: a query has tasks again and again, and another one stops meanwhile."""
    pool.start(query("flood", a=pool_tasks.again_until))
    pool.start(query("empty", b=pool_tasks.note))
    for _ in range(3):
        pool.submit("flood", str(folder / "gate"))
    assert pool.stop("empty").stops == ("b",)
    assert pool.query("flood").pending == 3
    (folder / "gate").touch()
    flood = pool.stop("flood", deadline=20)
    assert (flood.admitted, flood.executed) == (3, 3 + flood.created)
