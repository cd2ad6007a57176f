"""Section 7 and the rest of section 5.14: proposals about consumers and their subscriptions."""

from __future__ import annotations

from typing import Any

import pytest

from actorflow import (
    BadReturn,
    OptionError,
    Refused,
    SubscribeTo,
    SubscriptionOptions,
    Topology,
    TopologyError,
)
from actorflow.protocol.messages import Unsubscribe
from actorflow.supervision import operations
from actorflow.supervision.subscriptions import resubscribe
from actorflow.testing.harness import StageHarness
from tests.conformance.helpers.stages import Counter, Forwarder, Idle
from tests.conformance.helpers.supervised import Supervised
from tests.seeds import seeds

WRONG: list[Any] = [("ok", 3), None, 7, b"counter", object]
OPTIONS = SubscriptionOptions(max_demand=2)


def two_stages() -> Supervised:
    """A counter and a sink, not subscribed."""
    return Supervised(Topology("run").stage("counter", Counter).stage("sink", Forwarder))


@pytest.mark.parametrize("wrong", WRONG)
def test_a23_what_is_no_name_is_refused_at_the_call(wrong: Any) -> None:
    """With the parameter, what it accepts, and the value; before any message leaves."""
    core = two_stages().core
    for consumer, producer, parameter in ((wrong, "counter", "consumer"), ("sink", wrong, "to")):
        with pytest.raises(OptionError) as caught:
            operations.subscribe(core, consumer, producer, OPTIONS)
        assert caught.value.option == parameter
        assert "a stage's name, such as" in caught.value.rule
        assert caught.value.value is wrong
    assert core.wiring.edges == []


@pytest.mark.parametrize("wrong", [("ok", 3), "sink", 7, {"max_demand": 2}])
def test_a23_options_of_another_type_are_refused_at_the_call(wrong: Any) -> None:
    """By `subscribe` and by `resubscribe`."""
    supervised = two_stages()
    core = supervised.core
    with pytest.raises(OptionError, match="options must be a SubscriptionOptions"):
        operations.subscribe(core, "sink", "counter", wrong)
    ref = supervised.wait(operations.subscribe(core, "sink", "counter", OPTIONS))
    with pytest.raises(OptionError, match="options must be a SubscriptionOptions"):
        resubscribe(core, ref, to=None, options=wrong, reason="x", consumer=None)


@pytest.mark.parametrize("wrong", [("ok", 3), None, "sink", -1, 1.0, True])
def test_a23_what_is_no_ref_is_refused_at_the_call(wrong: Any) -> None:
    """By name, rule and value."""
    core = two_stages().core
    with pytest.raises(OptionError, match="ref must be a number, as subscribe returns it, got"):
        resubscribe(core, wrong, to=None, options=None, reason="x", consumer=None)


@pytest.mark.parametrize("wrong", [("ok", 3), None, 7, {}, {"max_demand": 3}])
def test_a23_a_declared_subscription_without_to_is_refused(wrong: Any) -> None:
    """With the forms that are accepted."""
    with pytest.raises(OptionError, match="a stage's name, a SubscribeTo, or a map with to"):
        SubscribeTo.of(wrong)


def test_a23_an_unknown_option_is_refused_with_the_nearest() -> None:
    """In a declaration; as a keyword Python itself names it."""
    with pytest.raises(TopologyError, match=r"max_demands.*did you mean 'max_demand'"):
        SubscribeTo.of({"to": "counter", "max_demands": 3})
    with pytest.raises(TypeError, match="max_demands"):
        SubscriptionOptions(max_demands=3)  # type: ignore[call-arg]


def test_a23_a_stage_that_has_ended_is_refused() -> None:
    """A dead handle: the name is known, and nobody is there."""
    supervised = two_stages()
    supervised.wait(operations.terminate_child(supervised.core, "counter"))
    with pytest.raises(Refused, match="noproc: counter/0 has ended"):
        operations.subscribe(supervised.core, "sink", "counter", OPTIONS)


def test_a24_a_new_subscription_has_its_demand_at_once() -> None:
    """Within one round trip; what the producer owes shows, and it is not asked for twice."""
    producer = StageHarness(Idle)
    producer.subscribe(1, "sink")
    producer.ask(1, 10)
    producer.unsubscribe(1)
    producer.subscribe(2, "sink")
    producer.ask(2, 10)
    status = producer.status()["producing"]
    assert [peer["outstanding"] for peer in status["consumers"] if peer["ref"] == 2] == [10]
    assert status["requested"] == 10
    assert producer.calls("handle_demand") == [(10,)]
    producer.cast(["a", "b"])
    assert producer.events(2) == [["a", "b"]]


