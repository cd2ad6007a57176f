"""B15, B16 and scenario 111 on the control link: garbage to a stage, and garbage from one.

A stage's supervisor is trusted, and a stage survives its garbage all the same. A supervisor trusts
no stage: one that sends it what it may not is killed, and started again; nobody else notices.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any, get_args

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actorflow import SupervisorOptions, Topology
from actorflow.protocol import control
from actorflow.protocol.failure import Failure
from actorflow.protocol.messages import Cast, Message, Reply
from actorflow.protocol.wire import decode, encode
from actorflow.stage.work import CONTROL_LINK
from actorflow.supervision import operations
from actorflow.supervision.events import StageLogged
from actorflow.supervision.runtime import Received
from tests.conformance.helpers.conversation import KINDS, Conversation
from tests.conformance.helpers.fuzz import MESSAGES, NASTY, mutations, truncations
from tests.conformance.helpers.stages import Counter, Forwarder, Idle
from tests.conformance.helpers.supervised import Supervised
from tests.conformance.test_fuzz_links import undisturbed
from tests.protocol.test_control import RECORDS
from tests.seeds import examples, sample, some

ENDS = (control.Stop, control.Finish, control.Retire)
"""What ends a stage when it is right, and must not when it is wrong."""


def cast(body: Any) -> bytes:
    """The frame, without its length, of a system cast with this body."""
    data = (
        body if isinstance(body, bytes) else msgpack.packb(body, unicode_errors="surrogateescape")
    )
    return encode(Cast(0, control.SYSTEM, "msgpack", data))[4:]


def wrong_records(kind: type[control.Control]) -> Iterator[bytes]:
    """A record with each field of a wrong type, left out, or with one too many."""
    right = next((each for each in RECORDS if type(each) is kind), None)
    assert right is not None, f"RECORDS in tests/protocol/test_control.py needs a {kind.__name__}"
    body = {field.name: getattr(right, field.name) for field in fields(right)}
    body["do"] = kind.__name__
    for field in fields(kind):
        for value in NASTY:
            yield cast({**body, field.name: value})
        yield cast({key: value for key, value in body.items() if key != field.name})
    yield cast({**body, "more": 1})
    yield cast({**body, "do": [kind.__name__]})
    yield cast({key: value for key, value in body.items() if key != "do"})
    whole = msgpack.packb(body)
    for at in some(len(whole)):
        yield cast(whole[:at])


def is_right(frame: bytes) -> bool:
    """Whether a frame is a record after all."""
    message = decode(frame)
    assert isinstance(message, Cast)
    try:
        control.decode_control(message)
    except control.ProtocolError:
        return False
    return True


def test_s111_every_record_has_an_example() -> None:
    """A record that is new is fuzzed once its example is written down."""
    assert {type(record) for record in RECORDS} == set(get_args(control.Control))


# --- to a stage -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("record", get_args(control.Control), ids=lambda each: each.__name__)
def test_s111_every_field_of_every_record_to_a_stage(record: type, kind: str) -> None:
    """It is refused, counted and logged, and the stage's peers notice nothing."""
    for frame in sample(wrong_records(record)):
        if is_right(frame):
            continue
        conversation = Conversation(kind)
        conversation.begin()
        stage = conversation.stage
        before = stage.counters["protocol_errors"]
        stage.receive(CONTROL_LINK, frame)
        assert stage.counters["protocol_errors"] == before + 1, frame
        assert stage.log[-1].level == "error"
        conversation.go_on()
        assert conversation.lives(), frame
        assert conversation.healthy() == undisturbed(kind), frame


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("record", get_args(control.Control), ids=lambda each: each.__name__)
def test_s111_records_of_the_right_form_that_make_no_sense(record: type, kind: str) -> None:
    """About links, stages and modes that do not exist, in any number: the stage lives."""
    if record in ENDS:
        return
    conversation = Conversation(kind)
    conversation.begin()
    for frame in sample(wrong_records(record)):
        body = msgpack.unpackb(decode(frame).body, strict_map_key=False) if is_right(frame) else {}
        if body and body.get("ref", 99) > 13:  # not about one of the conversation's links
            conversation.stage.receive(CONTROL_LINK, frame)
    assert conversation.lives()
    conversation.go_on()
    assert conversation.lives()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.__name__)
def test_s111_every_field_of_every_message_to_a_stage(message: type, kind: str) -> None:
    """Also what belongs on other links, and whatever can be cut off."""
    for fuzzed in sample((*mutations(message, ref=99), *truncations(message, ref=99))):
        conversation = Conversation(kind)
        conversation.begin()
        stage = conversation.stage
        before = stage.counters["protocol_errors"]
        stage.receive(CONTROL_LINK, fuzzed.data)
        if fuzzed.reasons:
            assert stage.counters["protocol_errors"] == before + 1, fuzzed
        conversation.go_on()
        assert conversation.lives(), fuzzed
        assert conversation.healthy() == undisturbed(kind), fuzzed


# --- from a stage ---------------------------------------------------------------------------------


def supervised() -> Supervised:
    """Two pairs of stages, and the first of them linked."""
    topology = (
        # A letter, which any stage may write, ends a run that keeps none.
        Topology("run", supervisor=SupervisorOptions(max_restarts=10_000), dead_letters="letters")
        .stage("bad", Idle)
        .stage("friend", Forwarder, subscribe_to=[{"to": "bad", "cancel": "temporary"}])
        .stage("good", Counter)
        .stage("sink", Forwarder, subscribe_to=[{"to": "good", "max_demand": 4}])
    )
    return Supervised(topology)


