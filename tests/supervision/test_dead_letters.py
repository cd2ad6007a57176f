"""Dead letters: what is kept of them, where, and what happens when it cannot be."""

from __future__ import annotations

import json
import os
import resource
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from actorflow import (
    Consumer,
    DeadLetter,
    DeadLetterError,
    ProducerConsumer,
    SubscribeTo,
    Topology,
    read_letters,
)
from actorflow.protocol.codec import dump
from actorflow.stages.dead_letters import DeadLetters
from actorflow.stages.sources import Items
from actorflow.supervision.letters import DeadLetterFile
from actorflow.testing import Simulation
from actorflow.topology.retrying import retrying


@dataclass
class Order:
    """An event that is no plain JSON."""

    number: int


class Unmakeable:
    """An event that cannot be made again where the supervisor is."""

    def __reduce__(self) -> Any:
        return _raise, ()


def _raise() -> None:
    raise RuntimeError("not here")


def letter(event: Any, **fields: Any) -> DeadLetter:
    """A dead letter of this event."""
    given = {"stage": "take/1", "producer": "numbers/0", "attempts": 3, "error": "ValueError: no"}
    return DeadLetter(event=dump(event), shown=repr(event), **{**given, **fields})


@pytest.mark.parametrize(
    ("event", "plain"),
    [
        ({"a": [1, 2.5, None, True, "ü\ud800"]}, True),
        ((1, 2), False),
        ({1: "a"}, False),
        ([b"bytes"], False),
        (float("inf"), False),
        (Order(5), False),
    ],
    ids=str,
)
def test_an_event_comes_out_of_the_file_as_it_went_in(
    tmp_path: Path, event: Any, plain: bool
) -> None:
    """What JSON does not give back as it was is pickled besides, and there as text to read."""
    path = tmp_path / "letters"
    file = DeadLetterFile(path)
    file.keep(letter(event, traceback="Traceback…"))
    file.close()
    fields = json.loads(path.read_text())
    assert ("pickled" in fields) is not plain
    assert fields["event"] == (event if plain else repr(event))
    (read,) = read_letters(path)
    assert read.value() == event
    assert type(read.value()) is type(event)
    assert (read.stage, read.attempts, read.traceback) == ("take/1", 3, "Traceback…")
    assert read.time.endswith("+00:00")


def test_an_event_that_cannot_be_made_here_is_kept_as_text_and_bytes() -> None:
    """The supervisor need not have its class."""
    fields = json.loads(letter(Unmakeable()).to_json())
    assert "Unmakeable" in fields["event"]
    assert fields["pickled"]


def test_letters_are_added_and_a_full_disk_leaves_no_half_line(tmp_path: Path) -> None:
    """The file is as it was before the one that did not fit; later there is room again."""
    path = tmp_path / "letters"
    first = DeadLetterFile(path)
    first.keep(letter(1))
    first.close()
    file = DeadLetterFile(path)
    size = path.stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            file.keep(letter(2))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.stat().st_size == size
    file.keep(letter(3))
    file.close()
    assert [each.value() for each in read_letters(path)] == [1, 3]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("hello", "line 2 is no dead letter: Expecting value"),
        ("[1]", "line 2 is no dead letter: no object with an event"),
        ('{"event": 1}', "line 2 is no dead letter: missing 4 required"),
        (
            '{"event": 1, "stage": 5, "producer": "a/0", "attempts": 1, "error": ""}',
            "stage and producer must be names",
        ),
    ],
)
def test_a_line_that_is_no_letter_is_named(tmp_path: Path, line: str, said: str) -> None:
    """By its number, with what is wrong."""
    path = tmp_path / "letters"
    path.write_text(letter(1).to_json() + "\n" + line + "\n")
    with pytest.raises(DeadLetterError, match=said):
        list(read_letters(path))


def test_a_file_that_cannot_be_used_is_refused_before_anything_is_started(tmp_path: Path) -> None:
    """Naming the option."""
    with pytest.raises(DeadLetterError, match=r"dead_letters: .*missing/letters cannot be written"):
        DeadLetterFile(tmp_path / "missing" / "letters")
    with pytest.raises(DeadLetterError, match="cannot be read"):
        list(read_letters(tmp_path / "nothing"))


