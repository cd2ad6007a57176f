"""Texts with mistakes, and what must be said of them: the files in `mistakes`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from actorflow.errors import TopologyError
from actorflow.topology import loads

HERE = Path(__file__).parent

PROJECT = str(HERE / "project")
"""The folder of the modules that the topologies name."""

ENVIRONMENT = {"REPLICAS": "2", "EMPTY": "", "WORD": "x"}
"""What the topologies may substitute."""


@dataclass(frozen=True)
class Case:
    """A text and its mistakes, each as ``line:column path: message``, in the order of the text."""

    name: str
    text: str
    mistakes: list[str]


def cases() -> list[Case]:
    """Every case of every file: after ``==== name`` the text, after ``----`` its mistakes."""
    return list(_cases())


def _cases() -> Iterator[Case]:
    for file in sorted((HERE / "mistakes").glob("*.txt")):
        _, *parts = file.read_text(encoding="utf-8").split("==== ")
        for part in parts:
            name, _, rest = part.partition("\n")
            text, _, mistakes = rest.rpartition("----\n")
            expected = mistakes.replace("{project}", PROJECT).strip().splitlines()
            yield Case(f"{file.stem}-{name}", text, expected)


def mistakes_of(text: str | bytes, *overrides: str) -> list[str]:
    """The mistakes of a text, as a `Case` has them; those of an override begin with ``--set``."""
    with pytest.raises(TopologyError) as caught:
        loads(text, file="t.yaml", folder=PROJECT, overrides=overrides, environment=ENVIRONMENT)
    return [
        f"{'' if problem.file == 't.yaml' else problem.file + ' '}"
        f"{problem.line}:{problem.column} {problem.path}: {problem.message}"
        for problem in caught.value.problems
    ]
