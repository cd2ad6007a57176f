"""The campaign's command: totals, failing seeds with their replay, exit codes."""

from __future__ import annotations

import pytest

from actorflow.testing import campaign
from actorflow.testing.experiments import Experiment


def test_a_campaign_prints_its_totals(capsys: pytest.CaptureFixture[str]) -> None:
    """And ends well when every seed does."""
    assert campaign.main(["--seeds", "20", "--jobs", "1"]) == 0
    assert "20 seeds" in capsys.readouterr().out


def test_a_campaign_that_writes_a_log_says_now_and_then_how_far_it_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line each, so that who looks into the log sees that it goes on."""
    monkeypatch.setattr(campaign, "LINE_EVERY", 0.0)
    monkeypatch.setattr(campaign, "BATCH", 1)
    campaign.main(["--seeds", "2", "--jobs", "1"])
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("1/2 seeds, 0 failed")
    assert printed[1].startswith("2/2 seeds, 0 failed")


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
