"""The batcher's scenarios that are about decisions, with the core alone and a virtual clock."""

from __future__ import annotations

import gc
import time
import tracemalloc

import pytest

from actorflow.errors import (
    BatchCancelled,
    BatcherClosed,
    BatchFailed,
    BatchRejected,
    BatchTimeout,
    OptionError,
    ProcessorInvariantViolation,
    ResourceAcquisitionFailed,
)
from actorflow.stages.batcher import Balanced, Duration, Immediate, Limits, OnFull, Outcome, Size
from actorflow.stages.batcher.core import GONE_WITHIN, BatcherCore
from tests.seeds import size
from tests.systems.batcher_bench import MS, Bench


def rejected(error: object) -> str:
    """How a rejection describes the key's capacity."""
    assert isinstance(error, BatchRejected)
    return error.concurrency


# --- size -----------------------------------------------------------------------------------------


def test_c_01_a_full_batch_is_one_call_in_order() -> None:
    """Three items, one call, three matching replies."""
    bench = Bench(Size(), {"max_batch_size": 3}, process=5)
    tokens = [bench.add() for _ in range(3)]
    bench.advance(5)
    assert [call.inputs for call in bench.calls] == [tokens]
    assert [bench.replies[token].value for token in tokens] == [token * 10 for token in tokens]


def test_c_02_a_key_that_is_full_rejects_and_another_key_does_not() -> None:
    """Two run, two wait, the fifth is rejected; the other key has limits of its own."""
    limits = {"max_batch_size": 1, "max_key_concurrency": 2, "max_batch_queue_size": 2}
    bench = Bench(Size(), limits, process=None)
    assert all(isinstance(bench.try_add("a"), int) for _ in range(4))
    assert rejected(bench.try_add("a")) == "maxed_out"
    assert isinstance(bench.try_add("b"), int)
    assert len(bench.processing) == 3
    for batch in (1, 2, 3, 4, 5):
        if batch in bench.processing:
            bench.finish(batch)
    for batch in list(bench.processing):
        bench.finish(batch)
    assert len(bench.answered()) == 5
    assert bench.idle


# --- immediate ------------------------------------------------------------------------------------


def test_c_03_what_comes_while_capacity_is_in_use_is_the_next_batch() -> None:
    """At 0 and 1 ms: done at 50 and 100."""
    bench = Bench(Immediate(), {"max_batch_size": 10, "max_key_concurrency": 1}, process=50)
    first = bench.add()
    bench.advance(1)
    second = bench.add()
    bench.advance(200)
    assert bench.answered() == {first: 50, second: 100}


def test_c_04_with_capacity_for_two_each_takes_its_own_time() -> None:
    """Both take 50 ms."""
    bench = Bench(Immediate(), {"max_batch_size": 1, "max_key_concurrency": 2}, process=50)
    first = bench.add()
    bench.advance(1)
    second = bench.add()
    bench.advance(200)
    assert bench.answered() == {first: 50, second: 51}


def test_c_05_one_batch_runs_one_waits_and_the_next_item_is_rejected() -> None:
    """Of twelve items eleven are answered."""
    limits = {"max_batch_size": 10, "max_key_concurrency": 1, "max_batch_queue_size": 1}
    bench = Bench(Immediate(), limits, process=500)
    outcomes = []
    for at in range(12):
        bench.advance(at)
        outcomes.append(bench.try_add())
    bench.advance(2000)
    assert rejected(outcomes[-1]) == "maxed_out"
    assert list(bench.answered().values()) == [500] + [1000] * 10


def test_c_06_batches_fill_while_they_acquire() -> None:
    """Twenty items at once are two batches of ten, with resources 0 and 1."""
    limits = {"max_batch_size": 10, "max_key_concurrency": 2}
    bench = Bench(Immediate(), limits, process=1, acquire=100)
    for _ in range(20):
        bench.add()
    bench.advance(200)
    assert [(call.at, len(call.inputs), call.resources) for call in bench.calls] == [
        (100, 10, 0),
        (100, 10, 1),
    ]
    assert bench.idle


