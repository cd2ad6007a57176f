"""A stage's end of a link: two pipes, an outbox in user space, and no waiting.

The pipe may be full at any moment, because the peer is busy, stopped or dead. So a frame goes to
the outbox, `flush` writes what the kernel takes, and the loop goes on. The outbox is bounded by the
demand that the peer has expressed.
"""

from __future__ import annotations

import os

from actorflow.protocol.framing import LENGTH, FrameDecoder
from actorflow.runtime.local.descriptors import close_all

__all__ = ["CHUNK", "PipeLink"]

CHUNK = 1 << 16
"""How many bytes one read asks for: a usual pipe's capacity, and below the size from which malloc
maps fresh pages for each buffer."""

_MOST_BUFFERS = 512
"""How many buffers one writev takes; the kernel's limit is 1 024."""


class PipeLink:
    """One end of a link.

    Args:
        number: the link's number.
        reader: the descriptor to read from; owned from now on.
        writer: the descriptor to write to; owned from now on.
    """

    __slots__ = (
        "_begun",
        "backlog",
        "closing",
        "decoder",
        "dropped",
        "number",
        "outbox",
        "reader",
        "waits",
        "writer",
    )

    def __init__(self, number: int, reader: int, writer: int) -> None:
        self.number = number
        self.reader = reader
        self.writer = writer
        self.decoder = FrameDecoder()
        self.closing = False
        self.waits = False
        """Whether the loop has been asked to tell when the pipe can take more."""
        self.outbox: list[bytes | memoryview] = []
        """What is to be written, oldest first."""
        self.backlog = 0
        """How many bytes that is."""
        self.dropped = 0
        """How many frames were never written, or not to their end, as the peer was gone."""
        self._begun = 0
        """How many bytes the outbox holds of a frame whose beginning has left."""

    def flush(self) -> bool:
        """Write what the pipe takes; true when nothing is left to write."""
        outbox = self.outbox
        while outbox:
            few = len(outbox) <= _MOST_BUFFERS
            try:
                written = os.writev(self.writer, outbox if few else outbox[:_MOST_BUFFERS])
            except BlockingIOError:
                return False
            except BrokenPipeError:
                # The peer is gone; what it had not finished is redelivered when its end is seen.
                self._drop_all()
                return True
            if written == self.backlog:
                # Everything, as nearly always.
                outbox.clear()
                self.backlog = self._begun = 0
                return True
            self._forget_written(written)
        return True

    def read(self) -> bytes | None:
        """What has arrived: bytes, ``b""`` at the end of file, None when nothing is there now."""
        try:
            return os.read(self.reader, CHUNK)
        except BlockingIOError:
            return None

    def close_reader(self) -> None:
        """Nothing more is read."""
        if self.reader >= 0:
            close_all((self.reader,))
            self.reader = -1

    def close_writer(self) -> None:
        """Nothing more is written; what is queued is dropped."""
        if self.outbox:
            self._drop_all()
        if self.writer >= 0:
            close_all((self.writer,))
            self.writer = -1

    def _forget_written(self, written: int) -> None:
        outbox = self.outbox
        self.backlog -= written
        begun, done = self._begun, 0
        for part in outbox:
            size = len(part)
            if written < size:
                break
            begun = (begun or _frame_size(part)) - size
            written -= size
            done += 1
        del outbox[:done]
        if written:
            begun = (begun or _frame_size(outbox[0])) - written
            outbox[0] = memoryview(outbox[0])[written:]
        self._begun = begun

    def _drop_all(self) -> None:
        """Nobody will read what is queued: count its frames, and forget it."""
        rest = self._begun
        self.dropped += 1 if rest else 0
        for part in self.outbox:
            if not rest:
                self.dropped += 1
                rest = _frame_size(part)
            rest -= len(part)
        self.outbox.clear()
        self.backlog = self._begun = 0


def _frame_size(head: bytes | memoryview) -> int:
    """How many bytes the frame has that begins here, with its length."""
    (length,) = LENGTH.unpack_from(head)
    return LENGTH.size + int(length)
