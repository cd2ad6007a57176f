"""Supervisors inside supervisors with real processes and real kills."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from actorflow import (
    Consumer,
    IntensityExceeded,
    Run,
    StageKilled,
    Subscription,
    Topology,
    load,
)
from actorflow import SupervisorOptions as Options
from actorflow.supervision.events import (
    ChildEnded,
    ChildReady,
    ChildRestarting,
    SupervisorEnded,
    SupervisorEvent,
)
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
from tests.end_to_end.stages import Idle, Numbers, wait_for_file
from tests.stopwatch import within

pytestmark = pytest.mark.processes


class Waits(Consumer):
    """Stays in its callback until the test has made a file."""

    def __init__(self, path: str) -> None:
        self.path = path

    def handle_events(self, events: list[int], subscription: Subscription) -> None:
        wait_for_file(self.path)


def changed(before: dict[str, int], run: Run) -> str:
    """The stages that have another process than before."""
    after = pids(run)
    return "".join(sorted(name[0] for name in before if before[name] != after.get(name)))


@pytest.mark.parametrize(
    ("outer", "limit", "expected"),
    [
        ("one_for_one", 3, "c"),
        ("one_for_one", 0, "bc"),
        ("rest_for_one", 0, "bcd"),
        ("one_for_all", 0, "abcd"),
    ],
)
def test_a_part_falls_and_events_flow_again(
    outer: str, limit: int, expected: str, tmp_path: Path
) -> None:
    """Within the limit the stage alone; beyond it the part, or what the outer strategy says."""
    journal = tmp_path / "journal"
    events = Events()
    topology = four_in_a_row(journal, strategy=outer).supervise(
        "part", ["b", "c"], max_restarts=limit
    )
    with topology.start(events) as run:
        events.started(*"abcd")
        before = pids(run)
        wait_until(lambda: how_many_in(journal) > 20, "events to flow")
        kill(run, "c")
        events.started(*expected, generation=2)
        assert changed(before, run) == expected
        seen = how_many_in(journal)
        wait_until(lambda: how_many_in(journal) > seen + 50, "events to flow again")
        fallen = [row.restarts for row in run.which_supervisors()]
        assert fallen == [0, int(not limit)]
        outcome = run.drain(timeout=50)
    assert outcome.status == "done"
    if outer != "one_for_all":
        assert set(range(outcome.results["a"])) <= set(numbers_in(journal))


def test_the_root_cause_of_a_fall_through_three_supervisors(tmp_path: Path) -> None:
    """The error of the run says who gave up, and its cause who was killed and how."""
    events = Events()
    topology = (
        four_in_a_row(tmp_path / "journal", max_restarts=0)
        .supervise("outer", ["b"], max_restarts=0)
        .supervise("inner", ["c"], inside="outer", max_restarts=0)
    )
    with topology.start(events) as run:
        events.started(*"abcd")
        victim = kill(run, "c")
        outcome = run.outcome(50)
        with pytest.raises(StageKilled, match=f"process {victim}, signal SIGKILL"):
            run.wait(0)
    assert isinstance(outcome.error, IntensityExceeded)
    assert isinstance(outcome.error.__cause__, StageKilled)
    assert [each.supervisor for each in events.of(SupervisorEnded)] == ["inner", "outer", ""]


class Timed(Events):
    """Notes when each event happened."""

    def __init__(self) -> None:
        super().__init__()
        self.at: list[tuple[float, object]] = []

    def __call__(self, event: SupervisorEvent) -> None:
        self.at.append((time.monotonic(), event))
        super().__call__(event)

    def pauses(self) -> list[float]:
        """Seconds from each end to the restart after it."""
        ends = [when for when, event in self.at if isinstance(event, ChildEnded)]
        begins = [when for when, event in self.at if isinstance(event, ChildRestarting)]
        return [begin - end for end, begin in zip(ends, begins, strict=False)]


def test_a_flaky_stage_is_started_later_and_later(tmp_path: Path) -> None:
    """Three kills where none is allowed; each pause is longer; a stop waits for none of them."""
    events = Timed()
    topology = Topology("flaky", supervisor=Options(max_restarts=0)).stage(
        "idle", Idle, backoff={"initial": 0.1, "factor": 4, "max": 60}
    )
    with topology.start(events) as run:
        for life in (1, 2, 3):
            events.started("idle", generation=life)
            kill(run, "idle")
        events.started("idle", generation=4)
        kill(run, "idle")
        wait_until(lambda: states(run)["idle/0"] == "restarting", "the back-off")
        with within(4):
            assert run.stop().status == "stopped"
    assert all(
        pause >= least for pause, least in zip(events.pauses(), (0.1, 0.4, 1.6), strict=True)
    )


@pytest.mark.parametrize("shutdown", ["brutal_kill", 0])
def test_a_brutal_kill_does_not_wait(shutdown: str | int) -> None:
    """The stage is killed at once, in the middle of its callback."""
    events = Events()
    with Topology("brutal").stage("sleep", Idle, shutdown=shutdown).start(events) as run:
        events.started("sleep")
        assert run.stop().status == "stopped"
    (end,) = events.of(ChildEnded, "sleep")
    assert (end.reason, "SIGKILL" in end.detail) == ("killed", True)


def test_infinity_waits_as_long_as_it_takes(tmp_path: Path) -> None:
    """The stage ends when its callback has returned."""
    gate = tmp_path / "gate"
    events = Events()
    topology = (
        Topology("patient")
        .stage("numbers", Numbers)
        .stage(
            "waits",
            Waits,
            args={"path": str(gate)},
            subscribe_to=["numbers"],
            shutdown="infinity",
        )
    )
    with topology.start(events) as run:
        wait_until(lambda: run.stats().stage("waits").busy_for > 0, "it to be busy")
        pid = pids(run)["waits/0"]
        stopping = threading.Thread(target=run.stop)
        stopping.start()
        wait_until(lambda: states(run)["waits/0"] == "stopping", "the stop")
        assert alive({pid})
        gate.touch()
        stopping.join(50)
        assert run.outcome(1).status == "stopped"
    (end,) = events.of(ChildEnded, "waits")
    assert (end.reason, end.normal) == ("shutdown", True)


def test_a_file_with_supervisors_runs(tmp_path: Path) -> None:
    """Nested ones, a significant stage, back-off, kinds of shutdown: as written."""
    file = tmp_path / "tree.yaml"
    file.write_text(TREE, encoding="utf-8")
    events = Events()
    with load(file).start(events) as run:
        events.started("endless", "pass", "collect", "brief")
        rows = {row.name: (row.parent, row.strategy, row.stages) for row in run.which_supervisors()}
        assert rows == {
            "": ("", "rest_for_one", 4),
            "work": ("", "one_for_all", 3),
            "inner": ("work", "one_for_one", 1),
        }
        kill(run, "pass")
        events.started("endless", "pass", "collect", generation=2)
        assert len(events.of(ChildReady, "brief")) == 1
        run.cast("brief", "enough")
        assert run.outcome(50).status == "done"
    assert [(e.supervisor, e.reason) for e in events.of(SupervisorEnded)][-1] == ("", "shutdown")


TREE = """
supervisor: {strategy: rest_for_one, auto_shutdown: any_significant}
supervisors:
  work:
    strategy: one_for_all
    stages: [endless, collect]
    supervisors:
      inner: {stages: [pass], max_restarts: 0}
stages:
  brief: {use: "tests.end_to_end.stages:Ends", significant: true}
  endless: {use: "tests.end_to_end.stages:Numbers", backoff: {initial: 0.01}}
  pass:
    use: tests.end_to_end.stages:Pass
    subscribe_to: [{to: endless, max_demand: 5}]
    shutdown: brutal_kill
  collect: {use: "tests.end_to_end.stages:Sink", subscribe_to: [pass]}
"""
