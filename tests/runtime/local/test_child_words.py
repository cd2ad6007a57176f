"""What a child leaves behind about its end: whole, cut short, or something else altogether."""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from actorflow.errors import Undecodable
from actorflow.protocol.failure import Failure
from actorflow.runtime.local.words import (
    ROOM,
    LastWords,
    Words,
    end_as_bytes,
    end_of_process,
    read_end,
)
from actorflow.stage.children import ChildEnd


class _Local:
    """What a plain pickle cannot name: it is found nowhere by this name."""


_Local.__qualname__ = "nowhere"


@pytest.mark.parametrize(
    "end",
    [
        ChildEnd("normal", True, None, None, 0.5),
        ChildEnd("normal", True, {"a": (1, 2), "b": {3}}, None, 0.0),
        ChildEnd(["exit", 3], False, None, None, 0.1),
        ChildEnd(["error", "ValueError: no"], False, None, Failure.of(ValueError("no")), 0.1),
    ],
)
def test_an_end_comes_back_as_it_was(end: ChildEnd) -> None:
    """With a result of any type, and the exception."""
    assert read_end(end_as_bytes(end)) == end


def test_a_result_without_a_name_travels_by_value() -> None:
    """A class of a notebook, say."""
    found = read_end(end_as_bytes(ChildEnd("normal", True, _Local(), None, 0.0)))
    assert type(found.result).__qualname__ == "nowhere"


def test_a_result_that_cannot_travel_is_a_bad_end() -> None:
    """The child is told so in the words of the codec."""
    with open(os.devnull) as file:
        end = read_end(end_as_bytes(ChildEnd("normal", True, file, None, 0.0)))
    assert not end.normal
    assert "cannot be sent to another process" in str(end.reason)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"x",
        b"p",
        b"pnonsense",
        b"m\xc1",
        b"p" + pickle.dumps(None),
        b"p" + pickle.dumps([1, 2, 3]),
        b"p" + pickle.dumps(["normal", 1, None, None, 0.0]),
        b"p" + pickle.dumps(["normal", True, None, None, "0.0"]),
    ],
)
def test_whatever_else_is_there_is_refused(data: bytes) -> None:
    """A typed error, which makes it a bad end of that child."""
    with pytest.raises(Undecodable):
        read_end(data)


@pytest.mark.parametrize(
    ("status", "number", "reason", "normal"),
    [(0, None, "normal", True), (3, None, ["exit", 3], False), (None, 9, ["signal", 9], False)],
)
def test_without_a_word_the_kernel_says_it(
    status: Any, number: Any, reason: Any, normal: bool
) -> None:
    """`os._exit(0)` is a good end."""
    end = end_of_process(status, number, 0.1)
    assert (end.reason, end.normal) == (reason, normal)


def test_words_go_nowhere_but_where_they_were_to_go() -> None:
    """Not into a file that was opened under the same number."""
    reader, writer = os.pipe()
    words = Words(writer)
    words.write(b"one")
    assert os.read(reader, 10) == b"one"
    os.close(writer)
    with pytest.raises(OSError, match="Bad file descriptor"):
        words.write(b"two")
    other = os.open(os.devnull, os.O_RDWR)
    try:
        if other != writer:
            os.dup2(other, writer)
        with pytest.raises(OSError, match="somewhere else"):
            words.write(b"three")
    finally:
        for descriptor in {reader, writer, other}:
            os.close(descriptor)


# --- last words of a fork server's children -------------------------------------------------------

LONG = bytes(range(256)) * 20_000
"""More than is read at a time."""


@pytest.fixture
def words() -> Iterator[LastWords]:
    """Places for three children."""
    made = LastWords(3)
    yield made
    made.close()


def taken(words: LastWords) -> int:
    """How many bytes the file takes."""
    return os.fstat(words.file).st_blocks * 512


@pytest.mark.parametrize("size", [1, ROOM, ROOM + 1, len(LONG)])
def test_last_words_are_taken_once_and_by_place(words: LastWords, size: int) -> None:
    """However long; the next child of a place finds it empty, and no memory is kept."""
    for place in range(3):
        words.leave(place, bytes([place]) + LONG[1:size])
    for place in (2, 0, 1):
        assert words.take(place) == bytes([place]) + LONG[1:size]
        assert words.take(place) == b""
    if sys.platform == "linux":
        assert taken(words) == 0


def test_words_that_are_not_whole_are_none(
    words: LastWords, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A child is killed over them; another's are whole all the same."""
    write = os.pwrite

    def part(file: int, data: bytes, start: int) -> int:
        if start % 5000:
            raise OSError("as if it ended here")
        return write(file, data[:5000], start) - 1

    words.leave(1, LONG)
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", part)
        with pytest.raises(OSError, match="ended here"):
            words.leave(0, LONG)
    assert words.take(0) == b""
    assert words.take(1) == LONG
    if sys.platform == "linux":
        assert taken(words) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a hole cannot be told from zeros")
@pytest.mark.parametrize("size", [ROOM + 1, 1 << 20, 1 << 39, (1 << 63) - 1, -7, -(1 << 63)])
def test_a_size_that_a_child_has_made_up_is_no_end(
    words: LastWords, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has the memory, and may write there whatever it likes; no more is read than is held.

    The hole before another's long words is not in the way: it would read as zeros, without end.
    """
    read, left = os.pread, len(LONG)

    def pread(file: int, count: int, start: int) -> bytes:
        nonlocal left
        left -= count
        assert left >= 0
        return read(file, count, start)

    words.leave(2, LONG)
    words._sizes[0] = size
    with monkeypatch.context() as patch:
        patch.setattr(os, "pread", pread)
        found = words.take(0)
    assert found
    with pytest.raises(Undecodable):
        read_end(found)
    assert words.take(0) == b""
    assert words.take(2) == LONG


def test_long_words_go_nowhere_but_into_their_file(words: LastWords) -> None:
    """Not into one that was opened under the same number; short ones need none."""
    other = os.open(os.devnull, os.O_RDWR)
    kept = os.dup(words.file)
    try:
        os.dup2(other, words.file)
        with pytest.raises(OSError, match="somewhere else"):
            words.leave(0, LONG)
        words.leave(1, b"short")
        os.close(words.file)
        with pytest.raises(OSError, match="Bad file descriptor"):
            words.leave(0, LONG)
    finally:
        os.dup2(kept, words.file)
        os.close(kept)
        os.close(other)
    assert words.take(0) == b""
    assert words.take(1) == b"short"
