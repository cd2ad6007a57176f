"""Section 5.7: subscribing."""

from __future__ import annotations

from typing import Any

import pytest

from actorflow import (
    NoSuchStage,
    OptionError,
    Refused,
    SubscribeTo,
    SubscriptionOptions,
    Topology,
    TopologyError,
)
from actorflow.stage.outgoing import OutgoingState
from actorflow.supervision import operations
from actorflow.supervision.subscriptions import resubscribe
from actorflow.testing.harness import StageHarness
from actorflow.testing.recording import Called
from tests.conformance.helpers.network import Network
from tests.conformance.helpers.stages import Counter, Forwarder, Idle, Same
from tests.conformance.helpers.supervised import Supervised, child

OPTIONS = SubscriptionOptions(max_demand=2)
TEMPORARY = SubscriptionOptions(max_demand=2, cancel="temporary")


def two_stages() -> Supervised:
    """A counter and a sink, not subscribed."""
    return Supervised(Topology("run").stage("counter", Counter).stage("sink", Forwarder))


def test_s041_a_subscription_gets_a_fresh_ref() -> None:
    """Two living stages are subscribed once the producer has accepted, each time by a new ref."""
    supervised = two_stages()
    first = supervised.wait(operations.subscribe(supervised.core, "sink", "counter", OPTIONS))
    second = supervised.wait(operations.subscribe(supervised.core, "sink", "counter", OPTIONS))
    assert isinstance(first, int)
    assert first != second
    supervised.until(lambda: bool(supervised.batches("sink/0")))
    assert supervised.batches("sink/0")[0] == [0]


def test_b22_a_subscription_is_made_when_the_producer_has_accepted() -> None:
    """Not when the message is sent: what the caller waits for is the producer's own answer."""
    supervised = two_stages()
    future = operations.subscribe(supervised.core, "sink", "counter", OPTIONS)
    assert not future.done()
    early: list[bool] = []

    def over() -> bool:
        """Whether the caller has its answer; the producer must have decided by then."""
        (peers,) = [
            process.machine.producing.subscriptions
            for process in supervised.simulation.world.processes
            if process.machine is not None and process.machine.producing is not None
        ]
        accepted = [each.ref for each in peers.values() if each.state is OutgoingState.ACTIVE]
        early.append(future.done() and not accepted)
        return future.done()

    supervised.until(over)
    assert len(early) > 5
    assert not any(early)
    assert isinstance(future.result(timeout=0), int)


class Picky(Counter):
    """A producer that wants nobody."""

    def handle_subscribe(self, side: str, options: Any, subscription: Any) -> None:
        self.cancel(subscription, "not you")


@pytest.mark.parametrize(
    ("behaviour", "dispatcher", "reason"),
    [(Counter, "broadcast", "already_subscribed"), (Picky, "demand", "not you")],
)
def test_b22_the_real_outcome_is_told(
    behaviour: type[Counter], dispatcher: str, reason: str
) -> None:
    """A producer that refuses, or cancels at once: the caller learns it, with the reason."""
    topology = Topology("run").stage("counter", behaviour, dispatcher=dispatcher)
    supervised = Supervised(topology.stage("sink", Forwarder))
    if dispatcher == "broadcast":
        supervised.wait(operations.subscribe(supervised.core, "sink", "counter", TEMPORARY))
    with pytest.raises(Refused, match=reason):
        supervised.wait(operations.subscribe(supervised.core, "sink", "counter", TEMPORARY))
    assert supervised.row("sink/0").state == "running"


def test_s042_a_consumer_that_has_ended() -> None:
    """Subscribing a stage that has ended is refused, as is one that never was."""
    supervised = two_stages()
    supervised.wait(operations.terminate_child(supervised.core, "sink"))
    with pytest.raises(Refused, match="noproc: sink/0 has ended"):
        operations.subscribe(supervised.core, "sink", "counter", OPTIONS)
    with pytest.raises(NoSuchStage, match=r"there is no stage 'snk'; did you mean 'sink'\?"):
        operations.subscribe(supervised.core, "snk", "counter", OPTIONS)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (
            {"max_demand": 0},
            "max_demand must be an integer of at least 1, or auto, got 0",
        ),
        (
            {"max_demand": 1000, "min_demand": 2000},
            "min_demand must be an integer from 0 to 999 (max_demand - 1), got 2000",
        ),
    ],
)
def test_s043_demand_out_of_bounds(options: dict[str, Any], text: str) -> None:
    """A bad demand is refused where it is passed, with the bound and the value."""
    for make in (SubscriptionOptions, lambda **given: SubscribeTo("counter", **given)):
        with pytest.raises(OptionError) as caught:
            make(**options)
        assert str(caught.value) == text


