"""Processes that a stage forks itself: warm workers, and the fork server of its fresh children.

A stage's process has one thread and holds no lock, so it may fork at any moment: what it has
imported is shared, and a process is there in less than a millisecond.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Protocol

from actorflow.runtime.local.descriptors import FIRST_FREE
from actorflow.runtime.local.kernel import (
    die_with_parent,
    find_title,
    rehearse_kernel_calls,
    rename,
    watch_process,
)
from actorflow.runtime.local.pipes import Watcher

__all__ = [
    "CANNOT_REPORT",
    "CAN_DIE_WITH_PARENT",
    "DESCRIPTORS",
    "LOOK_AGAIN",
    "REHEARSALS",
    "Loop",
    "Offspring",
    "Parenthood",
    "flush_stdio",
    "kill_group",
    "seed_anew",
    "separate",
]

CANNOT_REPORT = 70
"""The exit status of a child that cannot tell how it ended, as it has closed its descriptors."""

REHEARSALS = 20
"""How often a stage does what its children will do, so that their first time writes to fewer of
the pages that they share with it; measured: 200 µs less per child."""

LOOK_AGAIN = 0.02
"""Seconds between two looks at a child where the system has no descriptor to wait on."""


DESCRIPTORS = os.sysconf("SC_OPEN_MAX")
"""No descriptor of a process is as high as this."""


class Loop(Watcher, Protocol):
    """What children of a stage need from its loop."""

    def after(self, seconds: float, callback: Callable[[], None]) -> None:
        """Have `callback` called in so many seconds."""

    def post(self, callback: Callable[[], None]) -> None:
        """Have `callback` called soon; from any thread."""

    def sleep_at_once(self) -> None:
        """Look no more for messages that may come soon: others are to have the processor."""


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
            kill_group(self.pid)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(self.pid, number)

    def _ready(self, events: int) -> None:
        """Its descriptor says that it has ended: only the reaping is left, which does not wait."""
        if not self.ended:
            if self._leads:
                # Before it is reaped: till then its number, which is its group's, is not reused.
                kill_group(self.pid)
            self._reap(0)

    def _look(self) -> None:
        """Where no descriptor tells: look whether it has ended, now and then."""
        if not self.ended and not self._reap(os.WNOHANG):
            self._loop.after(LOOK_AGAIN, self._look)

    def _reap(self, options: int) -> bool:
        try:
            pid, wait_status = os.waitpid(self.pid, options)
        except ChildProcessError:
            # Code of the stage's own has waited for any child, and knows how this one ended.
            pid, wait_status = self.pid, CANNOT_REPORT << 8
        if not pid:
            return False
        self.ended = True
        if self._watch is not None:
            self._loop.unwatch(self._watch)
            os.close(self._watch)
        code = os.waitstatus_to_exitcode(wait_status)
        self._gone(code if code >= 0 else None, -code if code < 0 else None)
        return True


def kill_group(leader: int) -> None:
    """Kill a process that leads a group, with all that it has forked; it is not reaped yet."""
    try:
        os.killpg(leader, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return  # it died before it had a group


class Parenthood:
    """Forks this stage's children.

    What costs a child is the memory that it and its parent write to after the fork, page by page:
    half of the time of a child that does nothing. So what runs there is short and plain.

    Args:
        name: the stage's, for the processes' titles.
        loop: tells of their ends.
    """

    def __init__(self, name: str, loop: Loop) -> None:
        self._name = name
        self._loop = loop
        self._title = find_title()
        # Looked at once: in a child, and after each fork, every step costs a page or two.
        self._handled = [each for each in _RESET if callable(signal.getsignal(each))]
        self._blocked = bool(signal.pthread_sigmask(signal.SIG_BLOCK, ()))
        for _ in range(REHEARSALS):
            rehearse_kernel_calls()

    def fork(
        self,
        what: str,
        keep: Sequence[int],
        live: Callable[[], int],
        gone: Callable[[int | None, int | None], None],
    ) -> Offspring:
        """Fork a process that lives `live` and exits with what it returns.

        Args:
            what: it is, for its title; nothing for one that does not live long enough to be read.
            keep: the descriptors that it is to have beside standard input, output and error, in
                ascending order.
            live: runs in the process; what it raises is printed and is a bad exit.
            gone: is called in this process when that one has ended: exit status or None, and
                signal or None.

        Raises:
            OSError: there is no process to be had.
        """
        parent = os.getpid()
        flush_stdio()
        pid = os.fork()
        if not pid:
            status = 1
            try:
                self._settle(parent, keep)
                if what:
                    rename(f"{self._name} {what}", self._title)
                status = live()
            except BaseException:  # noqa: BLE001  (a child must not return into its parent's loop)
                traceback.print_exc()
            finally:
                try:
                    flush_stdio()
                finally:
                    os._exit(status)
        return Offspring(pid, CAN_DIE_WITH_PARENT, self._loop, gone)

    def _settle(self, parent: int, keep: Sequence[int]) -> None:
        """Nothing of the stage's is this process's: group, descriptors, signals, garbage."""
        separate(parent, keep)
        for signal_ in self._handled:
            signal.signal(signal_, signal.SIG_DFL)
        if self._blocked:
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
        # A collection here need not look at what the stage had made, and copy its pages.
        gc.freeze()
        seed_anew()


def separate(parent: int, keep: Sequence[int]) -> None:
    """Leave the family: a new process keeps neither its parent's group nor its descriptors.

    Args:
        parent: the process that forked this one.
        keep: the descriptors to keep, in ascending order.
    """
    if die_with_parent():
        # A group of its own, so that what it forks can be killed with it; the zygote kills the
        # group of each orphan that it reaps. Where a parent's death is not signalled, it stays
        # in the stage's group, which the zygote kills with the stage.
        os.setpgid(0, 0)
    if os.getppid() != parent:
        os._exit(1)
    first = FIRST_FREE
    for number in keep:
        os.closerange(first, number)
        first = number + 1
    os.closerange(first, DESCRIPTORS)


def seed_anew() -> None:
    """The random module seeds itself anew after a fork; numpy's global generator does not."""
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()


def flush_stdio() -> None:
    """What waits to be printed: before a fork, or both would print it, and before `os._exit`."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):
            continue  # none, closed, or without a reader: nobody is left to tell


_RESET = (
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGCHLD,
    signal.SIGALRM,
    signal.SIGUSR1,
    signal.SIGUSR2,
)
CAN_DIE_WITH_PARENT = sys.platform == "linux"
"""Whether the kernel kills a child when its parent dies."""
