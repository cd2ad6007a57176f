"""The queues of a pool: nobody waits for room, all runs once (B-01 to B-03, B-17, B-18, B-23)."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from actorflow import AdmissionFull
from actorflow.stages.pool.lifecycle import QueryRun
from tests.seeds import size
from tests.systems import pool_tasks
from tests.systems.naive.pool import SingleQueue
from tests.systems.pool_player import PoolPlayer, Stuck
from tests.systems.pool_tasks import RAN, chain, query


def never_idle_with_work(pool: PoolPlayer) -> Callable[[], bool]:
    """For `PoolPlayer.run`: between any two steps, no worker is idle while there is work."""

    def check() -> bool:
        stats = pool.core.stats()
        assert not (stats.idle and (stats.internal or stats.admission)), stats
        return False

    return check


def run_and_watch(pool: PoolPlayer) -> None:
    """Run until all is quiet, and check in between."""
    check = never_idle_with_work(pool)
    while pool.step() or pool.pass_time():
        check()


def feed(pool: PoolPlayer, run: QueryRun, sources: list[list[Any]]) -> None:
    """Sources in tight loops: each submits its next item as soon as its last is admitted."""
    waiting: dict[int, Any] = {}
    left = [list(items) for items in sources]
    steps = 0
    while any(left) or waiting:
        for at, items in enumerate(left):
            while items and at not in waiting:
                asked = pool.submit(run, items.pop(0))
                if not asked.said:
                    waiting[at] = asked
        waiting = {at: asked for at, asked in waiting.items() if not asked.said}
        steps += 1
        if waiting and not pool.step() and not pool.pass_time():
            raise Stuck("sources wait, and nobody does anything")
        assert steps < 1_000_000


def test_b_01_a_task_may_make_more_tasks_than_there_is_room_for() -> None:
    """P1: one worker, room for one task inside, and each of ten makes a thousand."""
    pool = PoolPlayer(workers=1, internal_soft_limit=1)
    run = pool.start(chain(pool_tasks.fan, pool_tasks.note))
    for number in range(10):
        pool.submit(run, [number, 1000])
    run_and_watch(pool)
    assert run.executed == len(RAN) == 10_010
    assert run.pending == 0


def test_b_01_what_is_inside_runs_before_what_comes_in() -> None:
    """While one admitted task's children are left, no other admitted task begins."""
    pool = PoolPlayer(workers=1, internal_soft_limit=1)
    run = pool.start(chain(pool_tasks.fan, pool_tasks.note))
    for number in range(3):
        pool.submit(run, [number, 50])
    pool.run()
    assert [item[0] for pipeline, item in RAN] == sorted(item[0] for pipeline, item in RAN)


def test_b_02_sources_wait_and_workers_never_do() -> None:
    """P2: eight sources in tight loops and room for ten; each task runs exactly once."""
    pool = PoolPlayer(workers=2, admission_size=10)
    run = pool.start(query(a=pool_tasks.note))
    feed(pool, run, [[[source, n] for n in range(400)] for source in range(8)])
    run_and_watch(pool)
    assert Counter(tuple(item) for _, item in RAN) == Counter(
        (source, n) for source in range(8) for n in range(400)
    )


def test_b_02_there_is_never_more_inside_than_room() -> None:
    """Who does not wait is refused when admission is full, and nothing is lost by it."""
    pool = PoolPlayer(workers=1, admission_size=3)
    run = pool.start(query(a=pool_tasks.note))
    for number in range(4):
        pool.submit(run, number)  # one is with the worker, three wait
    with pytest.raises(AdmissionFull, match="3 wait for a worker"):
        pool.submit(run, 4, wait=False)
    waits = pool.submit(run, 5)
    assert waits.said == []
    pool.run()
    assert waits.said == ["admitted", "done"]
    assert len(RAN) == 5


def test_b_02_who_waits_too_long_is_refused_and_not_admitted_later() -> None:
    """A caller that has left has no task in the pool."""
    pool = PoolPlayer(workers=1, admission_size=1)
    run = pool.start(query(a=pool_tasks.note))
    for number in range(2):
        pool.submit(run, number)
    late = pool.submit(run, "late")
    pool.core.entrance.give_up(late.submission)
    assert late.said == ["AdmissionFull"]
    pool.core.entrance.give_up(late.submission)
    pool.run()
    assert (late.said, len(RAN)) == (["AdmissionFull"], 2)


SMALL = {"workers": 2, "internal_soft_limit": 2, "admission_size": 1}


