"""What may be compiled: the list in pyproject.toml, and what compiled classes need of records."""

from __future__ import annotations

import copy
import pickle
import tomllib
from pathlib import Path

import pytest

from actorflow.protocol.delivery import Attempt
from actorflow.protocol.messages import Ask, Down, Route

ROOT = Path(__file__).parents[1]


def test_what_is_compiled_is_there() -> None:
    """The list names files of the package, in order, so that one that moves is missed here."""
    build = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]
    modules = build["build"]["targets"]["wheel"]["hooks"]["custom"]["modules"]
    assert [each for each in modules if not (ROOT / each).is_file()] == []
    assert modules == sorted(modules)


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
