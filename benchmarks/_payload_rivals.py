"""Large buffers from one process to another without actorflow, in a program of its own.

    python -m benchmarks._payload_rivals SIDE KIND SIZE COUNT WINDOW

Prints bytes per second. Every receiver owns what it gets, looks at its first and last byte, and is
timed from the last of some buffers that do not count.
"""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks._programs import say

__all__ = ["KINDS", "Watch", "buffers", "warm_up"]

fork = multiprocessing.get_context("fork")


def _array(content: bytes) -> Any:
    import numpy as np

    return np.frombuffer(content, dtype=np.uint8).copy()


KINDS: dict[str, Callable[[bytes], Any]] = {"array": _array, "bytes": bytes}


def buffers(kind: str, size: int, window: int) -> list[Any]:
    """A window of them, so that no batch has one twice; each begins and ends with its number."""
    contents = (bytes([mark]) + os.urandom(size - 2) + bytes([mark]) for mark in range(window))
    return [KINDS[kind](content) for content in contents]


def warm_up(window: int) -> int:
    """How many buffers are sent before those that count: pages are new, and windows empty."""
    return 4 * window


class Watch:
    """Looks at buffers as they come, and times those that count.

    Args:
        count: how many that are.
        window: how many may be under way, up to 256.
    """

    def __init__(self, count: int, window: int) -> None:
        self.left = count + warm_up(window)
        self._count = count
        self._window = window
        self._seen = 0
        self._size = 0
        self._began = self._ended = 0.0

    def look(self, buffer: Any) -> None:
        """Take the next one.

        Raises:
            AssertionError: it is not the next one.
        """
        mark = self._seen % self._window
        if buffer[0] != mark or buffer[-1] != mark:
            raise AssertionError(f"buffer {self._seen} is another one")
        self._seen += 1
        self.left -= 1
        if self.left == self._count:
            self._began = time.perf_counter()
        if not self.left:
            self._size = len(buffer)
            self._ended = time.perf_counter()

    @property
    def rate(self) -> float:
        """Bytes per second."""
        return self._count * self._size / (self._ended - self._began)


def in_turn(kind: str, size: int, count: int, window: int) -> Iterator[Any]:
    """So many buffers, one after the other."""
    made = buffers(kind, size, window)
    return (made[number % window] for number in range(count))


def memcpy(kind: str, size: int, watch: Watch, window: int) -> float:
    """Copies in one process, into memory that is there: as many places as a window has."""
    places = [memoryview(bytearray(size)) for _ in range(window)]
    for number, buffer in enumerate(in_turn(kind, size, watch.left, window)):
        place = places[number % window]
        place[:] = memoryview(buffer)
        watch.look(place)
    return watch.rate


def _in_two_processes(send: Callable[[], None], receive: Callable[[], float]) -> float:
    sender = fork.Process(target=send)
    sender.start()
    try:
        return receive()
    finally:
        sender.join()


def pipes(kind: str, size: int, watch: Watch, window: int) -> float:
    """A process writes, this one reads into a new buffer for each."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, getattr(fcntl, "F_SETPIPE_SZ", fcntl.F_GETFD), 1 << 20)

    def send() -> None:
        os.close(reader)
        for buffer in in_turn(kind, size, watch.left, window):
            rest = memoryview(buffer)
            while rest:
                rest = rest[os.write(writer, rest) :]

    def receive() -> float:
        os.close(writer)
        while watch.left:
            content = bytearray(size)
            rest = memoryview(content)
            while rest:
                rest = rest[os.readv(reader, [rest]) :]
            watch.look(bytes(content) if kind == "bytes" else content)
        os.close(reader)
        return watch.rate

    return _in_two_processes(send, receive)


def queue(kind: str, size: int, watch: Watch, window: int) -> float:
    """`multiprocessing.Queue` with room for a window."""
    between: Any = fork.Queue(window)

    def send() -> None:
        for buffer in in_turn(kind, size, watch.left, window):
            between.put(buffer)

    def receive() -> float:
        while watch.left:
            watch.look(between.get())
        return watch.rate

    return _in_two_processes(send, receive)


SIDES = {"memcpy": memcpy, "pipes": pipes, "queue": queue}


def main(side: str, kind: str, size: str, count: str, window: str) -> None:
    """Print what one side does."""
    watch = Watch(int(count), int(window))
    say(SIDES[side](kind, int(size), watch, int(window)))


if __name__ == "__main__":
    main(*sys.argv[1:])
