"""`max_demand: auto` beside every fixed setting: events of uneven cost, and uniform cheap ones.

Uneven: a source and four workers. An event says how long it takes, from 1 µs to 100 ms; from a
millisecond on a worker sleeps, as in a call to a service, below that it computes. Measured is the
makespan, from the first batch that a worker takes to the last. The floor is the sum of all costs by
the number of workers.

* ``mixed``: costs drawn at random, each decade as likely as the others.
* ``rising``, ``falling``: the same, in order.
* ``rare``: one in two hundred takes 100 ms, the others 1 µs.
* ``turn``: five thousand take 1 µs, then two hundred 10 ms. Nothing in the first ones tells of the
  others, so no rule can do well at every length; it is here to show what that costs.

Uniform: a source of integers and one consumer that adds them up, or that does a microsecond of work
with each. Measured is the rate after one second.

    python -m benchmarks.uneven
    python -m benchmarks.uneven --shape mixed --events 1000 --rounds 5 --json
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from random import Random
from statistics import median
from typing import Any

from actorflow import Consumer, Producer, SubscribeTo, Subscription, Topology
from actorflow.stages.sources import Items
from benchmarks._suite import (
    Chart,
    Finding,
    Result,
    alternate,
    at_least,
    parser,
    publish,
    quotients,
    series,
)

AUTO = "auto"
WORKERS = 4
FIXED = (1, 2, 10, 30, 100, 1000)
WIDE = (100, 1000, 10_000)
"""The fixed settings for uneven events, and for cheap ones."""

QUICK_FIXED = (2, 30)
QUICK_WIDE = (10_000,)
SLEEPS = 1e-3
"""Seconds from which on an event is waited for."""

WARM = 1.0
"""Seconds after which the rate of cheap events counts."""

LOOPS = {"nothing": 0, "1 µs": 30}
"""What is done with each cheap event: turns of an empty loop."""


def costs_of(shape: str, events: int) -> list[float]:
    """The seconds of each event."""
    dice = Random(17)
    if shape == "rare":
        return [0.1 if dice.random() < 0.005 else 1e-6 for _ in range(5 * events)]
    if shape == "turn":
        return [1e-6] * (10 * events) + [0.01] * (2 * events // 5)
    mixed = [10 ** dice.uniform(-6, -1) for _ in range(events)]
    return {"mixed": mixed, "rising": sorted(mixed), "falling": sorted(mixed, reverse=True)}[shape]


SHAPES = ("mixed", "rising", "falling", "rare", "turn")


# --- events of uneven cost ------------------------------------------------------------------------


class Work(Consumer):
    """Takes as long over each event as it says."""

    def __init__(self) -> None:
        self.count, self.first, self.last = 0, 0.0, 0.0

    def handle_events(self, events: list[float], subscription: Subscription) -> None:
        """Wait, or compute."""
        self.first = self.first or time.perf_counter()
        for seconds in events:
            if seconds >= SLEEPS:
                time.sleep(seconds)
            else:
                until = time.perf_counter() + seconds
                while time.perf_counter() < until:
                    continue
        self.count += len(events)
        self.last = time.perf_counter()

    def on_stop(self, reason: Any) -> None:
        """Leave the result behind."""
        self.set_result([self.count, self.first, self.last])


def makespan(costs: Sequence[float], max_demand: Any) -> float:
    """Seconds from the first batch to the last."""
    topology = (
        Topology("uneven")
        .stage("costs", Items, args={"items": costs})
        .stage(
            "work",
            Work,
            replicas=WORKERS,
            subscribe_to=[SubscribeTo("costs", max_demand=max_demand)],
        )
    )
    with topology.start() as run:
        found = run.wait(timeout=300)["work"]
    done = sum(count for count, *_ in found)
    if done != len(costs):
        raise AssertionError(f"{done} of {len(costs)} events were handled")
    busy = [each for each in found if each[0]]
    return float(max(last for *_, last in busy) - min(first for _, first, _ in busy))


# --- uniform cheap events -------------------------------------------------------------------------


class Endless(Producer):
    """Counts, for some seconds from the first demand on."""

    until = 0.0

    def __init__(self, seconds: float) -> None:
        self.next, self.seconds = 0, seconds

    def handle_demand(self, demand: int) -> range:
        """The next integers."""
        now = time.perf_counter()
        self.until = self.until or now + self.seconds
        start = self.next
        if now < self.until:
            self.next += demand
        else:
            self.finish()
        return range(start, self.next)


class Rate(Consumer):
    """Counts what comes after the first second."""

    def __init__(self, loops: int) -> None:
        self.loops = range(loops)
        self.total = self.count = self.late = 0
        self.first = self.warm = self.last = 0.0

    def handle_events(self, events: list[int], subscription: Subscription) -> None:
        """Add up, and perhaps do some work with each."""
        self.first = self.first or time.perf_counter()
        self.total += sum(events)
        self.count += len(events)
        if self.loops:
            for _ in events:
                for _ in self.loops:
                    continue
        self.last = time.perf_counter()
        if self.warm:
            self.late += len(events)
        elif self.last - self.first >= WARM:
            self.warm = self.last

    def on_stop(self, reason: Any) -> None:
        """Leave the result behind."""
        self.set_result([self.total, self.count, self.late, self.last - self.warm])


def rate(loops: int, seconds: float, max_demand: Any) -> float:
    """Events per second, after the first second."""
    topology = (
        Topology("uniform")
        .stage("numbers", Endless, args={"seconds": WARM + seconds})
        .stage(
            "rate",
            Rate,
            args={"loops": loops},
            subscribe_to=[SubscribeTo("numbers", max_demand=max_demand)],
        )
    )
    with topology.start() as run:
        total, count, late, spent = run.wait(timeout=300)["rate"]
    if total != count * (count - 1) // 2 or not late:
        raise AssertionError(f"a wrong total of {count} events: {total}")
    return float(late / spent)


# --- the comparison -------------------------------------------------------------------------------


def measure(options: argparse.Namespace) -> Result:
    """The makespans and the rates of every setting."""
    quick = options.quick
    rounds = 1 if quick else options.rounds
    events = 100 if quick else options.events
    fixed, wide = (QUICK_FIXED, QUICK_WIDE) if quick else (FIXED, WIDE)
    spans, rates, ideal = {}, {}, {}
    for shape in options.shape or (("mixed",) if quick else SHAPES):
        costs = costs_of(shape, events)
        ideal[shape] = sum(costs) / WORKERS
        turns = {str(at): lambda at=at, costs=costs: makespan(costs, at) for at in (*fixed, AUTO)}
        spans[shape] = alternate(turns, rounds)
    seconds = 0.2 if quick else options.seconds
    for what in ("nothing",) if quick else LOOPS:
        turns = {
            str(at): lambda at=at, what=what: rate(LOOPS[what], seconds, at) for at in (*wide, AUTO)
        }
        rates[what] = alternate(turns, rounds)
    return Result(
        name="uneven",
        title="auto demand beside fixed settings",
        measures=f"{WORKERS} workers and events that take from 1 µs to 100 ms: seconds until all"
        " are done; the floor is the sum of the costs by the number of workers. And integers for"
        " one consumer, which does nothing with each or a microsecond of work: events per second"
        " after one second.",
        charts=(
            *(
                Chart(
                    title=f"Makespan, {shape}",
                    unit="s",
                    parameter="max_demand",
                    better="less",
                    series=(
                        series("no overhead", "floor", {at: [ideal[shape]] for at in found}),
                        series("actorflow", "actorflow", dict(found)),
                    ),
                )
                for shape, found in spans.items()
            ),
            *(
                Chart(
                    title=f"Rate after one second, {what} with each",
                    unit="events/s",
                    parameter="max_demand",
                    series=(series("actorflow", "actorflow", dict(found)),),
                )
                for what, found in rates.items()
            ),
        ),
        findings=(
            *(_uneven(shape, found) for shape, found in spans.items()),
            *(_uniform(what, found) for what, found in rates.items()),
        ),
    )


def _uneven(shape: str, found: dict[str, tuple[float, ...]]) -> Finding:
    best = min((at for at in found if at != AUTO), key=lambda at: median(found[at]))
    why = "" if shape != "turn" else "not a target: what comes cannot be known from what came"
    return Finding(
        name=f"makespan, {shape}, of the best fixed ({best})",
        better="less",
        rounds=quotients(found[AUTO], found[best]),
        targets=() if shape == "turn" else ("auto_uneven",),
        why=why,
    )


def _uniform(what: str, found: dict[str, tuple[float, ...]]) -> Finding:
    best = max((at for at in found if at != AUTO), key=lambda at: median(found[at]))
    return Finding(
        name=f"rate, {what} with each, of the best fixed ({best})",
        rounds=quotients(found[AUTO], found[best]),
        targets=("auto_uniform",),
    )


def main(argv: list[str] | None = None) -> int:
    """Measure and print."""
    options = parser(__doc__, rounds=3)
    options.add_argument("--shape", action="append", choices=SHAPES, help="all when none")
    options.add_argument("--events", type=at_least(50), default=500, help="of uneven cost (500)")
    options.add_argument(
        "--seconds", type=float, default=1.0, help="for which cheap events are counted (1)"
    )
    return publish(measure, options.parse_args(argv))


if __name__ == "__main__":
    raise SystemExit(main())
