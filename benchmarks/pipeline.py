"""A→B→C of integers: actorflow beside the same work on bare pipes, in one run, as a ratio.

The floor is three forked processes that do the same with nothing in between: blocking reads and
writes, msgpack, the same window and the same batches (half of `max_demand`, a refill after each).
A emits consecutive integers, B doubles them, C adds them up. Both are timed in C from its first
batch to its last, and runs alternate so that a noisy machine is noisy for both.

    python -m benchmarks.pipeline
    python -m benchmarks.pipeline --demand 1 --demand 1000 --seconds 2 --rounds 5 --json
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import actorflow
from actorflow import SubscribeTo, Topology
from actorflow.stage.options import DELIVERY_MODES
from benchmarks._floor import run_floor
from benchmarks._numbers import Double, Numbers, Total
from benchmarks._suite import (
    Chart,
    Finding,
    Result,
    alternate,
    as_many_as_take,
    at_least,
    parser,
    publish,
    quotients,
    series,
)

DEMANDS = (1, 2, 10, 100, 1_000, 10_000)
QUICK = (1, 10, 1_000, 10_000)
"""The `max_demand` of a quick run: those that have a target."""


# --- actorflow ------------------------------------------------------------------------------------


def run_actorflow(events: int, max_demand: int | Literal["auto"], delivery: str) -> list[Any]:
    """One run; returns the total and the seconds."""
    topology = (
        Topology("pipeline", defaults=actorflow.Defaults(delivery=delivery))
        .stage("numbers", Numbers, args={"limit": events})
        .stage("double", Double, subscribe_to=[SubscribeTo("numbers", max_demand=max_demand)])
        .stage("total", Total, subscribe_to=[SubscribeTo("double", max_demand=max_demand)])
    )
    with topology.start() as run:
        return list(run.wait(timeout=300)["total"])


# --- the comparison -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Rates:
    """One `max_demand`: events per second, round by round.

    Args:
        floor: on bare pipes.
        actorflow: in a topology.
    """

    floor: tuple[float, ...]
    actorflow: tuple[float, ...]


def compare(max_demand: int, *, seconds: float, rounds: int, delivery: str) -> Rates:
    """Alternate floor and actorflow on as many events as the floor moves in about `seconds`."""
    probe = max(200, max_demand * 20)
    events = as_many_as_take(
        seconds, lambda count: run_floor(count, max_demand)[1], at_least=probe, step=max_demand
    )

    def rate_of(run: Callable[[], list[Any]]) -> float:
        total, spent = run()
        if total != events * (events - 1):
            raise AssertionError(f"a wrong total of {events} events: {total}")
        return float(events / spent)

    found = alternate(
        {
            "floor": lambda: rate_of(lambda: run_floor(events, max_demand)),
            "actorflow": lambda: rate_of(lambda: run_actorflow(events, max_demand, delivery)),
        },
        rounds,
    )
    return Rates(**found)


def targets_of(max_demand: int) -> tuple[str, ...]:
    """What is wanted with this window."""
    if max_demand <= 10:
        return ("pipeline_single",)
    return ("pipeline_batches", "pipeline_fast") if max_demand >= 1000 else ()


def measure(options: argparse.Namespace) -> Result:
    """The rates of both sides over `max_demand`."""
    seconds = 0.1 if options.quick else options.seconds
    found = {
        max_demand: compare(
            max_demand, seconds=seconds, rounds=options.rounds, delivery=options.delivery
        )
        for max_demand in options.demand or (QUICK if options.quick else DEMANDS)
    }
    return Result(
        name="pipeline",
        title="Integers through three stages",
        measures="A emits consecutive integers, B doubles them, C adds them up. The floor is three"
        " forked processes that do the same on bare pipes: blocking reads and writes, msgpack, the"
        " same window and the same batches. Both are timed in C, from its first batch to its last.",
        charts=(
            Chart(
                title="Throughput",
                unit="events/s",
                parameter="max_demand",
                series=(
                    series("bare pipes", "floor", {at: each.floor for at, each in found.items()}),
                    series(
                        "actorflow", "actorflow", {at: each.actorflow for at, each in found.items()}
                    ),
                ),
            ),
        ),
        findings=tuple(
            Finding(
                name=f"of bare pipes, max_demand {max_demand:,}",
                rounds=quotients(each.actorflow, each.floor),
                targets=targets_of(max_demand),
            )
            for max_demand, each in found.items()
        ),
    )


def main(argv: list[str] | None = None) -> int:
    """Run the comparison and print it."""
    options = parser(__doc__, rounds=5)
    options.add_argument(
        "--demand", type=at_least(1), action="append", help="a max_demand; may be repeated"
    )
    options.add_argument("--seconds", type=float, default=1.0, help="about how long each run takes")
    options.add_argument("--delivery", choices=DELIVERY_MODES, default="at_least_once")
    return publish(measure, options.parse_args(argv))


if __name__ == "__main__":
    raise SystemExit(main())
