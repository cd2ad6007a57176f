"""D-01 to D-05, D-14, D-21, D-22 and D-24 with real processes, sockets and kills."""

from __future__ import annotations

import functools
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from actorflow import SubscribeTo, SupervisorOptions, Topology
from actorflow.runtime.local import links
from actorflow.stages.buffered import AsyncStage, ForEach
from benchmarks._database import served
from tests.end_to_end.helpers import Events, kill, wait_until
from tests.systems import buffered_stages as stages
from tests.systems.database import Database

pytestmark = pytest.mark.processes

PATIENT = SupervisorOptions(max_restarts=5, max_seconds=60)


def pipeline(name: str, items: int, calls: dict[str, Any], bodies: dict[str, Any]) -> Topology:
    """A shelf of items, a window of calls, and a body for each result."""
    return (
        Topology(name, supervisor=PATIENT, permits={"pool": 2, "lock": 1})
        .stage("shelf", stages.Shelf, args={"items": items})
        .stage("calls", AsyncStage, args=calls, subscribe_to=["shelf"])
        .stage("bodies", ForEach, args=bodies, subscribe_to=["calls"])
    )


@pytest.mark.parametrize(
    ("body", "executor"), [(stages.asynchronous_body, "async"), (stages.rude_body, "process")]
)
def test_d_01_d_02_d_03_no_client_is_idle_while_a_body_runs(body: Any, executor: str) -> None:
    """The first body ends only when all other calls of the window have sent their queries.

    With ``claim="window"`` one of them begins when the body has begun.

    D-01: a coroutine. D-02: one that blocks. D-03: one that spins, and one that keeps the
    interpreter in an extension's call.
    """
    database = Database(beside=6)
    with served(database) as address:
        topology = pipeline(
            "story",
            9,
            {
                "run": functools.partial(stages.select, address),
                "concurrency": 5,
                "claim": "window",
            },
            {"run": body, "executor": executor},
        )
        with topology.start() as run:
            assert run.wait(timeout=30)["shelf"] == 9
    assert database.dropped == []
    assert (database.queries, database.bodies, database.most_bodies) == (9, 9, 1)


def test_d_04_d_05_permits_are_shared_by_calls_and_bodies() -> None:
    """D-04: two permits for five calls, their second steps, and the bodies. D-05: a lock, deep."""
    topology = pipeline(
        "permits",
        100,
        {"run": stages.two_steps, "concurrency": 5},
        {"run": stages.body_with_permit},
    )
    for stage in pipeline(
        "locks",
        20,
        {"run": stages.deep_lock, "concurrency": 2},
        {"run": stages.body_with_lock, "executor": "async"},
    ).stages:
        subscribe_to = [f"locked_{each.to}" for each in stage.subscribe_to or ()]
        topology = topology.stage(
            f"locked_{stage.name}",
            stage.use,
            args=stage.args,
            **({"subscribe_to": subscribe_to} if subscribe_to else {}),  # type: ignore[arg-type]
        )
    with topology.start() as run:
        results = run.wait(timeout=40)
    assert (results["shelf"], results["locked_shelf"]) == (100, 20)


def lines(path: Path) -> list[list[str]]:
    """The lines that processes have added so far, in words."""
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


def test_d_21_d_22_kills_lose_nothing(tmp_path: Path) -> None:
    """D-22: the calls' process dies with both permits. D-21: a body's process, then its stage's."""
    held, bodies, again = tmp_path / "held", tmp_path / "bodies", tmp_path / "again"
    topology = pipeline(
        "kills",
        12,
        {"run": functools.partial(stages.hold_permits, str(tmp_path)), "concurrency": 5},
        {
            "run": functools.partial(stages.noted_body, str(tmp_path)),
            "restart": "transient",
            "max_restarts": 10,
        },
    )
    events = Events()
    with topology.start(events) as run:
        wait_until(lambda: len(lines(held)) == 7, "five calls, two of them with permits")
        assert sum(words[0] == "has" for words in lines(held)) == 2
        kill(run, "calls")
        worker = wait_until(
            lambda: next((int(pid) for pid, item in lines(bodies) if item == "3"), 0), "body 3"
        )
        os.kill(worker, signal.SIGKILL)
        wait_until(lambda: sum(item == "3" for _, item in lines(bodies)) == 2, "body 3 again")
        kill(run, "bodies")
        again.touch()
        run.wait(timeout=30)
    done = {int(item) for _, item in lines(bodies)}
    assert done == set(range(1, 13))


def ticks_are_late_by(folder: Path) -> float:
    """Run D-14 and D-24 together; returns seconds by which the latest tick of both loops was late.

    While its link is full the loop ticks and the stage answers, and has claimed no more: neither
    waits in a write.
    """
    latest, large = folder / "latest", functools.partial(stages.large, str(folder))
    topology = Topology("served")
    for name, run, items, concurrency, keep in (
        ("ready", stages.ready_at_once, 1_000, 1_000, {}),
        ("large", large, 12, 4, {"folder": str(folder)}),
    ):
        calls = {
            "run": run,
            "concurrency": concurrency,
            "setup": stages.ticker,
            "teardown": functools.partial(stages.note_latest, str(latest)),
        }
        topology = (
            topology.stage(f"{name}_shelf", stages.Shelf, args={"items": items})
            .stage(
                name,
                stages.Ticking,
                args=calls,
                shared_memory=0,  # a result passes through the pipe
                subscribe_to=[f"{name}_shelf"],
            )
            .stage(
                f"{name}_kept",
                stages.Keep,
                args=keep,
                subscribe_to=[SubscribeTo(name, max_demand=4)],
            )
        )
    events = Events()
    with topology.start(events) as run:
        events.started("large")
        wait_until(lambda: run.call("large", "counts").handed_over >= 4, "a full link")
        enough = run.call("large", "ticks") + 5
        wait_until(lambda: run.call("large", "ticks") >= enough, "ticks beside a full link")
        assert run.call("large", "counts").claimed == 4
        (folder / "gate").touch()
        results = run.wait(timeout=30)
    assert sorted(results["ready_kept"]) == list(range(1, 1_001))
    assert results["large_kept"] == [bytes(1 << 20)] * 12
    both = [float(words[0]) for words in lines(latest)]
    assert len(both) == 2
    return max(both)


def test_d_14_d_24_the_event_loop_is_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D-14: 1 000 calls that are ready at once. D-24: results of 1 MiB, and a body that reads none.

    All links are pipes of 4 KiB.
    No tick of the loop is late by 50 ms, but for what the machine owes it; one that waits for a
    write or a body would be, and in every run. What a machine does to a single processor the ticker
    does not see: that can happen in one run, so there may be three.
    """
    monkeypatch.setattr(links, "WIDE", 4096)
    late = []
    while not late or (min(late) >= 0.05 and len(late) < 3):
        folder = tmp_path / str(len(late))
        folder.mkdir()
        late.append(ticks_are_late_by(folder))
    assert min(late) < 0.05, late
