"""One item of an asynchronous stage, from when it comes until its place is free."""

from __future__ import annotations

from dataclasses import field
from typing import Any

from actorflow.records import dataclass

__all__ = ["Item"]


@dataclass(slots=True, eq=False)
class Item:
    """One claimed item.

    Args:
        number: its place in the order in which items came, from 1.
        event: the item.
        origin: what the owner gave with it.
        tries: how many calls have begun with it.
    """

    number: int
    event: Any
    origin: Any
    tries: int = 0
    settled: bool = False
    """Whether its result is there, or it will have none."""
    given_back: bool = False
    """Whether a stop has left it unfinished, for somebody else."""
    outputs: list[Any] = field(default_factory=list)
    seconds: float = 0.0
