"""Replacing a subscription, seen by the consumer and by the producer, message by message."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from actorflow.protocol.messages import Subscribe, Unsubscribe
from actorflow.testing.harness import StageHarness
from tests.conformance.helpers.script import Script
from tests.conformance.helpers.stages import Counter, Forwarder, Idle, Same


class Told(Forwarder):
    """Keeps notifications among the batches."""

    def handle_notification(self, message: Any, subscription: Any) -> None:
        self.batches.append([message])


class ManualTold(Told):
    """Asks for five as soon as it is subscribed."""

    def handle_subscribe(self, side: str, options: Mapping[str, Any], subscription: Any) -> str:
        self.ask(subscription, 5)
        return "manual"


def cancelled(stage: StageHarness) -> list[tuple[int, Any]]:
    """The subscriptions that `handle_cancel` was called for, and why."""
    return [(handle.ref, reason) for reason, handle in stage.calls("handle_cancel")]


# --- the consumer's side --------------------------------------------------------------------------


@pytest.mark.parametrize("behaviour", [Told, ManualTold])
def test_nothing_is_asked_for_before_the_old_one_has_ended(behaviour: type[Told]) -> None:
    """The new subscription's events cannot overtake the old one's on another link."""
    stage = StageHarness(behaviour)
    stage.link_to_producer(1, max_demand=5, min_demand=0)
    stage.link_to_producer(2, max_demand=5, min_demand=0, replaces=1, reason="again")
    assert stage.sent(2) == [
        Subscribe(2, {"max_demand": 5, "min_demand": 0, "version": 1}, 1, "again")
    ]
    stage.notify(2, "later")
    stage.route(1, ["a", "b"])
    assert stage.behaviour.batches == [["a", "b"]]
    assert stage.asks(2) == []
    stage.eos(1, "again")
    assert stage.asks(2) == [5]
    assert stage.behaviour.batches == [["a", "b"], ["later"]]
    assert cancelled(stage) == [(1, ("cancel", "again"))]
    assert stage.exiting is None


def test_a_producer_consumer_keeps_the_order_of_its_queue() -> None:
    """What waits for demand in a producer-consumer is handled first, then the end, then the new."""
    stage = StageHarness(Same)
    stage.link_to_producer(1, max_demand=5, min_demand=0)
    stage.route(1, ["a"])
    stage.link_to_producer(2, max_demand=5, min_demand=0, replaces=1, reason="again")
    stage.eos(1, "again")
    stage.route(2, ["b"])
    assert stage.behaviour.batches == []
    stage.subscribe(9)
    stage.ask(9, 10)
    assert stage.behaviour.batches == [["a"], ["b"]]
    assert stage.exiting is None


@pytest.mark.parametrize("reason", ["done", "oops"])
def test_the_end_of_the_new_one_waits_for_the_end_of_the_old_one(reason: str) -> None:
    """Both links are read in any order; the stage's input is what both brought."""
    stage = StageHarness(Told)
    stage.link_to_producer(1, max_demand=5)
    stage.link_to_producer(2, max_demand=5, replaces=1, reason="again")
    stage.eos(2, reason)
    assert cancelled(stage) == []
    stage.route(1, ["last"])
    stage.eos(1, "again")
    assert stage.behaviour.batches == [["last"]]
    assert cancelled(stage) == [(1, ("cancel", "again")), (2, ("cancel", reason))]
    assert stage.exiting is not None
    assert stage.exiting.reason == reason


@pytest.mark.parametrize("cancel", ["permanent", "transient", "temporary"])
def test_a_refused_replacement_leaves_the_old_one_as_it_was(cancel: str) -> None:
    """The refusal is told to the callback, no cancel mode applies, and the old one's still does."""
    stage = StageHarness(Told)
    stage.link_to_producer(1, max_demand=5, cancel=cancel)
    stage.link_to_producer(2, max_demand=5, replaces=1, reason="again", cancel=cancel)
    stage.eos(2, ["not_replaced", ["bad_option", "unknown partition"]])
    assert cancelled(stage) == [(2, ("cancel", ["bad_option", "unknown partition"]))]
    stage.route(1, [1, 2, 3])
    assert stage.asks(1)[1:] == [3]
    assert stage.exiting is None
    stage.eos(1, "oops")
    assert (stage.exiting is not None) == (cancel != "temporary")


