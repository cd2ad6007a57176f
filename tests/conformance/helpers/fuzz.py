"""Wrong messages, made from the protocol's own list of messages and their fields.

A message that is new has no row in `RULES`, and `test_every_message_has_its_rules` fails until it
has one; from then on it is fuzzed like the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import Any, get_args

import msgpack

from actorflow.protocol.codec import encode_value
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
from actorflow.protocol.wire import encode

__all__ = ["MESSAGES", "NASTY", "RULES", "Fuzzed", "Rule", "mutations", "truncations", "wire"]

MESSAGES: tuple[type, ...] = get_args(Message)
"""Every message of the protocol."""

NASTY: tuple[Any, ...] = (
    None,
    True,
    False,
    -1,
    0,
    1,
    2,
    99,
    2**31,
    MAX_COUNT,
    MAX_COUNT + 1,
    MAX_REF,
    2**63,
    2**64 - 1,
    -(2**63),
    0.0,
    1.5,
    -1.0,
    float("nan"),
    float("inf"),
    "",
    "5",
    "done",
    "x" * 1000,
    "\udcff",
    b"",
    b"\xc1",
    b"\x90",
    [],
    [1],
    [[[[[[]]]]]],
    ["shutdown", "deploy"],
    [1, "again"],
    [99, "again"],
    {},
    {"a": 1},
    {1: 2},
    {"max_demand": 0},
    {"max_demand": "auto", "min_demand": -1},
    {"max_demand": 5, "min_demand": 5},
    {"cancel": "sometimes"},
    {"cancel": ["permanent"]},
    {"version": 2},
    {"version": None},
    {"selector": "no.such:function"},
    {"selector": 5},
    {"partition": [1]},
    {"partition": 77},
    msgpack.ExtType(5, b"ext"),
    msgpack.Timestamp(5, 5),
)
"""Wrong types, wrong ranges, and the edges of right ones."""


def _is(*kinds: type) -> Callable[[Any], bool]:
    return lambda value: type(value) in kinds


def _natural(most: int, least: int = 0) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and least <= value <= most


def _anything(value: Any) -> bool:
    return True


def _nothing(value: Any) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Rule:
    """What one field accepts, and how anything else is refused.

    Args:
        place: where the field is in the message's array.
        form: whether a value has the right type and range; if not it is refused by anybody.
        reasons: the wire reasons that name that fault.
        sense: whether a value of the right form makes sense to who takes such messages.
        deeper: the wire reasons when it does not.
    """

    place: int
    form: Callable[[Any], bool]
    reasons: frozenset[str]
    sense: Callable[[Any], bool]
    deeper: frozenset[str]


def _rule(
    place: int,
    form: Callable[[Any], bool],
    reasons: str = "",
    sense: Callable[[Any], bool] = _anything,
    deeper: str = "",
) -> Rule:
    return Rule(place, form, frozenset(reasons.split()), sense, frozenset(deeper.split()))


def _is_by_name(value: Any) -> bool:
    return type(value) is dict and all(type(key) is str for key in value)


def _is_sound_option(value: dict[str, Any]) -> bool:
    return not {"max_demand", "cancel", "version"} & set(value)


def _is_replacement(value: Any) -> bool:
    return value is None or (
        type(value) is list and len(value) == 2 and type(value[0]) is int and value[0] >= 0
    )


_REF = _rule(1, _natural(MAX_REF), "bad_ref")
_CODEC = "unknown_codec undecodable_body"
_SCOPED = {
    "ref": _REF,
    "scope": _rule(2, _is(str), "bad_message"),
    "codec": _rule(3, _is(str), "bad_body", _nothing, _CODEC),
    "body": _rule(4, _is(bytes), "bad_body", lambda value: value == b"\x90", _CODEC),
}
_REPLACES = _rule(
    3, _is_replacement, "bad_option", lambda value: value is None or value[0] == 99, "bad_option"
)

RULES: dict[type, dict[str, Rule]] = {
    Subscribe: {
        "ref": _REF,
        "options": _rule(
            2, _is_by_name, "bad_option", _is_sound_option, "bad_option unsupported_version"
        ),
        "replaces": _REPLACES,
        "replaces_reason": _REPLACES,
    },
    Ask: {
        "ref": _REF,
        "count": _rule(2, _natural(MAX_COUNT, 1), "bad_demand"),
        "acked": _rule(
            3, _natural(MAX_COUNT), "bad_demand", lambda value: not value, "bad_acknowledgement"
        ),
    },
    Unsubscribe: {"ref": _REF, "reason": _rule(2, _anything)},
    Route: {
        "ref": _REF,
        "seq": _rule(2, _natural(2**64, 1), "bad_sequence", _nothing, "bad_sequence"),
        "codec": _rule(3, _is(str), "bad_body", _nothing, _CODEC),
        "body": _rule(4, _is(bytes), "bad_body", _nothing, _CODEC),
    },
    RouteAgain: {
        "ref": _REF,
        "seq": _rule(2, _natural(2**64, 1), "bad_sequence", _nothing, "bad_sequence"),
        "codec": _rule(3, _is(str), "bad_body", _nothing, _CODEC),
        "body": _rule(4, _is(bytes), "bad_body", _nothing, _CODEC),
        "attempt": _rule(5, _natural(2**64, 2), "bad_message"),
        "alone": _rule(6, _is(bool), "bad_message"),
        "failure": _rule(7, _is(dict), "bad_message"),
        "buried": _rule(8, _is(bool), "bad_message"),
    },
    RouteEos: {"ref": _REF, "reason": _rule(2, _anything)},
    RouteLast: {"ref": _REF},
    Notify: {
        "ref": _REF,
        "codec": _rule(2, _is(str), "bad_body", _nothing, _CODEC),
        "body": _rule(3, _is(bytes), "bad_body", lambda value: value == b"\x90", _CODEC),
    },
    Call: _SCOPED,
    Cast: _SCOPED,
    Info: _SCOPED,
    Reply: {
        "ref": _REF,
        "outcome": _rule(2, _is(str), "bad_message"),
        "codec": _SCOPED["codec"],
        "body": _SCOPED["body"],
    },
    Down: {
        "ref": _REF,
        "who": _rule(2, _is(str), "bad_message", _nothing, "bad_name"),
        "reason": _rule(3, _anything),
        "restarting": _rule(4, _is(bool), "bad_message"),
    },
}
"""For each message and each of its fields."""

_BODY = encode_value([1, 2])
_VALUE = encode_value("hello")

_EXAMPLES: dict[type, Callable[[int], Message]] = {
    Subscribe: lambda ref: Subscribe(ref, {"max_demand": 5}),
    Ask: lambda ref: Ask(ref, 1),
    Unsubscribe: lambda ref: Unsubscribe(ref, "normal"),
    Route: lambda ref: Route(ref, 1, _BODY.codec, _BODY.body),
    RouteAgain: lambda ref: RouteAgain(ref, 1, _BODY.codec, _BODY.body, 2, True, {}),
    RouteEos: lambda ref: RouteEos(ref, "done"),
    RouteLast: RouteLast,
    Notify: lambda ref: Notify(ref, _VALUE.codec, _VALUE.body),
    Call: lambda ref: Call(ref, "user", _VALUE.codec, _VALUE.body),
    Cast: lambda ref: Cast(ref, "user", _VALUE.codec, _VALUE.body),
    Info: lambda ref: Info(ref, "user", _VALUE.codec, _VALUE.body),
    Reply: lambda ref: Reply(ref, "ok", _VALUE.codec, _VALUE.body),
    Down: lambda ref: Down(ref, "stranger/0#1", "killed"),
}


def wire(kind: type, ref: int) -> list[Any]:
    """A right message of this kind about this ref, as the array that it is on the wire."""
    found: list[Any] = msgpack.unpackb(encode(_EXAMPLES[kind](ref))[4:], strict_map_key=False)
    return found


@dataclass(frozen=True, slots=True)
class Fuzzed:
    """A message with one thing wrong.

    Args:
        kind: the message.
        field: the field that was changed, or what was done to the whole.
        value: what stands there now.
        data: the frame, without its length.
        reasons: how anybody must refuse it; none when its form is right.
        deeper: how who takes such messages must refuse it.
    """

    kind: type
    field: str
    value: Any
    data: bytes
    reasons: frozenset[str] = frozenset()
    deeper: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return f"{self.kind.__name__}.{self.field}={self.value!r:.40}"


def _pack(fields: Any) -> bytes:
    data: bytes = msgpack.packb(fields, unicode_errors="surrogateescape")
    return data


def mutations(kind: type, ref: int) -> Iterator[Fuzzed]:
    """Each field with each nasty value; fields left out, added, repeated, in the wrong order."""
    right = wire(kind, ref)
    for field in fields(kind):
        rule = RULES[kind][field.name]
        for value in NASTY:
            if value == right[rule.place] and type(value) is type(right[rule.place]):
                continue
            changed = [*right[: rule.place], value, *right[rule.place + 1 :]]
            data = _pack(changed)
            if value == "\udcff":
                # No Unicode: msgpack itself refuses it, before any field is looked at.
                yield Fuzzed(kind, field.name, value, data, frozenset({"undecodable"}))
            elif not rule.form(value):
                yield Fuzzed(kind, field.name, value, data, rule.reasons)
            else:
                deeper = frozenset() if rule.sense(value) else rule.deeper
                yield Fuzzed(kind, field.name, value, data, deeper=deeper)
    wrong_size = frozenset({"bad_message"})
    for at in range(2, len(right)):
        fewer = [*right[:at], *right[at + 1 :]]
        yield Fuzzed(kind, "left out", at, _pack(fewer), wrong_size)
        twice = [*right[: at + 1], *right[at:]]
        yield Fuzzed(kind, "repeated", at, _pack(twice), wrong_size)
    yield Fuzzed(kind, "added", None, _pack([*right, None]), wrong_size)
    no_message = frozenset({"undecodable", "bad_ref", "unknown_message"})
    yield Fuzzed(kind, "reversed", None, _pack(right[::-1]), no_message)
    yield Fuzzed(kind, "rotated", None, _pack([*right[1:], right[0]]), no_message)
    yield Fuzzed(kind, "a map", None, _pack(dict(enumerate(right))), no_message)
    yield Fuzzed(kind, "its tag alone", None, _pack([right[0]]), no_message)
    yield Fuzzed(kind, "another tag", None, _pack(["$gen_else", *right[1:]]), no_message)
    yield Fuzzed(kind, "no tag", None, _pack([5, *right[1:]]), no_message)
    yield Fuzzed(kind, "nested", None, _pack([right]), no_message)
    yield Fuzzed(kind, "followed", None, _pack(right) + b"\x00", no_message)


def truncations(kind: type, ref: int) -> Iterator[Fuzzed]:
    """The frame cut off after each of its bytes."""
    whole = _pack(wire(kind, ref))
    for at in range(len(whole)):
        yield Fuzzed(kind, "cut", at, whole[:at], frozenset({"undecodable"}))
