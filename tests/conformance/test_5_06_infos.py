"""Section 5.6: infos, ordered with events."""

from __future__ import annotations

import pytest

from actorflow.stage.behaviour import Stage
from actorflow.testing.harness import StageHarness
from tests.conformance.helpers.script import Script
from tests.conformance.helpers.stages import Forwarder, Idle, Same


@pytest.mark.parametrize("behaviour", [Forwarder, Idle, Same])
def test_s034_an_info_with_nothing_before_it_is_delivered_at_once(behaviour: type[Stage]) -> None:
    """A consumer, an empty producer and an empty producer-consumer get an info immediately."""
    stage = StageHarness(behaviour)
    stage.info("hello")
    assert stage.calls("handle_info") == [("hello",)]


def test_s035_an_info_waits_behind_a_producer_consumers_input() -> None:
    """Infos wait while ten events wait for demand, and come after them."""
    middle = StageHarness(Same)
    steps = Script(middle)
    middle.link_to_producer(1, max_demand=10, min_demand=0)
    middle.route(1, range(10))
    middle.info("one")
    middle.info("two")
    assert middle.calls("handle_info") == []

    middle.subscribe(2)
    middle.ask(2, 10)
    assert steps()[2:] == [
        ("handle_events", list(range(10))),
        ("route", 2, list(range(10))),
        ("ask", 1, 10),
        ("handle_info", "one"),
        ("handle_info", "two"),
    ]


def test_s036_an_info_waits_behind_an_unlimited_buffer() -> None:
    """With three events buffered, the info comes after the consumer has got them."""
    producer = StageHarness(Idle, buffer_size=None)
    steps = Script(producer)
    producer.cast(["a", "b", "c"])
    producer.info("hello")
    producer.subscribe(1)
    assert steps() == []

    producer.ask(1, 1000)
    assert steps() == [
        ("route", 1, ["a", "b", "c"]),
        ("handle_info", "hello"),
        ("handle_demand", 997),
    ]


@pytest.mark.parametrize("buffered", [["a"], ["a", "b"], ["a", "b", "c"]])
def test_s037_an_info_waits_behind_a_limited_buffer(buffered: list[str]) -> None:
    """With one, two or three events in a buffer of three, the info comes after them."""
    producer = StageHarness(Idle, buffer_size=3)
    steps = Script(producer)
    producer.cast(buffered)
    producer.info("hello")
    producer.subscribe(1)
    assert steps() == []

    producer.ask(1, 1000)
    assert steps()[:2] == [("route", 1, buffered), ("handle_info", "hello")]
