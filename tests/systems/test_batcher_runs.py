"""The batcher with real processes: callers in threads and event loops, kills, shutdowns.

C-22 by night: ``python -m tests.systems.test_batcher_runs 10000`` shuts so many batchers down.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from actorflow import (
    BatchCancelled,
    Batcher,
    BatcherClosed,
    BatcherGone,
    BatchError,
    BatchFailed,
    BatchTimeout,
    OptionError,
    ProcessorCrashed,
    Topology,
)
from actorflow.stages.batcher import BatcherServer, Immediate, Limits, Size
from actorflow.testing import Gate
from tests.seeds import size
from tests.systems.batcher_processors import Diary, Held, Unmade, die_or_echo, echo

WITHIN = 30.0
"""Seconds in which everything here is over, also on a busy machine."""

AT_A_TIME = 25
"""How many batchers are in one run when they are shut down."""


def outcome_of(future: Future[Any]) -> BatchError | None:
    """An item's error, or None."""
    error = future.exception(WITHIN)
    assert error is None or isinstance(error, BatchError)
    return error


def ask_one_that_is_gone() -> None:
    """Ask a batcher that could not start, and raise something else within its block."""
    with Batcher.start(Unmade, policy=Immediate()) as batcher:
        assert batcher.run is not None
        assert batcher.run.outcome(WITHIN).status == "failed"
        with pytest.raises(BatcherGone, match="FileNotFoundError: no such weights") as gone:
            batcher.add("key", "item", timeout=WITHIN)
        assert isinstance(gone.value.__cause__, FileNotFoundError)
        raise LookupError("in the block")


@pytest.mark.processes
def test_what_ended_a_batcher_is_told_to_those_who_find_it_gone() -> None:
    """And what is raised in its block is not hidden by that."""
    with pytest.raises(LookupError, match="in the block"):
        ask_one_that_is_gone()


@pytest.mark.processes
def test_c_27_a_killed_worker_costs_its_batch_alone(tmp_path: Path) -> None:
    """Typed errors, a release each, other keys served; then a caller per thread and per task."""
    with Gate() as gate:
        processor = Diary(tmp_path / "diary", gate)
        limits = Limits(max_key_concurrency=1)
        with Batcher.start(processor, policy=Immediate(), limits=limits, workers=2) as batcher:
            other = batcher.submit("other", "wait")
            with pytest.raises(ProcessorCrashed) as crashed:
                batcher.add("key", "die", timeout=WITHIN)
            assert (crashed.value.exitcode, crashed.value.phase) == (-9, "process")
            with pytest.raises(BatchFailed) as failed:
                batcher.add("key", "raise", timeout=WITHIN)
            assert isinstance(failed.value.__cause__, ValueError)
            assert "in process" in str(failed.value.inner().__cause__)
            key, item, pid = batcher.add("key", "fine", timeout=WITHIN)
            assert (key, item, pid == os.getpid()) == ("key", "fine", False)
            with pytest.raises(BatchTimeout) as late:
                batcher.add("other", "behind it", timeout=0.01)
            assert late.value.phase == "wait"
            batcher.stats()  # it comes behind the cancellation
            gate.open()
            assert other.result(WITHIN)[:2] == ("other", "wait")
            with pytest.raises(OptionError):
                batcher.add("key", threading.Lock())
            assert asyncio.run(batcher.aadd("key", "task"))[1] == "task"
            statistics = batcher.stats()
            assert statistics.accepted == statistics.answered + statistics.queued_items
        report = batcher.wait_for_shutdown(WITHIN)
        assert (report.mode, report.escalated) == ("flush", False)
    outcomes = [line.split()[-1] for line in (tmp_path / "diary").read_text().splitlines()]
    assert sorted(outcomes) == ["done", "done", "done", "failed", "failed"]


def in_thread(key: str, inputs: list[Any]) -> list[Any]:
    """Where each input was processed."""
    return [threading.get_native_id()] * len(inputs)


@pytest.mark.processes
def test_batches_share_as_many_threads_as_may_work_at_the_same_time() -> None:
    """A hundred batches of two keys with one place each: no thread is started for a batch."""
    limits = {"max_batch_size": 1, "max_key_concurrency": 1, "max_batch_queue_size": 50}
    with Batcher.start(in_thread, policy=Immediate(), limits=limits, workers="thread") as batcher:
        submitted = [batcher.submit("left" if item % 2 else "right", item) for item in range(100)]
        threads = {future.result(WITHIN) for future in submitted}
        assert batcher.stats().answered == 100
    assert 1 <= len(threads) <= 2


