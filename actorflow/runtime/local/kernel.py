"""What only Linux has, each a function that says whether it worked; elsewhere they do nothing.

Without them (macOS) a run still ends with its host, by the end of file on the zygote's socket. What
is lost: the parent-death signal, so that after a SIGKILL of the zygote itself the host's own kill
is what ends the stages; the adoption of a stage's orphans; and process titles.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterable

__all__ = [
    "DIE_WITH_PARENT",
    "KILL",
    "adopt_orphans",
    "control_process",
    "die_with_parent",
    "exit_at_once",
    "find_title",
    "out_of_memory_kills",
    "rehearse_kernel_calls",
    "release_file",
    "rename",
    "wait_for_turns",
    "wait_gone",
    "watch_process",
]

DIE_WITH_PARENT = 1
"""The number of what `die_with_parent` asks for, of which `KILL` is the argument."""
_PR_GET_DUMPABLE = 3
_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36


def no_such_call(*_arguments: object) -> int:
    """What `control_process` is where the system has nothing of the kind."""
    return -1


# Looked up and made once, in the zygote: every fork inherits it, and a stage's start does not pay
# for it. Each object that a call makes besides is some pages of memory that a fork has to copy.
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None
control_process: Callable[..., int] = no_such_call if _libc is None else _libc.prctl
"""`prctl`: 0 when it worked."""
exit_at_once: Callable[[int], object] = os._exit if _libc is None else _libc._exit
"""`os._exit`, of which the first call in a process looks a symbol up, on a dozen pages."""
# Plain integers travel without an object made for each; the kernel looks at no more of them.
KILL = int(signal.SIGKILL)
_fallocate = None if _libc is None else getattr(_libc, "fallocate64", None)
_KEEP_SIZE_PUNCH_HOLE = 1 | 2


def die_with_parent() -> bool:
    """Have the kernel kill this process when the *thread* that forked it ends.

    Only for what the zygote's only thread forks, where thread and process are one.
    """
    return control_process(DIE_WITH_PARENT, KILL) == 0


def rehearse_kernel_calls() -> None:
    """Call what a child will call, without effect; see `child.rehearse` for what it is good for."""
    control_process(_PR_GET_DUMPABLE, 0)


def adopt_orphans() -> bool:
    """Have the kernel give this process its descendants' orphans instead of giving them to init."""
    return control_process(_PR_SET_CHILD_SUBREAPER, 1) == 0


def wait_for_turns() -> bool:
    """Have this thread, and whatever it starts, wait for its turn when it is woken: `SCHED_BATCH`.

    Without it the kernel gives a woken process the processor of whoever woke it, if that has run
    for longer, though another processor may be free a moment later. In a chain of stages that is
    the one with most to do, of which the others are waiting for more. A policy that somebody else
    has chosen for the program is left alone.
    """
    if sys.platform != "linux" or os.sched_getscheduler(0) != os.SCHED_OTHER:
        return False
    try:
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    except OSError:
        return False  # a sandbox that forbids it: only slower
    return True


# --- process titles ------------------------------------------------------------------------------


def find_title() -> tuple[int, int]:
    """Where the kernel keeps this process's command line: address and length, or ``(0, 0)``."""
    if _libc is None:
        return 0, 0
    try:
        with open("/proc/self/stat", "rb") as stat:
            # The second field, a name in brackets, may hold spaces; arg_start and arg_end are
            # fields 48 and 49, counted from 1.
            fields = stat.read().rpartition(b")")[2].split()
        start, end = int(fields[45]), int(fields[46])
    except (OSError, ValueError, IndexError):
        return 0, 0
    return (start, end - start) if 0 < start < end else (0, 0)


def rename(name: str, title: tuple[int, int]) -> None:
    """Show `name` in `ps` and `top`; `title` is what `find_title` found, also before a fork."""
    if _libc is None:
        return
    data = name.encode()
    control_process(_PR_SET_NAME, ctypes.c_char_p(data[:15]))
    start, length = title
    if length:
        # In place: the memory of the arguments that the interpreter was started with. It ends with
        # a zero, or the kernel would take the environment behind it for a part of the title.
        text = (b"actorflow: " + data)[: length - 1]
        ctypes.memmove(start, text.ljust(length, b"\0"), length)


# --- other processes -----------------------------------------------------------------------------


def watch_process(pid: int) -> int | None:
    """A descriptor that becomes readable when the process ends; None when there is none to have.

    Raises:
        ProcessLookupError: there is no such process.
    """
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        raise
    except (AttributeError, OSError):
        # Another system, ENOSYS in a sandbox, EMFILE: the caller does without.
        return None


def wait_gone(pids: Iterable[int], seconds: float) -> set[int]:
    """Wait until these processes have ended, at most so long; returns those that have not.

    They need not be children: their own parent may reap them at any time.
    """
    deadline = time.monotonic() + seconds
    alive = set(pids)
    while alive:
        alive = {pid for pid in alive if not _gone_within(pid, deadline)}
        if time.monotonic() >= deadline:
            break
    return alive


def _gone_within(pid: int, deadline: float) -> bool:
    left = max(0.0, deadline - time.monotonic())
    try:
        watch = watch_process(pid)
        if watch is None:
            os.kill(pid, 0)
            # No descriptor to wait on: look again soon.
            time.sleep(min(left, 0.01))
            return False
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    try:
        poller = select.poll()
        poller.register(watch, select.POLLIN)
        return bool(poller.poll(left * 1000))
    finally:
        os.close(watch)


def release_file(descriptor: int, start: int, size: int) -> bool:
    """Give back the memory of a part of a file, which is zeros then; true if it was done."""
    if _fallocate is None:
        return False
    place = ctypes.c_int64(start), ctypes.c_int64(size)
    return bool(_fallocate(descriptor, _KEEP_SIZE_PUNCH_HOLE, *place) == 0)


def out_of_memory_kills() -> int | None:
    """How many processes the kernel has killed for want of memory, in this control group if known.

    None when this system does not count them.
    """
    for path, word in _memory_events():
        with contextlib.suppress(OSError, ValueError), open(path) as events:
            for line in events:
                name, _, value = line.partition(" ")
                if name == word:
                    return int(value)
    return None


def _memory_events() -> list[tuple[str, str]]:
    places = [("/proc/vmstat", "oom_kill")]
    with contextlib.suppress(OSError), open("/proc/self/cgroup") as groups:
        for line in groups:
            hierarchy, _, path = line.strip().split(":", 2)
            if hierarchy == "0":
                places.insert(0, (f"/sys/fs/cgroup{path}/memory.events", "oom_kill"))
    return places
