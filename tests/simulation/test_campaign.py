"""The campaign's command: totals, failing seeds with their replay, exit codes."""

from __future__ import annotations

import pytest

from actorflow.testing import campaign
from actorflow.testing.experiments import Experiment


def test_a_campaign_prints_its_totals(capsys: pytest.CaptureFixture[str]) -> None:
    """And ends well when every seed does."""
    assert campaign.main(["--seeds", "20", "--jobs", "1"]) == 0
    assert "20 seeds" in capsys.readouterr().out


def test_a_failing_seed_is_printed_with_its_replay(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line that runs it again, and the evidence at the end."""
    right = Experiment.run

    def run(self: Experiment) -> object:
        if self.seed == 13:
            raise RuntimeError("a bad day")
        return right(self)

    monkeypatch.setattr(Experiment, "run", run)
    assert campaign.main(["--seeds", "20", "--jobs", "1"]) == 1
    printed = capsys.readouterr().out
    assert "seed 13: RuntimeError: a bad day" in printed
    assert "-m actorflow.testing.campaign --replay 13" in printed
    assert "1 failed" in printed
    assert campaign.main(["--replay", "13"]) == 1
    assert "numbers0" in capsys.readouterr().out


def test_a_seed_is_replayed(capsys: pytest.CaptureFixture[str]) -> None:
    """With its topology, its last steps and the digest of all of them."""
    assert campaign.main(["--replay", "4"]) == 0
    printed = capsys.readouterr().out
    assert Experiment.of(4).describe() in printed
    assert Experiment.of(4).run().trace_hash in printed


@pytest.mark.parametrize("bad", [["--seeds", "0"], ["--jobs", "-1"], ["--seeds", "many"]])
def test_bad_numbers_are_refused(bad: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """By argparse, with what is accepted."""
    with pytest.raises(SystemExit) as caught:
        campaign.main(bad)
    assert caught.value.code == 2
    assert bad[0] in capsys.readouterr().err
