"""Kill -9 of a stage: the run goes on, and every event arrives."""

from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest

from actorflow import StageKilled, SubscribeTo, SupervisorOptions, Topology
from actorflow.supervision.events import ChildEnded
from tests.end_to_end.helpers import (
    Events,
    descriptors,
    how_many_in,
    kill,
    numbers_in,
    pids,
    wait_until,
)
from tests.end_to_end.stages import Collect, Numbers, Pass

pytestmark = pytest.mark.processes


def chain(path: Path, *, demand: int = 20, restarts: int = 3, limit: int | None = None) -> Topology:
    """A→B→C: numbers, passed on, written to a file."""
    return (
        Topology("chain", supervisor=SupervisorOptions(max_restarts=restarts, max_seconds=60))
        .stage("a", Numbers, args={"limit": limit})
        .stage("b", Pass, subscribe_to=[SubscribeTo("a", max_demand=demand)])
        .stage(
            "c",
            Collect,
            args={"path": str(path)},
            subscribe_to=[SubscribeTo("b", max_demand=demand)],
        )
    )


@pytest.mark.parametrize("victim", ["a", "b", "c"])
def test_a_killed_stage_is_restarted_and_every_event_arrives(victim: str, tmp_path: Path) -> None:
    """Whichever stage of a running A→B→C is killed, its successor goes on where it was."""
    journal = tmp_path / "journal"
    events = Events()
    with chain(journal).start(events) as run:
        for life in range(3):
            events.started(victim, generation=life + 1)
            seen = how_many_in(journal)
            wait_until(lambda seen=seen: how_many_in(journal) > seen + 50, "events to flow")
            kill(run, victim)
        events.restarted(victim, 3)
        seen = how_many_in(journal)
        wait_until(lambda: how_many_in(journal) > seen + 50, "events to flow again")
        outcome = run.drain(timeout=50)
    assert outcome.status == "done"
    emitted = outcome.results["a"]
    # A source without positions starts again at 0, so the file covers what its last life emitted.
    assert set(range(emitted)) <= set(numbers_in(journal))
    ended = events.of(ChildEnded, victim)
    assert [end.reason for end in ended] == ["killed"] * 3 + ["done"]
    others = {"a", "b", "c"} - {victim}
    assert all(len(events.of(ChildEnded, other)) == 1 for other in others)


def test_only_what_was_under_way_is_delivered_again(tmp_path: Path) -> None:
    """A killed middle stage causes no more repetitions than were in flight."""
    journal = tmp_path / "journal"
    events = Events()
    with chain(journal, demand=10).start(events) as run:
        wait_until(lambda: how_many_in(journal) > 100, "events to flow")
        kill(run, "b")
        events.restarted("b")
        outcome = run.drain(timeout=50)
    arrived = numbers_in(journal)
    assert set(arrived) == set(range(outcome.results["a"]))
    assert len(arrived) - len(set(arrived)) <= 20


def test_too_many_kills_end_the_run_with_the_last_one(tmp_path: Path) -> None:
    """Past the restart intensity the run fails, and says which stage, pid and signal."""
    events = Events()
    with chain(tmp_path / "journal", restarts=2).start(events) as run:
        victims = []
        for life in range(3):
            events.started("b", generation=life + 1)
            victims.append(kill(run, "b"))
        with pytest.raises(StageKilled) as caught:
            run.wait(timeout=50)
    assert caught.value.stage == "b/0"
    assert f"process {victims[-1]}, signal SIGKILL" in str(caught.value)
    assert any("max_restarts=2" in note for note in caught.value.__notes__)
    assert len(set(victims)) == 3


def test_a_kill_of_every_stage_at_once_is_survived(tmp_path: Path) -> None:
    """All three die in the same moment, and all three come back."""
    journal = tmp_path / "journal"
    events = Events()
    with chain(journal, restarts=5).start(events) as run:
        events.started("a", "b", "c")
        wait_until(lambda: how_many_in(journal) > 50, "events to flow")
        before = pids(run)
        for stage in ("a", "b", "c"):
            kill(run, stage)
        for stage in ("a", "b", "c"):
            events.restarted(stage)
        assert not set(before.values()) & set(pids(run).values())
        seen = how_many_in(journal)
        wait_until(lambda: how_many_in(journal) > seen + 50, "events to flow again")
        outcome = run.drain(timeout=50)
    assert outcome.status == "done"
    assert set(range(outcome.results["a"])) <= set(numbers_in(journal))


def test_a_hundred_restarts_leave_nothing_behind(tmp_path: Path) -> None:
    """No zombie, and as many descriptors in host, zygote and neighbours as before."""
    journal = tmp_path / "journal"
    events = Events()
    with chain(journal, restarts=1000).start(events) as run:
        events.started("a", "b", "c")
        zygote = psutil.Process(run._runtime.describe()["zygote"])

        def restart(times: range) -> None:
            for life in times:
                events.started("b", generation=life)
                kill(run, "b")

        def counted() -> list[int]:
            # The spare process and the successor's links come a moment later, and a copy of what
            # was handed over to either is closed a moment after that.
            wait_until(lambda: has_spare() and zygote.status() == "sleeping", "a spare process")
            seen = how_many_in(journal)
            wait_until(lambda: how_many_in(journal) > seen + 50, "events to flow again")
            watched = [os.getpid(), zygote.pid, pids(run)["a/0"], pids(run)["c/0"]]
            return [descriptors(pid) for pid in watched]

        def has_spare() -> bool:
            return any(process.name() == "spare" for process in zygote.children())

        restart(range(1, 11))
        before = counted()
        restart(range(11, 101))
        wait_until(lambda: counted() == before, f"{before} descriptors")
        family = zygote.children(recursive=True)
        assert psutil.STATUS_ZOMBIE not in {process.status() for process in family}
        assert len(family) <= 4
        assert run.stats().stage("b").restarts == 100
        outcome = run.drain(timeout=50)
    assert set(range(outcome.results["a"])) == set(numbers_in(journal))
