"""B-26: whatever comes in whatever order, the counters are true and every query ends."""

from __future__ import annotations

import os
from collections import Counter
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from actorflow.errors import PoolClosed
from actorflow.stages.pool import MemoryBudget, Pipeline, Query, TaskContext
from actorflow.stages.pool.lifecycle import QueryRun
from actorflow.stages.pool.slices import Chunk, decode_tasks
from tests.seeds import THOROUGH
from tests.systems.pool_player import Asked, PoolPlayer

EXAMPLES, STEPS = (500, 80) if THOROUGH else (20, 40)
ENDS = {"done", "failed", "expired", "PoolClosed"}


def act(item: list[Any], context: TaskContext) -> None:
    """Do what the item says: make children, which do what is left of it; repeat; reserve; raise."""
    what, number, rest = item
    if what == "fan":
        for _ in range(number):
            context.emit(rest or ["end", 0, None], "b")
    elif what == "reserve":
        context.emit(rest or ["end", 0, None], "b", lease=context.reserve(number))
    elif what == "raise":
        raise ValueError("as it was told")
    elif what == "later":
        item[1] -= 1
        if number > 1:
            context.repeat(0.01 * (number % 3))
    elif what == "out":
        context.emit(number, "c")


def pass_on(item: Any, context: TaskContext) -> None:
    """To whoever takes outputs."""
    context.emit(item)


def say_so(context: TaskContext) -> None:
    """A stop that has one more task."""
    context.emit(["end", 0, None], "b")


def nothing() -> None:
    """A start."""


ITEMS = st.recursive(
    st.just(None),
    lambda rest: st.tuples(
        st.sampled_from(["fan", "fan", "fan", "reserve", "later", "out", "end", "raise"]),
        st.integers(1, 9),
        rest,
    ).map(list),
    max_leaves=4,
).map(lambda item: item or ["end", 0, None])


OPTIONS = st.fixed_dictionaries(
    {
        "deal": st.sampled_from(["local", "global", "round_robin", "choose_two"]),
        "steal": st.sampled_from(["idle", "none"]),
        "fair": st.booleans(),
        "on_overflow": st.sampled_from(["inline", "spill", "fail_query"]),
        "admission_size": st.integers(1, 4),
        "internal_soft_limit": st.integers(1, 6),
        "max_inline_depth": st.integers(1, 3),
        "internal_bytes_limit": st.just(300),
        "output_size": st.just(2),
        "memory": st.just(MemoryBudget(limit=20, patience=0.5)),
    }
)


