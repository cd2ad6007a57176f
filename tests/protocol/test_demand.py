"""Subscription options, and the window that says when to ask for how much."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actorflow import OptionError, SubscriptionOptions
from actorflow.protocol.demand import AutoWindow, Batch, Window, window_for
from actorflow.protocol.pace import MAX_AUTO

windows = st.integers(1, 60).flatmap(
    lambda largest: st.tuples(st.just(largest), st.integers(0, largest - 1))
)
messages = st.lists(st.integers(1, 150), max_size=20)


class Transcript:
    """Section 4 of the GenStage inventory, word for word."""

    def __init__(self, largest: int, smallest: int) -> None:
        self.largest, self.smallest = largest, smallest
        self.counter = largest

    def message(self, count: int) -> list[Batch]:
        # 1. Cut into consecutive batches of at most (max - min) from the message's start.
        limit = self.largest - self.smallest
        sizes = [limit] * (count // limit) + [count % limit] * (count % limit > 0)
        # 2. For each batch of size s compute the ask.
        old = self.counter
        batches = []
        for size in sizes:
            counted = size
            if old - size < 0:
                counted, old = old, 0
            else:
                old -= size
            after = self.counter - counted
            if after <= self.smallest:
                ask, self.counter = self.largest - after, self.largest
            else:
                ask, self.counter = 0, after
            batches.append(Batch(size, ask, size - counted))
        return batches


@settings(deadline=None)
@given(windows, messages)
def test_a_window_is_genstages(bounds: tuple[int, int], counts: list[int]) -> None:
    """For every window and every sequence of messages, batches, asks and excess are section 4's."""
    window, transcript = Window(*bounds), Transcript(*bounds)
    assert window.open() == bounds[0]
    for count in counts:
        assert window.split(count) == transcript.message(count)
        assert window.outstanding == transcript.counter


@settings(deadline=None)
@given(windows, messages)
def test_the_short_way_is_the_same(bounds: tuple[int, int], counts: list[int]) -> None:
    """`take` answers for messages that are one batch, as `split` would, and for no others."""
    window, transcript = Window(*bounds), Transcript(*bounds)
    window.open()
    for count in counts:
        ask = window.take(count)
        expected = transcript.message(count)
        if ask is None:
            assert len(expected) > 1 or expected[0].excess
            assert window.split(count) == expected
        else:
            assert expected == [Batch(count, ask)]


@settings(deadline=None)
@given(windows, st.lists(st.integers(1, 100), max_size=40))
def test_a_window_stays_above_its_minimum(bounds: tuple[int, int], counts: list[int]) -> None:
    """A producer that sends what it is asked for never stops: after each message more is open."""
    window = Window(*bounds)
    credit = window.open()
    for count in counts:
        sent = min(count, credit)
        batches = window.split(sent)
        credit += sum(batch.ask for batch in batches) - sent
        assert bounds[1] < credit <= bounds[0]
        assert credit == window.outstanding
        assert not any(batch.excess for batch in batches)


speeds = st.sampled_from([0.0, 1e-9, 1e-6, 1e-4, 2e-3, 0.02, 1.0])


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, MAX_AUTO), speeds), max_size=60), st.booleans())
def test_an_adaptive_window_keeps_its_books(rounds: list[tuple[int, float]], short: bool) -> None:
    """Whatever times it measures, it never asks for more than its limit and never stops asking."""
    window = AutoWindow()
    credit = window.open()
    assert credit == 1
    for count, seconds in rounds:
        sent = min(count, credit)
        credit -= sent
        ask = window.take(sent) if short else None
        batches = window.split(sent) if ask is None else [Batch(sent, ask)]
        for batch in batches:
            credit += batch.ask + window.measured(batch.size, seconds * batch.size)
            assert 1 <= window.max_demand <= MAX_AUTO
            assert 0 <= window.min_demand < window.max_demand
        assert credit == window.outstanding
        assert 0 < credit <= MAX_AUTO


def test_an_adaptive_window_opens_for_cheap_events() -> None:
    """With events of a tenth of a microsecond it is full after some hundred batches."""
    window = AutoWindow()
    credit, batches = window.open(), 0
    while window.max_demand < MAX_AUTO:
        for batch in window.split(credit):
            batches += 1
            credit += batch.ask - batch.size + window.measured(batch.size, batch.size * 1e-7)
    assert batches < 400


