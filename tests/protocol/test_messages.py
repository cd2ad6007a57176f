"""The messages' wire form: every one round trips, and what is wrong is refused with a reason."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actorflow.errors import ProtocolError, Undecodable
from actorflow.protocol.messages import (
    MAX_COUNT,
    MAX_REF,
    Ask,
    Call,
    Cast,
    Down,
    Info,
    Message,
    Notify,
    Reply,
    Route,
    RouteEos,
    RouteLast,
    Subscribe,
    Unsubscribe,
)
from actorflow.protocol.wire import (
    ask_prefix,
    decode,
    encode,
    encode_ask,
    encode_route_head,
    route_prefix,
)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
refs = st.integers(0, MAX_REF)
counts = st.integers(0, MAX_COUNT)
plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | texts,
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=6,
)
bodies = st.tuples(texts, st.binary(max_size=20))
messages = st.one_of(
    st.builds(Subscribe, refs, st.dictionaries(texts, plain, max_size=3)),
    st.builds(Subscribe, refs, st.just({}), refs, plain),
    st.builds(Ask, refs, st.integers(1, MAX_COUNT), counts),
    st.builds(Ask, refs, st.just(0), st.integers(1, MAX_COUNT)),
    st.builds(Unsubscribe, refs, plain),
    st.builds(lambda ref, seq, body: Route(ref, seq, *body), refs, st.integers(1, 2**40), bodies),
    st.builds(RouteEos, refs, plain),
    st.builds(RouteLast, refs),
    st.builds(lambda ref, body: Notify(ref, *body), refs, bodies),
    *(
        st.builds(
            lambda kind, ref, scope, body: kind(ref, scope, *body),
            st.just(kind),
            refs,
            texts,
            bodies,
        )
        for kind in (Call, Cast, Info, Reply)
    ),
    st.builds(Down, refs, texts, plain, st.booleans()),
)

EXAMPLES: list[tuple[Message, list[Any]]] = [
    (Subscribe(1, {"max_demand": 5}), ["$gen_subscribe", 1, {"max_demand": 5}, None]),
    (Subscribe(2, {}, 1, "again"), ["$gen_subscribe", 2, {}, [1, "again"]]),
    (Ask(1, 5, 3), ["$gen_ask", 1, 5, 3]),
    (Unsubscribe(1, "normal"), ["$gen_unsubscribe", 1, "normal"]),
    (Route(1, 7, "msgpack", b"x"), ["$gen_route", 1, 7, "msgpack", b"x"]),
    (RouteEos(1, "done"), ["$gen_route_eos", 1, "done"]),
    (RouteLast(1), ["$gen_route_last", 1]),
    (Notify(1, "msgpack", b"x"), ["$gen_notify", 1, "msgpack", b"x"]),
    (Call(1, "user", "msgpack", b"x"), ["$gen_call", 1, "user", "msgpack", b"x"]),
    (Cast(0, "system", "msgpack", b"x"), ["$gen_cast", 0, "system", "msgpack", b"x"]),
    (Info(0, "user", "pickle", b"x"), ["$gen_info", 0, "user", "pickle", b"x"]),
    (Reply(1, "ok", "msgpack", b"x"), ["$gen_reply", 1, "ok", "msgpack", b"x"]),
    (Down(1, "a/0#1", "killed", True), ["$gen_down", 1, "a/0#1", "killed", True]),
]


@pytest.mark.parametrize(("message", "fields"), EXAMPLES)
def test_the_wire_form_is_literal(message: Message, fields: list[Any]) -> None:
    """Each message is this array behind a little-endian length, and reads back as itself."""
    frame = encode(message)
    assert int.from_bytes(frame[:4], "little") == len(frame) - 4
    assert msgpack.unpackb(frame[4:], strict_map_key=False) == fields
    assert decode(frame[4:]) == message


@settings(deadline=None)
@given(messages)
def test_every_message_round_trips(message: Message) -> None:
    """What is encoded decodes to an equal message, whatever it holds."""
    assert decode(encode(message)[4:]) == message


@settings(deadline=None)
@given(refs, st.integers(1, 2**40), st.sampled_from(["msgpack", "pickle", "mine"]), st.binary())
def test_the_short_way_to_write_a_route(ref: int, seq: int, codec: str, body: bytes) -> None:
    """A head from the subscription's prefix, and the body behind it, are the same message."""
    frame = encode_route_head(route_prefix(ref), seq, codec, len(body)) + body
    assert decode(frame[4:]) == Route(ref, seq, codec, body)
    assert int.from_bytes(frame[:4], "little") == len(frame) - 4


