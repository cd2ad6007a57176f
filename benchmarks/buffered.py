"""The asynchronous stage: how late I/O is served while a body works, timers, claims, and a story.

* ``delay``: the time from a datagram's sending until a call's coroutine has it, with the body idle
  and with the body busy in Python; beside it a bystander that is as busy, and a body that is busy
  in a thread of the same process.
* ``timers``: 65 536 calls of 100 µs, 256 in flight, beside bare asyncio with a semaphore.
* ``claims``: the most items that were taken from the source and not processed, against the limit.
* ``story``: connections that must not be idle for 0.2 s, and bodies of 0.25 s, beside
  `asyncio.gather` with a semaphore, and `concurrent.futures`; ours with the start of its processes.

Rounds alternate, so that a noisy machine is noisy for all sides.

    python -m benchmarks.buffered
    python -m benchmarks.buffered --part delay --rounds 10 --json
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import json
import os
import socket
import statistics
import struct
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from actorflow import Consumer, Producer, SubscribeTo, Topology
from actorflow.stages.buffered import AsyncStage
from actorflow.stages.sources import Items, Range
from benchmarks._database import Address, Database, select, select_blocking, served

PARTS = ("delay", "timers", "claims", "story")
TARGET = 1.5
"""The busy body's p99 of the delay, over the idle body's."""

SENT = "<d"
PATIENCE = 120.0
CONCURRENCY = 5
CLAIMS = ("total", "window")


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the report."""

    part: str
    side: str
    figures: dict[str, float]


def spin(seconds: float) -> None:
    """Keep a processor busy in pure Python."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass


# --- delay ----------------------------------------------------------------------------------------

Body = Literal["idle", "bystander busy", "busy", "busy in a thread"]
"""Who is busy; a bystander is a stage that has nothing to do with the calls. It shows what a busy
process costs on this machine, whatever it works on."""


async def probe(folder: str, count: int, body: Body, item: str) -> Any:
    """The body's event, or the delays of so many datagrams."""
    if item == "body":
        return "body"
    stop = threading.Event()
    thread = threading.Thread(target=_spin_until, args=(stop,))
    if body == "busy in a thread":
        thread.start()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as inbox:
        inbox.setblocking(False)
        inbox.bind(os.path.join(folder, "probe"))
        loop = asyncio.get_running_loop()
        delays = []
        for _ in range(count):
            (sent,) = struct.unpack(SENT, await loop.sock_recv(inbox, 64))
            delays.append(time.monotonic() - sent)
    stop.set()
    Path(folder, "done").touch()
    return delays


def _spin_until(stop: threading.Event) -> None:
    while not stop.is_set():
        pass


class Bystander(Producer):
    """Works as long as the probe runs, and gives nothing."""

    def __init__(self, folder: str) -> None:
        self.done = os.path.join(folder, "done")

    def on_start(self) -> None:
        """Begin as soon as it has started."""
        self.send_after(0, "begin")

    def handle_info(self, message: Any) -> None:
        """Work."""
        while not os.path.exists(self.done):
            spin(0.002)
        self.finish()


class Beside(Consumer):
    """Works, or waits, as long as the probe runs; then keeps what that has measured."""

    def __init__(self, folder: str, busy: bool) -> None:
        self.done = os.path.join(folder, "done")
        self.busy = busy

    def handle_events(self, events: list[Any], subscription: Any) -> None:
        """Take the body's event, then the delays."""
        (event,) = events
        if event != "body":
            self.set_result(event)
            return
        Path(self.done).with_name("begun").touch()
        while not os.path.exists(self.done):
            if self.busy:
                spin(0.002)
            else:
                time.sleep(0.002)


def measure_delays(count: int, body: Body) -> list[float]:
    """The delays of so many datagrams, a millisecond or two apart, in seconds."""
    with tempfile.TemporaryDirectory() as folder:
        topology = (
            Topology("delay")
            .stage("items", Items, args={"items": ["body", "probe"]})
            .stage(
                "calls",
                AsyncStage,
                args={
                    "run": functools.partial(probe, folder, count, body),
                    "concurrency": 2,
                },
                subscribe_to=["items"],
            )
            .stage(
                "body",
                Beside,
                args={"folder": folder, "busy": body == "busy"},
                subscribe_to=[SubscribeTo("calls", max_demand=1, min_demand=0)],
            )
        )
        if body == "bystander busy":
            topology = topology.stage("bystander", Bystander, args={"folder": folder})
        with topology.start() as run:
            for name in ("probe", "begun"):
                _wait_for(Path(folder, name))
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as outbox:
                outbox.connect(os.path.join(folder, "probe"))
                for number in range(count):
                    time.sleep(0.001 + number % 7 * 0.0002)
                    outbox.send(struct.pack(SENT, time.monotonic()))
            delays: list[float] = run.wait(timeout=PATIENCE)["body"]
    return delays


