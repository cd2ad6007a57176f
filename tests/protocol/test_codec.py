"""Events become bytes and come back as they were, or the error names the stage and the type."""

from __future__ import annotations

import math
import pickle
import subprocess
import sys
import threading
from collections import OrderedDict, namedtuple
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum, IntEnum
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actorflow.errors import EventNotEncodable, Undecodable
from actorflow.protocol.codec import Encoder, decode_events, decode_value, encode_value

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text()
    | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text() | st.integers(-5, 5) | st.booleans(), inner, max_size=4)
    ),
    max_leaves=12,
)
surrogates = st.text(st.characters(categories=["Cs", "Lu"]))
anything = st.recursive(
    plain | st.integers() | surrogates | st.binary().map(bytearray) | st.just(math.nan),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.integers() | st.text() | st.tuples(st.integers()), inner, max_size=4)
    ),
    max_leaves=12,
)


def same(one: Any, other: Any) -> bool:
    """Equal, of exactly the same types all the way down, and NaN as itself."""
    if type(one) is not type(other):
        return False
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return same(list(one), list(other)) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, float):
        return bool(one.hex() == other.hex())
    return bool(one == other)


@settings(deadline=None)
@given(st.lists(anything, min_size=1, max_size=6))
def test_auto_gives_events_back_as_they_were(events: list[Any]) -> None:
    """Nested plain data with tuples, byte arrays, large integers and surrogates keeps its types."""
    encoded = Encoder("numbers").encode(1, events)
    assert same(decode_events(encoded.codec, encoded.body), events)


large = st.integers(2**31, 2**64 - 1) | st.integers(-(2**63), -(2**31) - 1)


@settings(deadline=None)
@given(st.lists(st.text(), min_size=1) | st.lists(large, min_size=1))
def test_text_and_large_integers_travel_as_msgpack(events: list[Any]) -> None:
    """Where msgpack is faster than pickle in spite of the look for what it would change."""
    encoded = Encoder("numbers").encode(1, events)
    assert encoded.codec == "msgpack"
    assert same(decode_events("msgpack", encoded.body), events)


@settings(deadline=None)
@given(st.lists(plain, min_size=1, max_size=6))
def test_plain_data_travels_as_msgpack_on_request(events: list[Any]) -> None:
    """So that a stage in another language can read it."""
    encoded = Encoder("numbers", "msgpack").encode(1, events)
    assert encoded.codec == "msgpack"
    assert same(decode_events("msgpack", encoded.body), events)


@settings(deadline=None)
@given(anything)
def test_a_single_value_keeps_its_types(value: Any) -> None:
    """What is called, cast or replied is encoded by the same rule."""
    encoded = encode_value(value)
    assert same(decode_value(encoded.codec, encoded.body), value)


@dataclass(frozen=True)
class Point:
    """An event with a class."""

    x: int
    y: int


class Colour(Enum):
    """An event that is one of several."""

    RED = 1


class Level(IntEnum):
    """A number with a name, which msgpack would take for a number."""

    LOW = 1


class Text(str):
    """A text with a class, which msgpack would take for a text."""

    __slots__ = ()


Pair = namedtuple("Pair", "left right")


@pytest.mark.parametrize(
    "event",
    [
        Point(1, 2),
        Colour.RED,
        Level.LOW,
        Text("a"),
        Pair(1, 2),
        (1, (2, 3)),
        {1, 2},
        frozenset({1}),
        1 + 2j,
        Decimal("1.1"),
        Fraction(1, 3),
        OrderedDict(a=1),
        datetime(2026, 1, 1, tzinfo=UTC),
        2**64,
        -(2**63) - 1,
        bytearray(b"x"),
        "\ud800",
        {(1, 2): 3},
        range(3),
        ValueError,
        True,
        None,
        b"",
        {},
        msgpack.ExtType(5, b"x"),
    ],
)
def test_an_event_of_any_kind(event: Any) -> None:
    """Alone, inside others, and behind plain ones, an event arrives as itself."""
    for events in ([event], [[event]], [{"key": event}], [1, "a", event], [event, 1, "a"]):
        encoded = Encoder("numbers").encode(1, events)
        assert same(decode_events(encoded.codec, encoded.body), events)


def test_a_memory_view_arrives_as_its_bytes() -> None:
    """The one exception: a view of another object's memory cannot travel, what it shows can."""
    for events in ([memoryview(b"x")], [1, [memoryview(b"x")]], [{"a": memoryview(b"x")}]):
        encoded = Encoder("numbers").encode(1, events)
        assert b"x" in encoded.body
        assert decode_events(encoded.codec, encoded.body) == events


def test_a_subscription_is_changed_over_once() -> None:
    """After the first batch that is not all text its subscription stays with pickle."""
    encoder = Encoder("numbers")
    codecs = [encoder.encode(1, events).codec for events in (["a"], ["a", ("b",)], ["a"])]
    assert codecs == ["msgpack", "pickle", "pickle"]
    assert encoder.encode(2, ["a"]).codec == "msgpack"
    encoder.forget(1)
    assert encoder.encode(1, ["a"]).codec == "msgpack"


