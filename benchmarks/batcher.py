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
import heapq
import itertools
import json
import os
import platform
import random
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from actorflow import (
    Batcher,
    BatchFailed,
    BatchRejected,
    Producer,
    ResourceAcquisitionFailed,
    Run,
    Topology,
)
from actorflow.stages.batcher import Balanced, Duration, Immediate, Limits, Size
from actorflow.stages.batcher.commands import Acquire, Answer, Process, Release
from actorflow.stages.batcher.core import BatcherCore
from actorflow.supervision import operations

TARGET = 3.9
"""Of what one item at a time gets, with batches of four: 780 of 200 items per second."""

TRIPS, TRIP, BATCH = 5, 0.001, 4


@dataclass(frozen=True)
class Row:
    """One line of the result."""

    part: str
    what: str
    value: float
    unit: str
    more: dict[str, float] = field(default_factory=dict)


# --- trips ----------------------------------------------------------------------------------------


def trips(key: Any, inputs: list[Any]) -> list[Any]:
    """Five round trips, whatever the number of items; each ends a millisecond after it began."""
    began = time.perf_counter()
    for trip in range(1, TRIPS + 1):
        time.sleep(max(0.0, began + trip * TRIP - time.perf_counter()))
    return inputs


def closed_loop(batcher: Batcher, items: int, callers: int) -> float:
    """Items per second with so many callers, each of which gives its next item when it is answered.

    The first few are not counted: by then every caller waits for its turn.
    """
    counted = itertools.count()
    pending = {batcher.submit("shop", 0) for _ in range(callers)}
    began, skip = time.perf_counter(), 2 * callers
    for done in range(items + skip):
        while not any(each.done() for each in pending):
            wait(pending, return_when="FIRST_COMPLETED")
        first = next(each for each in pending if each.done())
        first.result()
        pending.remove(first)
        pending.add(batcher.submit("shop", next(counted)))
        if done == skip:
            began = time.perf_counter()
    seconds = time.perf_counter() - began
    wait(pending)
    return (items - 1) / seconds


