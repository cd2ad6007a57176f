"""The A→B→C of GenStage's README, as `configs/pipeline.yaml` has it."""

from __future__ import annotations

import json
import re

import pytest

from actorflow.cli import main
from tests.end_to_end.helpers import ROOT

pytestmark = [pytest.mark.processes, pytest.mark.usefixtures("plain_logs")]

CONFIG = str(ROOT / "configs" / "pipeline.yaml")


def test_every_event_arrives_and_every_stage_has_its_rate(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The sum is exact, and the report gives events, rate and shares of time for each stage."""
    assert main(["run", CONFIG, "--json", "--set", "stages.a.args.limit=200000"]) == 0
    report = json.loads(capsys.readouterr().out)
    total = sum(2 * number for number in range(200_000))
    assert report["results"]["c"] == {"events": 200_000, "total": total}
    a, b, c = report["stages"]
    assert (a["events_out"], b["events_in"], b["events_out"], c["events_in"]) == (200_000,) * 4
    for stage, rate in ((a, "rate_out"), (b, "rate_in"), (b, "rate_out"), (c, "rate_in")):
        assert stage[rate] == pytest.approx(200_000 / report["seconds"], rel=0.01)
    for stage in (a, b, c):
        shares = stage["busy_share"] + stage["starved_share"] + stage["blocked_share"]
        assert shares == pytest.approx(1, abs=0.001)
        assert stage["restarts"] == stage["redelivered"] == stage["discarded"] == 0


def test_the_limit_comes_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`${LIMIT:-…}` in the file is the variable's value; the text shows a rate per stage."""
    monkeypatch.setenv("LIMIT", "1234")
    assert main(["run", CONFIG]) == 0
    output = capsys.readouterr().out
    assert "c:\n  events: 1,234\n" in output
    for stage, arrived, left in (("a", "0", "1,234"), ("b", "1,234", "1,234"), ("c", "1,234", "0")):
        assert re.search(rf"^{stage}/0 +{arrived} +{left} +[\d,]+ ", output, re.MULTILINE)
