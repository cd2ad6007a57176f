"""The environment in a text: ``${NAME}``, ``${NAME:-default}`` and ``$$`` for a plain ``$``."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping

from actorflow.records import dataclass

__all__ = ["Mistake", "Substituted", "substitute"]

_PATTERN = re.compile(r"\$\$|\$\{(?P<inside>[^}]*)(?P<end>\}?)")
_INSIDE = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?P<default>:-.*)?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Mistake:
    """A substitution that cannot be made: as it is written, and why."""

    written: str
    message: str


@dataclass(frozen=True, slots=True)
class Substituted:
    """A text with the environment's values filled in.

    Args:
        text: the result.
        whole: whether the text was one substitution and nothing else.
        mistakes: what could not be substituted.
    """

    text: str
    whole: bool
    mistakes: tuple[Mistake, ...]


def substitute(text: str, environment: Mapping[str, str]) -> Substituted:
    """Fill in the environment's values.

    Args:
        text: may contain ``${NAME}``, ``${NAME:-default}`` (the default holds when the variable is
            unset or empty) and ``$$``; any other ``$`` is itself.
        environment: the variables.

    Example:
        >>> substitute("${HOME}/x for $$${N:-5}", {"HOME": "/home/me"}).text
        '/home/me/x for $5'
    """
    mistakes: list[Mistake] = []

    def replacement(found: re.Match[str]) -> str:
        if found.group() == "$$":
            return "$"
        inside = _INSIDE.fullmatch(found["inside"])
        if not inside or not found["end"] or "${" in found["inside"]:
            message = "a substitution is ${NAME} or ${NAME:-default}; for a plain ${ write $${"
            mistakes.append(Mistake(found.group(), message))
            return ""
        name, default = inside["name"], inside["default"]
        value = environment.get(name)
        if default is not None:
            return value or default[2:]
        if value is None:
            near = difflib.get_close_matches(name, environment, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"give ${{{name}:-a default}}"
            message = f"environment variable {name!r} is not set; {hint}"
            mistakes.append(Mistake(found.group(), message))
            return ""
        return value

    result = _PATTERN.sub(replacement, text)
    only = _PATTERN.fullmatch(text)
    return Substituted(result, only is not None and text != "$$", tuple(mistakes))
