"""Watches the host while the zygote is busy importing, which may take long or never end."""

from __future__ import annotations

import _thread
import os
import select
from types import TracebackType

__all__ = ["Guard"]


class Guard:
    """Ends this process at once when the peer of a socket is gone, for the time of a `with` block.

    It is a thread, so it must be gone before anything is forked, and the `with` block sees to that.
    It reads nothing: orders that arrive meanwhile stay in the socket. The module `threading` is not
    used: a process that has it writes to some hundred pages of memory after each fork.

    Args:
        descriptor: the socket to the host.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._stop_read, self._stop_write = os.pipe()
        self._watching = _thread.allocate_lock()

    def __enter__(self) -> Guard:
        self._watching.acquire()
        _thread.start_new_thread(self._watch, ())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._stop_write)
        with self._watching:
            pass  # it has come to its end
        os.close(self._stop_read)

    def _watch(self) -> None:
        try:
            poller = select.poll()
            # No event is asked for, so what arrives does not wake it; a hang-up is always reported.
            poller.register(self._descriptor, 0)
            poller.register(self._stop_read, select.POLLIN)
            for descriptor, _ in poller.poll():
                if descriptor == self._descriptor:
                    # Nothing has been forked yet, so nothing is left behind.
                    os._exit(0)
        finally:
            self._watching.release()