def test_b_03_more_out_than_in_and_more_in_than_room() -> None:
    """Both at once, at the smallest sizes: it completes."""
    pool = PoolPlayer(**SMALL)
    run = pool.start(chain(pool_tasks.fan, pool_tasks.note))
    feed(pool, run, [[[source * 100 + n, 3] for n in range(25)] for source in range(4)])
    run_and_watch(pool)
    assert run.executed == 4 * 25 * (1 + 3)


def test_b_03_one_bounded_queue_hangs_and_the_watchdog_says_so() -> None:
    """The naive version of the same: all workers hold children that there is no room for."""
    with pytest.raises(Stuck, match="everybody waits for room"):
        SingleQueue(workers=2, size=2, sources=[25] * 4, children=3).run()
    roomy = SingleQueue(workers=2, size=1000, sources=[25] * 4, children=3)
    roomy.run()
    assert roomy.executed == 4 * 25 * (1 + 3)


def test_b_17_a_flood_does_not_keep_another_query_waiting() -> None:
    """P floods; each task of Q begins within 100 ms on the pool's clock."""
    pool = PoolPlayer(workers=1, seconds=0.001, admission_size=100)
    flood = pool.start(chain(pool_tasks.fan, pool_tasks.note, name="P"))
    calm = pool.start(query("Q", a=pool_tasks.note))
    waits = []
    for second in range(10):
        while pool.core.entrance.room(flood):
            pool.submit(flood, [second, 20])
        asked = pool.submit(calm, f"q{second}")
        began = pool.clock()
        pool.run(until=lambda asked=asked: "done" in asked.said)
        waits.append(pool.clock() - began)
        pool.run(until=lambda end=began + 1.0: pool.clock() >= end or not pool.in_hand)
    assert max(waits) < 0.1


@pytest.mark.parametrize("deal", ["local", "global", "round_robin", "choose_two"])
@pytest.mark.parametrize("fair", [False, True])
def test_b_18_bursts_from_many_sources_run_once_each(deal: str, fair: bool) -> None:
    """Twelve workers, random bursts, workers that take turns at random: executed is created.

    Bursts of 6 000 to 10 000 in a thorough run, 600 to 1 000 otherwise.
    """
    chance = random.Random(f"{deal} {fair}")
    pool = PoolPlayer(workers=12, deal=deal, fair=fair, seconds=0.0002)
    run = pool.start(chain(pool_tasks.fan, pool_tasks.note))
    bursts = [chance.randint(size(6000, 600), size(10_000, 1000)) for _ in range(4)]
    for source, burst in enumerate(bursts):
        pool.submit(run, [source, burst])
    while pool.in_hand:
        pool.step(chance.choice(list(pool.in_hand)))
    assert run.executed == run.admitted + run.created == 4 + sum(bursts)
    assert max(Counter(map(repr, RAN)).values()) == 1


def test_b_18_idle_workers_steal_what_was_made_first() -> None:
    """With stealing a burst is spread; without it, its worker keeps it."""

    def busy(steal: str) -> int:
        pool = PoolPlayer(workers=3, steal=steal, seconds=0.001)
        run = pool.start(chain(pool_tasks.fan, pool_tasks.note))
        pool.submit(run, [0, 300])
        pool.step()
        return len(pool.in_hand)

    assert (busy("idle"), busy("none")) == (3, 1)


def test_b_23_a_deep_chain_needs_no_stack_and_lets_others_through() -> None:
    """A hundred thousand generations; meanwhile the other query's task runs."""
    pool = PoolPlayer(workers=1, seconds=0.0)
    deep = pool.start(query("deep", a=pool_tasks.Pipeline(run=pool_tasks.deeper, to=["a"])))
    other = pool.start(query("other", a=pool_tasks.note))
    chained = pool.submit(deep, 100_000)
    pool.step()
    asked = pool.submit(other, "between")
    pool.run(until=lambda: "done" in asked.said)
    assert deep.executed < 1000
    pool.run()
    assert (chained.said, deep.executed) == (["admitted", "done"], 100_001)


def test_b_23_a_task_is_told_when_others_should_have_a_turn() -> None:
    """`must_yield` is true once the slice's time is over, or its children are not run in place."""
    pool = PoolPlayer(workers=1, seconds=0.004, max_inline_depth=1)
    run = pool.start(query(a=pool_tasks.Pipeline(run=looks, to=["a"])))
    pool.submit(run, 3)
    pool.run()
    # The time of a slice is 10 ms, and each look at the clock takes 4.
    assert RAN == [("a", (3, False)), ("a", (2, True)), ("a", (1, False)), ("a", (0, True))]


