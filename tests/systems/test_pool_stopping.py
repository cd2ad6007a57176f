"""How a pool's queries start, stop and fail (B-04 to B-16)."""

from __future__ import annotations

import pytest

from actorflow import OptionError, PoolClosed
from actorflow.stages.pool import Pipeline, Query
from tests.systems import pool_tasks
from tests.systems.naive.pool import RequeuedStop, ThresholdStop
from tests.systems.pool_player import PoolPlayer, Stuck
from tests.systems.pool_tasks import RAN, chain, query


def ran() -> list[str]:
    """What ran, without the items."""
    return [what for what, _ in RAN]


# --- a stop waits, and is no work -----------------------------------------------------------------


def test_b_04_a_stop_waits_for_tasks_that_are_not_yet_inside() -> None:
    """The stop comes first, its tasks are in admission: they run, then it runs, once."""
    pool = PoolPlayer(workers=1)
    run = pool.start(query(a=pool_tasks.note))
    for number in range(5):
        pool.submit(run, number)
    pool.core.stop(run)
    assert pool.core.stats().parked_stops == 1
    assert (pool.core.stats().control, pool.core.stats().internal) == (0, 0)
    pool.run()
    assert ran() == ["a"] * 5 + ["stop a"]
    assert pool.results["q"].state == "stopped"


def test_b_04_a_parked_stop_costs_nothing() -> None:
    """While its task is delayed for an hour, no worker is given anything, and no time is asked."""
    pool = PoolPlayer(workers=1)
    run = pool.start(query(a=pool_tasks.again))
    pool.submit(run, [1, 3600])
    pool.core.stop(run)
    pool.run(until=lambda: not pool.in_hand)
    slices = pool.slices
    pool.pass_time(3599)
    assert (pool.slices, pool.core.stats().parked_stops) == (slices, 1)
    pool.run()
    assert ran() == ["a", "a", "stop a"]


def test_b_04_a_stop_that_is_queued_again_starves_what_it_waits_for() -> None:
    """The naive version, by the original's wording: the watchdog sees it go round."""
    with pytest.raises(Stuck, match="go round"):
        RequeuedStop(stops=1, tasks=1).run()


@pytest.mark.parametrize("workers", [1, 2])
def test_b_05_many_parked_stops_do_not_close_the_way_in(workers: int) -> None:
    """As many as the original's threshold, and one more, with room inside for no more than that."""
    count = 3 * workers + 1
    pool = PoolPlayer(workers=workers, internal_soft_limit=count, admission_size=10 * count)
    blocker = pool.start(query("blocker", a=pool_tasks.note))
    pool.submit(blocker, "first")
    runs = [pool.start(query(f"q{at}", a=pool_tasks.note)) for at in range(count)]
    for run in runs:
        pool.submit(run, "one")
        pool.core.stop(run)
    assert pool.core.stats().parked_stops >= count - workers
    pool.run()
    assert sorted(pool.results) == sorted(run.query.name for run in runs)
    assert all(each.executed == 1 for each in pool.results.values())


def test_b_05_a_threshold_of_three_for_each_worker_is_no_help() -> None:
    """The naive version: with two stops it is enough, with three they fill it."""
    enough = ThresholdStop(workers=1, stops=2, tasks=1)
    enough.run()
    assert enough.executed == 1
    with pytest.raises(Stuck):
        ThresholdStop(workers=1, stops=3, tasks=1).run()


def test_b_06_a_task_that_repeats_itself_is_waited_for() -> None:
    """A stop is asked for in the middle: four runs, then one stop."""
    pool = PoolPlayer(workers=1, max_inline_depth=1)
    run = pool.start(query(a=pool_tasks.again))
    pool.submit(run, [3, 0])
    pool.step()
    pool.core.stop(run)
    pool.run()
    assert ran() == ["a"] * 4 + ["stop a"]
    assert pool.endings == ["q"]


def test_b_07_a_delayed_task_is_waited_for_and_comes_in_time() -> None:
    """The stop comes after it, and the delay is what it was asked to be."""
    pool = PoolPlayer(workers=1)
    run = pool.start(query(a=pool_tasks.again))
    pool.submit(run, [1, 0.5])
    pool.core.stop(run)
    began = pool.clock()
    pool.run(until=lambda: len(RAN) == 2)
    assert pool.clock() - began == pytest.approx(0.5, abs=0.02)
    pool.run()
    assert ran() == ["a", "a", "stop a"]


