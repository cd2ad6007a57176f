"""A slice, from the inside: tasks are run, and those that they make next, until it is time.

What a task makes is run in place, and never waits for room: it goes to a list here, and is run from
there, so nothing is nested. When the slice's time is over, or its tasks are too many generations
from those that it began with, the rest is given back.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

from actorflow.errors import NotInStage, OptionError
from actorflow.protocol.arguments import check_integer, check_seconds
from actorflow.protocol.codec import encode_value
from actorflow.protocol.failure import Failure
from actorflow.stages.pool.query import Functions, Step, load_functions
from actorflow.stages.pool.slices import (
    RUN,
    START,
    Chunk,
    Columns,
    Delayed,
    Slice,
    SliceReport,
    Task,
    Wanting,
    decode_tasks,
    encode_tasks,
)

__all__ = ["Lease", "TaskContext", "run_slice"]

MOST_IN_CHUNK = 1000
"""How many tasks are given back in one piece, at most: a piece is what another worker may take."""


class _MustWait(BaseException):
    """Internal: the task wants memory that there is none of now. No `except Exception` takes it."""

    def __init__(self, amount: int) -> None:
        super().__init__(amount)
        self.amount = amount


class Lease:
    """Memory credit that a task has; `TaskContext.reserve` gives it.

    It returns when the task ends, when `release` is called, or, when it was emitted with an item,
    with the task of that item.

    Example:
        >>> returned = []
        >>> lease = Lease(100, returned.append)
        >>> lease.release()
        >>> lease.amount, returned
        (0, [100])
    """

    __slots__ = ("_give_back", "amount")

    def __init__(self, amount: int, give_back: Callable[[int], None]) -> None:
        self.amount = amount
        """How much it is; 0 when it was given away."""
        self._give_back = give_back

    def release(self) -> None:
        """Give it back now; nothing when it is gone already."""
        amount, self.amount = self.amount, 0
        self._give_back(amount)


class TaskContext:
    """What a pipeline's function can do beside computing; given to it as its last argument.

    Example:
        >>> from actorflow.stages.pool import Query, TaskPool
        >>> def words(line, context):
        ...     for word in line.split():
        ...         context.emit(word)
        >>> def count(word, context):
        ...     context.emit(len(word))
        >>> query = Query(name="lengths", pipelines={
        ...     "words": {"run": words, "to": ["count"]}, "count": count,
        ... })
        >>> from actorflow.testing import run
        >>> sorted(run(TaskPool, ["to be or", "not"], args={"queries": [query], "workers": 2}))
        [2, 2, 2, 3]
    """

    __slots__ = ("_children", "_depth", "_leases", "_repeat", "_root", "_run", "_step")

    def __init__(self, run: _Run, step: Step, root: int, depth: int) -> None:
        self._run = run
        self._step = step
        self._root = root
        self._depth = depth
        # Most tasks make nothing: a list is made for the first.
        self._children: list[Task] | tuple[()] = ()
        self._leases: list[Lease] | tuple[()] = ()
        self._repeat: float | None = None

    @property
    def query(self) -> str:
        """The query's name."""
        return self._run.functions.query

    @property
    def pipeline(self) -> str:
        """The pipeline's name."""
        return self._step.name

    @property
    def must_yield(self) -> bool:
        """Whether others should have a turn: the time is over, or what is emitted is not run here.

        A task that goes on for long may look at it, `emit` what is left to do, and return.
        """
        return self._run.is_over() or self._depth >= self._run.order.depth

    def emit(self, item: Any, to: str | None = None, *, lease: Lease | None = None) -> None:
        """Make a task of an item; in a pipeline that leads nowhere, an event of the stage.

        It never waits and never fails for want of room. It counts when this task returns.

        Args:
            item: what the task is about.
            to: for which pipeline, of those that this one leads to; None for each of them.
            lease: memory that this task has and that one shall have.

        Raises:
            OptionError: `to` is none of them, or the lease is gone.
        """
        amount = self._take(lease)
        if not self._step.to and to is None:
            self._run.outputs.append(item)
            return
        children = self._children = self._children or []
        for target in self._targets(to):
            children.append(Task(target, self._root, amount, item))
            amount = 0

    def repeat(self, delay: float = 0.0) -> None:
        """Have this task run again, in so many seconds, from 0; it counts when this one returns.

        The item stays the same, and so does memory that came with it; what it has reserved itself
        goes back.
        """
        self._repeat = check_seconds("delay", delay)

    def reserve(self, amount: int) -> Lease:
        """Take so much of the pool's memory budget.

        Nothing waits for it here: when there is none, this task ends, what it has emitted is
        forgotten, and it is run again from its beginning when its share is there. So reserve first.

        Args:
            amount: how much, from 1.

        Raises:
            OptionError: it is no such number.
        """
        check_integer("amount", amount, 1)
        self._run.take_memory(amount)
        lease = Lease(amount, self._run.give_memory)
        self._leases = [*self._leases, lease]
        return lease

    def _take(self, lease: Lease | None) -> int:
        if lease is None:
            return 0
        if lease not in self._leases or not lease.amount:
            raise OptionError("lease", "one that this task has and has not given away", lease)
        amount, lease.amount = lease.amount, 0
        return amount

    def _targets(self, to: str | None) -> tuple[int, ...]:
        if to is None:
            return self._step.to
        steps = self._run.functions.steps
        for target in self._step.to:
            if steps[target].name == to:
                return (target,)
        known = ", ".join(steps[target].name for target in self._step.to) or "nothing"
        raise OptionError("to", f"one of those that {self._step.name} leads to: {known}", to)


