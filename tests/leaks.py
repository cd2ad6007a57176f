"""What a test may leave behind: nothing.

A `Census` counts this process's children, descriptors, threads and shared memory. `left_behind`
looks again after the test and names what is new. Processes die asynchronously, so what is new gets
a moment in which to go.
"""

from __future__ import annotations

import contextlib
import gc
import itertools
import os
import stat
import threading
from dataclasses import dataclass
from pathlib import Path

import psutil

from actorflow.runtime.local.descriptors import _private
from tests.stopwatch import looks

GRACE = 2.0
"""Seconds until what is new counts as left behind, without those in which the machine stands still.
"""

MARK = "ACTORFLOW_TEST"
"""The environment variable by which the orphans of a test are known, wherever they ended up."""

SHARED_MEMORY = Path("/dev/shm")

_DESCRIPTORS = next((path for path in ("/proc/self/fd", "/dev/fd") if os.path.isdir(path)), None)
_WAITABLE = os.WEXITED | os.WNOHANG | os.WNOWAIT if hasattr(os, "waitid") else 0
_serial = itertools.count()

# What the tools may have open and running at any moment: databases of hypothesis and pytest, the
# timer that pytest-timeout's thread method makes, and execnet, which links pytest-xdist's workers.
_TOOL_PATHS = ("/.hypothesis/", "/.pytest_cache/")
_TOOL_THREADS = ("pytest_timeout", "execnet")


@dataclass(frozen=True)
class Census:
    """What this process has, at one moment.

    Args:
        children: its children and theirs; zombies count.
        descriptors: each open descriptor with what it leads to.
        threads: its threads.
        shared: the names in shared memory, of all processes of the machine.
        private: the numbers that actorflow closes in every process that this one forks.
        mark: the environment's mark of the processes started since, for those to be looked over.
    """

    children: frozenset[psutil.Process]
    descriptors: frozenset[tuple[int, str]]
    threads: frozenset[threading.Thread]
    shared: frozenset[str]
    private: frozenset[int]
    mark: str | None = None

    @classmethod
    def take(cls, mark: str | None = None) -> Census:
        """Count now."""
        return cls(
            children=frozenset(children()),
            descriptors=frozenset(descriptors()),
            threads=frozenset(threads()),
            shared=frozenset(shared_memory()),
            private=frozenset(_private),
            mark=mark,
        )


def new_mark() -> str:
    """A mark that no other test has, of no other process either."""
    return f"{os.getpid()}.{next(_serial)}"


def children() -> set[psutil.Process]:
    """This process's children and theirs, zombies included.

    Finding them means reading a table of all processes; a process that has no child at all, which
    is what most tests run in, is spared that by one system call.
    """
    if _WAITABLE:
        try:
            os.waitid(os.P_ALL, 0, _WAITABLE)
        except ChildProcessError:
            return set()
    return set(psutil.Process().children(recursive=True))


def orphans(mark: str) -> set[psutil.Process]:
    """Living processes whose environment carries the mark, whoever is their parent by now.

    That finds the grandchild whose parent died, which belongs to the system's first process then.
    It reads every process's environment: some milliseconds, for tests with real processes alone.
    """
    found = set()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and process.environ().get(MARK) == mark:
                found.add(process)
    return found


def descriptors() -> set[tuple[int, str]]:
    """Each open descriptor of this process with what it leads to."""
    found = set()
    for name in os.listdir(_DESCRIPTORS) if _DESCRIPTORS else ():
        # One that is gone already is the listing's own, or another thread's.
        with contextlib.suppress(OSError):
            found.add((int(name), _target(int(name))))
    return {(number, target) for number, target in found if not _of_a_tool(target)}


def threads() -> set[threading.Thread]:
    """This process's threads, without those of the tools."""
    return {one for one in threading.enumerate() if not one.name.startswith(_TOOL_THREADS)}


def shared_memory() -> set[str]:
    """The names in shared memory, where the system shows them."""
    return set(os.listdir(SHARED_MEMORY)) if SHARED_MEMORY.is_dir() else set()


