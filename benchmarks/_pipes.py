"""Bare pipes: framed messages over them, and the forked processes that pass these on.

What most floors are made of: nothing but the system calls and the encoding that the work needs.
"""

from __future__ import annotations

import os
import pickle
import signal
import struct
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self

import msgpack

__all__ = ["MSGPACK", "PICKLE", "Coding", "Crew", "Pipe", "window_of"]

LENGTH = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class Coding:
    """How messages become bytes, and come back."""

    pack: Callable[[Any], bytes]
    unpack: Callable[[bytes], Any]


MSGPACK = Coding(msgpack.packb, msgpack.unpackb)
PICKLE = Coding(lambda value: pickle.dumps(value, 5), pickle.loads)


@dataclass(frozen=True, slots=True)
class Pipe:
    """A pipe with one writer and one reader, and messages behind their length.

    Args:
        reading: the descriptor to read from.
        writing: the descriptor to write to.
    """

    reading: int
    writing: int

    def receive(self, coding: Coding = MSGPACK) -> Any:
        """The next message, or None at the end of the pipe."""
        head = self._exactly(LENGTH.size)
        return coding.unpack(self._exactly(LENGTH.unpack(head)[0])) if head else None

    def send(self, message: Any, coding: Coding = MSGPACK) -> None:
        """Write a message.

        Raises:
            BrokenPipeError: nobody reads any more.
        """
        body = coding.pack(message)
        data = memoryview(LENGTH.pack(len(body)) + body)
        while data:
            data = data[os.write(self.writing, data) :]

    def ask(self, count: int) -> None:
        """Write a number to who may have sent its last and be gone: what it sent is still read."""
        with suppress(BrokenPipeError):
            self.send(count)

    def _exactly(self, size: int) -> bytes:
        data = os.read(self.reading, size)
        while data and len(data) < size:
            more = os.read(self.reading, size - len(data))
            if not more:
                return b""
            data += more
        return data


def window_of(max_demand: int) -> list[int]:
    """A consumer's first asks: two halves, each of which is a batch and is asked for again."""
    half = max(1, max_demand // 2)
    return [max_demand] if max_demand == 1 else [max_demand - half, half]


class Crew:
    """Forked processes and the pipes between them; none is left when the block is.

    Example:
        >>> with Crew() as crew:
        ...     pipe = crew.pipe()
        ...     crew.fork(lambda: pipe.send([1, 2]), {pipe.writing})
        ...     crew.keep({pipe.reading})
        ...     pipe.receive()
        [1, 2]
    """

    def __init__(self) -> None:
        self._open: set[int] = set()
        self._pids: list[int] = []

    def pipe(self) -> Pipe:
        """A pipe that those who are forked later may keep an end of."""
        made = Pipe(*os.pipe())
        self._open |= {made.reading, made.writing}
        return made

    def fork(self, act: Callable[[], None], keep: set[int]) -> None:
        """Have a process of its own do something.

        Args:
            act: what it does. When nobody reads what it writes any more, it ends.
            keep: the descriptors that it uses; it closes all others.
        """
        pid = os.fork()
        if pid:
            self._pids.append(pid)
            return
        status = 1
        try:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever waits for us decides
            for descriptor in self._open - keep:
                os.close(descriptor)
            with suppress(BrokenPipeError):
                act()
            status = 0
        except BaseException:  # noqa: BLE001 - a forked process must not run its parent's code
            traceback.print_exc()
        finally:
            os._exit(status)

    def keep(self, descriptors: set[int]) -> None:
        """Close here what is not among these: all processes are there."""
        for descriptor in self._open - descriptors:
            os.close(descriptor)
        self._open &= descriptors

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *error: object) -> None:
        self.keep(set())
        failed = 0
        for pid in self._pids:
            if kind is not None:
                os.kill(pid, signal.SIGKILL)
            failed += os.waitpid(pid, 0)[1] != 0
        if failed and kind is None:
            raise RuntimeError(f"{failed} of {len(self._pids)} processes of the floor failed")
