"""Pickles whose large buffers are left out, and put together again."""

from __future__ import annotations

import gc
import pickle
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actorflow.errors import EventNotEncodable, Undecodable
from actorflow.protocol.blobs import PAGE, Loans
from actorflow.protocol.codec import Encoded, Encoder, decode_events
from actorflow.protocol.framing import LARGE
from tests.seeds import examples

LINK = 4


class Memory:
    """A space in this process, and its consumer's side.

    Args:
        size: in bytes.
        reached: the links whose consumers can reach it.
    """

    def __init__(self, size: int = 64 * PAGE, reached: Iterable[int] = (LINK,)) -> None:
        self.memory = bytearray(size)
        self.loans = Loans(size)
        self.reached = set(reached)
        self.refused = 0

    def put(self, link: int, data: memoryview) -> int | None:
        place = self.loans.take(data.nbytes) if link in self.reached else None
        if place is None:
            self.refused += 1
            return None
        self.memory[place : place + data.nbytes] = data
        return place

    def reaches(self, link: int) -> bool:
        return link in self.reached

    def lend(self, link: int, places: Iterable[int]) -> None:
        for place in places:
            self.loans.lend(place, link)

    def settle(self, places: Iterable[int]) -> None:
        for place in places:
            self.loans.settle(place)

    def view(self, place: int, size: int) -> memoryview:
        if place + size > len(self.memory):
            raise Undecodable("undecodable_body", "beyond the end")
        return memoryview(self.memory)[place : place + size]


@dataclass
class Picture:
    """Something with a buffer that pickle may leave out."""

    name: str
    pixels: Any

    def __reduce_ex__(self, protocol: Any) -> Any:
        return Picture, (self.name, pickle.PickleBuffer(self.pixels))


class Unpicklable:
    """What no codec takes."""

    def __reduce__(self) -> Any:
        raise ValueError("not me")


def encoded(memory: Memory, events: list[Any]) -> Encoded:
    """Encode for the link."""
    return Encoder("stage", space=memory).encode(LINK, events)


def there_and_back(memory: Memory, events: list[Any]) -> list[Any]:
    """Encode, and decode from the memory."""
    made = encoded(memory, events)
    return decode_events(made.codec, made.body, memory)


@pytest.mark.parametrize(
    "event",
    [
        bytes(range(256)) * 256,
        bytearray(b"ab" * LARGE),
        "é" * LARGE,
        {"a": [b"x" * LARGE, (1, b"y" * (LARGE + 1))], "b": b"small"},
        [b"z" * LARGE] * 3,
    ],
    ids=["bytes", "bytearray", "text", "within", "the-same-thrice"],
)
def test_what_owns_its_memory_comes_back_as_it_was(event: Any) -> None:
    """Of the same type and value, and its content has not travelled in the body."""
    memory = Memory()
    made = encoded(memory, [event, 1])
    assert (made.codec, len(made.body) < 1000) == ("blobs", True)
    assert made.places
    (back, one) = decode_events(made.codec, made.body, memory)
    assert (type(back), back, one) == (type(event), event, 1)


def test_a_buffer_is_a_view_of_the_memory() -> None:
    """It is not copied out, and stays writable or read-only as it was."""
    memory = Memory()
    writable, constant = there_and_back(
        memory, [Picture("a", bytearray(LARGE)), Picture("b", bytes(LARGE))]
    )
    assert not memoryview(writable.pixels).readonly
    assert memoryview(constant.pixels).readonly
    memory.memory[7] = 99
    assert writable.pixels[7] == 99


@pytest.mark.parametrize("order", ["C", "F"])
def test_an_array_comes_back_as_a_view(order: Any) -> None:
    """NumPy's arrays keep shape, type, order of memory, and whether they may be written to.

    One without a memory in one piece is copied by NumPy itself, and travels in the body.
    """
    memory = Memory()
    array = np.arange(30_000, dtype=np.float32).reshape((100, 300), order=order)
    constant = array.copy(order=order)
    constant.flags.writeable = False
    found, fixed, cut = there_and_back(memory, [array, constant, array[:, ::2]])
    for one, other in ((array, found), (constant, fixed), (array[:, ::2], cut)):
        assert np.array_equal(one, other)
        assert (one.dtype, one.flags.f_contiguous) == (other.dtype, other.flags.f_contiguous)
    assert found.flags.writeable
    assert not fixed.flags.writeable
    assert memory.loans.taken == 4 * PAGE
    assert not found.flags.owndata
    # What is made of it keeps it.
    part = found[3:, 7:].T
    del found, fixed, cut
    with pytest.raises(BufferError):
        memory.memory.append(0)
    del part


@settings(deadline=None, max_examples=examples(100))
@given(
    st.lists(
        st.integers(0, 3 * LARGE).flatmap(
            lambda size: st.sampled_from(
                [b"x" * size, bytearray(size), Picture("p", b"q" * size), "t" * size, (size,)]
            )
        ),
        min_size=1,
        max_size=6,
    ),
    st.integers(0, 12),
)
def test_any_batch_comes_back_however_much_room_there_is(events: list[Any], room: int) -> None:
    """What finds no room stays in the body; what is small does not ask for any."""
    memory = Memory(room * PAGE)
    back = there_and_back(memory, events)
    assert [type(each) for each in back] == [type(each) for each in events]
    for one, other in zip(events, back, strict=True):
        if isinstance(one, Picture):
            assert bytes(one.pixels) == bytes(other.pixels)
        else:
            assert one == other