def looks(left: int, context: pool_tasks.TaskContext) -> None:
    """Note whether it should yield, and go on in a child."""
    RAN.append(("a", (left, context.must_yield)))
    if left:
        context.emit(left - 1)


def with_known_tasks(pool: PoolPlayer, name: str = "q") -> QueryRun:
    """A query of which the pool knows how long its tasks take."""
    run = pool.start(query(name, a=pool_tasks.note))
    for number in range(2 * pool.core.stats().workers):
        pool.submit(run, [name, number])
    pool.run()
    return run


def test_a_busy_worker_has_a_little_more_while_tasks_are_short() -> None:
    """So it is not idle while its report is read; an idle one comes first."""
    pool = PoolPlayer(workers=2, seconds=0.001)
    run = with_known_tasks(pool)
    pool.submit(run, 1)
    assert (len(pool.in_hand), len(pool.ahead)) == (1, 0)
    for number in range(2, 60):
        pool.submit(run, number)
    pool.step()
    assert (len(pool.in_hand), len(pool.ahead)) == (2, 2)
    assert all(slice_.count * run.each <= 0.01 for _, slice_ in pool.ahead.values())
    pool.run()
    assert sorted(item for _, item in RAN if isinstance(item, int)) == list(range(1, 60))


@pytest.mark.parametrize(
    ("seconds", "tasks", "slices"), [(0.000_01, 400, [100] * 4), (0.001, 16, [2] * 8)]
)
def test_what_comes_in_is_divided_among_idle_workers_as_far_as_it_is_worth_a_message(
    seconds: float, tasks: int, slices: list[int]
) -> None:
    """Eight are idle: of tasks of 10 µs a hundred are a slice, of those of 1 ms each has two."""
    pool = PoolPlayer(workers=8, seconds=seconds)
    run = with_known_tasks(pool)
    run.each = seconds
    pool.core.entrance.admit(run, 0, list(range(tasks)), lambda how, count: None)
    assert [slice_.count for _, slice_ in pool.in_hand.values()] == slices
    assert pool.ahead == {}
    pool.run()
    assert sorted(item for _, item in RAN if isinstance(item, int)) == list(range(tasks))


def test_nothing_waits_behind_what_may_take_long() -> None:
    """Neither behind tasks that are long or unknown, nor behind a start or a stop."""
    for seconds, known in ((0.02, True), (0.001, False)):
        pool = PoolPlayer(workers=1, seconds=seconds)
        run = with_known_tasks(pool) if known else pool.start(query("q", a=pool_tasks.note))
        for number in range(20):
            pool.submit(run, number)
        assert (len(pool.in_hand), pool.ahead) == (1, {})
    pool = PoolPlayer(workers=1, seconds=0.001)
    run = with_known_tasks(pool)
    pool.start(query("other", a=pool_tasks.Pipeline(run=pool_tasks.note, start=print)))
    for number in range(20):
        pool.submit(run, number)
    assert (len(pool.in_hand), pool.ahead) == (1, {})


def test_a_start_or_a_stop_does_not_wait_behind_what_is_given_ahead() -> None:
    """While one waits, workers get nothing more; so it has the first that is idle."""
    pool = PoolPlayer(workers=1, seconds=0.001)
    run = with_known_tasks(pool)
    for number in range(100):
        pool.submit(run, number)
    pool.start(query("other", a=pool_tasks.Pipeline(run=pool_tasks.note, start=print)))
    pool.step()
    pool.step()
    ((_, slice_),) = pool.in_hand.values()
    assert (slice_.verb, pool.ahead) == ("start", {})


def test_memory_is_not_set_aside_ahead() -> None:
    """With a budget, a worker has one slice at a time."""
    pool = PoolPlayer(workers=1, seconds=0.001, memory={"limit": 100})
    run = with_known_tasks(pool)
    for number in range(100):
        pool.submit(run, number)
    assert (len(pool.in_hand), pool.ahead) == (1, {})


def test_a_long_task_among_short_ones_is_believed_at_once() -> None:
    """A slice that takes a little longer than usual is not."""
    pool = PoolPlayer(workers=1, seconds=0.001)
    run = with_known_tasks(pool)
    usual = run.each
    for seconds, least, most in ((0.0015, usual, 1.3 * usual), (1.0, 1.0, 5.0)):
        pool.seconds = seconds
        pool.submit(run, "more")
        pool.step()
        assert least < run.each < most
