"""How much a pipeline grows while its sink stands still: A→B→C under each mode, in one run.

The sinks are stopped with SIGSTOP. What the stages before them, and the host, hold grows until the
windows are full, and from then on it stays as it is; `--seconds` later they are measured again.

    python -m benchmarks.stalled
    python -m benchmarks.stalled --seconds 10 --json
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import time
from dataclasses import asdict, dataclass
from typing import Any

import psutil

from actorflow import Run, SubscribeTo, Topology
from benchmarks.pipeline import Double, Numbers, Total

ENDLESS = 1 << 60
LIMIT = 5 << 20
"""Bytes that nothing may grow by."""

CASES: dict[str, dict[str, Any]] = {
    "at_most_once": {"delivery": "at_most_once"},
    "at_least_once": {"delivery": "at_least_once"},
    "exactly_once": {"delivery": "exactly_once"},
    "buffer_size": {"delivery": "at_least_once", "buffer_size": 1000},
    "max_unfinished": {"delivery": "at_least_once", "max_unfinished": 1000},
}


@dataclass(frozen=True, slots=True)
class Row:
    """One process.

    Args:
        case: one of `CASES`, or nothing for the host.
        stage: what it is.
        events: how many events it emitted while the sinks stood still.
        grown: by how many bytes its resident memory grew meanwhile.
    """

    case: str
    stage: str
    events: int
    grown: int


def topology(max_demand: int) -> Topology:
    """A chain for each case."""
    whole = Topology("stalled")
    for case, options in CASES.items():
        source, between, sink = (f"{case}_{name}" for name in ("numbers", "double", "total"))
        whole = whole.stage(source, Numbers, args={"limit": ENDLESS}, **options)
        taken = [SubscribeTo(source, max_demand=max_demand)]
        whole = whole.stage(between, Double, subscribe_to=taken, **options)
        taken = [SubscribeTo(between, max_demand=max_demand)]
        delivery = options["delivery"]
        whole = whole.stage(sink, Total, subscribe_to=taken, delivery=delivery)
    return whole


def measure(run: Run, seconds: float, settle: float) -> list[Row]:
    """Stop the sinks, let windows fill for a moment, and see what grows from then on."""
    while any(stage.events_in == 0 for stage in run.stats().stages if "total" in stage.stage):
        time.sleep(0.05)
    pids = {child.id: child.pid for child in run.which_children()}
    stopped = [pid for stage, pid in pids.items() if "total" in stage]
    try:
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        time.sleep(settle)
        before = _picture(run, pids)
        time.sleep(seconds)
        after = _picture(run, pids)
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
    return [
        Row(_case(stage), stage, after[stage][0] - events, after[stage][1] - resident)
        for stage, (events, resident) in before.items()
    ]


def _picture(run: Run, pids: dict[str, int]) -> dict[str, tuple[int, int]]:
    """For each process before the sinks, and the host: events emitted, and resident bytes."""
    found = {
        stage.stage: (stage.events_out, psutil.Process(pids[stage.stage]).memory_info().rss)
        for stage in run.stats().stages
        if "total" not in stage.stage
    }
    found["host"] = (0, psutil.Process().memory_info().rss)
    return found


def _case(stage: str) -> str:
    return next((case for case in CASES if stage.startswith(f"{case}_")), "")


def main(argv: list[str] | None = None) -> int:
    """Run it; returns 1 when anything grew too much."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.stalled",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seconds", type=float, default=60.0, help="how long the sinks stand (60)")
    parser.add_argument("--demand", type=int, default=1000, help="max_demand (1000)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--quick", action="store_true", help="half a second")
    options = parser.parse_args(argv)
    seconds, settle = (0.5, 0.5) if options.quick else (options.seconds, 1.0)
    with topology(options.demand).start() as run:
        rows = measure(run, seconds, settle)
        run.stop()
    if options.json:
        print(json.dumps([asdict(row) for row in rows]))
    else:
        print(f"max_demand {options.demand:,}, sinks stopped for {seconds:g} s")
        for row in rows:
            print(f"{row.stage:>26} {row.events:>10,} events {row.grown / 1024:>10,.0f} KiB more")
    return int(any(row.grown >= LIMIT for row in rows))


if __name__ == "__main__":
    raise SystemExit(main())
