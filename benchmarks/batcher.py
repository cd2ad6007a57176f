"""The batcher: what a batch saves, what an item costs, and how good each policy is under load.

trips         five round trips of a millisecond for an item, or for a batch of four
items         items per second through a processor that does nothing, and the batcher's own
              processor time for each, beside calls to a plain stage that echoes
rejections    items per second that find no room
shutdown      seconds to process and answer 10 000 items that wait, by a flush
policies      in virtual time: Poisson arrivals, Zipf keys, Erlang processing, a connection that
              takes 300 ms the first time and 1 ms afterwards, 10 % errors
upstream      the long run of batch-aint-one's own simulator, in virtual time: 500 items per second,
              one batch of a key at a time, 10 % of acquisitions and of batches fail; it has to keep
              up, with more than one item in a batch

python -m benchmarks.batcher
python -m benchmarks.batcher --part trips --part items --rounds 5 --json
"""

from __future__ import annotations

import argparse
import gc
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from actorflow import Batcher, BatchRejected, Producer, Run, Topology
from actorflow.stages.batcher import Duration, Immediate, Limits, Size
from actorflow.supervision import operations
from benchmarks._batcher_load import run_policies, run_upstream
from benchmarks._suite import (
    Chart,
    Finding,
    Part,
    Result,
    Series,
    alternate,
    at_least,
    parser,
    publish,
    quotients,
    series,
)

TRIPS, TRIP, BATCH = 5, 0.001, 4
CALLERS = 5 * BATCH
"""Two batches are under way, and a slow moment of the callers empties no queue."""


# --- trips ----------------------------------------------------------------------------------------


def trips(key: Any, inputs: list[Any]) -> list[Any]:
    """Five round trips, whatever the number of items; each ends a millisecond after it began."""
    began = time.perf_counter()
    for trip in range(1, TRIPS + 1):
        time.sleep(max(0.0, began + trip * TRIP - time.perf_counter()))
    return inputs


@contextmanager
def without_collections() -> Iterator[None]:
    """As `timeit` measures: no collection of all that a benchmark has imported, which takes 50 ms.

    That is ten batches that wait for their callers.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def closed_loop(batcher: Batcher, items: int, callers: int) -> float:
    """Items per second with so many callers, each of which gives its next item when it is answered.

    The first few are not counted: by then every caller waits for its turn.
    """
    answered: SimpleQueue[Future[Any]] = SimpleQueue()
    for caller in range(callers):
        batcher.submit("shop", caller).add_done_callback(answered.put)
    began, skip = time.perf_counter(), 2 * callers
    for done in range(items + skip):
        answered.get().result()
        batcher.submit("shop", done).add_done_callback(answered.put)
        if done == skip:
            began = time.perf_counter()
    seconds = time.perf_counter() - began
    for _ in range(callers):
        answered.get().result()
    return (items - 1) / seconds


def one_at_a_time(items: int) -> float:
    """Items per second in a loop."""
    with without_collections():
        began = time.perf_counter()
        for item in range(items):
            trips("shop", [item])
        return items / (time.perf_counter() - began)


def in_batches(size: int, items: int) -> float:
    """Items per second in batches of at most so many, one after the other in one worker.

    The next one is under way too: it waits in the worker's pipe.
    """
    limits = Limits(max_batch_size=size, max_key_concurrency=2, max_batch_queue_size=64)
    started = Batcher.start(trips, policy=Immediate(), limits=limits, workers=1)
    with started as one, without_collections():
        return closed_loop(one, items, CALLERS)


def run_trips(items: int, rounds: int) -> Part:
    """One item at a time in a loop, one in a batch, and four in a batch."""
    rates = alternate(
        {
            "a loop": lambda: one_at_a_time(items // BATCH),
            "batches of 1": lambda: in_batches(1, items),
            f"batches of {BATCH}": lambda: in_batches(BATCH, items),
        },
        rounds,
    )
    floor, single, batches = rates.values()
    return Part(
        charts=(
            Chart(
                title=f"{TRIPS} round trips of {1000 * TRIP:g} ms for each batch",
                unit="items/s",
                parameter="",
                series=(
                    series("a loop", "floor", {"": floor}),
                    series("batches of 1", "actorflow", {"": single}),
                    series(f"batches of {BATCH}", "actorflow", {"": batches}),
                ),
            ),
        ),
        findings=(
            Finding(
                name=f"batches of {BATCH} of a loop",
                rounds=quotients(batches, floor),
                targets=("batches_of_four",),
            ),
        ),
    )


# --- items ----------------------------------------------------------------------------------------


def nothing(key: Any, inputs: list[Any]) -> list[Any]:
    """A processor that does nothing."""
    return inputs


class Echo(Producer):
    """What a call costs without a batcher."""

    def handle_demand(self, demand: int) -> None:
        """It has no events."""

    def handle_call(self, request: Any, sender: Any) -> Any:
        """The request itself."""
        return request


def echo(run: Run, item: int) -> Future[Any]:
    """One call, not waited for."""
    return run.handle.begin(lambda core: operations.call(core, "echo", item))


def cpu_seconds(pid: int) -> float:
    """Processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def pid_of(children: Any, stage: str) -> int:
    """The process of a stage."""
    return next(int(child.pid) for child in children if str(child.id).startswith(stage))


