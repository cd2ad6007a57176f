"""Batches that are finished later than their callback returns: credit, order, the end, mistakes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actorflow import (
    LATER,
    BadReturn,
    Consumer,
    HeldBatch,
    NotInStage,
    OptionError,
    ProducerConsumer,
    Subscription,
)
from actorflow.protocol.demand import SubscriptionOptions
from actorflow.protocol.held import FinishedInOrder, HeldWindow, held_window_for
from actorflow.protocol.pace import MAX_AUTO
from actorflow.testing import StageHarness


class Holds(Consumer):
    """Holds every batch; the test finishes them."""

    finishes_later = True

    def __init__(self) -> None:
        self.batches: list[HeldBatch] = []

    def handle_events(self, events: list[Any], subscription: Subscription) -> Any:
        self.batches.append(self.later())
        return LATER


class HoldsAndEmits(Holds, ProducerConsumer):
    """The same between a producer and a consumer."""


def held(behaviour: type[Holds] = Holds, **options: Any) -> StageHarness:
    """A stage that holds, subscribed with 4/1."""
    harness = StageHarness(behaviour)
    harness.link_to_producer(1, "numbers", **{"max_demand": 4, "min_demand": 1, **options})
    return harness


def test_a_message_is_one_batch_and_credit_returns_event_by_event() -> None:
    """The callback's return means nothing for demand."""
    harness = held()
    harness.route(1, [1, 2, 3, 4])
    (batch,) = harness.behaviour.batches
    assert (batch.left, harness.asks(1)) == (4, [4])
    batch.finished(2)
    assert harness.asks(1) == [4]
    batch.finished(1)
    assert harness.asks(1) == [4, 3]
    batch.finished()
    assert (batch.left, harness.asks(1)) == (0, [4, 3])


def test_acknowledgements_are_in_order() -> None:
    """The second batch is finished before the first."""
    harness = held()
    harness.route(1, [1])
    harness.route(1, [2])
    first, second = harness.behaviour.batches
    second.finished()
    harness.advance(1)
    assert harness.acked(1) == 0
    first.finished()
    harness.advance(1)
    assert harness.acked(1) == 2


def test_the_stage_ends_when_nothing_is_held() -> None:
    """Its input is at its end; a batch is not."""
    harness = held()
    harness.route(1, [1])
    harness.eos(1)
    assert harness.exiting is None
    harness.behaviour.batches[0].finished()
    harness.run()
    assert harness.exiting is not None
    assert harness.acked(1) == 1


def test_an_input_is_finished_with_its_outputs() -> None:
    """What was emitted before `finished` belongs to the batch."""
    harness = held(HoldsAndEmits)
    harness.subscribe(2, "sink")
    harness.ask(2, 9)
    harness.route(1, [1, 2])
    (batch,) = harness.behaviour.batches
    harness.behaviour.emit(["one"])
    batch.finished(1)
    harness.behaviour.emit(["two"])
    batch.finished(1)
    harness.acknowledge(2, 1)
    harness.advance(1)
    assert harness.acked(1) == 0
    harness.acknowledge(2, 2)
    harness.advance(1)
    assert harness.acked(1) == 1


def test_a_batch_without_outputs_is_finished_at_once() -> None:
    """No acknowledgement will come that could finish it."""
    harness = held(HoldsAndEmits)
    harness.subscribe(2, "sink")
    harness.ask(2, 9)
    harness.route(1, [1])
    harness.behaviour.batches[0].finished()
    harness.advance(1)
    assert harness.acked(1) == 1


def test_a_stage_that_holds_may_also_finish_at_once() -> None:
    """It returns nothing, or its events, as any other stage does."""

    class Sometimes(Holds):
        def handle_events(self, events: list[Any], subscription: Subscription) -> Any:
            return super().handle_events(events, subscription) if events[0] else None

    harness = held(Sometimes)
    harness.route(1, [0])
    harness.advance(1)
    assert harness.acked(1) == 1
    harness.route(1, [1])
    harness.advance(1)
    assert harness.acked(1) == 1


def test_on_stop_may_take_its_time() -> None:
    """It returns LATER; batches can still be finished, then the stage says that it has stopped."""

    class Tidies(Holds):
        def on_stop(self, reason: Any) -> Any:
            return LATER

    harness = held(Tidies)
    harness.route(1, [1])
    harness.stop("shutdown")
    assert harness.exiting is None
    harness.behaviour.batches[0].finished()
    harness.behaviour.stopped()
    assert harness.exiting is not None
    assert harness.acked(1) == 1


def test_after_the_producers_end_nothing_is_asked() -> None:
    """The batch is still acknowledged on a link that is open."""
    harness = held(cancel="temporary")
    harness.route(1, [1, 2, 3, 4])
    harness.eos(1, "normal")
    harness.behaviour.batches[0].finished()
    harness.advance(1)
    assert harness.asks(1) == [4]
    assert harness.acked(1) == 1
    assert 1 in harness.closed


@pytest.mark.parametrize("count", [0, -1, 3, "1", True])
def test_a_count_that_is_not_left_is_refused(count: Any) -> None:
    """By name and value."""
    harness = held()
    harness.route(1, [1, 2])
    with pytest.raises(OptionError, match="from 1 to 2"):
        harness.behaviour.batches[0].finished(count)