def test_c_07_the_batch_whose_resources_come_first_is_processed_first() -> None:
    """And each reply goes to its caller."""
    limits = {"max_batch_size": 2, "max_key_concurrency": 2}
    bench = Bench(Immediate(), limits, process=1, acquire=lambda number: (100, 20)[number])
    tokens = [bench.add() for _ in range(4)]
    bench.advance(200)
    assert [call.inputs for call in bench.calls] == [tokens[2:], tokens[:2]]
    assert {token: bench.replies[token].value for token in tokens} == {
        token: token * 10 for token in tokens
    }


# --- duration -------------------------------------------------------------------------------------


def test_c_08_a_batch_waits_its_time() -> None:
    """50 ms and then 30 to be processed."""
    bench = Bench(Duration(50 * MS), process=30)
    token = bench.add()
    bench.advance(200)
    assert bench.answered() == {token: 80}


@pytest.mark.parametrize("on_full", [OnFull.WAIT_DEADLINE, "reject"])
def test_c_09_a_full_batch_that_waits_for_its_time_rejects(on_full: OnFull) -> None:
    """Ten are taken; ninety are rejected although capacity is free."""
    limits = {"max_batch_size": 10, "max_key_concurrency": 1, "max_batch_queue_size": 1}
    bench = Bench(Duration(10 * MS, on_full), limits)
    outcomes = [bench.try_add() for _ in range(100)]
    bench.advance(10)
    assert [rejected(each) for each in outcomes[10:]] == ["available"] * 90
    assert list(bench.answered().values()) == [10] * 10


def test_c_10_a_batch_of_one_item_is_full_at_once() -> None:
    """It does not wait for its time (the original does)."""
    bench = Bench(Duration(50 * MS), {"max_batch_size": 1})
    token = bench.add()
    bench.advance(0)
    assert bench.answered() == {token: 0}


def test_c_11_what_is_due_starts_when_capacity_comes() -> None:
    """The second batch is due at 10 ms and starts at 40, when the first ends."""
    limits = {"max_batch_size": 1, "max_key_concurrency": 1}
    bench = Bench(Duration(10 * MS, OnFull.WAIT_DEADLINE), limits, process=30)
    bench.add()
    bench.add()
    bench.advance(200)
    assert [call.at for call in bench.calls] == [10, 40]


def test_c_12_a_stale_timer_means_nothing() -> None:
    """The key has gone idle and come back: the new batch keeps its own time."""
    bench = Bench(Duration(100 * MS), {"max_batch_size": 2}, process=1)
    bench.add()
    bench.add()
    bench.advance(50)
    assert bench.idle
    token = bench.add()
    bench.advance(100)
    assert token not in bench.replies
    bench.advance(200)
    assert bench.answered()[token] == 151


# --- balanced -------------------------------------------------------------------------------------


def test_c_13_a_small_batch_waits_for_the_one_that_runs() -> None:
    """Done at 50 and 100 ms."""
    bench = Bench(Balanced(5), {"max_key_concurrency": 1}, process=50)
    first = bench.add()
    bench.advance(1)
    second = bench.add()
    bench.advance(200)
    assert bench.answered() == {first: 50, second: 100}


def test_c_14_a_batch_that_is_worth_it_does_not_wait() -> None:
    """Five items run together beside the first."""
    bench = Bench(Balanced(5), {"max_key_concurrency": 2}, process=50)
    bench.add()
    bench.advance(1)
    five = [bench.add() for _ in range(5)]
    bench.advance(200)
    assert [call.inputs for call in bench.calls][1] == five
    assert {bench.answered()[token] for token in five} == {51}


def test_c_15_a_hint_of_one_is_immediate() -> None:
    """Each item that opens a batch has it started."""
    bench = Bench(Balanced(1), {"max_key_concurrency": 2}, process=50)
    first = bench.add()
    bench.advance(1)
    second = bench.add()
    bench.advance(200)
    assert bench.answered() == {first: 50, second: 51}


def test_c_15_a_hint_of_the_batch_size_prefers_full_batches() -> None:
    """A part of one starts when nothing runs, or when something ends."""
    limits = {"max_batch_size": 3, "max_key_concurrency": 2}
    bench = Bench(Balanced(3), limits, process=50)
    first = bench.add()
    bench.advance(1)
    for _ in range(3):
        bench.add()
    bench.advance(2)
    part = bench.add()
    bench.advance(300)
    assert [len(call.inputs) for call in bench.calls] == [1, 3, 1]
    assert bench.answered()[first] == 50
    assert bench.answered()[part] == 100


