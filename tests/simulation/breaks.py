"""Deliberate mistakes, with which a checker shows that it can fail."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from actorflow.compiled import core

__all__ = [
    "INTERPRETED_ONLY",
    "Break",
    "acknowledged_on_arrival",
    "break_it",
    "end_without_waiting",
    "finished_when_handled",
    "unfinished_batches_forgotten",
]

INTERPRETED_ONLY = pytest.mark.skipif(
    core() == "compiled", reason="breaks methods from outside, which compiled callers do not see"
)


@dataclass(frozen=True, slots=True)
class Break:
    """A deliberate mistake.

    Args:
        of: the class that it is made in.
        method: the method that is replaced.
        by: makes the broken method from the right one.
        caught: the laws, or errors, of which one has to report it.
        first: the first seed, for a break that is rare, or that goes round in circles before.
    """

    of: type
    method: str
    by: Callable[[Any], Any]
    caught: tuple[str, ...]
    first: int = 0


def break_it(broken: Break, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the mistake, until the test is over."""
    right = broken.of.__dict__[broken.method]
    monkeypatch.setattr(broken.of, broken.method, broken.by(right))


def acknowledged_on_arrival(right: Any) -> Any:
    """A batch is acknowledged before it is handled."""

    def route(self: Any, link: int, message: Any) -> None:
        right(self, link, message)
        incoming = self.subscriptions.get(message.ref)
        if incoming is not None and not incoming.ended:
            incoming.finished = message.seq
            self.asking.ask(incoming, 0)

    return route


def finished_when_handled(right: Any) -> Any:
    """An input is finished though its outputs are not."""
    return property(lambda self: self.emitted)


def unfinished_batches_forgotten(right: Any) -> Any:
    """What a dead consumer had in hand is not delivered again."""

    def give_back(self: Any) -> list[Any]:
        right(self)
        return []

    return give_back


def end_without_waiting(right: Any) -> Any:
    """The end is said before everything has left."""
    return property(lambda self: True)
