"""The host's side of forking: processes are ordered from the zygote, and one is kept in reserve.

**The spare.** A fork takes about a millisecond, most of it spent on copying what the new process
touches. So one process is ordered ahead of time; it settles in and waits for the first frame on its
control link, which says which stage to become. The fork is then not on the path of a start or a
restart. When several are wanted at once, the others are ordered as they are wanted. The next spare
is ordered when the last started stage has said its first word, so as not to compete with its start.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import selectors
import signal
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from actorflow.protocol.identity import Incarnation
from actorflow.records import dataclass
from actorflow.runtime.local.control import ControlSocket, control_pair
from actorflow.runtime.local.kernel import wait_gone
from actorflow.runtime.local.launcher import ZygoteProcess
from actorflow.runtime.local.orders import (
    Booted,
    Crashed,
    Fork,
    Forked,
    Gone,
    NotForked,
    Preload,
    Record,
    Signal,
)
from actorflow.runtime.local.reactor import Reactor

if TYPE_CHECKING:
    from actorflow.runtime.local.hosted import HostedStage

__all__ = ["Nursery", "Process"]

_log = logging.getLogger(__name__)

DISMISSAL = 6.0
"""Seconds the zygote may take to end everything; it gives itself one less."""

AFTERMATH = 2.0
"""Seconds until processes that were sent SIGKILL count as stuck in the kernel."""


@dataclass(slots=True, eq=False)
class Process:
    """A process, from its order until its end has been reported.

    Args:
        key: its name between host and zygote.
        control: the host's end of its control link.
        child: which stage it was told to become; None while it is the spare.
        pid: its process id, 0 until it has been forked.
        detail: why it could not be made, or why it is being killed.
        killed: whether SIGKILL was ordered.
        hosted: the thread that it is, for a stage in the program: then there is no process, and
            `pid` is the program's.
    """

    key: int
    control: ControlSocket
    child: Incarnation | None = None
    pid: int = 0
    detail: str = ""
    killed: bool = False
    hosted: HostedStage | None = None


class Nursery:
    """Orders processes, signals them, and sees them end. Everything on the reactor's thread.

    Args:
        reactor: calls back when the zygote has reported something.
        zygote: forks, signals and reaps.
        forked: told that a process which has a stage exists.
        ended: told that a process which has a stage is gone, or could not be made.
        broken: told why the zygote is no more; everything has been killed.
    """

    def __init__(
        self,
        reactor: Reactor,
        zygote: ZygoteProcess,
        *,
        forked: Callable[[Process], None],
        ended: Callable[[Process, Gone], None],
        broken: Callable[[str], None],
    ) -> None:
        self._reactor = reactor
        self._zygote = zygote
        self._forked = forked
        self._ended = ended
        self._broken = broken
        self._keys = itertools.count(1)
        self._processes: dict[int, Process] = {}
        self._spare: Process | None = None
        self._spare_wanted = True
        self._crash = ""
        self._closed = False
        self.booted = False
        """Whether the zygote has imported everything and forks."""

    def start(self, boot_within: float) -> None:
        """Begin to listen to the zygote; it must come up in so many seconds."""
        self._reactor.watch(self._zygote.socket, self._zygote_ready)
        self._mind_writes()
        self._reactor.call_at(time.monotonic() + boot_within, lambda: self._overdue(boot_within))

    # --- orders ----------------------------------------------------------------------------------

    def preload(self, module: str) -> None:
        """Have the processes that are ordered from now on share an imported module."""
        if not self._closed:
            self._zygote.order(Preload(module))
            self._mind_writes()

    def take(self) -> Process:
        """A process to become a stage: the spare, or one that is ordered now.

        Raises:
            OSError: there is no descriptor left for its control link.
        """
        process, self._spare = self._spare or self._order(), None
        self._spare_wanted = True
        return process

    def reserve(self) -> None:
        """Order the next spare, if one was taken since; now is a good moment."""
        if self._spare_wanted and not self._closed:
            # Once for each start, not whenever there is none: one that cannot be forked, or that is
            # killed, would be ordered again and again.
            self._spare_wanted = False
            with contextlib.suppress(OSError):
                # Without a descriptor there is no spare; the next start will say why.
                self._spare = self._spare or self._order()

    def signal(self, process: Process, number: int, *, group: bool) -> None:
        """Have the zygote signal a process, as only it knows that it is not yet reaped."""
        if not self._closed:
            process.killed = process.killed or number == signal.SIGKILL
            self._zygote.order(Signal(process.key, number, group))
            self._mind_writes()

    def _order(self) -> Process:
        control, theirs = control_pair()
        process = Process(next(self._keys), control)
        self._processes[process.key] = process
        self._zygote.order(Fork(process.key), [theirs])
        self._mind_writes()
        return process

    def _mind_writes(self) -> None:
        self._reactor.watch_writes(self._zygote.socket, self._zygote.socket.wants_write)

    # --- reports ---------------------------------------------------------------------------------

    def _zygote_ready(self, events: int) -> None:
        if events & selectors.EVENT_WRITE:
            self._zygote.socket.flush()
            self._mind_writes()
        if events & selectors.EVENT_READ:
            for report in self._zygote.reports():
                self._take_report(report)
            if self._zygote.socket.at_end:
                # Not watched any more before it is closed: its number may be reused at once.
                self._reactor.forget(self._zygote.socket)
                self._zygote.dismiss(AFTERMATH)
                why = self._crash or self._zygote.how_it_ended()
                self._give_up(f"the process that forks the stages ({self._zygote.pid}) died: {why}")

    def _take_report(self, report: Record) -> None:
        if isinstance(report, Booted):
            self.booted = True
            for warning in report.warnings:
                _log.warning("%s", warning)
            self.reserve()
        elif isinstance(report, Crashed):
            self._crash = report.detail
        elif isinstance(report, Forked):
            process = self._processes.get(report.key)
            if process is not None:
                process.pid = report.pid
                if process.child is not None:
                    self._forked(process)
        elif isinstance(report, NotForked):
            process = self._processes.get(report.key)
            if process is not None:
                process.detail = report.detail
                self._bury(process, Gone(report.key, None, None, 0))
        elif isinstance(report, Gone):
            process = self._processes.get(report.key)
            if process is not None:
                self._bury(process, report)

    def _bury(self, process: Process, gone: Gone) -> None:
        del self._processes[process.key]
        if process is self._spare:
            self._spare = None
        if process.child is None:
            process.control.close()
        else:
            self._ended(process, gone)

    def _overdue(self, boot_within: float) -> None:
        if not self.booted:
            self._give_up(f"the stages' modules were not imported within {boot_within:g} s")

    # --- the end ---------------------------------------------------------------------------------

    def close(self) -> None:
        """End every process within a bounded time. May be repeated; nobody is told."""
        if self._closed:
            return
        self._closed = True
        self._reactor.forget(self._zygote.socket)
        if not self._zygote.dismiss(DISMISSAL):
            self._kill_everything()
        if self._spare is not None:
            self._spare.control.close()

    def fail(self) -> None:
        """End every process without the zygote's help, and tell of each that had a stage."""
        if self._closed:
            return
        self._closed = True
        self._reactor.forget(self._zygote.socket)
        self._kill_everything()
        for process in list(self._processes.values()):
            process.killed = True
            self._bury(process, Gone(process.key, None, signal.SIGKILL, 0))

    def abandon(self) -> None:
        """Kill the zygote and, through the parent-death signal, the stages; from any thread."""
        pids = [process.pid for process in list(self._processes.values()) if process.pid]
        self._zygote.kill(AFTERMATH)
        _kill_groups(pids)
        wait_gone(pids, AFTERMATH)

    def _give_up(self, detail: str) -> None:
        if not self._closed:
            self._broken(detail)

    def _kill_everything(self) -> None:
        # Each has the parent-death signal, but what it forked has not, nor has every system it.
        pids = [process.pid for process in self._processes.values() if process.pid]
        self._zygote.socket.close()
        self._zygote.kill(AFTERMATH)
        _kill_groups(pids)
        stuck = wait_gone(pids, AFTERMATH)
        if stuck:
            _log.error("processes %s were sent SIGKILL and do not end", sorted(stuck))


def _kill_groups(pids: Iterable[int]) -> None:
    for pid in pids:
        # Gone already is the usual case. Only init, to which they belong now, can have reaped them,
        # a moment ago; an id is not given to another process so soon.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
