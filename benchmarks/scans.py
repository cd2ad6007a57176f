"""Scans: a stream to several of them, beside queues, pipes and generators that do the same.

* ``throughput``: integers through scans that keep the latest, by their number and `max_buffer`:
  elements per second, processor time and voluntary context switches (wake-ups) per element.
* ``payload``: the same with larger elements; each batch is encoded once however many scans get it.
  Eight scans are compared with one, where eight times the bytes would be an eighth of the rate. Of
  the rivals, pipes encode for each scan, or once.
* ``joins``: scans that are added and finish at once, per second.
* ``fairness``: how late a fast scan's values are while a slow one holds it back.

Times are those between the first and the last value at the consumer, so that starting a run does
not count; processor time and switches are those of the whole run less those of a run of nothing.
Sides alternate in each round.

    python -m benchmarks.scans
    python -m benchmarks.scans --part throughput --scans 4 --rounds 5 --json
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from actorflow import Consumer, Producer, SubscribeTo, Topology
from actorflow.stages.scans import DistributeStage, Partial, Scan, latest, take
from benchmarks._scan_rivals import SIDES
from benchmarks._suite import (
    Chart,
    Finding,
    Part,
    Result,
    Series,
    alternate,
    at_least,
    distribution,
    parser,
    publish,
    quotients,
    series,
)
from benchmarks._suite.records import Role

WORKERS = ("process", "pooled", "inline")
SLOW = 0.005
"""Seconds that the slow scan takes for an element."""


ROLES: dict[str, Role] = {
    **dict.fromkeys(WORKERS, "actorflow"),
    "queues": "peer",
    "pipes": "floor",
    "pipes once": "floor",
    "generators": "floor",
}


class Elements(Producer):
    """So many elements of a size; integers when that is 0."""

    def __init__(self, count: int, size: int) -> None:
        self.next, self.count, self.size = 0, count, size

    def handle_demand(self, demand: int) -> list[Any]:
        end = min(self.count, self.next + demand)
        numbers = range(self.next, end)
        self.next = end
        if end == self.count:
            self.finish()
        return [b"x" * self.size] * len(numbers) if self.size else list(numbers)


class Stamped(Producer):
    """Elements that say when they left."""

    def __init__(self, count: int) -> None:
        self.left = count

    def handle_demand(self, demand: int) -> list[float]:
        count = min(self.left, demand)
        self.left -= count
        if not self.left:
            self.finish()
        return [time.monotonic()] * count


class Watch(Consumer):
    """Counts values, and how long there were any."""

    def __init__(self) -> None:
        self.values = 0
        self.began = self.ended = 0.0

    def handle_events(self, events: list[Any], subscription: Any) -> None:
        self.ended = time.monotonic()
        self.began = self.began or self.ended
        self.values += len(events)

    def on_stop(self, reason: Any) -> None:
        self.set_result((self.values, self.ended - self.began))


class Late(Consumer):
    """How late each value of the first scan is."""

    def __init__(self) -> None:
        self.delays: list[float] = []

    def handle_events(self, events: list[Any], subscription: Any) -> None:
        now = time.monotonic()
        self.delays += [now - said for name, said in events if name == 1 and said]

    def on_stop(self, reason: Any) -> None:
        self.set_result(self.delays)


class Slow(Scan[Any, Any]):
    """Takes its time."""

    def initial(self) -> Partial[Any]:
        return Partial(0)

    def step(self, state: int, item: Any) -> Partial[int]:
        time.sleep(SLOW)
        return Partial(state + 1)


class Guests:
    """A scan for each element, which is done with it."""

    def __call__(self) -> list[Scan[Any, Any]]:
        return [take(1, latest())]


@dataclass(frozen=True, slots=True)
class Used:
    """What a run, or another program, took of the machine."""

    seconds: float
    processor: float
    switches: int


def run(args: dict[str, Any], count: int, size: int, window: int) -> Used:
    """Let elements go through scans.

    Raises:
        AssertionError: values are missing.
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    topology = (
        Topology("scans")
        .stage("elements", Elements, args={"count": count, "size": size})
        .stage(
            "scans",
            DistributeStage,
            args=args,
            subscribe_to=[SubscribeTo("elements", max_demand=window, min_demand=window // 2)],
        )
        .stage("watch", Watch, subscribe_to=["scans"])
    )
    with topology.start() as running:
        values, seconds = running.wait(timeout=600)["watch"]
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert values >= count, f"{values} values of {count} elements"
    return Used(
        seconds,
        after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        after.ru_nvcsw - before.ru_nvcsw,
    )


@dataclass(frozen=True, slots=True)
class Case:
    """What every side does."""

    scans: int
    room: int
    count: int
    size: int = 0


@dataclass(frozen=True, slots=True)
class Cost:
    """What an element cost a side: of a rival only the rate is known.

    Args:
        rate: elements per second.
        processor: microseconds of it for an element.
        switches: how often a process gave the processor up, for an element.
    """

    rate: float
    processor: float = 0.0
    switches: float = 0.0


def rival(side: str, case: Case) -> Cost:
    """What a rival takes for the same."""
    numbers = [str(each) for each in (case.scans, case.room, case.count, case.size)]
    command = [sys.executable, "-m", "benchmarks._scan_rivals", side, *numbers]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    total, seconds = done.stdout.split()
    assert int(total) == case.scans * case.count
    return Cost(case.count / float(seconds))


def ours(worker: str, case: Case) -> Cost:
    """The same in scans; what a run of nothing costs is not counted."""
    config = {"worker": worker, "max_buffer": case.room}
    args = {"scans": [latest()] * case.scans, "config": config}
    nothing = run(args, 1, case.size, case.room)
    used = run(args, case.count, case.size, case.room)
    return Cost(
        case.count / used.seconds,
        1e6 * (used.processor - nothing.processor) / case.count,
        (used.switches - nothing.switches) / case.count,
    )


def measured(case: Case, rounds: int, workers: Sequence[str]) -> dict[str, tuple[Cost, ...]]:
    """Every side of a case, in turns."""
    sides: dict[str, Callable[[], Cost]] = {each: partial(ours, each, case) for each in workers}
    sides |= {side: partial(rival, side, case) for side in SIDES}
    return alternate(sides, rounds)


Found = Mapping[int, Mapping[str, Sequence[Cost]]]
"""What was measured, by the parameter and by the side."""


def _sides(found: Found, value: Callable[[Cost], float], of: Iterable[str]) -> tuple[Series, ...]:
    return tuple(
        series(
            side, ROLES[side], {at: [value(each) for each in by[side]] for at, by in found.items()}
        )
        for side in of
    )


def _of_pipes(found: Found, worker: str, unit: str) -> tuple[Finding, ...]:
    return tuple(
        Finding(
            name=f"{worker} of pipes, {unit}: {at:,}",
            rounds=quotients([x.rate for x in by[worker]], [x.rate for x in by["pipes"]]),
        )
        for at, by in found.items()
    )


def throughput(options: argparse.Namespace) -> Part:
    """Integers, by the number of scans and the room of each."""
    scans = options.scans or ([4] if options.quick else [1, 2, 4, 8])
    rooms = options.max_buffer or ([16] if options.quick else [1, 16, 1500])
    workers = options.worker or (["pooled", "inline"] if options.quick else WORKERS)
    parts = []
    for room in rooms:
        count = max(1, options.count // 20) if room == 1 else options.count
        found = {each: measured(Case(each, room, count), options.rounds, workers) for each in scans}
        rates = Chart(
            title=f"Integers, max_buffer {room:,}",
            unit="elements/s",
            parameter="scans",
            series=_sides(found, lambda each: each.rate, [*workers, *SIDES]),
        )
        processor = Chart(
            title=f"Processor time, max_buffer {room:,}",
            unit="µs/element",
            parameter="scans",
            better="less",
            series=_sides(found, lambda each: each.processor, workers),
        )
        wake_ups = Chart(
            title=f"Wake-ups, max_buffer {room:,}",
            unit="per element",
            parameter="scans",
            better="less",
            series=_sides(found, lambda each: each.switches, workers),
        )
        findings = _of_pipes(found, workers[0], f"max_buffer {room:,}, scans")
        parts.append(Part(charts=(rates, processor, wake_ups), findings=findings))
    return Part.joined(parts)


def _turns(options: argparse.Namespace) -> int:
    """Rounds of what is less important: one in a quick run."""
    return 1 if options.quick else int(options.rounds)


def payload(options: argparse.Namespace) -> Part:
    """Larger elements; each batch is encoded once however many scans get it."""
    charts = []
    findings = []
    for size in (1 << 16,) if options.quick else (1 << 10, 1 << 16):
        count = max(20, options.count * 64 // size)
        found = {
            scans: measured(Case(scans, 16, count, size), _turns(options), ("process",))
            for scans in ((1, 4) if options.quick else (1, 8))
        }
        charts.append(
            Chart(
                title=f"Elements of {size >> 10} KiB, max_buffer 16",
                unit="elements/s",
                parameter="scans",
                series=_sides(found, lambda each: each.rate, ["process", *SIDES]),
            )
        )
        few, many = ([each.rate for each in by["process"]] for by in found.values())
        findings.append(
            Finding(
                name=f"{max(found)} scans of one, {size >> 10} KiB", rounds=quotients(many, few)
            )
        )
    return Part(charts=tuple(charts), findings=tuple(findings))


def joins(options: argparse.Namespace) -> Part:
    """A scan for each element, which ends with it."""
    count = 30 if options.quick else 500

    def rate(worker: str) -> float:
        config = {"worker": worker, "max_buffer": 16}
        return count / run({"next_scans": Guests(), "config": config}, count, 0, 16).seconds

    found = alternate({worker: partial(rate, worker) for worker in WORKERS}, _turns(options))
    return Part(
        charts=(
            Chart(
                title="A scan for each element",
                unit="scans/s",
                parameter="",
                series=tuple(
                    series(worker, "actorflow", {"": rates}) for worker, rates in found.items()
                ),
            ),
        )
    )


def delays_beside_slow(room: int, count: int) -> list[float]:
    """Milliseconds by which a fast scan's values are late beside a slow one."""
    args = {"scans": [latest(), Slow()], "config": {"max_buffer": room, "emit": "tagged"}}
    topology = (
        Topology("fairness")
        .stage("elements", Stamped, args={"count": count})
        .stage(
            "scans",
            DistributeStage,
            args=args,
            subscribe_to=[SubscribeTo("elements", max_demand=1, min_demand=0)],
        )
        .stage("late", Late, subscribe_to=["scans"])
    )
    with topology.start() as running:
        return [1e3 * each for each in running.wait(timeout=600)["late"]]


def fairness(options: argparse.Namespace) -> Part:
    """How late a fast scan's values are, by the size of the buffer."""
    count = 60 if options.quick else 500
    found = alternate(
        {f"max_buffer {room}": partial(delays_beside_slow, room, count) for room in (1, 16)},
        _turns(options),
    )
    return Part(
        charts=(
            Chart(
                title=f"Delay of a fast scan beside one that takes {1e3 * SLOW:g} ms",
                unit="ms",
                parameter="percentile",
                kind="distribution",
                better="less",
                series=tuple(
                    distribution(side, "actorflow", rounds) for side, rounds in found.items()
                ),
            ),
        )
    )


PARTS: dict[str, Callable[[argparse.Namespace], Part]] = {
    "throughput": throughput,
    "payload": payload,
    "joins": joins,
    "fairness": fairness,
}


def measure(options: argparse.Namespace) -> Result:
    """Every part that is asked for."""
    options.count = options.count or (4_000 if options.quick else 20_000)
    return Result.of_parts(
        (PARTS[part](options) for part in options.part or list(PARTS)),
        name="scans",
        title="A stream to several scans",
        measures="Every element goes to every scan, each of which keeps the latest and gives it"
        " back: in processes of their own, in one that they share, or inline. The floors are a pipe"
        " for each scan, and generators in one process; the peer is a multiprocessing.Queue for"
        " each.",
    )


def main(argv: list[str] | None = None) -> int:
    """Measure and print."""
    options = parser(__doc__, rounds=3)
    options.add_argument("--part", action="append", choices=PARTS, help="which; all when left out")
    options.add_argument("--scans", type=at_least(1), action="append", help="how many; 1, 2, 4, 8")
    options.add_argument("--worker", action="append", choices=WORKERS, help="where scans run")
    options.add_argument(
        "--max-buffer", type=at_least(1), action="append", help="of each; 1, 16 and 1500"
    )
    options.add_argument("--count", type=at_least(20), help="how many elements (20 000)")
    return publish(measure, options.parse_args(argv))


if __name__ == "__main__":
    raise SystemExit(main())
