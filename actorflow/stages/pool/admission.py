"""The way into a pool: a queue for each query, with room for a share, and who waits for room."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import field
from typing import Any

from actorflow.records import dataclass

__all__ = ["Admission", "Admitted", "Submission"]


@dataclass(slots=True, eq=False)
class Submission:
    """A task from outside, that waits to be admitted.

    Args:
        query: for which query.
        pipeline: and which of its pipelines.
        item: what it is about.
        admitted: is told when there was room.
        refused: is told, with the reason, when there will be none.
        done: is told when everything that descends from it is done.
    """

    query: int
    pipeline: int
    item: Any
    admitted: Callable[[], None]
    refused: Callable[[Exception], None]
    done: Callable[[str], None]


@dataclass(slots=True, eq=False)
class Admitted:
    """Tasks that were admitted one after the other, for one pipeline of one query.

    Args:
        pipeline: which.
        first: the root of the first; each of the others has the next number.
        items: what they are about, oldest first.
    """

    pipeline: int
    first: int
    items: list[Any]

    def follows(self, other: Admitted) -> bool:
        """Whether these are the next ones behind others."""
        return self.pipeline == other.pipeline and self.first == other.first + len(other.items)

    def split(self, count: int) -> Admitted:
        """Takes the first so many away; returns them."""
        taken = Admitted(self.pipeline, self.first, self.items[:count])
        self.first += count
        del self.items[:count]
        return taken


@dataclass(slots=True)
class _Door:
    tasks: deque[Admitted] = field(default_factory=deque)
    count: int = 0
    """How many there are in all of them."""
    waiting: deque[Submission] = field(default_factory=deque)


class Admission:
    """What has been admitted and has not been given to a worker.

    Args:
        size: how many tasks, in all. Each query may have an equal share of it, and one at least.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._doors: dict[int, _Door] = {}

    def open(self, query: int) -> None:
        """A query may have tasks."""
        self._doors[query] = _Door()

    def close(self, query: int, open_: Callable[[int], bool]) -> list[Submission]:
        """Returns those that wait for a pipeline that takes no more: they wait no longer.

        Args:
            query: the query.
            open_: whether a pipeline of it still takes tasks.
        """
        door = self._doors.get(query)
        if door is None:
            return []
        refused = [each for each in door.waiting if not open_(each.pipeline)]
        door.waiting = deque(each for each in door.waiting if open_(each.pipeline))
        return refused

    def forget(self, query: int) -> None:
        """A query is over."""
        self._doors.pop(query, None)

    @property
    def count(self) -> int:
        """How many tasks there are, in all."""
        return sum(door.count for door in self._doors.values())

    @property
    def waiting(self) -> int:
        """How many submissions wait for room."""
        return sum(len(door.waiting) for door in self._doors.values())

    def count_of(self, query: int) -> int:
        """How many tasks a query has here."""
        door = self._doors.get(query)
        return 0 if door is None else door.count

    @property
    def share(self) -> int:
        """How many each query may have."""
        return max(1, self._size // max(1, len(self._doors)))

    def room(self, query: int) -> int:
        """How many more it may have."""
        door = self._doors[query]
        return max(0, self.share - door.count - len(door.waiting))

    def add(self, query: int, tasks: Admitted) -> None:
        """Tasks have been admitted."""
        door = self._doors[query]
        door.count += len(tasks.items)
        if door.tasks and tasks.follows(door.tasks[-1]):
            door.tasks[-1].items += tasks.items
        else:
            door.tasks.append(tasks)

    def wait(self, submission: Submission) -> None:
        """A submission waits for room, behind those that came before it."""
        self._doors[submission.query].waiting.append(submission)

    def leave(self, submission: Submission) -> bool:
        """A submission waits no more; whether it did."""
        door = self._doors.get(submission.query)
        if door is None or submission not in door.waiting:
            return False
        door.waiting.remove(submission)
        return True

    def take(self, query: int, count: int) -> list[Admitted]:
        """The oldest tasks of a query, at most so many, oldest first."""
        door = self._doors[query]
        taken = []
        left = min(count, door.count)
        door.count -= left
        while left:
            oldest = door.tasks[0]
            if len(oldest.items) <= left:
                taken.append(door.tasks.popleft())
            else:
                taken.append(oldest.split(left))
            left -= len(taken[-1].items)
        return taken

    def next_waiting(self, query: int) -> Submission | None:
        """The oldest submission that there is room for now."""
        door = self._doors.get(query)
        if door is None or not door.waiting:
            return None
        return door.waiting.popleft() if door.count < self.share else None
