"""Permits: counting semaphores of a run, and who holds or waits for one. Pure decisions."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Mapping
from typing import Generic, TypeVar

__all__ = ["PermitTable"]

Holder = TypeVar("Holder", bound=Hashable)


class PermitTable(Generic[Holder]):
    """Who has a permit of which name, and who waits, first come first served.

    A holder has at most one permit, and ends when it gives it back, or dies; the table does not
    tell the two apart.

    Args:
        counts: how many permits there are of each name, from 1.

    Example:
        >>> table = PermitTable({"connections": 1})
        >>> table.ask("call 1", "connections"), table.ask("call 2", "connections")
        (True, False)
        >>> table.gone("call 1")
        'call 2'
    """

    def __init__(self, counts: Mapping[str, int]) -> None:
        self._free = dict(counts)
        self._waiting: dict[str, deque[Holder]] = {name: deque() for name in counts}
        self._name_of: dict[Holder, str] = {}

    @property
    def names(self) -> list[str]:
        """The names there are."""
        return list(self._free)

    def __contains__(self, holder: Holder) -> bool:
        """Whether somebody has a permit, or waits for one."""
        return holder in self._name_of

    def free(self, name: str) -> int:
        """How many permits of a name nobody has."""
        return self._free[name]

    def ask(self, holder: Holder, name: str) -> bool:
        """Somebody wants a permit; returns whether it has it now, or else will have it later."""
        self._name_of[holder] = name
        if self._free[name]:
            self._free[name] -= 1
            return True
        self._waiting[name].append(holder)
        return False

    def gone(self, holder: Holder) -> Holder | None:
        """Somebody has, or waits for, none any more; returns who gets the permit instead."""
        name = self._name_of.pop(holder, None)
        if name is None:
            return None
        waiting = self._waiting[name]
        if holder in waiting:
            waiting.remove(holder)
            return None
        if waiting:
            return waiting.popleft()
        self._free[name] += 1
        return None