def test_c_15_a_hint_above_the_batch_size_is_clamped_or_refused() -> None:
    """As the policy says; the batcher logs what it has clamped."""
    limits = Limits(max_batch_size=4)
    assert BatcherCore(Balanced(9), limits).policy == Balanced(4)
    with pytest.raises(OptionError, match="min_size_hint must be at most max_batch_size, 4"):
        BatcherCore(Balanced(9, clamp=False), limits)


def test_c_16_what_has_no_room_behind_an_acquiring_batch_is_rejected() -> None:
    """Of twenty-one items at once twenty are taken."""
    limits = {"max_batch_size": 10, "max_key_concurrency": 1, "max_batch_queue_size": 2}
    bench = Bench(Balanced(5), limits, process=1)
    outcomes = [bench.try_add() for _ in range(21)]
    assert rejected(outcomes[-1]) == "maxed_out"
    bench.advance(100)
    assert len(bench.answered()) == 20


# --- errors ---------------------------------------------------------------------------------------


def test_c_17_a_wrong_number_of_outputs_is_every_items_error() -> None:
    """Capacity comes back, and the next batch is fine."""
    limits = {"max_batch_size": 2, "max_key_concurrency": 1}
    bench = Bench(Size(), limits, process=None)
    pair = [bench.add(), bench.add()]
    bench.finish(1, outputs=[1])
    for token in pair:
        error = bench.replies[token].error
        assert isinstance(error, ProcessorInvariantViolation)
        assert (error.expected, error.actual) == (2, 1)
    following = [bench.add(), bench.add()]
    bench.finish(2)
    assert set(bench.answered()) == set(following)
    assert bench.idle


def test_c_18_what_fails_costs_its_batch_alone() -> None:
    """Every item has the error; a failed acquisition releases nothing; the key still works."""
    bench = Bench(Immediate(), {"max_key_concurrency": 1}, process=None, acquires=True)
    first = bench.add()
    failed = ResourceAcquisitionFailed("no", ValueError("no"))
    bench.not_acquired(1, failed)
    second = bench.add()
    bench.acquired(2, "lease")
    bench.finish(2, BatchFailed("no", KeyError("x")))
    assert bench.errors()[first] is failed
    assert isinstance(bench.errors()[second].inner(), KeyError)
    assert [(each.resources, each.outcome) for each in bench.released] == [
        ("lease", Outcome.FAILED)
    ]
    third = bench.add()
    bench.acquired(3, "lease")
    bench.finish(3)
    assert third in bench.answered()
    assert bench.idle


def test_c_19_a_batch_whose_acquisition_fails_is_never_processed() -> None:
    """Not even in the moment before the failure is told; and the key completes 100 more items."""
    bench = Bench(
        Immediate(), {"max_batch_size": 1, "max_key_concurrency": 2}, process=None, acquires=True
    )
    first = bench.add()
    bench.acquired(1, "lease")
    second = bench.add()
    assert (list(bench.processing), bench.acquiring) == ([1], [2])
    # The failure has been posted; the end of the first is told before it.
    bench.finish(1)
    assert list(bench.processing) == []
    bench.not_acquired(2, ResourceAcquisitionFailed("no"))
    assert first in bench.answered()
    assert isinstance(bench.errors()[second], ResourceAcquisitionFailed)
    assert bench.idle
    for _ in range(100):
        token = bench.add()
        bench.acquired(bench.acquiring[0], "lease")
        bench.finish(next(iter(bench.processing)))
        assert token in bench.answered()
    assert bench.idle


# --- shutting down --------------------------------------------------------------------------------


def test_c_20_the_original_never_leaves_with_a_part_of_a_batch() -> None:
    """A `Size` batch of seven of ten waits for three more, for ever."""
    bench = Bench(Size(), {"max_batch_size": 10})
    for _ in range(7):
        bench.add()
    bench.shut_down("upstream")
    bench.advance(1000)
    assert bench.report is None
    assert bench.calls == []


@pytest.mark.parametrize("mode", ["flush", "drain"])
def test_c_20_flush_and_drain_process_what_waits(mode: str) -> None:
    """One call with seven items, then it leaves."""
    bench = Bench(Size(), {"max_batch_size": 10})
    tokens = [bench.add() for _ in range(7)]
    bench.shut_down(mode)  # type: ignore[arg-type]
    bench.advance(1000)
    assert [call.inputs for call in bench.calls] == [tokens]
    assert bench.report is not None
    assert (bench.report.mode, bench.report.replied, bench.left_at) == (mode, 7, 0)


