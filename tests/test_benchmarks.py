"""The benchmarks run: tiny, to show that they work and count right, not how fast."""

from __future__ import annotations

import json

import pytest

from benchmarks import pipeline
from benchmarks.__main__ import main as run_benchmarks


@pytest.mark.processes
@pytest.mark.parametrize("max_demand", [1, 10, 1000])
def test_floor_and_actorflow_agree(max_demand: int) -> None:
    """Both sides of the comparison move every event once."""
    row = pipeline.compare(max_demand, seconds=0.01, rounds=1, delivery="at_least_once")
    assert row.floor > 0
    assert row.actorflow > 0


def test_an_unknown_benchmark_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """The error names the mistake and what there is."""
    with pytest.raises(SystemExit):
        run_benchmarks(["pipelin"])
    assert "unknown benchmark 'pipelin'; there are pipeline" in capsys.readouterr().err


@pytest.mark.processes
def test_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """``--json`` prints one object with a row for each `max_demand`."""
    arguments = ["pipeline", "--demand", "10", "--seconds", "0.01", "--rounds", "1", "--json"]
    monkeypatch.setattr("sys.argv", arguments)
    assert pipeline.main() == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [row["max_demand"] for row in rows] == [10]
