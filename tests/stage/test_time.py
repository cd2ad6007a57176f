"""Polling, timers and measured windows, on a fake clock."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actorflow import OptionError
from actorflow.stage.timers import Timers
from actorflow.testing.harness import StageHarness
from tests.conformance.helpers.stages import Forwarder, Idle


class Queue(Idle):
    """Hands over what it has been cast when it is asked; polls."""

    poll_interval = 0.05

    def __init__(self) -> None:
        self.items: list[Any] = []

    def handle_cast(self, message: list[Any]) -> Any:
        self.items += message

    def handle_demand(self, demand: int) -> list[Any]:
        taken, self.items = self.items[:demand], self.items[demand:]
        return taken


def polls(producer: StageHarness) -> list[int]:
    """How much each call of `handle_demand` was for."""
    return [count for (count,) in producer.calls("handle_demand")]


def test_unmet_demand_is_asked_for_again() -> None:
    """An empty source is polled with what is unmet, until everything is met."""
    producer = StageHarness(Queue)
    producer.subscribe(1)
    producer.ask(1, 10)
    producer.advance(0.2)
    assert polls(producer) == [10] * 5
    producer.cast(list(range(7)))
    producer.advance(0.05)
    assert producer.events(1) == [list(range(7))]
    producer.advance(0.05)
    assert polls(producer)[-2:] == [10, 3]
    producer.cast([7, 8, 9])
    producer.advance(0.05)
    met = len(polls(producer))
    producer.advance(1.0)
    assert len(polls(producer)) == met


def test_nobody_is_polled_for() -> None:
    """Without demand, or without consumers, the source is left alone."""
    producer = StageHarness(Queue)
    producer.advance(1.0)
    producer.subscribe(1)
    producer.advance(1.0)
    assert polls(producer) == []
    producer.ask(1, 5)
    producer.unsubscribe(1)
    producer.advance(1.0)
    assert polls(producer) == [5]


def test_a_debt_does_not_end_the_polling() -> None:
    """A consumer that asks for less than the source still owes is polled for all the same."""
    producer = StageHarness(Queue)
    producer.subscribe(1, "one")
    producer.ask(1, 10)
    producer.unsubscribe(1)
    producer.advance(1.0)
    producer.subscribe(2, "two")
    producer.ask(2, 4)
    producer.cast(["a", "b"])
    producer.advance(0.05)
    assert producer.events(2) == [["a", "b"]]


def test_a_source_that_has_finished_is_not_polled() -> None:
    """No poll comes after the end."""
    producer = StageHarness(Queue)
    producer.subscribe(1)
    producer.ask(1, 10)
    producer.finish()
    producer.advance(1.0)
    assert polls(producer) == [10]


class Alarm(Idle):
    """Keeps the times at which its messages come."""

    def __init__(self) -> None:
        self.came: list[Any] = []

    def handle_cast(self, message: Any) -> Any:
        for seconds, text in message:
            self.send_after(seconds, text)

    def handle_info(self, message: Any) -> None:
        self.came.append(message)


def test_messages_to_oneself_come_in_time_and_order() -> None:
    """`send_after` keeps its time; of one moment the first that was sent is first."""
    stage = StageHarness(Alarm)
    stage.cast([(2, "late"), (1, "early"), (1, "second"), (0, "now")])
    stage.advance(0)
    assert stage.behaviour.came == ["now"]
    stage.advance(1.5)
    assert stage.behaviour.came == ["now", "early", "second"]
    stage.advance(0.5)
    assert stage.behaviour.came == ["now", "early", "second", "late"]


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf"), "1", None, True])
def test_a_time_that_is_none(seconds: Any) -> None:
    """Only a finite number from 0 is a time."""
    stage = StageHarness(Alarm)
    with pytest.raises(OptionError, match="seconds must be a number"):
        stage.behaviour.send_after(seconds, "never")


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from("+>"), st.integers(0, 20)), max_size=30))
def test_timers_fire_once_and_in_order(steps: list[tuple[str, int]]) -> None:
    """Whatever is added and however far the clock moves, each timer fires once, when it is due."""
    timers, now = Timers(), 0
    waiting: list[tuple[int, int]] = []
    fired: list[tuple[int, int]] = []
    for number, (step, amount) in enumerate(steps):
        if step == "+":
            entry = (now + amount, number)
            waiting.append(entry)
            timers.add(entry[0], lambda entry=entry: fired.append(entry))  # type: ignore[misc]
        else:
            now += amount
            due = sorted(entry for entry in waiting if entry[0] <= now)
            waiting = [entry for entry in waiting if entry[0] > now]
            fired.clear()
            timers.fire_due(now)
            assert fired == due
        assert timers.next_due == min((entry[0] for entry in waiting), default=None)


def test_a_timer_that_adds_a_timer() -> None:
    """One that is due at once fires in the same turn, one that is due later does not."""
    timers = Timers()
    fired: list[str] = []

    def again() -> None:
        fired.append("first")
        timers.add(1, lambda: fired.append("second"))
        timers.add(2, lambda: fired.append("third"))

    timers.add(1, again)
    timers.fire_due(1)
    assert fired == ["first", "second"]
    assert timers.next_due == 2


def test_slow_jobs_are_taken_one_by_one() -> None:
    """Eight consumers without options leave eight long jobs to be shared: each takes one."""
    consumers = [StageHarness(Forwarder, seconds_per_event=1.0) for _ in range(8)]
    for consumer in consumers:
        consumer.link_to_producer(1)
        assert consumer.asks(1) == [1]
        consumer.route(1, ["job"])
        assert consumer.asks(1) == [1, 1]


def test_cheap_events_come_in_ever_larger_batches() -> None:
    """With events of a tenth of a microsecond the window grows with each, up to its limit."""
    consumer = StageHarness(Forwarder, seconds_per_event=1e-7)
    consumer.link_to_producer(1)
    got = 0
    for _ in range(300):
        credit = sum(consumer.asks(1)) - got
        assert credit > 0
        got += credit
        consumer.route(1, [0] * credit)
    sizes = [len(batch) for batch in consumer.behaviour.batches]
    assert sizes[0] == 1
    assert max(sizes) >= 5000
    assert consumer.counters["excess"] == 0
