"""Processes that a stage forks itself: the common part of fresh children and warm workers.

A stage's process has one thread and holds no lock, so it is its own fork server: what it has
imported is shared, and a child is there in less than a millisecond.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
import traceback
from collections.abc import Callable, Collection
from typing import Protocol

from actorflow.runtime.local.descriptors import close_all, close_others
from actorflow.runtime.local.kernel import die_with_parent, find_title, rename, watch_process

__all__ = ["CANNOT_REPORT", "LOOK_AGAIN", "Loop", "Offspring", "Parenthood"]

CANNOT_REPORT = 70
"""The exit status of a child that cannot tell how it ended, as it has closed its descriptors."""

LOOK_AGAIN = 0.02
"""Seconds between two looks at a child where the system has no descriptor to wait on."""


class Loop(Protocol):
    """What children of a stage need from its loop."""

    def watch(self, descriptor: int, callback: Callable[[int], None], events: int = ...) -> None:
        """Have `callback` called with the events of a descriptor that is ready, until `unwatch`."""

    def unwatch(self, descriptor: int) -> None:
        """Watch a descriptor no more; to be called before it is closed."""

    def after(self, seconds: float, callback: Callable[[], None]) -> None:
        """Have `callback` called in so many seconds."""

    def post(self, callback: Callable[[], None]) -> None:
        """Have `callback` called soon; from any thread."""


class Offspring:
    """One forked process, as its parent sees it.

    Args:
        pid: its number.
        leads: whether it leads a process group of its own.
        loop: tells of its end.
        gone: is called, once, when it has ended, before it is reaped: its group is killed by then.
    """

    __slots__ = ("_gone", "_leads", "_loop", "_watch", "ended", "pid")

    def __init__(
        self, pid: int, leads: bool, loop: Loop, gone: Callable[[int | None, int | None], None]
    ) -> None:
        self.pid = pid
        self.ended = False
        self._leads = leads
        self._loop = loop
        self._gone = gone
        self._watch = watch_process(pid)
        if self._watch is not None:
            loop.watch(self._watch, self._ready)
        else:
            loop.after(LOOK_AGAIN, self._look)

    def signal(self, number: int) -> None:
        """Signal the process; SIGKILL goes to what it has forked as well."""
        if self.ended:
            return
        # Only this process reaps it, so the number is nobody else's.
        if number == signal.SIGKILL and self._leads:
            self._kill_group()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(self.pid, number)

    def _ready(self, events: int) -> None:
        self._look()

    def _look(self) -> None:
        if self.ended:
            return
        if self._leads and not self._dead():
            self._loop.after(LOOK_AGAIN, self._look)
            return
        if self._leads:
            # Before it is reaped: until then its number, which is its group's, cannot be reused.
            self._kill_group()
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if not pid:
            self._loop.after(LOOK_AGAIN, self._look)
            return
        self.ended = True
        if self._watch is not None:
            self._loop.unwatch(self._watch)
            close_all((self._watch,))
        code = os.waitstatus_to_exitcode(status)
        self._gone(code if code >= 0 else None, -code if code < 0 else None)

    def _dead(self) -> bool:
        if not hasattr(os, "waitid"):
            return True
        found = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        return found is not None

    def _kill_group(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)


class Parenthood:
    """Forks this stage's children.

    Args:
        name: the stage's, for the processes' titles.
        loop: tells of their ends.
    """

    def __init__(self, name: str, loop: Loop) -> None:
        self._name = name
        self._loop = loop
        self._title = find_title()

    def fork(
        self,
        what: str,
        keep: Collection[int],
        live: Callable[[], int],
        gone: Callable[[int | None, int | None], None],
    ) -> Offspring:
        """Fork a process that lives `live` and exits with what it returns.

        Args:
            what: it is, for its title.
            keep: the descriptors that it is to have beside standard input, output and error.
            live: runs in the process; what it raises is printed and is a bad exit.
            gone: is called in this process when that one has ended: exit status or None, and
                signal or None.

        Raises:
            OSError: there is no process to be had.
        """
        parent = os.getpid()
        for stream in (sys.stdout, sys.stderr):
            # What waits here to be printed would be printed by both.
            with contextlib.suppress(AttributeError, OSError, ValueError):
                stream.flush()
        pid = os.fork()
        if not pid:
            status = 1
            try:
                self._settle(parent, what, keep)
                status = live()
            except BaseException:  # noqa: BLE001  (a child must not return into its parent's loop)
                traceback.print_exc()
            finally:
                _leave(status)
        leads = False
        # The child does the same; whichever is first, the group exists before it is needed.
        if _CAN_DIE_WITH_PARENT:
            with contextlib.suppress(OSError):
                os.setpgid(pid, pid)
            leads = True
        return Offspring(pid, leads, self._loop, gone)

    def _settle(self, parent: int, what: str, keep: Collection[int]) -> None:
        """Nothing of the stage's is this process's: descriptors, signals, garbage, the name."""
        if die_with_parent():
            # A group of its own, so that what it forks can be killed with it; the zygote kills the
            # group of each orphan that it reaps. Where a parent's death is not signalled, it stays
            # in the stage's group, which the zygote kills with the stage.
            os.setpgid(0, 0)
        if os.getppid() != parent:
            os._exit(1)
        close_others(keep)
        for number in _RESET:
            if callable(signal.getsignal(number)):
                signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        # A collection here need not look at what the stage had made, and copy its pages.
        gc.freeze()
        numpy_random = sys.modules.get("numpy.random")
        if numpy_random is not None:
            numpy_random.seed()
        rename(f"{self._name} {what}", self._title)


_RESET = (
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGCHLD,
    signal.SIGALRM,
    signal.SIGUSR1,
    signal.SIGUSR2,
)
_CAN_DIE_WITH_PARENT = sys.platform == "linux"


def _leave(status: int) -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, OSError, ValueError):
            stream.flush()
    os._exit(status)