def _wait_for(path: Path) -> None:
    until = time.monotonic() + PATIENCE
    while not path.exists():
        if time.monotonic() > until:
            raise TimeoutError(f"{path.name} does not begin")
        time.sleep(0.001)


def delay(rounds: int, *, quick: bool) -> list[Row]:
    """The delays of all rounds together, for each body."""
    sides: tuple[Body, ...] = ("idle", "busy")
    if not quick:
        sides = ("idle", "bystander busy", "busy", "busy in a thread")
    found: dict[Body, list[list[float]]] = {side: [] for side in sides}
    for _ in range(rounds):
        for side in sides:
            found[side].append(measure_delays(20 if quick else 500, side))
    rows = []
    idle = 1.0
    for side in sides:
        of_rounds = [_percentiles(delays) for delays in found[side]]
        figures = {
            name: statistics.median(each[name] for each in of_rounds) for name in of_rounds[0]
        }
        idle = figures["p99_us"] if side == "idle" else idle
        rows.append(Row("delay", side, {**figures, "p99_over_idle": figures["p99_us"] / idle}))
    return rows


def _percentiles(delays: list[float]) -> dict[str, float]:
    ordered = sorted(each * 1e6 for each in delays)
    last = len(ordered) - 1
    return {
        "p50_us": ordered[last // 2],
        "p99_us": ordered[round(last * 0.99)],
        "max_us": ordered[-1],
    }


# --- timers ---------------------------------------------------------------------------------------


async def nap(number: int) -> int:
    """A timer of 100 µs."""
    await asyncio.sleep(0.0001)
    return number


class Count(Consumer):
    """Counts, and notes when the first event came and when the last."""

    def __init__(self) -> None:
        self.count = 0
        self.first = self.last = 0.0

    def handle_events(self, events: list[Any], subscription: Any) -> None:
        """Count."""
        self.count += len(events)
        self.last = time.monotonic()
        self.first = self.first or self.last

    def on_stop(self, reason: Any) -> None:
        """Leave the count and the time behind."""
        self.set_result([self.count, self.last - self.first])


def timers_in_asyncio(count: int, at_once: int) -> float:
    """Seconds that bare asyncio takes, with a semaphore."""

    async def all_of_them() -> None:
        places = asyncio.Semaphore(at_once)

        async def one(number: int) -> None:
            async with places:
                await nap(number)

        await asyncio.gather(*(one(number) for number in range(count)))

    began = time.monotonic()
    asyncio.run(all_of_them())
    return time.monotonic() - began


def timers_in_a_stage(count: int, at_once: int, claim: str) -> float:
    """Seconds from the first result to the last, each of which passes on to a consumer."""
    topology = (
        Topology("timers")
        .stage("numbers", Range, args={"stop": count})
        .stage(
            "naps",
            AsyncStage,
            args={"run": nap, "concurrency": at_once, "claim": claim},
            subscribe_to=["numbers"],
        )
        .stage("count", Count, subscribe_to=["naps"])
    )
    with topology.start() as run:
        counted, seconds = run.wait(timeout=PATIENCE)["count"]
    if counted != count:
        raise AssertionError(f"{counted} of {count} timers came back")
    return float(seconds)


def timers(rounds: int, *, quick: bool) -> list[Row]:
    """Medians of each side."""
    count, at_once = (512, 64) if quick else (65_536, 256)
    of_ours = CLAIMS[:1] if quick else CLAIMS
    seconds: dict[str, list[float]] = {"asyncio": [], **{claim: [] for claim in of_ours}}
    for _ in range(rounds):
        seconds["asyncio"].append(timers_in_asyncio(count, at_once))
        for claim in of_ours:
            seconds[claim].append(timers_in_a_stage(count, at_once, claim))
    floor = statistics.median(seconds["asyncio"])
    return [
        Row(
            "timers",
            side,
            {"seconds": median, "per_second": count / median, "over": median / floor},
        )
        for side in seconds
        for median in [statistics.median(seconds[side])]
    ]


# --- claims ---------------------------------------------------------------------------------------


class Shelf(Producer):
    """Notes when each item is taken."""

    def __init__(self, items: int) -> None:
        self.left = items
        self.taken: list[float] = []

    def handle_demand(self, demand: int) -> range:
        """So many of what is left."""
        count = min(demand, self.left)
        self.left -= count
        self.taken += [time.monotonic()] * count
        if not self.left:
            self.finish()
        return range(count)

    def on_stop(self, reason: Any) -> None:
        """Leave the times behind."""
        self.set_result(self.taken)


class Processed(Consumer):
    """Notes when each body ends."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.ended: list[float] = []

    def handle_events(self, events: list[Any], subscription: Any) -> None:
        """One body."""
        time.sleep(self.seconds)
        self.ended.append(time.monotonic())

    def on_stop(self, reason: Any) -> None:
        """Leave the times behind."""
        self.set_result(self.ended)


def claims(rounds: int, *, quick: bool) -> list[Row]:
    """The most that was claimed at any time."""
    rows = []
    for claim in CLAIMS[:1] if quick else CLAIMS:
        limit = CONCURRENCY + (claim == "window")
        topology = (
            Topology("claims")
            .stage("shelf", Shelf, args={"items": 30 if quick else 1_000})
            .stage(
                "calls",
                AsyncStage,
                args={"run": nap, "concurrency": CONCURRENCY, "claim": claim},
                subscribe_to=["shelf"],
            )
            .stage(
                "bodies",
                Processed,
                args={"seconds": 0.001},
                subscribe_to=[SubscribeTo("calls", max_demand=1, min_demand=0)],
            )
        )
        with topology.start() as run:
            results = run.wait(timeout=PATIENCE)
        changes = sorted([(t, 1) for t in results["shelf"]] + [(t, -1) for t in results["bodies"]])
        claimed = most = 0
        for _, change in changes:
            claimed += change
            most = max(most, claimed)
        rows.append(Row("claims", claim, {"limit": limit, "most": most}))
    return rows


# --- story ----------------------------------------------------------------------------------------


class Spin(Consumer):
    """One body at a time."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def handle_events(self, events: list[Any], subscription: Any) -> None:
        """One body."""
        spin(self.seconds)


def story_in_stages(address: Address, items: int, body: float) -> int:
    """Ours; returns how many items were claimed at a time."""
    topology = (
        Topology("story")
        .stage("items", Range, args={"stop": items})
        .stage(
            "select",
            AsyncStage,
            args={"run": functools.partial(select, address), "concurrency": CONCURRENCY},
            subscribe_to=["items"],
        )
        .stage(
            "process",
            Spin,
            args={"seconds": body},
            subscribe_to=[SubscribeTo("select", max_demand=1, min_demand=0)],
        )
    )
    with topology.start() as run:
        run.wait(timeout=PATIENCE)
    return CONCURRENCY


def story_in_asyncio(address: Address, items: int, body: float) -> int:
    """`asyncio.gather` with a semaphore, and a lock for the bodies."""

    async def all_of_them() -> None:
        places, one_body = asyncio.Semaphore(CONCURRENCY), asyncio.Lock()

        async def one(item: int) -> None:
            async with places:
                await select(address, item)
            async with one_body:
                spin(body)

        await asyncio.gather(*(one(item) for item in range(items)))

    asyncio.run(all_of_them())
    return items


def story_in_futures(address: Address, items: int, body: float) -> int:
    """A `ThreadPoolExecutor` for the calls, and the bodies in the thread that waits for them."""
    with ThreadPoolExecutor(CONCURRENCY) as pool:
        calls = [pool.submit(select_blocking, address, item) for item in range(items)]
        for call in as_completed(calls):
            call.result()
            spin(body)
    return items


STORIES = {
    "actorflow": story_in_stages,
    "asyncio.gather": story_in_asyncio,
    "concurrent.futures": story_in_futures,
}


def story(rounds: int, *, quick: bool) -> list[Row]:
    """Medians of the seconds; clients that the database dropped, of all rounds."""
    items, body = (3, 0.01) if quick else (20, 0.25)
    seconds: dict[str, list[float]] = {side: [] for side in STORIES}
    dropped = dict.fromkeys(STORIES, 0)
    claimed = dict.fromkeys(STORIES, 0)
    for _ in range(rounds):
        for side, tell in STORIES.items():
            database = Database(idle=0.2)
            with served(database) as address:
                began = time.monotonic()
                claimed[side] = tell(address, items, body)
                seconds[side].append(time.monotonic() - began)
            dropped[side] += database.dropped
    return [
        Row(
            "story",
            side,
            {
                "seconds": statistics.median(seconds[side]),
                "dropped": dropped[side],
                "of": items * rounds,
                "claimed_at_once": claimed[side],
            },
        )
        for side in STORIES
    ]


# --- the report -----------------------------------------------------------------------------------

MEASURES = {"delay": delay, "timers": timers, "claims": claims, "story": story}


def main(argv: list[str] | None = None) -> int:
    """Measure and report; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--part", choices=PARTS, action="append", help="only this; may be repeated")
    parser.add_argument("--rounds", type=int, default=5, help="alternating rounds (default: 5)")
    parser.add_argument("--quick", action="store_true", help="very little of everything, once")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(argv)
    rounds = 1 if options.quick else options.rounds
    load = os.getloadavg()[0]
    rows = [
        row for part in options.part or PARTS for row in MEASURES[part](rounds, quick=options.quick)
    ]
    if options.json:
        report = {"load": load, "rounds": rounds, "rows": [asdict(row) for row in rows]}
        print(json.dumps(report, indent=2))
        return 0
    print(f"rounds {rounds}, load {load:.1f} before; p99 busy over idle should be below {TARGET}")
    for row in rows:
        figures = ", ".join(f"{name} {value:,.4g}" for name, value in row.figures.items())
        print(f"{row.part:8} {row.side:20} {figures}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
