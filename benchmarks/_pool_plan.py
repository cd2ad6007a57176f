"""What is measured by `benchmarks.pool`, and how the processor time of several processes is."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import psutil

__all__ = ["SHAPES", "TASKS", "Plan", "all_processes", "spent_by", "work"]

TASKS = ("noop", "spin", "sleep")
SHAPES = ("stateless", "window", "join", "mixed")
SPIN = 50e-6
SLEEP = 1e-3
BURST = 6000
IDLE = 0.5


def work(task: str) -> None:
    """What one task does."""
    if task == "spin":
        until = time.perf_counter() + SPIN
        while time.perf_counter() < until:
            continue
    elif task == "sleep":
        time.sleep(SLEEP)


def children_of(shape: str, number: int, count: int, burst: int) -> int:
    """How many tasks a task makes: number `number` of `count` of its source."""
    made = 0
    if shape in ("window", "mixed") and number % 100 == 99:
        made += 50
    if shape in ("join", "mixed") and number == count - 1:
        made += burst
    return made


@dataclass(frozen=True, slots=True)
class Plan:
    """One thing to be measured.

    Args:
        shape: how tasks come.
        task: what one does.
        workers: how many workers run them.
        count: how many come from all sources together.
        burst: how many the last task of a source makes, when there is a burst.
        idle: seconds for which the idle pool is watched.
    """

    shape: str
    task: str
    workers: int
    count: int
    burst: int = BURST
    idle: float = IDLE

    @property
    def sources(self) -> int:
        """How many sources there are."""
        return 2 if self.shape in ("join", "mixed") else 1

    @property
    def each(self) -> int:
        """How many tasks each has."""
        return self.count // self.sources

    def children(self, number: int) -> int:
        """How many tasks number `number` of a source makes."""
        return children_of(self.shape, number, self.each, self.burst)

    @property
    def total(self) -> int:
        """How many tasks there are, those that are made included."""
        made = sum(self.children(number) for number in range(self.each))
        return self.sources * (self.each + made)


def all_processes() -> list[psutil.Process]:
    """This one, and all that it has started."""
    here = psutil.Process()
    return [here, *here.children(recursive=True)]


def spent_by(processes: Sequence[psutil.Process]) -> float:
    """Seconds of processor time."""
    return sum(sum(each.cpu_times()[:2]) for each in processes)
