"""SIGINT and SIGTERM as a count, and a wait that they end."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

__all__ = ["Interrupts"]


class Interrupts:
    """Counts SIGINT and SIGTERM, and wakes the main thread.

    The handler only counts and writes a byte. It raises nothing, and takes no lock, which the code
    that it interrupts might hold.
    """

    def __init__(self) -> None:
        self.count = 0
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)

    @contextmanager
    def caught(self) -> Iterator[None]:
        """Handle the signals while the block runs."""
        before = {
            number: signal.signal(number, self._handle)
            for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            os.close(self._read)
            os.close(self._write)

    def wake(self) -> None:
        """End `wait`, from any thread."""
        with suppress(BlockingIOError):  # it is full of reasons to wake up
            os.write(self._write, b"\0")

    def wait(self, seconds: float | None) -> None:
        """Wait for a signal or `wake`."""
        poller = select.poll()
        poller.register(self._read, select.POLLIN)
        if poller.poll(None if seconds is None else seconds * 1000):
            os.read(self._read, 4096)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.count += 1
        self.wake()
