"""Tasks per second of a task pool, beside the pools of the standard library, in one run.

Tasks do nothing, compute for 50 µs, or sleep for 1 ms. How they come:

    stateless   a source of tasks, none of which makes any
    window      every hundredth task makes fifty
    join        two sources; at the end of each a burst of six thousand
    mixed       all of it

Sides alternate, so that a noisy machine is noisy for all:

    pool        actorflow's `TaskPool`
    global      the same with ``deal="global"``: what a task makes goes through the scheduler
    executor    `concurrent.futures.ProcessPoolExecutor`, a hundred tasks in a call
    mppool      `multiprocessing.Pool`, likewise
    map         `ProcessPoolExecutor.map` with ``chunksize=100``: each task has a result of its own
    submit      `ProcessPoolExecutor`, each task a call of its own

The last four cannot submit from within a worker, so tasks return what they would make, and the
program submits it, level by level. A hundred in a call is the best that they can do: nobody knows
which of them is done, or has failed.

    python -m benchmarks.pool
    python -m benchmarks.pool --shape window --task spin --workers 2 --rounds 5 --json
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

import psutil

from actorflow import Consumer, Producer, Subscription, Topology
from actorflow.stages.pool import Pipeline, Query, TaskContext, TaskPool, TaskPoolHandle
from benchmarks._pool_plan import SHAPES, TASKS, Plan, all_processes, spent_by, work
from benchmarks._suite import (
    Chart,
    Finding,
    Part,
    Result,
    alternate,
    at_least,
    parser,
    publish,
    quotients,
    series,
)
from benchmarks._suite.records import Better, Role
from benchmarks._suite.rounds import percentiles

POLL = (0.001, 0.1)
"""Seconds between two looks at how far the pool is: the fewest, the most. To look takes time."""

SAMPLED = 20
"""Of so many admitted tasks one tells how long it waited."""


# --- actorflow ------------------------------------------------------------------------------------


class Tasks(Producer):
    """A source of so many tasks, which then waits for more to come."""

    next = 0

    def __init__(self, count: int) -> None:
        self.count = count

    def handle_demand(self, demand: int) -> list[list[Any]]:
        """The next tasks, and when they were made."""
        end = min(self.count, self.next + demand)
        now = time.monotonic()
        events = [[number, now] for number in range(self.next, end)]
        self.next = end
        return events


class Waits(Consumer):
    """Keeps how long tasks waited, for whoever asks."""

    def __init__(self) -> None:
        self.waits: list[float] = []

    def handle_events(self, events: list[float], subscription: Subscription) -> None:
        """Keep some."""
        self.waits += events

    def handle_call(self, request: Any, sender: Any) -> list[float]:
        """All of them."""
        return self.waits


@dataclass(frozen=True, slots=True)
class Root:
    """The task that comes from a source; picklable, with what it has to know."""

    plan: Plan

    def __call__(self, item: list[Any], context: TaskContext) -> None:
        """Work, make what is to be made, and now and then tell of the wait."""
        number, made_at = item
        if number % SAMPLED == 0:
            context.emit(time.monotonic() - made_at, "waits")
        work(self.plan.task)
        for child in range(self.plan.children(number)):
            context.emit(child, "child")


@dataclass(frozen=True, slots=True)
class Child:
    """The task that a task makes."""

    task: str

    def __call__(self, item: int, context: TaskContext) -> None:
        """Work."""
        work(self.task)


def tell(wait: float, context: TaskContext) -> None:
    """An event for `Waits`."""
    context.emit(wait)


@dataclass(slots=True)
class Measured:
    """What one side did once."""

    rate: float
    cpu: float
    waits: list[float] = field(default_factory=list)
    frames: float = 0.0
    stop: float = 0.0
    idle: float = 0.0


def run_pool(plan: Plan, deal: str = "local") -> Measured:
    """The task pool: a rate, and what else can be asked of it."""
    query = Query(
        name="tasks",
        pipelines={
            "root": Pipeline(run=Root(plan), to=["child", "waits"]),
            "child": Pipeline(run=Child(plan.task)),
            "waits": Pipeline(run=tell),
        },
    )
    topology = (
        Topology("pool")
        .stage(
            "source",
            Tasks,
            args={"count": plan.each},
            replicas=plan.sources,
            demand="accumulate",
        )
        .stage(
            "pool",
            TaskPool,
            args={"queries": [query], "workers": plan.workers, "deal": deal},
            subscribe_to=["source"],
        )
        .stage("waits", Waits, subscribe_to=["pool"])
    )
    with topology.start() as run:
        pool = run.task_pool("pool")
        stop = _stop_latency(pool)
        processes = all_processes()
        idle = _idle_cpu(processes, plan.idle)
        spent, began = spent_by(processes), time.perf_counter()
        for index in range(plan.sources):
            run.set_demand(f"source/{index}", "forward")
        wanted = plan.total + plan.sources * -(-plan.each // SAMPLED)
        while (result := pool.query("tasks", timeout=60)).executed < wanted:
            # Half of what it seems to take still: few looks, and a last one that is in time.
            left = (wanted - result.executed) / max(1, result.executed)
            half = left * (time.perf_counter() - began) / 2
            time.sleep(min(max(half, POLL[0]), POLL[1]))
        seconds = time.perf_counter() - began
        return Measured(
            rate=plan.total / seconds,
            cpu=(spent_by(processes) - spent) / plan.total,
            waits=run.call("waits", "waits"),
            frames=2 * result.slices / result.executed,
            idle=idle,
            stop=stop,
        )


def _idle_cpu(processes: list[psutil.Process], seconds: float) -> float:
    """The share of one processor that a run without work takes."""
    before = spent_by(processes[1:])
    time.sleep(seconds)
    return (spent_by(processes[1:]) - before) / seconds


def _stop_latency(pool: TaskPoolHandle) -> float:
    """Seconds from the stop of a query without tasks to its end."""
    pool.start(Query(name="idle", pipelines={"idle": tell}))
    began = time.perf_counter()
    pool.stop("idle")
    return time.perf_counter() - began


# --- rivals ---------------------------------------------------------------------------------------


def run_rival(plan: Plan, side: str) -> Measured:
    """A pool of the standard library, in a program of its own, which leaves nothing behind."""
    command = [sys.executable, "-m", "benchmarks._pool_rivals", side, json.dumps(asdict(plan))]
    ran = subprocess.run(command, capture_output=True, check=True, text=True)
    rate, cpu = map(float, ran.stdout.split())
    return Measured(rate, cpu)


# --- the comparison -------------------------------------------------------------------------------

SIDES: dict[str, Callable[[Plan], Measured]] = {
    "pool": run_pool,
    "global": lambda plan: run_pool(plan, "global"),
    "executor": lambda plan: run_rival(plan, "executor"),
    "mppool": lambda plan: run_rival(plan, "mppool"),
    "map": lambda plan: run_rival(plan, "map"),
    "submit": lambda plan: run_rival(plan, "submit"),
}


NAMES: dict[str, tuple[str, Role]] = {
    "pool": ("TaskPool", "actorflow"),
    "global": ("TaskPool, deal global", "actorflow"),
    "executor": ("ProcessPoolExecutor", "peer"),
    "mppool": ("multiprocessing.Pool", "peer"),
    "map": ("ProcessPoolExecutor.map, chunksize 100", "peer"),
    "submit": ("ProcessPoolExecutor, a call each", "peer"),
}

COUNTS = {"noop": 100_000, "spin": 10_000, "sleep": 2000}
"""How many tasks of each kind come from the sources."""

SCALED = "stateless"

Found = dict[int, dict[str, tuple[Measured, ...]]]
"""What was measured, by the number of workers and by the side."""


def compare(plan: Plan, sides: Sequence[str], rounds: int) -> dict[str, tuple[Measured, ...]]:
    """Let the sides take turns."""
    return alternate({side: partial(SIDES[side], plan) for side in sides}, rounds)


def measure(options: argparse.Namespace) -> Result:
    """Every shape and task that is asked for, over the number of workers."""
    sides = options.side or list(SIDES)
    parts = []
    for shape in options.shape or (["mixed"] if options.quick else SHAPES):
        for task in options.task or (["noop"] if options.quick else TASKS):
            plans = [_plan(shape, task, workers, options) for workers in _workers(shape, options)]
            found = {plan.workers: compare(plan, sides, options.rounds) for plan in plans}
            parts.append(_part(f"{shape}, {task}", found))
    return Result.of_parts(
        parts,
        name="pool",
        title="A pool of tasks",
        measures="Tasks that do nothing (noop), compute for 50 µs (spin) or sleep for 1 ms. They"
        " come from a source (stateless), every hundredth makes fifty (window), two sources end"
        " with a burst of six thousand (join), or all of it (mixed). The pools of the standard"
        " library cannot submit from within a worker: the program submits for them, in chunks of a"
        " hundred.",
    )


def _workers(shape: str, options: argparse.Namespace) -> list[int]:
    if options.workers:
        return list(options.workers)
    # One shape shows how it scales; all of them with each number would take half an hour.
    return [1, 2, 4, 8] if shape == SCALED and not options.quick else [2]


def _plan(shape: str, task: str, workers: int, options: argparse.Namespace) -> Plan:
    plan = Plan(shape, task, workers, options.count or COUNTS[task])
    return replace(plan, count=5000, burst=1000, idle=0.1) if options.quick else plan


def _part(case: str, found: Found) -> Part:
    charts = [
        _chart(f"Tasks per second: {case}", "tasks/s", "more", found, lambda each: each.rate),
        _chart(
            f"Processor time of all processes: {case}",
            "µs/task",
            "less",
            found,
            lambda each: 1e6 * each.cpu,
        ),
    ]
    ours = {
        at: {side: runs for side, runs in by.items() if runs[0].waits} for at, by in found.items()
    }
    if any(ours.values()):
        charts += [
            _chart(
                f"From the source to a worker, {name}: {case}",
                "ms",
                "less",
                ours,
                partial(_wait_at, percentile),
            )
            for name, percentile in (("median", 50), ("99th percentile", 99))
        ]
    findings = [
        Finding(
            name=f"of {NAMES[rival][0]}: {case}, {workers} workers",
            rounds=quotients([x.rate for x in by["pool"]], [x.rate for x in by[rival]]),
        )
        for workers, by in found.items()
        for rival in ("executor", "map", "submit")
        if "pool" in by and rival in by
    ]
    # With the most workers: these are told of the pool itself, and not of each case's tasks.
    for side, runs in ours[max(ours)].items():
        findings += [
            Finding(
                name=f"{name}, {NAMES[side][0]}: {case}", rounds=values, unit=unit, better="less"
            )
            for name, unit, values in (
                ("messages for each task", "messages", tuple(x.frames for x in runs)),
                ("stop of an idle query", "ms", tuple(1e3 * x.stop for x in runs)),
                ("share of a processor without work", "%", tuple(100 * x.idle for x in runs)),
            )
        ]
    return Part(charts=tuple(charts), findings=tuple(findings))


def _wait_at(percentile: int, measured: Measured) -> float:
    """Milliseconds that so many of a hundred admitted tasks waited at most."""
    return 1e3 * percentiles(measured.waits)[percentile]


def _chart(
    title: str, unit: str, better: Better, found: Found, value: Callable[[Measured], float]
) -> Chart:
    sides = dict.fromkeys(side for by in found.values() for side in by)
    return Chart(
        title=title,
        unit=unit,
        parameter="workers",
        better=better,
        series=tuple(
            series(
                *NAMES[side], {at: [value(each) for each in by[side]] for at, by in found.items()}
            )
            for side in sides
        ),
    )


def main(argv: list[str] | None = None) -> int:
    """Run the comparison and print it."""
    options = parser(__doc__, rounds=3)
    options.add_argument("--shape", action="append", choices=SHAPES, help="may be repeated")
    options.add_argument("--task", action="append", choices=TASKS, help="may be repeated")
    options.add_argument("--workers", action="append", type=at_least(1), help="may be repeated")
    options.add_argument("--side", action="append", choices=SIDES, help="may be repeated")
    options.add_argument("--count", type=at_least(2), help="how many tasks come from the sources")
    return publish(measure, options.parse_args(argv))


if __name__ == "__main__":
    raise SystemExit(main())