def test_s043_the_stage_lives() -> None:
    """Bad options that reach a producer end that subscription alone, with the same text."""
    producer = StageHarness(Counter)
    producer.subscribe(1, "good")
    producer.subscribe(2, "bad", max_demand=0)
    ((name, text),) = producer.eos_reasons(2)
    assert (name, text) == (
        "bad_option",
        "max_demand must be an integer of at least 1, or auto, got 0",
    )
    producer.ask(1, 2)
    assert producer.events(1) == [[0, 1]]


def test_s044_a_permanent_subscription_to_nobody() -> None:
    """A target that does not exist fails at once, and a declared one before anything starts."""
    supervised = two_stages()
    with pytest.raises(NoSuchStage, match="'nobody'"):
        operations.subscribe(supervised.core, "sink", "nobody", OPTIONS)
    with pytest.raises(TopologyError, match="unknown stage 'nobody'"):
        Topology("run").stage("sink", Forwarder, subscribe_to=["nobody"]).plan()


def test_s044_a_permanent_subscription_to_a_producer_that_dies() -> None:
    """The consumer of a producer that is gone for good ends with the same reason."""
    consumer = StageHarness(Forwarder)
    consumer.link_to_producer(1, "producer", max_demand=2)
    consumer.down("producer", "noproc")
    assert consumer.exiting is not None
    assert consumer.exiting.reason == "noproc"


def test_s045_a_temporary_subscription_to_nobody() -> None:
    """The same failure leaves a temporary consumer alive."""
    supervised = two_stages()
    supervised.wait(operations.terminate_child(supervised.core, "counter"))
    with pytest.raises(Refused, match="noproc"):
        operations.subscribe(supervised.core, "sink", "counter", TEMPORARY)
    assert supervised.row("sink/0").state == "running"

    consumer = StageHarness(Forwarder)
    consumer.link_to_producer(1, "producer", cancel="temporary")
    consumer.down("producer", "noproc")
    assert consumer.exiting is None


def test_s046_a_broadcast_subscribed_to_twice() -> None:
    """The second subscription of a consumer to a broadcast ends alone; nobody dies."""
    network = Network()
    counter = network.add("counter", Counter, dispatcher="broadcast")
    sink = network.add("sink", Forwarder)
    first = network.connect("sink", "counter", max_demand=2)
    second = network.connect("sink", "counter", max_demand=2)
    network.run(until=lambda: len(sink.behaviour.batches) > 3)
    assert sink.exiting is None
    assert [peer["ref"] for peer in counter.machine.status()["producing"]["consumers"]] == [first]
    assert [peer["ref"] for peer in sink.machine.status()["producers"]] == [first]
    assert counter.eos_reasons(second)[0][0] == "already_subscribed"


def test_s047_resubscribing_gives_a_new_ref() -> None:
    """A subscription is replaced by one with a new ref; `handle_subscribe` runs for both."""
    network = Network()
    counter = network.add("counter", Counter)
    sink = network.add("sink", Forwarder)
    old = network.connect("sink", "counter", max_demand=2, cancel="temporary")
    network.run(until=lambda: len(sink.behaviour.batches) > 3)
    new = network.replace(old, "again", max_demand=4, min_demand=0, cancel="temporary")
    network.run(until=lambda: counter.behaviour.next > 40)
    for stage in (counter, sink):
        assert [call[2].ref for call in stage.calls("handle_subscribe")] == [old, new]
        assert [(call[0], call[1].ref) for call in stage.calls("handle_cancel")] == [
            (("cancel", "again"), old)
        ]
    seen = [event for batch in sink.behaviour.batches for event in batch]
    assert seen == list(range(len(seen)))


