"""Whatever reaches a stage, it goes on serving everybody else; whoever asked gets an answer."""

from __future__ import annotations

import threading
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actorflow import LATER, Consumer, EventNotEncodable, Producer, Undecodable
from actorflow.protocol import control
from actorflow.protocol.messages import Call, Cast, Info
from actorflow.protocol.wire import encode
from actorflow.stage.behaviour import Stage
from actorflow.testing.harness import StageHarness
from tests.conformance.helpers.stages import Counter, Forwarder, Idle, Same
from tests.protocol.test_messages import EXAMPLES, anything
from tests.seeds import examples

KINDS = [Counter, Same, Forwarder]
BROADCAST = "broadcast"
PARTITION = {"partition": {"partitions": [0], "by": "tests.stage.test_robustness:zero"}}


def zero(event: Any) -> int:
    """A partition function."""
    return 0


def flat(batches: list[list[Any]]) -> list[Any]:
    """All events of some batches."""
    return [event for batch in batches for event in batch]


# --- events that cannot leave ---------------------------------------------------------------------


class Tries(Idle):
    """Emits what it is called with, and goes on when that cannot leave."""

    def handle_call(self, request: list[Any], sender: Any) -> str:
        lock = threading.Lock()
        events = [lock if event == "lock" else event for event in request]
        try:
            self.emit(events)
        except EventNotEncodable as error:
            return error.event_type
        return "emitted"


@pytest.mark.parametrize("dispatcher", ["demand", BROADCAST, PARTITION])
def test_a_stage_may_go_on_after_an_event_that_cannot_leave(dispatcher: Any) -> None:
    """Nothing of that emission is sent, and no consumer's demand is lost with it."""
    producer = StageHarness(Tries, dispatcher=dispatcher)
    for ref, name in ((1, "one"), (2, "two"))[: 1 if dispatcher == PARTITION else 2]:
        producer.subscribe(ref, name, partition=0)
        producer.ask(ref, 2)
    for _ in range(5):
        assert producer.call([1, "lock", 3]) == "_thread.lock"
    assert producer.events(1) == producer.events(2) == []
    assert producer.call([1, 2]) == "emitted"
    assert flat(producer.events(1)) == [1, 2]
    producer.acknowledge(1)
    if producer.batches(2):
        producer.acknowledge(2)
    producer.finish()
    assert producer.exiting is not None


def test_an_event_that_cannot_leave_ends_a_stage_that_does_not_care() -> None:
    """The error names the stage and the event's type."""

    class Emits(Counter):
        def handle_demand(self, demand: int) -> list[Any]:
            return [threading.Lock()]

    producer = StageHarness(Emits, name="locks")
    producer.subscribe(1)
    producer.ask(1, 2)
    assert isinstance(producer.error, EventNotEncodable)
    assert producer.error.stage == "locks"
    assert producer.exiting is not None
    assert producer.exiting.failure is not None


def test_an_event_that_waited_and_cannot_leave() -> None:
    """It is found when it is its turn; the events before it have been delivered."""
    producer = StageHarness(Tries)
    producer.call(["a"])
    producer.call(["lock"])
    producer.subscribe(1)
    producer.ask(1, 1)
    assert producer.events(1) == [["a"]]
    producer.ask(1, 1)
    assert isinstance(producer.error, EventNotEncodable)


# --- messages that make no sense ------------------------------------------------------------------