def test_a_successor_of_the_producer_ends_both() -> None:
    """The producer dies during the change: both are over, and the stage goes on."""
    stage = StageHarness(Told)
    stage.link_to_producer(1, max_demand=5)
    stage.link_to_producer(2, max_demand=5, replaces=1, reason="again")
    stage.hang_up(1)
    stage.hang_up(2)
    stage.down("producer", "killed", restarting=True)
    assert [ref for ref, _ in cancelled(stage)] == [1, 2]
    assert stage.exiting is None
    stage.link_to_producer(3, "producer#2", max_demand=5)
    assert stage.asks(3) == [5]


@pytest.mark.parametrize("behaviour", [Told, Same])
def test_another_producer_is_asked_at_once(behaviour: type[Told]) -> None:
    """The old subscription goes on until the supervisor says that the new one is established."""
    stage = StageHarness(behaviour)
    stage.link_to_producer(1, "a", max_demand=5)
    stage.link_to_producer(2, "b", max_demand=5, replaces=1, reason="moved")
    said = {"max_demand": 5, "version": 1}
    if behaviour is Same:
        said["wants_last"] = True
    assert stage.sent(2)[0] == Subscribe(2, said)
    assert stage.asks(2) == [5]
    assert stage.sent(1)[-1] != Unsubscribe(1, "moved")
    stage.move(1, "moved")
    assert stage.sent(1)[-1] == Unsubscribe(1, "moved")
    stage.eos(1, "moved")
    assert cancelled(stage) == [(1, ("cancel", "moved"))]
    assert stage.exiting is None
    stage.eos(2, "done")
    assert stage.exiting is not None
    assert stage.exiting.reason == "done"


@pytest.mark.parametrize("cancel", ["permanent", "transient", "temporary"])
def test_another_producer_may_refuse(cancel: str) -> None:
    """Then the old one goes on, and no cancel mode applies to the one that never was."""
    stage = StageHarness(Told)
    stage.link_to_producer(1, "a", max_demand=5, cancel=cancel)
    stage.link_to_producer(2, "b", max_demand=5, replaces=1, reason="moved", cancel=cancel)
    stage.eos(2, ["bad_option", "unknown partition"])
    assert stage.exiting is None
    stage.route(1, ["a"])
    stage.eos(1, "done")
    assert (stage.exiting is not None) == (cancel == "permanent")


def test_another_producer_may_be_done_before_the_change_is() -> None:
    """Its stream counts; the stage ends when the old one has ended too."""
    stage = StageHarness(Told)
    stage.link_to_producer(1, "a", max_demand=5)
    stage.link_to_producer(2, "b", max_demand=5, replaces=1, reason="moved")
    stage.route(2, ["b"])
    stage.eos(2, "done")
    assert stage.exiting is None
    stage.move(1, "moved")
    stage.route(1, ["a"])
    stage.eos(1, "moved")
    assert stage.exiting is not None
    assert stage.exiting.reason == "done"
    assert stage.behaviour.batches == [["b"], ["a"]]


# --- the producer's side --------------------------------------------------------------------------


def test_events_go_to_the_old_one_until_the_new_one_is_admitted() -> None:
    """There is no moment at which a broadcast would pass the consumer over."""
    producer = StageHarness(Idle, dispatcher="broadcast", autorun=False)
    producer.run()
    producer.subscribe(1, "sink")
    producer.subscribe(5, "other")
    producer.run()
    producer.ask(1, 9)
    producer.ask(5, 9)
    producer.subscribe(2, "sink", replaces=1, reason="again")
    producer.ask(2, 4)
    producer.cast([1])
    # handle_subscribe has not been called yet, so handle_cast comes after it, and emits then.
    producer.machine.producing.emit([0])  # type: ignore[union-attr]
    producer.run()
    assert (producer.events(1), producer.events(2)) == ([[0]], [[1]])
    assert producer.events(5) == [[0], [1]]
    assert producer.eos_reasons(1) == ["again"]


