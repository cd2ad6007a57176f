"""The benchmarks run: tiny, to show that they work and count right, not how fast."""

from __future__ import annotations

import argparse
import json
from typing import Any

import pytest

from actorflow.stage.options import DELIVERY_MODES
from benchmarks import (
    _buffered_delay,
    _buffered_story,
    batcher,
    buffered,
    delivery,
    kill_one_worker,
    payloads,
    pipeline,
    pool,
    recovery,
    scans,
    spawn,
    stalled,
)
from benchmarks._pool_plan import Plan
from benchmarks._suite import Missing


def result_of(capsys: pytest.CaptureFixture[str]) -> Any:
    """What a benchmark printed with ``--json``."""
    return json.loads(capsys.readouterr().out)["result"]


@pytest.mark.processes
@pytest.mark.parametrize("max_demand", [1, 10, 1000])
def test_floor_and_actorflow_agree(max_demand: int) -> None:
    """Both sides of the comparison move every event once."""
    rates = pipeline.compare(max_demand, seconds=0.01, rounds=1, delivery="at_least_once")
    assert rates.floor[0] > 0
    assert rates.actorflow[0] > 0


@pytest.mark.processes
def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    """``--json`` prints one object with a point for each `max_demand`."""
    arguments = ["--demand", "10", "--seconds", "0.01", "--rounds", "1", "--json"]
    assert pipeline.main(arguments) == 0
    (chart,) = result_of(capsys)["charts"]
    assert [[point["at"] for point in side["points"]] for side in chart["series"]] == [[10], [10]]


@pytest.mark.processes
def test_every_side_gets_the_buffers_that_were_sent(capsys: pytest.CaptureFixture[str]) -> None:
    """Memory, pipes, a queue and a topology: each consumer looks at what it gets."""
    arguments = ["--size", "65536", "--kind", "bytes", "--rounds", "1", "--quick", "--json"]
    assert payloads.main(arguments) == 0
    (chart,) = result_of(capsys)["charts"]
    assert len(chart["series"]) == len(payloads.RIVALS) + 1


@pytest.mark.processes
def test_spawn(capsys: pytest.CaptureFixture[str]) -> None:
    """Every side runs its children and adds up what they say."""
    assert spawn.main(["--children", "10", "--rounds", "1", "--json"]) == 0
    (chart,) = result_of(capsys)["charts"]
    assert len(chart["series"]) == len(spawn.SIDES)


@pytest.mark.processes
def test_recovery(capsys: pytest.CaptureFixture[str]) -> None:
    """Each kill is seen, followed by a successor, and by its first event, in this order."""
    assert recovery.main(["--kills", "3", "--rounds", "1", "--json"]) == 0
    (chart,) = result_of(capsys)["charts"]
    medians = [side["points"][0]["median"] for side in chart["series"]]
    assert 0 < medians[1] <= medians[2]
    assert medians[0] > 0 < medians[3]


@pytest.mark.processes
def test_b21_a_killed_worker_costs_no_item(capsys: pytest.CaptureFixture[str]) -> None:
    """Of 16 items 16 come back, nobody has to do anything, and nothing is left behind."""
    assert kill_one_worker.main(["--peer", "actorflow", "--json", "--seconds", "40"]) == 0
    found = result_of(capsys)
    delivered, _, orphans = (chart["series"][0]["points"][0] for chart in found["charts"])
    assert (delivered["rounds"], orphans["rounds"]) == ([16], [0])
    assert found["notes"] == ["actorflow: the caller saw nothing."]


