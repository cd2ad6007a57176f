"""The wire form of messages: msgpack arrays ``[tag, ref, …]`` with literal tags, and their frames.

`decode` checks every field of every message, so that nothing behind it has to: what it refuses
carries the wire reason that the peer is told. `docs/protocol.md` describes each field.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Any

import msgpack

from actorflow.errors import ProtocolError, Undecodable
from actorflow.protocol.framing import LENGTH, frame
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
    RouteAgain,
    RouteEos,
    RouteLast,
    Subscribe,
    Unsubscribe,
)
from actorflow.records import dataclass

__all__ = ["ask_prefix", "decode", "encode", "encode_ask", "encode_route_head", "route_prefix"]

# What is no Unicode, such as a file name that is not UTF-8, is escaped: last words must arrive.
# msgpack has no type hints of its own.
_pack: Callable[[Any], bytes] = msgpack.Packer(
    use_bin_type=True, unicode_errors="backslashreplace", autoreset=True
).pack


def encode(message: Message) -> bytes:
    """Encode one message as a frame, length prefix included.

    Example:
        >>> decode(encode(Ask(3, 10))[4:])
        Ask(ref=3, count=10, acked=0)
    """
    return frame(_pack(_FIELDS[type(message)](message)))


def decode(data: bytes) -> Message:
    """Decode one frame, without its length prefix, and check every field.

    Raises:
        ProtocolError: with the reason that the sender is told, and the ref when one was readable.
    """
    size = len(data)
    if size == _ASK_SIZE:
        tag, first, ref, second, count, third, acked = _unpack_ask(data)
        if (
            tag == _ASK_TAG
            and first == second == third == _UINT64
            and ref <= MAX_REF
            and 0 < count <= MAX_COUNT
            and acked <= MAX_COUNT
        ):
            return Ask(ref, count, acked)
    elif size > _NAME_AT:
        form = _FORMS_BY_BYTE.get(data[_NAME_AT])
        if form is not None and size > form.size:
            tag, first, ref, second, seq, codec, kind, length = form.unpack_from(data)
            if (
                tag == _ROUTE_TAG
                and first == second == _UINT64
                and codec == form.name
                and kind == _BIN32
                and length == size - form.size
                and ref <= MAX_REF
                and seq
            ):
                return Route(ref, seq, form.codec, data[form.size :])
    return _decode_any(data)


def _decode_any(data: bytes) -> Message:
    """Decode a frame field by field."""
    try:
        fields = msgpack.unpackb(data, strict_map_key=False)
    except Exception as error:
        raise Undecodable("undecodable", f"not msgpack: {error}") from error
    if type(fields) is not list or len(fields) < 2:
        raise Undecodable("undecodable", "not an array of a tag and a ref")
    tag, ref = fields[0], fields[1]
    if type(ref) is not int or not 0 <= ref <= MAX_REF:
        raise ProtocolError("bad_ref", f"a ref is a non-negative 64-bit integer, got {ref!r}")
    reader = _READERS.get(tag) if type(tag) is str else None
    if reader is None:
        raise ProtocolError("unknown_message", f"unknown tag {tag!r}", ref)
    return reader(fields, ref)


# --- the hot path: a route and an ask are written from prefixes made once per subscription ------

# Its integers are always written in nine bytes, the longest form that msgpack has, so that one call
# of struct writes or reads all of them and the length is known beforehand. What has another form is
# as good and is read field by field.

_ROUTE_TAG = b"\x95" + _pack("$gen_route")
_ASK_TAG = b"\x94" + _pack("$gen_ask")
_UINT64, _BIN32 = 0xCF, 0xC6
_REF = Struct(">BQ")
_ASK_NUMBERS = Struct(">BQBQ")
_ASK = Struct(f">{len(_ASK_TAG)}sBQBQBQ")
_ASK_SIZE, _unpack_ask = _ASK.size, _ASK.unpack


@dataclass(slots=True)
class _RouteForm:
    """The form of a route's frame up to its body, for one codec."""

    codec: str
    name: bytes
    """The codec's name as it is written."""
    size: int
    unpack_from: Callable[[bytes], Any]
    """Tag, ref, sequence number, codec, size of the body."""
    pack: Callable[..., bytes]
    """The same, with tag and ref already packed."""

    @classmethod
    def of(cls, codec: str) -> _RouteForm:
        name = _pack(codec)
        tag, rest = len(_ROUTE_TAG), f"BQ{len(name)}sBI"
        whole = Struct(f">{tag}sBQ{rest}")
        behind_prefix = Struct(f">{tag + _REF.size}s{rest}")
        return cls(codec, name, whole.size, whole.unpack_from, behind_prefix.pack)


