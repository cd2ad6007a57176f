"""What a child leaves behind about its end: whole, cut short, or something else altogether."""

from __future__ import annotations

import os
import pickle
from typing import Any

import pytest

from actorflow.errors import Undecodable
from actorflow.protocol.failure import Failure
from actorflow.runtime.local.words import Words, end_as_bytes, end_of_process, read_end
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
