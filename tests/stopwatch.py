"""Time as this process was served by its machine: what a test may hold against the code.

A shared machine stands still for some hundred milliseconds now and then, and whatever runs on it
is late by that much. A limit in wall-clock time then says nothing about the code. So a witness, a
thread that has nothing to do but to look at the clock, says when the machine served nobody.
"""

from __future__ import annotations

import contextlib
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

__all__ = ["Stopwatch", "waited_for_a_processor"]

PAUSE = 0.002
"""Seconds between two looks of the witness."""

SERVED = 0.01
"""Seconds between two looks that need no explanation: a pause, and a thread that had its turn."""


class _Look(NamedTuple):
    """What the witness saw last: seconds served so far, the clock, and this process's work."""

    served: float
    clock: float
    work: float


class Stopwatch:
    """Counts the seconds in which the machine serves this process.

    A stand-still counts as `SERVED` at most. What blocks some other thread does not stop the
    witness, so it counts in full; and so does what keeps the interpreter to itself, by the
    processor time that it uses.

    Example:
        >>> with Stopwatch() as watch:
        ...     before = watch.seconds
        ...     time.sleep(0.02)
        ...     passed = watch.seconds - before
        >>> passed > 0
        True
    """

    def __init__(self) -> None:
        self._look = _Look(0.0, time.monotonic(), time.process_time())
        self._ended = threading.Event()
        self._witness = threading.Thread(target=self._watch, name="witness", daemon=True)

    def __enter__(self) -> Stopwatch:
        self._witness.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._witness.join()

    @property
    def seconds(self) -> float:
        """How many seconds it has counted."""
        return self._now().served

    def _now(self) -> _Look:
        last, clock, work = self._look, time.monotonic(), time.process_time()
        served = min(clock - last.clock, SERVED + work - last.work)
        return _Look(last.served + max(0.0, served), clock, work)

    def _watch(self) -> None:
        while not self._ended.wait(PAUSE):
            self._look = self._now()


def waited_for_a_processor() -> float:
    """Seconds for which this thread was ready to run, and others ran; 0 where nobody says."""
    with contextlib.suppress(OSError):
        return int(Path("/proc/thread-self/schedstat").read_text().split()[1]) * 1e-9
    return 0.0
