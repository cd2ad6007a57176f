"""How a child's end travels to its stage, and what is said of a child that left no word."""

from __future__ import annotations

import mmap
import os
import pickle
from dataclasses import replace

from actorflow.errors import Undecodable
from actorflow.protocol.codec import decode_value, encode_value
from actorflow.runtime.local.descriptors import anonymous_file
from actorflow.runtime.local.kernel import release_file
from actorflow.stage.children import ChildEnd, end_by

__all__ = [
    "CODECS",
    "NAMES",
    "RESULT",
    "LastWords",
    "Words",
    "end_as_bytes",
    "end_of_process",
    "read_end",
    "result_by_value",
]

CODECS = {"msgpack": b"m", "pickle": b"p"}
NAMES = {b"m": "msgpack", b"p": "pickle"}
RESULT = b"r"
"""Comes before a result's pickle."""

ROOM = 1024
"""How many bytes of last words have room in shared memory."""

_REGION = 1 << 40
"""How many bytes of the file belong to one place; what nobody has written takes no memory."""

_PART = 1 << 20
"""How many bytes of the file are read at a time."""

_BEGUN = -1
"""The size of what is being written to the file."""

UNREADABLE = b"?"
"""Instead of last words whose size is none: no end, as what a child said is unknown."""

_MARK = 1 << 40
"""The position of the file, which is written and read elsewhere: no other file is likely to be at
it. To ask for that makes one integer."""


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
            # Apart: mypyc evaluates a call within a slice twice, see tests/test_compiled.py.
            written = os.write(self._descriptor, rest)
            rest = rest[written:]


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


def result_by_value(result: object) -> bytes:
    """What a child returned that ended in good order, where a plain pickle cannot name it.

    Otherwise its last words are `RESULT` and the pickle, for less work than a whole end takes.
    """
    return _end_by_value(ChildEnd("normal", True, result))


def read_end(data: bytes, seconds: float | None = None) -> ChildEnd:
    """Read what `end_as_bytes` or `result_by_value` wrote, or a result.

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


# --- where the children of a fork server leave them -----------------------------------------------


class LastWords:
    """A place for each child's last words: short ones in shared memory, long ones in a file.

    Nobody waits for a reader, however much there is to say; and a grandchild that keeps the memory
    or the descriptor holds up nothing.

    Args:
        places: how many children there may be at a time.

    Raises:
        OSError: there is no memory or no descriptor to be had.
    """

    __slots__ = ("_memory", "_rooms", "_sizes", "file")

    def __init__(self, places: int) -> None:
        # Only the pages that are written to take memory.
        self._rooms = 8 * places
        self._memory = mmap.mmap(-1, self._rooms + places * ROOM)
        self._sizes = memoryview(self._memory)[: self._rooms].cast("q")
        self.file = anonymous_file("actorflow-children")
        """The descriptor that children keep, and the server reads from."""
        os.lseek(self.file, _MARK, os.SEEK_SET)

    def leave(self, place: int, data: bytes) -> None:
        """Write a child's last words, of one byte at least; the size last, or they are not whole.

        Raises:
            OSError: they are long and the descriptor has been closed or leads somewhere else, or
                the file takes no more.
        """
        size = len(data)
        if size > ROOM:
            self._sizes[place] = _BEGUN
            self._write(place, data)
        else:
            start = self._rooms + place * ROOM
            self._memory[start : start + size] = data
        self._sizes[place] = size

    def take(self, place: int) -> bytes:
        """What a place's child, which has ended, has left; nothing if it was killed over it.

        Each child may have written anything anywhere, so `UNREADABLE` is what a size means that
        there is nothing for.
        """
        size = self._sizes[place]
        if not size:
            return b""
        self._sizes[place] = 0
        if 0 < size <= ROOM:
            start = self._rooms + place * ROOM
            return self._memory[start : start + size]
        if size == _BEGUN:
            data = b""
        elif 0 < size <= self._held():
            data = self._read(place, size)
        else:
            data = UNREADABLE
        release_file(self.file, place * _REGION, _REGION)
        return data

    def close(self) -> None:
        """Give the memory and the descriptor back."""
        self._sizes.release()
        self._memory.close()
        os.close(self.file)

    def _write(self, place: int, data: bytes) -> None:
        # Code that closes every descriptor and opens a file may get this number for it.
        if os.lseek(self.file, 0, os.SEEK_CUR) != _MARK:
            raise OSError("the descriptor leads somewhere else by now")
        rest = memoryview(data)
        start = place * _REGION
        while rest:
            written = os.pwrite(self.file, rest, start)
            start += written
            rest = rest[written:]

    def _held(self) -> int:
        """How many bytes there can be in a region: holes, which read as zeros, take no memory."""
        status = os.fstat(self.file)
        return status.st_blocks * 512 if hasattr(os, "memfd_create") else status.st_size

    def _read(self, place: int, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            part = os.pread(self.file, min(size - len(data), _PART), place * _REGION + len(data))
            if not part:
                return UNREADABLE
            data += part
        return bytes(data)
