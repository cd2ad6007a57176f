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
import json
import platform
import resource
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any

from actorflow import Consumer, Producer, SubscribeTo, Topology
from actorflow.stages.scans import DistributeStage, Partial, Scan, latest, take
from benchmarks._scan_rivals import SIDES

PARTS = ("throughput", "payload", "joins", "fairness")
WORKERS = ("process", "pooled", "inline")
SLOW = 0.005
"""Seconds that the slow scan takes for an element."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the report."""

    part: str
    side: str
    case: str
    figures: dict[str, float]


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

    part: str
    scans: int
    room: int
    count: int
    size: int = 0

    def __str__(self) -> str:
        said = f"{self.scans} scans, max_buffer {self.room}"
        return f"{said}, {self.size} B" if self.size else said


def rival(side: str, case: Case) -> float:
    """The seconds that a rival takes for the same."""
    numbers = [str(each) for each in (case.scans, case.room, case.count, case.size)]
    command = [sys.executable, "-m", "benchmarks._scan_rivals", side, *numbers]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    total, seconds = done.stdout.split()
    assert int(total) == case.scans * case.count
    return float(seconds)


def measured(case: Case, rounds: int, workers: tuple[str, ...]) -> list[Row]:
    """Every side of a case."""
    rates: dict[str, list[float]] = {}
    costs: dict[str, list[tuple[float, float]]] = {}
    for _ in range(rounds):
        for worker in workers:
            config = {"worker": worker, "max_buffer": case.room}
            args = {"scans": [latest()] * case.scans, "config": config}
            nothing = run(args, 1, case.size, case.room)
            used = run(args, case.count, case.size, case.room)
            rates.setdefault(worker, []).append(case.count / used.seconds)
            spent = used.processor - nothing.processor, used.switches - nothing.switches
            costs.setdefault(worker, []).append((spent[0] / case.count, spent[1] / case.count))
        for side in SIDES:
            seconds = rival(side, case)
            rates.setdefault(side, []).append(case.count / seconds)
    rows = []
    for side, found in rates.items():
        figures = {"per_second": statistics.median(found)}
        if side in costs:
            figures["processor_us"] = 1e6 * statistics.median(each for each, _ in costs[side])
            figures["wake_ups"] = statistics.median(each for _, each in costs[side])
        rows.append(Row(case.part, side, str(case), figures))
    return rows


def joins(count: int, rounds: int) -> list[Row]:
    """A scan for each element, which ends with it."""
    rows = []
    for worker in ("process", "pooled", "inline"):
        config = {"worker": worker, "max_buffer": 16}
        used = [
            run({"next_scans": Guests(), "config": config}, count, 0, 16) for _ in range(rounds)
        ]
        rate = statistics.median(count / each.seconds for each in used)
        rows.append(Row("joins", worker, "a scan for each element", {"per_second": rate}))
    return rows


def fairness(count: int) -> list[Row]:
    """The delays of a fast scan's values beside a slow one, by the size of the buffer."""
    rows = []
    for room in (1, 16):
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
            delays = running.wait(timeout=600)["late"]
        figures = {
            "p50_ms": 1e3 * statistics.median(delays),
            "p99_ms": 1e3 * sorted(delays)[int(len(delays) * 0.99)],
            "slow_ms": 1e3 * SLOW,
        }
        rows.append(Row("fairness", "process", f"max_buffer {room}", figures))
    return rows


def rows_of(options: argparse.Namespace) -> list[Row]:
    """Every part that is asked for."""
    rows: list[Row] = []
    rounds, count = (1, 300) if options.quick else (options.rounds, options.count)
    numbers = [2] if options.quick else options.scans or [1, 2, 4, 8]
    rooms = [16] if options.quick else options.max_buffer or [1, 16, 1500]
    if "throughput" in options.part:
        for scans in numbers:
            for room in rooms:
                less = count // 20 if room == 1 else count
                workers = ("inline",) if options.quick else WORKERS
                rows += measured(Case("throughput", scans, room, less), rounds, workers)
    if "payload" in options.part:
        for size in (1 << 10, 1 << 16):
            for scans in (1, 8) if not options.quick else (1,):
                less = max(20, count * 64 // size)
                rows += measured(Case("payload", scans, 16, less, size), rounds, ("process",))
    if "joins" in options.part:
        rows += joins(20 if options.quick else 500, rounds)
    if "fairness" in options.part:
        rows += fairness(20 if options.quick else 500)
    return rows


def main(argv: list[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--part", action="append", choices=PARTS, help="which; all when left out")
    parser.add_argument("--scans", type=int, action="append", help="how many; 1, 2, 4 and 8")
    parser.add_argument("--max-buffer", type=int, action="append", help="of each; 1, 16 and 1500")
    parser.add_argument("--count", type=int, default=100_000, help="how many elements")
    parser.add_argument("--rounds", type=int, default=3, help="how many turns each side has")
    parser.add_argument("--quick", action="store_true", help="one turn of a few elements")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(argv)
    options.part = options.part or list(PARTS)
    rows = rows_of(options)
    if options.json:
        print(json.dumps({"python": sys.version, "rows": [asdict(row) for row in rows]}))
        return 0
    print(f"Python {platform.python_version()}, {options.count:,} elements")
    for row in rows:
        figures = "  ".join(f"{name} {value:,.1f}" for name, value in row.figures.items())
        print(f"{row.part:>10} {row.case:<28} {row.side:>10}  {figures}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
