"""Which benchmarks there are."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Sequence
from pathlib import Path

from actorflow.errors import OptionError
from benchmarks._suite.targets import TARGETS

__all__ = ["chosen", "titles"]


def titles(root: Path) -> dict[str, str]:
    """Each benchmark of the folder ``benchmarks``, with the first line of its docstring.

    First those that measure a target, in the order of the targets, then the others by name. They
    are read and not imported: some of them import what takes a while, or is not installed.
    """
    found = sorted(path.stem for path in (root / "benchmarks").glob("[!_]*.py"))
    wanted = [each.benchmark for each in TARGETS if each.benchmark in found]
    names = dict.fromkeys([*wanted, *found])
    return {name: _title(root / "benchmarks" / f"{name}.py") for name in names}


def _title(path: Path) -> str:
    doc = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return doc.partition("\n")[0]


def chosen(names: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    """The benchmarks to run: those that are named, each once, or all of them.

    Raises:
        OptionError: one of the names is none of a benchmark.
    """
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]!r}?" if near else ""
            raise OptionError("NAME", f"one of {', '.join(known)}", name, hint)
    return tuple(dict.fromkeys(names or known))