class _Run:
    """One slice being run."""

    def __init__(self, functions: Functions, order: Slice, clock: Callable[[], float]) -> None:
        self.functions = functions
        self.order = order
        self.report = SliceReport()
        self.outputs: list[Any] = []
        self._clock = clock
        self._began = clock()
        self._until = self._began + order.seconds
        self._memory = order.grant
        self._rest: list[Task] = []
        """What the order says and there was no time for, oldest first."""
        self._local: deque[tuple[Task, int]] = deque()
        self._beyond: list[Task] = []
        self._ended_to = -1
        """The root behind the last one of this chunk that has ended without making anything."""
        self._ended_in: list[int] = []
        """Whose tasks those are that `SliceReport.ended` tells of."""

    # --- what a context asks ----------------------------------------------------------------------

    def is_over(self) -> bool:
        """Whether the time is."""
        return self._clock() >= self._until

    def take_memory(self, amount: int) -> None:
        """Reserve, or end the task that asks."""
        if self._memory < 0:
            return
        if amount > self._memory:
            raise _MustWait(amount)
        self._memory -= amount

    def give_memory(self, amount: int) -> None:
        """Memory that a task of this slice has given back may be reserved by the next."""
        if self._memory >= 0:
            self._memory += amount

    # --- the work ---------------------------------------------------------------------------------

    def run(self) -> SliceReport:
        """Everything that the order says; what a user's function raises is in the report."""
        order = self.order
        try:
            if order.verb == RUN:
                self._run_tasks()
            else:
                self._start_or_stop(order.pipeline, stop=order.verb != START)
        except Exception as error:  # noqa: BLE001  (whatever a user's function raises fails its query)
            self.report.failure = Failure.of(error).to_wire()
        self.report.seconds = self._clock() - self._began
        self._count_ended()
        try:
            self._give_back()
        except TypeError as error:
            self._not_sent(error)
        return self.report

    def _run_tasks(self) -> None:
        """Every task of the order, and what they make; until the time is over."""
        order, local, clock, until = self.order, self._local, self._clock, self._until
        chunks = order.chunks if order.fair else reversed(order.chunks)
        decoded = (decode_tasks(each.codec, each.body, fair=order.fair) for each in chunks)
        each: Iterator[Columns] = iter(())
        try:
            for tasks in decoded:
                each, fresh = tasks.each, tasks.fresh
                self._ended_to = -1
                for one in each:
                    self._call(one, 0, fresh=fresh)
                    if clock() >= until or (local and not order.fair and not self._run_local()):
                        return
            self._run_local()
        finally:
            rest = [*each, *chain.from_iterable(tasks.each for tasks in decoded)]
            self._rest = [Task(*left) for left in (rest if order.fair else reversed(rest))]

    def _run_local(self) -> bool:
        """What tasks have made here; whether there was time for all of it."""
        local, clock, until = self._local, self._clock, self._until
        take = local.popleft if self.order.fair else local.pop
        while local:
            task, depth = take()
            self._perform(task, depth)
            if clock() >= until:
                return False
        return True

    def _perform(self, task: Task, depth: int) -> None:
        self._call((task.pipeline, task.root, task.held, task.item), depth, fresh=False)

    def _call(self, one: Columns, depth: int, *, fresh: bool) -> None:
        """Run one task.

        Args:
            one: its pipeline, its root, what it holds, and its item.
            depth: how many generations it is from what the slice began with.
            fresh: whether it is its own root and runs for the first time.
        """
        pipeline, root, _, item = one
        step = self.functions.steps[pipeline]
        context = TaskContext(self, step, root, depth)
        emitted = len(self.outputs)
        try:
            step.run(item, context)
        except _MustWait as wait:
            self._undo(context, emitted)
            chunk = encode_tasks(self.order.query, [Task(*one)])
            self.report.wanting.append(Wanting(wait.amount, chunk))
            return
        except Exception:
            self._undo(context, emitted)
            self.report.failed = pipeline
            self._count(pipeline, root, -1)
            raise
        if fresh and not (context._children or context._leases or context._repeat is not None):
            self._ended(pipeline, root)
        else:
            self._finish(Task(*one), context, depth)

    def _ended(self, pipeline: int, root: int) -> None:
        """An admitted task has returned, and made nothing: it is done with."""
        ended = self.report.ended
        if root == self._ended_to:
            ended[-1][1] += 1
        else:
            ended.append([root, 1])
            self._ended_in.append(pipeline)
        self._ended_to = root + 1

    def _count_ended(self) -> None:
        """What `_ended` has noted counts like everything else."""
        report = self.report
        for pipeline, (_, count) in zip(self._ended_in, report.ended, strict=True):
            report.executed += count
            report.pending[pipeline] = report.pending.get(pipeline, 0) - count

    def _finish(self, task: Task, context: TaskContext, depth: int) -> None:
        """A task has returned: what it made counts, and then it is done."""
        report = self.report
        report.executed += 1
        if context._children:
            # What a task has made first is run first, as if it had been called.
            children = context._children if self.order.fair else reversed(context._children)
            for child in children:
                self._created(child, depth + 1)
        if context._repeat is not None:
            self._again(task, context._repeat, depth + 1)
        elif task.held:
            self.give_memory(task.held)
        for lease in context._leases:
            lease.release()
        self._count(task.pipeline, task.root, -1)

    def _created(self, task: Task, depth: int) -> None:
        self.report.created += 1
        self._count(task.pipeline, task.root, 1)
        if depth <= self.order.depth:
            self._local.append((task, depth))
        else:
            self._beyond.append(task)

    def _again(self, task: Task, delay: float, depth: int) -> None:
        self.report.created += 1
        self._count(task.pipeline, task.root, 1)
        if delay:
            chunk = encode_tasks(self.order.query, [task])
            self.report.delayed.append(Delayed(delay, chunk))
        elif depth <= self.order.depth:
            # Behind the others: it has just had its turn.
            put = self._local.append if self.order.fair else self._local.appendleft
            put((task, depth))
        else:
            self._beyond.append(task)

    def _undo(self, context: TaskContext, emitted: int) -> None:
        """A task has not happened; what it had reserved is free."""
        del self.outputs[emitted:]
        given_away = sum(child.held for child in context._children)
        self.give_memory(given_away)
        for lease in context._leases:
            lease.release()

    def _count(self, pipeline: int, root: int, change: int) -> None:
        pending, roots = self.report.pending, self.report.roots
        pending[pipeline] = pending.get(pipeline, 0) + change
        roots[root] = roots.get(root, 0) + change

    def _start_or_stop(self, pipeline: int, *, stop: bool) -> None:
        step = self.functions.steps[pipeline]
        if not stop:
            if step.start is not None:
                step.start()
            return
        if step.stop is None:
            return
        # It descends from no admitted task, and neither does what it emits.
        context = TaskContext(self, step, 0, 0)
        try:
            step.stop(context)
        except _MustWait as wait:
            raise NotInStage("reserve() belongs into run, and not into stop") from wait
        for child in context._children:
            self._created(child, self.order.depth + 1)

    # --- what is given back -----------------------------------------------------------------------

    def _give_back(self) -> None:
        report, began = self.report, self._clock()
        if self.outputs:
            encoded = encode_value(self.outputs)
            report.outputs = [encoded.codec, encoded.body]
        report.roots = {root: change for root, change in report.roots.items() if change}
        report.pending = {each: change for each, change in report.pending.items() if change}
        waiting = [*self._rest, *(task for task, _ in self._local)]
        if self.order.fair:
            report.left = self._pieces(waiting) + self._pieces(self._beyond)
        else:
            report.left = self._pieces(waiting + self._beyond)[::-1]
        report.shipping = self._clock() - began

    def _pieces(self, tasks: list[Task]) -> list[Chunk]:
        """Chunks that take about as long as a slice each."""
        report, query = self.report, self.order.query
        each = report.seconds / report.executed if report.executed else report.seconds
        fitting = int(self.order.seconds / each) if each > 0 else MOST_IN_CHUNK
        size = min(MOST_IN_CHUNK, max(1, fitting))
        return [encode_tasks(query, tasks[at : at + size]) for at in range(0, len(tasks), size)]

    def _not_sent(self, error: TypeError) -> None:
        """Something that was emitted cannot travel: its query fails by it."""
        self.report.outputs, self.report.left = [], []
        if self.report.failure is None:
            self.report.failure = Failure.of(error).to_wire()


def run_slice(
    definition: bytes, order: list[Any], clock: Callable[[], float] = time.perf_counter
) -> list[Any]:
    """What a worker does at a time.

    Args:
        definition: the query, see `Query.definition`.
        order: a `Slice`, see `Slice.to_wire`.
        clock: seconds.

    Returns:
        what `SliceReport.from_wire` reads.

    Example:
        >>> from actorflow.stages.pool.query import Query
        >>> query = Query(name="double", pipelines={"double": lambda n, to: to.emit(2 * n)})
        >>> tasks = encode_tasks(1, [Task(0, 1, 0, 5)])
        >>> order = Slice(1, 1, "run", chunks=[tasks], seconds=1.0, depth=8)
        >>> report = SliceReport.from_wire(1, run_slice(query.definition(), order.to_wire()))
        >>> report.executed, report.roots, report.outputs[0]
        (1, {1: -1}, 'msgpack')
    """
    return _Run(load_functions(definition), Slice.from_wire(order), clock).run().to_wire()
