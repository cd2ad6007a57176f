"""The mistakes of a topology."""

from __future__ import annotations

from typing import Any

from actorflow.errors.base import ActorflowError
from actorflow.records import dataclass

__all__ = [
    "Problem",
    "TopologyError",
]


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in a topology: where it is, what is wrong, and what would be right.

    Args:
        message: what is wrong, with the value given and what is accepted.
        path: the key's path, e.g. ``"stages.count.replicas"``.
        file: the file's name as the user gave it, or nothing for a topology built in Python.
        line: 1-based line, 0 when unknown.
        column: 1-based column, 0 when unknown.
        excerpt: the source line, for a caret below it.

    Example:
        >>> problem = Problem("must be an integer", "stages.count.replicas", "words.yaml", 7, 15)
        >>> problem.path, problem.line
        ('stages.count.replicas', 7)
    """

    message: str
    path: str = ""
    file: str = ""
    line: int = 0
    column: int = 0
    excerpt: str = ""

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}:{self.column}: " if self.line else ""
        where = where or (f"{self.file}: " if self.file else "")
        path = f"{self.path}: " if self.path else ""
        text = f"{where}{path}{self.message}"
        if self.excerpt:
            # A long line is cut around the mistake; tabs before the caret keep it in place.
            start = max(0, self.column - 60) if len(self.excerpt) > 100 else 0
            shown = self.excerpt[start : start + 100]
            before = shown[: max(0, self.column - 1 - start)]
            indent = "".join("\t" if character == "\t" else " " for character in before)
            text += f"\n    {shown}\n    {indent}^"
        return text


class TopologyError(ActorflowError):
    """A topology has mistakes; `problems` lists all of them, in file order.

    Example:
        >>> error = TopologyError([Problem("unknown stage 'fles'", "stages.count.subscribe_to")])
        >>> len(error.problems)
        1
    """

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.problems,)
