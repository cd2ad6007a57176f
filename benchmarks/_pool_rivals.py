"""The pools of the standard library, doing what `benchmarks.pool` measures.

They cannot submit from within a worker, so tasks return how many they would make, and this program
submits those, level by level: a hundred in a call, which is the best that they can do; each with an
answer of its own, a hundred of them sent at a time; or each in a call of its own.

    python -m benchmarks._pool_rivals executor PLAN     prints tasks per second and seconds per task
"""

from __future__ import annotations

import json
import multiprocessing
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any

from benchmarks._pool_plan import Plan, all_processes, spent_by, work

CHUNK = 100

FEWER = 10
"""Of how many tasks one is run when each is a call: it takes as much longer."""

Apply = Callable[[Callable[[Any], int], list[Any]], Iterable[int]]


def run_chunk(chunk: tuple[Plan, list[int]]) -> int:
    """A chunk of tasks of a source, in a worker; returns how many they make."""
    plan, numbers = chunk
    made = 0
    for number in numbers:
        work(plan.task)
        made += plan.children(number)
    return made


def run_children(chunk: tuple[str, int]) -> int:
    """A chunk of tasks that tasks made."""
    task, count = chunk
    for _ in range(count):
        work(task)
    return 0


def by_levels(plan: Plan, apply: Apply, chunk: int = CHUNK) -> str:
    """Apply the tasks of the sources, then those that they make."""
    list(apply(run_children, [("noop", 1)] * plan.workers))
    processes = all_processes()
    spent, began = spent_by(processes), time.perf_counter()
    numbers = list(range(plan.each))
    roots = [(plan, numbers[at : at + chunk]) for at in range(0, plan.each, chunk)]
    made = sum(apply(run_chunk, roots * plan.sources))
    sizes = [chunk] * (made // chunk) + ([made % chunk] if made % chunk else [])
    list(apply(run_children, [(plan.task, size) for size in sizes]))
    if plan.sources * plan.each + made != plan.total:
        raise AssertionError(f"{made} tasks were made, and not what {plan} says")
    seconds = time.perf_counter() - began
    return f"{plan.total / seconds} {(spent_by(processes) - spent) / plan.total}"


def main() -> None:
    """Run one side."""
    side, plan = sys.argv[1], Plan(**json.loads(sys.argv[2]))
    if side == "submit":
        fewer = replace(plan, count=max(plan.sources, plan.count // FEWER))
        with ProcessPoolExecutor(plan.workers) as executor:
            print(by_levels(fewer, executor.map, chunk=1))
    elif side == "map":
        with ProcessPoolExecutor(plan.workers) as executor:
            print(by_levels(plan, partial(executor.map, chunksize=CHUNK), chunk=1))
    elif side == "executor":
        with ProcessPoolExecutor(plan.workers) as executor:
            print(by_levels(plan, executor.map))
    else:
        with multiprocessing.get_context("forkserver").Pool(plan.workers) as pool:
            print(by_levels(plan, pool.imap))


if __name__ == "__main__":
    main()
