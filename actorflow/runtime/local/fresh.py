"""Children as fresh processes: each forked by the stage, run once, gone."""

from __future__ import annotations

import os
import pickle
import signal
import time
from collections.abc import Sequence
from typing import Literal

from actorflow.errors import ProtocolError, Undecodable
from actorflow.protocol.codec import decode_value, encode_value
from actorflow.protocol.framing import LENGTH, frame
from actorflow.records import dataclass
from actorflow.runtime.local.descriptors import anonymous_file, close_all
from actorflow.runtime.local.offspring import (
    CANNOT_REPORT,
    REHEARSALS,
    Loop,
    Offspring,
    Parenthood,
)
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
    "Words",
    "end_as_bytes",
    "end_of_process",
    "read_end",
]

CODECS = {"msgpack": b"m", "pickle": b"p"}
NAMES = {b"m": "msgpack", b"p": "pickle"}
_CHUNK = 1 << 16


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
    file: int
    """Where it says how it ended."""
    since: float
    process: Offspring | None = None


class FreshProcesses(ChildRuntime):
    """A process for each child.

    A child leaves its end in a file of its own without a name, which is read when the child is
    gone. So nobody waits for a reader, however much there is to say; a grandchild that keeps the
    descriptor holds up nothing; and a fork costs one descriptor less than with a pipe.

    Args:
        name: the stage's.
        loop: its loop.
        observe: is told of ends.
    """

    def __init__(self, name: str, loop: Loop, observe: Observer) -> None:
        self._observe = observe
        self._parenthood = Parenthood(name, loop)
        self._children: dict[int, _Fresh] = {}
        for _ in range(REHEARSALS):
            read_end(end_as_bytes(outcome_of(abs, (1,))))

    def start(self, life: int, template: ChildTemplate, arguments: Sequence[object]) -> None:
        """As `ChildRuntime.start`. Arguments need not be encoded: a fork has them."""
        run = template.function  # imported here, or each child would import it anew
        file = anonymous_file("actorflow-child")
        child = _Fresh(life, file, time.monotonic())
        words = Words(file)

        def live() -> int:
            pid = os.getpid()
            end = outcome_of(run, (*template.arguments, *arguments))
            if os.getpid() != pid:
                return 0  # forked by the child's own code, which fell through to here
            try:
                words.write(frame(end_as_bytes(end)))
            except OSError:
                return CANNOT_REPORT
            return 0 if end.normal else 1

        def gone(status: int | None, number: int | None) -> None:
            self._gone(child, status, number)

        try:
            child.process = self._parenthood.fork("", (file,), live, gone)
        except OSError:
            close_all((file,))
            raise
        self._children[life] = child

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

    def _gone(self, child: _Fresh, status: int | None, number: int | None) -> None:
        del self._children[child.life]
        end = self._end_of(child, status, number)
        os.close(child.file)
        self._observe((ChildEnded(child.life, end),))

    def _end_of(self, child: _Fresh, status: int | None, number: int | None) -> ChildEnd:
        seconds = time.monotonic() - child.since
        said = _read_words(child.file)
        if said is None:
            return end_of_process(status, number, seconds)
        try:
            return read_end(said)
        except ProtocolError as error:
            return end_by(error, seconds)


def _read_words(file: int) -> bytes | None:
    """The frame that a child has left; None when it is not whole, as it was killed over it."""
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
