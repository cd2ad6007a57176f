"""What is done to a real run: kills, stops, a full disk, no descriptors, a dead host.

The plan is drawn from a seed; whom a deed hits depends on who lives then.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

import psutil

__all__ = ["FATAL", "Deed", "Nemesis", "draw_plan"]

FATAL = ("host", "zygote")
"""Deeds after which the host has to be started again."""

_ALWAYS = ("kill", "kill", "kill", "kill", "stop", "stop", "descriptors")
_WITH_CHECKPOINT = (*_ALWAYS, *_ALWAYS, "host", "host", "zygote", "disk")


@dataclass(frozen=True, slots=True)
class Deed:
    """One thing to do.

    Args:
        kind: ``"kill"``, ``"stop"``, ``"descriptors"``, ``"disk"``, ``"host"`` or ``"zygote"``.
        after: seconds to let pass before.
        lasts: seconds until what can be undone is undone.
        choice: whom it hits, from 0 to below 1, among those who live then.
    """

    kind: str
    after: float
    lasts: float
    choice: float


def draw_plan(random: Random, *, checkpoint: bool) -> tuple[Deed, ...]:
    """Draw what is done to a run, in order.

    Args:
        random: every choice is drawn from it.
        checkpoint: whether the run has a checkpoint file, so that it survives its host.
    """
    kinds = _WITH_CHECKPOINT if checkpoint else _ALWAYS
    return tuple(
        Deed(
            random.choice(kinds),
            random.choice((0.01, 0.05, 0.2, 0.4)) * (0.5 + random.random()),
            random.choice((0.05, 0.2, 0.6)),
            random.random(),
        )
        for _ in range(random.randint(2, 10))
    )


class Nemesis:
    """Does the deeds to the processes of one host, from outside.

    Args:
        host: the host's process.
        sleep: waits for so many seconds, or less when the host is gone.
    """

    def __init__(self, host: int, sleep: Callable[[float], None]) -> None:
        self._host = host
        self._sleep = sleep

    def do(self, deed: Deed) -> bool:
        """Do it; whether there was anybody to do it to."""
        try:
            return self._do(deed)
        except (ProcessLookupError, psutil.NoSuchProcess):
            return False  # whoever it was about had ended just now

    def _do(self, deed: Deed) -> bool:
        if deed.kind == "host":
            os.kill(self._host, signal.SIGKILL)
            return True
        if deed.kind == "disk":
            with self._limited(self._host, resource.RLIMIT_FSIZE, 1):
                self._sleep(deed.lasts + 0.4)
            return True
        zygote, stages = self._family()
        if zygote is None or not stages:
            return False
        victim = stages[int(deed.choice * len(stages))]
        if deed.kind == "zygote":
            os.kill(zygote, signal.SIGKILL)
        elif deed.kind == "kill":
            os.kill(victim, signal.SIGKILL)
        elif deed.kind == "stop":
            self._stop(victim, deed.lasts)
        else:
            whose = self._host if deed.choice < 0.7 else zygote
            used = len(os.listdir(f"/proc/{whose}/fd"))
            with self._limited(whose, resource.RLIMIT_NOFILE, used + int(deed.choice * 5)):
                os.kill(victim, signal.SIGKILL)
                self._sleep(deed.lasts)
        return True

    def _family(self) -> tuple[int | None, list[int]]:
        """The zygote and its children: the stages, and perhaps a spare."""
        (zygote,) = psutil.Process(self._host).children() or (None,)
        if zygote is None:
            return None, []
        return zygote.pid, sorted(child.pid for child in zygote.children())

    def _stop(self, victim: int, lasts: float) -> None:
        os.kill(victim, signal.SIGSTOP)
        try:
            self._sleep(lasts)
        finally:
            os.kill(victim, signal.SIGCONT)

    @contextlib.contextmanager
    def _limited(self, pid: int, limit: int, value: int) -> Iterator[None]:
        """A process under a lower limit for a while."""
        before = resource.prlimit(pid, limit)
        resource.prlimit(pid, limit, (value, before[1]))
        try:
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                resource.prlimit(pid, limit, before)
