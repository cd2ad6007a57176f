"""Section 5.9: callbacks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from actorflow import LATER, BadReturn, Subscription, Topology
from actorflow.stage.behaviour import Stage
from actorflow.testing.harness import StageHarness
from tests.conformance.helpers.network import Network
from tests.conformance.helpers.script import Script
from tests.conformance.helpers.stages import Counter, Forwarder, Idle, Same
from tests.conformance.helpers.supervised import Supervised

CONSUMERS = [Forwarder, Same]
PRODUCERS = [Counter, Same]


def answering(behaviour: type[Stage], answer: Any) -> type[Stage]:
    """A stage whose `handle_subscribe` returns something."""
    return type("Answering", (behaviour,), {"handle_subscribe": lambda *_: answer})


def consumer_of(behaviour: type[Stage], cancel: str) -> StageHarness:
    """A stage with a subscription of a cancel mode to a producer that the test plays."""
    harness = StageHarness(behaviour)
    harness.link_to_producer(1, "producer", max_demand=10, cancel=cancel)
    return harness


def cancelled(harness: StageHarness) -> list[Any]:
    """The reasons `handle_cancel` was called with."""
    return [reason for reason, _ in harness.calls("handle_cancel")]


def ended_with(harness: StageHarness) -> Any:
    """The stage's reason to end, or None while it lives."""
    return None if harness.exiting is None else harness.exiting.reason


def test_s051_both_sides_are_told_of_a_subscription() -> None:
    """Each side's `handle_subscribe` gets the same ref, the peer, and which side the peer is."""
    network = Network()
    network.add("counter", Counter)
    network.add("same", Same)
    network.add("sink", Forwarder)
    above = network.connect("same", "counter", max_demand=2)
    below = network.connect("sink", "same", max_demand=2)
    network.run(until=lambda: bool(network.stages["sink"].behaviour.batches))

    def told(stage: str) -> list[tuple[str, str, str, int]]:
        return [
            (side, handle.side, handle.stage, handle.ref)
            for side, _, handle in network.stages[stage].calls("handle_subscribe")
        ]

    assert told("counter") == [("consumer", "consumer", "same", above)]
    assert told("same") == [
        ("producer", "producer", "counter", above),
        ("consumer", "consumer", "sink", below),
    ]
    assert told("sink") == [("producer", "producer", "same", below)]


@pytest.mark.parametrize("behaviour", PRODUCERS)
def test_s052_a_producer_side_cannot_be_manual(behaviour: type[Stage]) -> None:
    """A producer whose `handle_subscribe` returns manual ends with a `BadReturn`."""
    harness = StageHarness(answering(behaviour, "manual"))
    harness.subscribe(1)
    assert isinstance(harness.error, BadReturn)
    assert "returned 'manual'" in str(harness.error)


@pytest.mark.parametrize("behaviour", CONSUMERS)
def test_s053_a_consumer_side_with_an_unknown_mode(behaviour: type[Stage]) -> None:
    """A consumer whose `handle_subscribe` returns an unknown mode ends with a `BadReturn`."""
    harness = StageHarness(answering(behaviour, "sometimes"))
    harness.link_to_producer(1)
    assert isinstance(harness.error, BadReturn)
    assert str(harness.error) == (
        "handle_subscribe must return automatic, manual or None, returned 'sometimes'"
    )


@pytest.mark.parametrize("behaviour", PRODUCERS)
def test_s054_a_producer_is_told_of_a_cancellation(behaviour: type[Stage]) -> None:
    """A cancelled consumer gets its end with the reason, the producer its callback; it lives on."""
    harness = StageHarness(behaviour)
    harness.subscribe(1)
    harness.unsubscribe(1, "oops")
    assert harness.eos_reasons(1) == ["oops"]
    assert cancelled(harness) == [("cancel", "oops")]
    assert ended_with(harness) is None


@pytest.mark.parametrize("behaviour", CONSUMERS)
def test_s054_a_temporary_consumer_survives_a_cancellation(behaviour: type[Stage]) -> None:
    """A temporary subscription that ends with any reason leaves its consumer alive."""
    harness = consumer_of(behaviour, "temporary")
    harness.eos(1, "oops")
    assert cancelled(harness) == [("cancel", "oops")]
    assert ended_with(harness) is None


@pytest.mark.parametrize("behaviour", CONSUMERS)
def test_s055_a_transient_subscription(behaviour: type[Stage]) -> None:
    """A normal end leaves a transient consumer alive, another ends it, after the callback."""
    for reason, end in (
        ("normal", None),
        ("shutdown", None),
        (["shutdown", "x"], None),
        ("oops", "oops"),
    ):
        harness = consumer_of(behaviour, "transient")
        harness.eos(1, reason)
        assert cancelled(harness) == [("cancel", reason)]
        assert ended_with(harness) == end