_FORMS = {codec: _RouteForm.of(codec) for codec in ("msgpack", "pickle")}
_FORMS_BY_BYTE = {form.name[0]: form for form in _FORMS.values()}
"""By the first byte of the codec's name, which has the name's length in it."""
_NAME_AT = len(_ROUTE_TAG) + 2 * _REF.size
"""Where in a route the codec's name begins: behind tag, ref and sequence number."""


def route_prefix(ref: int) -> bytes:
    """The constant first bytes of every `Route` of one subscription, behind the length."""
    return _ROUTE_TAG + _REF.pack(_UINT64, ref)


def encode_route_head(prefix: bytes, seq: int, codec: str, body_size: int) -> bytes:
    """A route's frame up to its body, so that a large body is written without being copied."""
    form = _FORMS.get(codec) or _form_of(codec)
    head = form.pack(prefix, _UINT64, seq, form.name, _BIN32, body_size)
    return LENGTH.pack(len(head) + body_size) + head


def ask_prefix(ref: int) -> bytes:
    """The constant first bytes of every `Ask` of one subscription, its length included."""
    fields = _ASK_TAG + _REF.pack(_UINT64, ref)
    return LENGTH.pack(len(fields) + _ASK_NUMBERS.size) + fields


def encode_ask(prefix: bytes, count: int, acked: int) -> bytes:
    """An ask's whole frame."""
    return prefix + _ASK_NUMBERS.pack(_UINT64, count, _UINT64, acked)


def _form_of(codec: str) -> _RouteForm:
    form = _FORMS[codec] = _RouteForm.of(codec)
    return form


# --- reading: one checker per tag --------------------------------------------------------------


def _arity(fields: list[Any], ref: int, *sizes: int) -> None:
    if len(fields) not in sizes:
        raise ProtocolError(
            "bad_message", f"{fields[0]} takes {sizes[0]} fields, got {len(fields)}", ref
        )


def _natural(value: Any, ref: int, reason: str, name: str) -> int:
    if type(value) is not int or not 0 <= value <= MAX_COUNT:
        raise ProtocolError(reason, f"{name} must be an integer from 0, got {value!r}", ref)
    return value


def _read_subscribe(fields: list[Any], ref: int) -> Subscribe:
    _arity(fields, ref, 4)
    options, replaces = fields[2], fields[3]
    if type(options) is not dict or not all(type(key) is str for key in options):
        raise ProtocolError("bad_option", f"options must be a map by name, got {options!r}", ref)
    if replaces is None:
        return Subscribe(ref, options)
    if (
        type(replaces) is not list
        or len(replaces) != 2
        or type(replaces[0]) is not int
        or replaces[0] < 0
    ):
        raise ProtocolError(
            "bad_option", f"replaces must be nil or [ref, reason], got {replaces!r}", ref
        )
    return Subscribe(ref, options, replaces[0], replaces[1])


def _read_ask(fields: list[Any], ref: int) -> Ask:
    _arity(fields, ref, 4)
    count = _natural(fields[2], ref, "bad_demand", "a demand")
    acked = _natural(fields[3], ref, "bad_demand", "an acknowledgement")
    if count == 0 and acked == 0:
        raise ProtocolError("bad_demand", "an ask of 0 events that acknowledges nothing", ref)
    return Ask(ref, count, acked)


def _read_unsubscribe(fields: list[Any], ref: int) -> Unsubscribe:
    _arity(fields, ref, 3)
    return Unsubscribe(ref, fields[2])


def _read_route(fields: list[Any], ref: int) -> Route:
    _arity(fields, ref, 5)
    _, _, seq, codec, body = fields
    if type(seq) is not int or seq < 1:
        raise ProtocolError("bad_sequence", f"a sequence number counts from 1, got {seq!r}", ref)
    _check_body(codec, body, ref)
    return Route(ref, seq, codec, body)