def others_go_on(world: Supervised) -> None:
    """The stages that sent nothing live their first life, and events flow."""
    for name in ("good", "sink"):
        assert operations.find(world.core, name).generation == 1
    taken = len(world.batches("sink/0"))
    world.until(lambda: len(world.batches("sink/0")) > taken + 5)
    assert world.core.outcome is None


def garbage_of(record: type) -> list[Cast]:
    """Wrong records as casts."""
    return [
        message
        for frame in sample(wrong_records(record))
        if not is_right(frame) and isinstance(message := decode(frame), Cast)
    ]


def runs(world: Supervised) -> bool:
    """Whether the bad stage is up."""
    return world.row("bad/0").state == "running"


@pytest.mark.parametrize("record", get_args(control.Control), ids=lambda each: each.__name__)
def test_s111_every_field_of_every_record_from_a_stage(record: type) -> None:
    """The stage that sent it is killed and started again; the log says what it was."""
    world = supervised()
    for message in garbage_of(record)[::7]:
        child = operations.find(world.core, "bad")
        life = child.generation
        world.core.observe(Received(child.incarnation, message))
        assert child.fault, message
        world.until(lambda life=life: world.row("bad/0").generation > life and runs(world))
    logged = [
        each.record
        for each in world.simulation._events
        if isinstance(each, StageLogged) and each.record.level == "error"
    ]
    assert any("is killed" in each.event for each in logged)
    others_go_on(world)


@pytest.mark.parametrize("record", get_args(control.Control), ids=lambda each: each.__name__)
def test_s111_no_record_from_a_stage_breaks_the_supervisor(record: type) -> None:
    """Nor a right one with any values; what is another stage's stays that stage's."""
    world = supervised()
    bad = operations.find(world.core, "bad")
    for frame in sample(wrong_records(record)):
        message = decode(frame)
        assert isinstance(message, Cast)
        world.core.observe(Received(bad.incarnation, message))
    others_go_on(world)


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.__name__)
def test_s111_every_message_from_a_stage(message: type) -> None:
    """What can be read and is nothing for a supervisor is a fault of the stage that sent it."""
    world = supervised()
    bad = operations.find(world.core, "bad")
    for fuzzed in sample(mutations(message, ref=99)):
        if not fuzzed.reasons:
            bad.fault = ""
            world.core.observe(Received(bad.incarnation, decode(fuzzed.data)))
            taken = message is Reply or (message is Cast and fuzzed.value == control.SYSTEM)
            assert bool(bad.fault) != taken, fuzzed
    others_go_on(world)


def test_s111_a_stage_cannot_end_anothers_subscription() -> None:
    """Nor say that it is established; it is killed for trying."""
    world = supervised()
    bad = operations.find(world.core, "bad")
    edge = next(each for each in world.core.wiring.edges if each.consumer.name == "sink")
    for record in (control.SubscriptionEnded(edge.ref, "mine"), control.Established(edge.ref)):
        bad.fault = ""
        world.core.observe(Received(bad.incarnation, control.encode_control(record)))
        assert "bad_ref" in bad.fault
        assert world.core.wiring.by_ref(edge.ref) is edge
    others_go_on(world)


def test_s111_a_stage_cannot_answer_anothers_call() -> None:
    """Who was called answers, and nobody else."""
    world = supervised()
    bad = operations.find(world.core, "bad")
    future = operations.call(world.core, "good", ["event"])
    world.core.observe(Received(bad.incarnation, Reply(1, "ok", "msgpack", b"\xa5wrong")))
    assert "bad_ref" in bad.fault
    assert world.wait(future) == "emitted"


@pytest.mark.parametrize("value", NASTY, ids=repr)
@pytest.mark.parametrize("outcome", ["ok", "error", "what?"])
def test_s111_any_reply_resolves_its_call(value: Any, outcome: str) -> None:
    """The caller gets a value or an exception, never silence."""
    if value == "\udcff":
        return
    world = Supervised(Topology("run").stage("bad", Idle))
    bad = operations.find(world.core, "bad")
    future = operations.call(world.core, "bad", [])
    ref = world.core.calls._last
    reply = Reply(ref, outcome, "msgpack", msgpack.packb(value))
    world.core.observe(Received(bad.incarnation, reply))
    assert future.done()
    if outcome == "ok":
        assert future.exception(timeout=0) is None
    else:
        assert "raised in the call" in str(future.exception(timeout=0))


@settings(deadline=None, max_examples=examples(50))
@given(
    st.lists(
        st.builds(
            Cast, st.just(0), st.just(control.SYSTEM), st.just("msgpack"), st.binary(max_size=30)
        )
        | st.builds(
            Reply,
            st.integers(0, 3),
            st.text(max_size=3),
            st.text(max_size=3),
            st.binary(max_size=9),
        ),
        max_size=5,
    )
)
def test_s111_any_bytes_from_a_stage(messages: list[Message]) -> None:
    """Whatever is inside them, the run goes on."""
    world = supervised()
    for message in messages:
        bad = operations.find(world.core, "bad")
        world.core.observe(Received(bad.incarnation, message))
    others_go_on(world)


@pytest.mark.parametrize("value", NASTY, ids=repr)
def test_s111_any_last_words_are_an_end(value: Any) -> None:
    """A failure that is none, and an exception that is none, still have a text."""
    for data in (value, {"summary": value, "traceback": "", "pickled": value}):
        error = Failure.from_wire(data).exception()
        assert isinstance(error, Exception)
        assert str(error)
    import pickle

    odd = Failure("said", "", pickle.dumps(5))
    assert str(odd.exception()) == "said"
