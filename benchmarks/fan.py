"""One source to four consumers, and four sources to one, beside bare pipes and queues.

* ``broadcast``: each of four consumers gets every event; counted are the source's events.
* ``partition``: each gets those of its partition, a number modulo four.
* ``fan-in``: four sources, each with a quarter of the events, and one consumer.

Bare pipes and `multiprocessing.Queue` pass batches of the same size: half of `max_demand`. The
queues have room for two of them; with bare pipes a consumer asks for each. All are timed from the
first batch that a consumer takes to the last.

``partition`` is no level ground: actorflow asks a Python function about each event, and keeps what
a consumer has no demand for, which takes the source some 140 ns of each event. The others know that
the events are numbers in order, and cut each batch into four by slices.

    python -m benchmarks.fan
    python -m benchmarks.fan --shape broadcast --demand 100 --rounds 5 --json
"""

from __future__ import annotations

import argparse
import select
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from actorflow import SubscribeTo, Topology
from benchmarks._numbers import Numbers, Total
from benchmarks._pipes import Crew, Pipe, window_of
from benchmarks._programs import answer_of
from benchmarks._queues import WAYS
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

SHAPES = ("broadcast", "partition", "fan-in")
QUEUE = "multiprocessing.Queue"
DEADLINE = 60.0
ROLES: dict[str, Role] = {"bare pipes": "floor", QUEUE: "peer", "actorflow": "actorflow"}

Answer = list[float]
"""The total of all consumers, and the seconds."""


def way_of(event: int) -> int:
    """The partition of an event."""
    return event % WAYS


# --- actorflow ------------------------------------------------------------------------------------


class Adds(Total):
    """Adds up, and says when it took its first batch and its last: it is one of several."""

    def on_stop(self, reason: Any) -> None:
        """Leave the result behind."""
        self.set_result([self.total, self.first, self.last])


