"""Coroutines, bodies and sources that the tests of asynchronous stages run in processes."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import select as select_module
import socket
import time
from typing import Any

import actorflow
from actorflow import Consumer, Producer, Subscription
from actorflow.stages.buffered import AsyncStage
from tests.end_to_end.stages import append, wait_for_file
from tests.stopwatch import Stopwatch, waited_for_a_processor, within

WORD = b"!"


class Shelf(Producer):
    """Items that are taken from the front; its result is how many were."""

    def __init__(self, items: int) -> None:
        self.items = list(range(1, items + 1))
        self.taken = 0

    def handle_demand(self, demand: int) -> list[int]:
        given, self.items = self.items[:demand], self.items[demand:]
        self.taken += len(given)
        if not self.items:
            self.finish()
        return given

    def on_stop(self, reason: Any) -> None:
        self.set_result(self.taken)


class Keep(Consumer):
    """Keeps what it gets, its result; with a folder it says there that it waits for a gate."""

    def __init__(self, folder: str | None = None) -> None:
        self.events: list[Any] = []
        self.folder = folder

    def handle_events(self, events: list[Any], subscription: Subscription) -> None:
        if self.folder is not None:
            append(os.path.join(self.folder, "waits"))
            wait_for_file(os.path.join(self.folder, "gate"))
        self.events += events

    def on_stop(self, reason: Any) -> None:
        self.set_result(self.events)


# --- D-01 to D-03: a database whose clients must not be idle between connecting and asking --------


async def select(address: tuple[str, int], item: int) -> tuple[tuple[str, int], int]:
    """Connect, wait for the database's greeting, then ask for the item's row."""
    reader, writer = await asyncio.open_connection(*address)
    writer.write(b"connect %d\n" % item)
    greeting = await reader.readline()
    writer.write(b"query %d\n" % item)
    row = await reader.readline()
    writer.close()
    await writer.wait_closed()
    if not greeting or not row:
        raise TimeoutError(f"the database has dropped item {item}")
    return address, item


def _body(address: tuple[str, int], item: int) -> socket.socket:
    """A body begins; the database lets it end when the other calls have got on meanwhile."""
    connection = socket.create_connection(address)
    connection.sendall(b"body %d\n" % item)
    return connection


async def asynchronous_body(event: Any) -> None:
    """It waits as a coroutine."""
    with _body(*event) as connection:
        connection.setblocking(False)
        await asyncio.get_running_loop().sock_recv(connection, 1)


def rude_body(event: Any) -> None:
    """It blocks, spins in Python, or keeps the interpreter in an extension's call, in turns."""
    address, item = event
    with _body(address, item) as connection:
        if item % 3 == 0:
            connection.recv(1)
        elif item % 3 == 1:
            connection.setblocking(False)
            while not select_module.select([connection], [], [], 0)[0]:
                pass
        else:
            # PyDLL keeps the interpreter's lock during the call, as a bad extension does.
            waiting = (ctypes.c_int * 2)(connection.fileno(), 1)
            ctypes.PyDLL(None).poll(ctypes.byref(waiting), 1, 20_000)


# --- D-04, D-05: permits --------------------------------------------------------------------------


async def two_steps(item: int) -> int:
    """A permit at the start, and another for the second step."""
    async with actorflow.permit("pool"):
        await asyncio.sleep(0)
    async with actorflow.permit("pool"):
        await asyncio.sleep(0)
    return item


def body_with_permit(item: int) -> None:
    """It needs one, too."""
    with actorflow.permit("pool", timeout=20):
        pass


async def _locked() -> None:
    async with actorflow.permit("lock"):
        await asyncio.sleep(0)


async def _helper() -> None:
    await _locked()


async def deep_lock(item: int) -> int:
    """A lock that is taken three calls deep."""
    await _helper()
    return item


async def body_with_lock(item: int) -> None:
    """The same lock."""
    await _helper()


# --- D-21, D-22: kills ----------------------------------------------------------------------------


def _is_first(path: str) -> bool:
    """Whether this process is the first that asked."""
    mine = str(os.getpid())
    with contextlib.suppress(FileExistsError), open(path, "x") as file:
        file.write(mine)
    with open(path) as file:
        return file.read() == mine


async def hold_permits(folder: str, item: int) -> int:
    """The first life of this stage never ends its calls, two of which hold all permits.

    They are back when the next life begins: within a second each of its calls has had one.
    """
    if _is_first(os.path.join(folder, "first")):
        append(os.path.join(folder, "held"), "comes", item)
        async with actorflow.permit("pool"):
            append(os.path.join(folder, "held"), "has", item)
            await asyncio.Event().wait()
    with within(1.0):
        async with actorflow.permit("pool", timeout=20):
            return item


def noted_body(folder: str, item: int) -> None:
    """Notes who it is, and that it begins; item 3 is held the first time."""
    append(os.path.join(folder, "bodies"), os.getpid(), item)
    again = os.path.join(folder, "again")
    while item == 3 and not os.path.exists(again):
        time.sleep(0.002)


# --- D-14, D-24: the loop is served ---------------------------------------------------------------

TICK = 0.01
"""Seconds between two ticks."""


class Ticker:
    """Ticks every 10 ms in the event loop, and keeps how late the latest tick was.

    What the machine owes to this process, or a processor to the loop's thread, does not count.
    """

    ticks = 0
    """Of this process; it has one ticker."""

    def __init__(self) -> None:
        self.latest = 0.0
        self.watch = Stopwatch()
        self.task = asyncio.create_task(self._tick())

    async def _tick(self) -> None:
        with self.watch:
            while True:
                began, waited = self.watch.seconds, waited_for_a_processor()
                await asyncio.sleep(TICK)
                waited = waited_for_a_processor() - waited
                self.latest = max(self.latest, self.watch.seconds - began - TICK - waited)
                Ticker.ticks += 1


class Ticking(AsyncStage):
    """It says how often its loop has ticked, too."""

    def handle_call(self, request: Any, sender: Any) -> Any:
        """Answer ``"ticks"``."""
        return Ticker.ticks if request == "ticks" else super().handle_call(request, sender)


async def ticker() -> Ticker:
    """What `setup` makes."""
    return Ticker()


async def note_latest(path: str, ticker: Ticker) -> None:
    """What `teardown` does: after two more ticks, write down how late the latest of all was."""
    last = ticker.ticks + 2
    while ticker.ticks < last:
        await asyncio.sleep(TICK)
    append(path, ticker.latest)


async def ready_at_once(ticker: Ticker, item: int) -> int:
    """Nothing to wait for."""
    return item


async def large(folder: str, ticker: Ticker, item: int) -> bytes:
    """A result of 1 MiB; all but the first are there when nobody reads them."""
    while item > 1 and not os.path.exists(os.path.join(folder, "waits")):
        await asyncio.sleep(TICK)
    return bytes(1 << 20)
