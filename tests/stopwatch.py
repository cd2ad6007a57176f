"""Time as this process was served by its machine: what a test may hold against the code.

A shared machine stands still for some hundred milliseconds now and then, and whatever runs on it
is late by that much. A limit in wall-clock time then says nothing about the code. So a witness, a
thread that has nothing to do but to look at the clock, says when the machine served nobody.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

__all__ = ["LOOK", "Stopwatch", "looks", "waited_for_a_processor", "within"]

PAUSE = 0.002
"""Seconds between two looks of the witness."""

SERVED = 0.01
"""Seconds between two looks that need no explanation: a pause, and a thread that had its turn."""

LOOK = 0.1
"""Seconds that one look of a test at something may take, besides its pause."""


@dataclass(frozen=True, slots=True)
class _Look:
    """What the witness saw last: seconds served so far and not, the clock, this process's work."""

    served: float
    lost: float
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
        self._look = _Look(0.0, 0.0, time.monotonic(), time.process_time())
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

    @property
    def stood_still(self) -> float:
        """How many seconds it has not counted."""
        return self._now().lost

    def look(self) -> None:
        """What the witness does: count what has passed since its last look."""
        self._look = self._now()

    def _now(self) -> _Look:
        last, clock, work = self._look, time.monotonic(), time.process_time()
        passed = clock - last.clock
        served = min(passed, SERVED + work - last.work)
        return _Look(last.served + served, last.lost + passed - served, clock, work)

    def _watch(self) -> None:
        while not self._ended.wait(PAUSE):
            self.look()


@contextlib.contextmanager
def within(seconds: float) -> Iterator[None]:
    """Assert that a block takes less than so many seconds in which the machine serves this process.

    Example:
        >>> with within(0.001):
        ...     time.sleep(0.01)
        Traceback (most recent call last):
        ...
        AssertionError: it took longer than 0.001 s, though the machine was there: 0.01... s
    """
    with Stopwatch() as watch:
        yield
        took = watch.seconds
    assert took < seconds, (
        f"it took longer than {seconds:g} s, though the machine was there: {took:.3f} s"
    )


def looks(seconds: float, longest: float = 0.01) -> Iterator[None]:
    """Let a loop look again and again, with pauses, until that has taken so many seconds.

    A look that the machine interrupts counts as `LOOK` at most. There are two looks at least.

    Args:
        seconds: how long.
        longest: seconds of the longest pause; the first is half a millisecond.

    Example:
        >>> sum(1 for look in looks(0.0))
        2
    """
    pause, spent, last = 0.0005, 0.0, time.monotonic()
    yield
    while spent <= seconds:
        time.sleep(pause)
        now = time.monotonic()
        spent, last = spent + min(now - last, pause + LOOK), now
        pause = min(2 * pause, longest)
        yield


def waited_for_a_processor() -> float:
    """Seconds for which this thread was ready to run, and others ran; 0 where nobody says."""
    with contextlib.suppress(OSError):
        return int(Path("/proc/thread-self/schedstat").read_text().split()[1]) * 1e-9
    return 0.0