def run_actorflow(shape: str, events: int, max_demand: int) -> Answer:
    """One run."""
    sources, consumers = (WAYS, 1) if shape == "fan-in" else (1, WAYS)
    partition = {"partition": {"by": "benchmarks.fan:way_of", "partitions": WAYS}}
    dispatchers: dict[str, Any] = {"broadcast": "broadcast", "partition": partition}
    topology = (
        Topology("fan")
        .stage(
            "numbers",
            Numbers,
            args={"limit": events // sources},
            replicas=sources,
            dispatcher=dispatchers.get(shape, "demand"),
        )
        .stage(
            "adds",
            Adds,
            replicas=consumers,
            subscribe_to=[SubscribeTo("numbers", max_demand=max_demand)],
        )
    )
    with topology.start() as run:
        found = run.wait(timeout=300)["adds"]
    return _joined(found if consumers > 1 else [found])


def _joined(found: list[list[float]]) -> Answer:
    began = min(first for _, first, _ in found)
    return [sum(total for total, *_ in found), max(last for *_, last in found) - began]


# --- the floor ------------------------------------------------------------------------------------


def _deal(shape: str, events: int, size: int, lines: list[tuple[Pipe, Pipe]]) -> None:
    """The source of several consumers: for each its pipe, and the pipe of its asks."""
    credit = [0] * len(lines)
    for start in range(0, events, size):
        batch = list(range(start, min(events, start + size)))
        for way, (out, asks) in enumerate(lines):
            part = batch if shape == "broadcast" else batch[(way - start) % WAYS :: WAYS]
            while credit[way] < len(part):
                credit[way] += asks.receive()
            credit[way] -= len(part)
            out.send(part)


def _make(events: int, out: Pipe, asks: Pipe) -> None:
    """One source of several."""
    position = 0
    while position < events:
        end = min(events, position + asks.receive())
        out.send(list(range(position, end)))
        position = end


def _add(lines: list[tuple[Pipe, Pipe]], answer: Pipe) -> None:
    """A consumer of one source or of several."""
    total, first, last = 0, 0.0, 0.0
    asks = {out.reading: (out, ask) for out, ask in lines}
    while asks:
        ready = list(asks) if len(asks) == 1 else select.select(list(asks), [], [])[0]
        for descriptor in ready:
            source, ask = asks[descriptor]
            batch = source.receive()
            if batch is None:
                del asks[descriptor]
                continue
            first = first or time.perf_counter()
            total += sum(batch)
            last = time.perf_counter()
            ask.ask(len(batch))
    answer.send([total, first, last])


def run_floor(shape: str, events: int, max_demand: int) -> Answer:
    """The same with forked processes on bare pipes."""
    with Crew() as crew:
        lines = [(crew.pipe(), crew.pipe()) for _ in range(WAYS)]
        for _, ask in lines:
            for count in window_of(max_demand):
                ask.send(count)
        if shape == "fan-in":
            answers = [crew.pipe()]
            for out, ask in lines:
                act = partial(_make, events // WAYS, out, ask)
                crew.fork(act, {out.writing, ask.reading})
            ends = {end for out, ask in lines for end in (out.reading, ask.writing)}
            crew.fork(partial(_add, lines, answers[0]), ends | {answers[0].writing})
        else:
            answers = [crew.pipe() for _ in lines]
            ends = {end for out, ask in lines for end in (out.writing, ask.reading)}
            size = max(1, max_demand // 2)
            crew.fork(partial(_deal, shape, events, size, lines), ends)
            for (out, ask), answer in zip(lines, answers, strict=True):
                keep = {out.reading, ask.writing, answer.writing}
                crew.fork(partial(_add, [(out, ask)], answer), keep)
        crew.keep({answer.reading for answer in answers})
        return _joined([answer.receive() for answer in answers])


def run_queue(shape: str, events: int, max_demand: int) -> Answer:
    """The same by queues."""
    arguments = ("fan", shape, events, max_demand)
    found: Answer = answer_of("benchmarks._queues", *arguments, seconds=DEADLINE)
    return found


# --- the comparison -------------------------------------------------------------------------------

SIDES: dict[str, Callable[[str, int, int], Answer]] = {
    "bare pipes": run_floor,
    QUEUE: run_queue,
    "actorflow": run_actorflow,
}


def total_of(shape: str, events: int) -> int:
    """What all consumers together must have added up."""
    if shape == "fan-in":
        each = events // WAYS
        return WAYS * (each * (each - 1) // 2)
    return events * (events - 1) // 2 * (WAYS if shape == "broadcast" else 1)


def compare(
    shape: str, max_demand: int, *, seconds: float, rounds: int
) -> dict[str, tuple[float, ...]]:
    """Alternate the sides on as many events as bare pipes move in about `seconds`."""
    probe = 40 * WAYS * max_demand
    events = as_many_as_take(
        seconds, lambda count: run_floor(shape, count, max_demand)[1], at_least=probe, step=WAYS
    )

    def rate_of(side: str) -> float:
        total, spent = SIDES[side](shape, events, max_demand)
        if total != total_of(shape, events):
            raise AssertionError(f"{side}, {shape}: a wrong total of {events} events: {total}")
        return events / spent

    turns = {side: lambda side=side: rate_of(side) for side in SIDES}
    return alternate(turns, rounds)


def measure(options: argparse.Namespace) -> Result:
    """The rates of all sides, by shape."""
    seconds, rounds = (0.1, 1) if options.quick else (options.seconds, options.rounds)
    found = {
        shape: compare(shape, options.demand, seconds=seconds, rounds=rounds)
        for shape in options.shape or SHAPES
    }
    return Result(
        name="fan",
        title="One to four, and four to one",
        measures="One source and four consumers, all of which get every event (broadcast) or each"
        " those of its partition; four sources and one consumer (fan-in). Integers in batches of"
        f" {options.demand // 2}. The floor is forked processes on bare pipes, which partitions by"
        " slices of a batch, where actorflow asks a function about each event.",
        charts=(
            Chart(
                title=f"Throughput, max_demand {options.demand}",
                unit="events/s",
                parameter="shape",
                series=tuple(
                    series(side, role, {shape: rates[side] for shape, rates in found.items()})
                    for side, role in ROLES.items()
                ),
            ),
        ),
        findings=tuple(
            Finding(name=f"{shape}, of {side}", rounds=quotients(rates["actorflow"], rates[side]))
            for shape, rates in found.items()
            for side in ("bare pipes", QUEUE)
        ),
    )


def main(argv: list[str] | None = None) -> int:
    """Run the comparison and print it."""
    options = parser(__doc__, rounds=5)
    options.add_argument("--shape", action="append", choices=SHAPES, help="all when none")
    options.add_argument("--demand", type=at_least(2), default=1000, help="max_demand (1000)")
    options.add_argument("--seconds", type=float, default=0.5, help="about how long each run takes")
    return publish(measure, options.parse_args(argv))


if __name__ == "__main__":
    raise SystemExit(main())
