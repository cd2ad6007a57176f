"""Section 2.4: the half-open and race table, a row a test."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest

from actorflow import NoSuchStage, SubscriptionOptions, Topology
from actorflow.protocol.messages import RouteEos, Unsubscribe
from actorflow.supervision import operations
from actorflow.testing.harness import StageHarness
from tests.conformance.helpers.stages import Counter, Forwarder, Idle, Same
from tests.conformance.helpers.supervised import Supervised


def cancelled(stage: StageHarness) -> list[tuple[int, Any]]:
    """The subscriptions that `handle_cancel` was called for, and why."""
    return [(handle.ref, reason) for reason, handle in stage.calls("handle_cancel")]


def test_race_an_ask_before_the_subscription_is_processed() -> None:
    """It counts once the behaviour has agreed; on a link of its own it cannot overtake."""
    producer = StageHarness(Counter, autorun=False)
    producer.run()
    producer.subscribe(1)
    producer.ask(1, 3)
    assert producer.events(1) == []
    producer.run()
    assert producer.events(1) == [[0, 1, 2]]


def test_race_the_producer_dies_before_it_reads_the_subscription() -> None:
    """The verdict is enough; no answer is waited for."""
    consumer = StageHarness(Forwarder)
    consumer.link_to_producer(1, "producer", cancel="temporary")
    consumer.hang_up(1)
    consumer.down("producer", "killed")
    assert cancelled(consumer) == [(1, ("down", "killed"))]
    assert consumer.status()["producers"] == []


@pytest.mark.parametrize("behaviour", [Counter, Same])
def test_race_the_consumer_dies_after_it_has_subscribed(behaviour: Any) -> None:
    """The producer is told at once, also when its own callback has not run."""
    producer = StageHarness(behaviour, autorun=False)
    producer.run()
    producer.subscribe(1, "consumer")
    producer.ask(1, 5)
    producer.hang_up(1)
    producer.down("consumer", "killed")
    producer.run()
    assert cancelled(producer) == [(1, ("down", "killed"))]
    assert producer.status()["producing"]["consumers"] == []
    assert producer.sent(1) == []


def test_race_a_link_that_only_the_consumer_takes_to_be_lost() -> None:
    """Events that come meanwhile hit an unknown ref; the cancellation clears the producer."""
    consumer = StageHarness(Forwarder)
    consumer.link_to_producer(1, "one", max_demand=5, cancel="temporary")
    consumer.link_to_producer(2, "two", max_demand=5, cancel="temporary")
    consumer.down("one", "killed")
    consumer.receive(2, msgpack.packb(["$gen_route", 1, 1, "msgpack", msgpack.packb([1])]))
    assert consumer.sent(2)[-1] == Unsubscribe(1, "unknown_subscription")
    assert consumer.behaviour.batches == []

    producer = StageHarness(Counter)
    producer.subscribe(1, "consumer")
    producer.unsubscribe(1, "unknown_subscription")
    assert producer.eos_reasons(1) == ["unknown_subscription"]
    producer.ask(1, 5)
    assert producer.events(1) == []


def test_race_cancellations_from_both_ends_cross() -> None:
    """Each side has ended it already: the other's word changes nothing, and each is told once."""
    producer = StageHarness(Idle)
    producer.subscribe(1, "consumer")
    producer.behaviour.cancel(producer.calls("handle_subscribe")[0][2], "mine")
    producer.unsubscribe(1, "yours")
    assert producer.eos_reasons(1) == ["mine"]
    assert cancelled(producer) == [(1, ("cancel", "mine"))]

    consumer = StageHarness(Forwarder)
    consumer.link_to_producer(1, cancel="temporary")
    consumer.cancel(1, "yours")
    consumer.eos(1, "mine")
    consumer.receive(1, RouteEos(1, "yours"))
    assert cancelled(consumer) == [(1, ("cancel", "mine"))]


