"""The integer pipeline by what users pick instead, one peer in a program of its own.

    python -m benchmarks._pipeline_peers PEER EVENTS MAX_DEMAND

The numbers are made here, one worker doubles them, and they are added up here; per event, except
for Ray, whose three actors pass on the same batches as ours. A pool's worker is there before the
time begins; pypeln's begins with its first result.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from benchmarks._programs import say

Answer = list[float]
"""The total, and the seconds that it took."""


def double(event: int) -> int:
    """What the stage in the middle does."""
    return 2 * event


def added_up(results: Iterable[int]) -> Answer:
    """The total of what comes, from now on."""
    began = time.perf_counter()
    total = sum(results)
    return [total, time.perf_counter() - began]


def by_pool(events: int, max_demand: int) -> Answer:
    """`multiprocessing.Pool.imap`."""
    from multiprocessing import Pool

    with Pool(1) as pool:
        pool.apply(double, (1,))
        return added_up(pool.imap(double, range(events)))


def by_futures(events: int, max_demand: int) -> Answer:
    """`concurrent.futures.ProcessPoolExecutor.map`."""
    from concurrent.futures import ProcessPoolExecutor

    with ProcessPoolExecutor(1) as pool:
        pool.submit(double, 1).result()
        # Timed with the call, which submits everything before it gives anything.
        return added_up(result for _ in range(1) for result in pool.map(double, range(events)))


def by_mpire(events: int, max_demand: int) -> Answer:
    """`mpire.WorkerPool.imap`."""
    from mpire import WorkerPool

    with WorkerPool(n_jobs=1, keep_alive=True) as pool:
        pool.map(double, [1])
        return added_up(pool.imap(double, range(events), iterable_len=events, chunk_size=1))


def by_pypeln(events: int, max_demand: int) -> Answer:
    """`pypeln.process.map`."""
    import pypeln

    results: Iterator[int] = iter(
        pypeln.process.map(double, range(events), workers=1, maxsize=max_demand)
    )
    first = next(results)
    total, seconds = added_up(results)
    return [total + first, seconds]


def by_pykka(events: int, max_demand: int) -> Answer:
    """Three actors on threads."""
    import pykka

    class Total(pykka.ThreadingActor):
        def __init__(self) -> None:
            super().__init__()
            self.total = 0

        def on_receive(self, message: Any) -> int:
            if message is None:
                return self.total
            self.total += message
            return 0

    class Double(pykka.ThreadingActor):
        def __init__(self, to: Any) -> None:
            super().__init__()
            self.to = to

        def on_receive(self, message: Any) -> Any:
            return self.to.ask(None) if message is None else self.to.tell(2 * message)

    total = Total.start()
    middle = Double.start(total)
    began = time.perf_counter()
    for event in range(events):
        middle.tell(event)
    answer: Any = middle.ask(None)
    seconds = time.perf_counter() - began
    pykka.ActorRegistry.stop_all()
    return [answer, seconds]


def by_ray(events: int, max_demand: int) -> Answer:
    """Three Ray actors, with as many batches under way as our window has."""
    import ray

    class Numbers:
        def make(self, start: int, end: int) -> list[int]:
            return list(range(start, end))

    class Double:
        def change(self, batch: list[int]) -> list[int]:
            return [2 * event for event in batch]

    class Total:
        total = 0

        def add(self, batch: list[int]) -> int:
            self.total += sum(batch)
            return self.total

    ray.init(num_cpus=3, include_dashboard=False, log_to_driver=False, logging_level="error")
    numbers, middle, total = (ray.remote(kind).remote() for kind in (Numbers, Double, Total))
    size = max(1, max_demand // 2)

    def begin(start: int) -> Any:
        end = min(events, start + size)
        return total.add.remote(middle.change.remote(numbers.make.remote(start, end)))

    ray.get(begin(events))  # an empty batch: the actors are there
    under_way: deque[Any] = deque()
    began, answer = time.perf_counter(), 0
    for start in range(0, events, size):
        if len(under_way) == 2:
            ray.get(under_way.popleft())
        under_way.append(begin(start))
    while under_way:
        answer = ray.get(under_way.popleft())
    seconds = time.perf_counter() - began
    ray.shutdown()
    return [answer, seconds]


PEERS: dict[str, Callable[[int, int], Answer]] = {
    "Pool.imap": by_pool,
    "concurrent.futures": by_futures,
    "mpire": by_mpire,
    "pypeln.process": by_pypeln,
    "pykka threads": by_pykka,
    "ray": by_ray,
}


def main(peer: str, events: str, max_demand: str) -> None:
    """Run one."""
    try:
        say(PEERS[peer](int(events), int(max_demand)))
    except ImportError:
        say(why="not installed")


if __name__ == "__main__":
    main(*sys.argv[1:])
