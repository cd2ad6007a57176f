"""The zygote: a fresh single-threaded interpreter that forks every stage of a run.

It is exec'ed by the host, imports what the stages need, and then does two things: it forks a
process when the host orders one, and it reports when a process has ended. Forking from here is
safe, because it has one thread and no lock is held, and cheap, because the imports are done and
shared; the host itself, which has threads, is never forked.

**Death is seen through SIGCHLD**, not through a pidfd per child. The zygote adopts its stages'
orphans, whose ids it does not know beforehand, so it has to be told about any child; one mechanism
then does for both, on every system, and costs a start nothing. The handler is empty: the
interpreter writes a byte to the wake-up socket, the selector sees it, and the loop looks at every
child that has ended.

**The end.** When the host's socket is at its end of file, or the host's process is gone, the
zygote kills everything that descends from it and exits. SIGINT, SIGTERM and SIGHUP do nothing to
it: a terminal or a service manager sends those to every process, and to end is the host's decision.
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import importlib
import mmap
import os
import select
import selectors
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING

import actorflow.runtime.local.blobs
import actorflow.runtime.local.space  # noqa: F401  (both for the stages: imported once for all)
from actorflow.runtime.local.child import (
    FAILED,
    REHEARSALS,
    Cradle,
    StageEntry,
    rehearse,
    run_child,
)
from actorflow.runtime.local.control import ControlSocket
from actorflow.runtime.local.descriptors import above_stdio, fill_stdio, open_descriptors
from actorflow.runtime.local.guard import Guard
from actorflow.runtime.local.kernel import adopt_orphans, find_title, rename, watch_process
from actorflow.runtime.local.orders import (
    Boot,
    Booted,
    Crashed,
    Fork,
    Forked,
    Gone,
    NotForked,
    Preload,
    Record,
    Signal,
    decode_record,
    encode_record,
)

if TYPE_CHECKING:
    import resource

__all__ = ["Zygote", "main"]

FAREWELL = 5.0
"""Seconds in which everything that descends from the zygote must have died of SIGKILL."""

LOOK_AGAIN = 0.02
"""Seconds between two looks at descendants that have been killed and are not gone yet."""

_RSS_UNIT = 1 if sys.platform == "darwin" else 1024
_HELD_BACK = (signal.SIGTERM, signal.SIGHUP)


def main(descriptor: int) -> None:
    """Be the zygote on this socket to the host; does not return.

    Args:
        descriptor: the zygote's end of the socket, inherited from the host.
    """
    # Before the imports already, which take a while.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, _HELD_BACK)
    fill_stdio()
    descriptor = above_stdio(descriptor)
    os.set_inheritable(descriptor, False)
    zygote = Zygote(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, descriptor))
    status = 0
    try:
        zygote.run()
    except BaseException:  # noqa: BLE001  (reported to the host, which reports it)
        status = 1
        zygote.crash(traceback.format_exc())
    finally:
        # In this order also after an error: the host learns why before it sees the end of file.
        try:
            zygote.end()
        finally:
            os._exit(status)


class Zygote:
    """Takes the host's orders, forks, reaps and reports.

    Args:
        sock: the socket to the host; taken over.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._host = ControlSocket(sock)
        self._cradle: Cradle | None = None
        self._keys: dict[int, int] = {}
        self._pids: dict[int, int] = {}
        self._adopting = False
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._host, selectors.EVENT_READ)
        self._wake_read, self._wake_write = socket.socketpair()
        self._wake_read.setblocking(False)
        self._wake_write.setblocking(False)
        self._selector.register(self._wake_read, selectors.EVENT_READ)

    def run(self) -> None:
        """Serve until the host is gone."""
        interest = selectors.EVENT_READ
        while True:
            for key, events in self._selector.select():
                if key.fileobj is self._wake_read:
                    self._drain_wake()
                    self._reap()
                elif key.fileobj is not self._host:
                    return  # The host's process itself has ended, whoever holds its socket open.
                elif events & selectors.EVENT_READ:
                    for frame in self._host.receive():
                        self._obey(frame)
                    if self._host.at_end:
                        return
            self._host.flush()
            wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE * self._host.wants_write)
            if wanted != interest:
                self._selector.modify(self._host, wanted)
                interest = wanted

    def crash(self, detail: str) -> None:
        """Tell the host that an error of this process's own ends it."""
        self._report(Crashed(detail))
        self._host.flush_within(1.0)

    def end(self) -> None:
        """Kill everything that descends from this process, and wait until it is gone."""
        # Where orphans go to init instead of here, they must be found before their parents die.
        descendants = _descendants() if self._keys and not self._adopting else []
        for pid in self._keys:
            _kill(pid)
            _kill_group(pid)
        for pid in descendants:
            _kill(pid)
        poller = select.poll()
        poller.register(self._wake_read, select.POLLIN)
        deadline = time.monotonic() + FAREWELL
        while _reap_all() and time.monotonic() < deadline:
            # What is left has either not died yet, or has left its stage's process group; when
            # nothing is left to reap, no descendant exists, as orphans become children of this one.
            if time.monotonic() > deadline - FAREWELL + LOOK_AGAIN:
                for pid in _descendants():
                    _kill(pid)
            poller.poll(LOOK_AGAIN * 1000)
            self._drain_wake()

    # --- orders ----------------------------------------------------------------------------------

    def _obey(self, frame: bytes) -> None:
        order = decode_record(frame)
        if isinstance(order, Fork):
            self._fork(order)
        elif isinstance(order, Signal):
            self._signal(order)
        elif isinstance(order, Boot):
            self._boot(order)
        elif isinstance(order, Preload):
            importlib.import_module(order.module)
            gc.freeze()

    def _boot(self, boot: Boot) -> None:
        if boot.stdout_to_stderr:
            os.dup2(2, 1)
        sys.argv[:] = boot.arguments
        memory = mmap.mmap(boot.scoreboard, 0)
        os.close(boot.scoreboard)
        title = find_title()
        warnings: list[str] = []
        own = open_descriptors()
        with Guard(self._host.fileno()):
            entry = _resolve(boot.entry)
            for name in boot.preload:
                try:
                    importlib.import_module(name)
                except (Exception, SystemExit) as error:  # noqa: BLE001
                    # A stage that needs it will fail by itself, with the whole traceback.
                    warnings.append(f"{name} cannot be preloaded: {type(error).__name__}: {error}")
        # None was made where nobody has imported the module that makes them.
        threading = sys.modules.get("threading")
        if threading is not None and threading.active_count() > 1:
            names = ", ".join(thread.name for thread in threading.enumerate()[1:])
            warnings.append(f"preloading started threads, which no stage will have: {names}")
        # Everything that is printed while importing must leave now, or each fork prints it again.
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(AttributeError, OSError, ValueError):
                stream.flush()
                # A stage's print is seen when it happens, and is not lost when it is killed.
                stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
        keep = frozenset(open_descriptors() - own)
        self._cradle = Cradle(os.getpid(), entry, memory, keep, title)
        self._install_signals()
        # SIGSEGV and its like print the stacks; inherited by every fork.
        with contextlib.suppress(AttributeError, OSError, ValueError, RuntimeError):
            faulthandler.enable()
        self._adopting = adopt_orphans()
        rename("zygote", title)
        try:
            watch = watch_process(boot.host)
        except ProcessLookupError:
            # Gone already; its socket says so too, and is looked at next.
            watch = None
        if watch is not None:
            self._selector.register(watch, selectors.EVENT_READ)
        rehearse(REHEARSALS)
        # Nothing of what is imported now is garbage, and a collection in a stage that looked at it
        # would copy its pages.
        gc.freeze()
        self._report(Booted(tuple(warnings)))

    def _install_signals(self) -> None:
        """After the imports, which may have installed handlers of their own."""
        for number in signal.valid_signals():
            if callable(signal.getsignal(number)):
                signal.signal(number, signal.SIG_DFL)
        for number in (signal.SIGINT, signal.SIGPIPE):
            signal.signal(number, signal.SIG_IGN)
        for number in _HELD_BACK:
            signal.signal(number, signal.SIG_DFL)
        signal.set_wakeup_fd(self._wake_write.fileno(), warn_on_full_buffer=False)
        # SIGCHLD may be ignored or blocked when the host had it so: both survive an exec.
        signal.signal(signal.SIGCHLD, _do_nothing)
        # Not ignored but blocked: a child has their default action by lifting the mask, and loses
        # none that comes before it does so.
        signal.pthread_sigmask(signal.SIG_SETMASK, _HELD_BACK)

    def _fork(self, order: Fork) -> None:
        assert self._cradle is not None
        try:
            (descriptor,) = self._host.take_descriptors(1)
        except OSError as error:
            self._report(NotForked(order.key, f"the zygote did not get its control link: {error}"))
            return
        try:
            pid = os.fork()
        except OSError as error:
            self._report(NotForked(order.key, f"no process could be forked: {error}"))
        else:
            if not pid:
                status = FAILED
                try:
                    status = run_child(self._cradle, descriptor)
                finally:
                    # Whatever happens, a child must not return into the zygote's loop.
                    os._exit(status)
            # The child does the same: whichever runs first, the group exists before it is needed.
            # EACCES and ESRCH mean that the child is further already.
            with contextlib.suppress(OSError):
                os.setpgid(pid, pid)
            self._keys[pid] = order.key
            self._pids[order.key] = pid
            self._report(Forked(order.key, pid))
        finally:
            # The child has its own copy; one kept here would hide its end of file from the host.
            os.close(descriptor)

    def _signal(self, order: Signal) -> None:
        # Only this process reaps, so an id that is still in the table cannot be anybody else's.
        pid = self._pids.get(order.key)
        if pid is None:
            return
        if order.group:
            _kill_group(pid)
        os.kill(pid, order.number)

    # --- deaths ----------------------------------------------------------------------------------

    def _drain_wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._wake_read.recv(4096):
                pass

    def _reap(self) -> None:
        """See to every child that has ended: SIGCHLD says that there is one, not how many."""
        while (death := _next_death(self._end_group)) is not None:
            pid, wait_status, usage = death
            key = self._keys.pop(pid, None)
            if key is None:
                continue  # An adopted orphan.
            del self._pids[key]
            code = os.waitstatus_to_exitcode(wait_status)
            self._report(
                Gone(
                    key,
                    status=code if code >= 0 else None,
                    signal=-code if code < 0 else None,
                    max_rss=usage.ru_maxrss * _RSS_UNIT,
                )
            )

    def _end_group(self, pid: int) -> None:
        """Kill what a stage, or an orphan of one, forked and left behind.

        With a stage's group go the copies of its links, whose end of file its neighbours wait for.
        An orphan that led a group was a child of a `ConsumerSupervisor` that died.
        """
        _kill_group(pid)

    def _report(self, record: Record) -> None:
        self._host.send(encode_record(record))


