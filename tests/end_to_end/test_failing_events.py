"""Poison with real processes: found by kills, given up, kept, and tried again from the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from actorflow import SubscribeTo, Topology, read_letters
from actorflow.stages.sources import Range
from tests.cli.conftest import Command, command  # noqa: F401  (a fixture)
from tests.end_to_end.stages_of_failing_events import Add, DieLazily, Refuse
from tests.seeds import size

pytestmark = pytest.mark.processes


def test_one_poisonous_event_in_a_million_ends_as_one_dead_letter(tmp_path: Path) -> None:
    """All others are processed, once in the state; the restarts count for nothing.

    A million events in a thorough run, a fifth of it otherwise.
    """
    path = tmp_path / "letters"
    million = size(1_000_000, 200_000)
    poison = million // 9 * 7
    topology = (
        Topology("million", dead_letters=str(path))
        .stage("numbers", Range, args={"stop": million})
        .stage(
            "add",
            Add,
            args={"poison": poison},
            subscribe_to=[SubscribeTo("numbers", max_demand=10_000)],
        )
    )
    with topology.start() as run:
        outcome = run.outcome(timeout=60)
        statistics = run.stats().stage("add")
    assert outcome.status == "done"
    assert outcome.results["add"] == [million - 1, sum(range(million)) - poison]
    (letter,) = read_letters(path)
    assert (letter.value(), letter.attempts, letter.stage) == (poison, 3, "add/0")
    assert "SIGKILL" in letter.error
    assert (statistics.dead_lettered, statistics.restarts) == (1, 3)


YAML = """\
dead_letters: failed.jsonl
stages:
  numbers: {use: "actorflow.stages.sources:Range", args: {stop: 100}}
  add:
    use: "tests.end_to_end.test_failing_events:Add"
    args: {poison: 50, kills: false}
    subscribe_to: [numbers]
    on_error: dead_letter
"""


def test_dead_letters_are_tried_again_by_a_command(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: Command,  # noqa: F811
) -> None:
    """First it fails for one event; then, mended, it is run with that event alone."""
    monkeypatch.chdir(tmp_path)
    Path("sum.yaml").write_text(YAML)
    code, output, errors = command("run", "sum.yaml", "--log-format", "console")
    assert code == 0
    assert "[99, 4900]" in output
    assert "add/0: 1 event given up, and kept as dead letters" in output
    assert "an event was given up, and is a dead letter" in errors
    assert "no 50" in errors
    code, _, errors = command("run", "sum.yaml", "--retry-dead-letters", "failed.jsonl")
    assert code == 2
    assert "rename the file first" in errors
    Path("failed.jsonl").rename("again.jsonl")
    mended = ("--set", "stages.add.args.poison=-1")
    code, output, errors = command(
        "run", "sum.yaml", "--retry-dead-letters", "again.jsonl", *mended
    )
    assert (code, errors) == (0, "")
    assert "[1, 50]" in output
    assert Path("failed.jsonl").read_text() == ""


def test_without_a_place_for_it_the_run_ends_with_the_exception(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: Command,  # noqa: F811
) -> None:
    """Exit code 1, the original exception, its remote traceback, and what to do about it."""
    monkeypatch.chdir(tmp_path)
    text = YAML.replace("dead_letters: failed.jsonl\n", "")
    text = text.replace("on_error: dead_letter", "max_deliveries: 2")
    Path("sum.yaml").write_text(text)
    code, _, errors = command("run", "sum.yaml")
    assert code == 1
    assert "ValueError: no 50" in errors
    assert "in handle_events" in errors
    assert "gave up the event 50 after 2 attempts" in errors


def test_retries_that_end_in_restarts_leave_the_batch_on_the_scoreboard(tmp_path: Path) -> None:
    """So the search goes on over restarts, and does not count as too many of them.

    So does a generator that kills its process: it works while it is read, with its batch in hand.
    """
    path = tmp_path / "letters"
    rule = {"retry": {"attempts": 1, "initial": 0.01}}
    topology = (
        Topology("retries", dead_letters=str(path))
        .stage("numbers", Range, args={"stop": 100})
        .stage("lazy", DieLazily, subscribe_to=["numbers"])
        .stage("refuse", Refuse, on_error=rule, subscribe_to=["lazy"])
    )
    with topology.start() as run:
        assert run.outcome(timeout=60).status == "done"
    assert sorted(letter.value() for letter in read_letters(path)) == [50, 70]