def test_c_20_drain_lets_a_policy_decide_that_will() -> None:
    """A part of a batch waits for its time; a flush does not."""
    for mode, at in (("drain", 100), ("flush", 0)):
        bench = Bench(Duration(100 * MS))
        bench.add()
        bench.shut_down(mode)  # type: ignore[arg-type]
        bench.advance(1000)
        assert bench.left_at == at


def test_c_20_an_abort_cancels_what_waits() -> None:
    """Seven items, seven answers, nothing processed."""
    bench = Bench(Size(), {"max_batch_size": 10})
    tokens = [bench.add() for _ in range(7)]
    bench.shut_down("abort")
    assert bench.calls == []
    assert list(bench.errors()) == tokens
    assert all(isinstance(error, BatchCancelled) for error in bench.errors().values())
    assert bench.report is not None
    assert (bench.report.failed, bench.report.abandoned) == (7, ("'k'",))


def test_c_20_an_abort_interrupts_what_runs_and_releases_when_that_has_ended() -> None:
    """The items are answered at once, the resources are released once, and then it leaves."""
    bench = Bench(Immediate(), process=None, acquires=True)
    token = bench.add()
    bench.acquired(1, "lease")
    bench.shut_down("abort")
    assert isinstance(bench.errors()[token], BatchCancelled)
    assert (bench.interrupted, bench.report) == ([1], None)
    bench.finish(1)
    assert [each.resources for each in bench.released] == ["lease"]
    assert bench.left_at == 0


def test_c_20_an_aborted_batch_has_no_limit_in_time_any_more() -> None:
    """Its capacity comes back once."""
    bench = Bench(Immediate(), process=None, process_timeout=1.0)
    bench.add()
    bench.advance(0)
    bench.shut_down("abort")
    bench.advance(60_000)
    assert bench.idle


def test_c_20_what_does_not_end_when_interrupted_is_left_behind() -> None:
    """An abort ends in any case."""
    bench = Bench(Immediate(), process=None)
    bench.add()
    bench.advance(0)
    bench.shut_down("abort")
    bench.advance(60_000)
    assert bench.left_at == round(GONE_WITHIN / MS)


def test_c_21_items_are_refused_during_a_shutdown() -> None:
    """A caller that goes on adding does not keep it from leaving."""
    bench = Bench(Immediate(), process=10)
    bench.add()
    bench.advance(0)
    bench.shut_down("flush")
    for at in range(1, 20):
        bench.advance(at)
        assert isinstance(bench.try_add(), BatcherClosed)
    assert bench.left_at == 10
    assert bench.core.statistics.accepted == 1


@pytest.mark.parametrize("mode", ["drain", "flush", "close", "abort"])
def test_c_22_what_waits_behind_a_full_queue_is_answered_too(mode: str) -> None:
    """Every accepted item has exactly one answer before it leaves."""
    limits = {"max_batch_size": 2, "max_key_concurrency": 1, "max_batch_queue_size": 1}
    bench = Bench(Size(), limits, process=5, waits=True)
    tokens = [bench.add() for _ in range(21)]
    bench.shut_down(mode)  # type: ignore[arg-type]
    bench.advance(10_000)
    assert bench.report is not None
    assert sorted(bench.replies) == tokens
    statistics = bench.core.statistics
    assert (statistics.accepted, statistics.answered) == (21, 21)


def test_c_23_what_runs_is_answered_before_it_leaves() -> None:
    """A batch of 500 ms, told at 1 ms: it leaves at 500."""
    bench = Bench(Immediate(), process=500)
    token = bench.add()
    bench.advance(1)
    bench.shut_down("flush")
    bench.advance(1000)
    assert bench.answered() == {token: 500}
    assert bench.left_at == 500


def test_c_24_a_later_request_only_makes_it_stricter() -> None:
    """Repeated, milder and stricter requests: the strictest counts."""
    bench = Bench(Size(), {"max_batch_size": 10}, process=None)
    bench.add()
    bench.shut_down("upstream")
    bench.shut_down("upstream")
    assert bench.report is None
    bench.shut_down("flush")
    bench.shut_down("drain")
    assert list(bench.processing) == [1]
    bench.shut_down("abort")
    bench.finish(1)
    assert bench.report is not None
    assert bench.report.mode == "abort"
    bench.shut_down("abort")


