"""Bad topologies: what is said of them, and where."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import yaml

from actorflow.errors import Problem, TopologyError
from actorflow.topology import document, load, loads, problem_rows
from tests.topology.cases import Case, cases, mistakes_of


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_every_mistake_is_shown_where_it_is(case: Case) -> None:
    """All mistakes are listed at once, each at its line and column, with what would be right."""
    assert case.mistakes == mistakes_of(case.text)


@pytest.mark.parametrize(
    "case", [case for case in cases() if not case.name.startswith("the_text")], ids=lambda c: c.name
)
def test_places_do_not_depend_on_libyaml(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where PyYAML has no C library the same is said of everything but the syntax."""
    monkeypatch.setattr(document, "_LOADER", yaml.SafeLoader)
    assert mistakes_of(case.text) == case.mistakes


def test_a_text_with_control_characters_is_refused() -> None:
    """A character that YAML forbids is named, and the terminal is not made to obey it."""
    with pytest.raises(TopologyError) as caught:
        loads('stages:\n  {"a\x1b[2J": 1}\n', file="t.yaml")
    (problem,) = caught.value.problems
    assert (problem.line, problem.column) == (2, 6)
    assert problem.message == "not YAML: the character '\\x1b' is not allowed in it"
    assert "\x1b" not in str(caught.value)


def test_a_text_with_half_a_surrogate_is_refused() -> None:
    """A text that cannot be encoded is no YAML either."""
    assert mistakes_of("stages: \ud800") == [
        "1:9 : not YAML: the character '\\ud800' is not allowed in it"
    ]


def test_a_number_beyond_reason_is_refused() -> None:
    """A number that Python would not even print is reported, not raised."""
    digits = "f" * 5000
    text = f"stages: {{numbers: {{use: sample:Numbers, replicas: 0x{digits}}}}}"
    assert mistakes_of(text) == ["1:51 stages.numbers.replicas: has more than 4096 bits"]


def test_nesting_that_would_overflow_the_stack_is_refused() -> None:
    """A hundred thousand brackets are a mistake, and not the end of the process."""
    expected = ["1:72 : nested deeper than 64 levels"]
    assert expected == mistakes_of("stages: " + "[" * 100_000)


def test_a_mistake_shows_the_line_and_points_at_the_column() -> None:
    """The message has file, place, path, what is wrong and the nearest name, then the excerpt."""
    with pytest.raises(TopologyError) as caught:
        loads("stages:\n  a:\n    max_demnd: 1\n    use: operator:neg", file="t.yaml")
    assert str(caught.value) == (
        "t.yaml:3:5: stages.a: unknown key 'max_demnd'; did you mean 'demand'?\n"
        "        max_demnd: 1\n"
        "        ^\n"
        "t.yaml:4:10: stages.a.use: 'operator:neg' is not a stage: it is a function, and must be a"
        " subclass of Producer, ProducerConsumer or Consumer\n"
        "        use: operator:neg\n"
        "             ^"
    )


def test_a_long_line_is_cut_around_the_mistake() -> None:
    """The excerpt stays readable when the line is not."""
    line = "x" * 300 + "!" + "y" * 300
    shown = str(Problem("no", file="t.yaml", line=1, column=301, excerpt=line)).splitlines()
    assert [len(shown[1]), len(shown[2])] == [104, 64]
    assert shown[1][shown[2].index("^")] == "!"


def test_the_caret_follows_tabs() -> None:
    """Below a line with tabs the caret is indented with the same tabs."""
    shown = str(Problem("no", file="t.yaml", line=1, column=4, excerpt="a\t\tb")).splitlines()
    assert shown[2] == "     \t\t^"


def test_mistakes_as_data() -> None:
    """Each problem is a plain map for JSON, and places that are unknown are 0."""
    rows = problem_rows([Problem("no", "stages.a", file="t.yaml", line=3, column=5, excerpt="x")])
    assert rows == [
        {
            "message": "no",
            "path": "stages.a",
            "file": "t.yaml",
            "line": 3,
            "column": 5,
            "excerpt": "x",
        }
    ]
    assert problem_rows([Problem("no")])[0]["line"] == 0


def _refusal(path: str | Path) -> str:
    with pytest.raises(TopologyError) as caught:
        load(path)
    return str(caught.value)


def test_a_missing_file(tmp_path: Path) -> None:
    """A file that is not there is named as given, with the nearest one that is."""
    assert _refusal("nowhere/topology.yaml") == "nowhere/topology.yaml: no such file"
    (tmp_path / "topology.yaml").write_text("")
    expected = f"{tmp_path}/toplogy.yaml: no such file; did you mean '{tmp_path}/topology.yaml'?"
    assert expected == _refusal(tmp_path / "toplogy.yaml")


def test_a_folder_instead_of_a_file(tmp_path: Path) -> None:
    """A folder is refused, with a file in it that may be meant."""
    assert f"{tmp_path}: is a folder; give the file in it" == _refusal(tmp_path)
    (tmp_path / "b.yaml").write_text("")
    assert f"did you mean '{tmp_path}/b.yaml'?" in _refusal(tmp_path)


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the operating system says is passed on."""

    def refuse(*args: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refuse)
    assert f"{tmp_path}/t.yaml: cannot be read: Permission denied" == _refusal(tmp_path / "t.yaml")


def test_a_path_that_is_none() -> None:
    """A zero byte in a path is a mistake in the path."""
    assert _refusal("a\0b") == "'a\\x00b': is no path: embedded null byte"


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="needs a file without an end")
def test_a_file_without_an_end() -> None:
    """Reading stops at one mebibyte."""
    assert _refusal("/dev/zero") == "/dev/zero: is larger than 1 MiB, so it is no topology"


def test_a_file_that_is_not_utf_8(tmp_path: Path) -> None:
    """The first byte that is not UTF-8 is shown by line and column."""
    file = tmp_path / "t.yaml"
    file.write_bytes("# é\nname: caf".encode() + b"\xe9\n")
    assert f"{file}:2:10: not UTF-8: the byte 0xe9; save the file as UTF-8" == _refusal(file)


def test_reading_a_bad_file_leaves_the_import_path_alone(tmp_path: Path) -> None:
    """Also after mistakes the import path is what it was."""
    file = tmp_path / "t.yaml"
    file.write_text("stages: {a: {use: nothing:Here}}")
    before = list(sys.path)
    _refusal(file)
    assert before == sys.path
