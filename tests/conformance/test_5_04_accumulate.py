"""Section 5.4: accumulate and forward."""

from __future__ import annotations

import pytest

from actorflow.protocol.control import SYSTEM
from actorflow.testing.harness import StageHarness
from tests.conformance.helpers.script import Script
from tests.conformance.helpers.stages import Counter, Idle


def started_in_accumulate() -> StageHarness:
    """By its option."""
    return StageHarness(Counter, demand="accumulate")


def switched_to_accumulate() -> StageHarness:
    """By an order of its supervisor."""
    producer = StageHarness(Counter)
    producer.set_demand("accumulate")
    return producer


@pytest.mark.parametrize("make", [started_in_accumulate, switched_to_accumulate])
def test_s022_accumulated_demand_is_served_on_forward(make: object) -> None:
    """While a producer accumulates nothing is delivered; forward serves what was asked."""
    assert callable(make)
    producer: StageHarness = make()
    producer.subscribe(1)
    producer.ask(1, 4)
    assert producer.call("demand", SYSTEM) == "accumulate"
    assert producer.events(1) == []
    assert producer.calls("handle_demand") == []

    producer.set_demand("forward")
    assert producer.call("demand", SYSTEM) == "forward"
    assert producer.events(1) == [[0, 1, 2, 3]]


def test_s024_forward_before_any_subscriber() -> None:
    """A producer that was set forward before anybody subscribed serves a later subscriber."""
    producer = started_in_accumulate()
    producer.set_demand("forward")
    producer.subscribe(1)
    producer.ask(1, 4)
    assert producer.events(1) == [[0, 1, 2, 3]]


def test_s025_accumulate_twice_keeps_what_is_held() -> None:
    """A second accumulate does not forget the demand that is held."""
    producer = started_in_accumulate()
    producer.subscribe(1)
    producer.ask(1, 4)
    producer.set_demand("accumulate")
    producer.set_demand("forward")
    assert producer.events(1) == [[0, 1, 2, 3]]


def test_s025_held_asks_are_released_one_by_one() -> None:
    """Held demands are not summed, so that a slow source can satisfy the small ones first."""
    producer = started_in_accumulate()
    producer.subscribe(1)
    producer.ask(1, 3)
    producer.ask(1, 5)
    producer.set_demand("forward")
    assert producer.calls("handle_demand") == [(3,), (5,)]
    assert producer.events(1) == [[0, 1, 2], [3, 4, 5, 6, 7]]


@pytest.mark.parametrize(("keep", "survivors"), [("last", [3, 4, 5]), ("first", [0, 1, 2])])
def test_s112_b18_held_events_obey_the_buffer(keep: str, survivors: list[int]) -> None:
    """What is emitted while accumulating is limited, counted and kept as the buffer says."""
    producer = StageHarness(Idle, demand="accumulate", buffer_size=3, buffer_keep=keep)
    producer.subscribe(1)
    producer.ask(1, 10)
    for number in range(6):
        producer.cast([number])
    assert producer.counters["buffered"] == 3
    assert producer.status()["producing"]["buffered"] == 3
    assert producer.counters["discarded"] == 3
    assert producer.counters["held"] == 10
    assert producer.events(1) == []
    producer.set_demand("forward")
    assert [event for batch in producer.events(1) for event in batch] == survivors
    assert producer.counters["held"] == 0


def test_s112_b18_nothing_overtakes_what_is_held() -> None:
    """An info waits behind what is held before it, and what comes later behind both."""
    producer = StageHarness(Idle, demand="accumulate")
    steps = Script(producer)
    producer.subscribe(1)
    producer.ask(1, 10)
    producer.cast(["a"])
    producer.info("one")
    producer.cast(["b"])
    producer.info("two")
    assert steps() == []
    producer.set_demand("forward")
    producer.cast(["c"])
    order = [step for step in steps() if step[0] in ("route", "handle_info")]
    assert order == [
        ("route", 1, ["a"]),
        ("route", 1, ["b"]),
        ("handle_info", "one"),
        ("handle_info", "two"),
        ("route", 1, ["c"]),
    ]