@pytest.mark.parametrize("behaviour", CONSUMERS)
@pytest.mark.parametrize("reason", ["normal", "shutdown", "oops", "done"])
def test_s056_a_permanent_subscription(behaviour: type[Stage], reason: str) -> None:
    """A permanent consumer ends with the reason of its subscription, whatever it is."""
    harness = consumer_of(behaviour, "permanent")
    harness.eos(1, reason)
    assert cancelled(harness) == [("cancel", reason)]
    assert ended_with(harness) == reason


@pytest.mark.parametrize("behaviour", CONSUMERS)
def test_s057_a_producer_that_is_killed_for_good(behaviour: type[Stage]) -> None:
    """The callback gets down and killed; only a temporary consumer goes on."""
    for cancel, end in (("temporary", None), ("transient", "killed"), ("permanent", "killed")):
        harness = consumer_of(behaviour, cancel)
        harness.down("producer", "killed")
        assert cancelled(harness) == [("down", "killed")]
        assert ended_with(harness) == end


@pytest.mark.parametrize("behaviour", CONSUMERS)
@pytest.mark.parametrize("cancel", ["temporary", "transient", "permanent"])
def test_s057_a_producer_that_is_killed_and_comes_back(behaviour: type[Stage], cancel: str) -> None:
    """When a successor is coming the callback runs, and no cancel mode ends the consumer."""
    harness = consumer_of(behaviour, cancel)
    harness.down("producer", "killed", restarting=True)
    assert cancelled(harness) == [("down", "killed")]
    assert ended_with(harness) is None
    harness.link_to_producer(2, "producer#2", max_demand=10, cancel=cancel)
    harness.route(2, [1])
    assert harness.asks(2) == [10]


@pytest.mark.parametrize(
    ("cancel", "state", "reason"),
    [
        ("temporary", "running", None),
        ("transient", "ended", "killed"),
        ("permanent", "ended", "killed"),
    ],
)
def test_s057_killed_under_a_supervisor(cancel: str, state: str, reason: Any) -> None:
    """A producer that is not restarted takes its consumers along, or not, by their cancel mode."""
    topology = (
        Topology("run")
        .stage("counter", Counter, restart="temporary")
        .stage("other", Idle)
        .stage(
            "sink",
            Forwarder,
            restart="temporary",
            subscribe_to=[{"to": "counter", "cancel": cancel}],
        )
    )
    supervised = Supervised(topology)
    supervised.until(lambda: bool(supervised.batches("sink/0")))
    supervised.kill("counter/0")
    supervised.until(
        lambda: supervised.row("sink/0").state == state and not supervised.linked("sink/0")
    )
    assert supervised.row("sink/0").reason == reason


@pytest.mark.parametrize("cancel", ["temporary", "transient", "permanent"])
def test_s057_killed_and_restarted_under_a_supervisor(cancel: str) -> None:
    """A producer that is restarted is subscribed to again by itself, in every cancel mode."""
    topology = (
        Topology("run")
        .stage("counter", Counter, restart="permanent")
        .stage("sink", Forwarder, subscribe_to=[{"to": "counter", "cancel": cancel}])
    )
    supervised = Supervised(topology)
    supervised.until(lambda: len(supervised.batches("sink/0")) > 3)
    supervised.kill("counter/0")
    supervised.until(lambda: [0] in supervised.batches("sink/0")[1:])
    assert supervised.row("sink/0").generation == 1
    assert supervised.row("counter/0").generation == 2


def test_s058_a_producer_that_shuts_down() -> None:
    """A transient producer-consumer survives a producer that ends in an orderly way."""
    harness = consumer_of(Same, "transient")
    harness.down("producer", "shutdown")
    assert cancelled(harness) == [("down", "shutdown")]
    assert ended_with(harness) is None


@pytest.mark.parametrize("behaviour", PRODUCERS)
@pytest.mark.parametrize("restarting", [False, True])
def test_s059_a_consumer_that_is_killed(behaviour: type[Stage], restarting: bool) -> None:
    """The producer's callback gets down and killed, once, whether or not a successor is coming."""
    harness = StageHarness(behaviour)
    harness.subscribe(1, "consumer")
    harness.ask(1, 3)
    harness.hang_up(1)
    assert cancelled(harness) == []
    harness.down("consumer", "killed", restarting=restarting)
    assert cancelled(harness) == [("down", "killed")]
    assert ended_with(harness) is None