def flood(submit: Callable[[int], Future[Any]], items: int, at_once: int = 500) -> float:
    """Items per second with so many under way."""
    began = time.perf_counter()
    for start in range(0, items, at_once):
        futures = [submit(item) for item in range(start, min(start + at_once, items))]
        for future in futures:
            future.result()
    return items / (time.perf_counter() - began)


@dataclass(frozen=True, slots=True)
class Flooded:
    """Items per second, and microseconds of the processor that each took of one process."""

    rate: float
    processor: float


def _measured(run: Run, stage: str, submit: Callable[[int], Future[Any]], items: int) -> Flooded:
    pid = pid_of(run.which_children(), stage)
    before = cpu_seconds(pid)
    rate = flood(submit, items)
    return Flooded(rate, 1e6 * (cpu_seconds(pid) - before) / items)


def calls(items: int) -> Flooded:
    """Calls to a stage that echoes."""
    with Topology("echo").stage("echo", Echo).start() as run:
        run.call("echo", 0, timeout=30)
        return _measured(run, "echo", partial(echo, run), items)


def batched(workers: Any, keys: int, items: int) -> Flooded:
    """A batcher whose processor does nothing."""
    limits = Limits(max_batch_queue_size=1000)
    started = Batcher.start(nothing, policy=Immediate(), limits=limits, workers=workers)
    with started as batcher:
        batcher.add(0, 0)
        assert batcher.run is not None
        submit = partial(_submit, batcher, keys)
        # Each key comes at least once.
        return _measured(batcher.run, "batcher", submit, max(items, keys))


def _submit(batcher: Batcher, keys: int, item: int) -> Future[Any]:
    return batcher.submit(item % keys, item)


FEW = 1000
"""With fewer items than these many keys are not tried."""

ECHO = "calls to a stage that echoes"


def run_items(items: int, rounds: int) -> Part:
    """Each kind of worker, few keys and, with enough items, many; calls to a stage that echoes."""
    sides: dict[str, Callable[[], Flooded]] = {
        ECHO: partial(calls, items),
        "inline, 1 key": partial(batched, "inline", 1, items),
        "a thread, 1 key": partial(batched, "thread", 1, items),
        "a process, 1 key": partial(batched, 1, 1, items),
    }
    if items >= FEW:
        sides["inline, 1000 keys"] = partial(batched, "inline", 1000, items)
        sides["inline, 100 000 keys"] = partial(batched, "inline", 100_000, items)
    found = alternate(sides, rounds)
    rates = {side: [each.rate for each in runs] for side, runs in found.items()}
    costs = {side: [each.processor for each in runs] for side, runs in found.items()}
    return Part(
        charts=(
            Chart(
                title="A processor that does nothing",
                unit="items/s",
                parameter="",
                series=_beside_echo(rates),
            ),
            Chart(
                title="Processor time of the batcher's process",
                unit="µs/item",
                parameter="",
                better="less",
                series=_beside_echo(costs),
            ),
        ),
        findings=(
            Finding(
                name="items inline of plain calls",
                rounds=quotients(rates["inline, 1 key"], rates[ECHO]),
            ),
        ),
    )