def test_b_08_a_hard_stop_ends_delayed_tasks_once() -> None:
    """Each is told once that it expired; nothing runs, nothing is stopped, nothing is left."""
    pool = PoolPlayer(workers=1)
    run = pool.start(query(a=pool_tasks.again))
    asked = [pool.submit(run, [1, delay]) for delay in (10, 20)]
    pool.run(until=lambda: len(RAN) == 2 and not pool.in_hand)
    pool.core.stop(run, "hard")
    assert [each.said for each in asked] == [["admitted", "expired"]] * 2
    pool.run()
    assert ran() == ["a", "a"]
    result = pool.results["q"]
    assert (result.state, result.expired, result.pending) == ("stopped", 2, 0)
    assert result.admitted + result.created == result.executed + result.expired


def test_b_08_a_hard_stop_waits_for_what_is_in_hand() -> None:
    """A worker cannot be talked to while it runs; what it reports counts no more."""
    pool = PoolPlayer(workers=1)
    run = pool.start(query(a=pool_tasks.note))
    asked = pool.submit(run, "in hand")
    pool.core.stop(run, "hard")
    assert (asked.said, pool.endings) == (["admitted", "expired"], [])
    pool.run()
    assert (asked.said, pool.endings) == (["admitted", "expired"], ["q"])


def test_b_08_deadlines_turn_soft_into_hard_and_hard_into_a_kill() -> None:
    """Every stop ends: past its deadline the next harder means is used."""
    pool = PoolPlayer(workers=1)
    soft = pool.start(query(a=pool_tasks.again))
    pool.submit(soft, [1, 1000])
    pool.run(until=lambda: not pool.in_hand)
    pool.core.stop(soft, deadline=5)
    pool.pass_time(4.9)
    assert pool.endings == []
    pool.pass_time(0.2)
    assert pool.results["q"].expired == 1
    both = pool.start(query("both", a=pool_tasks.note))
    pool.submit(both, "hangs")
    pool.core.stop(both, deadline=1)
    pool.pass_time(1.5)
    assert (both.dropped, pool.killed) == (True, [])
    pool.pass_time(1)
    assert pool.killed == [0]
    pool.kill(0)
    assert pool.endings == ["q", "both"]
    hangs = pool.start(query("hangs", a=pool_tasks.note))
    pool.submit(hangs, "in hand")
    pool.core.stop(hangs, "hard", deadline=1)
    pool.pass_time(2)
    assert pool.killed == [0, 0]
    pool.kill(0)
    assert pool.results["hangs"].state == "stopped"


# --- the order of stops ---------------------------------------------------------------------------


def test_b_09_what_a_stop_emits_is_done_before_the_next_stops() -> None:
    """Source → a → b → sink: b has a's last item, then stops."""
    pool = PoolPlayer(workers=2)
    run = pool.start(
        query(
            sources={"src": "a"},
            a=Pipeline(run=pool_tasks.emit, to=["b"], stop=pool_tasks.stop_and_emit),
            b=Pipeline(run=pool_tasks.emit, to=["sink"], stop=pool_tasks.stopped),
            sink=Pipeline(run=pool_tasks.emit, stop=pool_tasks.stopped),
        )
    )
    pool.submit(run, 1, "a")
    pool.core.end_source(run, "src")
    pool.run()
    assert RAN[-5:] == [
        ("stop a", None),
        ("b", "last of a"),
        ("sink", "last of a"),
        ("stop b", None),
        ("stop sink", None),
    ]
    assert pool.outputs == [1, "last of a"]
    assert pool.results["q"].stops == ("a", "b", "sink")


def test_b_10_the_last_of_two_sources_stops_the_pipeline() -> None:
    """After the first it goes on."""
    pool = PoolPlayer(workers=1)
    run = pool.start(query(sources={"left": "a", "right": "a"}, a=pool_tasks.note))
    pool.core.end_source(run, "left")
    pool.submit(run, "more")
    pool.run()
    assert (ran(), run.state.value) == (["a"], "running")
    pool.core.end_source(run, "right")
    pool.run()
    assert (ran(), pool.endings) == (["a", "stop a"], ["q"])