@pytest.mark.parametrize(
    "record",
    [
        control.SetDemand("sideways"),
        control.SetDemand("accumulate"),
        control.Link(7, "consumer", "stray/0#1", {"max_demand": 0}),
        control.Link(7, "consumer", "no incarnation"),
        control.Link(7, "producer", "no incarnation"),
        control.CancelSubscription(99, "normal"),
        control.ProducerFinished(99, "no incarnation"),
        control.ProducerFinished(99, "stray/0#1", {"max_demand": 0}),
        control.Ready("producer"),
        control.Exiting("done"),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_an_order_that_does_not_fit_is_refused(kind: type[Stage], record: control.Control) -> None:
    """An order for another kind of stage, or with bad values, is logged; the stage lives."""
    stage = StageHarness(kind)
    stage.order(record)
    assert (stage.error, stage.exiting) == (None, None)


@pytest.mark.parametrize("kind", KINDS)
def test_a_verdict_on_nobody(kind: type[Stage]) -> None:
    """A `Down` whose name is no incarnation, or a stranger's, changes nothing."""
    stage = StageHarness(kind)
    stage.down("stranger")
    stage.receive(0, msgpack.packb(["$gen_down", 1, "no incarnation", "killed", False]))
    assert (stage.error, stage.exiting) == (None, None)


frames = st.one_of(
    st.binary(max_size=20),
    st.sampled_from([encode(message)[4:] for message, _ in EXAMPLES]),
    st.builds(
        lambda fields, at, value: msgpack.packb([*fields[:at], value, *fields[at + 1 :]]),
        st.sampled_from([fields for _, fields in EXAMPLES if "system" not in fields]),
        st.integers(1, 4),
        anything,
    ),
)


@settings(deadline=None, max_examples=examples(150))
@given(st.sampled_from(KINDS), st.lists(st.tuples(st.integers(0, 3), frames), max_size=12))
def test_any_frames_on_any_link(kind: type[Stage], arrivals: list[tuple[int, bytes]]) -> None:
    """No frame on any link ends a stage, and it still answers calls and takes events."""

    class Patient(kind):  # type: ignore[misc, valid-type]
        def handle_call(self, request: Any, sender: Any) -> Any:
            return "here"

        def handle_cast(self, message: Any) -> None:
            return None

        def handle_info(self, message: Any) -> None:
            return None

    stage = StageHarness(Patient)
    if stage.machine.producing is not None:
        stage.subscribe(1, "consumer")
    if stage.machine.consuming is not None:
        stage.link_to_producer(2, "producer", max_demand=5, cancel="temporary")
    for link, data in arrivals:
        stage.receive(link, data)
    assert (stage.error, stage.exiting) == (None, None)
    assert stage.call("are you there?") == "here"
    if stage.machine.producing is not None:
        stage.subscribe(11, "another")
        stage.ask(11, 1)
        assert stage.eos_reasons(11) == []


def test_what_cannot_be_decoded_ends_its_subscription() -> None:
    """The producer is told why, and the consumer of a temporary subscription goes on."""
    consumer = StageHarness(Forwarder)
    consumer.link_to_producer(1, max_demand=5, cancel="temporary")
    consumer.receive(1, msgpack.packb(["$gen_route", 1, 1, "msgpack", b"\xc1"]))
    assert consumer.sent(1)[-1].reason[0] == "undecodable_body"  # type: ignore[union-attr]
    assert consumer.calls("handle_cancel")[0][0][1][0] == "undecodable_body"
    assert consumer.exiting is None


@pytest.mark.parametrize("seq", [2, 7])
def test_a_gap_in_the_sequence_ends_the_subscription(seq: int) -> None:
    """A batch that is missing is noticed at the next one."""
    consumer = StageHarness(Forwarder)
    consumer.link_to_producer(1, max_demand=5, cancel="temporary")
    consumer.route(1, ["a"], seq=seq)
    assert consumer.behaviour.batches == []
    assert consumer.calls("handle_cancel")[0][0][1][0] == "bad_sequence"


# --- calls ----------------------------------------------------------------------------------------


def undecodable(kind: type[Call | Cast | Info]) -> bytes:
    """A request of a class that is not here."""
    return encode(kind(5, control.USER, "pickle", b"cno.such.module\nName\n."))[4:]


@pytest.mark.parametrize("kind", KINDS)
def test_a_call_that_cannot_be_decoded_is_answered(kind: type[Stage]) -> None:
    """The caller gets the error at once, and the stage lives; a cast or an info is logged."""
    stage = StageHarness(kind)
    for message in (Call, Cast, Info):
        stage.receive(0, undecodable(message))
    with pytest.raises(Undecodable, match="undecodable_body"):
        stage.reply_to(5)
    assert (stage.error, stage.exiting) == (None, None)
    assert len(stage.log) == 3


def test_an_unknown_question_of_the_runtime() -> None:
    """It is answered with what is known."""
    with pytest.raises(ValueError, match="known are status and demand"):
        StageHarness(Counter).call("weather", control.SYSTEM)


class Answers(Consumer):
    """Replies with what the request says."""

    def __init__(self) -> None:
        self.later: Any = None

    def handle_call(self, request: Any, sender: Any) -> Any:
        if request == "lock":
            return threading.Lock()
        if request == "raise":
            raise ValueError("no")
        if request == "twice":
            sender.reply("first")
            sender.reply("second")
        if request == "later":
            self.later = sender
            return LATER
        return request

    def handle_cast(self, message: Any) -> None:
        self.later.reply(message)


def test_a_reply_that_cannot_be_sent() -> None:
    """The caller is told; as any exception in a callback it ends the stage."""
    stage = StageHarness(Answers)
    with pytest.raises(TypeError, match=r"a _thread\.lock cannot be sent to another process"):
        stage.call("lock")
    assert isinstance(stage.error, TypeError)


def test_an_exception_in_a_call() -> None:
    """It is both the caller's and the stage's."""
    stage = StageHarness(Answers)
    with pytest.raises(ValueError, match="no"):
        stage.call("raise")
    assert isinstance(stage.error, ValueError)


def test_replies() -> None:
    """The first reply counts, and one may come later."""
    stage = StageHarness(Answers)
    assert stage.call("twice") == "first"
    assert stage.call(None) is None
    number = stage.send_call("later")
    with pytest.raises(LookupError):
        stage.reply_to(number)
    stage.cast("now")
    assert stage.reply_to(number) == "now"


# --- nothing stays behind -------------------------------------------------------------------------


def weight(stage: StageHarness) -> int:
    """How much a stage remembers."""
    machine = stage.machine
    found = len(machine.peers) + len(machine.timers._heap)
    if machine.producing is not None:
        half = machine.producing
        found += len(half.subscriptions) + len(half.outgoing._encoder._pickled)
        found += sum(
            len(value) for value in vars(half.dispatcher).values() if hasattr(value, "__len__")
        )
    if machine.consuming is not None:
        consuming = machine.consuming
        found += (
            len(consuming.subscriptions) + len(consuming.lineage) + len(consuming.asking._dirty)
        )
        found += len(consuming.upstream._streams.expected)
    return found


@pytest.mark.parametrize("dispatcher", ["demand", BROADCAST, PARTITION])
def test_consumers_that_come_and_go_leave_nothing(dispatcher: Any) -> None:
    """However each left, a producer remembers nobody."""
    producer = StageHarness(Counter, dispatcher=dispatcher)
    before = weight(producer)
    for ref in range(1, 400):
        producer.subscribe(ref, "one", partition=0)
        producer.ask(ref, 2)
        if ref % 4 == 0:
            producer.unsubscribe(ref)
        if ref % 4 == 1:
            producer.ask(ref, 0)
        producer.hang_up(ref)
        producer.down("one")
    if dispatcher == "demand":
        assert weight(producer) == before
    assert weight(producer) <= before + 1
    assert producer.status()["producing"]["consumers"] == []


@pytest.mark.parametrize("kind", [Forwarder, Same])
def test_producers_that_come_and_go_leave_nothing(kind: type[Stage]) -> None:
    """However each subscription ended, a consumer remembers none of them."""
    stage = StageHarness(kind)
    before = weight(stage)
    for ref in range(1, 400):
        stage.link_to_producer(ref, "producer", max_demand=2, cancel="temporary")
        if stage.machine.producing is None:
            stage.route(ref, ["a"])
        if ref % 3 == 0:
            stage.eos(ref, "normal")
        elif ref % 3 == 1:
            stage.cancel(ref)
            stage.eos(ref, "normal")
            stage.hang_up(ref)
        else:
            stage.down("producer")
    stage.advance(1.0)
    assert weight(stage) == before
    assert stage.opened == set()


# --- beginnings -----------------------------------------------------------------------------------


def test_a_stage_that_stops_in_its_constructor() -> None:
    """It ends before it has begun."""

    class Refuses(Producer):
        def __init__(self) -> None:
            self.stop("no input")

        def on_start(self) -> None:
            raise AssertionError("must not be called")

    stage = StageHarness(Refuses)
    assert stage.error is None
    assert stage.exiting == control.Exiting("no input")


def test_a_status_with_values_that_cannot_be_shown() -> None:
    """A status never fails, whatever the stage keeps."""

    class Mute:
        def __repr__(self) -> str:
            raise RuntimeError("no text")

    class Keeps(Idle):
        def on_start(self) -> None:
            self.mute = Mute()
            self.text = "caf\udce9"

    status = StageHarness(Keeps).status()
    assert "whose repr raised RuntimeError" in status["state"]["mute"]


def test_log_lines_with_any_values() -> None:
    """A line gets through with whatever it carries; what the host cannot take is counted."""

    class Logs(Idle):
        def handle_cast(self, message: Any) -> Any:
            self.log.warning("caf\udce9", value=threading.Lock, share=0.5, count=3, text="\udce9")

    stage = StageHarness(Logs)
    stage.cast(None)
    (record,) = stage.log
    assert (record.level, record.event) == ("warning", r"caf\udce9")
    assert (record.values["share"], record.values["count"]) == (0.5, 3)
    stage.congested = True
    stage.cast(None)
    assert len(stage.log) == 1
    assert stage.counters["log_dropped"] == 1