def test_c_24_past_its_deadline_it_becomes_an_abort() -> None:
    """And the report says so."""
    bench = Bench(Immediate(), process=None)
    token = bench.add()
    bench.advance(0)
    bench.shut_down("flush", deadline=100 * MS)
    bench.advance(99)
    assert token not in bench.replies
    bench.advance(100)
    assert isinstance(bench.errors()[token], BatchCancelled)
    bench.finish(1)
    assert bench.report is not None
    assert (bench.report.mode, bench.report.escalated) == ("abort", True)


def test_c_25_close_lets_finish_what_runs_and_cancels_the_rest() -> None:
    """As when the last handle of the original is dropped, but nobody waits for an answer."""
    bench = Bench(Immediate(), {"max_key_concurrency": 1}, process=50)
    running = bench.add()
    bench.advance(1)
    waiting = bench.add()
    bench.shut_down("close")
    bench.advance(100)
    assert bench.answered() == {running: 50}
    assert isinstance(bench.errors()[waiting], BatchCancelled)
    assert bench.left_at == 50


# --- timeouts and cancellation --------------------------------------------------------------------


def test_c_26_a_hung_acquisition_costs_its_items_and_no_capacity() -> None:
    """What it acquires in the end is released, not leaked."""
    bench = Bench(
        Immediate(), {"max_key_concurrency": 1}, process=5, acquires=True, acquire_timeout=1.0
    )
    token = bench.add()
    bench.advance(999)
    assert token not in bench.replies
    bench.advance(1000)
    error = bench.errors()[token]
    assert isinstance(error, BatchTimeout)
    assert error.phase == "acquire"
    assert bench.interrupted == [1]
    following = bench.add()
    bench.acquired(2, "second")
    bench.advance(1100)
    assert following in bench.answered()
    bench.acquired(1, "late")
    assert [(each.resources, each.outcome) for each in bench.released] == [
        ("second", Outcome.DONE),
        ("late", Outcome.TIMED_OUT),
    ]
    assert bench.idle


def test_c_26_a_hung_process_costs_its_items_and_no_capacity() -> None:
    """Its resources are released when it has really ended, once."""
    bench = Bench(
        Immediate(), {"max_key_concurrency": 1}, process=None, acquires=True, process_timeout=1.0
    )
    token = bench.add()
    bench.acquired(1, "lease")
    bench.advance(1000)
    error = bench.errors()[token]
    assert isinstance(error, BatchTimeout)
    assert (error.phase, bench.released) == ("process", [])
    bench.finish(1)
    assert [each.outcome for each in bench.released] == [Outcome.TIMED_OUT]
    assert bench.idle


def test_c_28_an_item_is_left_out_as_long_as_its_batch_has_not_started() -> None:
    """Afterwards it is processed, and its answer is nobody's."""
    bench = Bench(Immediate(), {"max_key_concurrency": 1}, process=50)
    first = bench.add()
    bench.advance(1)
    second, third = bench.add(), bench.add()
    assert bench.cancel(second)
    assert not bench.cancel(first)
    bench.advance(200)
    assert [call.inputs for call in bench.calls] == [[first], [third]]
    assert isinstance(bench.errors()[second], BatchCancelled)
    assert not bench.cancel(99)
    assert bench.idle


def test_c_28_a_batch_whose_items_are_all_cancelled_is_not_processed() -> None:
    """What it has acquired is released."""
    bench = Bench(Immediate(), {"max_key_concurrency": 1}, process=5, acquires=True)
    assert bench.cancel(bench.add())
    bench.acquired(1, "lease")
    assert [(each.resources, each.outcome) for each in bench.released] == [
        ("lease", Outcome.CANCELLED)
    ]
    assert bench.calls == []
    assert bench.idle


def test_c_28_the_place_of_a_cancelled_item_is_taken() -> None:
    """By the item that waits for one, which has what was acquired for the other."""
    limits = {"max_batch_size": 1, "max_key_concurrency": 1, "max_batch_queue_size": 1}
    bench = Bench(Immediate(), limits, process=5, acquires=True, waits=True)
    first, second, third = bench.add(), bench.add(), bench.add()
    assert bench.cancel(first)
    assert bench.cancel(third)
    bench.acquired(1, "lease")
    bench.advance(100)
    assert [(call.inputs, call.resources) for call in bench.calls] == [([second], "lease")]
    assert bench.idle