def fed(batcher: Batcher, seed: int) -> Callable[[], list[Future[Any]]]:
    """Feed a batcher from a thread; returns what waits for it and gives what was submitted."""
    submitted: list[Future[Any]] = []

    def feed() -> None:
        submitted.extend(batcher.submit(item % 3, item) for item in range(50))

    thread = threading.Thread(target=feed, name=f"feeder {seed}")
    thread.start()

    def wait() -> list[Future[Any]]:
        thread.join(WITHIN)
        return submitted

    return wait


@pytest.mark.processes
def test_c_22_every_item_has_one_outcome_whenever_the_shutdown_comes() -> None:
    """Many batchers in one run, each shut down in the middle of its items, in every mode.

    200 in a thorough run, 25 in a run of their own at a time; else 5.
    """
    for seeds in _runs_of(size(200, 5)):
        _shut_down_many(seeds)


def _runs_of(batchers: int) -> list[range]:
    """Which batchers are in a run together."""
    firsts = range(0, batchers, AT_A_TIME)
    return [range(first, min(first + AT_A_TIME, batchers)) for first in firsts]


def _shut_down_many(of: range) -> None:
    arguments = {
        "processor": echo,
        "policy": Size(),
        "limits": {"max_batch_size": 7},
        "workers": "inline",
    }
    topology = Topology("shutdowns").stage(
        "batcher", BatcherServer, args=arguments, replicas=len(of), restart="temporary"
    )
    with topology.start() as run:
        for place, seed in enumerate(of):
            dice = random.Random(seed)
            batcher = run.batcher(f"batcher/{place}")
            wait = fed(batcher, seed)
            for _ in range(dice.randrange(10)):
                batcher.stats()
            mode = dice.choice(["flush", "drain", "close", "abort"])
            batcher.shut_down(mode)
            report = batcher.wait_for_shutdown(WITHIN)
            errors = [outcome_of(future) for future in wait()]
            assert len(errors) == 50
            kinds = {type(error) for error in errors}
            allowed = {type(None), BatcherClosed}
            allowed |= {BatchCancelled} if mode in ("close", "abort") else set()
            assert kinds <= allowed
            assert report.mode == mode


@pytest.mark.processes
def test_c_24_c_25_waiting_closing_and_dying() -> None:
    """A wait before the request and after the end; a close; a batcher that is killed."""
    with Gate() as gate:
        limits = {"max_key_concurrency": 1}
        batcher = Batcher.start(Held(gate), policy=Immediate(), limits=limits)
        with pytest.raises(TimeoutError):
            batcher.wait_for_shutdown(0.01)
        running = batcher.submit("key", 1)
        while gate.arrived == 0:
            batcher.stats()
        waiting = batcher.submit("key", 2)
        batcher.shut_down("close")
        batcher.shut_down("flush")
        assert isinstance(outcome_of(waiting), BatchCancelled)
        gate.open()
        assert running.result(WITHIN) == 1
        report = batcher.wait_for_shutdown(WITHIN)
        assert (report.mode, report.abandoned) == ("close", ("'key'",))
        assert batcher.wait_for_shutdown(0) == report
        with pytest.raises(BatcherClosed):
            batcher.add("key", 3)
        batcher.shut_down("abort")

    with Batcher.start(die_or_echo, policy=Immediate(), workers="inline") as fragile:
        with pytest.raises(BatcherGone):
            fragile.add("key", "die", timeout=WITHIN)
        assert fragile.add("key", "again", timeout=WITHIN) == "again"


BAD: list[tuple[str, dict[str, Any]]] = [
    ("processor", {"processor": None}),
    ("processor", {"processor": 5}),
    ("policy", {"policy": 5}),
    ("limits", {"limits": 5}),
    ("workers", {"workers": 0}),
    ("acquire_timeout", {"acquire_timeout": 0}),
    ("process_timeout", {"process_timeout": -1}),
    ("weigh", {"weigh": 5}),
]


@pytest.mark.parametrize(("option", "given"), BAD)
def test_start_refuses_bad_arguments(option: str, given: dict[str, Any]) -> None:
    """Before any process is started."""
    with pytest.raises(OptionError) as caught:
        Batcher.start(**{"processor": echo, "policy": Immediate(), **given})
    assert caught.value.option == option


if __name__ == "__main__":
    for together in _runs_of(int(sys.argv[1])):
        _shut_down_many(together)
