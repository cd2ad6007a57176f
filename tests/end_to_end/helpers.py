"""How the end-to-end tests wait, look and kill: always for an event, always with a deadline."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import psutil

from actorflow import Run, SubscribeTo, SupervisorOptions, Topology
from actorflow.supervision.events import ChildReady, ChildRestarting, SupervisorEvent
from tests.end_to_end.stages import Collect, Numbers, Pass, Sleep
from tests.stopwatch import LOOK, looks

DEADLINE = 20.0
"""Seconds that a test waits at most for anything; a loaded machine is slow, not broken."""

ROOT = Path(__file__).parents[2]

Found = TypeVar("Found")


def wait_until(condition: Callable[[], Found], what: str, seconds: float = DEADLINE) -> Found:
    """Look again and again until a condition holds; returns what it said.

    A time in which the machine stands still does not count.

    Raises:
        AssertionError: it does not hold in time; the message says what was waited for.
    """
    for _ in looks(seconds):
        if found := condition():
            return found
    raise AssertionError(f"waited {seconds:g} s in vain for: {what}")


class Events:
    """A run's listener: keeps every event, and lets a test wait for one."""

    def __init__(self) -> None:
        self.seen: list[SupervisorEvent] = []
        self._news = threading.Condition()

    def __call__(self, event: SupervisorEvent) -> None:
        with self._news:
            self.seen.append(event)
            self._news.notify_all()

    def of(self, kind: type[Found], stage: str | None = None) -> list[Found]:
        """The events of one kind so far, of one stage when it is named."""
        return [
            event
            for event in list(self.seen)
            if isinstance(event, kind) and stage in (None, _name(event))
        ]

    def wait(self, kind: type[Found], stage: str | None = None, count: int = 1) -> list[Found]:
        """Wait until there are so many events of a kind, as long as `wait_until` would."""
        for _ in looks(DEADLINE):
            with self._news:
                if self._news.wait_for(lambda: len(self.of(kind, stage)) >= count, LOOK):
                    return self.of(kind, stage)
        raise AssertionError(f"waited in vain for {count} {kind.__name__} of {stage}: {self.seen}")

    def started(self, *stages: str, generation: int = 1) -> None:
        """Wait until each of these has started so many times."""
        for stage in stages:
            self.wait(ChildReady, stage, generation)

    def restarted(self, stage: str, times: int = 1) -> None:
        """Wait until a stage runs again."""
        self.wait(ChildRestarting, stage, times)
        self.wait(ChildReady, stage, times + 1)

    def errors(self, stage: str | None = None) -> list[str]:
        """What stages logged as errors."""
        from actorflow.supervision.events import StageLogged

        logged = self.of(StageLogged, stage)
        return [str(each.record) for each in logged if each.record.level in ("error", "warning")]


def _name(event: Any) -> str:
    return str(event.child.stage.name) if hasattr(event, "child") else ""


def numbers_in(path: Path) -> list[int]:
    """The numbers of a `Collect`'s file; a line that is not complete yet is left out."""
    if not path.exists():
        return []
    text = path.read_text()
    return [int(word) for word in text[: text.rfind("\n") + 1].split()]


def how_many_in(path: Path) -> int:
    """How many numbers are in a `Collect`'s file.

    They are counted without being read: an endless source must not be faster than who looks on.
    """
    data = path.read_bytes() if path.exists() else b""
    whole = data.rfind(b"\n") + 1
    return data.count(b" ", 0, whole) + data.count(b"\n", 0, whole)


def sleeping(told: Path) -> Topology:
    """A source, and a stage that stays in a callback of three events; the file says that it is."""
    return (
        Topology("busy")
        .stage("numbers", Numbers)
        .stage(
            "sleep",
            Sleep,
            args={"seconds": 20.0, "path": str(told)},
            shutdown=0.4,
            subscribe_to=[SubscribeTo("numbers", max_demand=6, min_demand=3)],
        )
    )


def pids(run: Run) -> dict[str, int]:
    """Each child's process."""
    return {child.id: child.pid for child in run.which_children()}


def four_in_a_row(path: Path, **supervisor: Any) -> Topology:
    """Stages `a`, `b`, `c` and `d` one behind the other; `d` writes what arrives to a file."""

    def to(stage: str) -> list[SubscribeTo]:
        return [SubscribeTo(stage, max_demand=10)]

    return (
        Topology("row", supervisor=SupervisorOptions(**supervisor))
        .stage("a", Numbers)
        .stage("b", Pass, subscribe_to=to("a"))
        .stage("c", Pass, subscribe_to=to("b"))
        .stage("d", Collect, args={"path": str(path)}, subscribe_to=to("c"))
    )


def states(run: Run) -> dict[str, str]:
    """Each child's state."""
    return {child.id: child.state for child in run.which_children()}


def kill(run: Run, stage: str) -> int:
    """Kill a stage's process with SIGKILL; returns its number."""
    pid = pids(run)[stage if "/" in stage else f"{stage}/0"]
    assert pid > 0, f"{stage} has no process"
    os.kill(pid, signal.SIGKILL)
    return pid


def descendants() -> set[int]:
    """This process's children and theirs."""
    return {process.pid for process in psutil.Process().children(recursive=True)}


def alive(processes: Iterable[int]) -> set[int]:
    """Those that exist and are no zombies."""
    return {pid for pid in processes if _lives(pid)}


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def descriptors(pid: int | None = None) -> int:
    """How many descriptors a process has open; this one when none is named."""
    return int(psutil.Process(pid).num_fds())


def start_actorflow(*arguments: str, **options: Any) -> subprocess.Popen[str]:
    """Start the command line as a program of its own, its output to be read."""
    return start_python("-m", "actorflow", *arguments, **options)


def start_python(*arguments: str, **options: Any) -> subprocess.Popen[str]:
    """Start a Python program that can import actorflow and these tests."""
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=options.pop("cwd", ROOT),
        env={**os.environ, "PYTHONPATH": str(ROOT), **options.pop("env", {})},
        stdin=subprocess.DEVNULL,
        stdout=options.pop("stdout", subprocess.PIPE),
        stderr=options.pop("stderr", subprocess.PIPE),
        text=True,
        **options,
    )


def finish(program: subprocess.Popen[str], seconds: float = DEADLINE) -> tuple[int, str, str]:
    """Wait for a program's end; returns exit code, standard output and standard error.

    A time in which the machine stands still does not count.
    """
    for _ in looks(seconds):
        with contextlib.suppress(subprocess.TimeoutExpired):
            output, errors = program.communicate(timeout=LOOK)
            return program.returncode, output, errors
    program.kill()
    output, errors = program.communicate()
    raise AssertionError(f"still running after {seconds:g} s:\n{output}\n{errors}")
