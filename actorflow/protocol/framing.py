"""Frames: each message is preceded by its length, four bytes, little-endian.

`FrameDecoder` turns any cutting of the byte stream back into frames; it has no I/O of its own.
"""

from __future__ import annotations

from struct import Struct

from actorflow.errors import FrameTooLarge

__all__ = ["LARGE", "LENGTH", "MAX_FRAME", "FrameDecoder", "frame"]

LENGTH = Struct("<I")
"""The length prefix."""

LARGE = 1 << 16
"""The size in bytes from which a buffer may travel beside its frame, as a blob: below it a pipe
costs as little. It is also the size from which pickle hands a byte string to its file as it is."""

MAX_FRAME = 1 << 30
"""The longest frame that is accepted, in bytes; a longer one means the stream is not ours."""


def frame(message: bytes) -> bytes:
    r"""Put the length before an encoded message.

    Example:
        >>> frame(b"ab")
        b'\x02\x00\x00\x00ab'
    """
    return LENGTH.pack(len(message)) + message


class FrameDecoder:
    r"""Cuts a byte stream into frames, whatever pieces it arrives in.

    Args:
        limit: the longest frame accepted, in bytes.

    Example:
        >>> decoder = FrameDecoder()
        >>> decoder.feed(b"\x02\x00\x00")
        []
        >>> decoder.feed(b"\x00ab\x01\x00\x00\x00c")
        [b'ab', b'c']
    """

    __slots__ = ("_buffer", "_limit", "_need")

    def __init__(self, limit: int = MAX_FRAME) -> None:
        self._buffer = bytearray()
        self._limit = limit
        self._need = 4

    def feed(self, data: bytes) -> list[bytes]:
        """Take in bytes and return the frames they complete, without their length prefix.

        Raises:
            FrameTooLarge: a prefix announces more than the limit. The frames before it are returned
                first, and the next call raises; the decoder is of no more use.
        """
        buffer = self._buffer
        if buffer:
            buffer += data
            if len(buffer) < self._need:
                return []
            data = bytes(buffer)
            buffer.clear()
        elif len(data) >= 4:
            (length,) = LENGTH.unpack_from(data)
            if length == len(data) - 4 <= self._limit:
                # One frame and nothing else, the usual case of a busy link.
                return [data[4:]]
        frames: list[bytes] = []
        start, size = 0, len(data)
        while size - start >= 4:
            (length,) = LENGTH.unpack_from(data, start)
            if length > self._limit:
                if frames:
                    break
                detail = f"a frame of {length} bytes, the limit is {self._limit}"
                self._keep(data[start:], 4)
                raise FrameTooLarge("frame_too_large", detail)
            end = start + 4 + length
            if end > size:
                self._keep(data[start:], 4 + length)
                return frames
            frames.append(data[start + 4 : end])
            start = end
        if start < size:
            self._keep(data[start:], 4)
        return frames

    def _keep(self, rest: bytes, need: int) -> None:
        """Hold the beginning of a frame until so many bytes of it are there."""
        self._buffer += rest
        self._need = need

    @property
    def pending(self) -> int:
        """How many bytes of an unfinished frame are held."""
        return len(self._buffer)
