"""Children that do everything wrong, one by one: stages, and the children of a ConsumerSupervisor.

Each time the supervisor stays responsive while it happens, the deadline holds, and nothing is left;
that no process is, is looked for after every test.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import Any

import pytest

from actorflow import (
    ChildTemplate,
    ConsumerSupervisor,
    IntensityExceeded,
    Run,
    StageDown,
    StageKilled,
    StartFailed,
    SupervisorOptions,
    Topology,
)
from actorflow.stage.behaviour import Stage
from actorflow.supervision import consumer_core
from actorflow.supervision.events import ChildReady
from tests.end_to_end import children
from tests.end_to_end.helpers import Events, alive, pids, wait_until
from tests.end_to_end.stages import Idle, append
from tests.end_to_end.stages_of_hostile_children import ExitsInConstructor, Hostile
from tests.stopwatch import within

pytestmark = pytest.mark.processes

FORKED = ["process", "worker"]
LIMIT = 0.5
"""Seconds that a child may take. When the machine stands still for so long, good ones fail, too."""

LATE = 8.0
"""Seconds by which a deadline may be missed on a machine that is busy with other things; what it is
about would take a thousand."""


def lines(path: Path) -> list[list[str]]:
    """The words of each line of a journal."""
    if not path.exists():
        return []
    return [line.split(maxsplit=1) for line in path.read_text().splitlines()]


def started(topology: Topology) -> tuple[Run, Events]:
    """Start, and wait until every stage runs."""
    events = Events()
    run = topology.start(events)
    events.started(*(stage.name for stage in topology.stages))
    return run, events


# --- stages under the supervisor ------------------------------------------------------------------


def with_stage(path: Path, *, shutdown: float = 0.4, **supervisor: Any) -> Topology:
    """A source that emits what it is cast, and the hostile stage."""
    return (
        Topology("hostile", supervisor=SupervisorOptions(**supervisor))
        .stage("source", Idle)
        .stage(
            "hostile",
            Hostile,
            args={"path": str(path)},
            shutdown=shutdown,
            subscribe_to=["source"],
        )
    )


@pytest.mark.parametrize("event", ["hang", "ignore", "close and hang"])
def test_a_stage_that_does_not_end_is_killed_in_time(event: str, tmp_path: Path) -> None:
    """It hangs in C code holding the lock, ignores SIGTERM, has closed its control link."""
    journal = tmp_path / "journal"
    run, _ = started(with_stage(journal))
    with run:
        pid = pids(run)["hostile/0"]
        run.cast("source", [event])
        wait_until(lambda: lines(journal), "it to misbehave")
        assert [child.state for child in run.which_children()][:1] == ["running"]
        with within(0.4 + LATE):
            run.terminate_child("hostile", timeout=30)
        assert not alive({pid})
        assert run.count_children().specs == 2


@pytest.mark.parametrize("event", ["hang", "ignore", "close and hang"])
def test_a_run_with_a_stage_that_does_not_end_stops_in_time(event: str, tmp_path: Path) -> None:
    """The whole run, by its own deadline."""
    journal = tmp_path / "journal"
    run, _ = started(with_stage(journal))
    with run:
        run.cast("source", [event])
        wait_until(lambda: lines(journal), "it to misbehave")
        with within(0.4 + LATE):
            outcome = run.stop()
    assert outcome.status == "stopped"


def test_a_stage_that_closes_its_descriptors_is_restarted(tmp_path: Path) -> None:
    """It cannot say a word any more; its end is seen, and its event is delivered again."""
    journal = tmp_path / "journal"
    run, events = started(with_stage(journal, max_restarts=2, max_seconds=60))
    with run:
        run.cast("source", ["close"])
        events.restarted("hostile", 2)
        assert run.count_children().specs == 2
        with pytest.raises((StageKilled, IntensityExceeded, OSError)):
            run.wait(timeout=30)
    assert len(lines(journal)) == 3


def test_what_a_stage_has_forked_ends_with_it(tmp_path: Path) -> None:
    """The grandchild ignores SIGTERM and holds copies of every link."""
    journal = tmp_path / "journal"
    run, _ = started(with_stage(journal))
    with run:
        run.cast("source", ["fork"])
        wait_until(lambda: len(lines(journal)) == 2, "the grandchild")
        everybody = {int(words[0]) for words in lines(journal)}
        assert len(alive(everybody)) == 2
        run.terminate_child("hostile", timeout=30)
        wait_until(lambda: not alive(everybody), "the grandchild to end")


@pytest.mark.parametrize("how", ["_exit", "sys.exit"])
def test_a_stage_that_exits_in_its_constructor_ends_the_run_with_the_reason(
    how: str, tmp_path: Path
) -> None:
    """It is no hang until `start_within`: the exit is seen at once."""
    behaviour: type[Stage] = ExitsInConstructor
    journal = tmp_path / "journal"
    topology = (
        Topology("hostile")
        .stage("source", Idle)
        .stage(
            "hostile",
            behaviour,
            args={"path": str(journal), "how": how},
            start_within=1000,
            subscribe_to=["source"],
        )
    )
    with (
        within(LATE),
        topology.start() as run,
        pytest.raises((StartFailed, StageKilled)) as caught,
    ):
        run.wait(timeout=30)
    assert "exit status" in f"{caught.value} {caught.value.__cause__}"
    assert not alive({int(words[0]) for words in lines(journal)})


# --- children of a ConsumerSupervisor -------------------------------------------------------------


def with_children(path: Path, kind: str, run: Any = children.hostile, **template: Any) -> Topology:
    """A source that emits what it is cast, and a child for each of its events."""
    if kind == "worker":
        template.setdefault("workers", 2)
    of = ChildTemplate(run=run, arguments=(str(path),), kind=kind, **template)  # type: ignore[arg-type]
    return (
        Topology("hostile")
        .stage("source", Idle)
        .stage(
            "jobs",
            ConsumerSupervisor,
            args={"template": of},
            shutdown=10.0,
            subscribe_to=["source"],
        )
    )


def goes_on(run: Run, finished: int, spare: int = 0) -> None:
    """Three good events are still done.

    Args:
        run: the run.
        finished: how many were before.
        spare: for so many that fail there are others; their time may be up on a machine that
            stands still.
    """
    jobs = run.consumer_supervisor("jobs")
    lost = jobs.count_children().failed
    run.cast("source", ["good"] * 3)

    def done() -> bool:
        nonlocal lost, spare
        counts = jobs.count_children()
        if again := min(counts.failed - lost, spare):
            run.cast("source", ["good"] * again)
            lost, spare = lost + again, spare - again
        return counts.finished >= finished + 3

    try:
        wait_until(done, "good events to be done")
    except AssertionError as error:
        raise AssertionError(f"{error}; {jobs.count_children()}, {run.statistics()}") from None


@pytest.mark.parametrize("kind", FORKED)
@pytest.mark.parametrize("event", ["hang", "ignore", "close and hang"])
def test_a_child_that_hangs_is_ended_by_its_timeout(kind: str, event: str, tmp_path: Path) -> None:
    """In C code, holding the lock, deaf to SIGTERM, without descriptors: its time ends it."""
    journal = tmp_path / "journal"
    run, _ = started(with_children(journal, kind, timeout=LIMIT, restart="temporary"))
    with run:
        jobs = run.consumer_supervisor("jobs")
        tried = 0
        while not lines(journal):  # its time may be up before it has begun to misbehave
            tried += 1
            with within(LIMIT + LATE):
                run.cast("source", [event])
                wait_until(lambda: jobs.count_children().failed == tried, "its end")  # noqa: B023
        counts = jobs.count_children()
        assert (counts.started, counts.failed, counts.workers) == (tried, tried, 0)
        assert not alive({int(lines(journal)[0][0])})
        goes_on(run, 0, spare=6)


@pytest.mark.parametrize("kind", FORKED)
def test_a_child_that_ignores_sigterm_is_killed_when_its_time_is_up(
    kind: str, tmp_path: Path
) -> None:
    """`terminate_child` answers by the template's `shutdown`; others are answered meanwhile."""
    journal = tmp_path / "journal"
    run, _ = started(with_children(journal, kind, shutdown=0.5))
    with run:
        jobs = run.consumer_supervisor("jobs")
        run.cast("source", ["ignore"])
        wait_until(lambda: lines(journal), "it to misbehave")
        (row,) = jobs.which_children()
        began = time.monotonic()
        with within(0.5 + LATE):
            jobs.terminate_child(row.id, timeout=30)
        assert time.monotonic() - began >= 0.5
        assert not alive({int(lines(journal)[0][0])})
        goes_on(run, 0)


