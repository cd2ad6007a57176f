"""Frames: any cutting of the stream gives the same ones."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actorflow.errors import FrameTooLarge
from actorflow.protocol.framing import LENGTH, FrameDecoder, frame

bodies = st.lists(st.binary(max_size=40), max_size=12)
cuts = st.lists(st.integers(0, 60), max_size=40)


def pieces(stream: bytes, sizes: list[int]) -> list[bytes]:
    """The stream in pieces of these sizes, the rest in one."""
    found, start = [], 0
    for size in sizes:
        found.append(stream[start : start + size])
        start += size
    return [*found, stream[start:]]


@settings(deadline=None)
@given(bodies, cuts)
def test_any_cutting_gives_the_same_frames(messages: list[bytes], sizes: list[int]) -> None:
    """However a stream is cut, the frames are what was sent, and nothing is left."""
    decoder = FrameDecoder()
    stream = b"".join(map(frame, messages))
    assert [each for piece in pieces(stream, sizes) for each in decoder.feed(piece)] == messages
    assert decoder.pending == 0


@settings(deadline=None)
@given(bodies, cuts, st.binary(min_size=1, max_size=30))
def test_frames_come_as_soon_as_they_are_complete(
    messages: list[bytes], sizes: list[int], last: bytes
) -> None:
    """Every whole frame is out before the one after it is complete; the rest is pending."""
    decoder = FrameDecoder()
    whole = b"".join(map(frame, messages))
    unfinished = frame(last)[:-1]
    got = [each for piece in pieces(whole + unfinished, sizes) for each in decoder.feed(piece)]
    assert got == messages
    assert decoder.pending == len(unfinished)
    assert decoder.feed(last[-1:]) == [last]


@settings(deadline=None)
@given(bodies, cuts)
def test_what_came_before_an_impossible_length_is_not_lost(
    messages: list[bytes], sizes: list[int]
) -> None:
    """The frames before one that is too long are delivered, however they arrive."""
    decoder = FrameDecoder(limit=50)
    stream = b"".join(map(frame, messages)) + LENGTH.pack(51)
    got: list[bytes] = []

    def feed_all() -> None:
        for piece in [*pieces(stream, sizes), b""]:
            got.extend(decoder.feed(piece))

    with pytest.raises(FrameTooLarge, match="frame_too_large"):
        feed_all()
    assert got == messages
    with pytest.raises(FrameTooLarge):
        decoder.feed(b"more")


def test_the_longest_frame_is_accepted() -> None:
    """The limit itself is no mistake."""
    assert FrameDecoder(limit=3).feed(frame(b"abc")) == [b"abc"]
    with pytest.raises(FrameTooLarge, match="a frame of 4 bytes, the limit is 3"):
        FrameDecoder(limit=3).feed(frame(b"abcd"))


def test_a_length_is_four_bytes_little_endian() -> None:
    """The wire form is a contract."""
    assert frame(b"ab") == b"\x02\x00\x00\x00ab"
    assert FrameDecoder().feed(b"\x00\x00\x00\x00") == [b""]
