"""Callbacks that raise, and callbacks that emit: who is hurt, and where events go."""

from __future__ import annotations

from typing import Any

import pytest

from actorflow import Subscription
from actorflow.testing.harness import StageHarness
from tests.conformance.helpers.network import Network
from tests.conformance.helpers.stages import Counter, Forwarder, Idle, Same


def flat(batches: list[list[Any]]) -> list[Any]:
    """All events of some batches."""
    return [event for batch in batches for event in batch]


# --- raising --------------------------------------------------------------------------------------


def provoke(stage: StageHarness, callback: str) -> None:
    """Have a callback of a producer called."""
    if callback == "handle_demand":
        stage.ask(1, 3)
    elif callback == "handle_cast":
        stage.cast("x")
    elif callback == "handle_info":
        stage.info("x")
    elif callback == "handle_subscribe":
        stage.subscribe(2, "other")
    elif callback == "handle_cancel":
        stage.unsubscribe(1)
    elif callback == "handle_call":
        stage.send_call("x")
    else:
        stage.autorun = False
        half = stage.machine.producing
        assert half is not None
        half.emit(["a", "b"])
        stage.run()


CALLBACKS = [
    "handle_demand",
    "handle_cast",
    "handle_info",
    "handle_subscribe",
    "handle_cancel",
    "handle_call",
    "handle_discarded",
]


@pytest.mark.parametrize("callback", CALLBACKS)
def test_a_callback_that_raises_ends_its_stage(callback: str) -> None:
    """With the exception itself; nothing is called or sent afterwards."""

    def fail(self: Any, *arguments: Any) -> Any:
        raise LookupError(callback)

    methods: dict[str, Any] = {}
    producer = StageHarness(type("Fails", (Idle,), methods), buffer_size=0)
    producer.subscribe(1, "one")
    type(producer.behaviour)
    setattr(type(producer.behaviour), callback, fail)
    provoke(producer, callback)
    assert isinstance(producer.error, LookupError)
    assert producer.exiting is not None
    assert producer.exiting.reason == ["error", f"LookupError: {callback}"]
    before = len(producer.trace)
    producer.run()
    assert len(producer.trace) == before


def test_a_failing_producer_hurts_its_consumers_by_their_cancel_mode_only() -> None:
    """One that is temporary goes on, with another producer, as if nothing had happened."""

    class Fails(Counter):
        def handle_cast(self, message: Any) -> Any:
            raise LookupError("no")

    network = Network()
    bad = network.add("bad", Fails)
    network.add("good", Counter)
    sink = network.add("sink", Forwarder)
    network.connect("sink", "bad", max_demand=2, min_demand=0, cancel="temporary")
    network.connect("sink", "good", max_demand=2, min_demand=0)
    network.run(until=lambda: len(sink.behaviour.batches) > 5)
    bad.cast("x")
    got = len(sink.behaviour.batches)
    network.run(until=lambda: len(sink.behaviour.batches) > got + 20)
    assert sink.exiting is None


def test_an_iterable_that_raises_emits_nothing() -> None:
    """A generator that fails half-way: none of its events leaves."""

    class Breaks(Idle):
        def handle_demand(self, demand: int) -> Any:
            yield 1
            raise LookupError("half-way")

    producer = StageHarness(Breaks)
    producer.subscribe(1)
    producer.ask(1, 5)
    assert isinstance(producer.error, LookupError)
    assert producer.events(1) == []


def broken(event: Any) -> int:
    """A partition function that knows some events only."""
    return {"a": 0, "b": 1}[event]


PARTITION = {"partition": {"partitions": 2, "by": f"{__name__}:broken"}}


def test_a_partition_function_that_raises_is_the_producers_error() -> None:
    """Where the event is emitted; the consumers keep what they have, and are not blamed."""
    producer = StageHarness(Idle, dispatcher=PARTITION)
    producer.subscribe(1, "one", partition=0)
    producer.subscribe(2, "two", partition=1)
    producer.ask(1, 5)
    producer.ask(2, 5)
    producer.cast(["a", "b"])
    producer.cast(["c"])
    assert "KeyError" in str(producer.error)
    assert producer.events(1) == [["a"]]
    assert producer.events(2) == [["b"]]
    assert producer.eos_reasons(1) == producer.eos_reasons(2) == []