@pytest.mark.parametrize("cancel", ["permanent", "transient", "temporary"])
@pytest.mark.parametrize("reason", ["normal", "oops"])
def test_s047_resubscribing_by_an_operation(cancel: str, reason: str) -> None:
    """Under every cancel mode: a new ref, the old one unknown, the consumer alive, all in order."""
    supervised = two_stages()
    options = SubscriptionOptions(max_demand=2, cancel=cancel)
    old = supervised.wait(operations.subscribe(supervised.core, "sink", "counter", options))
    supervised.until(lambda: len(supervised.batches("sink/0")) > 3)
    wider = SubscriptionOptions(max_demand=6, min_demand=0, cancel=cancel)
    new = supervised.wait(
        resubscribe(supervised.core, old, to=None, options=wider, reason=reason, consumer=None)
    )
    assert new != old
    supervised.until(lambda: len(supervised.batches("sink/0")[-1]) == 6)
    seen = [event for batch in supervised.batches("sink/0") for event in batch]
    assert seen == list(range(len(seen)))
    assert supervised.row("sink/0").state == "running"
    with pytest.raises(Refused, match="unknown_subscription"):
        operations.cancel(supervised.core, old, "normal")


def test_s047_what_is_wrong_with_a_replacement_is_refused_and_changes_nothing() -> None:
    """Each mistake has its error at the call; the subscription goes on."""
    topology = (
        Topology("run")
        .stage("counter", Counter)
        .stage("shards", Counter, dispatcher={"partition": {"partitions": 1}})
        .stage("between", Same, subscribe_to=[SubscribeTo("counter", cancel="temporary")])
        .stage("sink", Forwarder)
    )
    supervised = Supervised(topology)
    core = supervised.core
    ref = supervised.wait(operations.subscribe(core, "sink", "counter", OPTIONS))
    (declared,) = (edge.ref for edge in core.wiring.edges if edge.consumer.name == "between")

    def again(ref: Any, **given: Any) -> Any:
        return resubscribe(
            core,
            ref,
            **{"to": None, "options": None, "reason": "normal", "consumer": None, **given},
        )

    for act, error, text in (
        (lambda: again(99), Refused, "unknown_subscription"),
        (lambda: again(ref, to="sink"), Refused, "not_a_producer"),
        (lambda: again(declared, to="between"), Refused, "cycle"),
        (lambda: again(ref, to="nobody"), NoSuchStage, "'nobody'"),
        (lambda: again(ref, consumer="between"), Refused, "is one of sink/0, not of between"),
        (lambda: again(99, consumer="sink"), OptionError, "to must be a stage's name"),
    ):
        with pytest.raises(error, match=text):
            act()  # type: ignore[no-untyped-call]
    with pytest.raises(Refused, match="partition is missing"):
        supervised.wait(again(ref, to="shards"))
    first = again(ref)
    with pytest.raises(Refused, match="replacing"):
        again(ref)
    supervised.wait(first)
    seen = len(supervised.batches("sink/0"))
    supervised.until(lambda: len(supervised.batches("sink/0")) > seen + 3)


def test_s047_resubscribing_to_another_producer() -> None:
    """The new producer's events come, the old one's end, and the permanent consumer lives."""
    topology = (
        Topology("run")
        .stage("counter", Counter)
        .stage("other", Counter, args={"start": 1_000_000})
        .stage("sink", Forwarder, subscribe_to=[SubscribeTo("counter", max_demand=2)])
    )
    supervised = Supervised(topology)
    core = supervised.core
    supervised.until(lambda: len(supervised.batches("sink/0")) > 3)
    (old,) = (edge.ref for edge in core.wiring.edges)
    new = supervised.wait(
        resubscribe(core, old, to="other", options=None, reason="moved", consumer=None)
    )
    supervised.until(lambda: supervised.batches("sink/0")[-1][0] > 1_000_000)
    supervised.until(lambda: [edge.ref for edge in core.wiring.edges] == [new])
    assert supervised.row("sink/0").state == "running"
    # It is what is declared now: a consumer that is started again subscribes to the new one.
    supervised.kill("sink/0")
    supervised.until(lambda: len(supervised.batches("sink/0")) > 3)
    assert all(batch[0] >= 1_000_000 for batch in supervised.batches("sink/0"))


