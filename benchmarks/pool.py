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
    submit      `ProcessPoolExecutor`, each task a call of its own

The last three cannot submit from within a worker, so tasks return what they would make, and the
program submits it, level by level. A hundred in a call is the best that they can do: nobody knows
which of them is done, or has failed.

    python -m benchmarks.pool
    python -m benchmarks.pool --shape window --task spin --workers 2 --rounds 5 --json
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from itertools import chain
from typing import Any

import psutil

from actorflow import Consumer, Producer, Subscription, Topology
from actorflow.stages.pool import Pipeline, Query, TaskContext, TaskPool, TaskPoolHandle
from benchmarks._pool_plan import SHAPES, TASKS, Plan, all_processes, spent_by, work

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
    "submit": lambda plan: run_rival(plan, "submit"),
}


@dataclass(frozen=True, slots=True)
class Row:
    """One side of one plan, medians of the rounds.

    Args:
        shape: how tasks come.
        task: what they do.
        workers: how many workers.
        side: who ran them.
        rate: tasks per second.
        per_core: the same for each worker, or for each processor when there are fewer.
        ratio: of the executor's rate in the same round; 0 when that did not run.
        cpu: microseconds of all processes for each task.
        wait_p50: milliseconds from the source to the worker.
        wait_p99: the same, for one in a hundred.
        frames: messages between scheduler and workers for each task.
        stop: milliseconds that the stop of an idle query takes.
        idle: share of a processor that all processes take without work.
    """

    shape: str
    task: str
    workers: int
    side: str
    rate: float
    per_core: float
    ratio: float
    cpu: float
    wait_p50: float
    wait_p99: float
    frames: float
    stop: float
    idle: float


def compare(plan: Plan, sides: list[str], rounds: int) -> list[Row]:
    """Alternate the sides."""
    found: dict[str, list[Measured]] = {side: [] for side in sides}
    for _ in range(rounds):
        for side in sides:
            found[side].append(SIDES[side](plan))
    base = [each.rate for each in found.get("executor", [])]
    return [_row(plan, side, measured, base) for side, measured in found.items()]


def _row(plan: Plan, side: str, measured: list[Measured], base: list[float]) -> Row:
    rates = [each.rate for each in measured]
    waits = sorted(chain.from_iterable(each.waits for each in measured))
    rate = statistics.median(rates)
    cores = min(plan.workers, os.cpu_count() or 1)
    return Row(
        shape=plan.shape,
        task=plan.task,
        workers=plan.workers,
        side=side,
        rate=rate,
        per_core=rate / cores,
        ratio=statistics.median(a / b for a, b in zip(rates, base, strict=True)) if base else 0.0,
        cpu=1e6 * statistics.median(each.cpu for each in measured),
        wait_p50=1e3 * waits[len(waits) // 2] if waits else 0.0,
        wait_p99=1e3 * waits[len(waits) * 99 // 100] if waits else 0.0,
        frames=statistics.median(each.frames for each in measured),
        stop=1e3 * statistics.median(each.stop for each in measured),
        idle=statistics.median(each.idle for each in measured),
    )


COUNTS = {"noop": 100_000, "spin": 10_000, "sleep": 2000}
"""How many tasks of each kind come from the sources."""


def main() -> int:
    """Run the comparison and print it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--shape", action="append", choices=SHAPES, help="may be repeated")
    parser.add_argument("--task", action="append", choices=TASKS, help="may be repeated")
    parser.add_argument("--workers", action="append", type=int, help="may be repeated")
    parser.add_argument("--side", action="append", choices=SIDES, help="may be repeated")
    parser.add_argument("--rounds", type=int, default=3, help="alternating runs of each")
    parser.add_argument("--quick", action="store_true", help="only to see that it works")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    rows = []
    for shape in options.shape or (["mixed"] if options.quick else SHAPES):
        for task in options.task or (["noop"] if options.quick else TASKS):
            for workers in options.workers or ([2] if options.quick else [1, 2, 4, 8]):
                plan = Plan(shape, task, workers, COUNTS[task])
                if options.quick:
                    plan = replace(plan, count=200, burst=100, idle=0.01)
                rounds = 1 if options.quick else options.rounds
                rows += compare(plan, options.side or list(SIDES), rounds)
                if not options.json:
                    _print(rows[-len(options.side or SIDES) :], first=len(rows) <= len(SIDES))
    if options.json:
        print(json.dumps({"python": sys.version, "rows": [asdict(row) for row in rows]}))
    return 0


def _print(rows: list[Row], *, first: bool) -> None:
    if first:
        load = os.getloadavg()[0]
        print(f"Python {platform.python_version()}, {os.cpu_count()} cores, load {load:.1f}")
        print(
            f"{'shape':>10} {'task':>6} {'workers':>7} {'side':>9} {'tasks/s':>10} {'per core':>10}"
            f" {'of executor':>11} {'cpu µs':>7} {'p50 ms':>8} {'p99 ms':>8} {'frames':>7}"
            f" {'stop ms':>7} {'idle':>6}"
        )
    for row in rows:
        print(
            f"{row.shape:>10} {row.task:>6} {row.workers:>7} {row.side:>9} {row.rate:>10,.0f}"
            f" {row.per_core:>10,.0f} {row.ratio:>11.2f} {row.cpu:>7.1f} {row.wait_p50:>8.2f}"
            f" {row.wait_p99:>8.2f} {row.frames:>7.3f} {row.stop:>7.2f} {row.idle:>6.1%}",
            flush=True,
        )


if __name__ == "__main__":
    raise SystemExit(main())