def test_b_11_a_stop_that_fails_fails_the_query_and_nobody_after_it_stops() -> None:
    """Predecessors have stopped normally, successors are gone without their stop."""
    pool = PoolPlayer(workers=1)
    run = pool.start(
        query(
            a=Pipeline(run=pool_tasks.emit, to=["b"], stop=pool_tasks.stopped),
            b=Pipeline(run=pool_tasks.emit, to=["c"], stop=pool_tasks.fail_to_stop),
            c=Pipeline(run=pool_tasks.note, stop=pool_tasks.stopped),
        )
    )
    pool.submit(run, 1)
    pool.core.stop(run)
    pool.run()
    assert ran() == ["a", "b", "c", "stop a", "stop b"]
    result = pool.results["q"]
    assert (result.state, result.reason, result.stops) == ("failed", "ValueError: no stop", ("a",))


# --- failures -------------------------------------------------------------------------------------


def test_b_12_a_query_that_fails_takes_no_other_with_it() -> None:
    """Ten queries, one with a bad third item: nine go on, and end normally."""
    pool = PoolPlayer(workers=2)
    runs = [pool.start(query(f"q{at}", a=pool_tasks.fail)) for at in range(10)]
    asked = [pool.submit(run, item) for run in runs for item in ("good", "good")]
    bad = pool.submit(runs[3], "bad")
    behind = pool.submit(runs[3], "good")
    pool.run()
    assert list(pool.results) == ["q3"]
    result = pool.results["q3"]
    assert (result.state, result.reason) == ("failed", "ValueError: a bad item")
    assert result.admitted == result.executed + result.failed + result.expired
    assert bad.said == ["admitted", "failed"]
    assert behind.said[0] == "admitted"
    with pytest.raises(PoolClosed):
        pool.submit(runs[3], "late")
    for run in runs:
        if run is not runs[3]:
            pool.submit(run, "later")
            pool.core.stop(run)
    pool.run()
    assert [each.state for each in pool.results.values()] == ["failed"] + ["stopped"] * 9
    assert all(each.said[-1] == "done" for each in asked if each.submission.query != 4)


def test_b_12_the_tasks_of_a_failed_query_expire() -> None:
    """What is queued, delayed or made is counted, and nothing of it runs."""
    pool = PoolPlayer(workers=1)
    run = pool.start(query(a=pool_tasks.fail, b=pool_tasks.again))
    asked = [pool.submit(run, [1, 99], "b"), *(pool.submit(run, "bad", "a") for _ in range(4))]
    pool.run()
    assert [each.said[-1] for each in asked] == ["failed"] * 5
    result = pool.results["q"]
    assert (result.failed, result.pending) == (1, 0)
    total = result.executed + result.failed + result.expired
    assert result.admitted + result.created == total
    assert ("warning", "tasks were dropped with their query") in pool.log


def test_b_12_the_last_task_of_a_stopping_query_may_fail() -> None:
    """It has failed then, and not stopped; who submitted the task is told."""
    pool = PoolPlayer(workers=1)
    run = pool.start(query(a=pool_tasks.fail))
    asked = pool.submit(run, "bad")
    pool.core.stop(run)
    pool.run()
    assert asked.said == ["admitted", "failed"]
    assert (pool.results["q"].state, pool.results["q"].stops) == ("failed", ())


def test_b_13_one_start_of_a_hundred_raises() -> None:
    """Never running; nothing of it is left; tasks that came early expire."""
    pipelines = {
        f"p{at}": Pipeline(run=pool_tasks.note, start=pool_tasks.started) for at in range(99)
    }
    pipelines["bad"] = Pipeline(run=pool_tasks.note, start=pool_tasks.fail_to_start)
    pool = PoolPlayer(workers=4)
    run = pool.start(Query(name="q", pipelines=pipelines))
    states = {run.state.value}
    early = pool.submit(run, "early", "p0")
    while pool.step():
        states.add(run.state.value)
    assert states == {"starting", "failed"}
    assert (pool.results["q"].reason, early.said) == (
        "ValueError: no start",
        ["admitted", "failed"],
    )
    stats = pool.core.stats()
    assert (stats.queries, stats.control, stats.admission, stats.idle) == ((), 0, 0, 4)