@pytest.mark.parametrize("kind", FORKED)
@pytest.mark.parametrize("event", ["hang", "ignore"])
def test_a_stop_with_such_children_keeps_its_deadline(
    kind: str, event: str, tmp_path: Path
) -> None:
    """The stage asks, then kills; the run is over in time."""
    journal = tmp_path / "journal"
    run, _ = started(with_children(journal, kind, shutdown=0.3))
    with run:
        run.cast("source", [event, event])
        wait_until(lambda: len(lines(journal)) == 2, "both to misbehave")
        with within(0.3 + LATE):
            outcome = run.stop()
    assert outcome.status == "stopped"
    assert not alive({int(words[0]) for words in lines(journal)})


def test_a_child_behind_one_that_hangs_is_terminated_in_time(tmp_path: Path) -> None:
    """It waits in the same worker's pipe: its end does not wait for the other's, nor hits it."""
    journal = tmp_path / "journal"
    run, events = started(with_children(journal, "worker", shutdown=0.3, workers=1))
    with run:
        jobs = run.consumer_supervisor("jobs")
        # Quick ones first, so that more than one is given to the worker at a time.
        run.cast("source", ["good"] * 50)
        wait_until(lambda: jobs.count_children().finished == 50, "the quick ones")
        run.cast("source", ["hang", "good"])
        wait_until(lambda: lines(journal)[-1][1] == "hang", "it to hang")
        hanging, behind = wait_until(lambda: _pair(jobs), "both to be there")
        with within(0.3 + LATE):
            jobs.terminate_child(behind.id, timeout=30)
        assert [row.id for row in jobs.which_children()] == [hanging.id]
        assert alive({hanging.pid})
        jobs.terminate_child(hanging.id, timeout=30)
        goes_on(run, 50)
    assert len(events.of(ChildReady, "jobs")) == 1


