"""The pool as a stage in the hands of a test: events, demand, calls, the end (B-19, B-24, B-25)."""

from __future__ import annotations

import pickle
from collections import Counter
from typing import Any

import pytest

from actorflow import AdmissionFull, OptionError, PoolClosed, QueryFailed
from actorflow.errors import Broken
from actorflow.stages.pool import ConsumerTaskPool, InFlight, Pipeline, Query, TaskPool
from actorflow.stages.pool.calls import Look, StartQuery, StopQuery, Submit, TaskPoolHandle
from actorflow.stages.pool.window import SourceWindow
from actorflow.stages.pool.worker import run_slice
from actorflow.testing import StageHarness
from tests.systems import pool_tasks
from tests.systems.pool_tasks import RAN, chain, query


def pool_of(*queries: Query, kind: Any = TaskPool, **options: Any) -> StageHarness:
    """A pool, between a producer named numbers and a consumer named sink that wants a lot."""
    harness = StageHarness(kind, {"queries": list(queries), "workers": 1, **options})
    harness.expect("numbers/0", consumers=["sink/0"] if kind is TaskPool else [])
    return harness


def play(harness: StageHarness) -> int:
    """The pool's workers run what they have, until they have nothing; returns how many slices.

    That takes no time on the stage's clock, so that a slice ends when its tasks do.
    """
    count = 0
    while harness.offspring is not None and harness.offspring.running:
        life, child = next(iter(harness.offspring.running.items()))
        harness.offspring.returns(life, result=run_slice(*child.arguments, harness.clock))
        count += 1
    return count


def with_sink(harness: StageHarness, demand: int = 1000, **options: Any) -> StageHarness:
    """Link both sides."""
    harness.link_to_producer(1, "numbers", **options)
    harness.subscribe(2, "sink")
    if demand:
        harness.ask(2, demand)
    return harness


# --- events ---------------------------------------------------------------------------------------


def test_an_event_is_finished_with_the_last_task_that_descends_from_it() -> None:
    """Credit and acknowledgement come when all are done, and outputs have left before."""
    harness = with_sink(pool_of(chain(pool_tasks.fan, pool_tasks.emit)), max_demand=2)
    assert harness.asks(1) == [2]
    harness.route(1, [[0, 3]])
    assert harness.asks(1) == [2]
    play(harness)
    assert harness.events(2) == [[[0, 0], [0, 1], [0, 2]]]
    harness.acknowledge(2)
    harness.advance(1)
    assert harness.acked(1) == 1


def test_b_09_the_end_of_the_input_stops_the_pipelines_and_what_they_emit_leaves() -> None:
    """The stage goes on until the last stop has run; then its consumers are told."""
    of = query(a=Pipeline(run=pool_tasks.emit, stop=pool_tasks.stop_and_emit))
    harness = with_sink(pool_of(of))
    harness.route(1, [1])
    harness.eos(1)
    assert not harness.machine.ended
    play(harness)
    assert [event for batch in harness.events(2) for event in batch] == [1, "last of a"]
    harness.acknowledge(2)
    assert harness.machine.ended
    assert pickle.loads(harness.machine.result)["q"]["state"] == "stopped"


def test_b_10_a_source_of_two_ends() -> None:
    """What only that one fed stops; the rest goes on until the other ends."""
    of = query(
        sources={"left": "a", "right": "b"},
        a=Pipeline(run=pool_tasks.note, stop=pool_tasks.stopped),
        b=Pipeline(run=pool_tasks.note, stop=pool_tasks.stopped),
    )
    harness = StageHarness(ConsumerTaskPool, {"queries": [of], "workers": 1})
    harness.expect("left/0", "left/1", "right/0")
    for ref, name in enumerate(("left/0", "left/1", "right/0"), 1):
        harness.link_to_producer(ref, name)
    harness.eos(1)
    assert play(harness) == 0
    harness.eos(2)
    play(harness)
    assert RAN == [("stop a", None)]
    harness.eos(3)
    play(harness)
    assert RAN == [("stop a", None), ("stop b", None)]
    assert harness.machine.ended


def test_two_queries_may_take_the_same_events() -> None:
    """An event is finished when both are done with it."""
    harness = pool_of(
        query("one", a=pool_tasks.note), query("two", b=pool_tasks.note), kind=ConsumerTaskPool
    )
    harness.link_to_producer(1, "numbers", max_demand=1)
    harness.route(1, ["x"])
    life, child = next(iter(harness.offspring.running.items()))
    harness.offspring.returns(life, result=run_slice(*child.arguments, harness.clock))
    assert harness.acked(1) == 0
    play(harness)
    harness.advance(1)
    assert harness.acked(1) == 1
    assert Counter(RAN) == Counter([("a", "x"), ("b", "x")])


