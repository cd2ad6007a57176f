"""Collecting mistakes: where each one is, and how a value and a near miss are put into words."""

from __future__ import annotations

import difflib
import inspect
import reprlib
from collections.abc import Iterable, Mapping
from typing import Protocol

from actorflow.errors import OptionError, Problem, TopologyError
from actorflow.records import dataclass

__all__ = [
    "Locator",
    "Path",
    "Place",
    "Report",
    "described",
    "did_you_mean",
    "explain",
    "refused",
    "show",
]

Path = tuple[str | int, ...]
"""The way to a value: ``("stages", "count", "subscribe_to", 0, "to")``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A place in a text.

    Args:
        file: the text's name as the user gave it.
        line: 1-based.
        column: 1-based, in characters.
        excerpt: the whole line.
        rank: which text comes first when problems of several are listed; the file is 0.
    """

    file: str
    line: int
    column: int
    excerpt: str
    rank: int = 0


class Locator(Protocol):
    """What knows where a path stands in a text."""

    def locate(self, path: Path, *, key: bool = False) -> tuple[Path, Place]:
        """The longest part of `path` that is in the text, and its place.

        Args:
            path: the way to a value.
            key: whether to point at the last part's key rather than at its value.
        """


class Report:
    """The mistakes found so far.

    Args:
        locator: finds places; None for a topology built in Python, whose problems have a path only.

    Example:
        >>> report = Report()
        >>> report.add(("stages", "count"), "'use' is missing")
        >>> report.problems()[0].path
        'stages.count'
    """

    def __init__(self, locator: Locator | None = None) -> None:
        self._locator = locator
        self._found: list[tuple[tuple[int, int, int], Problem]] = []

    @property
    def has_text(self) -> bool:
        """Whether the topology is a text, in which mistakes have places."""
        return self._locator is not None

    def __bool__(self) -> bool:
        return bool(self._found)

    def add(self, path: Path, message: str, *, key: bool = False) -> None:
        """Note a mistake at a path.

        Args:
            path: the way to the value that is wrong.
            message: what is wrong and what would be right.
            key: whether to point at the value's key.
        """
        if self._locator is None:
            self._note((0, 0, 0), Problem(message, _dotted(path)))
        else:
            shown, place = self._locator.locate(path, key=key)
            self.add_at(place, shown, message)

    def add_key(self, path: Path, message: str) -> None:
        """Note that a key itself is wrong: the path shown is that of the map it is in."""
        if self._locator is None:
            self._note((0, 0, 0), Problem(message, _dotted(path[:-1])))
        else:
            self.add_at(self._locator.locate(path, key=True)[1], path[:-1], message)

    def add_at(self, place: Place, path: Path, message: str) -> None:
        """Note a mistake at a place that is known already."""
        problem = Problem(
            message,
            _dotted(path),
            file=place.file,
            line=place.line,
            column=place.column,
            excerpt=place.excerpt,
        )
        self._note((place.rank, place.line, place.column), problem)

    def take(self, other: Report) -> None:
        """Note what another report has."""
        self._found += other._found

    def problems(self) -> list[Problem]:
        """All mistakes, in the order of the text; those without a place in the order found."""
        # A value that several aliases share is read once for each, and is one mistake.
        ordered = sorted(self._found, key=lambda found: found[0])
        return list(dict.fromkeys(problem for _, problem in ordered))

    def finish(self) -> None:
        """End the collecting.

        Raises:
            TopologyError: there was at least one mistake; it lists them all.
        """
        if self._found:
            raise TopologyError(self.problems())

    def _note(self, order: tuple[int, int, int], problem: Problem) -> None:
        self._found.append((order, problem))


def _dotted(path: Path) -> str:
    return ".".join(str(part) for part in path)


_short = reprlib.Repr()
_short.maxstring = _short.maxother = 80
_short.maxlevel = 2


def show(value: object) -> str:
    """A value in a message, in YAML's words and never longer than a line.

    Example:
        >>> show(None), show(True), show("two"), show([1, 2]), show([[1], 2])
        ('nothing (null)', 'true', "'two'", '[1, 2]', 'a list')
    """
    if value is None:
        return "nothing (null)"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "a map"
    if isinstance(value, list | tuple) and any(map(_has_parts, value)):
        return "a list"
    return _short.repr(value)


def _has_parts(value: object) -> bool:
    return isinstance(value, list | tuple | Mapping)


def described(value: object) -> str:
    """What an object is, with its article.

    Example:
        >>> described(len), described(3)
        ('a function', 'an int')
    """
    if inspect.isroutine(value):
        return "a function"
    name = type(value).__name__
    return f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"


def did_you_mean(given: object, known: Iterable[object]) -> str:
    """A hint that names the nearest valid name, or else all of them when they are few.

    Returns:
        ``"; did you mean 'max_demand'?"``, ``"; known: 'a', 'b'"``, or nothing.

    Example:
        >>> did_you_mean("max_demnd", ["max_demand", "min_demand"])
        "; did you mean 'max_demand'?"
        >>> did_you_mean("x", ["files", "count"])
        "; known: 'files', 'count'"
    """
    names = {str(name): name for name in known}
    near = difflib.get_close_matches(str(given), names, 1)
    if near:
        return f"; did you mean {names[near[0]]!r}?"
    if 0 < len(names) <= 12:
        return "; known: " + ", ".join(repr(name) for name in names.values())
    return ""


def refused(rule: str, value: object, hint: str = "") -> str:
    """The message for a value that breaks a rule.

    Example:
        >>> refused("an integer of at least 1", 0)
        'must be an integer of at least 1, got 0'
    """
    message = f"must be {rule}, got {show(value)}"
    return f"{message}; {hint}" if hint else message


def explain(error: OptionError) -> str:
    """The message for an option that was refused; the path already says which option."""
    if error.hint:
        return refused(error.rule, error.value, error.hint)
    near = ""
    if error.rule.startswith("one of ") and isinstance(error.value, str):
        choices = error.rule.removeprefix("one of ").split(", ")
        found = difflib.get_close_matches(error.value.lower(), choices, 1)
        near = f"did you mean {found[0]!r}?" if found else ""
    return refused(error.rule, error.value, near)
