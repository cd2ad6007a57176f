"""The ready-made sources: what they emit, where they resume, and what they refuse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from actorflow import Defaults, OptionError, SubscribeTo, SupervisorOptions, Topology
from actorflow.stages.sources import Files, Items, Lines, Range
from actorflow.testing import Faults, simulate
from tests.simulation.test_snapshots import Collect


def resumed(source: Any, again: Any, taken: int) -> list[Any]:
    """What a successor emits after a source has emitted so many."""
    source.take(taken)
    again.restore(source.snapshot())
    return list(again.take(1000))


def test_a_sequence_of_any_kind_has_positions() -> None:
    """A list, a tuple, and a range too long for any list."""
    assert resumed(Items([1, 2, 3]), Items([1, 2, 3]), 2) == [3]
    assert resumed(Items((1, 2, 3)), Items((1, 2, 3)), 0) == [1, 2, 3]
    endless = range(10**15)
    assert resumed(Items(endless), Items(endless), 5)[:2] == [5, 6]


def test_numbers_are_counted_as_by_range() -> None:
    """With a start and a step, downwards too."""
    assert Range(3).take(9) == [0, 1, 2]
    assert Range(0, start=3, step=-1).take(9) == [3, 2, 1]
    assert resumed(Range(5), Range(5), 3) == [3, 4]


def test_files_go_on_after_the_last_one_even_if_others_came(tmp_path: Path) -> None:
    """A place in the order, and not a number, which would mean another file."""
    for name in "bdf":
        (tmp_path / name).touch()
    source = Files(str(tmp_path))
    source.take(2)
    for name in "ae":
        (tmp_path / name).touch()
    again = Files(str(tmp_path))
    again.restore(source.snapshot())
    assert [Path(path).name for path in again.take(9)] == ["e", "f"]
    assert resumed(Files(str(tmp_path)), Files(str(tmp_path)), 0) == source_of(tmp_path).take(9)


def source_of(folder: Path) -> Files:
    """A source of a folder's files."""
    return Files(str(folder))


def test_lines_of_several_files_without_their_ends(tmp_path: Path) -> None:
    """Any end, none at the last line, an empty file in between."""
    paths = [tmp_path / name for name in ("one", "none", "two")]
    paths[0].write_bytes(b"a\r\n\nb\n")
    paths[1].write_bytes(b"")
    paths[2].write_bytes("ü\nlast".encode())
    names = [str(path) for path in paths]
    every = ["a", "", "b", "ü", "last"]
    assert Lines(names).take(99) == every
    for taken in range(len(every) + 1):
        source, again = Lines(names), Lines(names)
        assert resumed(source, again, taken) == every[taken:]


def test_what_cannot_be_decoded_says_where(tmp_path: Path) -> None:
    """The error names the file and the place."""
    path = tmp_path / "latin"
    path.write_bytes(b"fine\n\xfc\n")
    source = Lines(str(path))
    with pytest.raises(UnicodeDecodeError) as caught:
        source.take(9)
    assert caught.value.__notes__ == [f"in {path}, before byte 7"]


@pytest.mark.parametrize(
    ("make", "option"),
    [
        (lambda: Items(iter([1])), "items"),  # type: ignore[arg-type]
        (lambda: Range(1.5), "stop"),  # type: ignore[arg-type]
        (lambda: Range(1, step=0), "step"),
        (lambda: Files("/no/such/folder"), "root"),
        (lambda: Lines("/no/such/file"), "paths"),
        (lambda: Lines([]), "paths"),
        (lambda: Lines(__file__, encoding="klingon"), "encoding"),
    ],
)
def test_bad_arguments_are_refused_by_name(make: Any, option: str) -> None:
    """Where they are passed."""
    with pytest.raises(OptionError) as refused:
        make()
    assert refused.value.option == option


def test_lines_count_once_whoever_is_killed(tmp_path: Path) -> None:
    """Under `exactly_once` the lines of a file reach a state once."""
    path = tmp_path / "lines"
    path.write_text("".join(f"line {number}\n" for number in range(30)))
    topology = (
        Topology(
            "lines",
            supervisor=SupervisorOptions(max_restarts=100),
            defaults=Defaults(delivery="exactly_once"),
        )
        .stage("lines", Lines, args={"paths": str(path)})
        .stage("collect", Collect, subscribe_to=[SubscribeTo("lines", max_demand=4)])
    )
    for seed in range(6):
        run = simulate(topology, seed=seed, faults=Faults(crashes=3, within=120))
        assert run.results["collect"] == path.read_text().splitlines(), seed
