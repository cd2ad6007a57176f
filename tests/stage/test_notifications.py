"""In-band notifications: never dropped, without demand, in order with the events around them."""

from __future__ import annotations

from typing import Any

import pytest

from actorflow import ProducerConsumer, Subscription
from actorflow.protocol.codec import decode_events, decode_value
from actorflow.protocol.messages import Notify, Route
from actorflow.testing.harness import StageHarness
from tests.conformance.helpers.stages import Forwarder, Idle


class Tells(Idle):
    """Notifies of what it is called with."""

    def handle_call(self, request: Any, sender: Any) -> str:
        self.notify(request)
        return "told"


def seen(stage: StageHarness, *refs: int) -> list[Any]:
    """Events, and in brackets notifications, in the order in which a consumer got them."""
    found: list[Any] = []
    for ref in refs:
        for message in stage.sent(ref):
            if isinstance(message, Route):
                found += decode_events(message.codec, message.body)
            elif isinstance(message, Notify):
                found.append([decode_value(message.codec, message.body)])
    return found


def test_a_notification_needs_no_demand() -> None:
    """Every consumer gets it, also one that has not asked."""
    producer = StageHarness(Tells)
    producer.subscribe(1, "one")
    producer.subscribe(2, "two")
    producer.ask(2, 5)
    producer.call("hello")
    assert seen(producer, 1) == seen(producer, 2) == [["hello"]]
    (peer, _) = producer.status()["producing"]["consumers"]
    assert peer["outstanding"] == 0


@pytest.mark.parametrize("size", [3, None])
@pytest.mark.parametrize("demand", ["forward", "accumulate"])
def test_a_notification_keeps_its_place_among_buffered_events(
    size: int | None, demand: str
) -> None:
    """Bounded, unbounded or accumulating: after what was emitted before it, before what follows."""
    producer = StageHarness(Tells, buffer_size=size, demand=demand)
    producer.subscribe(1, "one")
    producer.cast(["a", "b"])
    producer.call("one")
    producer.cast(["c"])
    producer.call("two")
    producer.set_demand("forward")
    assert seen(producer, 1) == []
    producer.ask(1, 2)
    assert seen(producer, 1) == ["a", "b", ["one"]]
    producer.ask(1, 2)
    assert seen(producer, 1) == ["a", "b", ["one"], "c", ["two"]]


@pytest.mark.parametrize(("keep", "survivors"), [("last", ["e", "f"]), ("first", ["a", "b"])])
def test_an_overflow_drops_events_only(keep: str, survivors: list[str]) -> None:
    """Every notification survives, each behind the surviving events that precede it."""
    producer = StageHarness(Tells, buffer_size=2, buffer_keep=keep)
    producer.subscribe(1, "one")
    producer.subscribe(2, "two")
    for event in "abcdef":
        producer.cast([event])
        producer.call(event)
    producer.ask(1, 10)
    found = seen(producer, 1)
    assert [event for event in found if isinstance(event, str)] == survivors
    assert [event for event in found if isinstance(event, list)] == [[event] for event in "abcdef"]
    for event in survivors:
        assert found.index(event) < found.index([event])
        later = [other for other in found[found.index([event]) :] if isinstance(other, str)]
        assert all(other > event for other in later)
    assert [event for event in seen(producer, 2) if isinstance(event, list)] == [
        [event] for event in "abcdef"
    ]


def by_first(event: str) -> str:
    """A partition function: the event begins with its partition."""
    return event[0]


def partitioned() -> StageHarness:
    """A producer with a consumer for each of the partitions a and b."""
    by = f"{__name__}:by_first"
    producer = StageHarness(Tells, dispatcher={"partition": {"partitions": ["a", "b"], "by": by}})
    producer.subscribe(1, "one", partition="a")
    producer.subscribe(2, "two", partition="b")
    return producer


