"""How long an outage is: from kill -9 of a stage to its successor's first event.

A→B→C run at full speed. B is killed again and again; when its successor's first `handle_events` is
called, it says so on a socket with the time. Beside the whole, the parts: until the supervisor has
seen the death, until the successor is ready, until its first event.

    python -m benchmarks.recovery
    python -m benchmarks.recovery --kills 200 --json
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import socket
import statistics
import struct
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from actorflow import (
    Consumer,
    Producer,
    ProducerConsumer,
    SubscribeTo,
    Subscription,
    SupervisorOptions,
    Topology,
)
from actorflow.supervision.events import ChildEnded, ChildReady

TARGET = 0.05
"""Seconds, at the median."""

WORD = "<dq"
"""When it was, and which process it was."""

PATIENCE = 30.0


class Numbers(Producer):
    """Counts without end."""

    def __init__(self) -> None:
        self.next = 0

    def handle_demand(self, demand: int) -> range:
        """The next integers."""
        events = range(self.next, self.next + demand)
        self.next += demand
        return events


class Middle(ProducerConsumer):
    """Passes on, and says when it got its first event."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.said = False

    def handle_events(self, events: list[int], subscription: Subscription) -> list[int]:
        """Pass on; the first time, tell."""
        if not self.said:
            self.said = True
            now = time.monotonic()
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                sock.sendto(struct.pack(WORD, now, os.getpid()), self.path)
        return events


class Sink(Consumer):
    """Takes events."""

    def handle_events(self, events: list[int], subscription: Subscription) -> None:
        """Do nothing."""


@dataclass(frozen=True, slots=True)
class Outage:
    """One kill: seconds from it until each of these."""

    seen: float
    ready: float
    first_event: float


class _Listener:
    """When the supervisor saw B's ends, and when it was ready."""

    def __init__(self) -> None:
        self.ended: list[float] = []
        self.ready: list[float] = []
        self._news = threading.Condition()

    def __call__(self, event: Any) -> None:
        if isinstance(event, ChildEnded | ChildReady) and event.child.stage.name == "b":
            with self._news:
                times = self.ended if isinstance(event, ChildEnded) else self.ready
                times.append(time.monotonic())
                self._news.notify_all()

    def wait(self, ended: int, ready: int) -> None:
        """Wait until there are so many of each."""
        with self._news:
            enough = self._news.wait_for(
                lambda: len(self.ended) >= ended and len(self.ready) >= ready, PATIENCE
            )
        if not enough:
            raise AssertionError(f"after {ended} kills: {self.ended} {self.ready}")


def measure(kills: int, *, max_demand: int, pause: float) -> list[Outage]:
    """Kill B so often, each time `pause` seconds after its successor's first event."""
    outages = []
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "told")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
            told.bind(path)
            told.settimeout(PATIENCE)
            topology = (
                Topology(
                    "recovery",
                    supervisor=SupervisorOptions(max_restarts=1_000_000, max_seconds=1.0),
                )
                .stage("a", Numbers)
                .stage(
                    "b",
                    Middle,
                    args={"path": path},
                    subscribe_to=[SubscribeTo("a", max_demand=max_demand)],
                )
                .stage("c", Sink, subscribe_to=[SubscribeTo("b", max_demand=max_demand)])
            )
            listener = _Listener()
            with topology.start(listener):
                _, pid = struct.unpack(WORD, told.recv(64))
                for number in range(1, kills + 1):
                    time.sleep(pause)
                    killed = time.monotonic()
                    os.kill(pid, signal.SIGKILL)
                    first, pid = struct.unpack(WORD, told.recv(64))
                    listener.wait(number, number + 1)
                    outages.append(
                        Outage(
                            listener.ended[number - 1] - killed,
                            listener.ready[number] - killed,
                            first - killed,
                        )
                    )
    return outages


@dataclass(frozen=True, slots=True)
class Row:
    """One part of an outage, in milliseconds."""

    part: str
    median: float
    p99: float
    worst: float


def rows_of(outages: Sequence[Outage]) -> list[Row]:
    """The parts of the outages, as figures."""
    rows = []
    for part in ("seen", "ready", "first_event"):
        values = sorted(1000 * getattr(outage, part) for outage in outages)
        p99 = values[min(len(values) - 1, int(len(values) * 0.99))]
        rows.append(Row(part, statistics.median(values), p99, values[-1]))
    return rows


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--demand", type=int, default=1000, help="max_demand of both subscriptions")
    parser.add_argument(
        "--pause", type=float, default=0.05, help="seconds from a first event to the next kill"
    )
    parser.add_argument("--quick", action="store_true", help="only to see that it works")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    kills = 3 if options.quick else options.kills
    rows = rows_of(measure(kills, max_demand=options.demand, pause=options.pause))
    if options.json:
        print(json.dumps({"python": sys.version, "rows": [asdict(row) for row in rows]}))
        return 0
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, {kills} kills")
    print(f"{'until':>12} {'median ms':>10} {'p99 ms':>8} {'worst ms':>9}")
    for row in rows:
        print(f"{row.part:>12} {row.median:>10.1f} {row.p99:>8.1f} {row.worst:>9.1f}")
    print(f"wanted: first_event at most {1000 * TARGET:.0f} ms at the median")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
