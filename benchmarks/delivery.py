"""What a delivery mode costs: A→B→C of integers under each, in one run, as ratios.

The pipeline is that of `benchmarks.pipeline`. The modes take turns, and each ratio is that of
neighbours, so that a noisy machine is noisy for all. The reference is `at_most_once`, which
keeps nothing.

    python -m benchmarks.delivery
    python -m benchmarks.delivery --demand 100 --rounds 9 --json
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

from actorflow.stage.options import DELIVERY_MODES
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
from benchmarks.pipeline import run_actorflow

REFERENCE = "at_most_once"


def rates_of(max_demand: int, events: int, rounds: int) -> dict[str, tuple[float, ...]]:
    """Events per second under each mode, which take turns."""

    def run(mode: str) -> Callable[[], float]:
        def rate() -> float:
            total, seconds = run_actorflow(events, max_demand, mode)
            if total != events * (events - 1):
                raise AssertionError(f"wrong total under {mode}: {total} of {events} events")
            return float(events / seconds)

        return rate

    return alternate({mode: run(mode) for mode in DELIVERY_MODES}, rounds)


def measure(options: argparse.Namespace) -> Result:
    """Each mode, and what it is of the reference."""
    events = 300_000 if options.quick else options.events
    rates = rates_of(options.demand, events, options.rounds)
    return Result(
        name="delivery",
        title="What a delivery mode costs",
        measures=f"{events:,} integers through three stages with max_demand {options.demand:,},"
        f" under each delivery mode. The floor is {REFERENCE}, which keeps nothing.",
        charts=(
            Chart(
                title="Throughput",
                unit="events/s",
                parameter="max_demand",
                series=tuple(
                    series(
                        mode, "floor" if mode == REFERENCE else "actorflow", {options.demand: found}
                    )
                    for mode, found in rates.items()
                ),
            ),
        ),
        findings=tuple(
            Finding(
                name=f"{mode} of {REFERENCE}",
                rounds=quotients(found, rates[REFERENCE]),
                targets=("at_least_once",) if mode == "at_least_once" else (),
            )
            for mode, found in rates.items()
            if mode != REFERENCE
        ),
    )


def main(argv: list[str] | None = None) -> int:
    """Run the comparison and print it."""
    options = parser(__doc__, rounds=7)
    options.add_argument(
        "--demand", type=at_least(1), default=1000, help="max_demand of both subscriptions (1000)"
    )
    options.add_argument(
        "--events", type=at_least(1), default=3_000_000, help="how many go through each run"
    )
    return publish(measure, options.parse_args(argv))


if __name__ == "__main__":
    raise SystemExit(main())