def test_a24_buffered_events_go_to_the_new_subscription() -> None:
    """What was emitted while nobody was there comes first; a smaller demand gets its share."""
    producer = StageHarness(Idle)
    producer.subscribe(1, "sink")
    producer.ask(1, 10)
    producer.unsubscribe(1)
    producer.cast(["a", "b", "c"])
    producer.subscribe(2, "sink")
    producer.ask(2, 2)
    assert producer.events(2) == [["a", "b"]]
    producer.ask(2, 2)
    producer.cast(["d"])
    assert producer.events(2) == [["a", "b"], ["c"], ["d"]]


class Returns(Forwarder):
    """Returns what it is told to, from each of its callbacks."""

    def __init__(self, value: Any) -> None:
        super().__init__()
        self.value = value

    def handle_events(self, events: list[Any], subscription: Any) -> Any:
        super().handle_events(events, subscription)
        return self.value

    def handle_cast(self, message: Any) -> Any:
        return self.value


def test_a28_a_consumer_returns_nothing() -> None:
    """No word and no empty list is needed."""
    stage = StageHarness(Returns, {"value": None})
    stage.link_to_producer(1, max_demand=2)
    stage.route(1, [1])
    stage.cast("x")
    assert stage.behaviour.batches == [[1]]
    assert stage.error is None


@pytest.mark.parametrize("value", [["event"], [], 0, False, "event", ("noreply", [])])
@pytest.mark.parametrize("callback", ["handle_events", "handle_cast"])
def test_a28_a_consumer_that_returns_events(callback: str, value: Any) -> None:
    """It is told at that callback, with the value: a consumer cannot dispatch events."""
    stage = StageHarness(Returns, {"value": value})
    stage.link_to_producer(1, max_demand=2)
    if callback == "handle_events":
        stage.route(1, [1])
    else:
        stage.cast("x")
    assert isinstance(stage.error, BadReturn)
    rule = "must return None: a consumer cannot dispatch events"
    assert str(stage.error) == f"{callback} {rule}, returned {value!r}"


def test_s109_subscribing_to_a_consumer_fails_fast() -> None:
    """The operation is refused at the call, a declaration before anything starts; no phantom."""
    supervised = Supervised(Topology("run").stage("one", Forwarder).stage("two", Forwarder))
    with pytest.raises(Refused) as caught:
        operations.subscribe(supervised.core, "one", "two", OPTIONS)
    assert caught.value.reason == "not_a_producer"
    assert supervised.core.wiring.edges == []
    declared = Topology("run").stage("one", Forwarder).stage("two", Forwarder, subscribe_to=["one"])
    with pytest.raises(TopologyError, match="one"):
        declared.plan()


class CancelsAtOnce(Forwarder):
    """Cancels in its first batch, and notes the order of its callbacks."""

    def __init__(self) -> None:
        super().__init__()
        self.order: list[str] = []

    def handle_events(self, events: list[Any], subscription: Any) -> None:
        if not self.order:
            self.cancel(subscription, "enough")
        self.order.append("events")

    def handle_cancel(self, reason: Any, subscription: Any) -> None:
        self.order.append("cancel")


@pytest.mark.parametrize("read_late", [0, 4, 9])
def test_s116_no_callback_after_the_cancel_callback(read_late: int) -> None:
    """Ten batches are in flight when a consumer cancels; some arrive after the end, for nobody."""
    stage = StageHarness(CancelsAtOnce)
    stage.link_to_producer(1, max_demand=100, cancel="temporary")
    for number in range(10 - read_late):
        stage.route(1, [number])
    stage.eos(1, "enough")
    before = len(stage.sent(1))
    for number in range(read_late):
        stage.route(1, [number])
    order = stage.behaviour.order
    assert order == ["events"] * (10 - read_late) + ["cancel"]
    assert stage.sent(1)[before:] in ([], [Unsubscribe(1, "unknown_subscription")] * read_late)


def test_s116_in_simulated_processes() -> None:
    """The same with pipes, in many schedules; what was in flight is delivered to somebody else."""
    for seed in seeds(20):
        topology = (
            Topology("run")
            .stage("counter", Counter)
            .stage(
                "sink",
                CancelsAtOnce,
                subscribe_to=[SubscribeTo("counter", max_demand=40, cancel="temporary")],
            )
        )
        supervised = Supervised(topology, seed)
        supervised.until(lambda: "cancel" in supervised.stage("sink/0").order)  # noqa: B023
        end = supervised.simulation.world.now() + 0.5
        supervised.core.after(0.6, lambda: None)
        supervised.until(lambda: supervised.simulation.world.now() >= end)  # noqa: B023
        order = supervised.stage("sink/0").order
        assert order.index("cancel") == len(order) - 1, f"seed {seed}"
