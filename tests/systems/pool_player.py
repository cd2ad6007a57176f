"""A pool without processes: the real core and the real slices, in the hands of a test.

Workers are played: the test says when a slice runs and when a worker dies. The clock is the test's,
and goes on by `seconds` each time somebody looks at it from within a slice, so that slices end.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from actorflow.runtime.simulated.clock import FakeClock
from actorflow.stages.pool.admission import Submission
from actorflow.stages.pool.core import PoolCore, PoolOwner
from actorflow.stages.pool.lifecycle import QueryResult, QueryRun
from actorflow.stages.pool.options import PoolOptions
from actorflow.stages.pool.overflow import SpillFile
from actorflow.stages.pool.query import Query
from actorflow.stages.pool.slices import Slice
from actorflow.stages.pool.worker import run_slice

__all__ = ["Asked", "PoolPlayer", "Stuck"]

MOST_SLICES = 50_000


class Stuck(AssertionError):
    """Nothing happens any more, or the same for ever, and the work is not done."""


@dataclass(eq=False)
class Asked:
    """One submission, and what the pool said about it."""

    submission: Submission
    said: list[str] = field(default_factory=list)
    """``"admitted"``, ``"refused"``, then how it ended."""


class PoolPlayer:
    """Plays the workers and the clock of one pool.

    Args:
        workers: how many.
        seconds: how long a task takes, on the clock of the worker that runs it.
        credit: whether consumers take outputs at once.
        options: those of the pool.
    """

    def __init__(
        self, workers: int = 1, *, seconds: float = 0.0001, credit: bool = True, **options: Any
    ) -> None:
        self.clock = FakeClock()
        self.seconds = seconds
        self.credit = credit
        self.in_hand: dict[int, tuple[bytes, Slice]] = {}
        """What each worker has begun with."""
        self.ahead: dict[int, tuple[bytes, Slice]] = {}
        """What waits behind that."""
        self.outputs: list[Any] = []
        self.results: dict[str, QueryResult] = {}
        self.endings: list[str] = []
        """The queries that have ended, in order, once for each end."""
        self.killed: list[int] = []
        self.log: list[tuple[str, str]] = []
        self.slices = 0
        self.spill = SpillFile()
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._number = 0
        owner = PoolOwner(
            now=self.clock,
            after=self._after,
            run=self._run,
            kill=self._kill,
            emit=self._emit,
            spill=self.spill,
            log=lambda level, event, values: self.log.append((level, event)),
        )
        self.core = PoolCore(workers, PoolOptions(**options), owner)

    # --- outside ----------------------------------------------------------------------------------

    def start(self, query: Query) -> QueryRun:
        """Start a query."""
        return self.core.start(query, self._ended)

    def submit(
        self, run: QueryRun, item: Any, pipeline: str | None = None, *, wait: bool = True
    ) -> Asked:
        """Submit a task as a caller outside, who waits when there is no room."""
        name = run.query.entry if pipeline is None else pipeline
        said: list[str] = []
        asked = Asked(
            Submission(
                run.number,
                run.query.index(name),
                item,
                admitted=lambda: said.append("admitted"),
                refused=lambda error: said.append(type(error).__name__),
                done=said.append,
            ),
            said,
        )
        self.core.entrance.submit(run, asked.submission, wait=wait)
        return asked

    # --- workers ----------------------------------------------------------------------------------

    def step(self, worker: int | None = None) -> bool:
        """A worker runs what it has in hand and reports; whether there was one."""
        if not self.in_hand:
            return False
        # In turns, so that no worker is forgotten.
        chosen = min(self.in_hand, key=lambda at: self.in_hand[at][1].number)
        definition, slice_ = self._take(chosen if worker is None else worker)
        report = run_slice(definition, slice_.to_wire(), self._tick)
        self.slices += 1
        self.core.reported(slice_.number, report)
        return True

    def run(self, until: Callable[[], bool] | None = None) -> None:
        """Workers run, and time passes when they have nothing, until all is quiet, or `until`.

        Raises:
            Stuck: it goes on for ever, or `until` never came true.
        """
        for _ in range(MOST_SLICES):
            if until is not None and until():
                return
            if not self.step() and not self.pass_time():
                if until is not None:
                    raise Stuck(f"nothing happens any more: {self.core.stats()}")
                return
        raise Stuck(f"{MOST_SLICES} slices, and no end: {self.core.stats()}")

    def pass_time(self, seconds: float | None = None) -> bool:
        """Let the next timer fire, or all of so many seconds; whether there was one."""
        until = self.clock() + seconds if seconds is not None else None
        fired = False
        while self._timers and (until is None or self._timers[0][0] <= until):
            due, _, callback = heapq.heappop(self._timers)
            self.clock.advance_to(max(due, self.clock()))
            callback()
            fired = True
            if until is None:
                break
        if until is not None and until > self.clock():
            self.clock.advance_to(until)
        return fired

    def kill(self, worker: int = 0) -> None:
        """A worker dies with what it has in hand; what waits behind that goes to its successor."""
        _, slice_ = self._take(worker)
        self.core.crashed(slice_.number, "['signal', 9]")

    def take_outputs(self, run: QueryRun) -> None:
        """Consumers take everything that waits for demand."""
        self.core.outputs_left(run, run.unsent)

    # --- within -----------------------------------------------------------------------------------

    def _tick(self) -> float:
        self.clock.advance(self.seconds)
        return self.clock()

    def _run(self, worker: int, definition: bytes, slice_: Slice) -> None:
        place = self.ahead if worker in self.in_hand else self.in_hand
        assert worker not in place, "a worker has one slice in hand, and one behind that"
        place[worker] = definition, slice_

    def _take(self, worker: int) -> tuple[bytes, Slice]:
        taken = self.in_hand.pop(worker)
        if worker in self.ahead:
            self.in_hand[worker] = self.ahead.pop(worker)
        return taken

    def _kill(self, number: int) -> None:
        hands = self.in_hand.items()
        self.killed += [worker for worker, (_, slice_) in hands if slice_.number == number]

    def _after(self, seconds: float, callback: Callable[[], None]) -> None:
        self._number += 1
        heapq.heappush(self._timers, (self.clock() + seconds, self._number, callback))

    def _emit(self, query: int, events: list[Any]) -> None:
        self.outputs += events
        if self.credit:
            self.core.outputs_left(self.core.queries[query], len(events))

    def _ended(self, result: QueryResult) -> None:
        self.results[result.name] = result
        self.endings.append(result.name)
