"""What other threads of a process have for its loop to do."""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Callable

from actorflow.runtime.local.descriptors import close_all

__all__ = ["Mailbox"]


class Mailbox:
    """Callbacks on their way to the loop's thread; the descriptor is readable while there are some.

    Example:
        >>> mailbox = Mailbox()
        >>> mailbox.post(lambda: print("done"))
        >>> for callback in mailbox.take():
        ...     callback()
        done
        >>> mailbox.close()
    """

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], None]] = deque()
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)

    def fileno(self) -> int:
        """The descriptor to wait on."""
        return self._read

    def post(self, callback: Callable[[], None]) -> None:
        """Have `callback` called by the loop; from any thread, also when it is closed: then not."""
        # State first, bell second; a bell that is full has been rung, and one that is closed is
        # nobody's any more.
        self._waiting.append(callback)
        with contextlib.suppress(OSError):
            os.write(self._write, b"\0")

    def take(self) -> list[Callable[[], None]]:
        """What has been posted, oldest first."""
        with contextlib.suppress(BlockingIOError):
            while os.read(self._read, 4096):
                pass
        waiting = self._waiting
        return [waiting.popleft() for _ in range(len(waiting))]

    def close(self) -> None:
        """Take nothing more."""
        # Forgotten first: another thread that posts must not write to a number that is given anew.
        ends = self._read, self._write
        self._read = self._write = -1
        close_all(ends)