def test_race_events_in_flight_when_the_consumer_cancels() -> None:
    """Those before the producer's answer are handled, those after it are for nobody."""
    consumer = StageHarness(Forwarder)
    consumer.link_to_producer(1, max_demand=5, cancel="temporary")
    consumer.link_to_producer(2, "other", max_demand=5, cancel="temporary")
    consumer.cancel(1, "enough")
    consumer.route(1, ["in flight"])
    consumer.eos(1, "enough")
    late = msgpack.packb(["$gen_route", 1, 2, "msgpack", msgpack.packb(["late"])])
    consumer.receive(2, late)
    assert consumer.behaviour.batches == [["in flight"]]
    assert consumer.sent(2)[-1] == Unsubscribe(1, "unknown_subscription")


@pytest.mark.parametrize("behaviour", [Forwarder, Same])
def test_race_the_producer_exits_right_after_its_last_events(behaviour: Any) -> None:
    """Events precede the verdict, however much later they are handled."""
    consumer = StageHarness(behaviour, autorun=False)
    consumer.run()
    consumer.link_to_producer(1, "producer", max_demand=5)
    if behaviour is Same:
        consumer.subscribe(9, "sink")
        consumer.ask(9, 9)
    consumer.run()
    consumer.route(1, ["last"])
    consumer.hang_up(1)
    consumer.down("producer", "normal")
    consumer.run()
    labels = [called.label for called in consumer.trace if hasattr(called, "label")]
    mine = [each for each in labels if each in ("handle_events", "handle_cancel")]
    assert mine == ["handle_events", "handle_cancel"]
    assert consumer.behaviour.batches == [["last"]]


def test_race_a_replacement_is_one_message() -> None:
    """The old end and the new beginning are one step; the consumer keeps the new one."""
    producer = StageHarness(Counter)
    producer.subscribe(1, "sink")
    producer.ask(1, 1)
    producer.subscribe(2, "sink", replaces=1, reason="again")
    producer.ask(2, 1)
    assert (producer.events(1), producer.events(2)) == ([[0]], [[1]])
    assert producer.eos_reasons(1) == ["again"]
    consumer = StageHarness(Forwarder)
    consumer.link_to_producer(1, max_demand=1)
    consumer.link_to_producer(2, max_demand=1, replaces=1, reason="again")
    consumer.eos(1, "again")
    consumer.route(2, ["new"])
    assert consumer.behaviour.batches == [["new"]]
    assert consumer.exiting is None


def test_race_filtered_events_of_a_consumer_that_has_left() -> None:
    """A selector's no is credited in the same step, so nothing is asked for afterwards."""
    producer = StageHarness(Idle, dispatcher="broadcast")
    producer.subscribe(1, "one", selector="operator:truth")
    producer.subscribe(2, "other")
    producer.ask(1, 3)
    producer.ask(2, 3)
    producer.cast([0, 0])
    before = len(producer.calls("handle_demand"))
    producer.unsubscribe(1)
    assert len(producer.sent(1)) == 1  # its end
    assert producer.calls("handle_demand")[before:] == []


def test_race_a_name_that_means_nothing() -> None:
    """It is refused at the call, in every cancel mode; the consumer goes on."""
    supervised = Supervised(Topology("run").stage("sink", Forwarder))
    for cancel in ("permanent", "transient", "temporary"):
        with pytest.raises(NoSuchStage):
            operations.subscribe(
                supervised.core, "sink", "nobody", SubscriptionOptions(cancel=cancel)
            )
    assert supervised.row("sink/0").state == "running"


@pytest.mark.parametrize(
    ("message", "name"),
    [
        (["$gen_subscribe", 2, {}, ["x", "y"]], "bad_option"),
        (["$gen_subscribe", 2, {"max_demand": 0}, None], "bad_option"),
        (["$gen_subscribe", 2, [], None], "bad_option"),
        (["$gen_ask", 2, -1, 0], "bad_demand"),
    ],
)
def test_race_what_is_malformed_is_answered(message: list[Any], name: str) -> None:
    """A replacement, options or demand that breaks a rule; the others notice nothing."""
    producer = StageHarness(Counter)
    producer.subscribe(1, "good")
    if name == "bad_demand":
        producer.subscribe(2, "bad")
    else:
        producer.receive(2, msgpack.packb(message))
        assert [reason[0] for reason in producer.eos_reasons(2)] in ([name], ["unknown_link"])
    producer.receive(2, msgpack.packb(message))
    assert producer.eos_reasons(2)
    producer.ask(1, 2)
    assert producer.events(1) == [[0, 1]]