@pytest.mark.parametrize("size", [0, 1, 255, 256, 65535, 65536, 70_000])
def test_bodies_of_every_length_class(size: int) -> None:
    """A body of any length is read back, from the short way to write it and the general one."""
    route = Route(3, 1, "msgpack", b"x" * size)
    short = encode_route_head(route_prefix(3), 1, "msgpack", size) + route.body
    assert decode(short[4:]) == decode(encode(route)[4:]) == route


@settings(deadline=None)
@given(refs, counts, counts)
def test_the_short_way_to_write_an_ask(ref: int, count: int, acked: int) -> None:
    """An ask from the subscription's prefix is the same message, its length said right."""
    frame = encode_ask(ask_prefix(ref), count, acked)
    assert int.from_bytes(frame[:4], "little") == len(frame) - 4
    if count or acked:
        assert decode(frame[4:]) == Ask(ref, count, acked)


def refusal(data: bytes) -> ProtocolError:
    """How a frame is refused."""
    with pytest.raises(ProtocolError) as caught:
        decode(data)
    return caught.value


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        (["$gen_ask", 1, 0, 0], "bad_demand"),
        (["$gen_ask", 1, -1, 0], "bad_demand"),
        (["$gen_ask", 1, 1.5, 0], "bad_demand"),
        (["$gen_ask", 1, True, 0], "bad_demand"),
        (["$gen_ask", 1, "5", 0], "bad_demand"),
        (["$gen_ask", 1, None, 0], "bad_demand"),
        (["$gen_ask", 1, MAX_COUNT + 1, 0], "bad_demand"),
        (["$gen_ask", 1, 5, -1], "bad_demand"),
        (["$gen_ask", 1, 5, None], "bad_demand"),
        (["$gen_ask", 1, 5], "bad_message"),
        (["$gen_ask", 1, 5, 0, 0], "bad_message"),
        (["$gen_subscribe", 1, None, None], "bad_option"),
        (["$gen_subscribe", 1, [], None], "bad_option"),
        (["$gen_subscribe", 1, {5: 6}, None], "bad_option"),
        (["$gen_subscribe", 1, {}, 5], "bad_option"),
        (["$gen_subscribe", 1, {}, [5]], "bad_option"),
        (["$gen_subscribe", 1, {}, [-5, "x"]], "bad_option"),
        (["$gen_subscribe", 1, {}], "bad_message"),
        (["$gen_unsubscribe", 1], "bad_message"),
        (["$gen_unsubscribe", 1, 2, 3], "bad_message"),
        (["$gen_route", 1, 0, "msgpack", b""], "bad_sequence"),
        (["$gen_route", 1, -1, "msgpack", b""], "bad_sequence"),
        (["$gen_route", 1, "1", "msgpack", b""], "bad_sequence"),
        (["$gen_route", 1, True, "msgpack", b""], "bad_sequence"),
        (["$gen_route", 1, 1, 5, b""], "bad_body"),
        (["$gen_route", 1, 1, "msgpack", "text"], "bad_body"),
        (["$gen_route", 1, 1, "msgpack", None], "bad_body"),
        (["$gen_route", 1, 1, "msgpack"], "bad_message"),
        (["$gen_route_eos", 1], "bad_message"),
        (["$gen_notify", 1, "msgpack", 5], "bad_body"),
        (["$gen_notify", 1, "msgpack"], "bad_message"),
        (["$gen_call", 1, 5, "msgpack", b""], "bad_message"),
        (["$gen_call", 1, "user", "msgpack"], "bad_message"),
        (["$gen_cast", 1, "user", "msgpack", 5], "bad_body"),
        (["$gen_info", 1, "user", 5, b""], "bad_body"),
        (["$gen_reply", 1, None, "msgpack", b""], "bad_message"),
        (["$gen_down", 1, 5, "killed", True], "bad_message"),
        (["$gen_down", 1, "a/0#1", "killed", 1], "bad_message"),
        (["$gen_down", 1, "a/0#1", "killed"], "bad_message"),
        (["$gen_else", 1], "unknown_message"),
        ([5, 1], "unknown_message"),
        ([["$gen_ask"], 1, 5, 0], "unknown_message"),
    ],
)
def test_a_wrong_field_is_named(fields: list[Any], reason: str) -> None:
    """Each rule has its wire reason, and the refusal knows the subscription."""
    error = refusal(msgpack.packb(fields))
    assert error.reason == reason
    assert error.detail
    assert error.ref == 1


