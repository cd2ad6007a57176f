"""The four examples of section 4 of the GenStage inventory, message by message."""

from __future__ import annotations

from actorflow.testing.harness import StageHarness
from tests.conformance.helpers.script import Script, Step
from tests.conformance.helpers.stages import Forwarder, Same


def numbers(first: int, last: int) -> list[int]:
    """From the first to the last."""
    return list(range(first, last + 1))


def handled(first: int, last: int) -> Step:
    """A batch was handled."""
    return ("handle_events", numbers(first, last))


def routed(first: int, last: int) -> Step:
    """A batch was sent on."""
    return ("route", 2, numbers(first, last))


def ask(count: int) -> Step:
    """More was asked for."""
    return ("ask", 1, count)


def test_section4_example1_asks_leave_between_batches() -> None:
    """With 10/5, batches are of 5, a refill goes to the maximum, and excess earns none."""
    consumer = StageHarness(Forwarder)
    steps = Script(consumer)
    consumer.link_to_producer(1, max_demand=10, min_demand=5)
    assert steps() == [("subscribe", 1), ask(10)]

    consumer.route(1, range(10))
    assert steps() == [handled(0, 4), ask(5), handled(5, 9), ask(5)]

    consumer.route(1, range(10, 15))
    assert steps() == [handled(10, 14), ask(5)]

    consumer.route(1, [15, 16])
    assert steps() == [handled(15, 16)]

    consumer.route(1, range(17, 21))
    assert steps() == [handled(17, 20), ask(6)]

    consumer.route(1, range(21, 41))
    assert steps() == [
        handled(21, 25),
        ask(5),
        handled(26, 30),
        ask(5),
        handled(31, 35),
        handled(36, 40),
    ]
    assert consumer.counters["excess"] == 10


def test_section4_example2_short_messages_are_not_cut() -> None:
    """With 1000/750, messages of 100 stay whole and the ask of 300 follows the third."""
    consumer = StageHarness(Forwarder)
    steps = Script(consumer)
    consumer.link_to_producer(1, max_demand=1000, min_demand=750)
    assert steps() == [("subscribe", 1), ask(1000)]
    for start in (0, 300):
        for first in (start, start + 100):
            consumer.route(1, numbers(first, first + 99))
            assert steps() == [handled(first, first + 99)]
        consumer.route(1, numbers(start + 200, start + 299))
        assert steps() == [handled(start + 200, start + 299), ask(300)]


def test_section4_example3_many_small_asks() -> None:
    """With 100/80, a message of 100 makes five batches of 20, each followed by its ask."""
    consumer = StageHarness(Forwarder)
    steps = Script(consumer)
    consumer.link_to_producer(1, max_demand=100, min_demand=80)
    assert steps() == [("subscribe", 1), ask(100)]
    consumer.route(1, range(100))
    expected: list[Step] = []
    for first in range(0, 100, 20):
        expected += [handled(first, first + 19), ask(20)]
    assert steps() == expected


def test_section4_example3_with_a_low_minimum() -> None:
    """With 100/20, a message of 100 is cut at 80, and only the first part is followed by an ask."""
    consumer = StageHarness(Forwarder)
    steps = Script(consumer)
    consumer.link_to_producer(1, max_demand=100, min_demand=20)
    consumer.route(1, range(100))
    assert steps()[2:] == [handled(0, 79), ask(80), handled(80, 99)]
    consumer.route(1, range(100, 180))
    assert steps() == [handled(100, 179), ask(100)]


def test_section4_example3_with_the_smallest_windows() -> None:
    """With 3/2 and with 1/0 every event is a batch of its own with an ask of 1."""
    for largest, smallest in ((3, 2), (1, 0)):
        consumer = StageHarness(Forwarder)
        steps = Script(consumer)
        consumer.link_to_producer(1, max_demand=largest, min_demand=smallest)
        consumer.route(1, range(largest))
        expected: list[Step] = [("subscribe", 1), ask(largest)]
        for event in range(largest):
            expected += [handled(event, event), ask(1)]
        assert steps() == expected


def test_section4_example4_a_producer_consumer_and_a_consumer_by_hand() -> None:
    """A producer-consumer prefetches, tests demand between messages only, and buffers the rest."""
    middle = StageHarness(Same)
    steps = Script(middle)
    middle.link_to_producer(1, max_demand=10, min_demand=8)
    assert steps() == [("subscribe", 1), ask(10)]

    middle.route(1, range(10))
    assert steps() == []

    middle.subscribe(2)
    middle.ask(2, 3)
    assert steps() == [
        handled(0, 1),
        routed(0, 1),
        ask(2),
        handled(2, 3),
        routed(2, 2),
        ask(2),
        handled(4, 5),
        ask(2),
        handled(6, 7),
        ask(2),
        handled(8, 9),
        ask(2),
    ]
    assert middle.counters["buffered"] == 7

    middle.route(1, range(10, 14))
    assert steps() == []

    middle.ask(2, 5)
    assert steps() == [routed(3, 7)]

    middle.ask(2, 5)
    assert steps() == [
        routed(8, 9),
        handled(10, 11),
        routed(10, 11),
        ask(2),
        handled(12, 13),
        routed(12, 12),
        ask(2),
    ]
    assert middle.counters["buffered"] == 1


def test_b13_the_documentations_example_is_what_really_happens() -> None:
    """With 1000/750 and 100 events a message, the third is not cut, and earns an ask of 300."""
    consumer = StageHarness(Forwarder)
    steps = Script(consumer)
    consumer.link_to_producer(1, max_demand=1000, min_demand=750)
    assert steps() == [("subscribe", 1), ask(1000)]
    for first in (0, 100):
        consumer.route(1, range(first, first + 100))
        assert steps() == [handled(first, first + 99)]
    consumer.route(1, range(200, 300))
    assert steps() == [handled(200, 299), ask(300)]
