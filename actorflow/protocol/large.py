"""Pickles whose large buffers are left out, and lie in memory that both sides share.

There are two kinds. What pickle's protocol 5 calls out-of-band buffers (NumPy arrays, and whatever
else gives a `PickleBuffer`) are views of that memory when they are read. A long `bytes` or
`bytearray` owns its memory, as does a long text; so it is cut out of the pickle, and copied once,
into the new object, when it is read.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Iterator, Sequence
from struct import Struct
from typing import Any

import msgpack

from actorflow.errors import Undecodable
from actorflow.protocol.blobs import BlobSource, BlobSpace
from actorflow.protocol.framing import LARGE
from actorflow.records import dataclass

__all__ = ["Large", "dump_large", "load_large", "shared_size"]

_SHORT, _LONG = Struct("<I"), Struct("<Q")

Dump = Callable[[Any, Any, Callable[[pickle.PickleBuffer], bool]], None]
"""Pickles a value into a file, and offers large buffers to a callback."""


@dataclass(slots=True)
class Large:
    """A pickle and the places of what was left out of it.

    Args:
        body: with no places the whole pickle; else what `load_large` reads.
        places: where in the space that is.
    """

    body: bytes
    places: tuple[int, ...] = ()


def dump_large(value: Any, link: int, space: BlobSpace, dump: Dump) -> Large:
    """Pickle a value, its large buffers into a space as far as there is room.

    Args:
        value: what to pickle.
        link: who is to read it.
        space: where buffers of `LARGE` bytes and more go.
        dump: what pickles.

    Raises:
        Exception: whatever pickling the value raises; nothing is left in the space then.
    """
    file = _Cutter(link, space)
    try:
        dump(value, file, file.keep_in_band)
    except BaseException:
        space.settle(file.places)
        raise
    stream = b"".join(file.pieces)
    if not file.places:
        return Large(stream)
    return Large(msgpack.packb([stream, file.cuts, file.buffers]), tuple(file.places))


class _Cutter:
    """The file that a pickler writes to. It lets no byte string into the stream that finds room.

    A pickler hands a byte string of `LARGE` bytes and more to its file as it is, without copying,
    behind the few bytes that say how long it is. It hands over its own buffer at about the same
    size, which is not cut out.
    """

    __slots__ = ("_link", "_size", "_space", "buffers", "cuts", "pieces", "places")

    def __init__(self, link: int, space: BlobSpace) -> None:
        self._link = link
        self._space = space
        self._size = 0
        self.pieces: list[bytes] = []
        self.cuts: list[tuple[int, int, int]] = []
        self.buffers: list[tuple[int, int]] = []
        self.places: list[int] = []

    def write(self, data: bytes | bytearray | memoryview | pickle.PickleBuffer) -> int:
        """Take the next part of the pickle."""
        if isinstance(data, pickle.PickleBuffer):
            return self._append(bytes(data))  # `keep_in_band` has decided
        size = len(data)
        if size >= LARGE and self._announced(size):
            with memoryview(data) as view:
                place = self._space.put(self._link, view)
            if place is not None:
                self.cuts.append((self._size, place, size))
                self.places.append(place)
                return size
        return self._append(data if type(data) is bytes else bytes(data))

    def _append(self, data: bytes) -> int:
        self.pieces.append(data)
        self._size += len(data)
        return len(data)

    def keep_in_band(self, buffer: pickle.PickleBuffer) -> bool:
        """Whether an out-of-band buffer goes into the stream, as it is small or there is no room.

        One without a fixed order of its bytes goes there too, where pickle says what is wrong.
        """
        try:
            view = buffer.raw()
        except BufferError:
            return True
        with view:
            if view.nbytes < LARGE:
                return True
            place = self._space.put(self._link, view)
            if place is None:
                return True
            self.buffers.append((place, view.nbytes))
        self.places.append(place)
        return False

    def _announced(self, size: int) -> bool:
        """Whether what was written last says that so many bytes of one value follow."""
        last = self.pieces[-1] if self.pieces else b""
        short = size <= 0xFFFF_FFFF and last.endswith(_SHORT.pack(size))
        return short or last.endswith(_LONG.pack(size))


def load_large(body: bytes, source: BlobSource) -> Any:
    """Read what `dump_large` has made of a value with something left out.

    Raises:
        Undecodable: it is none, or names a place that there is not.
        Exception: whatever unpickling raises.
    """
    stream, cuts, buffers = _parts(msgpack.unpackb(body))
    views = [source.view(place, size) for place, size in buffers]
    if not cuts:
        return pickle.loads(stream, buffers=views)
    file = _Spliced(stream, cuts, source)
    return pickle.Unpickler(file, buffers=views).load()


def shared_size(body: bytes) -> int:
    """How many bytes a body refers to that `load_large` has read."""
    _, cuts, buffers = _parts(msgpack.unpackb(body))
    return sum(size for _, _, size in cuts) + sum(size for _, size in buffers)


def _parts(fields: Any) -> tuple[bytes, list[list[int]], list[list[int]]]:
    if type(fields) is not list or len(fields) != 3 or type(fields[0]) is not bytes:
        raise Undecodable("undecodable_body", "not a pickle, its cuts and its buffers")
    stream, cuts, buffers = fields
    if not (_are_numbers(cuts, 3) and _are_numbers(buffers, 2)):
        raise Undecodable("undecodable_body", "a cut is three numbers, a buffer is two")
    before = 0
    for at, _, _ in cuts:
        if not before <= at <= len(stream):
            raise Undecodable("undecodable_body", f"a cut at {at} of {len(stream)} bytes")
        before = at
    return stream, cuts, buffers


def _are_numbers(rows: Any, count: int) -> bool:
    return type(rows) is list and all(
        type(row) is list
        and len(row) == count
        and all(type(number) is int and number >= 0 for number in row)
        for row in rows
    )


class _Spliced(io.RawIOBase):
    """The file that an unpickler reads: the stream, and in it what was cut out."""

    def __init__(self, stream: bytes, cuts: Sequence[Sequence[int]], source: BlobSource) -> None:
        self._parts = _in_order(stream, cuts, source)
        self._part = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any) -> int:
        """Fill a buffer, also from several parts: an unpickler takes less for the end."""
        wanted = memoryview(target).cast("B")
        filled = 0
        while filled < len(wanted):
            if not self._part:
                self._part = next(self._parts, memoryview(b""))
                if not self._part:
                    break
            some = self._part[: len(wanted) - filled]
            wanted[filled : filled + len(some)] = some
            filled += len(some)
            self._part = self._part[len(some) :]
        return filled


def _in_order(
    stream: bytes, cuts: Sequence[Sequence[int]], source: BlobSource
) -> Iterator[memoryview]:
    """The parts of a pickle, none of them empty."""
    whole, start = memoryview(stream), 0
    for at, place, size in cuts:
        if at > start:
            yield whole[start:at]
            start = at
        if size:
            yield source.view(place, size)
    if start < len(whole):
        yield whole[start:]