@pytest.mark.parametrize("ref", [-1, MAX_REF + 1, "1", None, 1.0, True, [1], {"a": 1}])
def test_a_bad_ref(ref: Any) -> None:
    """A ref is a non-negative 64-bit integer."""
    error = refusal(msgpack.packb(["$gen_ask", ref, 5, 0]))
    assert (error.reason, error.ref) == ("bad_ref", None)


@pytest.mark.parametrize(
    "value", [None, 5, "text", b"bytes", {}, [], ["$gen_ask"], {"$gen_ask": 1}]
)
def test_what_is_no_message(value: Any) -> None:
    """Anything but an array of a tag and a ref is undecodable."""
    assert isinstance(refusal(msgpack.packb(value)), Undecodable)


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    """No bytes make anything but a message or a refusal with a reason."""
    judge(data)


@settings(deadline=None)
@given(messages, st.data())
def test_any_damage_is_read_or_refused(message: Message, data: st.DataObject) -> None:
    """Neither do a message's bytes with some changed, cut off, repeated or added."""
    frame = bytearray(encode(message)[4:])
    at = data.draw(st.integers(0, len(frame) - 1))
    damage = data.draw(st.sampled_from(["change", "cut", "repeat", "add"]))
    if damage == "change":
        frame[at] = data.draw(st.integers(0, 255))
    elif damage == "cut":
        del frame[at:]
    elif damage == "repeat":
        frame[at:at] = frame[at : at + data.draw(st.integers(1, 8))]
    else:
        frame += data.draw(st.binary(min_size=1, max_size=4))
    judge(bytes(frame))


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | texts
    | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


@settings(deadline=None)
@given(st.sampled_from(EXAMPLES), st.data())
def test_any_field_may_be_anything(example: tuple[Message, list[Any]], data: st.DataObject) -> None:
    """Neither does any value in the place of any field, one left out, or one said twice."""
    fields = list(example[1])
    at = data.draw(st.integers(0, len(fields) - 1))
    change = data.draw(st.sampled_from(["replace", "leave out", "repeat"]))
    if change == "replace":
        fields[at] = data.draw(anything)
    elif change == "leave out":
        del fields[at]
    else:
        fields.insert(at, fields[at])
    judge(msgpack.packb(fields))


def judge(data: bytes) -> None:
    """A frame is a message, or it is refused with a reason."""
    refused: ProtocolError | None = None
    try:
        message = decode(data)
    except ProtocolError as error:
        refused = error
    else:
        assert type(message.ref) is int
    if refused is not None:
        assert refused.reason
        assert refused.detail
        assert refused.ref is None or type(refused.ref) is int
