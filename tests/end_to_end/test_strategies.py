"""Restart strategies with real kills: exactly the right processes are started again."""

from __future__ import annotations

from pathlib import Path

import pytest

from actorflow import IntensityExceeded, StageKilled, StartFailed, Topology
from actorflow import SupervisorOptions as Options
from actorflow.supervision.events import ChildEnded, ChildReady
from tests.end_to_end.helpers import (
    Events,
    alive,
    four_in_a_row,
    how_many_in,
    kill,
    numbers_in,
    pids,
    states,
    wait_until,
)
from tests.end_to_end.stages import Brief, Collect, Numbers, Pass, StartsWhenAllowed

pytestmark = pytest.mark.processes

RESTARTED = {
    "one_for_one": {"a": "a", "b": "b", "c": "c", "d": "d"},
    "one_for_all": {"a": "abcd", "b": "abcd", "c": "abcd", "d": "abcd"},
    "rest_for_one": {"a": "abcd", "b": "bcd", "c": "cd", "d": "d"},
}


@pytest.mark.parametrize("victim", ["a", "b", "c", "d"])
@pytest.mark.parametrize("strategy", RESTARTED)
def test_the_strategy_decides_who_is_started_again(
    strategy: str, victim: str, tmp_path: Path
) -> None:
    """The killed stage's group gets new processes, the others keep theirs; events flow again."""
    journal = tmp_path / "journal"
    events = Events()
    with four_in_a_row(journal, strategy=strategy).start(events) as run:
        events.started(*"abcd")
        before = pids(run)
        wait_until(lambda: how_many_in(journal) > 20, "events to flow")
        kill(run, victim)
        expected = RESTARTED[strategy][victim]
        events.started(*expected, generation=2)
        after = pids(run)
        changed = {name[0] for name in before if before[name] != after[name]}
        assert "".join(sorted(changed)) == expected
        seen = how_many_in(journal)
        wait_until(lambda: how_many_in(journal) > seen + 50, "events to flow again")
        restarts = {stage.stage[0]: stage.restarts for stage in run.stats().stages}
        assert restarts == {stage: int(stage in expected) for stage in "abcd"}
        outcome = run.drain(timeout=50)
    assert outcome.status == "done"
    # As no source has positions, the sink's file covers what the source's last life emitted.
    assert set(range(outcome.results["a"])) <= set(numbers_in(journal))


@pytest.mark.parametrize("strategy", RESTARTED)
def test_a_temporary_stage_is_never_started_again(strategy: str, tmp_path: Path) -> None:
    """Neither when it dies itself nor, as in OTP, with the group that another's death restarts."""
    events = Events()
    topology = four_in_a_row(tmp_path / "journal", strategy=strategy).stage(
        "t", Numbers, restart="temporary"
    )
    with topology.start(events) as run:
        events.started(*"abcdt")
        kill(run, "a")
        events.started(*RESTARTED[strategy]["a"], generation=2)
        expected = "running" if strategy == "one_for_one" else "ended"
        assert states(run)["t/0"] == expected
        if expected == "running":
            kill(run, "t")
            events.wait(ChildEnded, "t")
            assert states(run)["t/0"] == "ended"
        assert len(events.of(ChildReady, "t")) == 1
        assert not run.over


def test_a_permanent_stage_is_started_again_after_an_orderly_end() -> None:
    """`restart: permanent` means always; too often ends the run, for want of another error."""
    events = Events()
    rules = Options(max_restarts=2, max_seconds=60)
    topology = Topology("permanent", supervisor=rules).stage("brief", Brief, restart="permanent")
    with (
        topology.start(events) as run,
        pytest.raises(IntensityExceeded, match=r"max_restarts=2 .*last ended with 'normal'"),
    ):
        run.wait(50)
    assert [end.reason for end in events.of(ChildEnded, "brief")] == ["normal"] * 3


def test_a_transient_stage_that_is_killed_while_others_are_done_comes_back(tmp_path: Path) -> None:
    """The last stage of a chain is killed after its source has ended; nothing of it is lost."""
    journal = tmp_path / "journal"
    gate = tmp_path / "gate"
    events = Events()
    topology = (
        Topology("late")
        .stage("numbers", Numbers, args={"limit": 100})
        .stage("pass", Pass, subscribe_to=["numbers"])
        .stage("wait", StartsWhenAllowed, args={"path": str(gate)}, subscribe_to=["pass"])
        .stage("sink", Collect, args={"path": str(journal)}, subscribe_to=["pass"])
    )
    with topology.start(events) as run:
        events.started("sink")
        kill(run, "sink")
        events.restarted("sink")
        gate.touch()
        assert run.outcome(50).status == "done"


def test_a_stage_that_hangs_in_its_start_fails_within_its_time(tmp_path: Path) -> None:
    """`start_within` bounds the start; the error says which stage and which limit."""
    events = Events()
    topology = Topology("hangs").stage(
        "hangs", StartsWhenAllowed, args={"path": str(tmp_path / "never")}, start_within=0.3
    )
    with topology.start(events) as run:
        with pytest.raises(StartFailed, match=r"hangs/0 .*start_within=0\.3") as caught:
            run.wait(50)
        (end,) = events.of(ChildEnded, "hangs")
        assert not alive({end.pid})
    assert isinstance(caught.value.__cause__, StageKilled)


def test_a_restart_that_hangs_counts_as_a_failure(tmp_path: Path) -> None:
    """A successor that does not come up in time is killed and replaced, as often as is bearable."""
    gate = tmp_path / "gate"
    gate.touch()
    events = Events()
    topology = Topology("hangs", supervisor=Options(max_restarts=2, max_seconds=60)).stage(
        "hangs", StartsWhenAllowed, args={"path": str(gate)}, start_within=3.0
    )
    with topology.start(events) as run:
        events.started("hangs")
        gate.unlink()
        kill(run, "hangs")
        events.wait(ChildEnded, "hangs", 2)
        gate.touch()
        events.started("hangs", generation=2)
        assert states(run) == {"hangs/0": "running"}
        assert run.which_children()[0].restarts == 2
