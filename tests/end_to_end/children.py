"""What the children of the end-to-end tests run, good and hostile. The first argument is a file."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import sys
import time
from typing import Any

from actorflow import Consumer, Subscription
from tests.end_to_end.stages import append, wait_for_file

AGES = 1000
"""Seconds; longer than any test."""


class Keep(Consumer):
    """Its result is every event it got, or only how long each was."""

    def __init__(self, lengths: bool = False) -> None:
        self.lengths = lengths
        self.kept: list[Any] = []

    def handle_events(self, events: list[Any], subscription: Subscription) -> None:
        self.kept += [len(event) for event in events] if self.lengths else events

    def on_stop(self, reason: Any) -> None:
        self.set_result(self.kept)


def double(event: int) -> int:
    """A good child."""
    return 2 * event


async def double_later(event: int) -> int:
    """A good coroutine."""
    await asyncio.sleep(0)
    return 2 * event


class Doubles:
    """A good child that is a class."""

    def __init__(self, event: int) -> None:
        self.event = event

    def run(self) -> int:
        return 2 * self.event


def say_pid(path: str, event: Any) -> Any:
    """Say who runs it."""
    append(path, os.getpid(), event)
    return event


def wait_for_gate(path: str, gate: str, event: Any) -> Any:
    """Say who runs it, then wait until the test has made a file."""
    append(path, os.getpid(), event)
    wait_for_file(gate)
    return event


def kill_once(path: str, event: int) -> int:
    """The first life of every tenth event kills its process."""
    mark = f"{path}.{event}"
    if event % 10 == 3 and not os.path.exists(mark):
        append(mark, os.getpid())
        os.kill(os.getpid(), signal.SIGKILL)
    return 2 * event


def kill_fork_server_once(path: str, event: int) -> int:
    """The first life of every tenth event kills the process that forks children."""
    mark = f"{path}.{event}"
    if event % 10 == 3 and not os.path.exists(mark):
        append(mark, os.getpid())
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(AGES)
    return 2 * event


def starve_fork_server(path: str, event: int) -> int:
    """Leave the process that forks children descriptors for one more, and hold that for a while."""
    import resource

    limit = 1 + max(int(name) for name in os.listdir(f"/proc/{os.getppid()}/fd"))
    resource.prlimit(os.getppid(), resource.RLIMIT_NOFILE, (limit, limit))
    append(path, os.getpid())
    return 2 * event


class Weary:
    """An event that goes from process to process so many times, and no further."""

    def __init__(self, times: int) -> None:
        self.times = times

    def __reduce__(self) -> tuple[Any, ...]:
        if not self.times:
            raise TypeError("it goes no further")
        return Weary, (self.times - 1,)


def ends_politely(path: str, event: Any) -> None:
    """Take SIGTERM as a request: say so and exit."""

    def asked(number: int, frame: object) -> None:
        append(path, "asked")
        sys.exit(0)

    signal.signal(signal.SIGTERM, asked)
    append(path, os.getpid(), event)
    time.sleep(AGES)


def large(event: bytes) -> bytes:
    """As much out as in."""
    return event[::-1]


def unsendable(event: Any) -> Any:
    """A result that cannot leave the process."""
    return open(os.devnull)


def break_stdout(event: int) -> None:
    """Leave something behind for standard output that cannot be flushed."""

    class Broken:
        def flush(self) -> None:
            raise RuntimeError("it cannot be flushed")

    sys.stdout = Broken()  # type: ignore[assignment]


def open_descriptors(event: Any) -> list[str]:
    """What this process has open, standard input, output and error left out."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2:
            try:
                found.append(os.readlink(f"/proc/self/fd/{name}").partition(":")[0])
            except FileNotFoundError:
                continue  # the listing's own
    return found


# --- hostile --------------------------------------------------------------------------------------


def hang_in_c() -> None:
    """Sit in C code, holding the interpreter's lock."""
    ctypes.PyDLL(None).sleep(AGES)


def ignore_sigterm() -> None:
    """Do not end when asked."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    hang_in_c()


def fork_stubborn(path: str) -> None:
    """Leave a process behind that ignores signals and holds every descriptor."""
    if not os.fork():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        append(path, os.getpid(), "grandchild")
        time.sleep(AGES)
        os._exit(0)


def fork_and_fall_through() -> None:
    """Fork and return twice."""
    os.fork()


def close_descriptors() -> None:
    """Close everything but standard input, output and error; put a file where a pipe was."""
    os.closerange(3, 1024)
    for _ in range(20):
        os.open(os.devnull, os.O_RDWR)


def hostile(path: str, event: str) -> str:
    """Do as the event says."""
    append(path, os.getpid(), event)
    if event == "hang":
        hang_in_c()
    elif event == "ignore":
        ignore_sigterm()
    elif event == "fork":
        fork_stubborn(path)
    elif event == "fall":
        fork_and_fall_through()
    elif event == "close":
        close_descriptors()
    elif event == "close and return much":
        close_descriptors()
        return event * 1000
    elif event == "close and hang":
        close_descriptors()
        hang_in_c()
    return event


class ExitsInConstructor:
    """Never comes to `run` unless the event is good."""

    def __init__(self, path: str, event: str) -> None:
        append(path, os.getpid(), event)
        if event == "_exit":
            os._exit(3)
        if event == "sys.exit":
            sys.exit(4)
        self.event = event

    def run(self) -> str:
        return self.event


class DiesWhenRead:
    """An event that kills the worker that reads it, and nobody else."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __reduce__(self) -> tuple[Any, ...]:
        return _read, (self.number,)


def _read(number: int) -> DiesWhenRead:
    with open("/proc/self/comm") as name:
        if "worker" in name.read():
            os._exit(9)
    return DiesWhenRead(number)