def test_a_peer_that_is_not_installed_is_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has no figures, and no note."""
    outcome = kill_one_worker.Outcome(
        peer="loky", delivered=0, seconds=None, saw="not installed", orphans=0
    )
    monkeypatch.setattr(kill_one_worker, "outcome_of", lambda *_: outcome)
    options = argparse.Namespace(peer=["loky"], seconds=1.0, rounds=1, quick=False)
    found = kill_one_worker.measure(options)
    assert Missing(side="loky", why="not installed") in found.missing
    assert [chart.series for chart in found.charts] == [()] * 3
    assert found.notes == ()


@pytest.mark.processes
def test_delivery(capsys: pytest.CaptureFixture[str]) -> None:
    """Every mode moves every event once."""
    assert delivery.main(["--events", "20000", "--rounds", "1", "--json"]) == 0
    found = result_of(capsys)
    assert [side["side"] for side in found["charts"][0]["series"]] == list(DELIVERY_MODES)
    assert len(found["findings"]) == 2


@pytest.mark.processes
def test_buffered(capsys: pytest.CaptureFixture[str]) -> None:
    """Bare asyncio and both ways to claim make every call; no more is claimed than was agreed."""
    chosen = ["--part", "timers", "--part", "claims"]
    assert buffered.main([*chosen, "--quick", "--rounds", "1", "--json"]) == 0
    timers, claims = result_of(capsys)["charts"]
    assert len(timers["series"]) == 3
    assert [side["points"][0]["rounds"] for side in claims["series"]] == [[5], [6], [5], [6]]


@pytest.mark.processes
def test_the_delay_of_calls_is_measured() -> None:
    """Every datagram comes to the call, with a body that works meanwhile."""
    delays = _buffered_delay.measure_delays(20, "busy")
    assert len(delays) == 20
    assert min(delays) > 0


@pytest.mark.processes
def test_no_connection_is_dropped_by_the_database() -> None:
    """Bodies work in another process than the one that serves the connections."""
    assert _buffered_story.tell("actorflow", 3, 0.01).dropped == 0


@pytest.mark.processes
def test_batcher(capsys: pytest.CaptureFixture[str]) -> None:
    """A flush answers every item; every policy is tried at every load."""
    chosen = ["--part", "shutdown", "--part", "policies"]
    assert batcher.main([*chosen, "--items", "40", "--rounds", "1", "--json"]) == 0
    shutdown, *policies = result_of(capsys)["charts"]
    assert shutdown["series"][0]["points"][0]["median"] > 0
    loads = [len(side["points"]) for chart in policies for side in chart["series"]]
    assert loads == [4] * 16


@pytest.mark.processes
def test_pool(capsys: pytest.CaptureFixture[str]) -> None:
    """Every side runs as many tasks as the plan says; those of the pool share messages."""
    plan = Plan("mixed", "noop", workers=2, count=200, burst=100, idle=0.01)
    found = pool.compare(plan, ["pool", "executor", "mppool"], 1)
    assert all(measured.rate > 0 for (measured,) in found.values())
    assert 0 < found["pool"][0].frames < 1


@pytest.mark.processes
def test_scans() -> None:
    """Every side brings every value; the scans are inline alone, which is the cheapest."""
    found = scans.measured(scans.Case(scans=2, room=16, count=300), 1, ("inline",))
    assert list(found) == ["inline", *scans.SIDES]
    assert all(cost.rate > 0 for (cost,) in found.values())


@pytest.mark.processes
def test_nothing_grows_while_a_sink_stands_still(capsys: pytest.CaptureFixture[str]) -> None:
    """Under each mode, with a small buffer and with a low limit of unfinished events."""
    assert stalled.main(["--seconds", "0.5", "--json"]) == 0
    found = result_of(capsys)
    timeline, most = found["charts"]
    assert [side["side"] for side in timeline["series"]] == [*stalled.CASES, stalled.HOST]
    assert len(most["series"]) == 6
    assert found["broken"] == []


def test_events_that_nobody_can_take_are_told() -> None:
    """And memory that grows."""
    before = stalled.Picture(at=0.0, resident={"a": 0, "b": 0}, events={"a": 1, "b": 1})
    after = stalled.Picture(at=1.0, resident={"a": 6 << 20, "b": 1}, events={"a": 1, "b": 4})
    assert stalled._too_much([before, after]) == [
        "a grew by 6.0 MiB",
        "b emitted 3 events that nobody could take",
    ]
