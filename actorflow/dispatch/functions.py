"""Functions that arrive as options: a callable, or the text ``module:name``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from operator import length_hint
from typing import Any

from actorflow.errors import OptionError, Refused

__all__ = ["culprit", "function_of", "resolve_function"]


def resolve_function(option: str, value: object) -> Callable[..., Any]:
    """The function that an option names.

    Args:
        option: the option, for the refusal.
        value: a callable, or ``"module:name"``; ``name`` may be dotted.

    Raises:
        Refused: ``bad_option``: it is neither, or it cannot be imported.

    Example:
        >>> resolve_function("by", "operator:neg")(3)
        -3
    """
    if callable(value):
        return value
    if not isinstance(value, str) or ":" not in value:
        raise Refused("bad_option", f"{option} must be a function or 'module:name', got {value!r}")
    module, _, name = value.partition(":")
    try:
        found: Any = import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except Exception as error:  # an empty name, or whatever the module does when it is imported
        raise Refused("bad_option", f"{option} {value!r} cannot be imported: {error}") from error
    if not callable(found):
        raise Refused("bad_option", f"{option} {value!r} is not a function")
    result: Callable[..., Any] = found
    return result


def function_of(option: str, value: object) -> Callable[..., Any]:
    """As `resolve_function`, where a caller gives the option: what is wrong is an `OptionError`.

    Args:
        option: the option's name.
        value: a callable, or ``"module:name"``.

    Raises:
        OptionError: it is neither, or it cannot be imported.

    Example:
        >>> function_of("key", "builtins:len")("abc")
        3
    """
    try:
        return resolve_function(option, value)
    except Refused as error:
        rule = "a function, or 'module:name' of one that can be imported"
        raise OptionError(option, rule, value, error.detail) from error


def culprit(events: list[Any], asked: Iterator[Any]) -> Any:
    """The event that a function failed for: the last that was asked about.

    What the iterator has left tells which it was, without counting them all beforehand.

    Args:
        events: all of them.
        asked: an iterator of that list, which has given at least one.

    Example:
        >>> events = [2, 1, 0, 4]
        >>> asked = iter(events)
        >>> try:
        ...     [1 // event for event in asked]
        ... except ZeroDivisionError:
        ...     print(culprit(events, asked))
        0
    """
    return events[len(events) - length_hint(asked) - 1]
