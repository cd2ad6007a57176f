"""Where tasks lie that tasks have made: a queue for each worker, and who takes from whose."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Sequence

from actorflow.stages.pool.options import PoolOptions
from actorflow.stages.pool.slices import Chunk

__all__ = ["WorkQueues"]

SHARED = 0
"""The queue that every worker takes from, when there is only one (``deal="global"``)."""


class WorkQueues:
    """The internal queue, in parts.

    What a worker gives back goes to its own queue, in front: what was made last is run first there.
    A worker that has nothing else to do takes what was made first from the longest queue.

    Args:
        workers: how many.
        options: how they are dealt and stolen.
    """

    def __init__(self, workers: int, options: PoolOptions) -> None:
        self._deal = options.deal
        self._steals = options.steal == "idle"
        self._newest_first = options.deal == "local" and not options.fair
        self._queues: list[dict[int, deque[Chunk]]] = [{} for _ in range(workers)]
        self._counts = [0] * workers
        self._next = 0
        # Which of two to look at is all that it decides, so every run may be the same.
        self._random = random.Random(0)
        self.bytes = 0
        """How many bytes all of them hold in memory."""
        self._of: dict[int, int] = {}

    @property
    def count(self) -> int:
        """How many tasks there are, in all."""
        return sum(self._counts)

    def count_of(self, query: int) -> int:
        """How many tasks a query has here."""
        return self._of.get(query, 0)

    def bytes_of(self, query: int) -> int:
        """How many bytes of them are a query's."""
        return sum(len(chunk.body) for queues in self._queues for chunk in queues.get(query, ()))

    def largest(self) -> int | None:
        """The query that has the most bytes here."""
        return max(self._of, key=lambda query: (self.bytes_of(query), query), default=None)

    def all_last_first(self) -> list[Chunk]:
        """Everything, of each queue what will be run last first."""
        return [
            chunk
            for queues in self._queues
            for queue in queues.values()
            for chunk in reversed(queue)
        ]

    def put(self, worker: int, chunks: Sequence[Chunk]) -> None:
        """Deal what a worker has given back, those to be run first first."""
        ordered = reversed(chunks) if self._newest_first else chunks
        for chunk in ordered:
            place = self._place(worker)
            queue = self._queues[place].setdefault(chunk.query, deque())
            if self._newest_first:
                queue.appendleft(chunk)
            else:
                queue.append(chunk)
            self._counted(place, chunk, 1)

    def take(self, worker: int, query: int) -> Chunk | None:
        """The next chunk of a query for a worker, from its own queue."""
        place = SHARED if self._deal == "global" else worker
        queue = self._queues[place].get(query)
        return self._out(place, query, queue.popleft()) if queue else None

    def steal(self, worker: int, query: int) -> Chunk | None:
        """What another worker would run last, from the one that has the most."""
        if not self._steals or self._deal == "global":
            return None
        richest = [at for at in range(len(self._queues)) if at != worker]
        for place in sorted(richest, key=lambda at: -self._counts[at]):
            queue = self._queues[place].get(query)
            if queue:
                return self._out(place, query, queue.pop())
        return None

    def drop(self, query: int) -> list[Chunk]:
        """Forget everything of a query."""
        found = []
        for place, queues in enumerate(self._queues):
            for chunk in queues.pop(query, ()):
                self._counted(place, chunk, -1)
                found.append(chunk)
        return found

    def spilled(self, size: int) -> None:
        """So many bytes have left memory, or are back in it when negative."""
        self.bytes -= size

    def _place(self, worker: int) -> int:
        if self._deal == "global":
            return SHARED
        if self._deal == "local":
            return worker
        if self._deal == "round_robin":
            self._next = (self._next + 1) % len(self._queues)
            return self._next
        two = self._random.choices(range(len(self._queues)), k=2)
        return min(two, key=self._counts.__getitem__)

    def _out(self, place: int, query: int, chunk: Chunk) -> Chunk:
        if not self._queues[place][query]:
            del self._queues[place][query]
        self._counted(place, chunk, -1)
        return chunk

    def _counted(self, place: int, chunk: Chunk, sign: int) -> None:
        self._counts[place] += sign * chunk.count
        self.bytes += sign * len(chunk.body)
        left = self._of.get(chunk.query, 0) + sign * chunk.count
        if left:
            self._of[chunk.query] = left
        else:
            self._of.pop(chunk.query, None)
