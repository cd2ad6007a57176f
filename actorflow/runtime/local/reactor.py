"""One thread that waits for descriptors, timers and what other threads post to it."""

from __future__ import annotations

import heapq
import itertools
import logging
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol, cast

__all__ = ["Reactor"]

_log = logging.getLogger(__name__)


class _Descriptor(Protocol):
    def fileno(self) -> int: ...


class Reactor:
    """Runs callbacks on one daemon thread, one at a time, so what only they touch needs no lock.

    It calls back when a descriptor is ready, when a time has come, and when somebody posted it.

    A callback that raises is logged, and the loop goes on: the others are not to suffer for it.
    When the loop itself fails, `crashed` is called with the error, on its thread, as the last
    thing.

    Args:
        name: the thread's name.
        crashed: told of an error that ends the loop.
    """

    def __init__(self, name: str, crashed: Callable[[BaseException], None]) -> None:
        self._crashed = crashed
        self._posted: deque[Callable[[], None]] = deque()
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._selector = selectors.DefaultSelector()
        self._wake_read, self._wake_write = socket.socketpair()
        self._wake_read.setblocking(False)
        self._wake_write.setblocking(False)
        self._awake = False
        self._stopping = False
        self._callbacks: dict[_Descriptor, Callable[[int], None]] = {}
        self.watch(self._wake_read, self._woken)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    # --- from any thread -------------------------------------------------------------------------

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def post(self, callback: Callable[[], None]) -> None:
        """Have the thread run this soon, in the order of posting. Never blocks."""
        self._posted.append(callback)
        # Appended before looking, while the thread takes the byte out, then lowers the flag, then
        # empties the queue: a flag found raised means that this callback will still be seen, and a
        # raised flag always has its byte. Lowered before, the byte of a poster in between would be
        # taken out and its flag stay up, and nobody could wake the thread any more.
        if not self._awake:
            self._awake = True
            # Full means that a wake-up is pending already; closed, that nobody listens any more.
            with suppress(OSError):
                self._wake_write.send(b"\0")

    def stop(self) -> None:
        """End the loop after what has been posted so far. May be repeated."""
        self.post(self._stop)
        if self._thread.ident is None:
            # Never started, so there is no loop whose end would do it.
            self._close()

    def join(self, seconds: float) -> bool:
        """Wait for the thread's end; true when it has ended. At once on the thread itself."""
        if not self.on_thread and self._thread.ident is not None:
            self._thread.join(seconds)
        return not self._thread.is_alive()

    @property
    def on_thread(self) -> bool:
        """Whether the caller is the reactor's own thread."""
        return threading.current_thread() is self._thread

    # --- from the reactor's thread ---------------------------------------------------------------

    def watch(self, file: _Descriptor, callback: Callable[[int], None]) -> None:
        """Call back with `selectors` events while the file is readable."""
        self._selector.register(file, selectors.EVENT_READ)
        self._callbacks[file] = callback

    def watch_writes(self, file: _Descriptor, wanted: bool) -> None:
        """Also call back while it is writable, or no longer so. Nothing when it is not watched."""
        if file in self._callbacks:
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE * wanted)
            if self._selector.get_key(file).events != events:
                self._selector.modify(file, events)

    def forget(self, file: _Descriptor) -> None:
        """Watch it no more; to be called before it is closed. Nothing when it is not watched."""
        if self._callbacks.pop(file, None) is not None:
            self._selector.unregister(file)

    def call_at(self, moment: float, callback: Callable[[], None]) -> None:
        """Run this when ``time.monotonic()`` has reached the moment."""
        heapq.heappush(self._timers, (moment, next(self._order), callback))

    # --- the loop --------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self._stopping:
                self._turn()
        except BaseException as error:  # noqa: BLE001  (told to whoever depends on this thread)
            _log.critical("the thread %s failed", self._thread.name, exc_info=True)
            self._crashed(error)
        finally:
            self._close()

    def _turn(self) -> None:
        for key, events in self._selector.select(self._patience()):
            # An earlier callback of this turn may have ended the watch and closed the file, whose
            # number may by now belong to another one; so it is the object that is looked up.
            callback = self._callbacks.get(cast(_Descriptor, key.fileobj))
            if callback is not None:
                self._guarded(callback, events)
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            self._guarded(heapq.heappop(self._timers)[2])
        # As many as there are now: callbacks that post callbacks must not starve the descriptors.
        for _ in range(len(self._posted)):
            self._guarded(self._posted.popleft())

    def _patience(self) -> float | None:
        if self._posted:
            return 0.0
        if self._timers:
            return max(0.0, self._timers[0][0] - time.monotonic())
        return None

    def _guarded(self, callback: Callable[..., None], *arguments: Any) -> None:
        try:
            callback(*arguments)
        except Exception as error:  # noqa: BLE001  (any callback's any error)
            # What it was to do is lost, a start or a message perhaps: going on would mean that
            # somebody waits for ever. So whoever depends on this thread is told that it failed.
            _log.exception("a callback on the thread %s failed", self._thread.name)
            self._crashed(error)

    def _woken(self, events: int) -> None:
        with suppress(BlockingIOError):
            while self._wake_read.recv(4096):
                pass
        self._awake = False

    def _stop(self) -> None:
        self._stopping = True

    def _close(self) -> None:
        self._callbacks.clear()
        self._selector.close()
        self._wake_read.close()
        self._wake_write.close()