def left_behind(before: Census, grace: float | None = None) -> list[str]:
    """Name what this process has and had not, after a moment in which it may still go.

    Args:
        before: the census to compare with.
        grace: seconds until what is new counts; `GRACE` when None.
    """
    shared = shared_memory()
    left = _news(before, shared)
    if not left:
        return []
    gc.collect()  # what only waits for the collector is garbage, and its own warning tells of it
    for _ in looks(GRACE if grace is None else grace, longest=0.05):
        left = _news(before, shared)
        if not left:
            break
    return left


def end_processes(before: Census) -> None:
    """End the processes that are new, so that they disturb no later test and no end of the run."""
    found = _new_processes(before)
    for process in found:
        with contextlib.suppress(psutil.Error):
            process.kill()
    for _ in looks(GRACE):
        if not any(_lives(process) for process in found):
            break
    for process in found:
        # Ours become zombies that nobody else waits for; an orphan is for its new parent to reap.
        with contextlib.suppress(psutil.Error):
            if process.ppid() == os.getpid():
                process.wait(0)


def _news(before: Census, shared: set[str]) -> list[str]:
    """One line for each thing that is new.

    Args:
        before: what there was.
        shared: the names in shared memory when the test was over; one that comes later is of a
            program beside it, of which some make one after the other.
    """
    lines = [f"process {describe(process)}" for process in _new_processes(before)]
    lines += [
        f"descriptor {number} -> {target}"
        for number, target in sorted(descriptors() - before.descriptors)
    ]
    lines += [
        f"thread {one.name!r}{' (daemon)' if one.daemon else ''}"
        for one in sorted(threads() - before.threads, key=lambda one: one.name)
    ]
    lines += [
        f"descriptor {number}, which is not open, is still to be closed in every fork"
        for number in sorted(_private - before.private)
    ]
    new = (shared & shared_memory()) - before.shared
    lines += [f"shared memory {SHARED_MEMORY / name}" for name in sorted(new - _of_others(new))]
    return lines


def _new_processes(before: Census) -> list[psutil.Process]:
    found = children() - before.children
    if before.mark is not None:
        found |= orphans(before.mark)
    return sorted(found, key=lambda process: process.pid)


def describe(process: psutil.Process) -> str:
    """A process's pid, parent, state and command line, as far as they can still be read."""
    try:
        return _described(process)
    except psutil.NoSuchProcess:
        return f"{process.pid}, gone meanwhile"
    except psutil.Error as error:
        return f"{process.pid}: {error}"


def _described(process: psutil.Process) -> str:
    try:
        with process.oneshot():
            words = process.cmdline() or [f"({process.name()})"]
            command = " ".join(" ".join(words).split())
            return f"{process.pid} of {process.ppid()}, {process.status()}: {command[:200]}"
    except psutil.ZombieProcess as error:  # has a name and a parent still, but no command line
        return f"{process.pid} of {error.ppid or process.ppid()}, zombie: ({error.name})"


def _lives(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _target(number: int) -> str:
    """What a descriptor leads to: the system's own name where it has one, else kind and number."""
    try:
        return os.readlink(f"/proc/self/fd/{number}")
    except FileNotFoundError:
        status = os.fstat(number)
        return f"{stat.filemode(status.st_mode)[0]}:[{status.st_dev}:{status.st_ino}]"


def _of_a_tool(target: str) -> bool:
    return any(part in target for part in _TOOL_PATHS)


def _of_others(names: set[str]) -> set[str]:
    """Those names in shared memory that another program has made, or has in use at the moment.

    Shared memory belongs to the machine: the other workers of the same run test with it, too.
    """
    found = set()
    for name in names:
        try:
            status = (SHARED_MEMORY / name).stat()
        except FileNotFoundError:
            found.add(name)
        else:
            if status.st_uid != os.getuid():
                found.add(name)
    names = names - found
    if not names:
        return found
    family = {os.getpid()} | {process.pid for process in children()}
    for process in psutil.process_iter():
        if process.pid in family:
            continue
        with contextlib.suppress(psutil.Error, OSError):
            used = {one.path for one in process.memory_maps()}
            used |= {one.path for one in process.open_files()}
            found |= {name for name in names if str(SHARED_MEMORY / name) in used}
    return found
