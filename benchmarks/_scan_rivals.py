"""The rivals of the scans, in a program of their own: queues, pipes, and generators without any.

Each gives every number to so many scans that keep the latest, and takes a value for each back.
Prints the seconds that it took, once its processes were there.
"""

from __future__ import annotations

import multiprocessing
import sys
import time
from collections.abc import Callable, Generator
from multiprocessing.connection import Connection, wait
from multiprocessing.reduction import ForkingPickler
from typing import Any


def _from_queue(inputs: Any, values: Any) -> None:
    while (item := inputs.get()) is not None:
        values.put(item)
    values.put(None)


def queues(scans: int, room: int, items: list[Any]) -> int:
    """A `multiprocessing.Queue` for each scan, and one for all values; an item at a time."""
    context = multiprocessing.get_context("fork")
    values = context.Queue()
    inputs = [context.Queue(room) for _ in range(scans)]
    processes = [context.Process(target=_from_queue, args=(each, values)) for each in inputs]
    for process in processes:
        process.start()
    total = 0
    for item in items:
        for each in inputs:
            each.put(item)
        while not values.empty():
            values.get()
            total += 1
    for each in inputs:
        each.put(None)
    running = scans
    while running:
        if values.get() is None:
            running -= 1
        else:
            total += 1
    for process in processes:
        process.join()
    return total


def _from_pipe(pipe: Connection) -> None:
    while (items := pipe.recv()) is not None:
        pipe.send(items)


def pipes(scans: int, room: int, items: list[Any]) -> int:
    """A pipe for each scan; as many items at a time as there is room for, encoded for each."""

    def send(pipes: list[Connection], part: list[Any]) -> None:
        for pipe in pipes:
            pipe.send(part)

    return _through_pipes(scans, room, items, send)


def shared(scans: int, room: int, items: list[Any]) -> int:
    """The same, with what goes to all of them encoded once."""

    def send(pipes: list[Connection], part: list[Any]) -> None:
        body = ForkingPickler.dumps(part)
        for pipe in pipes:
            pipe.send_bytes(body)

    return _through_pipes(scans, room, items, send)


def _through_pipes(
    scans: int, room: int, items: list[Any], send: Callable[[list[Connection], list[Any]], None]
) -> int:
    context = multiprocessing.get_context("fork")
    pairs = [context.Pipe() for _ in range(scans)]
    processes = [context.Process(target=_from_pipe, args=(theirs,)) for _, theirs in pairs]
    for process in processes:
        process.start()
    ours = [mine for mine, _ in pairs]
    total = 0
    for start in range(0, len(items), room):
        part = items[start : start + room]
        send(ours, part)
        waiting = list(ours)
        while waiting:
            for ready in wait(waiting):
                assert isinstance(ready, Connection)
                total += len(ready.recv())
                waiting.remove(ready)
    for pipe in ours:
        pipe.send(None)
    for process in processes:
        process.join()
    return total


def _keep() -> Generator[Any, Any, None]:
    item = None
    while True:
        item = yield item


def generators(scans: int, room: int, items: list[Any]) -> int:
    """A generator for each scan, in this process: no buffer, no other processor."""
    running = [_keep() for _ in range(scans)]
    for each in running:
        next(each)
    total = 0
    for item in items:
        for each in running:
            each.send(item)
            total += 1
    return total


SIDES = {"queues": queues, "pipes": pipes, "pipes once": shared, "generators": generators}


def main(side: str, scans: int, room: int, count: int, size: int) -> None:
    """Print the values that came back, and the seconds."""
    items: list[Any] = [b"x" * size] * count if size else list(range(count))
    began = time.perf_counter()
    total = SIDES[side](scans, room, items)
    print(total, time.perf_counter() - began)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