def _pair(jobs: Any) -> Any:
    rows = jobs.which_children()
    return rows if len(rows) == 2 else None


def test_what_a_child_has_forked_ends_with_it(tmp_path: Path) -> None:
    """It holds the child's pipe open, and the child's end is seen all the same."""
    journal = tmp_path / "journal"
    run, _ = started(with_children(journal, "process"))
    with run:
        jobs = run.consumer_supervisor("jobs")
        run.cast("source", ["fork"])
        wait_until(lambda: jobs.count_children().finished == 1, "the child's end")
        wait_until(lambda: len(lines(journal)) == 2 or not jobs.which_children(), "its traces")
        wait_until(lambda: not alive({int(w[0]) for w in lines(journal)}), "the grandchild's end")
        goes_on(run, 1)


def test_what_a_task_has_forked_ends_with_its_worker(tmp_path: Path) -> None:
    """The worker goes on; when it ends, so does what its tasks have left behind."""
    journal = tmp_path / "journal"
    run, _ = started(with_children(journal, "worker"))
    with run:
        jobs = run.consumer_supervisor("jobs")
        run.cast("source", ["fork"])
        wait_until(lambda: len(lines(journal)) == 2, "the grandchild")
        wait_until(lambda: jobs.count_children().finished == 1, "the task's end")
        goes_on(run, 1)
    everybody = {int(words[0]) for words in lines(journal)}
    wait_until(lambda: not alive(everybody), "everybody's end")


@pytest.mark.parametrize("kind", FORKED)
def test_what_children_have_forked_ends_when_their_stage_is_killed(
    kind: str, tmp_path: Path
) -> None:
    """Kill -9 of the stage: children by their parent's death, grandchildren by their group."""
    from tests.end_to_end.helpers import kill

    journal = tmp_path / "journal"
    run, events = started(with_children(journal, kind, run=_forks_and_hangs))
    with run:
        run.cast("source", ["fork"])
        wait_until(lambda: len(lines(journal)) == 2, "the grandchild")
        everybody = {int(words[0]) for words in lines(journal)}
        kill(run, "jobs")
        wait_until(lambda: not alive(everybody), "everybody's end")
        events.restarted("jobs")


def _forks_and_hangs(path: str, event: str) -> None:
    append(path, os.getpid(), event)
    children.fork_stubborn(path)
    time.sleep(children.AGES)


