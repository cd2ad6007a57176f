"""A stage's end of a link: two pipes, an outbox in user space, and no waiting.

The pipe may be full at any moment, because the peer is busy, stopped or dead. So a frame goes to
the outbox, `flush` writes what the kernel takes, and the loop goes on. The outbox is bounded by the
demand that the peer has expressed.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Protocol

from actorflow.protocol.framing import LENGTH, FrameDecoder
from actorflow.runtime.local.descriptors import close_all
from actorflow.runtime.local.poller import READABLE, WRITABLE

__all__ = ["CHUNK", "PipeLink", "WatchedLink", "Watcher"]

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


class Watcher(Protocol):
    """What waits for descriptors: a stage's loop, or a fork server."""

    def watch(
        self, descriptor: int, callback: Callable[[int], None], events: int = READABLE
    ) -> None:
        """Have `callback` called with the events of a descriptor that is ready, until `unwatch`."""

    def unwatch(self, descriptor: int) -> None:
        """Watch a descriptor no more; to be called before it is closed."""


class WatchedLink(PipeLink):
    """A link between a stage and a process that it has forked, waited for in a loop.

    The loop writes what the pipe does not take at once, and both ends are watched no more before
    they are closed.

    Args:
        number: the link's number.
        reader: the descriptor to read from; owned from now on.
        writer: the descriptor to write to; owned from now on.
        watcher: the loop.
    """

    __slots__ = ("_heard", "_watcher")

    def __init__(self, number: int, reader: int, writer: int, watcher: Watcher) -> None:
        super().__init__(number, reader, writer)
        self._watcher = watcher
        self._heard = False
        for descriptor in (reader, writer):
            os.set_blocking(descriptor, False)

    def hear(self, callback: Callable[[int], None]) -> None:
        """Have `callback` called when there is something to read, until the reader is closed."""
        self._watcher.watch(self.reader, callback)
        self._heard = True

    def queue(self, *parts: bytes) -> None:
        """Have these bytes written with the next `send`."""
        outbox = self.outbox
        for part in parts:
            outbox.append(part)
            self.backlog += len(part)

    def send(self, events: int = WRITABLE) -> None:
        """Write what is queued, the rest when the pipe takes it; then, if it is closing, close it.

        Args:
            events: what the loop tells of the writer, when it is the one that calls.
        """
        if self.writer < 0:
            return
        if not self.flush():
            if not self.waits:
                self.waits = True
                self._watcher.watch(self.writer, self.send, WRITABLE)
        elif self.closing:
            self.close_writer()
        elif self.waits:
            self.waits = False
            self._watcher.unwatch(self.writer)

    def close_reader(self) -> None:
        """As `PipeLink.close_reader`."""
        if self._heard:
            self._heard = False
            self._watcher.unwatch(self.reader)
        super().close_reader()

    def close_writer(self) -> None:
        """As `PipeLink.close_writer`."""
        if self.waits:
            self.waits = False
            self._watcher.unwatch(self.writer)
        super().close_writer()


def _frame_size(head: bytes | memoryview) -> int:
    """How many bytes the frame has that begins here, with its length."""
    (length,) = LENGTH.unpack_from(head)
    return LENGTH.size + int(length)
