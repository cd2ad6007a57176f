"""Checks of arguments: each refuses with an `OptionError` that names parameter, rule and value."""

from __future__ import annotations

import _thread
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from actorflow.errors import OptionError

__all__ = [
    "check_callable",
    "check_events",
    "check_fields",
    "check_instance",
    "check_integer",
    "check_map",
    "check_permits",
    "check_seconds",
    "check_text",
    "check_timeout",
    "is_number",
]

Kind = TypeVar("Kind")


def check_integer(option: str, value: Any, least: int | None = 0) -> int:
    """An integer, of at least so much.

    Example:
        >>> check_integer("seed", 5)
        5
    """
    if type(value) is not int or (least is not None and value < least):
        rule = "an integer" if least is None else f"an integer of at least {least}"
        raise OptionError(option, rule, value)
    return value


def check_seconds(option: str, value: Any) -> float:
    """A finite number from 0."""
    if type(value) not in (int, float) or not 0 <= value < math.inf:
        raise OptionError(option, "a number of seconds from 0", value)
    return float(value)


def check_timeout(value: Any) -> float | None:
    """Seconds that a thread can wait, or None for no limit."""
    if value is None:
        return None
    if type(value) not in (int, float) or not 0 <= value <= _thread.TIMEOUT_MAX:
        raise OptionError("timeout", "a number of seconds from 0, or none for no limit", value)
    return float(value)


def check_text(option: str, value: Any, rule: str = "a text that is not empty") -> str:
    """A text with something in it."""
    if type(value) is not str or not value:
        raise OptionError(option, rule, value)
    return value


def check_map(option: str, value: Any, rule: str = "a map from names to values") -> None:
    """A map by name."""
    if not isinstance(value, Mapping) or not all(type(key) is str for key in value):
        raise OptionError(option, rule, value)


def check_fields(option: str, value: Any, known: Iterable[str], rule: str) -> Mapping[str, Any]:
    """A map with none but the names that there are, as a file has it in the place of an object.

    Example:
        >>> check_fields("limits", {"sise": 3}, ["size", "bytes"], "a map of size, bytes")
        Traceback (most recent call last):
        ...
        actorflow.errors.OptionError: limits must be a map of size, bytes, got {'sise': 3}; it has \
no 'sise'; did you mean 'size'?
    """
    if not isinstance(value, Mapping):
        raise OptionError(option, rule, value)
    names = list(known)
    for name in value:
        if name not in names:
            from difflib import get_close_matches  # a program without mistakes does not need it

            near = get_close_matches(str(name), names, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise OptionError(option, rule, dict(value), f"it has no {name!r}{hint}")
    return value


def check_permits(value: Any) -> Mapping[str, int]:
    """How many permits there are, by name.

    Example:
        >>> check_permits({"connections": 2})
        {'connections': 2}
    """
    rule = "a map from names to integers of at least 1"
    check_map("permits", value, rule)
    if not all(name and type(count) is int and count > 0 for name, count in value.items()):
        raise OptionError("permits", rule, value)
    checked: Mapping[str, int] = value
    return checked


def check_instance(option: str, value: Any, kind: type[Kind]) -> Kind:
    """An object of a class."""
    if not isinstance(value, kind):
        raise OptionError(option, f"a {kind.__name__}", value)
    return value


def check_callable(option: str, value: Any) -> Callable[..., Any]:
    """Something that can be called."""
    if not callable(value):
        raise OptionError(option, "a function", value)
    return value  # type: ignore[no-any-return]


def check_events(option: str, value: Any) -> Iterable[Any]:
    """An iterable that is meant as several events: text, bytes and maps hardly ever are."""
    if isinstance(value, str | bytes | dict) or not isinstance(value, Iterable):
        raise OptionError(option, "an iterable of events", value)
    return value


def is_number(value: object) -> bool:
    """Whether a value is a finite number; true and false are none."""
    return type(value) in (int, float) and math.isfinite(value)  # type: ignore[arg-type]