def test_a_partition_function_that_raises_for_a_buffered_event() -> None:
    """It is the producer's error too, although a consumer's ask brings it to light."""
    producer = StageHarness(Idle, dispatcher=PARTITION)
    producer.cast(["c"])
    producer.subscribe(1, "one", partition=0)
    producer.ask(1, 5)
    assert "KeyError" in str(producer.error)
    assert producer.eos_reasons(1) == []


# --- emitting -------------------------------------------------------------------------------------


class Emits(Same):
    """Emits in every callback, and says where."""

    def on_start(self) -> None:
        self.emit(["on_start"])

    def handle_subscribe(self, side: str, options: Any, subscription: Subscription) -> None:
        self.emit([f"handle_subscribe {side}"])

    def handle_cancel(self, reason: Any, subscription: Subscription) -> list[str]:
        self.emit(["handle_cancel"])
        return ["handle_cancel returned"]

    def handle_events(self, events: list[Any], subscription: Subscription) -> list[Any]:
        self.emit(["handle_events"])
        return events

    def handle_notification(self, message: Any, subscription: Subscription) -> None:
        self.emit(["handle_notification"])

    def handle_call(self, request: Any, sender: Any) -> str:
        self.emit(["handle_call"])
        return "answer"

    def handle_cast(self, message: Any) -> list[str]:
        self.emit(["handle_cast"])
        return ["handle_cast returned"]

    def handle_info(self, message: Any) -> list[str]:
        self.emit(["handle_info"])
        return ["handle_info returned"]


def test_events_may_be_emitted_in_any_callback() -> None:
    """What is emitted precedes what is returned; all arrives, in order, and is acknowledged."""
    stage = StageHarness(Emits)
    stage.link_to_producer(1, max_demand=10)
    stage.subscribe(2)
    stage.ask(2, 100)
    stage.route(1, ["event"])
    stage.notify(1, "note")
    assert stage.call("x") == "answer"
    stage.cast("x")
    stage.info("x")
    assert stage.acked(1) == 0
    stage.acknowledge(2)
    stage.advance(1)
    assert stage.acked(1) == 1
    stage.unsubscribe(2)
    assert flat(stage.events(2)) == [
        "on_start",
        "handle_subscribe producer",
        "handle_subscribe consumer",
        "handle_events",
        "event",
        "handle_notification",
        "handle_call",
        "handle_cast",
        "handle_cast returned",
        "handle_info",
        "handle_info returned",
    ]
    assert stage.counters["buffered"] == 2


def test_emitting_what_was_dropped_does_not_overtake_the_stages_messages() -> None:
    """A stage that emits again what its full buffer drops gets its other messages all the same."""

    class Insists(Idle):
        def __init__(self) -> None:
            self.dropped = 0

        def handle_discarded(self, events: list[Any]) -> bool:
            self.dropped += 1
            if self.dropped < 50:
                self.emit(events)
            return False

    producer = StageHarness(Insists, buffer_size=1)
    producer.cast(["a", "b"])
    assert producer.behaviour.dropped == 50
    assert producer.counters["discarded"] == 50
    producer.subscribe(1)
    producer.ask(1, 5)
    assert len(flat(producer.events(1))) == 1


class Says(Idle):
    """Emits in `on_stop`."""

    def on_stop(self, reason: Any) -> None:
        self.emit(["last words"])


def test_events_emitted_while_stopping_leave() -> None:
    """Whoever has demand gets them before the link ends."""
    producer = StageHarness(Says)
    producer.subscribe(1)
    producer.ask(1, 5)
    producer.stop()
    assert producer.events(1) == [["last words"]]


def test_events_emitted_after_the_end_are_discarded_and_said() -> None:
    """Consumers were told that nothing more comes: nothing does, and it is counted and logged."""
    producer = StageHarness(Says)
    producer.subscribe(1)
    producer.ask(1, 5)
    producer.finish()
    assert producer.eos_reasons(1) == ["done"]
    assert producer.events(1) == []
    assert producer.counters["discarded"] == 1
    assert [(each.level, each.values["discarded"]) for each in producer.log] == [("warning", 1)]
