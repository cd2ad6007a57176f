"""A stage that stays in a callback: it is seen, and it can be stopped."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from actorflow import SubscribeTo, Topology
from tests.end_to_end.helpers import Events, alive, pids, sleeping, wait_until
from tests.end_to_end.stages import Defiant, Numbers, Sleep
from tests.stopwatch import within

pytestmark = pytest.mark.processes


def test_a_sleeping_stage_shows_as_busy_and_is_stopped_within_its_time(tmp_path: Path) -> None:
    """While a callback lasts 20 s the statistics say since when; a stop does not wait for it."""
    told = tmp_path / "sleeps"
    with sleeping(told).start() as run:
        wait_until(told.exists, "the callback")
        called = time.monotonic()
        first = run.stats().stage("sleep")
        assert first.state == "running"
        assert first.in_hand == 3
        assert 0 < first.busy_for < 5
        longer = wait_until(
            lambda: (found := run.stats().stage("sleep")).busy_for >= 0.2 and found, "0.2 s"
        )
        assert longer.busy_for - first.busy_for <= time.monotonic() - called
        assert longer.in_hand == 3
        assert longer.busy >= longer.busy_for
        assert run.stats().stage("numbers").busy_for == 0
        with within(0.4 + 1.0):
            outcome = run.stop()
    assert outcome.status == "stopped"
    after = run.stats().stage("sleep")
    assert (after.busy_for, after.in_hand, after.pid) == (0, 0, 0)
    assert after.busy >= longer.busy


def test_a_stage_that_ignores_sigterm_is_killed_when_its_time_is_up(tmp_path: Path) -> None:
    """Asked, then SIGTERM, then SIGKILL: all within `shutdown`."""
    told = tmp_path / "defies"
    events = Events()
    topology = (
        Topology("defiant")
        .stage("numbers", Numbers)
        .stage(
            "sink",
            Defiant,
            args={"path": str(told)},
            shutdown=0.4,
            subscribe_to=[SubscribeTo("numbers", max_demand=1)],
        )
    )
    with topology.start(events) as run:
        wait_until(told.exists, "the callback")
        (pid,) = (pids(run)["sink/0"],)
        begun = time.monotonic()
        with within(0.4 + 1.0):
            run.terminate_child("sink")
        assert time.monotonic() - begun >= 0.4
        assert not alive({pid})
        (row,) = [child for child in run.which_children() if child.id == "sink/0"]
        assert (row.state, row.reason, row.pid) == ("ended", "killed", 0)


def test_shutdown_0_kills_at_once(tmp_path: Path) -> None:
    """`shutdown: 0` is OTP's brutal kill."""
    told = tmp_path / "sleeps"
    topology = (
        Topology("brutal")
        .stage("numbers", Numbers)
        .stage(
            "sleep",
            Sleep,
            args={"seconds": 10.0, "path": str(told)},
            shutdown=0,
            subscribe_to=[SubscribeTo("numbers", max_demand=1)],
        )
    )
    with topology.start() as run:
        wait_until(told.exists, "the callback")
        with within(1.0):
            assert run.stop().status == "stopped"