def test_later_without_a_handle_ends_the_stage() -> None:
    """Nobody could ever finish that batch."""

    class Forgets(Holds):
        def handle_events(self, events: list[Any], subscription: Subscription) -> Any:
            return LATER

    harness = held(Forgets)
    harness.route(1, [1])
    assert isinstance(harness.error, BadReturn)


def test_a_handle_without_later_ends_the_stage() -> None:
    """It would be finished twice."""

    class Confuses(Holds):
        def handle_events(self, events: list[Any], subscription: Subscription) -> Any:
            self.later()

    harness = held(Confuses)
    harness.route(1, [1])
    assert isinstance(harness.error, BadReturn)


def test_later_belongs_inside_handle_events_of_a_class_that_says_so() -> None:
    """Elsewhere there is no batch that it could be about."""
    with pytest.raises(NotInStage, match="inside handle_events"):
        held().behaviour.later()

    class DoesNotSay(Holds):
        finishes_later = False

    harness = held(DoesNotSay)
    harness.route(1, [1])
    assert isinstance(harness.error, NotInStage)


# --- the window, against its law ------------------------------------------------------------------


@given(
    options=st.integers(1, 20).flatmap(
        lambda most: st.tuples(st.just(most), st.integers(0, most - 1))
    ),
    moves=st.lists(st.integers(0, 7), max_size=200),
)
def test_what_is_asked_for_or_running_never_exceeds_the_maximum(
    options: tuple[int, int], moves: list[int]
) -> None:
    """And there is always more than the minimum of it: it refills at once, never too much."""
    most, least = options
    window = HeldWindow(most, least)
    coming, running = window.open(), 0
    for move in moves:
        if move % 2:
            count = min(coming, move)
            if count:
                assert window.take(count) == 0
                coming, running = coming - count, running + count
        elif count := min(running, max(1, move)):
            running -= count
            coming += window.finished(count, 0.0)
        assert least < coming + running <= most


@given(st.permutations(range(1, 30)))
def test_finished_in_order(seqs: list[int]) -> None:
    """It tells the longest prefix that is done."""
    order, done = FinishedInOrder(), set()
    for seq in seqs:
        done.add(seq)
        assert order.finish(seq) == next(n for n in range(31) if n + 1 not in done)


def test_an_auto_window_stays_between_its_places_and_the_most() -> None:
    """Cheap events widen it, a slow one narrows it to what can be worked on at once."""
    window = held_window_for(SubscriptionOptions(), 2)
    coming = window.open()
    while window.max_demand < MAX_AUTO:
        window.take(coming)
        coming = window.finished(coming, 1e-9)
    window.take(1)
    window.finished(1, 5.0)
    assert (window.max_demand, window.min_demand) == (2, 1)


class Sums(ProducerConsumer):
    """Says the sum when its input is over."""

    total = 0

    def handle_events(self, events: list[int], subscription: Subscription) -> None:
        self.total += sum(events)

    def on_end(self) -> list[int]:
        return [self.total]


class SumsLater(HoldsAndEmits):
    """Says it when the test lets it."""

    answer: Any = LATER

    def on_end(self) -> Any:
        if self.answer is LATER:
            self.end = self.later()
        elif self.answer == "now":
            self.emit(["now"])
            self.later().finished()
        return LATER


def fed_and_read(behaviour: type[ProducerConsumer]) -> StageHarness:
    """A stage between a producer and a consumer that wants a lot."""
    harness = StageHarness(behaviour)
    harness.expect("numbers/0", consumers=["sink/0"])
    harness.link_to_producer(1, "numbers", max_demand=4, min_demand=1)
    harness.subscribe(2, "sink")
    harness.ask(2, 10)
    return harness


def test_last_events_leave_before_the_end() -> None:
    """`on_end` comes after the last batch; its events leave, then the consumers are told."""
    harness = fed_and_read(Sums)
    harness.route(1, [1, 2])
    harness.eos(1)
    assert harness.events(2) == [[3]]
    assert not harness.machine.ended
    harness.acknowledge(2)
    assert harness.machine.ended
    assert len(harness.calls("on_end")) == 1


def test_a_stage_that_finishes_later_may_end_later() -> None:
    """It waits for the batches first, then for the handle of `on_end`; what is emitted leaves."""
    harness = fed_and_read(SumsLater)
    harness.route(1, [1])
    harness.eos(1)
    assert not harness.calls("on_end")
    harness.behaviour.batches[0].finished()
    harness.run()
    assert len(harness.calls("on_end")) == 1
    assert not harness.machine.ended
    harness.behaviour.emit(["last"])
    harness.behaviour.end.finished()
    harness.run()
    assert harness.events(2) == [["last"]]
    harness.acknowledge(2)
    assert harness.machine.ended


def test_the_end_may_be_over_within_on_end() -> None:
    """The handle is finished before LATER is returned: nothing is left to wait for."""
    harness = fed_and_read(SumsLater)
    harness.behaviour.answer = "now"
    harness.eos(1)
    assert harness.events(2) == [["now"]]
    harness.acknowledge(2)
    assert harness.machine.ended


def test_later_at_the_end_needs_its_handle() -> None:
    """LATER without `later()` would never end."""
    harness = fed_and_read(SumsLater)
    harness.behaviour.answer = None
    harness.eos(1)
    assert isinstance(harness.error, BadReturn)


def test_a_stage_that_is_stopped_has_no_last_events() -> None:
    """It has not come to the end of its input."""
    harness = fed_and_read(Sums)
    harness.stop()
    assert not harness.calls("on_end")