def test_a_producer_that_no_query_names_is_refused() -> None:
    """Its events would be nobody's."""
    harness = pool_of(query(sources={"others": "a"}, a=pool_tasks.note))
    harness.link_to_producer(1, "numbers")
    assert isinstance(harness.error, OptionError)


def test_b_19_outputs_without_credit_close_the_way_in() -> None:
    """The consumer wants nothing: tasks inside go on, none comes in, and nothing grows."""
    of = chain(pool_tasks.fan, pool_tasks.emit)
    harness = pool_of(of, output_size=5)
    harness.link_to_producer(1, "numbers", max_demand=4)
    harness.subscribe(2, "sink")
    harness.ask(2, 1)
    harness.route(1, [[n, 10] for n in range(4)])
    play(harness)
    stats = harness.call(Look())
    assert (stats.internal, stats.idle) == (0, 1)
    assert stats.queries[0].outputs == 10
    assert stats.admission == 3
    assert harness.asks(1) == [4]
    harness.ask(2, 100)
    play(harness)
    assert len([event for batch in harness.events(2) for event in batch]) == 40


def test_b_19_another_query_goes_on_meanwhile() -> None:
    """Only the query whose outputs nobody takes is held."""
    harness = pool_of(
        query("loud", a=pool_tasks.emit), query("quiet", b=pool_tasks.note), output_size=1
    )
    for name in ("loud", "quiet"):
        for number in range(3):
            harness.send_call(Submit(name, None, number, "admitted", None))
    play(harness)
    executed = {each.name: each.executed for each in harness.call(Look()).queries}
    assert executed == {"loud": 1, "quiet": 3}


def test_events_that_no_query_takes_any_more_are_counted_and_finished() -> None:
    """The query was stopped by hand while they were under way: the log says how many."""
    harness = pool_of(query("one", a=pool_tasks.note), kind=ConsumerTaskPool)
    harness.link_to_producer(1, "numbers", max_demand=4)
    harness.send_call(StopQuery("one", "soft", None))
    harness.route(1, ["late", "later"])
    harness.advance(1)
    assert (harness.acked(1), harness.call(Look()).late) == (1, 2)
    assert [each.values["events"] for each in harness.log if "no query" in each.event] == [2]


# --- demand ---------------------------------------------------------------------------------------


def test_b_25_never_more_unfinished_than_the_limit() -> None:
    """Four are asked for, and no more before two of them are finished."""
    harness = pool_of(query(a=pool_tasks.note), kind=ConsumerTaskPool, in_flight={"limit": 4})
    harness.link_to_producer(1, "numbers")
    assert harness.asks(1) == [4]
    harness.route(1, [1, 2, 3, 4])
    assert harness.asks(1) == [4]
    play(harness)
    assert harness.asks(1) == [4, 2, 2]


def test_b_25_the_limit_grows_when_the_source_had_to_wait() -> None:
    """4, 8, 12, 16 and no further; by halves back to where it began when nothing comes."""
    window = SourceWindow(InFlight(limit=4, most=16))
    limits = []
    for _ in range(5):
        count = window.ask(window.room(1000, 1000))
        window.arrived(count)
        assert window.room(1000, 1000) == 0
        window.finished(count, True)
        limits.append(window.limit)
    assert limits == [8, 12, 16, 16, 16]
    window.look()
    for expected in (8, 4, 4):
        window.look()
        assert window.limit == expected


def test_b_25_a_source_that_never_waits_has_the_same_window() -> None:
    """It grows only when everything that may be here is here."""
    window = SourceWindow(InFlight(limit=4, most=16))
    for _ in range(10):
        window.ask(window.room(1000, 1000))
        window.arrived(3)
        window.finished(3, True)
    assert window.limit == 4


def test_b_25_a_source_that_waits_for_busy_workers_has_the_same_window() -> None:
    """More of it here would only wait here."""
    window = SourceWindow(InFlight(limit=4, most=16))
    window.arrived(window.ask(window.room(1000, 1000)))
    window.finished(2, False)
    assert window.limit == 4
    window.finished(1, True)
    assert window.limit == 8


def test_b_25_a_grown_window_is_looked_at_and_then_left_alone() -> None:
    """The timer runs as long as there is something to take back."""
    harness = pool_of(
        query(a=pool_tasks.note), kind=ConsumerTaskPool, in_flight={"limit": 4, "most": 8}
    )
    harness.link_to_producer(1, "numbers")
    harness.route(1, [1, 2, 3, 4])
    play(harness)
    assert sum(harness.asks(1)) > 8
    assert harness.machine.next_due() is not None
    harness.advance(5)
    assert harness.machine.next_due() is None


