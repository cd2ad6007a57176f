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
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass

import psutil

from actorflow import Consumer, Producer, Run, Subscription, Topology

START, MEMORY = 3.0, 4.0
"""What is wanted: seconds until 200 stages run on two cores, MiB for each."""

PATIENCE = 120.0
MIB = 1 << 20


class Quiet(Producer):
    """Has nothing, and is never done."""

    def handle_demand(self, demand: int) -> None:
        """Nothing."""


class Waiting(Consumer):
    """Takes what comes, which is nothing."""

    def handle_events(self, events: list[int], subscription: Subscription) -> None:
        """Nothing."""


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


def measure(stages: int, seconds: float) -> Figures:
    """Start so many stages, watch them do nothing for so long, stop them."""
    topology = (
        Topology("many")
        .stage("source", Quiet)
        .stage("sink", Waiting, replicas=stages - 1, subscribe_to=["source"])
    )
    began = time.monotonic()
    with topology.start() as run:
        _wait_until_linked(run, stages - 1)
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


def _wait_until_linked(run: Run, links: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while sum(row.state == "established" for row in run.which_subscriptions()) < links:
        if time.monotonic() > deadline:
            raise AssertionError(f"after {PATIENCE:g} s not all of {links} subscriptions are there")
        time.sleep(0.01)


def _ticks(pids: Iterable[int]) -> int:
    """How much of the processor these have used, in the system's clock ticks."""
    used = [psutil.Process(pid).cpu_times() for pid in pids]
    return round(sum(each.user + each.system for each in used) * os.sysconf("SC_CLK_TCK"))


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--stages", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=3.0, help="how long they do nothing")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    figures = measure(options.stages, options.seconds)
    if options.json:
        print(json.dumps({"python": sys.version, **asdict(figures)}))
        return 0
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, {figures.stages} stages")
    print(f"all run after {figures.start:.2f} s; wanted: 200 within {START:g} s on two cores")
    print(
        f"private memory: source {figures.source:.1f} MiB, sinks {figures.sink:.1f} MiB at the"
        f" median, {figures.worst_sink:.1f} MiB at most; wanted: {MEMORY:g} MiB"
    )
    print(f"idle for {figures.idle_seconds:g} s: {figures.idle_ticks} clock ticks, all together")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
