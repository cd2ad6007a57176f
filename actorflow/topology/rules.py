"""What a value may be: small rules that check it, and say what they accept.

A rule is used three ways: to read a value from YAML (`Rule.read` reports a mistake and goes on), to
check an argument given in Python (`tables.Table.check` raises), and to write the documentation
(`Rule.text`, `Rule.default`). Where a value object of a lower floor already checks a value, the
rule asks that object, so that what is accepted is written once.
"""

from __future__ import annotations

import inspect
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import field as dataclass_field
from typing import Any, Final

from actorflow.errors import OptionError
from actorflow.records import dataclass
from actorflow.topology.imports import CannotImport, import_object
from actorflow.topology.report import Path, Report, described, explain

__all__ = [
    "BAD",
    "Anything",
    "Choice",
    "Function",
    "Integer",
    "Leaf",
    "Name",
    "Owned",
    "Rule",
    "Scalar",
    "Text",
]


class _Bad:
    """The value that stands where a mistake was reported, so that it is reported once."""

    def __repr__(self) -> str:
        return "BAD"


BAD: Final = _Bad()
"""What `Rule.read` returns for a value that it has reported."""


class Rule(ABC):
    """What a value may be."""

    @property
    def text(self) -> str:
        """What is accepted, to follow "must be"."""
        return self._text()

    @property
    def default(self) -> str:
        """What holds when the key is left out, as YAML; nothing when that needs words."""
        return self._default()

    def read(self, value: Any, path: Path, report: Report) -> Any:
        """Check a value from YAML.

        Args:
            value: plain data; `BAD` when it could not even be read.
            path: where it is.
            report: takes the mistakes.

        Returns:
            the value in the form that the model takes, or `BAD`.
        """
        return BAD if value is BAD else self._read(value, path, report)

    @abstractmethod
    def _text(self) -> str: ...

    def _default(self) -> str:
        return ""

    @abstractmethod
    def _read(self, value: Any, path: Path, report: Report) -> Any: ...


class Leaf(Rule):
    """A rule for a value without parts."""

    def refusal(self, option: str, value: object) -> OptionError | None:
        """Why a value is not accepted, or None when it is.

        Args:
            option: the option's name.
            value: what was given.
        """
        return self._refusal(option, value)

    def _refusal(self, option: str, value: object) -> OptionError | None:
        return None if self._accepts(value) else OptionError(option, self.text, value)

    def _accepts(self, value: object) -> bool:
        raise NotImplementedError

    def _read(self, value: Any, path: Path, report: Report) -> Any:
        option = str(path[-1])
        error = self.refusal(option, value)
        if error is None:
            return value
        message = explain(error)
        if isinstance(value, str) and self._accepts_unquoted(option, value):
            message += "; write it without quotes"
        report.add(path, message)
        return BAD

    def _accepts_unquoted(self, option: str, text: str) -> bool:
        for convert in (int, float, {"true": True, "false": False, "null": None}.__getitem__):
            try:
                value = convert(text)
            except (ValueError, KeyError):
                continue
            if self.refusal(option, value) is None:
                return True
        return False


@dataclass(frozen=True, slots=True)
class Integer(Leaf):
    """A whole number within limits; true and false are none."""

    at_least: int
    at_most: int | None = None
    usual: int | None = None
    words: str = ""

    def _text(self) -> str:
        if self.words:
            return self.words
        if self.at_most is None:
            return f"an integer of at least {self.at_least}"
        return f"an integer from {self.at_least} to {self.at_most}"

    def _default(self) -> str:
        return "" if self.usual is None else str(self.usual)

    def _accepts(self, value: object) -> bool:
        if type(value) is not int or value < self.at_least:
            return False
        return self.at_most is None or value <= self.at_most


@dataclass(frozen=True, slots=True)
class Choice(Leaf):
    """One of a few words; the first is the default."""

    choices: tuple[str, ...]

    def _text(self) -> str:
        return "one of " + ", ".join(self.choices)

    def _default(self) -> str:
        return self.choices[0]

    def _accepts(self, value: object) -> bool:
        return isinstance(value, str) and value in self.choices


@dataclass(frozen=True, slots=True)
class Text(Leaf):
    """Any text, which another part judges."""

    words: str

    def _text(self) -> str:
        return self.words

    def _accepts(self, value: object) -> bool:
        return isinstance(value, str)


@dataclass(frozen=True, slots=True)
class Name(Leaf):
    """A name that can stand in a path, a log line and a process title."""

    def _text(self) -> str:
        return "a name of letters, digits, _ and -, starting with a letter or _"

    def _accepts(self, value: object) -> bool:
        return isinstance(value, str) and bool(re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]*", value))


@dataclass(frozen=True, slots=True)
class Owned(Leaf):
    """A field that a value object checks: its rule and its default are that object's.

    Args:
        owner: the value object's class.
        field: the field's name.
        given: what else its constructor needs.
    """

    owner: Callable[..., Any]
    field: str
    given: Mapping[str, Any] = dataclass_field(default_factory=dict)

    def _text(self) -> str:
        error = self._refusal(self.field, _Bad())
        assert error is not None, f"{self.owner} accepts anything as {self.field}"
        return error.rule

    def _default(self) -> str:
        value = inspect.signature(self.owner).parameters[self.field].default
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            return str(value)
        return {None: "null", True: "true", False: "false"}.get(value, "")

    def _refusal(self, option: str, value: object) -> OptionError | None:
        try:
            self.owner(**self.given, **{self.field: value})
        except OptionError as error:
            return error
        return None


@dataclass(frozen=True, slots=True)
class Anything(Leaf):
    """Any value, for what only another part can judge."""

    words: str

    def _text(self) -> str:
        return self.words

    def _accepts(self, value: object) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class Scalar(Leaf):
    """Text, a number, or another single value."""

    words: str

    def _text(self) -> str:
        return self.words

    def _accepts(self, value: object) -> bool:
        return not isinstance(value, list | dict | set)


@dataclass(frozen=True, slots=True)
class Function(Leaf):
    """A function, in YAML named as ``module:function``."""

    def _text(self) -> str:
        return "a function, as 'module:function'"

    def _refusal(self, option: str, value: object) -> OptionError | None:
        if callable(value):
            return None
        if not isinstance(value, str):
            return OptionError(option, self.text, value)
        try:
            found = import_object(value)
        except CannotImport as error:
            return OptionError(option, self.text, value, str(error))
        if callable(found):
            return None
        return OptionError(option, self.text, value, f"it is {described(found)}")
