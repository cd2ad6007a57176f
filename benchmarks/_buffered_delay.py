"""How late an asynchronous stage serves I/O while a body works: datagrams with their time."""

from __future__ import annotations

import asyncio
import os
import socket
import statistics
import struct
import tempfile
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any, Literal

from actorflow import Consumer, Producer, SubscribeTo, Topology
from actorflow.stages.buffered import AsyncStage
from actorflow.stages.sources import Items
from benchmarks._suite import Chart, Finding, Part, alternate, distribution, percentiles, quotients
from benchmarks._suite.records import Role

SENT = "<d"
PATIENCE = 120.0


def spin(seconds: float) -> None:
    """Keep a processor busy in pure Python."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass


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
                    "run": partial(probe, folder, count, body),
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


STRANGER: Body = "bystander busy"

NAMES: dict[Body, Role] = {
    "idle": "floor",
    STRANGER: "floor",
    "busy": "actorflow",
    "busy in a thread": "peer",
}


def delay(rounds: int, *, quick: bool) -> Part:
    """The delays for each body."""
    sides: tuple[Body, ...] = ("idle", STRANGER, "busy") if quick else tuple(NAMES)
    count = 200 if quick else 500
    found = alternate({side: partial(measure_delays, count, side) for side in sides}, rounds)
    delays = {side: [[1e6 * each for each in one] for one in runs] for side, runs in found.items()}
    late = {side: [percentiles(one)[99] for one in runs] for side, runs in delays.items()}
    by_stranger = statistics.median(quotients(late[STRANGER], late["idle"]))
    return Part(
        charts=(
            Chart(
                title="Delay until a call's I/O is served, by what the body does",
                unit="µs",
                parameter="percentile",
                kind="distribution",
                better="less",
                series=tuple(distribution(side, NAMES[side], delays[side]) for side in sides),
            ),
        ),
        findings=tuple(
            Finding(
                name=f"p99 of the delay, {side} over idle",
                rounds=quotients(late[side], late["idle"]),
                better="less",
                targets=("service_delay",) if side == "busy" else (),
                why=f"A busy process that has nothing to do with the calls makes them"
                f" {by_stranger:.1f} times as late in the same rounds."
                if side == "busy"
                else "",
            )
            for side in sides
            if side != "idle"
        ),
    )