def test_s059_killed_and_restarted_under_a_supervisor() -> None:
    """The successor of a killed consumer gets what that had not finished, and goes on."""
    topology = (
        Topology("run")
        .stage("counter", Counter)
        .stage("sink", Forwarder, subscribe_to=[{"to": "counter", "max_demand": 4}])
    )
    supervised = Supervised(topology)
    supervised.until(lambda: len(supervised.batches("sink/0")) > 10)
    first = [event for batch in supervised.batches("sink/0") for event in batch]
    supervised.kill("sink/0")
    supervised.until(lambda: len(supervised.batches("sink/0")) > 10)
    second = [event for batch in supervised.batches("sink/0") for event in batch]
    assert second == list(range(second[0], second[-1] + 1))
    assert second[0] <= first[-1] + 1


@pytest.mark.parametrize("behaviour", [Idle, Same])
def test_s060_events_emitted_in_a_call_precede_its_reply(behaviour: type[Stage]) -> None:
    """A call that emits three events and replies sends the events first."""
    harness = StageHarness(behaviour)
    steps = Script(harness)
    harness.subscribe(1)
    harness.ask(1, 3)
    assert harness.call([1, 2, 3]) == "emitted"
    assert steps()[-2:] == [("route", 1, [1, 2, 3]), ("reply",)]


class Early(Idle):
    """Replies first, then emits."""

    def handle_call(self, request: list[Any], sender: Any) -> Any:
        sender.reply("early")
        self.emit(request)
        return LATER


def test_s061_an_early_reply_precedes_the_events() -> None:
    """A call that replies by hand, and emits afterwards, sends the reply first."""
    harness = StageHarness(Early)
    steps = Script(harness)
    harness.subscribe(1)
    harness.ask(1, 3)
    assert harness.call([1, 2, 3]) == "early"
    assert steps()[-2:] == [("reply",), ("route", 1, [1, 2, 3])]


class Refuses(Forwarder):
    """Cancels its subscription as soon as it is made."""

    def handle_subscribe(
        self, side: str, options: Mapping[str, Any], subscription: Subscription
    ) -> None:
        self.cancel(subscription, "no thanks")


def test_s054_a_consumer_can_cancel_in_its_callback() -> None:
    """The stage cancels, the producer answers, and only that answer ends the subscription."""
    harness = StageHarness(Refuses)
    steps = Script(harness)
    harness.link_to_producer(1, max_demand=10, cancel="temporary")
    assert steps() == [("subscribe", 1), ("unsubscribe", 1, "no thanks"), ("ask", 1, 10)]
    harness.route(1, [1])
    harness.eos(1, "no thanks")
    assert harness.behaviour.batches == [[1]]
    assert cancelled(harness) == [("cancel", "no thanks")]


class Answering(Forwarder):
    """Answers a call by stopping, by a list, or by emitting, which it cannot."""

    def __init__(self) -> None:
        super().__init__()
        self.stopped: list[Any] = []

    def handle_call(self, request: str, sender: Any) -> Any:
        if request == "stop":
            self.stop("shutdown")
        return ["reply", request]

    def on_stop(self, reason: Any) -> None:
        self.stopped.append(reason)


def test_s062_a_call_that_stops_the_stage_is_answered() -> None:
    """The caller gets the reply, and the stage ends with shutdown."""
    harness = StageHarness(Answering)
    steps = Script(harness)
    assert harness.call("stop") == ["reply", "stop"]
    assert steps() == [("reply",)]
    assert ended_with(harness) == "shutdown"


@pytest.mark.parametrize("behaviour", [Counter, Same, Forwarder])
def test_s063_a_stray_verdict(behaviour: type[Stage]) -> None:
    """A verdict on a stage that this one has nothing to do with changes nothing.

    In GenStage it is a message of a monitor that the user has made, and reaches `handle_info`. Here
    a verdict comes from the supervisor alone, about peers; who monitors gets a `DownMessage`.
    """
    harness = StageHarness(behaviour)
    harness.down("stranger", "killed")
    harness.down("stranger/7#3", "normal", restarting=True)
    assert harness.calls("handle_cancel") == []
    assert ended_with(harness) is None
    assert harness.counters["protocol_errors"] == 0


def test_s064_a_graceful_stop() -> None:
    """`on_stop` is called once, with the reason."""
    harness = StageHarness(Answering)
    harness.stop("normal")
    assert harness.behaviour.stopped == ["normal"]
    assert ended_with(harness) == "normal"


def test_s065_a_list_is_a_consumers_reply() -> None:
    """What `handle_call` returns is the reply and no events; the stage lives on."""
    harness = StageHarness(Answering)
    assert harness.call("anything") == ["reply", "anything"]
    assert ended_with(harness) is None