def run_trips(items: int, rounds: int) -> list[Row]:
    """One item at a time in a loop, one in a batch, and four in a batch."""
    rates: dict[str, list[float]] = {"a loop": [], "batches of 1": [], "batches of 4": []}
    for _ in range(rounds):
        began = time.perf_counter()
        for item in range(items // BATCH):
            trips("shop", [item])
        rates["a loop"].append(items // BATCH / (time.perf_counter() - began))
        for size in (1, BATCH):
            limits = Limits(max_batch_size=size, max_key_concurrency=1, max_batch_queue_size=64)
            with Batcher.start(trips, policy=Immediate(), limits=limits, workers=1) as one:
                rates[f"batches of {size}"].append(closed_loop(one, items, 3 * BATCH))
    found = {what: statistics.median(each) for what, each in rates.items()}
    return [
        Row("trips", what, rate, "items/s", {"ratio": rate / found["a loop"]})
        for what, rate in found.items()
    ]


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


def run_items(items: int, rounds: int) -> list[Row]:
    """Each kind of worker, few keys and many, and calls to a stage that echoes."""
    cases = [("inline", 1), ("thread", 1), (1, 1), ("inline", 1000), ("inline", 100_000)]
    rates: dict[str, list[float]] = {}
    costs: dict[str, list[float]] = {}
    for _ in range(rounds):
        with Topology("echo").stage("echo", Echo).start() as run:
            run.call("echo", 0, timeout=30)
            pid = pid_of(run.which_children(), "echo")
            before = cpu_seconds(pid)
            rate = flood(partial(echo, run), items)
            rates.setdefault("calls to a stage that echoes", []).append(rate)
            spent = (cpu_seconds(pid) - before) / items
            costs.setdefault("calls to a stage that echoes", []).append(spent)
        for workers, keys in cases:
            what = f"workers {workers}, keys {keys}"
            limits = Limits(max_batch_queue_size=1000)
            started = Batcher.start(nothing, policy=Immediate(), limits=limits, workers=workers)
            with started as batcher:
                batcher.add(0, 0)
                assert batcher.run is not None
                pid = pid_of(batcher.run.which_children(), "batcher")
                before = cpu_seconds(pid)
                # Each key comes at least once.
                count = items if keys <= items or items < 1000 else keys
                rate = flood(lambda item, k=keys: batcher.submit(item % k, item), count)
                rates.setdefault(what, []).append(rate)
                spent = cpu_seconds(pid) - before
                costs.setdefault(what, []).append(spent / count)
    return [
        Row(
            "items",
            what,
            statistics.median(each),
            "items/s",
            {"microseconds": 1e6 * statistics.median(costs[what])},
        )
        for what, each in rates.items()
    ]


# --- rejections and shutdown ----------------------------------------------------------------------


def run_rejections(items: int, rounds: int) -> list[Row]:
    """A batch of one waits for its time; everything else finds no room."""
    rates = []
    for _ in range(rounds):
        limits = Limits(max_batch_size=1, max_batch_queue_size=1)
        policy = Duration(60.0, "wait_deadline")
        batcher = Batcher.start(nothing, policy=policy, limits=limits, workers="inline")
        batcher.submit("key", 0)
        batcher.stats(30)
        began = time.perf_counter()
        refused = [batcher.submit("key", item) for item in range(items)]
        assert all(isinstance(each.exception(), BatchRejected) for each in refused)
        rates.append(items / (time.perf_counter() - began))
        batcher.shut_down("abort")
        batcher.wait_for_shutdown(30)
    return [Row("rejections", "a full key", statistics.median(rates), "items/s")]


def run_shutdown(items: int, rounds: int) -> list[Row]:
    """Parts of batches of many keys, that nothing but a flush would start."""
    seconds = []
    for _ in range(rounds):
        batcher = Batcher.start(nothing, policy=Size(), workers="thread")
        futures = [batcher.submit(item % 200, item) for item in range(items)]
        batcher.stats(60)
        began = time.perf_counter()
        batcher.shut_down("flush")
        report = batcher.wait_for_shutdown(120)
        seconds.append(time.perf_counter() - began)
        assert report.replied == items == sum(future.done() for future in futures)
    return [Row("shutdown", f"flush of {items} items", statistics.median(seconds), "s")]


# --- policies, in virtual time --------------------------------------------------------------------

KEYS, LOAD_BATCH, CONCURRENCY, MEAN = 10, 5, 2, 0.010
POLICIES = {
    "immediate": Immediate(),
    "size, linger 50 ms": Size(0.05),
    "duration 20 ms": Duration(0.02),
    "balanced 3": Balanced(3),
}


def rate_at(load: float) -> float:
    """Items per second that are this share of what the hottest key can have processed at most."""
    hottest = 1 / sum(1 / n for n in range(1, KEYS + 1))
    return load * CONCURRENCY * LOAD_BATCH / MEAN / hottest


class Load:
    """A core under load: every time is virtual, every chance is drawn from a seed.

    Args:
        policy: the batcher's.
        rate: items per second that come.
        concurrency: batches of one key at a time.
        items: how many come.
        seed: of every chance.
        refused: the share of acquisitions that fail.
    """

    def __init__(
        self,
        policy: Any,
        rate: float,
        *,
        concurrency: int,
        items: int,
        seed: int,
        refused: float = 0.0,
    ) -> None:
        self.dice = random.Random(seed)
        self.rate = rate
        self.refused = refused
        limits = Limits(
            max_batch_size=LOAD_BATCH, max_key_concurrency=concurrency, max_batch_queue_size=1000
        )
        self.core = BatcherCore(policy, limits, acquires=True)
        self.weights = [1 / n for n in range(1, KEYS + 1)]
        self.connected: set[int] = set()
        self.events: list[tuple[float, int, Callable[[], None]]] = []
        self.count = itertools.count()
        self.now = 0.0
        self.came: dict[int, float] = {}
        self.latencies: list[float] = []
        self.batches = self.batched = 0
        self.resource_seconds = 0.0
        self.items = items

    def run(self) -> dict[str, float]:
        """All items, from the first to the last answer."""
        self.at(0.0, lambda: self.arrive(0))
        while self.events or self.core.next_due is not None:
            due = self.core.next_due
            if due is not None and (not self.events or due <= self.events[0][0]):
                self.now = max(self.now, due)
                self.core.tick(self.now)
            else:
                self.now, _, act = heapq.heappop(self.events)
                act()
            self.obey()
        ordered = sorted(self.latencies)
        return {
            "items/s": self.items / self.now,
            "mean batch": self.batched / self.batches,
            "p50 ms": 1000 * ordered[len(ordered) // 2],
            "p99 ms": 1000 * ordered[int(len(ordered) * 0.99)],
            "resource ms": 1000 * self.resource_seconds / self.items,
        }

    def at(self, when: float, act: Callable[[], None]) -> None:
        """Have something done at a time."""
        heapq.heappush(self.events, (when, next(self.count), act))

    def arrive(self, item: int) -> None:
        """An item comes; the next one is drawn."""
        (key,) = self.dice.choices(range(KEYS), self.weights)
        self.came[item] = self.now
        self.core.add(item, key, item, 0, self.now)
        if item + 1 < self.items:
            self.at(self.now + self.dice.expovariate(self.rate), lambda: self.arrive(item + 1))

    def obey(self) -> None:
        """Do what the core wants."""
        while self.core.commands:
            commands, self.core.commands = self.core.commands, []
            for command in commands:
                self.do(command)

    def do(self, command: Any) -> None:
        """One command."""
        number = getattr(command, "batch", 0)
        if isinstance(command, Answer):
            self.latencies.append(self.now - self.came.pop(command.token))
        elif isinstance(command, Acquire):
            takes = 0.001 if command.key in self.connected else 0.3
            self.connected.add(command.key)
            self.resource_seconds += takes
            if self.dice.random() < self.refused:
                refusal = ResourceAcquisitionFailed("drawn")
                self.at(
                    self.now + takes,
                    lambda: self.core.acquisition_failed(number, refusal, self.now),
                )
                return
            self.at(self.now + takes, lambda: self.core.acquired(number, "lease", self.now))
        elif isinstance(command, Process):
            self.batches += 1
            self.batched += len(command.inputs)
            takes = self.dice.gammavariate(2, MEAN / 2)
            self.resource_seconds += takes
            error = BatchFailed("drawn") if self.dice.random() < 0.1 else None
            inputs = command.inputs
            self.at(self.now + takes, lambda: self.core.finished(number, inputs, error, self.now))
        elif isinstance(command, Release):
            self.core.released(number, self.now)


def run_policies(items: int, rounds: int) -> list[Row]:
    """Each policy at four loads; more rounds draw other seeds."""
    rows = []
    for name, policy in POLICIES.items():
        for load in (0.2, 0.5, 0.8, 0.95):
            found = [
                Load(policy, rate_at(load), concurrency=CONCURRENCY, items=items, seed=seed).run()
                for seed in range(rounds)
            ]
            more = {key: statistics.median(each[key] for each in found) for key in found[0]}
            rows.append(Row("policies", f"{name}, load {load}", more.pop("p50 ms"), "ms", more))
    return rows


UPSTREAM_RATE, FEWEST = 500.0, 5_000


def run_upstream(items: int, rounds: int) -> list[Row]:
    """The upstream's own long run, and the two things that it asserts."""
    rows = []
    for seed in range(rounds):
        count = max(items, FEWEST)
        load = Load(Immediate(), UPSTREAM_RATE, concurrency=1, items=count, seed=seed, refused=0.1)
        found = load.run()
        rate = found.pop("items/s")
        if abs(rate / UPSTREAM_RATE - 1) > 0.1 or found["mean batch"] <= 1:
            raise AssertionError(f"{rate} items/s of {UPSTREAM_RATE}, {found}")
        rows.append(Row("upstream", f"immediate, seed {seed}", rate, "items/s", found))
    return rows


# --- all of it ------------------------------------------------------------------------------------

PARTS: dict[str, Callable[[int, int], list[Row]]] = {
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


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.batcher",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--part", action="append", choices=list(PARTS), help="all when left out")
    parser.add_argument("--items", type=int, help="of each run; a number of its own for each part")
    parser.add_argument("--rounds", type=int, default=3, help="alternating runs of each")
    parser.add_argument("--quick", action="store_true", help="only to see that it works")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    rows: list[Row] = []
    for part in options.part or list(PARTS):
        items = 40 if options.quick else options.items or ITEMS[part]
        rows += PARTS[part](items, 1 if options.quick else options.rounds)
    if options.json:
        print(json.dumps({"python": sys.version, "rows": [asdict(row) for row in rows]}))
        return 0
    load = os.getloadavg()[0]
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, load {load:.1f}")
    for row in rows:
        more = ", ".join(f"{name} {value:.3g}" for name, value in row.more.items())
        print(f"{row.part:>10} {row.what:>30} {row.value:>12,.4g} {row.unit:<8} {more}")
    print(f"wanted: batches of 4 at least {TARGET} times a loop")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