def test_b_24_an_idle_pool_wakes_up_for_nothing() -> None:
    """Nothing is due, at any time; and it ends as soon as it is told to."""
    harness = pool_of(query(a=pool_tasks.note), kind=ConsumerTaskPool)
    harness.link_to_producer(1, "numbers")
    harness.route(1, [1])
    play(harness)
    harness.advance(1)
    assert harness.machine.next_due() is None
    harness.stop()
    assert harness.machine.ended
    assert harness.offspring.closed


# --- calls ----------------------------------------------------------------------------------------


def test_a_program_may_submit_and_start_and_stop() -> None:
    """Through calls: what `Run.task_pool` does."""
    harness = pool_of(kind=ConsumerTaskPool, admission_size=1)
    assert harness.call(StartQuery(query("late", a=pool_tasks.note))).state == "running"
    done = harness.send_call(Submit("late", None, 1, "done", 5.0))
    admitted = harness.call(Submit("late", "a", 2, "admitted", 5.0))
    assert admitted.state == "admitted"
    with pytest.raises(AdmissionFull):
        harness.call(Submit("late", None, 3, "admitted", 0))
    waits = harness.send_call(Submit("late", None, 4, "admitted", 5.0))
    harness.advance(5)
    with pytest.raises(AdmissionFull):
        harness.reply_to(waits)
    stop = harness.send_call(StopQuery("late", "soft", None))
    with pytest.raises(PoolClosed):
        harness.call(Submit("late", None, 5, "admitted", 0))
    play(harness)
    assert harness.reply_to(done).state == "done"
    assert harness.reply_to(stop).state == "stopped"
    assert harness.call(Look("late")).executed == 2
    assert harness.call(StopQuery("late", "hard", None)).state == "stopped"


@pytest.mark.parametrize(
    "request_",
    [
        Submit("nobody", None, 1, "admitted", 0),
        Submit("q", "nobody", 1, "admitted", 0),
        StartQuery(query("q", a=pool_tasks.note)),
        StopQuery("nobody", "soft", None),
        Look("nobody"),
    ],
)
def test_a_call_that_cannot_be_is_refused_and_the_pool_goes_on(request_: Any) -> None:
    """The mistake goes to whoever made it."""
    harness = pool_of(query("q", a=pool_tasks.note))
    with pytest.raises(OptionError):
        harness.call(request_)
    assert not harness.machine.ended


# --- workers that fail ----------------------------------------------------------------------------


def test_a_stage_whose_queries_have_all_failed_fails() -> None:
    """With what the last one raised; with one left it goes on."""
    harness = pool_of(
        query("one", a=pool_tasks.fail), query("two", b=pool_tasks.fail), kind=ConsumerTaskPool
    )
    harness.send_call(Submit("one", None, "bad", "done", 5.0))
    play(harness)
    assert harness.error is None
    harness.send_call(Submit("two", None, "bad", "done", 5.0))
    play(harness)
    assert isinstance(harness.error, QueryFailed)
    assert isinstance(harness.error.__cause__, ValueError)


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        (lambda children, life: children.die(life), Broken),
        (lambda children, life: children.returns(life, result="garbage"), Broken),
        (lambda children, life: children.returns(life), Broken),
        (lambda children, life: children.raises(life, error=ValueError("no")), ValueError),
    ],
)
def test_b_22_a_worker_that_ends_otherwise_fails_its_query(end: Any, expected: Any) -> None:
    """Killed, garbage, an exit, an exception of the machinery: the others have the worker next."""
    harness = pool_of(query("one", a=pool_tasks.note), query("two", b=pool_tasks.note))
    lost = harness.send_call(Submit("one", None, 1, "done", 5.0))
    (life,) = harness.offspring.running
    end(harness.offspring, life)
    assert harness.reply_to(lost).state == "failed"
    assert harness.call(Look("one")).state == "failed"
    harness.send_call(Submit("two", None, 2, "done", 5.0))
    play(harness)
    assert RAN == [("b", 2)]


@pytest.mark.parametrize(
    ("call", "option"),
    [
        (lambda pool: pool.submit("", 1), "query"),
        (lambda pool: pool.submit("q", 1, until="never"), "until"),
        (lambda pool: pool.submit("q", 1, timeout=-1), "timeout"),
        (lambda pool: pool.start("q"), "queries"),
        (lambda pool: pool.stop(5), "query"),
        (lambda pool: pool.stop("q", "gently"), "mode"),
        (lambda pool: pool.stop("q", deadline=-1), "deadline"),
        (lambda pool: pool.query(""), "name"),
    ],
)
def test_the_handle_refuses_what_cannot_be_before_it_asks(call: Any, option: str) -> None:
    """Nothing is sent."""

    def nobody(request: Any, timeout: float) -> Any:
        raise AssertionError(f"{request} was sent")

    with pytest.raises(OptionError) as caught:
        call(TaskPoolHandle(nobody))
    assert caught.value.option == option
