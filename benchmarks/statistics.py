"""What the statistics of edges cost: the same pipeline of integers with and without, in one run.

Runs alternate, so that a noisy machine is noisy for both, and which of the two is first alternates,
too. Compared are the processor's time of the three stages between their first event and their last,
which does not depend on what else runs, and events per second, which does.

    python -m benchmarks.statistics
    python -m benchmarks.statistics --demand 1 --rounds 40 --json
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from actorflow import LocalRuntime, Run, SubscribeTo, Subscription, Topology
from benchmarks import _numbers
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
from benchmarks._suite.records import Better

EVENTS = {1: 6_000, 10: 60_000, 100: 400_000, 1_000: 2_000_000}
"""How many events take about half a second."""


class Timed:
    """Measures the processor's time from the first callback with events to the end."""

    began = 0.0

    def begin(self) -> None:
        """Something is being done for the first time."""
        if not self.began:
            self.began = time.process_time()

    @property
    def spent(self) -> float:
        """Seconds so far."""
        return time.process_time() - self.began


class Numbers(Timed, _numbers.Numbers):
    """Counts up to a limit."""

    def handle_demand(self, demand: int) -> range:
        """The next integers."""
        self.begin()
        return super().handle_demand(demand)

    def on_stop(self, reason: Any) -> None:
        """Leave the time behind."""
        self.set_result(self.spent)


class Double(Timed, _numbers.Double):
    """Doubles."""

    def handle_events(self, events: list[int], subscription: Subscription) -> list[int]:
        """Twice each."""
        self.begin()
        return super().handle_events(events, subscription)

    def on_stop(self, reason: Any) -> None:
        """Leave the time behind."""
        self.set_result(self.spent)


class Total(Timed, _numbers.Total):
    """Adds up."""

    def handle_events(self, events: list[int], subscription: Subscription) -> None:
        """Add a batch."""
        self.begin()
        super().handle_events(events, subscription)

    def on_stop(self, reason: Any) -> None:
        """Leave the times and the total behind."""
        self.set_result([self.total, self.last - self.first, self.spent])


@dataclass(frozen=True, slots=True)
class Sample:
    """One run.

    Args:
        events: how many went through.
        processor: seconds of the processor, of all stages together.
        seconds: from the first batch at the end of the pipeline to the last.
    """

    events: int
    processor: float
    seconds: float


def measure_once(events: int, max_demand: int, *, count_links: bool) -> Sample:
    """One run, with or without statistics of edges."""
    topology = (
        Topology("pipeline")
        .stage("numbers", Numbers, args={"limit": events})
        .stage("double", Double, subscribe_to=[SubscribeTo("numbers", max_demand=max_demand)])
        .stage("total", Total, subscribe_to=[SubscribeTo("double", max_demand=max_demand)])
    )
    plan = topology.plan()
    runtime = LocalRuntime(
        import_paths=plan.import_paths, preload=plan.preload, count_links=count_links
    )
    with Run(plan, runtime) as run:
        results = run.wait(timeout=300)
        edges = len(run.stats().edges)
    total, seconds, spent = results["total"]
    if total != events * (events - 1) or edges != 2 * count_links:
        raise AssertionError(f"wrong total {total} of {events} events, {edges} edges")
    return Sample(events, results["numbers"] + results["double"] + spent, seconds)


@dataclass(frozen=True, slots=True)
class Pair:
    """One `max_demand`: the runs with statistics, and their neighbours without."""

    counted: tuple[Sample, ...]
    uncounted: tuple[Sample, ...]


def compare(max_demand: int, *, events: int, rounds: int) -> Pair:
    """Alternate both on as many events."""
    run = partial(measure_once, events, max_demand)
    found = alternate(
        {
            "uncounted": partial(run, count_links=False),
            "counted": partial(run, count_links=True),
        },
        rounds,
    )
    return Pair(**found)


def measure(options: argparse.Namespace) -> Result:
    """The cost over `max_demand`."""
    found: dict[int, Pair] = {}
    for max_demand in options.demand or ([1, 1_000] if options.quick else [1, 100, 1_000]):
        events = options.events or EVENTS.get(max_demand, 100_000)
        found[max_demand] = compare(
            max_demand,
            events=max(1, events // 8) if options.quick else events,
            rounds=options.rounds,
        )
    return Result(
        name="statistics",
        title="What the statistics of edges cost",
        measures="The pipeline of integers with the counters of its edges and without them."
        " Processor time is that of the three stages between their first event and their last.",
        charts=(
            _chart("Processor time", "µs/event", "less", found, _processor),
            _chart("Throughput", "events/s", "more", found, _rate),
        ),
        findings=tuple(_findings(found)),
    )


def _processor(sample: Sample) -> float:
    return sample.processor / sample.events * 1e6


def _rate(sample: Sample) -> float:
    return sample.events / sample.seconds


def _chart(
    title: str,
    unit: str,
    better: Better,
    found: dict[int, Pair],
    value: Callable[[Sample], float],
) -> Chart:
    counted = {at: [value(each) for each in pair.counted] for at, pair in found.items()}
    uncounted = {at: [value(each) for each in pair.uncounted] for at, pair in found.items()}
    return Chart(
        title=title,
        unit=unit,
        parameter="max_demand",
        better=better,
        series=(
            series("without statistics", "floor", uncounted),
            series("with statistics", "actorflow", counted),
        ),
    )


def _findings(found: dict[int, Pair]) -> Iterator[Finding]:
    for max_demand, pair in found.items():
        yield Finding(
            name=f"throughput of that without, max_demand {max_demand:,}",
            rounds=quotients([*map(_rate, pair.counted)], [*map(_rate, pair.uncounted)]),
            targets=("scoreboard",),
        )
        yield Finding(
            name=f"processor time over that without, max_demand {max_demand:,}",
            rounds=quotients([*map(_processor, pair.counted)], [*map(_processor, pair.uncounted)]),
            better="less",
        )


def main(argv: list[str] | None = None) -> int:
    """Run the comparison and print it."""
    options = parser(__doc__, rounds=15)
    options.add_argument(
        "--demand", type=at_least(1), action="append", help="a max_demand; may be repeated"
    )
    options.add_argument("--events", type=at_least(1), help="how many events in each run")
    return publish(measure, options.parse_args(argv))


if __name__ == "__main__":
    raise SystemExit(main())
