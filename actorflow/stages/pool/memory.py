"""The memory budget of a pool: who holds what, who waits, and who is to be shed. Pure decisions."""

from __future__ import annotations

from actorflow.records import dataclass
from actorflow.stages.pool.options import MemoryBudget
from actorflow.stages.pool.slices import Chunk

__all__ = ["MemoryLedger", "Waiting"]


@dataclass(frozen=True, slots=True)
class Waiting:
    """A task that waits for memory, and since when."""

    amount: int
    chunk: Chunk
    since: float


class MemoryLedger:
    """What queries hold of the budget: with tasks that wait, and in the hands of workers.

    Args:
        budget: how much there is.
    """

    def __init__(self, budget: MemoryBudget) -> None:
        self.budget = budget
        self.held: dict[int, int] = {}
        self.waiting: list[Waiting] = []
        self.shedding: set[int] = set()
        """Who has been shed and still has something in the hands of workers: nobody else is, until
        that is back."""

    @property
    def free(self) -> int:
        """How much nobody holds."""
        return self.budget.limit - sum(self.held.values())

    def take(self, query: int, amount: int) -> None:
        """A query holds so much more; less when negative."""
        left = self.held.get(query, 0) + amount
        if left:
            self.held[query] = left
        else:
            self.held.pop(query, None)

    def wait(self, amount: int, chunk: Chunk, now: float) -> None:
        """A task waits until so much is free."""
        self.waiting.append(Waiting(amount, chunk, now))

    def served(self) -> list[Chunk]:
        """The tasks whose memory is there now, oldest first; it is set aside for them.

        A task that wants a lot does not hold up one that wants a little: what helps against waiting
        for ever is that whoever holds the most is shed.
        """
        found, left = [], []
        for each in self.waiting:
            if each.amount <= self.free:
                self.take(each.chunk.query, each.amount)
                each.chunk.granted = each.amount
                found.append(each.chunk)
            else:
                left.append(each)
        self.waiting = left
        return found

    def victim(self, now: float, *, stuck: bool) -> int | None:
        """The query to be shed, if that is what it takes: the one that holds the most.

        Args:
            now: the clock.
            stuck: nobody works who could give some back.
        """
        if not self.waiting or self.shedding:
            return None
        for each in self.waiting:
            if each.amount > self.budget.limit:
                return each.chunk.query
        patience = self.budget.patience
        if not self.held or (not stuck and now < self.waiting[0].since + patience):
            return None
        return max(self.held, key=lambda query: (self.held[query], query))

    def drop(self, query: int) -> list[Chunk]:
        """A query is over: its tasks wait no more; returns them."""
        found = [each.chunk for each in self.waiting if each.chunk.query == query]
        self.waiting = [each for each in self.waiting if each.chunk.query != query]
        return found
