"""The batcher's policies under load, in virtual time: Poisson arrivals, Zipf keys."""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable
from typing import Any

from actorflow import BatchFailed, ResourceAcquisitionFailed
from actorflow.stages.batcher import Balanced, Duration, Immediate, Limits, Size
from actorflow.stages.batcher.commands import Acquire, Answer, Process, Release
from actorflow.stages.batcher.core import BatcherCore
from benchmarks._suite import Chart, Part, series
from benchmarks._suite.records import Better

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


LOADS = (0.2, 0.5, 0.8, 0.95)

MEASURED: dict[str, tuple[str, str, Better]] = {
    "p50 ms": ("Median latency", "ms", "less"),
    "p99 ms": ("99th percentile of the latency", "ms", "less"),
    "mean batch": ("Mean size of a batch", "items", "more"),
    "resource ms": ("Time of the resource for each item", "ms", "less"),
}


def run_policies(items: int, rounds: int) -> Part:
    """Each policy at four loads; more rounds draw other seeds."""
    found = {
        name: {
            load: [
                Load(policy, rate_at(load), concurrency=CONCURRENCY, items=items, seed=seed).run()
                for seed in range(rounds)
            ]
            for load in LOADS
        }
        for name, policy in POLICIES.items()
    }
    return Part(
        charts=tuple(
            Chart(
                title=f"{title}, in virtual time",
                unit=unit,
                parameter="load",
                better=better,
                series=tuple(
                    series(
                        name,
                        "actorflow",
                        {load: [run[key] for run in runs] for load, runs in loads.items()},
                    )
                    for name, loads in found.items()
                ),
            )
            for key, (title, unit, better) in MEASURED.items()
        )
    )


UPSTREAM_RATE, FEWEST = 500.0, 5_000


def run_upstream(items: int, rounds: int) -> Part:
    """The upstream's own long run, and the two things that it asserts; rounds are seeds."""
    rates = []
    for seed in range(rounds):
        count = max(items, FEWEST)
        load = Load(Immediate(), UPSTREAM_RATE, concurrency=1, items=count, seed=seed, refused=0.1)
        found = load.run()
        if abs(found["items/s"] / UPSTREAM_RATE - 1) > 0.1 or found["mean batch"] <= 1:
            raise AssertionError(f"it does not keep up with {UPSTREAM_RATE} items/s: {found}")
        rates.append(found["items/s"])
    return Part(
        charts=(
            Chart(
                title="The upstream's long run, in virtual time",
                unit="items/s",
                parameter="",
                series=(
                    series("items that come", "floor", {"": [UPSTREAM_RATE]}),
                    series("immediate", "actorflow", {"": rates}),
                ),
            ),
        )
    )
