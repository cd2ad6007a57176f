"""Running changes with real processes: replicas come, go and are replaced while events flow."""

from __future__ import annotations

from pathlib import Path

import pytest

from actorflow import (
    OptionError,
    Refused,
    Run,
    Topology,
    TopologyError,
)
from tests.end_to_end.helpers import Events, how_many_in, kill, numbers_in, states, wait_until
from tests.end_to_end.stages_of_running_changes import Add, Kept, Told

pytestmark = pytest.mark.processes


def flowing(path: Path) -> Topology:
    """Numbers without end, through a stage that adds, into a file."""
    return (
        Topology("flowing")
        .stage("numbers", Told)
        .stage("add", Add, subscribe_to=[{"to": "numbers", "max_demand": 50}])
        .stage(
            "out",
            Kept,
            args={"path": str(path)},
            subscribe_to=[{"to": "add", "max_demand": 50}],
        )
    )


def test_replicas_come_and_go_under_way_and_nothing_is_lost_or_repeated(tmp_path: Path) -> None:
    """One, four, two, one; then a drain: every number from 0 is there once."""
    path = tmp_path / "out"
    events = Events()
    with flowing(path).start(events) as run:
        events.started("numbers", "add", "out")  # a change waits for the new replicas alone
        for replicas in (4, 2, 3, 1):
            before = how_many_in(path)
            rows = run.scale("add", replicas, timeout=50)
            assert [row.id for row in rows] == [f"add/{index}" for index in range(replicas)]
            assert {row.state for row in rows} == {"running"}
            assert run.call("add/0", "how many?") == replicas
            wait_until(lambda before=before: how_many_in(path) > before + 500, "events")
        outcome = run.drain(timeout=50)
    assert outcome.status == "done"
    there = numbers_in(path)
    assert sorted(there) == list(range(len(there)))
    # A list by index; that of a replica that came twice is its last.
    assert len(outcome.results["add"]) == 4


def test_a_replica_killed_while_it_leaves_loses_nothing(tmp_path: Path) -> None:
    """Kill -9 in the middle of a change; what it had is delivered to those that stay."""
    path = tmp_path / "out"
    with flowing(path).start() as run:
        run.scale("add", 3, timeout=50)
        wait_until(lambda: how_many_in(path) > 300, "events")
        kill(run, "add/2")
        run.scale("add", 1, timeout=50)
        wait_until(lambda: set(states(run)) == {"numbers/0", "add/0", "out/0"}, "one replica")
        assert run.drain(timeout=50).status == "done"
    assert set(numbers_in(path)) == set(range(max(numbers_in(path)) + 1))


def test_a_stage_is_replaced_under_way(tmp_path: Path) -> None:
    """From some number on all that comes has the new argument's mark; none is missing."""
    path = tmp_path / "out"
    million = 1_000_000
    with flowing(path).start() as run:
        run.scale("add", 2, timeout=50)
        wait_until(lambda: how_many_in(path) > 300, "events")
        rows = run.replace("add", args={"number": million}, timeout=50)
        assert [row.generation for row in rows] == [2, 2]
        wait_until(lambda: max(numbers_in(path)) > million, "events of the new ones")
        with pytest.raises(TopologyError, match="numbr"):
            run.replace("add", args={"numbr": 1})
        with pytest.raises(OptionError, match="options must be"):
            run.replace("add", options={"bufer_size": 1})
        with pytest.raises(Refused, match="fixed_option"):
            run.replace("add", options={"dispatcher": "broadcast"})
        with pytest.raises(OptionError, match="replicas must be"):
            run.scale("add", 0)
        assert run.drain(timeout=50).status == "done"
    numbers = {number % million for number in numbers_in(path)}
    assert numbers == set(range(max(numbers) + 1))


@pytest.mark.parametrize("stage", ["numbers", "add", "out"])
def test_a_stage_is_paused_and_resumed_under_way(tmp_path: Path, stage: str) -> None:
    """While it rests the counters stand still; a kill does not wake it; nothing is lost."""
    path = tmp_path / "out"
    with flowing(path).start() as run:
        wait_until(lambda: how_many_in(path) > 300, "events")
        run.pause_stage(stage)
        if stage == "add":
            kill(run, "add/0")
            wait_until(lambda: second_life(run, "add/0"), "a successor")
        stood = at_rest(run)
        assert at_rest(run) == stood
        run.resume_stage(stage)
        before = how_many_in(path)
        wait_until(lambda: how_many_in(path) > before + 300, "more events")
        assert run.drain(timeout=50).status == "done"
    there = numbers_in(path)
    assert set(there) == set(range(max(there) + 1))


def second_life(run: Run, stage: str) -> bool:
    """Whether a stage runs again after its first death."""
    (row,) = [row for row in run.which_children() if row.id == stage]
    return row.generation == 2 and row.state == "running"


def at_rest(run: Run) -> list[list[int]]:
    """The counters, once nothing is under way: every stage has had its turn, and none has moved.

    A call waits for its turn among the events, so that when everybody has answered twice, what was
    under way when the round began has moved somebody's counters.
    """

    def counters() -> list[list[int]]:
        stages = run.stats().stages
        return [[stage.events_in, stage.events_out, stage.asks_in] for stage in stages]

    def turn() -> list[list[int]] | None:
        before = counters()
        # Twice: what comes together with the first call may be taken in behind it.
        for stage in 2 * ["numbers/0", "add/0", "out/0"]:
            run.call(stage, "your turn")
        return before if counters() == before else None

    return wait_until(turn, "a rest")