def test_letters_are_events_of_a_source_that_resumes(tmp_path: Path) -> None:
    """For a stage that does something about them; a line that is none is named."""
    path = tmp_path / "letters"
    path.write_text("".join(letter(n).to_json() + "\n" for n in range(5)) + "no letter\n")
    first = DeadLetters(str(path))
    assert [each.value() for each in first.letters(2)] == [0, 1]
    second = DeadLetters(str(path))
    second.restore(first.snapshot())
    assert [each.value() for each in second.letters(3)] == [2, 3, 4]
    with pytest.raises(DeadLetterError, match=r"in .*letters, before byte \d+ is no dead letter"):
        second.letters(1)


# --- a store that fails ---------------------------------------------------------------------------


class Refuses(Consumer):
    """Takes no 3."""

    def handle_events(self, events: list[int], subscription: Any) -> None:
        if 3 in events:
            raise ValueError("no 3")


def test_a_stage_waits_until_its_letter_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk costs time and log lines, and no event."""
    topology = (
        Topology("waits", dead_letters="unused")
        .stage("numbers", Items, args={"items": list(range(10))})
        .stage(
            "take",
            Refuses,
            on_error="dead_letter",
            subscribe_to=[SubscribeTo("numbers", max_demand=1)],
        )
    )
    simulation = Simulation(topology)
    kept = simulation.letters.keep
    tries = 0

    def fails_twice(each: DeadLetter) -> None:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise OSError(28, "No space left on device")
        kept(each)

    monkeypatch.setattr(simulation.letters, "keep", fails_twice)
    run = simulation.finish()
    assert [each.value() for each in run.dead_letters] == [3]
    assert run.seconds >= 2
    assert sorted(run.handled("take")) == [n for n in range(10) if n != 3]


# --- another try ----------------------------------------------------------------------------------


class Passes(ProducerConsumer):
    """Hands everything on."""

    def handle_events(self, events: list[Any], subscription: Any) -> list[Any]:
        return events


def shop() -> Topology:
    """Two sources into a stage, and a sink behind it; another sink beside."""
    return (
        Topology("shop", dead_letters="failed", checkpoint="kept")
        .stage("web", Items, args={"items": [1]}, dispatcher={"partition": {"partitions": 2}})
        .stage("mail", Items, args={"items": [2]})
        .stage("check", Passes, replicas=2, subscribe_to=["web", "mail"])
        .stage("store", Refuses, subscribe_to=["check"])
        .stage("log", Refuses, subscribe_to=["mail"])
    )


def test_another_try_runs_what_failed_and_whatever_takes_its_events(tmp_path: Path) -> None:
    """In the place of its producers is one source, which deals as the one it had come from."""
    path = tmp_path / "letters"
    lines = [letter(n, stage=f"check/{n % 2}", producer="web/0").to_json() for n in (5, 6)]
    path.write_text("\n".join(lines) + "\n")
    again = retrying(shop(), path)
    assert [each.name for each in again.stages] == ["retry-check", "check", "store"]
    source, check, store = again.stages
    assert source.args == {"items": [5, 6]}
    assert source.options["dispatcher"] == {"partition": {"partitions": 2}}
    assert [each.to for each in check.subscribe_to or ()] == ["retry-check"]
    assert [each.to for each in store.subscribe_to or ()] == ["check"]
    assert (again.checkpoint, again.dead_letters) == (None, "failed")
    again.plan()


@pytest.mark.parametrize(
    ("stage", "said"),
    [
        ("chekc/0", "a stage 'chekc', and there is none; did you mean 'check'"),
        ("web/0", "which subscribes to no stage"),
    ],
)
def test_letters_of_another_topology_are_refused(tmp_path: Path, stage: str, said: str) -> None:
    """Naming the stage."""
    path = tmp_path / "letters"
    path.write_text(letter(1, stage=stage).to_json() + "\n")
    with pytest.raises(DeadLetterError, match=said):
        retrying(shop(), path)


def test_a_file_cannot_be_read_and_added_to_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The user is told to rename it; an empty one is refused too."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DeadLetterError, match="rename the file first"):
        retrying(shop(), os.path.join(".", "failed"))
    Path("empty").touch()
    with pytest.raises(DeadLetterError, match="no dead letters"):
        retrying(shop(), "empty")
