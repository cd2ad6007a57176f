"""One peer of `kill_one_worker`, in a process of its own.

It prints lines of JSON: each item as it comes back, then the time and what the caller saw.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from actorflow import ProducerConsumer, SubscribeTo, Subscription, Topology
from actorflow.stages.sources import Items

ITEMS = 16
SECONDS = 0.1
KILLER = 5
WORKERS = 2


def work(task: tuple[int, str]) -> int:
    """A tenth of a second of work; the first who has item 5 in hand is killed."""
    item, marker = task
    if item == KILLER:
        try:
            os.close(os.open(marker, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            pass
        else:
            os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(SECONDS)
    return item


class Work(ProducerConsumer):
    """The same as a stage."""

    def handle_events(self, events: list[Any], subscription: Subscription) -> list[int]:
        """Work on each."""
        return [work((item, marker)) for item, marker in events]


def by_actorflow(tasks: list[tuple[int, str]]) -> Iterator[int]:
    """Two replicas of a stage, and the program takes what they make."""
    topology = (
        Topology("work")
        .stage("tasks", Items, args={"items": tasks})
        .stage("work", Work, replicas=WORKERS, subscribe_to=[SubscribeTo("tasks", max_demand=1)])
    )
    with topology.start() as run, run.stream("work") as stream:
        yield from stream


def by_multiprocessing(tasks: list[tuple[int, str]]) -> Iterator[int]:
    """`multiprocessing.Pool.imap_unordered`."""
    import multiprocessing

    with multiprocessing.Pool(WORKERS) as pool:
        yield from pool.imap_unordered(work, tasks)


def by_concurrent_futures(tasks: list[tuple[int, str]]) -> Iterator[int]:
    """`concurrent.futures.ProcessPoolExecutor`."""
    from concurrent.futures import ProcessPoolExecutor, as_completed

    with ProcessPoolExecutor(WORKERS) as pool:
        for future in as_completed([pool.submit(work, task) for task in tasks]):
            yield future.result()


def by_loky(tasks: list[tuple[int, str]]) -> Iterator[int]:
    """`loky.ProcessPoolExecutor`."""
    from concurrent.futures import as_completed

    import loky

    with loky.ProcessPoolExecutor(WORKERS) as pool:
        for future in as_completed([pool.submit(work, task) for task in tasks]):
            yield future.result()


def by_billiard(tasks: list[tuple[int, str]]) -> Iterator[int]:
    """`billiard.Pool.imap_unordered`, Celery's pool."""
    import billiard

    with billiard.Pool(WORKERS) as pool:
        yield from pool.imap_unordered(work, tasks)


def by_mpire(tasks: list[tuple[int, str]]) -> Iterator[int]:
    """`mpire.WorkerPool.imap_unordered`."""
    from mpire import WorkerPool

    with WorkerPool(WORKERS) as pool:
        yield from pool.imap_unordered(work, [(task,) for task in tasks])


def by_pypeln(tasks: list[tuple[int, str]]) -> Iterator[int]:
    """`pypeln.process.map`."""
    import pypeln

    yield from pypeln.process.map(work, tasks, workers=WORKERS)


PEERS: dict[str, Callable[[list[tuple[int, str]]], Iterator[int]]] = {
    "actorflow": by_actorflow,
    "multiprocessing.Pool": by_multiprocessing,
    "concurrent.futures": by_concurrent_futures,
    "loky": by_loky,
    "billiard": by_billiard,
    "mpire": by_mpire,
    "pypeln.process": by_pypeln,
}


def main(name: str, marker: str) -> None:
    """Run one peer; each item is a line as soon as it comes, so that a hang loses none of them."""
    began = time.monotonic()
    saw = "nothing"
    try:
        for item in PEERS[name]([(item, marker) for item in range(ITEMS)]):
            print(json.dumps({"item": item}), flush=True)
    except ImportError:
        saw = "not installed"
    except Exception as error:  # noqa: BLE001  (what it is, is the result)
        saw = type(error).__name__
    print(json.dumps({"seconds": time.monotonic() - began, "saw": saw}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