@pytest.mark.parametrize(
    ("kind", "event"), [("worker", "close"), ("process", "close and return much")]
)
def test_a_child_that_closes_its_descriptors_ends_badly_alone(
    kind: str, event: str, tmp_path: Path
) -> None:
    """It cannot say how it ended, and writes into no file that has got its pipe's number."""
    journal = tmp_path / "journal"
    run, _ = started(with_children(journal, kind, restart="temporary"))
    with run:
        jobs = run.consumer_supervisor("jobs")
        run.cast("source", [event])
        wait_until(lambda: _failed(jobs), "its end")
        goes_on(run, 0)
        assert jobs.count_children().failed == 1


def test_a_process_needs_no_descriptor_for_a_few_last_words(tmp_path: Path) -> None:
    """What is short goes through memory."""
    journal = tmp_path / "journal"
    run, _ = started(with_children(journal, "process", restart="temporary"))
    with run:
        jobs = run.consumer_supervisor("jobs")
        run.cast("source", ["close"])
        wait_until(lambda: jobs.count_children().finished == 1, "its end")
        assert jobs.count_children().failed == 0


@pytest.mark.parametrize("kind", FORKED)
def test_a_child_that_forks_and_returns_twice_has_one_end(kind: str, tmp_path: Path) -> None:
    """The copy that falls through says nothing and is gone."""
    journal = tmp_path / "journal"
    run, _ = started(with_children(journal, kind))
    with run:
        jobs = run.consumer_supervisor("jobs")
        run.cast("source", ["fall"])
        wait_until(lambda: jobs.count_children().finished == 1, "its end")
        goes_on(run, 1)
        counts = jobs.count_children()
        assert (counts.started, counts.finished, counts.failed) == (4, 4, 0)


@pytest.mark.parametrize("kind", FORKED)
@pytest.mark.parametrize("how", ["_exit", "sys.exit"])
def test_a_child_that_exits_in_its_constructor_is_its_own_end(
    kind: str, how: str, tmp_path: Path
) -> None:
    """The stage and the next child do not notice."""
    journal = tmp_path / "journal"
    run, _ = started(with_children(journal, kind, children.ExitsInConstructor, restart="temporary"))
    with run:
        jobs = run.consumer_supervisor("jobs")
        run.cast("source", [how])
        wait_until(lambda: _failed(jobs), "its end")
        goes_on(run, 0)


def test_a_thread_that_hangs_in_c_ends_with_the_stage(tmp_path: Path) -> None:
    """No signal ends a thread: its stage's process ends, and the stage answers until then."""
    journal = tmp_path / "journal"
    topology = with_children(journal, "thread", _hangs_once, timeout=0.2)
    run, events = started(topology)
    with run:
        run.cast("source", ["hang"])
        wait_until(lambda: lines(journal), "it to hang")
        with contextlib.suppress(StageDown):
            active = run.consumer_supervisor("jobs").count_children().active
            # The second life answers when the machine stood still for longer than the first.
            assert active == 1 or len(events.of(ChildReady, "jobs")) > 1
        events.restarted("jobs")
        jobs = run.consumer_supervisor("jobs")
        wait_until(lambda: jobs.count_children().finished == 1, "the event's second life")


def _is_first(path: str, event: str) -> bool:
    """Whether this is the first life; its stage's process then waits for less than five seconds."""
    consumer_core.GONE_WITHIN = 0.3
    first = not os.path.exists(path)
    append(path, os.getpid(), event)
    return first


def _hangs_once(path: str, event: str) -> None:
    import ctypes

    if _is_first(path, event):
        # Without the lock: with it, the stage itself would hang, and only its supervisor could end
        # it (which the tests above show).
        ctypes.CDLL(None).sleep(children.AGES)


def test_a_task_that_refuses_to_be_cancelled_ends_with_the_stage(tmp_path: Path) -> None:
    """The same for asyncio."""
    journal = tmp_path / "journal"
    run, events = started(with_children(journal, "task", _refuses_once, timeout=0.2))
    with run:
        run.cast("source", ["refuse"])
        events.restarted("jobs")
        jobs = run.consumer_supervisor("jobs")
        wait_until(lambda: jobs.count_children().finished == 1, "the event's second life")


async def _refuses_once(path: str, event: str) -> None:
    import asyncio

    first = _is_first(path, event)
    while first:
        try:
            await asyncio.sleep(children.AGES)
        except asyncio.CancelledError:
            continue


def _failed(jobs: Any) -> Any:
    counts = jobs.count_children()
    return counts if counts.failed else None
