"""The pool: what is admitted, what runs where, what is counted, who is stopped. Pure decisions.

Nobody waits in here. A worker has a slice or is idle; what a slice makes is dealt when it comes
back; what has no room yet, or no memory, lies beside what it waits for.

Ideas from: NebulaStream's query engine, whose queues it has, and not its waiting stops.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from actorflow.errors import Broken, QueryShed
from actorflow.protocol.codec import decode_value
from actorflow.protocol.failure import Failure
from actorflow.records import dataclass
from actorflow.stages.pool.admission import Admission
from actorflow.stages.pool.entrance import Entrance
from actorflow.stages.pool.lifecycle import Job, QueryResult, QueryRun, QueryState
from actorflow.stages.pool.options import PoolOptions
from actorflow.stages.pool.overflow import Overflow, Spill
from actorflow.stages.pool.parked import Parked
from actorflow.stages.pool.query import Query
from actorflow.stages.pool.queues import WorkQueues
from actorflow.stages.pool.scheduling import InHand, Scheduler, SchedulerOwner, Stores
from actorflow.stages.pool.slices import Chunk, Slice, SliceReport
from actorflow.stages.pool.stats import PoolStats

__all__ = ["PoolCore", "PoolOwner"]

ATTEMPTS = 3
"""How many workers may die with the tasks of an idempotent query before it fails."""


MUCH_LONGER = 3
"""How many times as long as usual tasks must take that it is believed at once."""


@dataclass(frozen=True, slots=True)
class PoolOwner:
    """What the core needs from the stage around it.

    Args:
        now: the clock, seconds.
        after: have something called in so many seconds.
        run: have an idle worker run a slice of a query: worker, definition, slice.
        kill: end the worker that has this slice, whatever it does.
        emit: events leave: query, events.
        spill: where tasks go that there is no memory for.
        log: write a log line.
    """

    now: Callable[[], float]
    after: Callable[[float, Callable[[], None]], None]
    run: Callable[[int, bytes, Slice], None]
    kill: Callable[[int], None]
    emit: Callable[[int, list[Any]], None]
    spill: Spill
    log: Callable[[str, str, dict[str, Any]], None]


class PoolCore:
    """The scheduler of one pool.

    Args:
        workers: how many there are, from 1; all idle at first.
        options: how it works.
        owner: the stage around it.
    """

    def __init__(self, workers: int, options: PoolOptions, owner: PoolOwner) -> None:
        self.options = options
        self.queries: dict[int, QueryRun] = {}
        """Those that have not ended, by number."""
        self._owner = owner
        self._workers = workers
        self._admission = Admission(options.admission_size)
        self.entrance = Entrance(self._admission, self.queries, self._deal, owner.log)
        """Where tasks from outside come in."""
        self._queues = WorkQueues(workers, options)
        self._parked = Parked(
            options.memory, owner.now, owner.after, self._unparked, self._check_memory
        )
        self._overflow = Overflow(options, self._queues, owner.spill, owner.log)
        self._scheduler = Scheduler(
            workers,
            options,
            Stores(self._queues, self._admission, self._parked, self._overflow),
            SchedulerOwner(run=owner.run, admitted=self.entrance.admitted, fail=self.fail),
        )
        self._numbers = self._executed = 0

    # --- queries ----------------------------------------------------------------------------------

    def start(self, query: Query, ended: Callable[[QueryResult], None]) -> QueryRun:
        """Start a query: its pipelines' starts come before its tasks.

        Args:
            query: which.
            ended: is told how it ended, once.

        Raises:
            OptionError: one of its functions cannot be sent to a worker.
        """
        definition = query.definition()
        self._numbers += 1
        run = QueryRun(self._numbers, query, definition, ended=[ended])
        self.queries[run.number] = run
        self._admission.open(run.number)
        self._scheduler.add(run)
        self._after_change(run, run.begin())
        self._deal()
        return run

    def end_source(self, run: QueryRun, source: str) -> None:
        """Nothing more comes from a source; when none is left the query stops."""
        self._after_change(run, run.end_input(source))
        self._deal()

    def stop(self, run: QueryRun, mode: str = "soft", deadline: float | None = None) -> None:
        """Stop a query. May be repeated; a hard stop overtakes a soft one.

        Args:
            run: which.
            mode: ``"soft"``: no more is admitted, all that is admitted is done, pipelines stop in
                order; ``"hard"``: what is not in a worker's hand is dropped, nothing is stopped.
            deadline: seconds after which a soft stop becomes a hard one, and a hard one kills the
                workers that still have tasks of it.
        """
        if run.over:
            return
        jobs = run.stop()
        if mode == "hard":
            self._drop(run, "expired")
        else:
            self._after_change(run, jobs)
        if deadline is not None and not run.over:
            self._owner.after(deadline, lambda: self._overdue(run, mode, deadline))
        self._deal()

    def fail(self, run: QueryRun, error: BaseException) -> None:
        """End a query with an error; others go on."""
        if run.over or run.dropped:
            return
        run.failure = Failure.of(error)
        words = {"query": run.query.name, "reason": run.failure.summary}
        self._owner.log("error", "a query failed", {**words, "traceback": run.failure.traceback})
        self._drop(run, "failed")

    def outputs_left(self, run: QueryRun, count: int) -> None:
        """So many events of a query have been taken by consumers."""
        run.unsent -= count
        self._deal()

    # --- what workers say -------------------------------------------------------------------------

    def reported(self, number: int, data: Any) -> None:
        """A worker is done with a slice.

        Args:
            number: the slice's.
            data: its report, see `SliceReport.to_wire`; anything else is the end of its query.
        """
        run = self._scheduler.in_hand[number].run
        try:
            report = SliceReport.from_wire(run.number, data)
        except (TypeError, ValueError):
            self.crashed(number, "it said something else than a report")
            return
        hand = self._returned(number)
        if not run.dropped:
            self._take_report(run, hand, report)
        self._finish_query(run)
        self._deal()

    def crashed(self, number: int, how: str, failure: Failure | None = None) -> None:
        """A worker is gone with a slice; what it had made of it is gone with it.

        Args:
            number: the slice's.
            how: it ended, as text.
            failure: what it raised, if that is known.
        """
        hand = self._returned(number)
        run = hand.run
        if not run.dropped:
            if run.query.idempotent and failure is None and hand.attempts < ATTEMPTS:
                self._run_again(run, hand)
            else:
                self._parked.release(run, hand.memory)
                error = Broken(f"a worker that had tasks of {run.query.name!r} ended: {how}")
                self.fail(run, failure.exception() if failure is not None else error)
        self._finish_query(run)
        self._deal()

    # --- looking ----------------------------------------------------------------------------------

    def stats(self) -> PoolStats:
        """How everything stands."""
        return PoolStats(
            workers=self._workers,
            idle=len(self._scheduler.idle),
            admission=self._admission.count,
            submitting=self._admission.waiting,
            internal=self._queues.count,
            internal_bytes=self._queues.bytes,
            spilled_bytes=self._overflow.spilled,
            control=len(self._scheduler.control),
            delayed=self._parked.delayed,
            parked_stops=sum(run.parked_stops for run in self.queries.values()),
            memory_held=self._parked.held,
            memory_waiting=self._parked.wanting,
            slices=self._scheduler.slices,
            executed=self._executed,
            late=self.entrance.late,
            queries=tuple(run.result() for run in self.queries.values()),
        )

    # --- what has come back -----------------------------------------------------------------------

    def _returned(self, number: int) -> InHand:
        hand = self._scheduler.returned(number)
        if hand.run.dropped:
            self._parked.release(hand.run, hand.memory)
        return hand

    def _take_report(self, run: QueryRun, hand: InHand, report: SliceReport) -> None:
        """Count what was made before what was done, and deal it before anything is decided."""
        run.executed += report.executed if hand.job is None else 0
        run.created += report.created
        self._executed += report.executed
        self._learn(run, report)
        self._parked.take_back(run, hand.memory, report)
        self._queues.put(hand.worker, report.left)
        for delayed in report.delayed:
            self._parked.delay(delayed)
        if report.outputs:
            self._emit(run, report)
        if report.failure is not None:
            self._task_failed(run, report)
            return
        # What was emitted belongs to its root, so the root is done after that.
        self._count_roots(run, report)
        jobs = run.changed(report.pending)
        if hand.job is not None:
            jobs += run.job_done(hand.job)
        self._after_change(run, jobs)
        shed = self._overflow.check()
        if shed is not None and shed in self.queries:
            self._shed(self.queries[shed], self._queues.bytes_of(shed), self._overflow.limit)

    def _emit(self, run: QueryRun, report: SliceReport) -> None:
        """What tasks that have ended well have emitted leaves, even if the next one failed."""
        codec, body = report.outputs
        events: list[Any] = decode_value(codec, body)
        run.outputs += len(events)
        run.unsent += len(events)
        self._owner.emit(run.number, events)

    def _task_failed(self, run: QueryRun, report: SliceReport) -> None:
        # Without a look at what may stop now: the last task of all may be the one that failed.
        run.count(report.pending)
        if report.failed >= 0:
            run.failed += 1
        failure = Failure.from_wire(report.failure)
        self.fail(run, failure.exception())

    def _learn(self, run: QueryRun, report: SliceReport) -> None:
        if report.executed:
            each = report.seconds / report.executed
            # Far up at once, so that long tasks are not given in batches; a busy machine makes
            # some slices take longer, which is no news of the tasks.
            known = each if each > MUCH_LONGER * run.each else run.each
            run.each = known + (each - known) * 0.2
        run.shipping = report.shipping

    def _count_roots(self, run: QueryRun, report: SliceReport) -> None:
        for number, change in report.roots.items():
            run.roots.changed(number, change)
        for first, count in report.ended:
            run.roots.ended(first, count)

    def _run_again(self, run: QueryRun, hand: InHand) -> None:
        """Its tasks may run twice: nothing of them was counted, so nothing has to be taken back."""
        granted = sum(chunk.granted for chunk in hand.slice.chunks)
        held = sum(chunk.held for chunk in hand.slice.chunks)
        self._parked.release(run, hand.memory - held - granted)
        self._scheduler.run_again(hand)

    # --- ends -------------------------------------------------------------------------------------

    def _after_change(self, run: QueryRun, jobs: list[Job]) -> None:
        self._scheduler.control.extend(jobs)
        self.entrance.refuse(run)
        self._finish_query(run)

    def _drop(self, run: QueryRun, how: str) -> None:
        """Everything of a query that is in no worker's hand is gone; each root is told."""
        run.stop_wanted = True
        self.entrance.refuse(run)
        for chunk in (*self._queues.drop(run.number), *self._parked.drop(run.number)):
            self._parked.release(run, chunk.held + chunk.granted)
            self._overflow.forget(chunk)
        self._admission.take(run.number, self._admission.count_of(run.number))
        dropped = run.pending
        for done, count in run.drop():
            done(how, count)
        if dropped:
            words = {"query": run.query.name, "tasks": dropped, "reason": how}
            self._owner.log("warning", "tasks were dropped with their query", words)
        self._finish_query(run)

    def _finish_query(self, run: QueryRun) -> None:
        """A query that has nothing left, also in no worker's hand, is over."""
        if run.slices or run.number not in self.queries:
            return
        if run.dropped:
            failed = run.failure is not None
            run.state = QueryState.FAILED if failed else QueryState.STOPPED
        elif run.state is not QueryState.STOPPED:
            return
        del self.queries[run.number]
        self._scheduler.remove(run)
        self._admission.forget(run.number)
        self._parked.forget(run)
        ended, run.ended = run.ended, []
        result = run.result()
        for each in ended:
            each(result)

    def _overdue(self, run: QueryRun, mode: str, deadline: float) -> None:
        if run.over:
            return
        if mode == "soft" and not run.dropped:
            words = {"query": run.query.name, "tasks": run.pending}
            self._owner.log("warning", "a soft stop took too long and becomes a hard one", words)
            self._drop(run, "expired")
            self._owner.after(deadline, lambda: self._overdue(run, "hard", deadline))
            self._deal()
            return
        for number in self._scheduler.slices_of(run):
            self._owner.kill(number)

    # --- memory -----------------------------------------------------------------------------------

    def _unparked(self, chunks: Sequence[Chunk]) -> None:
        """Tasks that waited for a time or for memory may run."""
        self._scheduler.again(chunks)
        self._deal()

    def _check_memory(self) -> None:
        """Serve who waits for memory; when nobody can be, shed who holds the most."""
        served = self._parked.served()
        if served:
            self._unparked(served)
            return
        victim = self._parked.victim(working=bool(self._scheduler.in_hand))
        if victim is not None:
            held = self._parked.held_by(victim)
            self._shed(self.queries[victim], held, self._parked.limit)
            self._deal()

    def _shed(self, run: QueryRun, held: int, limit: int) -> None:
        """End one query, so that the others can go on."""
        if run.slices:
            self._parked.shedding(run)
        self.fail(run, QueryShed(run.query.name, held, limit))

    # --- within -----------------------------------------------------------------------------------

    def _deal(self) -> None:
        self._scheduler.deal()
        self._check_memory()
