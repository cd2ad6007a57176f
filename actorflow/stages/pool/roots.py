"""The admitted tasks of one query, while anything that descends from them is left."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from typing import Any

from actorflow.records import dataclass

__all__ = ["Done", "Roots"]

Done = Callable[[str, int], Any]
"""Is told how so many have ended: ``"done"``, ``"failed"`` or ``"expired"``."""


@dataclass(slots=True, eq=False)
class _Span:
    """Roots that were admitted together, next to each other in number."""

    first: int
    end: int
    left: int
    """How many of them have not ended."""
    done: Done


class Roots:
    """Counts what descends from each admitted task, itself included.

    Most make nothing, so nothing is kept of one alone until it does: a batch costs one record.

    Example:
        >>> roots, told = Roots(), []
        >>> first = roots.add(3, lambda how, count: told.append(count))
        >>> roots.changed(first + 1, 2)  # it has made two, and goes on
        >>> roots.ended(first, 1), told
        (None, [1])
        >>> roots.changed(first + 1, -3), told
        (None, [1, 1])
    """

    def __init__(self) -> None:
        self._next = 1
        self._firsts: list[int] = []
        self._spans: list[_Span] = []
        """In the order of their numbers, as `_firsts` has them."""
        self._left: dict[int, int] = {}
        """What is left of those roots that have not exactly themselves."""

    def __len__(self) -> int:
        """How many have not ended."""
        return sum(span.left for span in self._spans)

    def add(self, count: int, done: Done) -> int:
        """So many tasks are admitted.

        Args:
            count: how many, from 1.
            done: is told of their ends, of several at a time.

        Returns:
            the number of the first; the others follow.
        """
        first = self._next
        self._next += count
        self._firsts.append(first)
        self._spans.append(_Span(first, self._next, count, done))
        return first

    def changed(self, number: int, change: int) -> None:
        """So many more tasks descend from a root, or fewer; it may end by that.

        A number that nobody was given means nothing: what a pipeline's stop makes descends from no
        admitted task.
        """
        place = self._place_of(number)
        if place is None:
            return
        left = self._left.get(number, 1) + change
        if left:
            self._left[number] = left
        else:
            self._left.pop(number, None)
            self._tell(place, 1)

    def ended(self, first: int, count: int) -> None:
        """Roots next to each other have ended, and had made nothing."""
        while count:
            place = self._place_of(first)
            assert place is not None, "a root ended twice"
            some = min(count, self._spans[place].end - first)
            self._tell(place, some)
            first, count = first + some, count - some

    def drop(self) -> list[tuple[Done, int]]:
        """Forget all of them; returns who is to be told, and of how many."""
        told = [(span.done, span.left) for span in self._spans]
        self._firsts, self._spans, self._left = [], [], {}
        return told

    def _place_of(self, number: int) -> int | None:
        place = bisect_right(self._firsts, number) - 1
        return place if place >= 0 and number < self._spans[place].end else None

    def _tell(self, place: int, count: int) -> None:
        span = self._spans[place]
        span.left -= count
        if not span.left:
            del self._spans[place], self._firsts[place]
        span.done("done", count)
