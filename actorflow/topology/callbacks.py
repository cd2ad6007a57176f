"""A stage's callbacks as its class defines them: whether they can be called as they will be."""

from __future__ import annotations

import inspect
from functools import lru_cache
from types import FunctionType

from actorflow.stage.behaviour import Stage, kind_of
from actorflow.topology.classes import BASES
from actorflow.topology.report import Path, Report

__all__ = ["check_callbacks"]

_OTHERS = ("snapshot", "restore")
"""Callbacks whose names do not say that they are."""


def check_callbacks(use: type[Stage], path: Path, report: Report) -> None:
    """Report callbacks that are coroutine functions, or take other arguments than they are given.

    Args:
        use: the stage's class.
        path: where the stage is.
        report: takes the mistakes.
    """
    behaviour: type = use  # or mypy looks for the hash of its instances
    for message in _mistakes(behaviour):
        report.add((*path, "use"), message)


@lru_cache
def _mistakes(use: type[Stage]) -> tuple[str, ...]:
    """What is wrong with a class; a topology of thousands of stages has few of them."""
    base = BASES[kind_of(use)]
    names = [name for name in dir(base) if name.startswith(("handle_", "on_")) or name in _OTHERS]
    found = (_mistake(use, name, inspect.getattr_static(base, name)) for name in names)
    return tuple(message for message in found if message)


def _mistake(use: type[Stage], name: str, expected: object) -> str:
    """What is wrong with one callback; nothing when it is as it should be, or not a function."""
    own = inspect.getattr_static(use, name)
    if own is expected or not isinstance(own, FunctionType):
        return ""
    assert isinstance(expected, FunctionType)
    if inspect.iscoroutinefunction(own) or inspect.isasyncgenfunction(own):
        return (
            f"{use.__name__}.{name} is asynchronous, and nobody would await it; define it without"
            " async, or give the coroutine function to actorflow.stages.buffered:AsyncStage"
        )
    given = list(inspect.signature(expected).parameters)
    try:
        inspect.signature(own).bind(*given)
    except TypeError as error:
        arguments = ", ".join(given[1:]) or "no arguments"
        return f"{use.__name__}.{name} is called with {arguments}, and cannot be: {error}"
    return ""