def test_s048_resubscribing_an_unknown_ref_by_an_operation() -> None:
    """With the consumer named, a ref that nobody knows is replaced by a plain subscription."""
    supervised = two_stages()
    ref = supervised.wait(
        resubscribe(supervised.core, 99, to="counter", options=OPTIONS, reason="x", consumer="sink")
    )
    assert ref != 99
    supervised.until(lambda: bool(supervised.batches("sink/0")))


def test_s048_resubscribing_an_unknown_ref() -> None:
    """Replacing a subscription that nobody knows is a plain subscription."""
    producer = StageHarness(Counter)
    producer.subscribe(7, replaces=99, reason="again")
    producer.ask(7, 2)
    assert producer.events(7) == [[0, 1]]
    assert producer.eos_reasons(7) == []

    consumer = StageHarness(Forwarder)
    consumer.link_to_producer(7, replaces=99, reason="again", max_demand=2)
    consumer.route(7, [0, 1])
    assert consumer.behaviour.batches == [[0], [1]]


@pytest.mark.parametrize(
    "to",
    ["counter", {"to": "counter"}, {"to": "counter", "max_demand": 2}, SubscribeTo("counter")],
)
def test_s049_ways_to_name_a_producer(to: Any) -> None:
    """By name, by a map with options, or by a `SubscribeTo`: events flow."""
    topology = Topology("run").stage("counter", Counter).stage("sink", Forwarder, subscribe_to=[to])
    supervised = Supervised(topology)
    supervised.until(lambda: len(supervised.batches("sink/0")) > 2)
    assert supervised.batches("sink/0")[0] == [0]


def test_s049_one_of_several_replicas() -> None:
    """A replica is subscribed to by its name and index."""
    supervised = Supervised(
        Topology("run").stage("counter", Counter, replicas=2).stage("sink", Forwarder)
    )
    with pytest.raises(NoSuchStage, match="several"):
        operations.subscribe(supervised.core, "sink", "counter", OPTIONS)
    supervised.wait(operations.subscribe(supervised.core, "sink", "counter/1", OPTIONS))
    supervised.until(lambda: bool(supervised.batches("sink/0")))


def test_s049_what_is_no_list_is_refused() -> None:
    """A bare name instead of a list is refused, and the error says what to do."""
    with pytest.raises(OptionError, match="put it in a list"):
        Topology("run").stage("sink", Forwarder, subscribe_to="counter")


def test_s049_children_started_later() -> None:
    """A child that was started by an operation is subscribed to like any other."""
    supervised = two_stages()
    supervised.wait(operations.start_child(supervised.core, child("late", Idle)))
    supervised.wait(operations.subscribe(supervised.core, "sink", "late", OPTIONS))
    operations.cast(supervised.core, "late", ["x"])
    supervised.until(lambda: bool(supervised.batches("sink/0")))
    assert supervised.batches("sink/0") == [["x"]]


@pytest.mark.parametrize("arrive_before_the_end", range(0, 11, 5))
def test_s116_a_cancellation_with_ten_batches_in_flight(arrive_before_the_end: int) -> None:
    """What was under way is handled; nothing is called after the cancellation's callback."""
    consumer = StageHarness(Forwarder)
    consumer.link_to_producer(1, max_demand=100, min_demand=0, cancel="temporary")
    consumer.cancel(1, "enough")
    for number in range(arrive_before_the_end):
        consumer.route(1, [number])
    consumer.eos(1, "enough")
    for number in range(arrive_before_the_end, 10):
        consumer.route(1, [number])
    consumer.notify(1, "late")
    called = [each.label for each in consumer.trace if isinstance(each, Called)]
    assert called[-1] == "handle_cancel"
    assert called.count("handle_cancel") == 1
    assert len(consumer.behaviour.batches) == arrive_before_the_end
    assert consumer.exiting is None