def test_an_adaptive_window_asks_for_whole_batches() -> None:
    """When it is as wide as it gets, two messages are under way, and each is a batch."""
    window = AutoWindow()
    messages = [window.open()]
    sizes: list[int] = []
    while len(sizes) < 1000:
        for batch in window.split(messages.pop(0)):
            sizes.append(batch.size)
            asked = batch.ask + window.measured(batch.size, batch.size * 1e-8)
            messages += [asked] if asked else []
    assert sizes[-20:] == [MAX_AUTO // 2] * 20
    assert messages == [MAX_AUTO // 2] * 2


def test_an_adaptive_window_stays_at_1_for_long_jobs() -> None:
    """With events of a second no event is held back from another consumer."""
    window = AutoWindow()
    assert window.open() == 1
    for _ in range(5):
        assert window.split(1) == [Batch(1, 1)]
        assert window.measured(1, 1.0) == 0
        assert window.max_demand == 1


def test_an_adaptive_window_shrinks_when_events_turn_out_slow() -> None:
    """One slow batch counts at once."""
    window = AutoWindow()
    credit = window.open()
    while window.max_demand < MAX_AUTO:
        for batch in window.split(credit):
            credit += batch.ask - batch.size + window.measured(batch.size, 0.0)
    window.split(1)
    window.measured(1, 1.0)
    assert window.max_demand == 1


def test_an_adaptive_window_survives_times_too_small_to_divide_by() -> None:
    """Thousands of batches without measurable time after one with: the window is just full."""
    window = AutoWindow()
    window.open()
    window.split(1)
    window.measured(1, 1e-9)
    for _ in range(5000):
        window.split(40)
        window.measured(40, 0.0)
    assert window.max_demand == MAX_AUTO


def test_the_options_choose_the_window() -> None:
    """A number makes GenStage's window with half of it as the default minimum, auto the other."""
    assert type(window_for(SubscriptionOptions())) is AutoWindow
    for largest, smallest in ((1, 0), (2, 1), (3, 1), (1000, 500)):
        window = window_for(SubscriptionOptions(max_demand=largest))
        assert type(window) is Window
        assert (window.max_demand, window.min_demand) == (largest, smallest)
    window = window_for(SubscriptionOptions(max_demand=10, min_demand=9))
    assert (window.max_demand, window.min_demand) == (10, 9)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"max_demand": 0}, "max_demand"),
        ({"max_demand": -1}, "max_demand"),
        ({"max_demand": 1.5}, "max_demand"),
        ({"max_demand": True}, "max_demand"),
        ({"max_demand": None}, "max_demand"),
        ({"max_demand": "many"}, "max_demand"),
        ({"max_demand": [1]}, "max_demand"),
        ({"max_demand": 2**40 + 1}, "max_demand"),
        ({"max_demand": 2**70}, "max_demand"),
        ({"max_demand": 5, "min_demand": 5}, "min_demand"),
        ({"max_demand": 5, "min_demand": -1}, "min_demand"),
        ({"max_demand": 5, "min_demand": True}, "min_demand"),
        ({"max_demand": 5, "min_demand": 1.0}, "min_demand"),
        ({"min_demand": 1}, "min_demand"),
        ({"cancel": "never"}, "cancel"),
        ({"cancel": None}, "cancel"),
        ({"cancel": ["permanent"]}, "cancel"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], named: str) -> None:
    """The error has the option, the rule and the value, given directly or by a peer."""
    with pytest.raises(OptionError) as given_here:
        SubscriptionOptions(**options)
    with pytest.raises(OptionError) as given_there:
        SubscriptionOptions.from_wire(options)
    for caught in (given_here, given_there):
        assert caught.value.option == named
        assert caught.value.value == options[named]


def test_options_travel() -> None:
    """What is sent is read back equal, a dispatcher's own options included."""
    options = SubscriptionOptions(
        max_demand=7, min_demand=2, cancel="transient", extra={"partition": "a"}
    )
    assert SubscriptionOptions.from_wire(options.to_wire()) == options
    assert SubscriptionOptions.from_wire({}) == SubscriptionOptions()