def test_a_notification_among_partitions() -> None:
    """Each consumer gets it behind its own events, whatever waits for the others."""
    producer = partitioned()
    producer.ask(1, 1)
    producer.ask(2, 6)
    producer.cast(["a1", "b1", "a2", "a3"])
    producer.call("hello")
    producer.cast(["b2", "a4"])
    assert seen(producer, 2) == ["b1", ["hello"], "b2"]
    assert seen(producer, 1) == ["a1"]
    producer.ask(1, 1)
    assert seen(producer, 1) == ["a1", "a2"]
    producer.ask(1, 5)
    assert seen(producer, 1) == ["a1", "a2", "a3", ["hello"], "a4"]


def test_a_notification_waits_for_a_partitions_next_consumer() -> None:
    """What is queued for a partition without a consumer is delivered with its notifications."""
    producer = partitioned()
    producer.ask(2, 6)
    producer.cast(["a1"])
    producer.call("hello")
    producer.cast(["a2"])
    producer.unsubscribe(1)
    producer.subscribe(3, "other", partition="a")
    producer.ask(3, 5)
    assert seen(producer, 3) == ["a1", ["hello"], "a2"]


def test_a_notification_behind_a_predecessors_part() -> None:
    """The successor in a broadcast gets first what its predecessor had not finished."""
    producer = StageHarness(Tells, dispatcher="broadcast")
    for ref, name in ((1, "one"), (2, "two")):
        producer.subscribe(ref, name)
        producer.ask(ref, 10)
    producer.cast(["a", "b"])
    producer.down("two#1", restarting=True)
    producer.call("hello")
    producer.cast(["c"])
    producer.subscribe(3, "two#2")
    producer.ask(3, 1)
    assert seen(producer, 3) == ["a"]
    producer.ask(3, 9)
    assert seen(producer, 3) == ["a", "b", ["hello"], "c"]
    assert seen(producer, 1) == ["a", "b", ["hello"], "c"]


def test_a_notification_while_a_consumer_is_away() -> None:
    """Also one that had nothing unfinished gets what was said before its successor came."""
    producer = StageHarness(Tells, dispatcher="broadcast")
    producer.subscribe(1, "one")
    producer.down("one#1", restarting=True)
    producer.call("hello")
    producer.subscribe(2, "one#2")
    producer.ask(2, 1)
    producer.cast(["a"])
    assert seen(producer, 2) == [["hello"], "a"]


def test_a_consumer_is_told_in_order() -> None:
    """Its callback comes between those of the events around it."""

    class Listens(Forwarder):
        def handle_notification(self, message: Any, subscription: Subscription) -> None:
            self.batches.append([message, subscription.ref])

    consumer = StageHarness(Listens)
    consumer.link_to_producer(7, max_demand=10)
    consumer.route(7, ["a"])
    consumer.notify(7, "hello")
    consumer.route(7, ["b"])
    assert consumer.behaviour.batches == [["a"], ["hello", 7], ["b"]]


def test_a_producer_consumer_passes_a_notification_on_in_order() -> None:
    """One that repeats what it is told does so between the events around it."""

    class Repeats(ProducerConsumer):
        def handle_events(self, events: list[Any], subscription: Subscription) -> list[Any]:
            return events

        def handle_notification(self, message: Any, subscription: Subscription) -> None:
            self.notify(message)

    middle = StageHarness(Repeats)
    middle.link_to_producer(1, max_demand=10, min_demand=0)
    middle.subscribe(2, "sink")
    middle.route(1, ["a", "b"])
    middle.notify(1, "hello")
    middle.route(1, ["c"])
    middle.ask(2, 1)
    assert seen(middle, 2) == ["a"]
    middle.ask(2, 9)
    assert seen(middle, 2) == ["a", "b", ["hello"], "c"]


def test_the_default_is_an_info() -> None:
    """A stage that does not say otherwise gets a notification in `handle_info`."""
    consumer = StageHarness(Forwarder)
    consumer.link_to_producer(1, max_demand=10)
    consumer.notify(1, "hello")
    assert [record.values["message"] for record in consumer.log] == ["hello"]
