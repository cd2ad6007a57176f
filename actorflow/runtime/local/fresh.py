"""Children as fresh processes: each forked by the stage, run once, gone."""

from __future__ import annotations

import os
import signal
import stat
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from actorflow.errors import ProtocolError, Undecodable
from actorflow.protocol.codec import decode_value, encode_value
from actorflow.protocol.framing import FrameDecoder, frame
from actorflow.runtime.local.descriptors import close_all
from actorflow.runtime.local.offspring import CANNOT_REPORT, Loop, Offspring, Parenthood
from actorflow.stage.children import (
    ChildEnd,
    ChildEnded,
    ChildRuntime,
    ChildTemplate,
    Observer,
    end_by,
    outcome_of,
)

__all__ = [
    "CODECS",
    "NAMES",
    "FreshProcesses",
    "ResultPipe",
    "end_as_bytes",
    "end_of_process",
    "read_end",
]

CODECS = {"msgpack": b"m", "pickle": b"p"}
NAMES = {b"m": "msgpack", b"p": "pickle"}
_CHUNK = 1 << 16


class ResultPipe:
    """Where a child writes how it ended; still the same pipe, whatever its code did meanwhile.

    Code that closes every descriptor and opens a file may get this number for it.

    Args:
        descriptor: the write end.
    """

    __slots__ = ("_descriptor", "_inode")

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._inode = os.fstat(descriptor).st_ino

    def write(self, data: bytes) -> None:
        """Write everything, waiting for the reader.

        Raises:
            OSError: the descriptor has been closed, or nobody reads any more.
        """
        status = os.fstat(self._descriptor)
        if status.st_ino != self._inode or not stat.S_ISFIFO(status.st_mode):
            raise OSError("the descriptor leads somewhere else by now")
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]


def end_as_bytes(end: ChildEnd) -> bytes:
    """How a child ended, for the pipe; a result that cannot travel is a bad end."""
    try:
        encoded = encode_value(end.to_wire())
    except TypeError as error:
        encoded = encode_value(end_by(error, end.seconds).to_wire())
    return CODECS[encoded.codec] + encoded.body


def read_end(data: bytes) -> ChildEnd:
    """Read what `end_as_bytes` wrote.

    Raises:
        Undecodable: a child wrote something else, or its result cannot be made again here.
    """
    try:
        return ChildEnd.from_wire(decode_value(NAMES[data[:1]], data[1:]))
    except (KeyError, TypeError, ValueError) as error:
        raise Undecodable("undecodable_body", f"no end of a child: {data[:80]!r}") from error


def end_of_process(status: int | None, number: int | None, seconds: float) -> ChildEnd:
    """The end of a child that left no word: what the kernel says."""
    if number is not None:
        return ChildEnd(["signal", number], False, seconds=seconds)
    return ChildEnd(["exit", status] if status else "normal", not status, seconds=seconds)


@dataclass(slots=True)
class _Fresh:
    life: int
    reader: int
    since: float
    process: Offspring | None = None
    decoder: FrameDecoder = field(default_factory=FrameDecoder)
    said: list[bytes] = field(default_factory=list)
    broken: ProtocolError | None = None


class FreshProcesses(ChildRuntime):
    """A process for each child.

    Args:
        name: the stage's.
        loop: its loop.
        observe: is told of ends.
    """

    def __init__(self, name: str, loop: Loop, observe: Observer) -> None:
        self._loop = loop
        self._observe = observe
        self._parenthood = Parenthood(name, loop)
        self._children: dict[int, _Fresh] = {}

    def start(self, life: int, template: ChildTemplate, arguments: Sequence[object]) -> None:
        """As `ChildRuntime.start`. Arguments need not be encoded: a fork has them."""
        run = template.function  # imported here, or each child would import it anew
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        child = _Fresh(life, reader, time.monotonic())

        def live() -> int:
            pipe, pid = ResultPipe(writer), os.getpid()
            end = outcome_of(run, (*template.arguments, *arguments))
            if os.getpid() != pid:
                return 0  # forked by the child's own code, which fell through to here
            try:
                pipe.write(frame(end_as_bytes(end)))
            except OSError:
                return CANNOT_REPORT
            return 0 if end.normal else 1

        try:
            child.process = self._parenthood.fork(
                "child", (writer,), live, lambda status, number: self._gone(child, status, number)
            )
        except OSError:
            close_all((reader,))
            raise
        finally:
            close_all((writer,))
        self._children[life] = child
        self._loop.watch(reader, lambda _: self._read(child))

    def signal(self, life: int, signal_: Literal["terminate", "kill"]) -> None:
        """As `ChildRuntime.signal`."""
        child = self._children.get(life)
        if child is not None and child.process is not None:
            child.process.signal(signal.SIGTERM if signal_ == "terminate" else signal.SIGKILL)

    def running_since(self, life: int) -> float | None:
        """As `ChildRuntime.running_since`."""
        child = self._children.get(life)
        return None if child is None else child.since

    def pid(self, life: int) -> int:
        """As `ChildRuntime.pid`."""
        child = self._children.get(life)
        return 0 if child is None or child.process is None else child.process.pid

    def close(self) -> None:
        """As `ChildRuntime.close`."""
        for child in list(self._children.values()):
            if child.process is not None:
                child.process.signal(signal.SIGKILL)

    def _read(self, child: _Fresh) -> None:
        """Take what a child has written; a grandchild may keep the pipe open beyond its end."""
        while child.reader >= 0:
            try:
                data = os.read(child.reader, _CHUNK)
            except BlockingIOError:
                return
            try:
                child.said += child.decoder.feed(data)
            except ProtocolError as error:
                child.broken = error
                data = b""
            if not data:
                self._loop.unwatch(child.reader)
                close_all((child.reader,))
                child.reader = -1

    def _gone(self, child: _Fresh, status: int | None, number: int | None) -> None:
        self._read(child)
        if child.reader >= 0:
            self._loop.unwatch(child.reader)
            close_all((child.reader,))
            child.reader = -1
        self._children.pop(child.life, None)
        self._observe((ChildEnded(child.life, self._end_of(child, status, number)),))

    def _end_of(self, child: _Fresh, status: int | None, number: int | None) -> ChildEnd:
        seconds = time.monotonic() - child.since
        try:
            if child.broken is not None:
                raise child.broken
            if child.said:
                return read_end(child.said[0])
        except ProtocolError as error:
            return end_by(error, seconds)
        return end_of_process(status, number, seconds)
