"""Tasks that are in no queue, because they wait for a time or for memory. Pure decisions."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence

from actorflow.stages.pool.lifecycle import QueryRun
from actorflow.stages.pool.memory import MemoryLedger
from actorflow.stages.pool.options import MemoryBudget
from actorflow.stages.pool.slices import Chunk, Delayed, SliceReport

__all__ = ["UNLIMITED", "Parked"]

UNLIMITED = -1
"""The memory that tasks may reserve when there is no budget."""


class Parked:
    """What waits beside the queues, and what is held of the memory budget.

    Args:
        budget: the memory budget, or None.
        now: the clock.
        after: have something called in so many seconds.
        due: is told of tasks that waited for a time, when it has come.
        impatient: is told when a task has waited long for memory.
    """

    def __init__(
        self,
        budget: MemoryBudget | None,
        now: Callable[[], float],
        after: Callable[[float, Callable[[], None]], None],
        due: Callable[[Sequence[Chunk]], None],
        impatient: Callable[[], None],
    ) -> None:
        self._ledger = None if budget is None else MemoryLedger(budget)
        self._now = now
        self._after = after
        self._due = due
        self._impatient = impatient
        self._later: list[tuple[float, int, Chunk]] = []
        self._number = 0

    # --- a time -----------------------------------------------------------------------------------

    @property
    def delayed(self) -> int:
        """How many tasks wait for a time."""
        return len(self._later)

    def delay(self, delayed: Delayed) -> None:
        """A task is to be run again later."""
        self._number += 1
        due = self._now() + delayed.seconds
        heapq.heappush(self._later, (due, self._number, delayed.chunk))
        self._after(delayed.seconds, self._look)

    def _look(self) -> None:
        found = []
        while self._later and self._later[0][0] <= self._now():
            found.append(heapq.heappop(self._later)[2])
        if found:
            self._due(found)

    # --- memory -----------------------------------------------------------------------------------

    @property
    def held(self) -> int:
        """How much of the budget is held."""
        return 0 if self._ledger is None else sum(self._ledger.held.values())

    @property
    def wanting(self) -> int:
        """How many tasks wait for memory."""
        return 0 if self._ledger is None else len(self._ledger.waiting)

    @property
    def limit(self) -> int:
        """How much there is; 0 without a budget."""
        return 0 if self._ledger is None else self._ledger.budget.limit

    def held_by(self, query: int) -> int:
        """How much one query holds."""
        return 0 if self._ledger is None else self._ledger.held.get(query, 0)

    def grant(self, run: QueryRun, chunks: Sequence[Chunk]) -> int:
        """What the tasks of a slice may reserve: what was set aside, and what their like wanted."""
        if self._ledger is None:
            return UNLIMITED
        granted = sum(chunk.granted for chunk in chunks)
        likely = run.wants * sum(chunk.count for chunk in chunks) - granted
        more = min(max(0, likely), max(0, self._ledger.free))
        self._ledger.take(run.number, more)
        return granted + more

    def take_back(self, run: QueryRun, memory: int, report: SliceReport) -> None:
        """A slice is back: what its tasks still hold stays, the rest is free."""
        for wanting in report.wanting:
            run.wants = max(run.wants, wanting.amount)
        if self._ledger is None:
            return
        delayed = [each.chunk for each in report.delayed]
        left = [*report.left, *delayed, *(each.chunk for each in report.wanting)]
        self._ledger.take(run.number, sum(chunk.held for chunk in left) - memory)
        for wanting in report.wanting:
            self._ledger.wait(wanting.amount, wanting.chunk, self._now())
            self._after(self._ledger.budget.patience, self._impatient)

    def release(self, run: QueryRun, amount: int) -> None:
        """Something of a query's is gone, and what it held is free."""
        if self._ledger is not None and amount:
            self._ledger.take(run.number, -amount)

    def served(self) -> list[Chunk]:
        """Tasks whose memory is there now."""
        return [] if self._ledger is None else self._ledger.served()

    def victim(self, *, working: bool) -> int | None:
        """The query that is to be shed, if one is.

        Args:
            working: whether a worker has anything in hand, and may give something back.
        """
        if self._ledger is None:
            return None
        stuck = not working and not self._later
        return self._ledger.victim(self._now(), stuck=stuck)

    def shedding(self, run: QueryRun) -> None:
        """A query is being shed; nobody else is until it is over."""
        if self._ledger is not None:
            self._ledger.shedding.add(run.number)

    # --- ends -------------------------------------------------------------------------------------

    def drop(self, query: int) -> list[Chunk]:
        """Forget what a query has here; returns it."""
        found = [each[2] for each in self._later if each[2].query == query]
        self._later = [each for each in self._later if each[2].query != query]
        heapq.heapify(self._later)
        if self._ledger is not None:
            found += self._ledger.drop(query)
        return found

    def forget(self, run: QueryRun) -> None:
        """A query is over: it holds nothing."""
        if self._ledger is not None:
            self._ledger.held.pop(run.number, None)
            self._ledger.shedding.discard(run.number)
