"""A chain of 2 to 200 stages: events per second, and how long one is under way, by its length.

A source counts, every stage in between adds one, a sink adds up. Two stages are a source and a
sink. The floor is a forked process for each stage, on bare pipes, with the same window and the same
batches. All stages share the processors there are: with twice as many stages each event costs twice
the processor time, on bare pipes as well; the ratio is what the length costs us.

What it costs is memory that is no longer in the caches. The batches are the same on both sides, 500
events, and so are the context switches: about one for each batch and stage. With two cores for many
stages, each batch finds a processor that others have used meanwhile, and a stage reads more code
and data for it than a bare pipe does. What the code of a middle stage takes for one batch, without
any system call, in microseconds at the median of 400:

    other memory read in between     actorflow     bare pipes
    none                                    41             25
    2 MB, as the second cache has        54-90          27
    8 MB                                   136             56
    32 MB                                  284            110

    python -m benchmarks.chain
    python -m benchmarks.chain --stages 2 --stages 50 --rounds 5 --json
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable

from actorflow import ProducerConsumer, SubscribeTo, Subscription, Topology
from benchmarks import latency
from benchmarks._floor import run_floor
from benchmarks._numbers import Numbers, Total
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

STAGES = (2, 5, 20, 50, 200)
QUICK = (2, 20)
MAX_DEMAND = 1000
RATE = 20.0


class PlusOne(ProducerConsumer):
    """Adds one."""

    def handle_events(self, events: list[int], subscription: Subscription) -> list[int]:
        """One more than each."""
        return [event + 1 for event in events]


def run_actorflow(events: int, stages: int) -> list[float]:
    """One run; returns the total and the seconds."""
    topology, before = (
        Topology("chain").stage("numbers", Numbers, args={"limit": events}),
        "numbers",
    )
    for number in range(stages - 2):
        taken = [SubscribeTo(before, max_demand=MAX_DEMAND)]
        topology = topology.stage(f"plus{number}", PlusOne, subscribe_to=taken)
        before = f"plus{number}"
    taken = [SubscribeTo(before, max_demand=MAX_DEMAND)]
    with topology.stage("total", Total, subscribe_to=taken).start() as run:
        return list(run.wait(timeout=300)["total"])


def compare(stages: int, events: int, rounds: int) -> dict[str, tuple[float, ...]]:
    """Events per second of both sides."""

    def rate_of(side: str, run: Callable[[], list[float]]) -> float:
        total, seconds = run()
        if total != events * (events - 1) // 2 + events * (stages - 2):
            raise AssertionError(f"{side}, {stages} stages: a wrong total of {events}: {total}")
        return events / seconds

    return alternate(
        {
            "bare pipes": lambda: rate_of(
                "bare pipes", lambda: run_floor(events, MAX_DEMAND, "steps", stages - 2)
            ),
            "actorflow": lambda: rate_of("actorflow", lambda: run_actorflow(events, stages)),
        },
        rounds,
    )


def measure(options: argparse.Namespace) -> Result:
    """Throughput and latency by the number of stages."""
    rounds, work = (1, 2_000_000) if options.quick else (options.rounds, options.work)
    lengths = options.stages or (QUICK if options.quick else STAGES)
    seen = 20 if options.quick else 100
    rates, delays = {}, {}
    for stages in lengths:
        events = max(20 * MAX_DEMAND, work // stages)
        rates[stages] = compare(stages, events, rounds)
        found = latency.run_actorflow(seen, RATE, stages - 2)
        if len(found) != seen:
            raise AssertionError(f"{stages} stages: of {seen} events {len(found)} arrived")
        delays[stages] = [1e3 * statistics.median(found)]
    return Result(
        name="chain",
        title="Chains of 2 to 200 stages",
        measures="A source counts, every stage in between adds one, a sink adds up. The floor is a"
        " forked process for each stage, on bare pipes. With more stages than cores each batch"
        " finds the caches filled by others, and a stage needs more of them than a bare pipe."
        f" Latency is that of one event every {1000 / RATE:g} ms.",
        charts=(
            Chart(
                title=f"Throughput, max_demand {MAX_DEMAND}",
                unit="events/s",
                parameter="stages",
                series=(
                    series("bare pipes", "floor", {n: r["bare pipes"] for n, r in rates.items()}),
                    series("actorflow", "actorflow", {n: r["actorflow"] for n, r in rates.items()}),
                ),
            ),
            Chart(
                title="Time from source to sink, the median",
                unit="ms",
                parameter="stages",
                better="less",
                series=(series("actorflow", "actorflow", dict(delays)),),
            ),
        ),
        findings=tuple(
            Finding(
                name=f"{stages} stages, of bare pipes",
                rounds=quotients(each["actorflow"], each["bare pipes"]),
            )
            for stages, each in rates.items()
        ),
    )


def main(argv: list[str] | None = None) -> int:
    """Measure and print."""
    options = parser(__doc__, rounds=3)
    options.add_argument(
        "--stages", type=at_least(2), action="append", help="a length; may be repeated"
    )
    options.add_argument(
        "--work",
        type=at_least(1),
        default=6_000_000,
        help="events times stages of a run (6 000 000)",
    )
    return publish(measure, options.parse_args(argv))


if __name__ == "__main__":
    raise SystemExit(main())
