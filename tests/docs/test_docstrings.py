"""Every example in a docstring of the package does what it says."""

from __future__ import annotations

import doctest
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from actorflow.compiled import core
from tests.docs.generated import public, rooms
from tests.docs.pages import ROOT

PACKAGE = ROOT / "actorflow"


def modules() -> list[str]:
    """Every module of the package that has an example."""
    files = sorted(path for path in PACKAGE.rglob("*.py") if ">>>" in path.read_text("utf-8"))
    return [_name(path) for path in files]


def _name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


@pytest.mark.parametrize("module", modules())
def test_the_examples_of_a_modules_docstrings(module: str) -> None:
    """They run, and give what they show."""
    home = import_module(module)
    if not str(home.__file__).endswith(".py"):
        pytest.skip("doctest finds nothing in a compiled module; its examples are run interpreted")
    shown: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    for test in examples(home):
        runner.run(test, out=shown.append)
    assert "".join(shown) == ""
    assert runner.tries > 0


def examples(module: ModuleType) -> Iterator[doctest.DocTest]:
    """Those of a module, and of the classes in it that name its package as their home: errors."""
    finder = doctest.DocTestFinder(exclude_empty=True)
    yield from finder.find(module)
    for value in vars(module).values():
        if isinstance(value, type) and value.__module__ == module.__package__ != module.__name__:
            yield from finder.find(value, module=module)


@pytest.mark.parametrize("room", rooms((ROOT / "docs/reference.md").read_text("utf-8")))
def test_every_public_name_has_an_example(room: str) -> None:
    """In its own docstring, and it runs; an error is in the examples of those who raise it."""
    if core() == "compiled":
        pytest.skip("a compiled class has lost its docstring")
    without = [
        name
        for name, value in public(room).items()
        if not (isinstance(value, type) and issubclass(value, BaseException))
        and ">>>" not in (value.__doc__ or "")
    ]
    assert without == []


def test_there_are_examples() -> None:
    """The search finds modules: an empty list would pass every test above."""
    assert len(modules()) > 20
