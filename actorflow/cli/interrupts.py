"""SIGINT, SIGTERM and SIGHUP as a count, and a wait that they end."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

__all__ = ["Interrupts"]


class Interrupts:
    """Counts SIGINT, SIGTERM and SIGHUP, and wakes the main thread.

    A SIGHUP comes when the terminal is closed. Under `nohup` it is ignored, and stays so.

    The handler only counts. It raises nothing, and takes no lock, which the code that it interrupts
    might hold. The system may give the signal to any thread, and the handler runs on the main one
    when that wakes up: by a byte that the interpreter writes wherever the signal came.
    """

    def __init__(self) -> None:
        self.count = 0
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)

    @contextmanager
    def caught(self) -> Iterator[None]:
        """Handle the signals while the block runs."""
        numbers = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            numbers.append(signal.SIGHUP)
        before = {number: signal.signal(number, self._handle) for number in numbers}
        woken = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(woken)
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
