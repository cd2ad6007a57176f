"""Problems as data, for ``actorflow check --json`` and for other programs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict

from actorflow.errors import Problem

__all__ = ["problem_rows"]


def problem_rows(problems: Iterable[Problem]) -> list[dict[str, str | int]]:
    """Problems as plain data, ready for JSON.

    Args:
        problems: as in `TopologyError.problems`.

    Returns:
        for each problem its ``message``, ``path``, ``file``, ``line``, ``column`` and ``excerpt``;
        an unknown line or column is 0.

    Example:
        >>> problem_rows([Problem("unknown stage 'fles'", file="t.yaml", line=3)])[0]["line"]
        3
    """
    return [asdict(problem) for problem in problems]
