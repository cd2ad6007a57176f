"""Watches the host while the zygote is busy importing, which may take long or never end."""

from __future__ import annotations

import os
import select
import threading
from types import TracebackType

__all__ = ["Guard"]


class Guard:
    """Ends this process at once when the peer of a socket is gone, for the time of a `with` block.

    It is a thread, so it must be gone before anything is forked, and the `with` block sees to that.
    It reads nothing: orders that arrive meanwhile stay in the socket.

    Args:
        descriptor: the socket to the host.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._stop_read, self._stop_write = os.pipe()
        self._thread = threading.Thread(target=self._watch, name="actorflow-guard", daemon=True)

    def __enter__(self) -> Guard:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._stop_write)
        self._thread.join()
        os.close(self._stop_read)

    def _watch(self) -> None:
        poller = select.poll()
        # No event is asked for, so what arrives does not wake it; a hang-up is always reported.
        poller.register(self._descriptor, 0)
        poller.register(self._stop_read, select.POLLIN)
        for descriptor, _ in poller.poll():
            if descriptor == self._descriptor:
                # Nothing has been forked yet, so nothing is left behind.
                os._exit(0)
