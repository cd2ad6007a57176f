"""What may be compiled: the list in pyproject.toml, and what compiled classes need of records."""

from __future__ import annotations

import ast
import copy
import pickle
import tomllib
from pathlib import Path

import pytest

from actorflow.protocol.delivery import Attempt
from actorflow.protocol.messages import Ask, Down, Route

ROOT = Path(__file__).parents[1]


def compiled_modules() -> list[str]:
    """The files that are compiled."""
    build = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]
    modules: list[str] = build["build"]["targets"]["wheel"]["hooks"]["custom"]["modules"]
    return modules


def calls_in_slices(source: str) -> list[str]:
    """The slices with a call in them."""
    return [
        ast.unparse(node)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Slice)
        if any(isinstance(part, ast.Call | ast.NamedExpr) for part in ast.walk(node.slice))
    ]


def test_what_is_compiled_is_there() -> None:
    """The list names files of the package, in order, so that one that moves is missed here."""
    modules = compiled_modules()
    assert [each for each in modules if not (ROOT / each).is_file()] == []
    assert modules == sorted(modules)


def test_what_is_compiled_calls_nothing_within_a_slice() -> None:
    """Mypyc 2.4 makes such a call twice where the object is none of its own: bytes written twice.

    Seen with `rest = rest[os.write(descriptor, rest) :]` of a memoryview.
    """
    assert calls_in_slices("rest[write(rest) :], rest[written:]") == ["rest[write(rest):]"]
    found = {each: calls_in_slices((ROOT / each).read_text("utf-8")) for each in compiled_modules()}
    assert {each: slices for each, slices in found.items() if slices} == {}


@pytest.mark.parametrize(
    "record",
    [
        Ask(1, 2, 3),
        Route(1, 2, "pickle", b"x"),
        Down(1, "a/0#1", "done"),
        Attempt(2, alone=True, failure={}),
    ],
    ids=lambda record: type(record).__name__,
)
def test_a_record_is_copied_and_pickled(record: object) -> None:
    """Frozen or not, compiled or not."""
    assert copy.copy(record) == pickle.loads(pickle.dumps(record)) == record
    assert copy.deepcopy(record) == record
