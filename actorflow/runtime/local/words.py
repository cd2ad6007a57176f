"""How a child's end travels to its stage, and what is said of a child that left no word."""

from __future__ import annotations

import os
import pickle
from dataclasses import replace

from actorflow.errors import Undecodable
from actorflow.protocol.codec import decode_value, encode_value
from actorflow.protocol.framing import LENGTH, frame
from actorflow.runtime.local.descriptors import anonymous_file
from actorflow.stage.children import ChildEnd, end_by

__all__ = [
    "CODECS",
    "NAMES",
    "Words",
    "end_as_bytes",
    "end_of_process",
    "leave_words",
    "new_words_file",
    "read_end",
    "read_words",
    "result_as_bytes",
]

CODECS = {"msgpack": b"m", "pickle": b"p"}
NAMES = {b"m": "msgpack", b"p": "pickle"}
RESULT = b"r"
_CHUNK = 1 << 16

_MARK = 1 << 40
"""The position of a file for last words, which is written and read from its beginning; no other
file is likely to be at it."""


class Words:
    """Where a child says how it ended; still the same place, whatever its code did meanwhile.

    Code that closes every descriptor and opens a file may get this number for it.

    Args:
        descriptor: a file or the write end of a pipe.
    """

    __slots__ = ("_descriptor", "_identity")

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._identity = _identity(descriptor)

    def write(self, data: bytes) -> None:
        """Write everything, waiting for a pipe's reader.

        Raises:
            OSError: the descriptor has been closed, or nobody reads any more.
        """
        if _identity(self._descriptor) != self._identity:
            raise OSError("the descriptor leads somewhere else by now")
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]


def _identity(descriptor: int) -> tuple[int, int]:
    status = os.fstat(descriptor)
    return status.st_dev, status.st_ino


def end_as_bytes(end: ChildEnd) -> bytes:
    """How a child ended, in bytes; a result that cannot travel is a bad end.

    Both sides are one program, as the one was forked by the other, so that a plain pickle is
    nearly always enough; it writes to fewer pages than the other codec (see `Parenthood`).
    """
    try:
        return b"p" + pickle.dumps(end.to_wire(), protocol=5)
    except Exception:  # noqa: BLE001  (pickling runs the result's own code; it is asked whether)
        return _end_by_value(end)


def _end_by_value(end: ChildEnd) -> bytes:
    try:
        encoded = encode_value(end.to_wire())
    except TypeError as error:
        encoded = encode_value(end_by(error, end.seconds).to_wire())
    return CODECS[encoded.codec] + encoded.body


def result_as_bytes(result: object) -> bytes:
    """What a child returned that ended in good order: as `end_as_bytes`, for less work."""
    try:
        return RESULT + pickle.dumps(result, protocol=5)
    except Exception:  # noqa: BLE001  (pickling runs the result's own code; it is asked whether)
        return _end_by_value(ChildEnd("normal", True, result))


def read_end(data: bytes, seconds: float | None = None) -> ChildEnd:
    """Read what `end_as_bytes` or `result_as_bytes` wrote.

    Args:
        data: the bytes.
        seconds: how long the child ran, when the reader knows better.

    Raises:
        Undecodable: a child wrote something else, or its result cannot be made again here.
    """
    if data.startswith(RESULT):
        return ChildEnd("normal", True, decode_value("pickle", data[1:]), None, seconds or 0.0)
    try:
        end = ChildEnd.from_wire(decode_value(NAMES[data[:1]], data[1:]))
    except (KeyError, TypeError, ValueError) as error:
        raise Undecodable("undecodable_body", f"no end of a child: {data[:80]!r}") from error
    return end if seconds is None else replace(end, seconds=seconds)


def end_of_process(status: int | None, number: int | None, seconds: float) -> ChildEnd:
    """The end of a child that left no word: what the kernel says."""
    if number is not None:
        return ChildEnd(["signal", number], False, seconds=seconds)
    return ChildEnd(["exit", status] if status else "normal", not status, seconds=seconds)


# --- a file for last words ------------------------------------------------------------------------


def new_words_file() -> int:
    """A file without a name in which one child may leave its end.

    Nobody waits for a reader, however much there is to say, and a grandchild that keeps the
    descriptor holds up nothing.

    Raises:
        OSError: there is no descriptor to be had.
    """
    file = anonymous_file("actorflow-child")
    os.lseek(file, _MARK, os.SEEK_SET)
    return file


def leave_words(file: int, data: bytes) -> None:
    """Write a child's last words into its file.

    Code that closes every descriptor and opens a file may get this number for it, so the file is
    known by its position: to ask for that makes one integer, to ask for its identity twenty
    objects, each on a page that a fork has to copy.

    Raises:
        OSError: the descriptor has been closed, leads somewhere else, or the file takes no more.
    """
    if os.lseek(file, 0, os.SEEK_CUR) != _MARK:
        raise OSError("the descriptor leads somewhere else by now")
    whole = frame(data)
    written = 0
    while written < len(whole):
        written += os.pwrite(file, whole[written:], written)


def read_words(file: int) -> bytes | None:
    """What `leave_words` has written; None when it is not whole, as it was killed over it."""
    data = os.pread(file, _CHUNK, 0)
    if len(data) < LENGTH.size:
        return None
    (length,) = LENGTH.unpack_from(data)
    size = LENGTH.size + length
    while len(data) < size:
        more = os.pread(file, size - len(data), len(data))
        if not more:
            return None
        data += more
    return data[LENGTH.size : size]
