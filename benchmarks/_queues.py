"""The pipelines, the fans and the latency by `multiprocessing.Queue`, in a program of their own.

    python -m benchmarks._queues pipeline EVENTS MAX_DEMAND KIND
    python -m benchmarks._queues latency EVENTS RATE
    python -m benchmarks._queues fan SHAPE EVENTS MAX_DEMAND

Each queue has room for the two batches that a window has. An end marker is what users write.
"""

from __future__ import annotations

import multiprocessing
import sys
import time
from collections.abc import Callable
from typing import Any

from benchmarks._kinds import KINDS
from benchmarks._programs import say

WAYS = 4
BATCHES = 2

fork = multiprocessing.get_context("fork")


def pipeline(count: str, max_demand: str, kind: str) -> list[float]:
    """A makes batches, B changes them, C adds up; the total, and C's seconds."""
    events, size, what = int(count), max(1, int(max_demand) // 2), KINDS[kind]
    first, second, answer = fork.Queue(BATCHES), fork.Queue(BATCHES), fork.SimpleQueue()

    def make() -> None:
        for start in range(0, events, size):
            first.put(list(what.make(start, min(events, start + size))))
        first.put(None)

    def change() -> None:
        while (batch := first.get()) is not None:
            second.put(what.change(batch))
        second.put(None)

    def add() -> None:
        answer.put(_added_up(second, what.value, 1))

    total, began, ended = _run([make, change, add], answer, 1)[0]
    return [total, ended - began]


def latency(count: str, rate: str) -> list[float]:
    """Events at a low rate through three processes; how many seconds each was under way."""
    events, pause = int(count), 1 / float(rate)
    first, second, answer = fork.Queue(), fork.Queue(), fork.SimpleQueue()

    def make() -> None:
        for _ in range(events):
            time.sleep(pause)
            first.put(time.perf_counter())
        first.put(None)

    def pass_on() -> None:
        while (stamp := first.get()) is not None:
            second.put(stamp)
        second.put(None)

    def receive() -> None:
        delays = []
        while (stamp := second.get()) is not None:
            delays.append(time.perf_counter() - stamp)
        answer.put(delays)

    found: list[float] = _run([make, pass_on, receive], answer, 1)[0]
    return found


def fan(shape: str, count: str, max_demand: str) -> list[float]:
    """One to four (broadcast, partition) or four to one (fan-in); totals, and the seconds."""
    events, size = int(count), max(1, int(max_demand) // 2)
    queues = [fork.Queue(BATCHES) for _ in range(1 if shape == "fan-in" else WAYS)]
    answer = fork.SimpleQueue()

    def deal() -> None:
        for start in range(0, events, size):
            batch = list(range(start, min(events, start + size)))
            for way, queue in enumerate(queues):
                queue.put(batch if shape == "broadcast" else batch[(way - start) % WAYS :: WAYS])
        for queue in queues:
            queue.put(None)

    def make() -> None:
        for start in range(0, events // WAYS, size):
            queues[0].put(list(range(start, min(events // WAYS, start + size))))
        queues[0].put(None)

    def add(queue: Any) -> Callable[[], None]:
        return lambda: answer.put(_added_up(queue, sum, WAYS if shape == "fan-in" else 1))

    makers = [make] * WAYS if shape == "fan-in" else [deal]
    found = _run([*makers, *map(add, queues)], answer, len(queues))
    seconds = max(ended for *_, ended in found) - min(began for _, began, _ in found)
    return [sum(total for total, *_ in found), seconds]


def _added_up(queue: Any, value: Callable[[list[Any]], int], ends: int) -> list[float]:
    total, began, ended = 0, 0.0, 0.0
    while ends:
        batch = queue.get()
        if batch is None:
            ends -= 1
            continue
        began = began or time.perf_counter()
        total += value(batch)
        ended = time.perf_counter()
    return [total, began, ended]


def _run(acts: list[Callable[[], None]], answer: Any, answers: int) -> list[Any]:
    """Each in a process of its own; the answers that they put."""
    processes = [fork.Process(target=act, daemon=True) for act in acts]
    for process in processes:
        process.start()
    found = [answer.get() for _ in range(answers)]
    for process in processes:
        process.join()
    return found


JOBS: dict[str, Callable[..., list[float]]] = {
    "pipeline": pipeline,
    "latency": latency,
    "fan": fan,
}

if __name__ == "__main__":
    say(JOBS[sys.argv[1]](*sys.argv[2:]))
