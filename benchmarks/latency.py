"""How long an event is under way through three stages, at a low rate, beside pipes and queues.

A source sends an event with the time in it, a stage passes it on, a sink looks at the clock: once
every few milliseconds, so that nothing ever waits for anything but its turn. The clock is the
system's monotonic one, which all processes share.

    python -m benchmarks.latency
    python -m benchmarks.latency --rate 1000 --events 5000 --rounds 5 --json
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

from actorflow import Consumer, Producer, ProducerConsumer, Subscription, Topology
from benchmarks._pipes import Crew, Pipe
from benchmarks._programs import answer_of
from benchmarks._suite import (
    Chart,
    Finding,
    Result,
    alternate,
    at_least,
    distribution,
    parser,
    percentiles,
    publish,
    quotients,
)
from benchmarks.many_stages import wait_until_linked

__all__ = ["PassOn", "Stamps", "Watch", "run_actorflow"]

FIRST = 20
"""Events that are not counted: caches are cold."""

QUEUE = "multiprocessing.Queue"


class Stamps(Producer):
    """Emits the time, so many times at a rate, whoever wants it; begins when it is told to."""

    def __init__(self, count: int, rate: float) -> None:
        self.left, self.pause = count, 1 / rate

    def handle_cast(self, message: Any) -> None:
        """Begin."""
        self.send_after(self.pause, None)

    def handle_demand(self, demand: int) -> None:
        """Time decides."""

    def handle_info(self, message: Any) -> list[float]:
        """The time."""
        self.left -= 1
        if self.left:
            self.send_after(self.pause, None)
        else:
            self.finish()
        return [time.perf_counter()]


class PassOn(ProducerConsumer):
    """Passes on."""

    def handle_events(self, events: list[float], subscription: Subscription) -> list[float]:
        """The same."""
        return events


class Watch(Consumer):
    """How long each was under way."""

    def __init__(self) -> None:
        self.delays: list[float] = []

    def handle_events(self, events: list[float], subscription: Subscription) -> None:
        """Look at the clock."""
        now = time.perf_counter()
        self.delays += [now - stamp for stamp in events]

    def on_stop(self, reason: Any) -> None:
        """Leave the result behind."""
        self.set_result(self.delays)


def run_actorflow(events: int, rate: float, between: int = 1) -> list[float]:
    """The delays of all events, in seconds.

    Args:
        events: how many.
        rate: of them in a second.
        between: how many stages pass them on.
    """
    topology = Topology("latency").stage("stamps", Stamps, args={"count": events, "rate": rate})
    before = "stamps"
    for number in range(between):
        topology = topology.stage(f"pass{number}", PassOn, subscribe_to=[before])
        before = f"pass{number}"
    with topology.stage("watch", Watch, subscribe_to=[before]).start() as run:
        wait_until_linked(run, between + 1)
        run.cast("stamps", "begin")
        return list(run.wait(timeout=300)["watch"])


def run_floor(events: int, rate: float) -> list[float]:
    """The same with three forked processes on bare pipes."""

    def make(out: Pipe) -> None:
        for _ in range(events):
            time.sleep(1 / rate)
            out.send(time.perf_counter())

    def pass_on(source: Pipe, out: Pipe) -> None:
        while (stamp := source.receive()) is not None:
            out.send(stamp)

    def watch(source: Pipe, answer: Pipe) -> None:
        delays = []
        while (stamp := source.receive()) is not None:
            delays.append(time.perf_counter() - stamp)
        answer.send(delays)

    with Crew() as crew:
        a, b, answer = (crew.pipe() for _ in range(3))
        crew.fork(lambda: make(a), {a.writing})
        crew.fork(lambda: pass_on(a, b), {a.reading, b.writing})
        crew.fork(lambda: watch(b, answer), {b.reading, answer.writing})
        crew.keep({answer.reading})
        return list(answer.receive())


def run_queue(events: int, rate: float) -> list[float]:
    """The same by queues."""
    found: list[float] = answer_of(
        "benchmarks._queues", "latency", events, rate, seconds=30 + 2 * events / rate
    )
    return found


def measure(options: argparse.Namespace) -> Result:
    """The delays of all sides."""
    events, rounds = (250, 1) if options.quick else (options.events, options.rounds)

    def delays_of(run: Any) -> list[float]:
        found = run(events, options.rate)
        if len(found) != events:
            raise AssertionError(f"of {events} events {len(found)} arrived")
        return [1e6 * delay for delay in found[FIRST:]]

    found = alternate(
        {
            "bare pipes": lambda: delays_of(run_floor),
            QUEUE: lambda: delays_of(run_queue),
            "actorflow": lambda: delays_of(run_actorflow),
        },
        rounds,
    )
    ours, floor = found["actorflow"], found["bare pipes"]

    def medians(side: tuple[list[float], ...]) -> list[float]:
        return [statistics.median(delays) for delays in side]

    return Result(
        name="latency",
        title="Latency through three stages",
        measures=f"One event every {1000 / options.rate:g} ms, with the time in it, through three"
        " stages. The floor is three forked processes on bare pipes.",
        charts=(
            Chart(
                title="Time from source to sink",
                unit="µs",
                parameter="percentile",
                kind="distribution",
                better="less",
                series=(
                    distribution("bare pipes", "floor", floor),
                    distribution(QUEUE, "peer", found[QUEUE]),
                    distribution("actorflow", "actorflow", ours),
                ),
            ),
        ),
        findings=(
            Finding(
                name="p50", unit="µs", better="less", rounds=tuple(percentiles(o)[50] for o in ours)
            ),
            Finding(
                name="p99", unit="µs", better="less", rounds=tuple(percentiles(o)[99] for o in ours)
            ),
            Finding(
                name="max",
                unit="µs",
                better="less",
                rounds=tuple(percentiles(o)[100] for o in ours),
            ),
            Finding(
                name="p50, of bare pipes",
                better="less",
                rounds=quotients(medians(ours), medians(floor)),
            ),
            Finding(
                name=f"p50, of {QUEUE}",
                better="less",
                rounds=quotients(medians(ours), medians(found[QUEUE])),
            ),
        ),
    )


def main(argv: list[str] | None = None) -> int:
    """Measure and print."""
    options = parser(__doc__, rounds=5)
    options.add_argument("--rate", type=at_least(1), default=200, help="events per second (200)")
    options.add_argument("--events", type=at_least(50), default=1000, help="in each run (1000)")
    return publish(measure, options.parse_args(argv))


if __name__ == "__main__":
    raise SystemExit(main())
