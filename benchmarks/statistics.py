"""What the statistics of edges cost: the same pipeline of integers with and without, in one run.

Runs alternate, so that a noisy machine is noisy for both, and which of the two is first alternates,
too. Compared are the processor's time of the three stages between their first event and their last,
which does not depend on what else runs, and events per second, which does.

    python -m benchmarks.statistics
    python -m benchmarks.statistics --demand 1 --rounds 40 --json
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any

from actorflow import LocalRuntime, Run, SubscribeTo, Subscription, Topology
from benchmarks import pipeline

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


class Numbers(Timed, pipeline.Numbers):
    """Counts up to a limit."""

    def handle_demand(self, demand: int) -> range:
        """The next integers."""
        self.begin()
        return super().handle_demand(demand)

    def on_stop(self, reason: Any) -> None:
        """Leave the time behind."""
        self.set_result(self.spent)


class Double(Timed, pipeline.Double):
    """Doubles."""

    def handle_events(self, events: list[int], subscription: Subscription) -> list[int]:
        """Twice each."""
        self.begin()
        return super().handle_events(events, subscription)

    def on_stop(self, reason: Any) -> None:
        """Leave the time behind."""
        self.set_result(self.spent)


class Total(Timed, pipeline.Total):
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
        processor: seconds of the processor, of all stages together.
        seconds: from the first batch at the end of the pipeline to the last.
    """

    processor: float
    seconds: float


def measure(events: int, max_demand: int, *, count_links: bool) -> Sample:
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
    return Sample(results["numbers"] + results["double"] + spent, seconds)


@dataclass(frozen=True, slots=True)
class Row:
    """One `max_demand`.

    Args:
        max_demand: the window.
        events: how many went through, in each run.
        processor_without: microseconds of the processor per event without, the median.
        processor: the median of the rounds' ratios: processor's time with, over without.
        throughput: the median of the rounds' ratios: events per second with, over without.
    """

    max_demand: int
    events: int
    processor_without: float
    processor: float
    throughput: float


def compare(max_demand: int, *, events: int, rounds: int) -> Row:
    """Alternate both on as many events."""
    without, processor, throughput = [], [], []
    for number in range(rounds):
        order = (True, False) if number % 2 else (False, True)
        samples = {counted: measure(events, max_demand, count_links=counted) for counted in order}
        without.append(samples[False].processor / events * 1e6)
        processor.append(samples[True].processor / samples[False].processor)
        throughput.append(samples[False].seconds / samples[True].seconds)
    return Row(
        max_demand,
        events,
        statistics.median(without),
        statistics.median(processor),
        statistics.median(throughput),
    )


def main() -> int:
    """Run the comparison and print it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--demand", type=int, action="append", help="a max_demand; may be repeated")
    parser.add_argument("--rounds", type=int, default=15, help="alternating runs of each")
    parser.add_argument("--events", type=int, help="how many events in each run")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    rows = []
    if not options.json:
        print(f"{'max_demand':>10} {'µs/event':>9} {'processor':>9} {'throughput':>10}")
    for max_demand in options.demand or [1, 100, 1_000]:
        events = options.events or EVENTS.get(max_demand, 100_000)
        row = compare(max_demand, events=events, rounds=options.rounds)
        rows.append(row)
        if not options.json:
            print(
                f"{row.max_demand:>10,} {row.processor_without:>9.2f} {row.processor:>9.3f}"
                f" {row.throughput:>10.3f}",
                flush=True,
            )
    if options.json:
        print(json.dumps({"python": sys.version, "rows": [asdict(row) for row in rows]}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