@pytest.mark.parametrize(
    ("dispatcher", "good", "bad"),
    [
        ({"partition": {"partitions": 2}}, {"partition": 0}, {"partition": 7}),
        ({"partition": {"partitions": 2}}, {"partition": 0}, {"partition": 1}),
        ("broadcast", {}, {"selector": "nothing:there"}),
        ("demand", {}, {"max_demand": 0}),
        ("demand", {}, {"version": 99}),
    ],
)
def test_a_refusal_changes_nothing(dispatcher: Any, good: Any, bad: Any) -> None:
    """Wrong options, an unknown partition or one that is taken: the old one keeps its credit."""
    producer = StageHarness(Counter, dispatcher=dispatcher)
    producer.subscribe(1, "sink", **good)
    if dispatcher != "broadcast":
        producer.subscribe(5, "other", **({} if dispatcher == "demand" else {"partition": 1}))
    producer.subscribe(2, "sink", replaces=1, reason="again", **bad)
    ((wrapped, _),) = producer.eos_reasons(2)
    assert wrapped == "not_replaced"
    assert producer.eos_reasons(1) == []
    producer.ask(1, 9)
    assert producer.events(1)


def test_a_subscription_of_another_consumer_cannot_be_replaced() -> None:
    """Nobody ends what is not its own."""
    producer = StageHarness(Counter)
    producer.subscribe(1, "sink")
    producer.subscribe(2, "thief", replaces=1, reason="mine")
    assert [reason[0] for reason in producer.eos_reasons(2)] == ["bad_option"]
    producer.ask(1, 1)
    assert producer.events(1) == [[0]]


@pytest.mark.parametrize("ended_by", ["unsubscribe", "reject"])
def test_a_replacement_that_ends_before_it_is_admitted(ended_by: str) -> None:
    """The consumer is told that nothing was replaced."""
    producer = StageHarness(Counter, autorun=False)
    producer.run()
    producer.subscribe(1, "sink")
    producer.run()
    producer.subscribe(2, "sink", replaces=1, reason="again")
    if ended_by == "unsubscribe":
        producer.unsubscribe(2, "never mind")
    else:
        producer.ask(2, -1)
    producer.run()
    ((wrapped, reason),) = producer.eos_reasons(2)
    assert wrapped == "not_replaced"
    assert reason == "never mind" or reason[0] == "bad_demand"
    producer.ask(1, 1)
    producer.run()
    assert producer.events(1) == [[0]]
    assert producer.eos_reasons(1) == []


@pytest.mark.parametrize("dispatcher", ["demand", "broadcast", {"partition": {"partitions": 1}}])
def test_what_the_old_one_had_not_finished_is_for_the_consumers_successor(dispatcher: Any) -> None:
    """A consumer that dies after the change leaves nothing behind on either subscription."""
    producer = StageHarness(Idle, dispatcher=dispatcher)
    producer.subscribe(1, "sink", partition=0)
    producer.ask(1, 2)
    producer.cast([1, 2])
    producer.subscribe(2, "sink", replaces=1, reason="again", partition=0)
    producer.ask(2, 2)
    producer.cast([3, 4])
    producer.hang_up(1)
    producer.hang_up(2)
    producer.down("sink", "killed", restarting=True)
    producer.subscribe(3, "sink#2", partition=0)
    producer.ask(3, 9)
    assert sorted(event for batch in producer.events(3) for event in batch) == [1, 2, 3, 4]
    assert producer.counters["redelivered"] == 4


def test_what_a_broken_old_one_gives_back_goes_at_once_to_whoever_has_demand() -> None:
    """It waited for the next ask of anybody."""
    producer = StageHarness(Idle)
    producer.subscribe(1, "sink")
    producer.ask(1, 2)
    producer.cast([1, 2])
    producer.subscribe(5, "other")
    producer.ask(5, 9)
    producer.hang_up(1)
    producer.subscribe(2, "sink", replaces=1, reason="again")
    assert producer.events(5) == [[1, 2]]


def test_what_the_old_one_has_in_hand_holds_up_the_end() -> None:
    """A producer that is done waits until both are acknowledged."""
    producer = StageHarness(Idle)
    steps = Script(producer)
    producer.subscribe(1, "sink")
    producer.ask(1, 2)
    producer.cast([1, 2])
    producer.subscribe(2, "sink", replaces=1, reason="again")
    producer.finish()
    assert ("eos", 2, "done") not in steps()
    producer.acknowledge(1)
    assert ("eos", 2, "done") in steps()