# --- keys -----------------------------------------------------------------------------------------


def test_c_29_keys_that_are_idle_cost_nothing() -> None:
    """However many there have been: none is left, and the last cost what the first did.

    100 000 keys in a thorough run, 12 000 otherwise; then 4000 more while memory is watched.
    """
    chunk = 4_000
    count = size(100_000, 12_000)
    bench = Bench(Immediate())

    def use(keys: range) -> None:
        for key in keys:
            bench.core.add(key, key, key, 0, 0.0)
            bench.core.acquired(bench.core.statistics.batches + 1, None, 0.0)
            bench.core.finished(bench.core.statistics.batches, [key], None, 0.0)
            bench.core.commands.clear()

    costs = []
    for start in range(0, count, chunk):
        began = time.process_time()
        use(range(start, start + chunk))
        costs.append(time.process_time() - began)
    tracemalloc.start()
    try:
        use(range(count, count + chunk))
        gc.collect()  # a key, its batches and their items know each other
        grown = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert grown < 20_000
    count += chunk
    assert bench.idle
    statistics = bench.core.statistics
    assert (statistics.answered, statistics.batches) == (count, count)
    kept = [value for value in vars(bench.core).values() if isinstance(value, dict | set | list)]
    assert not any(kept)
    assert min(costs[-2:]) < 4 * min(costs[:2])


# --- bytes, totals, flush -------------------------------------------------------------------------


def test_bytes_close_a_batch_before_the_item_that_does_not_fit() -> None:
    """Sizes 6, 6, 6 with a limit of 10 are three batches; 4, 6 fill one."""
    bench = Bench(Size(linger=1.0), {"max_batch_bytes": 10})
    for weight in (6, 6, 6, 4, 6, 3):
        bench.add(weight=weight)
    bench.advance(1000)
    assert [call.inputs for call in bench.calls] == [[1], [2], [3, 4], [5, 6]]


def test_an_item_above_the_limit_is_a_batch_of_its_own() -> None:
    """It starts at once, and so does what it has closed."""
    bench = Bench(Size(), {"max_batch_bytes": 10})
    bench.add(weight=3)
    bench.add(weight=50)
    bench.advance(0)
    assert [call.inputs for call in bench.calls] == [[1], [2]]


def test_keys_take_turns_at_the_total_capacity() -> None:
    """One key that floods does not starve the others."""
    limits = {"max_batch_size": 1, "max_key_concurrency": 5, "max_total_concurrency": 2}
    bench = Bench(Immediate(), {**limits, "max_batch_queue_size": 50}, process=10)
    for _ in range(20):
        bench.add("flood")
    bench.advance(1)
    for key in "abc":
        bench.add(key)
    bench.advance(1000)
    order = [call.key for call in bench.calls]
    assert max(order.index(key) for key in "abc") < 8
    assert len(order) == 23
    starts = sorted(call.at for call in bench.calls)
    assert all(starts.count(at) <= 2 for at in starts)
    assert bench.idle


def test_flush_starts_what_is_queued_and_nothing_that_comes_later() -> None:
    """Of one key, or of all; capacity permitting."""
    bench = Bench(Size(), {"max_batch_size": 10, "max_key_concurrency": 1}, process=10)
    first = [bench.add("a"), bench.add("a")]
    other = bench.add("b")
    bench.flush("a")
    later = bench.add("a")
    bench.flush("nobody")
    bench.advance(5)
    assert [call.inputs for call in bench.calls] == [first]
    bench.flush()
    bench.advance(100)
    assert [call.inputs for call in bench.calls] == [first, [other], [later]]
    assert bench.idle


def test_a_linger_starts_a_part_of_a_batch() -> None:
    """Counted from its first item; a full one does not wait."""
    bench = Bench(Size(linger=0.1), {"max_batch_size": 2})
    bench.add()
    bench.advance(60)
    bench.add()
    bench.add()
    bench.advance(300)
    assert [(call.at, call.inputs) for call in bench.calls] == [(60, [1, 2]), (160, [3])]