def test_b_13_starts_come_before_tasks() -> None:
    """A task that was admitted while the query starts waits."""
    pool = PoolPlayer(workers=2)
    run = pool.start(query(a=Pipeline(run=pool_tasks.note, start=pool_tasks.started)))
    pool.submit(run, 1)
    pool.run()
    assert ran() == ["start", "a"]


def test_b_14_stops_may_be_repeated_and_come_early_and_late() -> None:
    """Twice, while it starts, and after its end: one end."""
    pool = PoolPlayer(workers=1)
    run = pool.start(query(a=Pipeline(run=pool_tasks.note, start=pool_tasks.started)))
    pool.core.stop(run)
    pool.core.stop(run)
    pool.run()
    assert (pool.endings, run.state.value) == (["q"], "stopped")
    pool.core.stop(run)
    pool.core.stop(run, "hard")
    pool.core.end_source(run, "nobody")
    pool.run()
    assert pool.endings == ["q"]


def test_b_15_who_waits_for_room_is_told_when_the_query_stops() -> None:
    """At once, with what is the matter; what was admitted is done."""
    pool = PoolPlayer(workers=1, admission_size=1)
    run = pool.start(query(a=pool_tasks.note))
    admitted = [pool.submit(run, number) for number in range(2)]
    waits = pool.submit(run, "waits")
    pool.core.stop(run)
    assert waits.said == ["PoolClosed"]
    pool.run()
    assert [each.said for each in admitted] == [["admitted", "done"]] * 2
    assert ran() == ["a", "a", "stop a"]


def test_b_15_a_source_that_ends_closes_its_pipeline_alone() -> None:
    """Who waits to get into another one goes on waiting."""
    pool = PoolPlayer(workers=1, admission_size=1)
    run = pool.start(query(sources={"x": "a", "y": "b"}, a=pool_tasks.note, b=pool_tasks.note))
    for _ in range(2):
        pool.submit(run, "fills", "b")
    left, right = pool.submit(run, 1, "a"), pool.submit(run, 2, "b")
    pool.core.end_source(run, "x")
    assert (left.said, right.said) == (["PoolClosed"], [])
    pool.run()
    assert right.said == ["admitted", "done"]


def test_b_16_a_stop_does_not_queue_behind_data() -> None:
    """Admission is full, and so is the inside: the stop is the next thing that a worker does."""
    pool = PoolPlayer(workers=1, admission_size=1000)
    flood = pool.start(chain(pool_tasks.fan, pool_tasks.note, name="flood"))
    empty = pool.start(query("empty", a=pool_tasks.note))
    while pool.core.entrance.room(flood):
        pool.submit(flood, [0, 100])
    pool.step()
    began = pool.clock()
    pool.core.stop(empty)
    assert pool.core.stats().control == 1
    pool.step()
    pool.step()
    assert pool.endings == ["empty"]
    assert pool.clock() - began < 0.2
    assert pool.core.stats().admission > 300


def test_b_16_a_start_does_not_either() -> None:
    """A query that is started in a flood runs its starts next."""
    pool = PoolPlayer(workers=1)
    flood = pool.start(chain(pool_tasks.fan, pool_tasks.note, name="flood"))
    while pool.core.entrance.room(flood):
        pool.submit(flood, [0, 100])
    late = pool.start(query("late", a=Pipeline(run=pool_tasks.note, start=pool_tasks.started)))
    pool.step()
    pool.step()
    assert late.state.value == "running"


# --- mistakes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pipelines", "message"),
    [
        ({}, "at least one pipeline"),
        ({"a": {"run": "operator:neg", "to": ["b"]}}, "one of a"),
        ({"a": {"run": "operator:neg", "next": ["b"]}}, "a map with run"),
        ({"a": {"run": "operator:no_such"}}, "cannot be imported"),
        ({"a": 5}, "a function, or 'module:name'"),
        ({"a": {"run": "operator:neg", "to": "a"}}, "a list of names"),
        (
            {
                "a": {"run": "operator:neg", "to": ["b"]},
                "b": {"run": "operator:neg", "to": ["a"]},
            },
            "without a cycle, got 'a -> b -> a'",
        ),
    ],
)
def test_a_graph_that_cannot_be_is_refused(pipelines: dict[str, object], message: str) -> None:
    """Where it is declared, with what is wrong with it."""
    with pytest.raises(OptionError, match=message):
        Query(name="q", pipelines=pipelines)
