"""How long an outage is: from kill -9 of a stage to its successor's first event.

A→B→C run at full speed. B is killed again and again; when its successor's first `handle_events` is
called, it says so on a socket with the time. Beside the whole, the parts: until the supervisor has
seen the death, until the successor is ready, until its first event.

    python -m benchmarks.recovery
    python -m benchmarks.recovery --rounds 1 --kills 200 --json
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import statistics
import struct
import tempfile
import threading
import time
from dataclasses import dataclass
from itertools import chain
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
from benchmarks._forks import forks
from benchmarks._suite import (
    Chart,
    Finding,
    Result,
    at_least,
    distribution,
    parser,
    percentiles,
    publish,
    quotients,
)

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


def kill_often(kills: int, *, max_demand: int, pause: float) -> list[Outage]:
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


def fork_again(kills: int) -> list[float]:
    """The floor: kill a forked child, wait for its end, fork the next, and hear of it."""
    seconds = []
    with forks() as children:
        children.start()
        children.hear(1)
        for _ in range(kills):
            killed = time.monotonic()
            children.kill()
            children.start()
            children.hear(1)
            seconds.append(time.monotonic() - killed)
    return seconds


PARTS = {
    "until the supervisor has seen it": "seen",
    "until the successor is ready": "ready",
    "until its first event": "first_event",
}


def measure(options: argparse.Namespace) -> Result:
    """Rounds of kills, each beside as many of bare children."""
    kills = 10 if options.quick else options.kills
    floors: list[list[float]] = []
    rounds: list[list[Outage]] = []
    for _ in range(options.rounds):
        floors.append([1000 * each for each in fork_again(kills)])
        rounds.append(kill_often(kills, max_demand=options.demand, pause=options.pause))
    parts = {
        name: [[1000 * getattr(each, part) for each in outages] for outages in rounds]
        for name, part in PARTS.items()
    }
    first_events = parts["until its first event"]
    medians = [statistics.median(found) for found in first_events]
    return Result(
        name="recovery",
        title="How long an outage is",
        measures=f"Three stages run at full speed, and the one between is killed with SIGKILL, "
        f"{kills * options.rounds} times: {kills} in each of {options.rounds} rounds. The time from"
        " the kill to its successor's first event, and to what happens before. The floor is a bare"
        " forked child: kill it, wait for its end, fork another, hear of it.",
        charts=(
            Chart(
                title="From the kill",
                unit="ms",
                parameter="percentile",
                kind="distribution",
                better="less",
                # Of all kills: the 99th percentile of one round's would be its worst.
                series=(
                    distribution("bare fork", "floor", [chain(*floors)]),
                    *(
                        distribution(name, "actorflow", [chain(*found)])
                        for name, found in parts.items()
                    ),
                ),
            ),
        ),
        findings=(
            Finding(
                name="first event after the kill, median",
                rounds=tuple(medians),
                unit="ms",
                better="less",
                targets=("recovery",),
            ),
            Finding(
                name="first event after the kill, 99th percentile of all",
                rounds=(percentiles(chain(*first_events))[99],),
                unit="ms",
                better="less",
            ),
            Finding(
                name="the median over a bare fork's",
                rounds=quotients(medians, [statistics.median(found) for found in floors]),
                better="less",
            ),
        ),
    )


def main(argv: list[str] | None = None) -> int:
    """Measure and print."""
    options = parser(__doc__, rounds=5)
    options.add_argument("--kills", type=at_least(1), default=40, help="in each round (40)")
    options.add_argument(
        "--demand", type=at_least(1), default=1000, help="max_demand of both subscriptions (1000)"
    )
    options.add_argument(
        "--pause", type=float, default=0.05, help="seconds from a first event to the next kill"
    )
    return publish(measure, options.parse_args(argv))


if __name__ == "__main__":
    raise SystemExit(main())
