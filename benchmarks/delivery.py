"""What a delivery mode costs: A→B→C of integers under each, in one run, as ratios.

The pipeline is that of `benchmarks.pipeline`. The modes take turns, and each ratio is that of
neighbours, so that a noisy machine is noisy for all. The reference is `at_most_once`, which
keeps nothing.

    python -m benchmarks.delivery
    python -m benchmarks.delivery --demand 100 --rounds 9 --json
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
from dataclasses import asdict, dataclass

from actorflow.stage.options import DELIVERY_MODES
from benchmarks.pipeline import run_actorflow

REFERENCE = "at_most_once"


@dataclass(frozen=True, slots=True)
class Row:
    """One mode.

    Args:
        delivery: the mode.
        rate: events per second, the median of the rounds.
        ratio: to the reference, the median of the rounds' ratios.
        lowest: the smallest of them.
        highest: the largest of them.
    """

    delivery: str
    rate: float
    ratio: float
    lowest: float
    highest: float


def compare(max_demand: int, events: int, rounds: int) -> list[Row]:
    """Let the modes take turns."""
    rates: dict[str, list[float]] = {mode: [] for mode in DELIVERY_MODES}
    for turn in range(rounds):
        # Each is first as often as last.
        for mode in DELIVERY_MODES if turn % 2 else reversed(DELIVERY_MODES):
            total, seconds = run_actorflow(events, max_demand, mode)
            if total != events * (events - 1):
                raise AssertionError(f"wrong total under {mode}: {total} of {events} events")
            rates[mode].append(events / seconds)
    rows = []
    for mode, found in rates.items():
        ratios = [ours / most for ours, most in zip(found, rates[REFERENCE], strict=True)]
        row = Row(
            mode, statistics.median(found), statistics.median(ratios), min(ratios), max(ratios)
        )
        rows.append(row)
    return rows


def main() -> int:
    """Run the comparison and print it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--demand", type=int, default=1000, help="max_demand of both subscriptions")
    parser.add_argument(
        "--events", type=int, default=3_000_000, help="how many go through each run"
    )
    parser.add_argument("--rounds", type=int, default=7, help="how many turns each mode has")
    parser.add_argument("--quick", action="store_true", help="two turns of a few events")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    events, rounds = (20_000, 2) if options.quick else (options.events, options.rounds)
    rows = compare(options.demand, events, rounds)
    if options.json:
        print(json.dumps({"python": sys.version, "rows": [asdict(row) for row in rows]}))
        return 0
    print(f"Python {platform.python_version()}, max_demand {options.demand:,}, {events:,} events")
    for row in rows:
        print(
            f"{row.delivery:>14} {row.rate:>12,.0f}/s  {row.ratio:.2f} of {REFERENCE},"
            f" {row.lowest:.2f}-{row.highest:.2f}"
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
