"""Importing stages' classes: what is found, and what the host program notices of it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from actorflow.errors import TopologyError
from actorflow.topology import load, loads
from tests.topology.cases import PROJECT

STAGES = """\
from actorflow.stage.behaviour import Producer

class Source(Producer):
    version = {version}
"""


@pytest.fixture(autouse=True)
def forgets_modules() -> Iterator[None]:
    """Modules that a test imports are gone after it."""
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


def write(folder: Path, version: int, module: str = "its_stages") -> Path:
    """A folder with a module of stages and a topology that uses it; returns the topology."""
    folder.mkdir()
    (folder / f"{module}.py").write_text(STAGES.format(version=version))
    file = folder / "t.yaml"
    file.write_text(f"stages: {{a: {{use: '{module}:Source'}}}}")
    return file


def version(file: Path) -> int:
    """The version of the class that a topology uses."""
    found: int = load(file).stages[0].use.version  # type: ignore[attr-defined]
    return found


def test_yaml_is_imported_when_a_text_is_read() -> None:
    """A program that declares its topology in Python does not pay for the YAML library."""
    code = "import sys, actorflow.topology; sys.exit('yaml' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=30).returncode == 0


def test_the_import_path_is_what_it_was() -> None:
    """Neither reading a topology nor what its modules do changes the import path."""
    before = list(sys.path)
    loads("stages: {a: {use: 'meddles:Meddler'}}", folder=PROJECT)
    assert before == sys.path


def test_a_module_written_a_moment_ago_is_found(tmp_path: Path) -> None:
    """The finders' cached listings do not hide a new file."""
    file = write(tmp_path / "one", 1)
    assert version(file) == 1
    (tmp_path / "one" / "added.py").write_text(STAGES.format(version=5))
    file.write_text("stages: {a: {use: 'added:Source'}}")
    assert version(file) == 5


def test_two_topologies_may_have_modules_of_one_name(tmp_path: Path) -> None:
    """Each topology gets the module in its own folder, and gets it again."""
    one, two = write(tmp_path / "one", 1), write(tmp_path / "two", 2)
    assert [version(one), version(two), version(one)] == [1, 2, 1]


def test_a_module_is_imported_once(tmp_path: Path) -> None:
    """Reading a topology twice gives the same class."""
    file = write(tmp_path / "one", 1)
    assert load(file).stages[0].use is load(file).stages[0].use


def test_a_packages_parts_are_replaced_with_it(tmp_path: Path) -> None:
    """A package of the same name elsewhere takes its submodules along."""
    for number in (1, 2):
        folder = tmp_path / str(number)
        (folder / "its_package").mkdir(parents=True)
        (folder / "its_package" / "__init__.py").write_text("")
        (folder / "its_package" / "inner.py").write_text(STAGES.format(version=number))
        (folder / "t.yaml").write_text("stages: {a: {use: 'its_package.inner:Source'}}")
    assert [version(tmp_path / each / "t.yaml") for each in "121"] == [1, 2, 1]


def test_the_programs_own_module_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A module that the program itself imported under that name stays, and the clash is told."""
    write(tmp_path / "own", 1, "the_programs_module")
    monkeypatch.syspath_prepend(tmp_path / "own")
    own = __import__("the_programs_module")
    file = write(tmp_path / "other", 2, "the_programs_module")
    with pytest.raises(TopologyError, match=r"this program has already imported another") as caught:
        load(file)
    assert str(tmp_path / "own") in str(caught.value)
    assert sys.modules["the_programs_module"] is own


def test_a_syntax_error_in_a_module_is_shown_with_its_line(tmp_path: Path) -> None:
    """The message names the module's own file and line."""
    file = write(tmp_path / "one", 1)
    (tmp_path / "one" / "its_stages.py").write_text("x = 1\ndef broken(:\n")
    with pytest.raises(TopologyError) as caught:
        load(file)
    (problem,) = caught.value.problems
    assert problem.message == (
        "importing module 'its_stages' raised SyntaxError: invalid syntax"
        f" ({tmp_path}/one/its_stages.py:2)"
    )


def test_the_place_of_an_error_is_the_innermost_frame(tmp_path: Path) -> None:
    """An error deep inside what a module calls is shown where it was raised."""
    file = write(tmp_path / "one", 1)
    (tmp_path / "one" / "helper.py").write_text("def fail():\n    return {}['key']\n")
    (tmp_path / "one" / "its_stages.py").write_text("import helper\nhelper.fail()\n")
    with pytest.raises(TopologyError) as caught:
        load(file)
    assert caught.value.problems[0].message == (
        f"importing module 'its_stages' raised KeyError: 'key' ({tmp_path}/one/helper.py:2)"
    )


def test_an_interruption_while_importing_is_passed_on(tmp_path: Path) -> None:
    """Ctrl-C is not a mistake in the topology."""
    file = write(tmp_path / "one", 1)
    (tmp_path / "one" / "its_stages.py").write_text("raise KeyboardInterrupt\n")
    before = list(sys.path)
    with pytest.raises(KeyboardInterrupt):
        load(file)
    assert before == sys.path
