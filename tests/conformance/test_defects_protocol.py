"""Section 0: what GenStage 1.3.2 gets wrong about subscriptions, messages and infos, done right."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest

from actorflow import OptionError, Refused, SubscriptionOptions, Topology
from actorflow.protocol.messages import RouteEos, Unsubscribe
from actorflow.supervision import operations
from actorflow.testing.harness import StageHarness
from tests.conformance.helpers.network import Network
from tests.conformance.helpers.script import Script
from tests.conformance.helpers.stages import Counter, Forwarder, Idle
from tests.conformance.helpers.supervised import Supervised


def flat(batches: list[list[Any]]) -> list[Any]:
    """All events of some batches."""
    return [event for batch in batches for event in batch]


def test_s109_b10_subscribing_to_a_consumer_fails() -> None:
    """The supervisor refuses it; a peer that tries all the same gets an answer."""
    supervised = Supervised(Topology("run").stage("one", Forwarder).stage("two", Forwarder))
    with pytest.raises(Refused, match="not_a_producer: two/0 is a consumer"):
        operations.subscribe(supervised.core, "one", "two", SubscriptionOptions())
    consumer = StageHarness(Forwarder)
    consumer.subscribe(7)
    assert consumer.sent(7) == [RouteEos(7, "not_a_producer")]


@pytest.mark.parametrize("cancel", ["permanent", "transient", "temporary"])
@pytest.mark.parametrize("reason", ["normal", "oops"])
def test_b11_resubscribing_never_triggers_the_cancel_mode(cancel: str, reason: str) -> None:
    """A replaced subscription under load: the consumer lives, and nothing is lost or repeated."""
    network = Network()
    counter = network.add("counter", Counter)
    sink = network.add("sink", Forwarder)
    ref = network.connect("sink", "counter", max_demand=4, cancel=cancel)
    for rounds in range(1, 6):
        network.run(until=lambda: counter.behaviour.next > 50 * rounds)  # noqa: B023
        ref = network.replace(ref, reason, max_demand=4 + rounds, cancel=cancel)
    network.run(until=lambda: counter.behaviour.next > 400)
    assert sink.exiting is None
    seen = flat(sink.behaviour.batches)
    assert seen == list(range(len(seen)))
    assert len(seen) > 350
    assert [peer["ref"] for peer in counter.machine.status()["producing"]["consumers"]] == [ref]
    assert [peer["ref"] for peer in sink.machine.status()["producers"]] == [ref]


def test_b11_the_producer_changes_over_within_one_message() -> None:
    """The old subscription ends and the new one begins in one step, in order."""
    producer = StageHarness(Counter)
    steps = Script(producer)
    producer.subscribe(1, "one")
    producer.ask(1, 2)
    producer.subscribe(2, "one", replaces=1, reason="again")
    producer.ask(2, 2)
    assert steps() == [
        ("handle_demand", 2),
        ("route", 1, [0, 1]),
        ("eos", 1, "again"),
        ("handle_demand", 2),
        ("route", 2, [2, 3]),
    ]


def test_b11_two_subscriptions_to_one_producer_end_one_by_one() -> None:
    """A consumer with two streams from one producer ends when both have."""
    consumer = StageHarness(Forwarder)
    consumer.link_to_producer(1, "producer", max_demand=2)
    consumer.link_to_producer(2, "producer", max_demand=2)
    consumer.eos(1, "done")
    assert consumer.exiting is None
    consumer.route(2, ["last"])
    consumer.eos(2, "done")
    assert consumer.behaviour.batches == [["last"]]
    assert consumer.exiting is not None


def test_b12_bad_options_of_a_declared_subscription_fail_the_start() -> None:
    """A mistake in `subscribe_to` is refused before any stage starts."""
    with pytest.raises(OptionError, match="min_demand must be an integer from 0 to 1"):
        Topology("run").stage("counter", Counter).stage(
            "sink", Forwarder, subscribe_to=[{"to": "counter", "max_demand": 2, "min_demand": 2}]
        )


def test_b15_an_unknown_ref_is_always_answered() -> None:
    """A cancellation of a subscription that does not exist gets its end."""
    producer = StageHarness(Counter)
    producer.subscribe(1)
    producer.receive(1, Unsubscribe(99, "normal"))
    assert producer.sent(1) == [RouteEos(99, "unknown_subscription")]


@pytest.mark.parametrize("count", [0, -1, 1.5, "5", None, True, [5], 2**50])
def test_b16_a_bad_demand_ends_that_subscription(count: Any) -> None:
    """Zero, negative, too large or no integer: bad_demand, and the others go on."""
    producer = StageHarness(Counter)
    producer.subscribe(1, "good")
    producer.subscribe(2, "bad")
    producer.receive(2, msgpack.packb(["$gen_ask", 2, count, 0]))
    assert [reason[0] for reason in producer.eos_reasons(2)] == ["bad_demand"]
    assert producer.calls("handle_info") == []
    producer.ask(1, 2)
    assert producer.events(1) == [[0, 1]]
    producer.hang_up(2)
    assert [peer["ref"] for peer in producer.status()["producing"]["consumers"]] == [1]


@pytest.mark.parametrize("replaces", [1, "x", [1], [1, 2, 3], [-1, "x"], ["x", "y"], [None, None]])
def test_b16_a_malformed_replacement_is_answered(replaces: Any) -> None:
    """A subscribe message whose `replaces` is wrong is refused with bad_option."""
    producer = StageHarness(Counter)
    producer.subscribe(1)
    producer.receive(2, msgpack.packb(["$gen_subscribe", 2, {}, replaces]))
    assert [reason[0] for reason in producer.eos_reasons(2)] == ["bad_option"]
    assert producer.eos_reasons(1) == []


def none(event: Any) -> bool:
    """A selector."""
    return False


def test_b17_a_selector_that_takes_nothing_sends_nothing() -> None:
    """No empty batch is sent, and the consumer keeps its demand."""
    producer = StageHarness(Idle, dispatcher="broadcast")
    producer.subscribe(1, "one", selector=f"{__name__}:none")
    producer.ask(1, 3)
    producer.cast(["a", "b"])
    assert producer.sent(1) == []
    (peer,) = producer.status()["producing"]["consumers"]
    assert peer["outstanding"] == 3


def test_b18_what_is_emitted_while_accumulating_obeys_the_buffer() -> None:
    """It counts as buffered, is limited by the buffer's size, and infos keep their order."""
    producer = StageHarness(Idle, demand="accumulate", buffer_size=3)
    steps = Script(producer)
    producer.subscribe(1)
    producer.ask(1, 10)
    producer.cast(["a", "b", "c"])
    producer.info("behind c")
    producer.cast(["d"])
    assert producer.counters["buffered"] == 3
    assert producer.counters["discarded"] == 1
    assert steps() == []
    assert producer.status()["producing"]["buffered"] == 3

    producer.set_demand("forward")
    assert steps()[1:4] == [
        ("route", 1, ["b", "c"]),
        ("route", 1, ["d"]),
        ("handle_info", "behind c"),
    ]


def test_b18_an_info_whose_events_were_dropped_comes_at_once() -> None:
    """While accumulating, as otherwise: when nothing is left before an info it is delivered."""
    producer = StageHarness(Idle, demand="accumulate", buffer_size=1)
    producer.cast(["a"])
    producer.info("behind a")
    producer.cast(["b"])
    assert producer.calls("handle_info") == [("behind a",)]


@pytest.mark.parametrize("size", [3, 10, None])
def test_b19_an_info_behind_n_events_comes_when_n_are_taken(size: int | None) -> None:
    """Bounded or not, the info is delivered as soon as nothing is before it."""
    producer = StageHarness(Idle, buffer_size=size)
    producer.cast(["a", "b", "c"])
    producer.info("hello")
    producer.subscribe(1)
    producer.ask(1, 3)
    assert producer.events(1) == [["a", "b", "c"]]
    assert producer.calls("handle_info") == [("hello",)]
