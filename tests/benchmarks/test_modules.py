"""The benchmarks run: tiny, to show that they work and count right, not how fast."""

from __future__ import annotations

import json
from typing import Any

import pytest

from actorflow.stage.options import DELIVERY_MODES
from benchmarks import (
    batcher,
    buffered,
    delivery,
    kill_one_worker,
    pipeline,
    pool,
    recovery,
    scans,
    spawn,
    stalled,
)


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
    assert kill_one_worker.main(["--quick", "--json", "--seconds", "40"]) == 0
    (ours,) = json.loads(capsys.readouterr().out)
    assert (ours["delivered"], ours["saw"], ours["orphans"]) == (16, "nothing", 0)


def test_a_peer_that_is_not_installed_is_said_to_be() -> None:
    """Its line has no figures."""
    missing = kill_one_worker.Outcome(
        peer="loky", delivered=0, seconds=None, saw="not installed", orphans=0
    )
    assert "| loky | not installed | | | |" in kill_one_worker.table([missing])


@pytest.mark.processes
def test_delivery(capsys: pytest.CaptureFixture[str]) -> None:
    """Every mode moves every event once."""
    assert delivery.main(["--events", "20000", "--rounds", "1", "--json"]) == 0
    found = result_of(capsys)
    assert [side["side"] for side in found["charts"][0]["series"]] == list(DELIVERY_MODES)
    assert len(found["findings"]) == 2


@pytest.mark.processes
def test_buffered(capsys: pytest.CaptureFixture[str]) -> None:
    """Each part measures something; no more is claimed than was agreed, and nobody is dropped."""
    assert buffered.main(["--quick", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert {row["part"] for row in rows} == set(buffered.PARTS)
    of = {(row["part"], row["side"]): row["figures"] for row in rows}
    assert of["claims", "total"] == {"limit": 5, "most": 5}
    assert of["story", "actorflow"]["dropped"] == 0
    assert of["delay", "busy"]["p99_us"] > 0


@pytest.mark.processes
def test_batcher(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A flush answers every item; every policy is tried."""
    arguments = ["batcher", "--quick", "--json", "--part", "shutdown", "--part", "policies"]
    monkeypatch.setattr("sys.argv", arguments)
    assert batcher.main() == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [row["part"] for row in rows] == ["shutdown"] + ["policies"] * 16
    assert all(row["value"] > 0 for row in rows)


@pytest.mark.processes
def test_pool(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Every side runs as many tasks as the plan says; those of the pool share messages."""
    sides = ["pool", "executor", "mppool"]
    chosen = [option for side in sides for option in ("--side", side)]
    monkeypatch.setattr("sys.argv", ["pool", "--quick", "--json", *chosen])
    assert pool.main() == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [row["side"] for row in rows] == sides
    assert all(row["rate"] > 0 for row in rows)
    assert 0 < rows[0]["frames"] < 1


@pytest.mark.processes
def test_scans(capsys: pytest.CaptureFixture[str]) -> None:
    """Every side brings every value; the tiny run has the scans inline alone."""
    assert scans.main(["--quick", "--json", "--part", "throughput"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert {row["side"] for row in rows} == {"inline", *scans.SIDES}
    assert all(row["figures"]["per_second"] > 0 for row in rows)


@pytest.mark.processes
def test_nothing_grows_while_a_sink_stands_still(capsys: pytest.CaptureFixture[str]) -> None:
    """Under each mode, with a small buffer and with a low limit of unfinished events."""
    assert stalled.main(["--quick", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["case"] for row in rows} == {*stalled.CASES, ""}
    assert [row["events"] for row in rows] == [0] * len(rows)
