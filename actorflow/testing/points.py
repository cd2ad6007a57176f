"""Points in a stage's code that a test controls: gates, fault points, time that is spent.

They work in a simulated run and in real processes alike, so that one stage serves both.
"""

from __future__ import annotations

import fcntl
import os
import select
import shutil
import tempfile
import time
from contextlib import suppress
from dataclasses import field
from types import TracebackType
from typing import Any, Self

from actorflow.errors import CallTimeout, Closed
from actorflow.protocol.arguments import check_seconds, check_text
from actorflow.records import dataclass
from actorflow.runtime.simulated.process import SimulatedProcess, current_process

__all__ = ["Gate", "fault_point", "spend"]


@dataclass(slots=True)
class _Simulated:
    """What simulated processes, which live in the test's own process, do at a gate."""

    arrived: int = 0
    is_open: bool = False
    waiting: list[SimulatedProcess] = field(default_factory=list)


_simulated: dict[str, _Simulated] = {}
"""By the gate's folder, from its making until it is closed."""


class Gate:
    """Holds stages at a point in their own code until the test lets them through.

    Give it to a stage as an argument, and call `wait` in a callback. In the test, `wait_for` tells
    that so many have come, and `open` lets these and all later ones through. A real process waits
    in the kernel for a lock that the test holds, so it goes on when the test dies; a simulated one
    waits in virtual time.

    Example:
        >>> with Gate() as gate:
        ...     gate.open()
        ...     gate.wait()
        ...     gate.wait_for(1)
    """

    def __init__(self) -> None:
        self._folder = tempfile.mkdtemp(prefix="actorflow-gate-")
        self._lock = os.open(self._path("lock"), os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        os.mkfifo(self._path("arrivals"), 0o600)
        # Open in both directions, so that it is never at its end while nobody writes.
        self._arrivals = os.open(self._path("arrivals"), os.O_RDWR | os.O_NONBLOCK)
        self._arrived = 0
        self._owner = True
        _simulated[self._folder] = _Simulated()

    def __reduce__(self) -> tuple[Any, ...]:
        return _joined, (self._folder,)

    # --- in a stage -------------------------------------------------------------------------------

    def wait(self) -> None:
        """Come to the gate, and wait until it is open."""
        process = current_process()
        if process is not None:
            here = _simulated[self._folder]
            here.arrived += 1
            if not here.is_open:
                process.park(os.path.basename(self._folder))
                here.waiting.append(process)
            return
        arrivals = os.open(self._path("arrivals"), os.O_WRONLY)
        try:
            os.write(arrivals, b"\0")
        finally:
            os.close(arrivals)
        lock = os.open(self._path("lock"), os.O_RDONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_SH)
        finally:
            os.close(lock)

    # --- in the test ------------------------------------------------------------------------------

    def open(self) -> None:
        """Let everybody through, now and from now on."""
        self._check_owned()
        fcntl.flock(self._lock, fcntl.LOCK_UN)
        here = _simulated[self._folder]
        here.is_open = True
        waiting, here.waiting = here.waiting, []
        for process in waiting:
            process.unpark()

    @property
    def arrived(self) -> int:
        """How often the gate has been come to, so far."""
        self._check_owned()
        with suppress(BlockingIOError):  # nobody has come since the last look
            self._arrived += len(os.read(self._arrivals, 1 << 16))
        return self._arrived + _simulated[self._folder].arrived

    def wait_for(self, count: int, timeout: float = 10.0) -> None:
        """Wait until the gate has been come to `count` times, by real processes.

        A simulated run is waited for with ``simulation.run_until(lambda: gate.arrived == count)``.

        Raises:
            CallTimeout: it was not, within so many seconds.
        """
        deadline = time.monotonic() + timeout
        while self.arrived < count:
            left = deadline - time.monotonic()
            if left <= 0:
                raise CallTimeout(f"{self.arrived} of {count} came to the gate in {timeout:g} s")
            select.select([self._arrivals], [], [], left)

    def close(self) -> None:
        """Open it and remove what it is made of. May be repeated."""
        if self._owner:
            self.open()
            self._owner = False
            del _simulated[self._folder]
            os.close(self._lock)
            os.close(self._arrivals)
            shutil.rmtree(self._folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _path(self, name: str) -> str:
        return os.path.join(self._folder, name)

    def _check_owned(self) -> None:
        if not self._owner:
            raise Closed("the gate is closed, or belongs to the test that made it")


def _joined(folder: str) -> Gate:
    """A gate as a stage has it: it can wait there, and no more."""
    gate = Gate.__new__(Gate)
    gate._folder = folder
    gate._owner = False
    return gate


def fault_point(name: str) -> None:
    """A place in a stage's code at which a simulated run may kill it; elsewhere it does nothing.

    Args:
        name: what ``Faults(points={name: 2})`` calls it: there, its second pass is the last.

    Example:
        >>> fault_point("half written")
    """
    check_text("name", name)
    process = current_process()
    if process is not None:
        process.pass_point(name)


def spend(seconds: float) -> None:
    """Take time: virtual time in a simulated run, a real sleep elsewhere.

    Args:
        seconds: how long, from 0.

    Example:
        >>> spend(0)
    """
    check_seconds("seconds", seconds)
    process = current_process()
    if process is None:
        time.sleep(seconds)
    else:
        process.spend(seconds)
