"""A consumer that is slower than its source, by each peer, in a program of its own.

    python -m benchmarks._slow_sinks PEER FILE

Runs until it is killed; makes the file when the first event has been consumed.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from actorflow import Consumer, Producer, Subscription, Topology
from benchmarks._programs import say

SIZE = 10_000
"""Bytes of an event."""

PER_EVENT = 0.01
"""Seconds that the consumer takes for one."""

AT_MOST = 1000
"""Events per second that a source makes: enough to outrun the consumer, and not the machine."""


def event_of(number: int) -> bytes:
    """The bytes of an event."""
    return number.to_bytes(8, "little") * (SIZE // 8)


def made() -> Iterator[bytes]:
    """Events without end, at the source's rate."""
    number = 0
    while True:
        time.sleep(0.01)
        for _ in range(AT_MOST // 100):
            number += 1
            yield event_of(number)


FILE = "BENCHMARK_FIRST_EVENT"
"""The environment variable with the file's name: the consumer may be in another process."""


def take(event: bytes) -> int:
    """What the consumer does."""
    time.sleep(PER_EVENT)
    if event[:8] == FIRST:
        Path(os.environ[FILE]).touch()
    return len(event)


FIRST = event_of(1)[:8]


class Made(Producer):
    """The source as a stage: no more than is wanted, however fast it could be."""

    number = 1

    def handle_demand(self, demand: int) -> list[bytes]:
        """The next events."""
        start, self.number = self.number, self.number + demand
        return [event_of(number) for number in range(start, self.number)]


class Take(Consumer):
    """The consumer as a stage."""

    def handle_events(self, events: list[bytes], subscription: Subscription) -> None:
        """One after the other."""
        for event in events:
            take(event)


def by_actorflow() -> None:
    """Two stages."""
    topology = Topology("slow").stage("made", Made).stage("take", Take, subscribe_to=["made"])
    with topology.start() as run:
        run.wait()


def by_pool() -> None:
    """`multiprocessing.Pool.imap`: its thread takes what its pipe has room for."""
    from multiprocessing import Pool

    with Pool(1) as pool:
        _exhaust(pool.imap(take, made()))


def by_futures() -> None:
    """`ProcessPoolExecutor.submit` for each event."""
    from concurrent.futures import ProcessPoolExecutor

    with ProcessPoolExecutor(1) as pool:
        for event in made():
            pool.submit(take, event)


def by_queue() -> None:
    """A `multiprocessing.Queue` as it is made without arguments, between two processes."""
    from multiprocessing import Process, Queue

    queue: Any = Queue()

    def consume() -> None:
        while True:
            take(queue.get())

    Process(target=consume, daemon=True).start()
    for event in made():
        queue.put(event)


def by_pykka() -> None:
    """An actor on a thread: its inbox has no end."""
    import pykka

    class Takes(pykka.ThreadingActor):
        def on_receive(self, message: Any) -> Any:
            return take(message)

    actor = Takes.start()
    for event in made():
        actor.tell(event)


def by_mpire() -> None:
    """`mpire.WorkerPool.imap`."""
    from mpire import WorkerPool

    with WorkerPool(n_jobs=1) as pool:
        _exhaust(pool.imap(take, made(), iterable_len=1 << 40, chunk_size=1))


def by_pypeln() -> None:
    """`pypeln.process.map`."""
    import pypeln

    _exhaust(pypeln.process.map(take, made(), workers=1))


def _exhaust(results: Any) -> None:
    for _ in results:
        continue


PEERS: dict[str, Callable[[], None]] = {
    "actorflow": by_actorflow,
    "multiprocessing.Queue": by_queue,
    "Pool.imap": by_pool,
    "concurrent.futures": by_futures,
    "pykka threads": by_pykka,
    "mpire": by_mpire,
    "pypeln.process": by_pypeln,
}


def main(peer: str, file: str) -> None:
    """Run one, until it is killed."""
    os.environ[FILE] = file
    try:
        PEERS[peer]()
    except ImportError:
        say(why="not installed")


if __name__ == "__main__":
    main(*sys.argv[1:])
