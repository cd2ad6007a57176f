"""A channel: one direction of a link, byte by byte, as a pipe between two processes is."""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Callable
from typing import Protocol

from actorflow.errors import ProtocolError
from actorflow.protocol.framing import FrameDecoder
from actorflow.runtime.simulated.actors import Actor, ReadySet
from actorflow.runtime.simulated.schedule import FEW, FEW_OF_CONTROL, Schedule
from actorflow.stage.work import CONTROL_LINK

__all__ = ["Channel", "Reader"]

REMEMBERED = 8
"""How many of the last frames a channel keeps for a stall report."""


class Reader(Protocol):
    """Who reads from a channel."""

    def can_read(self, channel: Channel) -> bool:
        """Whether it would read now: it lives, and no callback keeps it busy."""

    def take(self, channel: Channel, frames: list[bytes]) -> None:
        """Take the frames that a read has completed."""

    def end(self, channel: Channel) -> None:
        """The writer has gone and its last byte has been read."""

    def garbled(self, channel: Channel, error: ProtocolError) -> None:
        """What arrives is no frame."""


class Channel:
    """The writer's user-space outbox, the kernel's pipe, and the reader's unfinished frame.

    One buffer holds all bytes that are on their way: the first `in_pipe` of them are in the pipe
    and survive their writer, the rest is in its outbox and dies with it.

    Args:
        name: for the trace, ``"a/0#1>b/0#1"``.
        link: the link that it is a direction of.
        capacity: how many bytes the pipe holds.
        schedule: chooses how many bytes move at once.
        ready: the set that its actors join.
    """

    __slots__ = (
        "_decoder",
        "_few",
        "_ready",
        "_schedule",
        "_then",
        "capacity",
        "closing",
        "data",
        "end_seen",
        "in_pipe",
        "link",
        "name",
        "reader",
        "reader_open",
        "reading",
        "recent",
        "waiter",
        "writer_open",
        "writing",
    )

    def __init__(
        self, name: str, link: int, capacity: int, schedule: Schedule, ready: ReadySet
    ) -> None:
        self.name = name
        self.link = link
        self.capacity = capacity
        self.data = bytearray()
        self.in_pipe = 0
        self.writer_open = True
        self.reader_open = True
        self.closing = False
        self.end_seen = False
        self.reader: Reader | None = None
        self._then: Callable[[], None] | None = None
        self.waiter: Actor | None = None
        """Who wants to know when the outbox is empty: the end of a process that is leaving."""
        self.recent: deque[bytes] = deque(maxlen=REMEMBERED)
        self.writing = Actor(f"write {name}", self._can_write, self._write)
        self.reading = Actor(f"read {name}", self._can_read, self._read)
        self._decoder = FrameDecoder()
        self._schedule = schedule
        self._few = FEW_OF_CONTROL if link == CONTROL_LINK else FEW
        self._ready = ready

    # --- the writer's side ------------------------------------------------------------------------

    def write(self, head: bytes, body: bytes = b"") -> None:
        """Queue a frame; what is written to a closed pipe vanishes, as after EPIPE."""
        if not self.writer_open or self.closing or not self.reader_open:
            return
        self.recent.append(head + body)
        self.data += head
        if body:
            self.data += body
        if self._schedule.eager:
            self.in_pipe = min(len(self.data), self.capacity)
            self._ready.add(self.reading)
        if self.outbox:
            self._ready.add(self.writing)

    @property
    def outbox(self) -> int:
        """How many bytes the writer still has to write."""
        return len(self.data) - self.in_pipe

    @property
    def drained(self) -> bool:
        """Whether the writer has nothing left to write, or nobody to write it to."""
        return self.outbox == 0 or not self.writer_open

    def close_when_written(self, then: Callable[[], None]) -> None:
        """The writer closes its end once its outbox is empty, and `then` is called."""
        self.closing = True
        self._then = then
        self._written()

    def kill_writer(self) -> None:
        """The writer is gone: its outbox is lost, perhaps in the middle of a frame."""
        del self.data[self.in_pipe :]
        self.writer_open = False
        self._ready.add(self.reading)

    # --- the reader's side ------------------------------------------------------------------------

    def attach(self, reader: Reader) -> None:
        """The reader has its descriptor from now on."""
        self.reader = reader
        self._ready.add(self.reading)

    def close_reader(self) -> None:
        """Nobody reads any more; what is under way vanishes."""
        self.reader_open = False
        self.data.clear()
        self.in_pipe = 0
        self._written()

    def drain(self) -> None:
        """Read what a dead writer left, to the end, at once."""
        while self.reader is not None and self.reader_open and not self.end_seen:
            if self.in_pipe:
                self._take(self.in_pipe)
            else:
                self.end_seen = True
                self.reader.end(self)

    # --- actions ----------------------------------------------------------------------------------

    def _can_write(self) -> bool:
        in_pipe = self.in_pipe
        return in_pipe < len(self.data) and in_pipe < self.capacity and self.writer_open

    def _write(self) -> str:
        room = min(len(self.data), self.capacity) - self.in_pipe
        count = self._schedule.cut(room, self._few)
        self.in_pipe += count
        self._ready.add(self.reading)
        self._written()
        return f"{count} B"

    def _can_read(self) -> bool:
        reader = self.reader
        return (
            (self.in_pipe > 0 or not self.writer_open)
            and reader is not None
            and self.reader_open
            and not self.end_seen
            and reader.can_read(self)
        )

    def _read(self) -> str:
        if self.in_pipe:
            return self._take(self._schedule.cut(self.in_pipe, self._few))
        assert self.reader is not None
        self.end_seen = True
        self.reader.end(self)
        return "end"

    def _take(self, count: int) -> str:
        data, reader = self.data, self.reader
        assert reader is not None
        chunk = bytes(data[:count])
        del data[:count]
        self.in_pipe -= count
        if len(data) > self.in_pipe:
            self._ready.add(self.writing)
        try:
            frames = self._decoder.feed(chunk)
        except ProtocolError as error:
            reader.garbled(self, error)
            return f"{count} B {error.reason}"
        if frames:
            reader.take(self, frames)
        return f"{count} B {zlib.crc32(chunk):08x}"

    def _written(self) -> None:
        if self.outbox and self.reader_open:
            return
        if self.waiter is not None:
            self._ready.add(self.waiter)
        if self._then is not None:
            then, self._then = self._then, None
            then()
