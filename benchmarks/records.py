"""A→B→C of records, dicts with mixed fields and dataclasses, beside the same work on bare pipes.

The same pipeline as `benchmarks.pipeline`, with events that cost something to make and to encode:
A makes records with a number, a text, a float, a truth value, a None (and, in dicts, a list of
texts); B makes new ones with twice the number; C adds up the numbers. Bare pipes and
`multiprocessing.Queue` pass the same batches; dicts travel over the pipes as msgpack, dataclasses
as pickles of protocol 5.

    python -m benchmarks.records
    python -m benchmarks.records --kind dicts --demand 1000 --rounds 5 --json
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

from actorflow import Producer, ProducerConsumer, SubscribeTo, Subscription, Topology
from benchmarks._floor import run_floor
from benchmarks._kinds import KINDS
from benchmarks._numbers import Total
from benchmarks._programs import answer_of
from benchmarks._suite import (
    Chart,
    Finding,
    Result,
    Role,
    alternate,
    as_many_as_take,
    at_least,
    parser,
    publish,
    quotients,
    series,
)

DEMANDS = (1, 10, 100, 1_000, 10_000)
QUICK = (10, 1_000)
QUEUE = "multiprocessing.Queue"
DEADLINE = 60.0
ROLES: dict[str, Role] = {"bare pipes": "floor", QUEUE: "peer", "actorflow": "actorflow"}


class Records(Producer):
    """Makes so many events of a kind."""

    def __init__(self, limit: int, kind: str) -> None:
        self.next, self.limit, self.kind = 0, limit, KINDS[kind]

    def handle_demand(self, demand: int) -> list[Any]:
        """The next ones."""
        start = self.next
        self.next = min(self.limit, start + demand)
        if self.next == self.limit:
            self.finish()
        return list(self.kind.make(start, self.next))


class Change(ProducerConsumer):
    """Makes new ones of them."""

    def __init__(self, kind: str) -> None:
        self.change = KINDS[kind].change

    def handle_events(self, events: list[Any], subscription: Subscription) -> list[Any]:
        """One for each."""
        return self.change(events)


class Sum(Total):
    """Adds up a field of theirs."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.value = KINDS[kind].value

    def handle_events(self, events: list[Any], subscription: Subscription) -> None:
        """Add a batch."""
        self.first = self.first or time.perf_counter()
        self.total += self.value(events)
        self.last = time.perf_counter()


def run_actorflow(events: int, max_demand: int, kind: str) -> list[float]:
    """One run; returns the total and the seconds."""
    topology = (
        Topology("records")
        .stage("records", Records, args={"limit": events, "kind": kind})
        .stage(
            "change",
            Change,
            args={"kind": kind},
            subscribe_to=[SubscribeTo("records", max_demand=max_demand)],
        )
        .stage(
            "sum",
            Sum,
            args={"kind": kind},
            subscribe_to=[SubscribeTo("change", max_demand=max_demand)],
        )
    )
    with topology.start() as run:
        return list(run.wait(timeout=300)["sum"])


def run_queue(events: int, max_demand: int, kind: str) -> list[float]:
    """The same by queues."""
    arguments = ("pipeline", events, max_demand, kind)
    found: list[float] = answer_of("benchmarks._queues", *arguments, seconds=DEADLINE)
    return found


SIDES: dict[str, Callable[[int, int, str], list[float]]] = {
    "bare pipes": run_floor,
    QUEUE: run_queue,
    "actorflow": run_actorflow,
}


def compare(
    kind: str, max_demand: int, *, seconds: float, rounds: int
) -> dict[str, tuple[float, ...]]:
    """Alternate the sides on as many events as bare pipes move in about `seconds`."""
    probe = max(200, max_demand * 4)
    events = as_many_as_take(
        seconds,
        lambda count: run_floor(count, max_demand, kind)[1],
        at_least=probe,
        step=max_demand,
    )

    def rate_of(run: Callable[[int, int, str], list[float]]) -> float:
        total, spent = run(events, max_demand, kind)
        if total != events * (events - 1):
            raise AssertionError(f"a wrong total of {events} {kind}: {total}")
        return events / spent

    turns = {side: lambda run=run: rate_of(run) for side, run in SIDES.items()}
    return alternate(turns, rounds)


def measure(options: argparse.Namespace) -> Result:
    """The rates of all sides over `max_demand`, for each kind of record."""
    seconds, rounds = (0.1, 1) if options.quick else (options.seconds, options.rounds)
    demands = options.demand or (QUICK if options.quick else DEMANDS)
    charts, findings = [], []
    for kind in options.kind or ("dicts", "dataclasses"):
        found = {at: compare(kind, at, seconds=seconds, rounds=rounds) for at in demands}
        charts.append(
            Chart(
                title=f"Throughput of {kind}",
                unit="events/s",
                parameter="max_demand",
                series=tuple(
                    series(side, role, {at: rates[side] for at, rates in found.items()})
                    for side, role in ROLES.items()
                ),
            )
        )
        findings += [
            Finding(
                name=f"{kind}, of {side}, max_demand {at:,}",
                rounds=quotients(rates["actorflow"], rates[side]),
            )
            for at, rates in found.items()
            for side in ("bare pipes", QUEUE)
        ]
    return Result(
        name="records",
        title="Records through three stages",
        measures="A makes records, B makes new ones of them, C adds up a field of theirs: dicts"
        " with mixed fields, and dataclasses. The floor is three forked processes on bare pipes"
        " with the same window and the same batches, dicts as msgpack, dataclasses as pickles.",
        charts=tuple(charts),
        findings=tuple(findings),
    )


def main(argv: list[str] | None = None) -> int:
    """Run the comparison and print it."""
    options = parser(__doc__, rounds=3)
    options.add_argument("--kind", action="append", choices=["dicts", "dataclasses"])
    options.add_argument(
        "--demand", type=at_least(1), action="append", help="a max_demand; may be repeated"
    )
    options.add_argument("--seconds", type=float, default=0.5, help="about how long each run takes")
    return publish(measure, options.parse_args(argv))


if __name__ == "__main__":
    raise SystemExit(main())
