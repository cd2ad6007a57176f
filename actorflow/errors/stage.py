"""Errors of a stage's own code, and what an event's child may raise."""

from __future__ import annotations

from typing import Any

from actorflow.errors.base import ActorflowError

__all__ = [
    "BadReturn",
    "Ignore",
    "NotInStage",
]


class BadReturn(ActorflowError):
    """A callback returned something it may not return."""

    def __init__(self, callback: str, accepted: str, value: object) -> None:
        super().__init__(f"{callback} must return {accepted}, returned {value!r}")
        self.callback = callback
        self.accepted = accepted
        self.value_text = repr(value)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild_bad_return, (self.callback, self.accepted, self.value_text)


class _Text(str):
    """A string that prints as itself, so that a rebuilt message does not gain quotes."""

    def __repr__(self) -> str:
        return str(self)


def _rebuild_bad_return(callback: str, accepted: str, value_text: str) -> BadReturn:
    return BadReturn(callback, accepted, _Text(value_text))


class NotInStage(ActorflowError):
    """A stage's verb (`emit`, `notify`, …) was used on an object that no runtime has started."""


class Ignore(ActorflowError):
    """Raised by the child of an event, in place of work: nothing is to be done for this event.

    It is OTP's ``ignore``: the child counts as ended in good order.

    Example:
        >>> def resize(path):
        ...     if path.endswith(".txt"):
        ...         raise Ignore("no picture")
    """
