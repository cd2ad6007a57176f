"""A→B→C of integers beside what users pick instead: queues, pools, mpire, pypeln, pykka, Ray.

actorflow runs at `max_demand` 1000. `multiprocessing.Queue` and Ray pass the same batches between
three processes; the others take an event at a time: the program makes the numbers and adds up, and
one worker, or one thread, doubles them. Each peer is a program of its own with a deadline, and gets
as many events as it moves in about a second; rates are compared, in the same round.

    python -m benchmarks.peers
    python -m benchmarks.peers --peer mpire --peer pypeln.process --rounds 5 --json
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from benchmarks._pipeline_peers import PEERS
from benchmarks._programs import Unavailable, answer_of
from benchmarks._suite import (
    Chart,
    Finding,
    Missing,
    Result,
    alternate,
    parser,
    publish,
    quotients,
    series,
)
from benchmarks.pipeline import run_actorflow

MAX_DEMAND = 1000
QUEUE = "multiprocessing.Queue"
OURS = 4_000_000
"""How many events go through actorflow in a run."""


@dataclass(frozen=True, slots=True)
class Peer:
    """What is run of one.

    Args:
        events: how many it gets.
        targets: what is wanted against it.
    """

    events: int
    targets: tuple[str, ...] = ()


ALL = {
    QUEUE: Peer(3_000_000, ("queue_batches",)),
    "Pool.imap": Peer(15_000),
    "concurrent.futures": Peer(5_000),
    "mpire": Peer(4_000, ("mpire_per_event",)),
    "pypeln.process": Peer(2_000, ("pypeln_per_event",)),
    "pykka threads": Peer(100_000),
    "ray": Peer(500_000, ("ray_batches",)),
}


def rate_of_actorflow(events: int) -> float:
    """Events per second in a topology."""
    total, seconds = run_actorflow(events, MAX_DEMAND, "at_least_once")
    return _rate("actorflow", events, total, seconds)


def rate_of(side: str, events: int, seconds: float) -> float:
    """Events per second of a peer.

    Raises:
        Unavailable: it is not there, or does not end.
    """
    if side == QUEUE:
        module, chosen = "benchmarks._queues", ["pipeline", events, MAX_DEMAND, "integers"]
    else:
        module, chosen = "benchmarks._pipeline_peers", [side, events, MAX_DEMAND]
    return _rate(side, events, *answer_of(module, *chosen, seconds=seconds))


def _rate(side: str, events: int, total: float, seconds: float) -> float:
    if total != events * (events - 1):
        raise AssertionError(f"{side}: a wrong total of {events} events: {total}")
    return events / seconds


def measure(options: argparse.Namespace) -> Result:
    """Every side's rate."""
    # A quick run has no time for three turns of programs that take half a second to start.
    rounds, part = (1, 10) if options.quick else (options.rounds, 1)
    unavailable: dict[str, str] = {}

    def theirs(side: str) -> float:
        if side in unavailable:
            return 0.0
        try:
            return rate_of(side, ALL[side].events // part, options.deadline)
        except Unavailable as error:
            unavailable[side] = str(error)
            return 0.0

    chosen = options.peer or list(ALL)
    turns = {side: lambda side=side: theirs(side) for side in chosen}
    rates = alternate({"actorflow": lambda: rate_of_actorflow(OURS // part), **turns}, rounds)
    ours = rates.pop("actorflow")
    rates = {side: found for side, found in rates.items() if side not in unavailable}
    return Result(
        name="peers",
        title="Integers through three stages, beside other libraries",
        measures="A makes consecutive integers, B doubles them, C adds them up. actorflow and"
        f" multiprocessing.Queue and Ray pass batches of {MAX_DEMAND // 2}; the others an event at"
        " a time, through one worker that is there before the time begins.",
        charts=(
            Chart(
                title="Throughput",
                unit="events/s",
                parameter="",
                series=(
                    series("actorflow", "actorflow", {"events/s": ours}),
                    *(series(side, "peer", {"events/s": found}) for side, found in rates.items()),
                ),
            ),
        ),
        findings=tuple(
            Finding(name=f"of {side}", rounds=quotients(ours, found), targets=ALL[side].targets)
            for side, found in rates.items()
        ),
        missing=tuple(Missing(side=side, why=why) for side, why in unavailable.items()),
    )


def main(argv: list[str] | None = None) -> int:
    """Run the comparison and print it."""
    options = parser(__doc__, rounds=3)
    options.add_argument("--peer", action="append", choices=[QUEUE, *PEERS], help="all when none")
    options.add_argument(
        "--deadline", type=float, default=30.0, help="seconds that a peer may take (30)"
    )
    return publish(measure, options.parse_args(argv))


if __name__ == "__main__":
    raise SystemExit(main())
