"""Scenario 119 with real processes: a few trials; ``make chaos MINUTES=…`` runs as many as wanted.

The seeds are chosen for what they do: all modes, every deed, small pipes, a host that is killed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest

from tests.chaos import trial as trials
from tests.chaos.__main__ import main, table
from tests.chaos.history import TAKEN, HistoryFile
from tests.chaos.host import REPORT, STATUS
from tests.chaos.nemesis import Deed, draw_plan
from tests.chaos.trial import Trial, Verdict

KILLS = (Deed("kill", 0.0, 0.0, 0.1), Deed("stop", 0.1, 0.2, 0.6), Deed("kill", 0.1, 0.0, 0.9))
RESUMED = (Deed("disk", 0.1, 0.1, 0.5), Deed("kill", 0.1, 0.0, 0.5), Deed("host", 0.3, 0.0, 0.5))


def trial_of(mode: str, folder: Path, plan: Sequence[Deed], *, checkpoint: bool) -> Trial:
    """The first drawn trial of a mode with at least two kinds of stages, under this plan."""
    for seed in range(1000):
        trial = Trial(seed, folder, events=1500)
        if trial.shape.mode == mode and len(trial.shape.parts) in (3, 4):
            trial.plan, trial.checkpoint, trial.pipe = tuple(plan), checkpoint, trials.TINY_PIPE
            return trial
    raise AssertionError(f"no seed is of mode {mode}")


@pytest.mark.processes
@pytest.mark.parametrize(
    ("mode", "plan"),
    [("exactly_once", RESUMED), ("at_least_once", KILLS), ("at_most_once", KILLS)],
)
def test_s119_no_mode_breaks_its_promise(mode: str, plan: tuple[Deed, ...], tmp_path: Path) -> None:
    """Whoever is killed or stopped, the host included, with pipes of 4 KiB."""
    trial = trial_of(mode, tmp_path, plan, checkpoint=plan is RESUMED)
    verdict = trial.run()
    assert not verdict.problems, f"{trial.describe()}\n{verdict.problems}"
    assert verdict.deeds
    assert verdict.handled


def test_a_trial_is_its_seed(tmp_path: Path) -> None:
    """Shape, pipes, checkpoint and plan."""
    for seed in range(20):
        assert Trial(seed, tmp_path).describe() == Trial(seed, tmp_path).describe()
    plan = [deed.kind for seed in range(40) for deed in draw_plan(Random(seed), checkpoint=True)]
    assert set(plan) == {"kill", "stop", "descriptors", "disk", "host", "zygote"}
    without = [d.kind for seed in range(40) for d in draw_plan(Random(seed), checkpoint=False)]
    assert set(without) == {"kill", "stop", "descriptors"}


def test_a_broken_promise_is_told_and_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 1, the seed that tries it again, and where the histories are."""

    def loses(self: Trial, verdict: Verdict) -> None:
        source = self.shape.parts[0].name
        file = HistoryFile(str(self.folder), self.shape.parts[-1].name, 0, "life")
        file.add(TAKEN, [f"{source}/0:77"])
        file.close()
        report = {"status": "done", "results": {}}
        (self.folder / REPORT).write_text(json.dumps(report))

    monkeypatch.setattr(Trial, "_live", loses)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert main(["--trials", "1", "--seed", "7"]) == 1
    said = capsys.readouterr().out
    assert "handled and never emitted" in said
    assert "again: python -m tests.chaos --seed 7 --trials 1" in said
    (kept,) = tmp_path.glob("actorflow-chaos-*/7")
    assert "handled and never emitted" in (kept / "violations").read_text()
    assert list(kept.glob("*.history"))


@pytest.mark.processes
def test_a_run_that_hangs_breaks_a_promise_and_leaves_evidence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What each process is, where it waits, and the stacks of all threads."""
    monkeypatch.setattr(trials, "PATIENCE", 20.0)
    has_news = Trial._has_news

    def the_first_alone(self: Trial) -> bool:
        found = trials.PATIENCE > 1 and has_news(self)
        if found:
            monkeypatch.setattr(trials, "PATIENCE", 0.5)
        return found

    monkeypatch.setattr(Trial, "_has_news", the_first_alone)
    trial = Trial(3, tmp_path, events=1_000_000)
    trial.plan = ()
    verdict = trial.run()
    assert verdict.problems == ["it hangs: nothing was handled for 0.5 s"]
    assert "actorflow: s0/0" in (tmp_path / "processes").read_text()
    stacks = [path.read_text() for path in tmp_path.glob("*.stacks")]
    assert sum("most recent call first" in stack for stack in stacks) > 2
    assert json.loads((tmp_path / STATUS).read_text())["edges"]


def test_the_table_adds_up(tmp_path: Path) -> None:
    """By mode and in all."""
    verdicts = []
    for seed in range(12):
        verdict = Verdict(seed, Trial(seed, tmp_path).shape, lives=2, handled=10)
        verdict.deeds["kill"] = 1
        verdicts.append(verdict)
    verdicts[0].problems.append("lost")
    last = table(verdicts).splitlines()[-1]
    assert last == "| all | 12 | 24 | 0 | 120 | 12 kill | 1 |"
