"""A distribution of scans as the original has it, in threads, in three versions that fail.

``raise`` ends with an error when a buffer is full. ``block`` waits for room, and a scan whose input
ends says nothing. ``say_end`` has it say so, and waits for room in a buffer that nobody reads.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable
from typing import Any, Literal

from actorflow.stages.scans import Done, Scan

__all__ = ["BufferFull", "Hangs", "distribute"]

PATIENCE = 0.2
"""Seconds without a step after which a wait is one for ever: whoever could end it waits too."""

_STOP = object()


class BufferFull(Exception):
    """The driver does not wait for room."""


class Hangs(Exception):
    """The driver waits for what cannot happen."""


class _Worker:
    """A scan in a thread, with a queue of its own."""

    def __init__(
        self, scan: Scan[Any, Any], room: int, out: queue.SimpleQueue[Any], *, says_end: bool
    ) -> None:
        self.scan = scan
        self.inputs: queue.Queue[Any] = queue.Queue(room)
        self.stop = threading.Event()
        self._out = out
        self._says_end = says_end
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        state = self.scan.initial().state  # type: ignore[union-attr]
        self._out.put((self, [self.scan.extract(state)]))
        while True:
            try:
                item = self.inputs.get(timeout=0.001)
            except queue.Empty:
                if not self.stop.is_set():
                    continue
                if self._says_end:
                    self._out.put((self, _STOP))
                return
            answer = self.scan.step(state, item)
            if isinstance(answer, Done):
                self._out.put((self, [answer.value]))
                self._out.put((self, _STOP))
                return
            state = answer.state
            self._out.put((self, [self.scan.extract(state)]))


def distribute(
    source: Iterable[Any],
    scans: Iterable[Scan[Any, Any]],
    room: int,
    version: Literal["raise", "block", "say_end"],
    *,
    before_each: Callable[[Any], None] = lambda item: None,
    at_end: Callable[[], None] = lambda: None,
) -> list[Any]:
    """Distribute a finite source; returns the values.

    Args:
        source: what to distribute.
        scans: to whom.
        room: the size of each scan's buffer.
        version: which of the versions that fail.
        before_each: called before each item is pushed.
        at_end: called before it waits for its threads to end, however it came to that.

    Raises:
        BufferFull: a buffer was full, in the version that raises.
        Hangs: the driver waits for ever.
    """
    out: queue.SimpleQueue[Any] = queue.SimpleQueue()
    running = [_Worker(scan, room, out, says_end=version == "say_end") for scan in scans]
    workers = list(running)
    values: list[Any] = []

    def collect(*, wait: bool) -> None:
        while True:
            try:
                worker, said = out.get(timeout=PATIENCE) if wait else out.get_nowait()
            except queue.Empty:
                if wait:
                    raise Hangs("nobody rings, and scans are still counted as running") from None
                return
            wait = False
            if said is _STOP:
                running.remove(worker)
            else:
                values.extend(said)

    try:
        for item in source:
            collect(wait=False)
            before_each(item)
            for worker in list(running):
                try:
                    worker.inputs.put(item, timeout=0 if version == "raise" else PATIENCE)
                except queue.Full:
                    if version == "raise":
                        raise BufferFull("no space available in the buffer") from None
                    raise Hangs("waits for room in a buffer that nobody reads") from None
        for worker in running:
            worker.stop.set()
        while running:
            collect(wait=True)
    finally:
        at_end()
        for worker in workers:
            worker.stop.set()
        for worker in workers:
            worker.thread.join()
    return values