def test_below_64_kib_nothing_is_left_out() -> None:
    """The body is a plain pickle then, also after larger ones."""
    memory = Memory()
    encoder = Encoder("stage", space=memory)
    for size, codec in ((LARGE - 1, "pickle"), (LARGE, "blobs"), (LARGE - 1, "pickle")):
        for event in (b"x" * size, bytearray(size), Picture("p", bytes(size))):
            assert encoder.encode(LINK, [event]).codec == codec
    assert memory.refused == 0


def test_many_small_events_are_left_alone() -> None:
    """A large pickle without a large buffer in it travels as it does without a space."""
    memory = Memory()
    events = [(number, f"name {number}") for number in range(20_000)]
    made = encoded(memory, events)
    assert (made.codec, made.places, memory.refused) == ("pickle", (), 0)
    assert len(made.body) > LARGE
    assert decode_events("pickle", made.body) == events


def test_a_large_value_behind_a_text_is_noticed() -> None:
    """Text goes as msgpack, and so does what is with it; large bytes change that."""
    memory = Memory()
    encoder = Encoder("stage", space=memory)
    assert encoder.encode(LINK, ["name", b"x" * LARGE]).codec == "blobs"
    assert encoder.encode(LINK + 1, ["name", b"x" * 100] * 1000).codec == "msgpack"
    assert encoder.encode(LINK + 1, ["ۀ\0" * 90] * 500).codec == "msgpack"
    encoder.forget(LINK)
    assert encoder.encode(LINK, ["name"] * 9 + ["t" * LARGE]).codec == "blobs"
    assert Encoder("stage").encode(LINK, ["name", b"x" * LARGE]).codec == "msgpack"


def test_without_a_consumer_that_reaches_it_the_space_stays_empty() -> None:
    """Each large buffer asks, since the consumer may have accepted in the meantime."""
    memory = Memory(reached=())
    encoder = Encoder("stage", space=memory)
    assert encoder.encode(LINK, [Picture("p", bytes(LARGE))]).codec == "pickle"
    assert memory.refused == 1
    memory.reached.add(LINK)
    assert encoder.encode(LINK, [Picture("p", bytes(LARGE))]).codec == "blobs"


@pytest.mark.parametrize("codec", ["msgpack", "pickle"])
def test_a_fixed_codec_is_kept(codec: str) -> None:
    """``msgpack`` means msgpack; ``pickle`` leaves out what it can."""
    made = Encoder("stage", codec, Memory()).encode(LINK, [b"x" * LARGE])
    assert made.codec == {"msgpack": "msgpack", "pickle": "blobs"}[codec]


def test_what_cannot_be_encoded_leaves_nothing_behind() -> None:
    """Neither in the space nor with the consumer; the error names what it was."""
    memory = Memory()
    encoder = Encoder("stage", space=memory)
    encoder.encode(LINK, [b"x" * LARGE])
    before = memory.loans.taken
    with pytest.raises(EventNotEncodable, match="Unpicklable"):
        encoder.encode(LINK, [b"x" * LARGE, Unpicklable()])
    assert memory.loans.taken == before


def test_a_class_that_travels_by_value_leaves_its_buffers_out_too() -> None:
    """As those of the main script do."""

    class Local:
        def __init__(self) -> None:
            self.data = b"x" * LARGE

    memory = Memory()
    made = encoded(memory, [Local()])
    assert made.codec == "blobs"
    (back,) = decode_events(made.codec, made.body, memory)
    assert back.data == b"x" * LARGE
    # What the first attempt had put there is free again.
    assert memory.loans.taken == PAGE


@pytest.mark.parametrize(
    "body",
    [
        b"\xc1",
        msgpack.packb([]),
        msgpack.packb([b"", [], []]),
        msgpack.packb([b"", [], [], []]),
        msgpack.packb(["text", [], []]),
        msgpack.packb([pickle.dumps([1]), 5, []]),
        msgpack.packb([pickle.dumps([1]), [[0, 0]], []]),
        msgpack.packb([pickle.dumps([1]), [], [[0, True]]]),
        msgpack.packb([pickle.dumps([1]), [], [[-1, LARGE]]]),
        msgpack.packb([pickle.dumps([1]), [[10_000, 0, LARGE]], []]),
        msgpack.packb([pickle.dumps([1]), [[3, 0, LARGE], [2, PAGE, LARGE]], []]),
        msgpack.packb([pickle.dumps([1]), [], [[1 << 40, LARGE]]]),
        msgpack.packb([pickle.dumps([1]), [[2, 1 << 40, LARGE]], []]),
        msgpack.packb([pickle.dumps(1), [], [[0, LARGE]]]),
        msgpack.packb([b"cos\nno_such_thing\n.", [[3, 0, LARGE]], []]),
    ],
)
def test_a_damaged_body_is_refused(body: bytes) -> None:
    """Whatever is wrong with it, it is told as a body that cannot be read."""
    with pytest.raises(Undecodable) as caught:
        decode_events("blobs", body, Memory())
    assert caught.value.reason == "undecodable_body"


def test_without_a_lane_there_is_no_such_codec() -> None:
    """A consumer that was given no memory says that it does not know the codec."""
    made = encoded(Memory(), [b"x" * LARGE])
    with pytest.raises(Undecodable) as caught:
        decode_events(made.codec, made.body)
    assert caught.value.reason == "unknown_codec"


def test_reading_keeps_no_view() -> None:
    """What was copied out is not held, or it would never be returned."""
    memory = Memory()
    back = there_and_back(memory, [b"x" * LARGE, Picture("p", bytes(LARGE))])
    with pytest.raises(BufferError):
        memory.memory.append(0)
    del back
    gc.collect()
    memory.memory.append(0)