def _resolve(entry: str) -> StageEntry:
    module, _, name = entry.partition(":")
    function: StageEntry = getattr(importlib.import_module(module), name)
    return function


def _do_nothing(number: int, frame: object) -> None:
    """SIGCHLD's handler: only there so that the interpreter writes its byte."""


def _next_death(
    before_reaping: Callable[[int], None],
) -> tuple[int, int, resource.struct_rusage] | None:
    """Reap one child that has ended: its id, wait status and usage; None when there is none.

    Until it is reaped, its id, which is also its group's, cannot become anybody else's; so what
    needs the id is done before. Where the system has no `waitid` (macOS, Python 3.11) it is done a
    moment after.
    """
    try:
        if hasattr(os, "waitid"):
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if ended is None:
                return None
            before_reaping(ended.si_pid)
            return os.wait4(ended.si_pid, 0)
        death = os.wait4(-1, os.WNOHANG)
    except ChildProcessError:
        return None
    if not death[0]:
        return None
    before_reaping(death[0])
    return death


def _reap_all() -> bool:
    """Reap every child that has ended; whether any are left that have not."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def _descendants() -> list[int]:
    # Imported here: it is needed at the end, if at all, and the start is what is measured.
    import psutil

    try:
        return [process.pid for process in psutil.Process().children(recursive=True)]
    except psutil.Error:
        return []


def _kill(pid: int) -> None:
    # Gone in the meantime, or, for a descendant that changed its user, not ours to kill.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)


def _kill_group(pid: int) -> None:
    # EPERM is how macOS says that only a zombie is left in the group.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