def test_a_codec_by_name() -> None:
    """Pickle pickles everything, msgpack nothing."""
    assert Encoder("numbers", "pickle").encode(1, [1]).codec == "pickle"
    assert Encoder("numbers", "msgpack").encode(1, [1]).codec == "msgpack"
    with pytest.raises(EventNotEncodable) as caught:
        Encoder("numbers", "msgpack").encode(1, [1, (2, 3)])
    assert (caught.value.stage, caught.value.event_type) == ("numbers", "tuple")


@pytest.mark.parametrize("codec", ["auto", "pickle"])
def test_what_cannot_be_encoded_is_named(codec: str) -> None:
    """The error has the stage, the type of the event at fault, and what to do."""
    with pytest.raises(EventNotEncodable) as caught:
        Encoder("numbers", codec).encode(1, [1, threading.Lock(), 2])
    assert caught.value.stage == "numbers"
    assert caught.value.event_type == "_thread.lock"
    assert "stage 'numbers' emitted an event of type _thread.lock" in str(caught.value)
    assert "emit plain data or an object that pickle accepts" in str(caught.value)


class Malicious:
    """An event whose own methods raise."""

    def __reduce__(self) -> Any:
        raise RuntimeError("no")


def test_an_event_that_raises_while_it_is_pickled() -> None:
    """Whatever an event does when it is pickled, the error is the same."""
    with pytest.raises(EventNotEncodable, match=r"Malicious.*no"):
        Encoder("numbers").encode(1, [Malicious()])
    endless: list[Any] = []
    for _ in range(100_000):
        endless = [endless]
    with pytest.raises(EventNotEncodable):
        Encoder("numbers").encode(1, [endless])


def test_a_list_that_holds_itself() -> None:
    """What refers to itself is pickled."""
    event: list[Any] = [1]
    event.append(event)
    encoded = Encoder("numbers").encode(1, [event])
    (found,) = decode_events(encoded.codec, encoded.body)
    assert found[1] is found


@pytest.mark.parametrize(
    ("codec", "body", "reason"),
    [
        ("msgpack", b"", "undecodable_body"),
        ("msgpack", b"\xc1", "undecodable_body"),
        ("msgpack", msgpack.packb([1]) + b"x", "undecodable_body"),
        ("msgpack", msgpack.packb([]), "undecodable_body"),
        ("msgpack", msgpack.packb(5), "undecodable_body"),
        ("msgpack", msgpack.packb({"a": 1}), "undecodable_body"),
        ("pickle", b"", "undecodable_body"),
        ("pickle", b"garbage", "undecodable_body"),
        ("pickle", pickle.dumps((1, 2)), "undecodable_body"),
        ("pickle", b"cno.such.module\nName\n.", "undecodable_body"),
        ("json", b"[1]", "unknown_codec"),
        ("", b"", "unknown_codec"),
    ],
)
def test_a_bad_body_is_refused(codec: str, body: bytes, reason: str) -> None:
    """Damaged bytes, an unknown codec, a class that is not here, no list: each with its reason."""
    with pytest.raises(Undecodable) as caught:
        decode_events(codec, body)
    assert caught.value.reason == reason


@settings(deadline=None)
@given(st.binary(max_size=40))
def test_no_bytes_break_the_decoder(body: bytes) -> None:
    """Any bytes are a batch or undecodable."""
    try:
        events = decode_events("msgpack", body)
    except Undecodable:
        return
    assert type(events) is list
    assert events


SCRIPT = """
import pickle, sys
from dataclasses import dataclass
from actorflow.protocol.codec import Encoder, encode_value

@dataclass
class Job:
    number: int

found = [encode_value(Job(7)), Encoder("jobs").encode(1, [Job(7)])]
sys.stdout.buffer.write(pickle.dumps([(each.codec, each.body) for each in found]))
"""


def test_a_class_of_a_script_travels_by_value() -> None:
    """A class that lives in ``__main__`` is not looked for in the other process's ``__main__``."""
    written = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, check=True).stdout
    value, batch = pickle.loads(written)
    assert decode_value(*value).number == 7
    assert decode_events(*batch)[0].number == 7


def test_encoding_in_several_threads() -> None:
    """Several supervisors in one program encode at once; none gets another's bytes."""
    problems: list[Any] = []

    def work(number: int) -> None:
        value = ["plain", number, (number,)] if number % 2 else {"plain": [number] * 50}
        for _ in range(5000):
            encoded = encode_value(value)
            try:
                same_value = decode_value(encoded.codec, encoded.body) == value
            except Undecodable:
                same_value = False
            if not same_value:
                problems.append(encoded)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert problems == []


def test_an_open_file_is_refused(tmp_path: Path) -> None:
    """A copy of what a file held is not that file: the event is refused, whatever its mode."""
    refused = pytest.raises(EventNotEncodable, match="an open file cannot be pickled")
    with (tmp_path / "file").open("w") as file, refused:
        Encoder("stage").encode(1, [file])
