"""What a stage says about who is to be joined with whom, and what it is told of it."""

from __future__ import annotations

from collections.abc import Iterable

from actorflow.errors import OptionError
from actorflow.records import dataclass

__all__ = ["MembersRefused", "Redirect", "member_names"]


@dataclass(frozen=True, slots=True, init=False)
class Redirect:
    """What a producer's `handle_subscribe` returns to have a consumer subscribe to others instead.

    The consumer is subscribed to each of them, with the same options. Only when all have accepted
    does it ask for events, and only then does the subscription to the redirector end. If one of
    them cannot be subscribed to, none is, and the subscription ends with ``["redirect_failed",
    why]``. Once made, a redirect stands: restarts find the consumer with the new producers.

    Args:
        stages: names of producing stages, ``"numbers"`` (every replica) or ``"numbers/1"``; at
            least one.

    Raises:
        OptionError: there is none, or one of them is no name.

    Example:
        >>> Redirect("left", "right/1").stages
        ('left', 'right/1')
    """

    stages: tuple[str, ...]

    def __init__(self, *stages: str) -> None:
        names = tuple(member_names("stages", stages))
        if not names:
            raise OptionError("stages", "at least one stage's name", stages)
        object.__setattr__(self, "stages", names)


@dataclass(frozen=True, slots=True)
class MembersRefused:
    """To a manager's `handle_info`: its members cannot be changed so; they are as they were.

    Args:
        change: ``"set"``, ``"add"`` or ``"remove"``.
        stages: the names that it gave.
        reason: ``"no_such_stage"``, ``"not_a_producer"``, ``"cycle"`` or ``"bad_option"``.
        detail: the same for a person.

    Example:
        >>> refused = MembersRefused(
        ...     change="add", stages=("nobody",), reason="no_such_stage", detail="…"
        ... )
        >>> refused.reason
        'no_such_stage'
    """

    change: str
    stages: tuple[str, ...]
    reason: str
    detail: str


def member_names(option: str, stages: Iterable[str]) -> list[str]:
    """Check names of stages where they are passed; returns them as a list.

    Raises:
        OptionError: one is no text, or they are no list.

    Example:
        >>> member_names("stages", ("left", "right/1"))
        ['left', 'right/1']
    """
    rule = 'a list of stages\' names, such as "numbers" or "numbers/1"'
    if isinstance(stages, str) or not isinstance(stages, Iterable):
        raise OptionError(option, rule, stages)
    names: list[object] = list(stages)
    checked = [name for name in names if isinstance(name, str) and name]
    if len(checked) < len(names):
        raise OptionError(option, rule, names)
    return checked
