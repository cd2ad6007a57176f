"""Pipelines' functions for the tests of the pool; workers import them by name.

What they did is in `RAN`, as long as they run in the test's own process.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

from actorflow.stages.pool import Pipeline, Query, TaskContext

RAN: list[tuple[str, Any]] = []
"""Every call: what it was, and the item."""


def note(item: Any, context: TaskContext) -> None:
    """Only be seen."""
    RAN.append((context.pipeline, item))


def fan(item: list[int], context: TaskContext) -> None:
    """Make so many children: an item is [which, how many]."""
    RAN.append((context.pipeline, item))
    which, count = item
    for number in range(count):
        context.emit([which, number])


def emit(item: Any, context: TaskContext) -> None:
    """Pass the item on."""
    RAN.append((context.pipeline, item))
    context.emit(item)


def again(item: list[int], context: TaskContext) -> None:
    """Be repeated, `item[0]` times, after `item[1]` seconds each."""
    seen = sum(each == (context.pipeline, item) for each in RAN)
    RAN.append((context.pipeline, item))
    if seen < item[0]:
        context.repeat(item[1])


def deeper(left: int, context: TaskContext) -> None:
    """A chain: each makes one child."""
    if left:
        context.emit(left - 1)
    else:
        RAN.append((context.pipeline, left))


def fail(item: Any, context: TaskContext) -> None:
    """Raise, for an item that says so."""
    RAN.append((context.pipeline, item))
    if item == "bad":
        raise ValueError("a bad item")
    context.emit(item)


def started() -> None:
    """A pipeline's start."""
    RAN.append(("start", None))


def fail_to_start() -> None:
    """A pipeline's start that raises."""
    raise ValueError("no start")


def stopped(context: TaskContext) -> None:
    """A pipeline's stop."""
    RAN.append((f"stop {context.pipeline}", None))


def stop_and_emit(context: TaskContext) -> None:
    """A pipeline's stop that has something left."""
    RAN.append((f"stop {context.pipeline}", None))
    context.emit(f"last of {context.pipeline}")


def fail_to_stop(context: TaskContext) -> None:
    """A pipeline's stop that raises."""
    RAN.append((f"stop {context.pipeline}", None))
    raise ValueError("no stop")


def hold(item: list[Any], context: TaskContext) -> None:
    """Reserve `item[1]` and hand it on with the item."""
    RAN.append((context.pipeline, item))
    context.emit(item, lease=context.reserve(item[1]))


def keep(item: list[Any], context: TaskContext) -> None:
    """Be there until it is over; what came with the item stays held."""
    context.repeat(0.05)


def use(item: list[Any], context: TaskContext) -> None:
    """Reserve `item[1]` for the time of this task."""
    context.reserve(item[1])
    RAN.append((context.pipeline, item))


def die_once(item: list[Any], context: TaskContext) -> None:
    """Kill the worker, the first time that the item names a file that is not there."""
    scar = item[1]
    if scar and not Path(scar).exists():
        Path(scar).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    context.emit(item[0])


def again_until(gate: str, context: TaskContext) -> None:
    """Be repeated until the test has made a file."""
    if not Path(gate).exists():
        context.repeat(0.01)


def nap(seconds: float, context: TaskContext) -> None:
    """Take so long."""
    time.sleep(seconds)


def query(name: str = "q", *, sources: Any = None, idempotent: bool = False, **of: Any) -> Query:
    """A query of pipelines, each a `Pipeline` or what it runs; a stop that can be seen for all."""
    pipelines = {
        key: each if isinstance(each, Pipeline) else Pipeline(run=each, stop=stopped)
        for key, each in of.items()
    }
    return Query(name=name, pipelines=pipelines, sources=sources or {}, idempotent=idempotent)


def chain(*runs: Any, name: str = "q", **options: Any) -> Query:
    """Pipelines a, b, c, …, each leading to the next."""
    names = "abcdefgh"[: len(runs)]
    last = len(runs) - 1
    return query(
        name,
        **options,
        **{
            key: Pipeline(run=run, to=[names[at + 1]] if at < last else [], stop=stopped)
            for at, (key, run) in enumerate(zip(names, runs, strict=True))
        },
    )
