"""What a mutation is: one way to break the code, and the test that has to notice."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Edit", "Mutation", "all_mutations"]

_OURS = ("__main__", "runner", "table", "test_mutations")


@dataclass(frozen=True, slots=True)
class Edit:
    """One place that is changed.

    Args:
        file: its path, from the root of the project.
        text: what stands there, exactly once in the file.
        replacement: what stands there afterwards.
    """

    file: str
    text: str
    replacement: str


@dataclass(frozen=True, slots=True)
class Mutation:
    """One row of the specification's list of mutations (section 9).

    Args:
        id: ``"M3"``; when a row has several forms, ``"M30a"``, ``"M30b"``.
        breaks: what is wrong afterwards, in a sentence.
        edits: the places that are changed, usually one.
        test: the test that must fail: ``"tests/systems/test_scans_core.py::test_a_03_…"``, or
            several of them, each of which must fail.
    """

    id: str
    breaks: str
    edits: tuple[Edit, ...]
    tests: tuple[str, ...]


def all_mutations() -> Iterator[Mutation]:
    """The rows of every table in this package: each module has a list `MUTATIONS`."""
    import tests.mutations as package

    for module in sorted(pkgutil.iter_modules(package.__path__), key=lambda each: each.name):
        if module.name not in _OURS:
            yield from importlib.import_module(f"{package.__name__}.{module.name}").MUTATIONS