def _read_route_again(fields: list[Any], ref: int) -> RouteAgain:
    _arity(fields, ref, 9)
    _, _, seq, codec, body, attempt, alone, failure, buried = fields
    if type(seq) is not int or seq < 1:
        raise ProtocolError("bad_sequence", f"a sequence number counts from 1, got {seq!r}", ref)
    _check_body(codec, body, ref)
    counts = type(attempt) is int and attempt > 1
    if not counts or type(alone) is not bool or type(buried) is not bool:
        detail = f"an attempt is an integer from 2, and flags, got {[attempt, alone, buried]!r}"
        raise ProtocolError("bad_message", detail, ref)
    if type(failure) is not dict:
        raise ProtocolError("bad_message", f"a failure is a map, got {failure!r}", ref)
    return RouteAgain(ref, seq, codec, body, attempt, alone, failure, buried)


def _read_eos(fields: list[Any], ref: int) -> RouteEos:
    _arity(fields, ref, 3)
    return RouteEos(ref, fields[2])


def _read_last(fields: list[Any], ref: int) -> RouteLast:
    _arity(fields, ref, 2)
    return RouteLast(ref)


def _read_notify(fields: list[Any], ref: int) -> Notify:
    _arity(fields, ref, 4)
    _check_body(fields[2], fields[3], ref)
    return Notify(ref, fields[2], fields[3])


def _read_scoped(kind: Callable[[int, str, str, bytes], Message]) -> Callable[..., Message]:
    def read(fields: list[Any], ref: int) -> Message:
        _arity(fields, ref, 5)
        _, _, scope, codec, body = fields
        if type(scope) is not str:
            raise ProtocolError("bad_message", f"a scope is a string, got {scope!r}", ref)
        _check_body(codec, body, ref)
        return kind(ref, scope, codec, body)

    return read


def _read_down(fields: list[Any], ref: int) -> Down:
    _arity(fields, ref, 5)
    _, _, who, reason, restarting = fields
    if type(who) is not str or type(restarting) is not bool:
        raise ProtocolError("bad_message", "down takes a name, a reason and a flag", ref)
    return Down(ref, who, reason, restarting)


def _check_body(codec: Any, body: Any, ref: int) -> None:
    if type(codec) is not str or type(body) is not bytes:
        raise ProtocolError("bad_body", "a body is a codec's name and bytes", ref)


_READERS: dict[str, Callable[[list[Any], int], Message]] = {
    "$gen_subscribe": _read_subscribe,
    "$gen_ask": _read_ask,
    "$gen_unsubscribe": _read_unsubscribe,
    "$gen_route": _read_route,
    "$gen_route_again": _read_route_again,
    "$gen_route_eos": _read_eos,
    "$gen_route_last": _read_last,
    "$gen_notify": _read_notify,
    "$gen_call": _read_scoped(Call),
    "$gen_cast": _read_scoped(Cast),
    "$gen_info": _read_scoped(Info),
    "$gen_reply": _read_scoped(Reply),
    "$gen_down": _read_down,
}

_FIELDS: dict[type, Callable[[Any], list[Any]]] = {
    Subscribe: lambda m: [
        "$gen_subscribe",
        m.ref,
        m.options,
        None if m.replaces is None else [m.replaces, m.replaces_reason],
    ],
    Ask: lambda m: ["$gen_ask", m.ref, m.count, m.acked],
    Unsubscribe: lambda m: ["$gen_unsubscribe", m.ref, m.reason],
    Route: lambda m: ["$gen_route", m.ref, m.seq, m.codec, m.body],
    RouteAgain: lambda m: [
        "$gen_route_again",
        m.ref,
        m.seq,
        m.codec,
        m.body,
        m.attempt,
        m.alone,
        m.failure,
        m.buried,
    ],
    RouteEos: lambda m: ["$gen_route_eos", m.ref, m.reason],
    RouteLast: lambda m: ["$gen_route_last", m.ref],
    Notify: lambda m: ["$gen_notify", m.ref, m.codec, m.body],
    Call: lambda m: ["$gen_call", m.ref, m.scope, m.codec, m.body],
    Cast: lambda m: ["$gen_cast", m.ref, m.scope, m.codec, m.body],
    Info: lambda m: ["$gen_info", m.ref, m.scope, m.codec, m.body],
    Reply: lambda m: ["$gen_reply", m.ref, m.outcome, m.codec, m.body],
    Down: lambda m: ["$gen_down", m.ref, m.who, m.reason, m.restarting],
}
