"""Which worker is given what next: control first, then each query in turn. Pure decisions."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import TypeVar

from actorflow.records import dataclass
from actorflow.stages.pool.admission import Admission, Submission
from actorflow.stages.pool.lifecycle import Job, QueryRun
from actorflow.stages.pool.options import PoolOptions
from actorflow.stages.pool.overflow import Overflow
from actorflow.stages.pool.parked import UNLIMITED, Parked
from actorflow.stages.pool.queues import WorkQueues
from actorflow.stages.pool.slices import RUN, Chunk, Slice, encode_admitted

__all__ = ["InHand", "Scheduler", "SchedulerOwner", "Stores"]

SLICE = 0.01
"""Seconds that a worker runs tasks before it gives back what is left: how long others wait."""

SHARING = 0.002
"""The same while other workers have nothing to do."""

WORTHWHILE = 0.001
"""Seconds of work that are not divided among workers, where tasks are known to be short: a slice
costs all processes together about a third of that, however little is in it."""

AHEAD = 0.01
"""Seconds of work that wait at a worker while it has a slice in hand, so that it is not idle while
what it has made of that is counted. They cannot be taken back."""

MOST_TASKS = 1000
"""How many admitted tasks a worker is given at once, at most."""

_Thing = TypeVar("_Thing")


@dataclass(frozen=True, slots=True)
class Stores:
    """Where tasks are that no worker has in hand.

    Args:
        queues: the internal queue.
        admission: the way in.
        parked: what waits for time or memory.
        overflow: where spilled tasks are.
    """

    queues: WorkQueues
    admission: Admission
    parked: Parked
    overflow: Overflow


@dataclass(frozen=True, slots=True)
class SchedulerOwner:
    """What a scheduler needs from the pool around it.

    Args:
        run: have a worker run a slice of a query, behind what it has: worker, definition, slice.
        admitted: a submission that waited is admitted: its task is to be added.
        fail: end a query with an error.
    """

    run: Callable[[int, bytes, Slice], None]
    admitted: Callable[[QueryRun, Submission], None]
    fail: Callable[[QueryRun, BaseException], None]


@dataclass(frozen=True, slots=True)
class InHand:
    """What a worker has in hand.

    Args:
        worker: which.
        run: the query.
        slice: of its tasks.
        job: or the start or stop that it is.
        memory: what was set aside for it, with what its tasks held.
    """

    worker: int
    run: QueryRun
    slice: Slice
    job: Job | None
    memory: int

    @property
    def attempts(self) -> int:
        """How many workers have died with the same."""
        if self.job is not None:
            return self.job.attempts
        return max(chunk.attempts for chunk in self.slice.chunks)


class Scheduler:
    """Idle workers, and everything that one of them could do.

    Args:
        workers: how many there are; all idle.
        options: how the pool works.
        stores: where tasks are.
        owner: the pool around it.
    """

    def __init__(
        self, workers: int, options: PoolOptions, stores: Stores, owner: SchedulerOwner
    ) -> None:
        self.idle = list(range(workers))
        """Those that have nothing."""
        self._slices_at = [0] * workers
        self.in_hand: dict[int, InHand] = {}
        self.control: deque[Job] = deque()
        """Starts and stops: a lane of their own, which no data can fill."""
        self.slices = 0
        """How many there have been."""
        self._turns: deque[QueryRun] = deque()
        self._options = options
        self._queues, self._admission = stores.queues, stores.admission
        self._parked, self._overflow = stores.parked, stores.overflow
        self._owner = owner
        self._oldest_first = options.fair or options.deal != "local"
        self._dealing = False

    def add(self, run: QueryRun) -> None:
        """A query has turns from now on."""
        self._turns.append(run)

    def remove(self, run: QueryRun) -> None:
        """A query is over."""
        self._turns.remove(run)

    def returned(self, number: int) -> InHand:
        """A worker has done with a slice, or has died with it: its place is idle."""
        hand = self.in_hand.pop(number)
        self._slices_at[hand.worker] -= 1
        if not self._slices_at[hand.worker]:
            self.idle.append(hand.worker)
        hand.run.slices -= 1
        return hand

    def slices_of(self, run: QueryRun) -> list[int]:
        """What workers have of a query."""
        return [number for number, hand in self.in_hand.items() if hand.run is run]

    def again(self, chunks: Iterable[Chunk]) -> None:
        """Tasks that lay beside the queues may be run."""
        for chunk in chunks:
            self._queues.put(self.idle[0] if self.idle else 0, [chunk])

    def run_again(self, hand: InHand) -> None:
        """What a worker had has to be run once more."""
        if hand.job is not None:
            job = hand.job
            self.control.append(Job(job.run, job.verb, job.pipeline, job.attempts + 1))
        for chunk in hand.slice.chunks:
            chunk.attempts += 1
        self._queues.put(hand.worker, self._in_order(hand.slice.chunks))

    # --- dealing ----------------------------------------------------------------------------------

    def deal(self) -> None:
        """Give every idle worker something to do, and then a little to be done next."""
        if self._dealing or not self._has_something:
            return  # what it has just begun calls from within
        self._dealing = True
        try:
            while any(self._give(worker) for worker in list(self.idle)):
                continue
            if not self.idle and self._all_are_short:
                for worker, slices in enumerate(self._slices_at):
                    if slices == 1:
                        self._give_ahead(worker)
        finally:
            self._dealing = False

    @property
    def _has_something(self) -> bool:
        """Whether there is anything that a worker could be given."""
        admission = self._admission
        return bool(self.control or self._queues.count or admission.count or admission.waiting)

    def _give(self, worker: int) -> bool:
        while self.control:
            job = self.control.popleft()
            if not job.run.dropped:
                slice_ = self._slice(job.run, job.verb, job.pipeline)
                self._hand_over(worker, job.run, slice_, job)
                return True
        return any(self._give_tasks(worker, steal) for steal in (False, True))

    @property
    def _all_are_short(self) -> bool:
        """Whether nothing in hand may keep what waits behind it for long, as far as is known."""
        if self.control or self._options.memory is not None:
            return False
        return all(hand.job is None and _is_short(hand.run) for hand in self.in_hand.values())

    def _give_ahead(self, worker: int) -> None:
        """Give a worker that is busy what it is to do next, of the query whose turn it is."""
        run = self._turns[0]
        self._turns.rotate(-1)
        if not run.works or not _is_short(run):
            return
        chunks = self._find(worker, run, AHEAD)
        if chunks:
            slice_ = self._slice(run, RUN)
            slice_.chunks = chunks
            self._hand_over(worker, run, slice_, None)

    def _give_tasks(self, worker: int, steal: bool) -> bool:
        for _ in range(len(self._turns)):
            run = self._turns[0]
            self._turns.rotate(-1)
            if not run.works:
                continue
            chunks = self._steal(worker, run) if steal else self._find(worker, run)
            if chunks:
                slice_ = self._slice(run, RUN)
                slice_.chunks = chunks
                slice_.grant = self._parked.grant(run, chunks)
                self._hand_over(worker, run, slice_, None)
                return True
        return False

    def _steal(self, worker: int, run: QueryRun) -> list[Chunk]:
        stolen = self._queues.steal(worker, run.number)
        return [] if stolen is None else self._overflow.back(run, [stolen], self._owner.fail)

    def _find(self, worker: int, run: QueryRun, seconds: float | None = None) -> list[Chunk]:
        """Tasks of one query for a worker: those made inside before those from outside."""
        most = self._fitting(run, self._seconds(run) if seconds is None else seconds)
        found: list[Chunk] = []
        while sum(chunk.count for chunk in found) < most:
            chunk = self._queues.take(worker, run.number)
            if chunk is None:
                break
            found.append(chunk)
        if found:
            return self._overflow.back(run, self._in_order(found), self._owner.fail)
        return self._from_outside(run, most) if self._may_admit(run) else []

    def _may_admit(self, run: QueryRun) -> bool:
        """Whether the next of a query's tasks may come in: work before new work."""
        limit = max(1, self._options.internal_soft_limit // len(self._turns))
        internal = self._queues.count_of(run.number)
        room = internal < limit and not self._overflow.over
        return room and run.unsent < self._options.output_size

    def _from_outside(self, run: QueryRun, most: int) -> list[Chunk]:
        waiting = self._admission.count_of(run.number)
        fair = -(-waiting // max(1, len(self.idle)))
        worth = self._fitting(run, WORTHWHILE)
        tasks = self._admission.take(run.number, min(most, max(fair, worth)))
        while (submission := self._admission.next_waiting(run.number)) is not None:
            self._owner.admitted(run, submission)
        if not tasks:
            return []
        try:
            return self._in_order(
                [
                    encode_admitted(run.number, each.pipeline, each.first, each.items)
                    for each in tasks
                ]
            )
        except TypeError as error:
            self._owner.fail(run, error)
            return []

    # --- slices -----------------------------------------------------------------------------------

    def _in_order(self, first_first: list[_Thing]) -> list[_Thing]:
        """As a worker wants it: what it is to run first last, unless it takes the oldest first."""
        return first_first if self._oldest_first else first_first[::-1]

    def _fitting(self, run: QueryRun, seconds: float) -> int:
        """How many tasks of a query fill so much time, by what they took lately."""
        if not run.each:
            return 1
        return min(MOST_TASKS, max(1, int(seconds / run.each)))

    def _seconds(self, run: QueryRun) -> float:
        """How long a slice is: ten times what it takes to give back what it leaves, at least."""
        sharing = len(self.idle) > 1 and self._options.steal == "idle"
        return max(SHARING if sharing else SLICE, 10 * run.shipping)

    def _slice(self, run: QueryRun, verb: str, pipeline: int = -1) -> Slice:
        self.slices += 1
        return Slice(
            number=self.slices,
            query=run.number,
            verb=verb,
            pipeline=pipeline,
            seconds=self._seconds(run),
            depth=self._options.max_inline_depth if self._options.deal == "local" else 0,
            fair=self._oldest_first,
            grant=UNLIMITED,
        )

    def _hand_over(self, worker: int, run: QueryRun, slice_: Slice, job: Job | None) -> None:
        memory = sum(chunk.held for chunk in slice_.chunks) + max(0, slice_.grant)
        if not self._slices_at[worker]:
            self.idle.remove(worker)
        self._slices_at[worker] += 1
        self.in_hand[slice_.number] = InHand(worker, run, slice_, job, memory)
        run.slices += 1
        run.given += 1
        self._owner.run(worker, run.definition, slice_)


def _is_short(run: QueryRun) -> bool:
    """Whether the tasks of a query take so little that others may wait behind them."""
    return 0 < run.each <= AHEAD
