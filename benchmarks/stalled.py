"""How much a pipeline grows while its sink stands still: A→B→C under each mode, in one run.

The sinks are stopped with SIGSTOP. What the stages before them, and the host, hold grows until the
windows are full, and from then on it stays as it is; `--seconds` later they are measured again.

    python -m benchmarks.stalled
    python -m benchmarks.stalled --seconds 10 --json
"""

from __future__ import annotations

import argparse
import os
import signal
import time
from dataclasses import dataclass
from typing import Any

import psutil

from actorflow import Run, SubscribeTo, Topology
from benchmarks._numbers import Double, Numbers, Total
from benchmarks._suite import (
    Chart,
    Finding,
    Result,
    at_least,
    parser,
    publish,
    series,
    timeline,
)
from benchmarks._suite.records import Role

ENDLESS = 1 << 60
LIMIT = 5 << 20
"""Bytes that no process may grow by."""

CASES: dict[str, dict[str, Any]] = {
    "at_most_once": {"delivery": "at_most_once"},
    "at_least_once": {"delivery": "at_least_once"},
    "exactly_once": {"delivery": "exactly_once"},
    "buffer_size": {"delivery": "at_least_once", "buffer_size": 1000},
    "max_unfinished": {"delivery": "at_least_once", "max_unfinished": 1000},
}


MIB = 1 << 20

HOST = "host"
"""The program that runs the topology, which holds nothing of what flows."""


@dataclass(frozen=True, slots=True)
class Picture:
    """The processes at one moment; the host is one of them.

    Args:
        at: seconds since the first picture.
        resident: the resident bytes of each process.
        events: how many events each has emitted.
    """

    at: float
    resident: dict[str, int]
    events: dict[str, int]


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


def watch(run: Run, seconds: float) -> list[Picture]:
    """Stop the sinks, let windows fill, and take pictures from then on."""
    while any(stage.events_in == 0 for stage in run.stats().stages if "total" in stage.stage):
        time.sleep(0.05)
    pids = {child.id: child.pid for child in run.which_children()}
    stopped = [pid for stage, pid in pids.items() if "total" in stage]
    pictures = []
    try:
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        _wait_until_full(run)
        began = time.monotonic()
        for number in range(PICTURES + 1):
            time.sleep(max(0.0, began + number * seconds / PICTURES - time.monotonic()))
            pictures.append(_picture(run, pids, time.monotonic() - began))
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
    return pictures


def _wait_until_full(run: Run) -> None:
    """Until nothing was emitted for a while, or for so long that it never will be.

    Each stage answers meanwhile: one that did not get a processor has emitted nothing, either.
    """
    deadline = time.monotonic() + PATIENCE
    before, quiet = -1, 0
    awake = [stage.stage for stage in run.stats().stages if "total" not in stage.stage]
    while quiet < 3 and time.monotonic() < deadline:
        time.sleep(0.2)
        for stage in awake:
            run.status(stage)
        emitted = sum(stage.events_out for stage in run.stats().stages)
        before, quiet = emitted, quiet + 1 if emitted == before else 0


PATIENCE = 30.0
PICTURES = 20
"""How many pictures are taken of the time in which nothing should grow."""


def _picture(run: Run, pids: dict[str, int], at: float) -> Picture:
    """Each process before the sinks, and the host."""
    stages = [stage for stage in run.stats().stages if "total" not in stage.stage]
    resident = {
        stage.stage: psutil.Process(pids[stage.stage]).memory_info().rss for stage in stages
    }
    return Picture(
        at=at,
        resident={**resident, HOST: psutil.Process().memory_info().rss},
        events={stage.stage: stage.events_out for stage in stages},
    )


def _case(stage: str) -> str:
    return next((case for case in CASES if stage.startswith(f"{case}_")), HOST)


def _growth(pictures: list[Picture], case: str) -> dict[float, float]:
    """MiB by which the processes of a case, together, have grown at each picture."""
    first = pictures[0].resident
    return {
        picture.at: sum(
            picture.resident[stage] - first[stage] for stage in first if _case(stage) == case
        )
        / MIB
        for picture in pictures
    }


def _too_much(pictures: list[Picture]) -> list[str]:
    """What must not happen: a sentence for each."""
    first, last = pictures[0], pictures[-1]
    grown = [
        f"{stage} grew by {(last.resident[stage] - before) / MIB:.1f} MiB"
        for stage, before in first.resident.items()
        if last.resident[stage] - before >= LIMIT
    ]
    emitted = [
        f"{stage} emitted {last.events[stage] - before} events that nobody could take"
        for stage, before in first.events.items()
        if last.events[stage] != before
    ]
    return grown + emitted


def measure(options: argparse.Namespace) -> Result:
    """Rounds of a stand-still; the plot shows the last one."""
    seconds = 2.0 if options.quick and options.seconds is None else options.seconds or 30.0
    rounds = []
    for _ in range(options.rounds):
        with topology(options.demand).start() as run:
            rounds.append(watch(run, seconds))
            run.stop()
    cases = [*CASES, HOST]
    most = {case: [max(_growth(each, case).values()) for each in rounds] for case in cases}
    return Result(
        name="stalled",
        title="While a sink stands still",
        measures="Three stages under each delivery mode, with a small buffer and with a limit of"
        f" unfinished events, max_demand {options.demand:,}. The sinks are stopped with SIGSTOP;"
        " once the windows are full nothing may grow. Resident memory of source and middle"
        f" together, and of the program that runs them, for {seconds:g} s.",
        charts=(
            Chart(
                title="Memory since the windows are full",
                unit="MiB more",
                parameter="seconds",
                kind="timeline",
                better="less",
                series=tuple(
                    timeline(case, _role(case), _growth(rounds[-1], case)) for case in cases
                ),
            ),
            Chart(
                title="The most that anything grew",
                unit="MiB",
                parameter="",
                better="less",
                series=tuple(series(case, _role(case), {"": most[case]}) for case in cases),
            ),
        ),
        findings=(
            Finding(
                name="the most that any of them grew",
                rounds=tuple(max(each) for each in zip(*most.values(), strict=True)),
                unit="MiB",
                better="less",
            ),
        ),
        broken=tuple(sentence for each in rounds for sentence in _too_much(each)),
    )


def _role(case: str) -> Role:
    return "floor" if case == HOST else "actorflow"


def main(argv: list[str] | None = None) -> int:
    """Run it; returns 1 when anything grew too much."""
    options = parser(__doc__, rounds=1, quick_rounds=1)
    options.add_argument("--seconds", type=float, help="how long the sinks stand (30; quick: 2)")
    options.add_argument("--demand", type=at_least(1), default=1000, help="max_demand (1000)")
    return publish(measure, options.parse_args(argv))


if __name__ == "__main__":
    raise SystemExit(main())
