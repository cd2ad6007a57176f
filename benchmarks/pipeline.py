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
import os
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import msgpack

import actorflow
from actorflow import Consumer, Producer, ProducerConsumer, SubscribeTo, Subscription, Topology
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

DEMANDS = (1, 2, 10, 100, 1_000, 10_000)
QUICK = (1, 10, 1_000, 10_000)
"""The `max_demand` of a quick run: those that have a target."""

LENGTH = struct.Struct("<I")


# --- actorflow ------------------------------------------------------------------------------------


class Numbers(Producer):
    """Counts up to a limit."""

    def __init__(self, limit: int) -> None:
        self.next = 0
        self.limit = limit

    def handle_demand(self, demand: int) -> range:
        """The next integers."""
        end = min(self.limit, self.next + demand)
        events = range(self.next, end)
        self.next = end
        if end == self.limit:
            self.finish()
        return events


class Double(ProducerConsumer):
    """Doubles."""

    def handle_events(self, events: list[int], subscription: Subscription) -> list[int]:
        """Twice each."""
        return [2 * event for event in events]


class Total(Consumer):
    """Adds up, and times itself from its first batch to its last."""

    def __init__(self) -> None:
        self.total = 0
        self.count = 0
        self.first = 0.0
        self.last = 0.0

    def handle_events(self, events: list[int], subscription: Subscription) -> None:
        """Add a batch."""
        if not self.count:
            self.first = time.perf_counter()
        self.total += sum(events)
        self.count += len(events)
        self.last = time.perf_counter()

    def on_stop(self, reason: Any) -> None:
        """Leave the result behind."""
        self.set_result([self.total, self.last - self.first])


def run_actorflow(events: int, max_demand: int | str, delivery: str) -> list[Any]:
    """One run; returns the total and the seconds."""
    topology = (
        Topology("pipeline", defaults=actorflow.Defaults(delivery=delivery))
        .stage("numbers", Numbers, args={"limit": events})
        .stage("double", Double, subscribe_to=[SubscribeTo("numbers", max_demand=max_demand)])
        .stage("total", Total, subscribe_to=[SubscribeTo("double", max_demand=max_demand)])
    )
    with topology.start() as run:
        return list(run.wait(timeout=300)["total"])


# --- the floor ------------------------------------------------------------------------------------


def _read_exactly(descriptor: int, size: int) -> bytes:
    data = os.read(descriptor, size)
    while data and len(data) < size:
        more = os.read(descriptor, size - len(data))
        if not more:
            return b""
        data += more
    return data


def _receive(descriptor: int) -> Any:
    head = _read_exactly(descriptor, 4)
    if not head:
        return None
    return msgpack.unpackb(_read_exactly(descriptor, LENGTH.unpack(head)[0]))


def _send(descriptor: int, message: Any) -> None:
    body = msgpack.packb(message)
    data = memoryview(LENGTH.pack(len(body)) + body)
    while data:
        data = data[os.write(descriptor, data) :]


def _ask_again(ask: int, count: int) -> None:
    # The source may have sent its last and be gone; what is in the pipe is still read.
    with suppress(BrokenPipeError):
        _send(ask, count)


def _floor_source(asks: int, out: int, events: int) -> None:
    position = 0
    while position < events:
        count = _receive(asks)
        end = min(events, position + count)
        _send(out, list(range(position, end)))
        position = end


def _floor_double(source: int, ask: int, asks: int, out: int, window: list[int]) -> None:
    for count in window:
        _send(ask, count)
    credit = 0
    while (events := _receive(source)) is not None:
        while credit < len(events):
            more = _receive(asks)
            if more is None:
                return
            credit += more
        credit -= len(events)
        _send(out, [2 * event for event in events])
        _ask_again(ask, len(events))


def _floor_total(source: int, ask: int, window: list[int], answer: int) -> None:
    for count in window:
        _send(ask, count)
    total, received, first, last = 0, 0, 0.0, 0.0
    while (events := _receive(source)) is not None:
        if not received:
            first = time.perf_counter()
        total += sum(events)
        received += len(events)
        last = time.perf_counter()
        _ask_again(ask, len(events))
    _send(answer, [total, last - first])


def run_floor(events: int, max_demand: int) -> list[Any]:
    """One run on bare pipes; returns the total and the seconds."""
    half = max(1, max_demand // 2)
    window = [max_demand] if max_demand == 1 else [max_demand - half, half]
    a_read, a_write = os.pipe()
    b_read, b_write = os.pipe()
    ask_a_read, ask_a_write = os.pipe()
    ask_b_read, ask_b_write = os.pipe()
    answer_read, answer_write = os.pipe()
    every = {
        *(a_read, a_write, b_read, b_write, ask_a_read, ask_a_write),
        *(ask_b_read, ask_b_write, answer_read, answer_write),
    }

    def fork(keep: set[int], act: Callable[[], None]) -> int:
        pid = os.fork()
        if pid == 0:
            try:
                for descriptor in every - keep:
                    os.close(descriptor)
                act()
            except BrokenPipeError:
                os._exit(0)
            finally:
                os._exit(0)
        return pid

    pids = [
        fork({ask_a_read, a_write}, lambda: _floor_source(ask_a_read, a_write, events)),
        fork(
            {a_read, ask_a_write, ask_b_read, b_write},
            lambda: _floor_double(a_read, ask_a_write, ask_b_read, b_write, window),
        ),
        fork(
            {b_read, ask_b_write, answer_write},
            lambda: _floor_total(b_read, ask_b_write, window, answer_write),
        ),
    ]
    for descriptor in every - {answer_read}:
        os.close(descriptor)
    answer = _receive(answer_read)
    os.close(answer_read)
    for pid in pids:
        os.waitpid(pid, 0)
    return list(answer)


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
    rate = probe / max(1e-6, run_floor(probe, max_demand)[1])
    events = max(probe, int(rate * seconds) // max_demand * max_demand)

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