class PoolMachine(RuleBasedStateMachine):
    """Queries, tasks, workers that report and die, time, stops; the invariants after each step."""

    @initialize(workers=st.integers(1, 3), options=OPTIONS)
    def begin(self, workers: int, options: dict[str, Any]) -> None:
        """A pool of any kind, with room for little."""
        self.pool = PoolPlayer(workers=workers, seconds=0.002, credit=False, **options)
        self.runs: list[QueryRun] = []
        self.asked: list[Asked] = []

    @precondition(lambda self: len(self.pool.core.queries) < 3)
    @rule(idempotent=st.booleans(), start=st.booleans(), stop=st.booleans())
    def start(self, idempotent: bool, start: bool, stop: bool) -> None:
        """Another query."""
        first = Pipeline(
            run=act,
            to=["a", "b", "c"],
            start=nothing if start else None,
            stop=say_so if stop else None,
        )
        pipelines = {
            "a": first,
            "b": Pipeline(run=act, to=["b", "c"], stop=(lambda context: None) if stop else None),
            "c": pass_on,
        }
        name = f"q{len(self.runs)}"
        self.runs.append(
            self.pool.start(Query(name=name, pipelines=pipelines, idempotent=idempotent))
        )

    @precondition(lambda self: self.runs)
    @rule(which=st.integers(0, 99), item=ITEMS, count=st.integers(1, 4))
    def submit(self, which: int, item: Any, count: int) -> None:
        """Some tasks, with callers that wait."""
        run = self.runs[which % len(self.runs)]
        for _ in range(count):
            try:
                self.asked.append(self.pool.submit(run, item, "a"))
            except PoolClosed:
                assert run.stop_wanted or run.over

    @precondition(lambda self: self.pool.in_hand)
    @rule(which=st.integers(0, 99), count=st.integers(1, 3))
    def work(self, which: int, count: int) -> None:
        """A worker runs what it has."""
        for _ in range(count):
            if self.pool.in_hand:
                hands = sorted(self.pool.in_hand)
                self.pool.step(hands[which % len(hands)])

    @precondition(lambda self: self.pool.in_hand)
    @rule(which=st.integers(0, 99))
    def crash(self, which: int) -> None:
        """A worker dies."""
        hands = sorted(self.pool.in_hand)
        self.pool.kill(hands[which % len(hands)])

    @rule(seconds=st.sampled_from([0.005, 0.1, 1.0]))
    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.pool.pass_time(seconds)

    @precondition(lambda self: self.runs)
    @rule(which=st.integers(0, 99))
    def take(self, which: int) -> None:
        """Consumers take outputs."""
        self.pool.take_outputs(self.runs[which % len(self.runs)])

    @precondition(lambda self: self.runs)
    @rule(
        which=st.integers(0, 99),
        mode=st.sampled_from(["soft", "soft", "hard"]),
        deadline=st.sampled_from([None, 0.5]),
    )
    def stop(self, which: int, mode: str, deadline: float | None) -> None:
        """A query is stopped."""
        self.pool.core.stop(self.runs[which % len(self.runs)], mode, deadline)

    # --- what always holds ------------------------------------------------------------------------

    @invariant()
    def nobody_waits(self) -> None:
        """I-B1: no worker is idle while there is something that it could do."""
        stats = self.pool.core.stats()
        assert not (stats.idle and stats.control), stats

    @invariant()
    def counters_are_true(self) -> None:
        """I-B2 and I-B3: nothing is counted twice or forgotten, and each task is somewhere."""
        there = self._tasks_by_pipeline()
        for run in self.runs:
            ended = run.executed + run.failed + run.expired
            assert run.admitted + run.created == ended + run.pending, run.result()
            for place, pipeline in enumerate(run.pipelines):
                assert pipeline.pending >= 0
                assert pipeline.pending == there[run.number, place], (run.result(), there)

    @invariant()
    def each_task_has_one_end(self) -> None:
        """I-B5: whoever submitted it is told once how it ended."""
        for asked in self.asked:
            assert len([each for each in asked.said if each in ENDS]) <= 1, asked.said

    @invariant()
    def stops_are_last_and_once(self) -> None:
        """I-B4: no pipeline that has stopped has a task, and none stops twice."""
        for run in self.runs:
            assert len(set(run.stops)) == len(run.stops)
            for pipeline in run.pipelines:
                assert not (pipeline.stopped and pipeline.pending)

    @invariant()
    def memory_is_conserved(self) -> None:
        """Nobody holds less than nothing, and all together no more than there is."""
        assert 0 <= self.pool.core.stats().memory_held <= 20

    def teardown(self) -> None:
        """I-B6: without further crashes, and with stops asked for, every query ends."""
        if not hasattr(self, "pool"):
            return
        pool = self.pool
        for run in self.runs:
            pool.core.stop(run)
        while pool.core.queries:
            for run in self.runs:
                pool.take_outputs(run)
            assert pool.step() or pool.pass_time(), f"stuck: {pool.core.stats()}"
            self.counters_are_true()
        stats = pool.core.stats()
        assert (stats.memory_held, stats.internal, stats.admission, stats.delayed) == (0, 0, 0, 0)
        assert (stats.spilled_bytes, pool.spill.size) == (0, 0)
        assert Counter(pool.endings) == Counter(run.query.name for run in self.runs)
        for asked in self.asked:
            assert len([each for each in asked.said if each in ENDS]) == 1, asked.said
        pool.spill.close()

    # --- within -----------------------------------------------------------------------------------

    def _tasks_by_pipeline(self) -> Counter[tuple[int, int]]:
        """Every task there is, wherever it lies: looked at from within."""
        core = self.pool.core
        found: Counter[tuple[int, int]] = Counter()
        for number, door in core._admission._doors.items():
            for tasks in door.tasks:
                found[number, tasks.pipeline] += len(tasks.items)
        for chunk in self._chunks():
            body = chunk.body or self._spilled(chunk)
            tasks = decode_tasks(chunk.codec, body).each
            found.update((chunk.query, pipeline) for pipeline, *_ in tasks)
        return found

    def _chunks(self) -> list[Chunk]:
        core = self.pool.core
        parked = core._parked
        queued = [
            chunk for queues in core._queues._queues for queue in queues.values() for chunk in queue
        ]
        waiting = [each.chunk for each in parked._ledger.waiting] if parked._ledger else []
        hands = [
            chunk
            for hand in core._scheduler.in_hand.values()
            if not hand.run.dropped
            for chunk in hand.slice.chunks
        ]
        return [*queued, *waiting, *hands, *(each[2] for each in parked._later)]

    def _spilled(self, chunk: Chunk) -> bytes:
        place = self.pool.core._overflow._places[id(chunk)]
        file = self.pool.spill._file
        return os.pread(file.fileno(), place.size, place.start)


def test_b_26_the_counters_are_true_and_every_query_ends() -> None:
    """All of that, in many orders."""
    chosen = settings(deadline=None, max_examples=EXAMPLES, stateful_step_count=STEPS)
    run_state_machine_as_test(PoolMachine, settings=chosen)
