"""Scans in processes of their own, and what is left of them: nothing."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from actorflow import ScanCrashed, ScanFailed, Topology, from_iterable
from actorflow.stages.scans import (
    DistributeStage,
    Partial,
    Scan,
    ScansHandle,
    latest,
    length,
    sum_of,
)
from actorflow.topology.scans import par_demux_scan, par_distribute_scan
from tests.end_to_end.helpers import wait_until
from tests.stopwatch import Stopwatch, within

pytestmark = pytest.mark.processes


class Noting(Scan[int, int]):
    """Leaves a file when it begins and when it ends, named by its process."""

    def __init__(self, folder: Path, *, dies_at: int = -1) -> None:
        self.folder, self.dies_at = folder, dies_at

    def initial(self) -> Partial[int]:
        (self.folder / f"begun-{os.getpid()}").touch()
        return Partial(-1)

    def step(self, state: int, item: int) -> Partial[int]:
        if item == self.dies_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return Partial(item)

    def final(self, state: int) -> None:
        (self.folder / f"final-{os.getpid()}").touch()


class Slow(Noting):
    """Takes 50 ms for each input, and raises above three."""

    def step(self, state: int, item: int) -> Partial[int]:
        time.sleep(0.05)
        if item > 3:
            raise ValueError(f"{item} is too large")
        return Partial(item)


def noted(folder: Path, what: str) -> set[int]:
    """The processes that left such a file."""
    return {int(each.name.partition("-")[2]) for each in folder.glob(f"{what}-*")}


def flat(stream: Any) -> list[Any]:
    """Everything that a stream of lists brings."""
    with stream:
        lists = list(stream)
    assert all(lists), "an empty list"
    return list(itertools.chain.from_iterable(lists))


def test_a_02_two_endless_scans_and_a_finite_source(tmp_path: Path) -> None:
    """Both say everything, let go once, and end in a process of their own each."""
    config = {"emit": "tagged"}
    values = flat(par_distribute_scan(range(10_000), [Noting(tmp_path)] * 2, config=config))
    for scan in (1, 2):
        assert [value for tag, value in values if tag == scan] == [-1, *range(10_000)]
    assert len(noted(tmp_path, "final")) == 2
    assert noted(tmp_path, "begun") == noted(tmp_path, "final")
    assert os.getpid() not in noted(tmp_path, "begun")


def test_a_09_a_slow_scan_that_raises(tmp_path: Path) -> None:
    """Whoever reads the stream gets the exception with the scan's name and the input's number.

    One key, room for one input, 100 of them; within two seconds of the scan's beginning.
    """
    pairs = par_demux_scan(
        range(1, 101), lambda item: "key", lambda key: Slow(tmp_path), config={"max_buffer": 1}
    )
    with Stopwatch() as watch, pytest.raises(ScanFailed) as caught:
        flat(pairs)
    now = time.time() - watch.stood_still
    assert (caught.value.scan, caught.value.item) == ("key", 4)
    assert repr(caught.value.cause) == repr(ValueError("4 is too large"))
    (begun,) = tmp_path.glob("begun-*")
    assert now - begun.stat().st_mtime < 2
    assert noted(tmp_path, "begun") == noted(tmp_path, "final")


def test_a_11_a_scan_whose_process_is_killed(tmp_path: Path) -> None:
    """By kill -9, from within, at an input: an error that says so; the other one is finalised."""
    scans = [Noting(tmp_path), Noting(tmp_path, dies_at=5)]
    with pytest.raises(ScanCrashed) as caught:
        flat(par_distribute_scan(itertools.count(), scans, config={"max_buffer": 2}))
    assert (caught.value.scan, caught.value.exitcode) == ("2", -9)
    assert len(noted(tmp_path, "begun")) == 2
    assert len(noted(tmp_path, "final")) == 1


def test_a_11_the_others_go_on_and_the_killed_one_begins_anew(tmp_path: Path) -> None:
    """Its report says how many inputs went with it."""
    scans = [latest(), Noting(tmp_path, dies_at=50)]
    config = {"on_error": "restart", "max_buffer": 8}
    topology = (
        Topology("killed")
        .stage("numbers", from_iterable(range(100)))
        .stage(
            "scans",
            DistributeStage,
            args={"scans": scans, "config": config},
            subscribe_to=["numbers"],
        )
    )
    with topology.start() as run:
        values = list(run.stream("scans"))
        report = run.wait(timeout=30)["scans"]
    rows = {row.id: row for row in report.scans}
    assert rows[1].consumed == 100
    assert (rows[2].restarts, rows[2].state) == (1, "ended")
    assert rows[2].consumed + rows[2].lost == 100
    assert 1 <= rows[2].lost <= 8
    assert len(values) == report.values == 101 + rows[2].consumed + 2


def test_a_19_a_consumer_that_leaves_early(tmp_path: Path) -> None:
    """All processes end within a second, each with its `final`, and the source is left alone."""
    taken = itertools.count()
    source = (next(taken) for _ in itertools.count())
    config = {"max_buffer": 16}
    stream = par_distribute_scan(source, [Noting(tmp_path)] * 3, config=config)
    with contextlib.ExitStack() as leaving:
        for _ in leaving.enter_context(stream):
            pids = noted(tmp_path, "begun")
            if len(pids) == 3:
                break
        with within(1.0):
            leaving.close()
    pulled = next(taken)
    assert noted(tmp_path, "final") == pids
    assert not any(psutil.pid_exists(pid) for pid in pids)
    assert pulled == next(taken) - 1


@pytest.mark.parametrize("worker", ["pooled", "thread"])
def test_other_places_for_scans(worker: str) -> None:
    """Several in one process, or threads of the stage's own: the same values."""
    config = {"worker": worker, "max_buffer": 4}
    pairs = par_demux_scan(range(300), lambda item: item % 3, lambda key: latest(), config=config)
    values = flat(pairs)
    for key in range(3):
        assert [value for tag, value in values if tag == key] == [None, *range(key, 300, 3)]


def test_scans_that_a_program_adds_and_removes() -> None:
    """By a handle, while events flow; what cannot be is refused at the call."""
    topology = (
        Topology("handled")
        .stage("numbers", from_iterable(itertools.count()))
        .stage("scans", DistributeStage, args={"scans": [sum_of()]}, subscribe_to=["numbers"])
    )
    with topology.start() as run, run.stream("scans") as stream:
        scans = ScansHandle(run, "scans")
        added = scans.add_scan(length(), name="how many")
        counted = zip(range(100_000), stream, strict=False)
        for _ in counted:
            if scans.scans()[-1].consumed:
                break
        row = scans.scans()[-1]
        assert (row.name, row.state) == ("how many", "running")
        assert psutil.pid_exists(row.pid)
        scans.remove_scan(added, mode="drop")
        wait_until(lambda: scans.report().scans[0].state == "dropped", "its end")
        wait_until(lambda: not psutil.pid_exists(row.pid), "the end of its process")
