"""What many stages cost that have nothing to do: their start, their memory, and their idleness.

One source and many sinks, each a process and each with a link to the source. Measured are the
seconds until all of them run and are subscribed; the private memory of each process (USS); and
what they use of the processor while nothing flows, in clock ticks of the system, which do not
depend on what else runs.

    python -m benchmarks.many_stages
    python -m benchmarks.many_stages --stages 40 --seconds 1 --json
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import psutil

from actorflow import Run, Topology
from benchmarks._forks import forks
from benchmarks._quiet import Quiet, Waiting
from benchmarks._suite import (
    Chart,
    Finding,
    Result,
    at_least,
    parser,
    publish,
    series,
)

WANTED = 200
"""How many stages the target of the start is about."""

PATIENCE = 120.0
MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Figures:
    """One run.

    Args:
        stages: how many there were.
        start: seconds until all ran and were subscribed.
        source: MiB of private memory of the one that all others are linked with.
        sink: the same of the others, the median.
        worst_sink: the same, the largest.
        idle_ticks: of the processor, of all stages together, while nothing flowed.
        idle_seconds: how long that was.
    """

    stages: int
    start: float
    source: float
    sink: float
    worst_sink: float
    idle_ticks: int
    idle_seconds: float


def run_stages(stages: int, seconds: float) -> Figures:
    """Start so many stages, watch them do nothing for so long, stop them."""
    topology = (
        Topology("many")
        .stage("source", Quiet)
        .stage("sink", Waiting, replicas=stages - 1, subscribe_to=["source"])
    )
    began = time.monotonic()
    with topology.start() as run:
        wait_until_linked(run, stages - 1)
        started = time.monotonic() - began
        pids = {row.id: row.pid for row in run.which_children()}
        before = _ticks(pids.values())
        time.sleep(seconds)
        ticks = _ticks(pids.values()) - before
        private = {
            stage: psutil.Process(pid).memory_full_info().uss / MIB for stage, pid in pids.items()
        }
    source = private.pop("source/0")
    return Figures(
        stages,
        started,
        source,
        statistics.median(private.values()),
        max(private.values()),
        ticks,
        seconds,
    )


def wait_until_linked(run: Run, links: int) -> None:
    """Wait until so many subscriptions are there."""
    deadline = time.monotonic() + PATIENCE
    while sum(row.state == "established" for row in run.which_subscriptions()) < links:
        if time.monotonic() > deadline:
            raise AssertionError(f"after {PATIENCE:g} s not all of {links} subscriptions are there")
        time.sleep(0.01)


def _ticks(pids: Iterable[int]) -> int:
    """How much of the processor these have used, in the system's clock ticks."""
    used = [psutil.Process(pid).cpu_times() for pid in pids]
    return round(sum(each.user + each.system for each in used) * os.sysconf("SC_CLK_TCK"))


@dataclass(frozen=True, slots=True)
class Floor:
    """Bare forked children: how long until all say that they are there, and MiB of each."""

    start: float
    memory: float


def run_forks(count: int) -> Floor:
    """Fork so many, each of which says that it is there, and then waits."""
    with forks() as children:
        began = time.monotonic()
        for _ in range(count):
            children.start()
        children.hear(count)
        started = time.monotonic() - began
        private = [psutil.Process(pid).memory_full_info().uss for pid in children.pids]
    return Floor(started, statistics.median(private) / MIB)


def measure(options: argparse.Namespace) -> Result:
    """Each number of stages, beside as many bare children."""
    seconds = 1.0 if options.quick else options.seconds
    counts = options.stages or ([2, WANTED] if options.quick else [2, 20, 50, WANTED])
    floors = {count: [run_forks(count) for _ in range(options.rounds)] for count in counts}
    found = {count: [run_stages(count, seconds) for _ in range(options.rounds)] for count in counts}
    most = found[max(counts)]
    return Result(
        name="many_stages",
        title="Many stages that have nothing to do",
        measures="One source and many sinks, each a process and each with a link to the source: the"
        " seconds until all of them run and are subscribed, the private memory of each (USS), and"
        f" what they use of the processor while nothing flows for {seconds:g} s. The floor is as"
        " many bare forked children.",
        charts=(
            Chart(
                title="Until all of them run",
                unit="s",
                parameter="stages",
                better="less",
                series=(
                    series("bare fork", "floor", _over(floors, "start")),
                    series("actorflow", "actorflow", _over(found, "start")),
                ),
            ),
            Chart(
                title="Private memory of a process, median",
                unit="MiB",
                parameter="stages",
                better="less",
                series=(
                    series("bare fork", "floor", _over(floors, "memory")),
                    series("a sink", "actorflow", _over(found, "sink")),
                    series("the source", "actorflow", _over(found, "source")),
                ),
            ),
        ),
        findings=(
            *(
                Finding(
                    name=f"{WANTED} stages run after",
                    rounds=tuple(each.start for each in found[count]),
                    unit="s",
                    better="less",
                    targets=("many_stages_start",),
                )
                for count in counts
                if count == WANTED
            ),
            Finding(
                name="private memory of the largest sink",
                rounds=tuple(each.worst_sink for each in most),
                unit="MiB",
                better="less",
                targets=("stage_memory",),
            ),
            Finding(
                name="clock ticks of all stages together while nothing flows",
                rounds=tuple(each.idle_ticks for each in most),
                unit="ticks",
                better="less",
            ),
        ),
    )


def _over(found: dict[int, list[Any]], name: str) -> dict[float | str, list[float]]:
    return {at: [getattr(each, name) for each in runs] for at, runs in found.items()}


def main(argv: list[str] | None = None) -> int:
    """Measure and print."""
    options = parser(__doc__, rounds=3, quick_rounds=1)
    options.add_argument("--stages", type=at_least(2), action="append", help="may be repeated")
    options.add_argument("--seconds", type=float, default=3.0, help="how long they do nothing")
    return publish(measure, options.parse_args(argv))


if __name__ == "__main__":
    raise SystemExit(main())
