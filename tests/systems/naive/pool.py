"""The pools that hang: what the original did before it was mended, and mends that do not help.

Each is played step by step, in turns: workers and sources do one thing at a time. `Stuck` is the
watchdog: nobody can do anything, or they go on for ever without getting anything done.
"""

from __future__ import annotations

from collections import deque

from tests.systems.pool_player import Stuck

__all__ = ["RequeuedStop", "SingleQueue", "ThresholdStop"]

MOST_TURNS = 10_000


class SingleQueue:
    """One bounded queue, for sources and workers alike; who finds it full waits.

    Args:
        workers: how many.
        size: of the queue.
        sources: how many tasks each source has.
        children: how many each task makes.
    """

    def __init__(self, *, workers: int, size: int, sources: list[int], children: int) -> None:
        self.executed = 0
        self._size = size
        self._left = list(sources)
        self._children = children
        self._queue: deque[bool] = deque()
        self._holding = [0] * workers

    def run(self) -> None:
        """Until everything is done.

        Raises:
            Stuck: everybody waits.
        """
        while any([*self._left, *self._holding, *self._queue]) or self._queue:
            moved = [self._source(at) for at in range(len(self._left))]
            moved += [self._worker(at) for at in range(len(self._holding))]
            if not any(moved):
                raise Stuck(f"everybody waits for room: {self._holding} children cannot be put")

    def _source(self, at: int) -> bool:
        if not self._left[at] or len(self._queue) >= self._size:
            return False
        self._left[at] -= 1
        self._queue.append(True)
        return True

    def _worker(self, at: int) -> bool:
        if self._holding[at]:
            if len(self._queue) >= self._size:
                return False
            self._holding[at] -= 1
            self._queue.append(False)
            return True
        if not self._queue:
            return False
        self.executed += 1
        self._holding[at] = self._children if self._queue.popleft() else 0
        return True


class RequeuedStop:
    """A stop waits in the internal queue; new tasks come in only when that is empty.

    Args:
        stops: how many stops there are.
        tasks: for how many tasks in admission they wait.
        admits_below: while the internal queue, stops included, is shorter than that, a task comes
            in.
    """

    def __init__(self, *, stops: int, tasks: int, admits_below: int = 1) -> None:
        self.executed = 0
        self._admits_below = admits_below
        self._admission = tasks
        self._internal: deque[str] = deque(["stop"] * stops)

    def run(self) -> None:
        """Until every stop is done.

        Raises:
            Stuck: the stops go round for ever.
        """
        for _ in range(MOST_TURNS):
            if len(self._internal) < self._admits_below and self._admission:
                self._admission -= 1
                self._internal.append("task")
            if not self._internal:
                return
            if self._internal.popleft() == "task":
                self.executed += 1
            elif self._admission or "task" in self._internal:
                self._internal.append("stop")
        raise Stuck(f"stops go round {MOST_TURNS} times, with {self._admission} tasks not let in")


class ThresholdStop(RequeuedStop):
    """The same, with the rule that new tasks come in below three for each worker."""

    def __init__(self, *, workers: int, stops: int, tasks: int) -> None:
        super().__init__(stops=stops, tasks=tasks, admits_below=3 * workers)
