"""Bare forked children: the floor of whatever starts a process and waits until it is there."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["Forks", "forks"]


class Forks:
    """Children that say a byte, and then wait for their end."""

    def __init__(self) -> None:
        self.pids: list[int] = []
        self._heard, self._say = os.pipe()

    def start(self) -> None:
        """Fork one more."""
        pid = os.fork()
        if not pid:
            try:
                os.write(self._say, b"!")
                signal.pause()
            finally:
                os._exit(1)
        self.pids.append(pid)

    def hear(self, count: int) -> None:
        """Wait until so many have said that they are there."""
        while count:
            count -= len(os.read(self._heard, count))

    def kill(self) -> None:
        """Kill the first of them, and wait for its end."""
        pid = self.pids.pop(0)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)

    def close(self) -> None:
        """Kill those that are left."""
        while self.pids:
            self.kill()
        os.close(self._heard)
        os.close(self._say)


@contextmanager
def forks() -> Iterator[Forks]:
    """Children that end with the block."""
    made = Forks()
    try:
        yield made
    finally:
        made.close()