def _beside_echo(values: Mapping[str, Sequence[float]]) -> tuple[Series, ...]:
    return tuple(
        series(side, "floor" if side == ECHO else "actorflow", {"": found})
        for side, found in values.items()
    )


# --- rejections and shutdown ----------------------------------------------------------------------


def refused(items: int) -> float:
    """Items per second that find no room: a batch of one waits for its time."""
    limits = Limits(max_batch_size=1, max_batch_queue_size=1)
    policy = Duration(60.0, "wait_deadline")
    batcher = Batcher.start(nothing, policy=policy, limits=limits, workers="inline")
    batcher.submit("key", 0)
    batcher.stats(30)
    began = time.perf_counter()
    answers = [batcher.submit("key", item) for item in range(items)]
    assert all(isinstance(each.exception(), BatchRejected) for each in answers)
    rate = items / (time.perf_counter() - began)
    batcher.shut_down("abort")
    batcher.wait_for_shutdown(30)
    return rate


def run_rejections(items: int, rounds: int) -> Part:
    """Everything but one item finds no room."""
    rates = [refused(items) for _ in range(rounds)]
    only = series("a full key", "actorflow", {"": rates})
    return Part(charts=(Chart(title="Rejections", unit="items/s", parameter="", series=(only,)),))


def flushed(items: int) -> float:
    """Seconds to process parts of batches of many keys, that nothing but a flush would start."""
    batcher = Batcher.start(nothing, policy=Size(), workers="thread")
    futures = [batcher.submit(item % 200, item) for item in range(items)]
    batcher.stats(60)
    began = time.perf_counter()
    batcher.shut_down("flush")
    report = batcher.wait_for_shutdown(120)
    seconds = time.perf_counter() - began
    assert report.replied == items == sum(future.done() for future in futures)
    return seconds


def run_shutdown(items: int, rounds: int) -> Part:
    """How long a flush takes."""
    seconds = [flushed(items) for _ in range(rounds)]
    only = series(f"flush of {items:,} items", "actorflow", {"": seconds})
    chart = Chart(title="Shutdown", unit="s", parameter="", better="less", series=(only,))
    return Part(charts=(chart,))


# --- all of it ------------------------------------------------------------------------------------

PARTS: dict[str, Callable[[int, int], Part]] = {
    "trips": run_trips,
    "items": run_items,
    "rejections": run_rejections,
    "shutdown": run_shutdown,
    "policies": run_policies,
    "upstream": run_upstream,
}
ITEMS = {
    "trips": 800,
    "items": 20_000,
    "rejections": 5_000,
    "shutdown": 10_000,
    "policies": 5_000,
    "upstream": 100_000,
}
QUICK = {
    "trips": 80,
    "items": 500,
    "rejections": 500,
    "shutdown": 1_000,
    "policies": 500,
    "upstream": 5_000,
}
"""How many items each part has; few are enough to see where one stands."""


def measure(options: argparse.Namespace) -> Result:
    """The parts that are asked for."""
    items = QUICK if options.quick else ITEMS
    return Result.of_parts(
        (
            PARTS[part](options.items or items[part], options.rounds)
            for part in options.part or list(PARTS)
        ),
        name="batcher",
        title="The batcher",
        measures="What a batch saves where each call has round trips; what an item costs where the"
        " processor does nothing, beside calls to a plain stage; how fast it refuses and how fast"
        " it flushes; and its policies under load in virtual time: Poisson arrivals, Zipf keys,"
        " Erlang processing, a connection that takes 300 ms the first time and 1 ms afterwards,"
        " 10 % errors; and the long run of batch-aint-one's simulator, in which they have to keep"
        " up.",
    )


def main(argv: list[str] | None = None) -> int:
    """Measure and print."""
    options = parser(__doc__, rounds=3)
    options.add_argument("--part", action="append", choices=list(PARTS), help="all when left out")
    options.add_argument(
        "--items", type=at_least(20), help="of each run; a number of its own for each part"
    )
    return publish(measure, options.parse_args(argv))


if __name__ == "__main__":
    raise SystemExit(main())
