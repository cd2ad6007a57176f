"""What every area's errors are made of."""

from __future__ import annotations

from typing import Any

__all__ = [
    "ActorflowError",
    "Broken",
    "Closed",
    "OptionError",
    "PlatformUnsupported",
    "Refused",
]


class ActorflowError(Exception):
    """The root of everything that actorflow raises on purpose."""

    __module__ = __package__

    def __init_subclass__(cls) -> None:
        if cls.__module__.startswith(f"{__package__}."):
            cls.__module__ = __package__


class OptionError(ActorflowError, ValueError):
    """An option or argument breaks a rule.

    Args:
        option: the option's name as the user wrote it, e.g. ``"max_demand"``.
        rule: what is accepted, e.g. ``"an integer of at least 1"``.
        value: the value that was given.
        hint: what to do about it, one sentence, or nothing.

    Example:
        >>> str(OptionError("max_demand", "an integer of at least 1", 0))
        'max_demand must be an integer of at least 1, got 0'
    """

    def __init__(self, option: str, rule: str, value: object, hint: str = "") -> None:
        message = f"{option} must be {rule}, got {value!r}"
        super().__init__(f"{message}; {hint}" if hint else message)
        self.option = option
        self.rule = rule
        self.value = value
        self.hint = hint

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.option, self.rule, self.value, self.hint)


class Refused(ActorflowError):
    """The other side refused, for example a subscription; `reason` says why."""

    def __init__(self, reason: object, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else str(reason))
        self.reason = reason
        self.detail = detail

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.reason, self.detail)


class Closed(ActorflowError):
    """The run, link or supervisor was closed by this side, and the operation needs it open."""


class Broken(ActorflowError):
    """The other side, or the machinery between, died unexpectedly."""


class PlatformUnsupported(ActorflowError):
    """This operating system cannot run actorflow."""
