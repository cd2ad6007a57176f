"""Section 5.10: protocol errors."""

from __future__ import annotations

import msgpack

from actorflow.protocol.codec import encode_value
from actorflow.protocol.control import Link
from actorflow.protocol.messages import Ask, Notify, Route, RouteEos, Subscribe, Unsubscribe
from actorflow.testing.harness import StageHarness
from tests.conformance.helpers.script import Script
from tests.conformance.helpers.stages import Counter, Forwarder

EVENTS = encode_value([1, 2])


def test_s066_a_ref_that_is_subscribed_twice() -> None:
    """The sender gets duplicated_subscription; the producer keeps what it has."""
    producer = StageHarness(Counter)
    producer.subscribe(1)
    producer.receive(1, Subscribe(1, {}))
    assert producer.eos_reasons(1) == ["duplicated_subscription"]
    producer.ask(1, 2)
    assert producer.events(1) == [[0, 1]]
    assert len(producer.calls("handle_subscribe")) == 1


def test_s067_an_ask_with_an_unknown_ref() -> None:
    """The sender gets unknown_subscription, and nobody else notices."""
    producer = StageHarness(Counter)
    producer.subscribe(1)
    producer.receive(1, Ask(99, 5))
    assert producer.sent(1) == [RouteEos(99, "unknown_subscription")]
    producer.ask(1, 2)
    assert producer.events(1) == [[0, 1]]


def test_s067_an_ask_on_the_wrong_link() -> None:
    """A ref belongs to the link that it was made on; another peer cannot ask on it."""
    producer = StageHarness(Counter)
    producer.subscribe(1, "one")
    producer.subscribe(2, "two")
    producer.receive(2, Ask(1, 5))
    assert producer.sent(2) == [RouteEos(1, "unknown_subscription")]
    assert producer.events(1) == []


def test_s068_a_subscription_to_a_pure_consumer() -> None:
    """It is answered with not_a_producer, so that nobody waits for ever, and the stage lives."""
    consumer = StageHarness(Forwarder)
    consumer.order(Link(7, "producer", "stray/0#1"))
    consumer.receive(7, Subscribe(7, {}))
    consumer.receive(7, Ask(7, 5))
    consumer.receive(7, Unsubscribe(7, "normal"))
    assert consumer.sent(7) == [RouteEos(7, "not_a_producer")] * 3
    assert consumer.exiting is None


def test_s068_a_malformed_subscription_to_a_pure_consumer() -> None:
    """It is answered with what is wrong with it."""
    consumer = StageHarness(Forwarder)
    consumer.order(Link(7, "producer", "stray/0#1"))
    consumer.receive(7, msgpack.packb(["$gen_subscribe", 7, None, None]))
    ((name, _),) = consumer.eos_reasons(7)
    assert name == "bad_option"
    assert consumer.exiting is None


def test_s068_events_for_a_pure_producer() -> None:
    """They are logged and answered with not_a_consumer, ends excepted; the stage lives."""
    producer = StageHarness(Counter)
    producer.subscribe(1)
    producer.receive(1, Route(1, 1, EVENTS.codec, EVENTS.body))
    producer.receive(1, RouteEos(1, "done"))
    producer.receive(1, Notify(1, EVENTS.codec, EVENTS.body))
    assert [each.level for each in producer.log] == ["error"] * 3
    assert producer.sent(1) == [Unsubscribe(1, "not_a_consumer")] * 2
    producer.ask(1, 2)
    assert producer.events(1) == [[0, 1]]


def test_s069_events_with_an_unknown_ref() -> None:
    """The sender gets a cancellation with unknown_subscription; the events are ignored."""
    consumer = StageHarness(Forwarder)
    steps = Script(consumer)
    consumer.link_to_producer(1, max_demand=2)
    steps()
    consumer.receive(1, Route(99, 1, EVENTS.codec, EVENTS.body))
    consumer.receive(1, Notify(99, EVENTS.codec, EVENTS.body))
    consumer.receive(1, RouteEos(99, "done"))
    assert steps() == [("unsubscribe", 99, "unknown_subscription")] * 2
    assert consumer.behaviour.batches == []
    consumer.route(1, [1])
    assert consumer.behaviour.batches == [[1]]


def test_a_consumer_says_which_version_it_speaks() -> None:
    """The subscribe message carries it among its options."""
    consumer = StageHarness(Forwarder)
    consumer.link_to_producer(7)
    (subscribe,) = [each for each in consumer.sent(7) if isinstance(each, Subscribe)]
    assert subscribe.options["version"] == 1


def test_another_version_is_refused() -> None:
    """The refusal names both versions; the producer goes on serving everybody else."""
    producer = StageHarness(Counter)
    producer.subscribe(1, "old", version=2)
    producer.subscribe(2, "new", version=1)
    assert producer.eos_reasons(1) == [
        ["unsupported_version", "this stage speaks version 1, got 2"]
    ]
    producer.ask(2, 2)
    assert producer.events(2) == [[0, 1]]
