"""Connections that must not be idle for long, and bodies that take longer: who is dropped?

The database drops a client that is idle before its query. A program that lets every connection
begin, and then works in the thread that serves them, has most of them dropped.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from typing import Any

from actorflow import Consumer, SubscribeTo, Topology
from actorflow.stages.buffered import AsyncStage
from actorflow.stages.sources import Range
from benchmarks._buffered_delay import PATIENCE, spin
from benchmarks._database import Address, Database, select, select_blocking, served
from benchmarks._suite import Chart, Part, alternate, series

CONCURRENCY = 5
IDLE = 0.2
"""Seconds after which the database drops a client that asks nothing."""


class Spin(Consumer):
    """One body at a time."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def handle_events(self, events: list[Any], subscription: Any) -> None:
        """One body."""
        spin(self.seconds)


def story_in_stages(address: Address, items: int, body: float) -> None:
    """Ours, with the start of its processes."""
    topology = (
        Topology("story")
        .stage("items", Range, args={"stop": items})
        .stage(
            "select",
            AsyncStage,
            args={"run": partial(select, address), "concurrency": CONCURRENCY},
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


def story_in_asyncio(address: Address, items: int, body: float) -> None:
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


def story_in_futures(address: Address, items: int, body: float) -> None:
    """A `ThreadPoolExecutor` for the calls, and the bodies in the thread that waits for them."""
    with ThreadPoolExecutor(CONCURRENCY) as pool:
        calls = [pool.submit(select_blocking, address, item) for item in range(items)]
        for call in as_completed(calls):
            call.result()
            spin(body)


STORIES: dict[str, Callable[[Address, int, float], None]] = {
    "actorflow": story_in_stages,
    "asyncio.gather": story_in_asyncio,
    "concurrent.futures": story_in_futures,
}


@dataclass(frozen=True, slots=True)
class Told:
    """One story: its seconds, and how many clients the database dropped."""

    seconds: float
    dropped: int


def tell(side: str, items: int, body: float) -> Told:
    """One side's story, with a database of its own."""
    database = Database(idle=IDLE)
    with served(database) as address:
        began = time.monotonic()
        STORIES[side](address, items, body)
        seconds = time.monotonic() - began
    return Told(seconds, database.dropped)


def story(rounds: int, *, quick: bool) -> Part:
    """Each side's story, in turns."""
    items, turns = (3, 1) if quick else (20, rounds)
    body = 0.25
    found = alternate({side: partial(tell, side, items, body) for side in STORIES}, turns)

    def chart(title: str, unit: str, value: Callable[[Told], float]) -> Chart:
        sides = [
            series(
                side,
                "actorflow" if side == "actorflow" else "peer",
                {"": [value(each) for each in runs]},
            )
            for side, runs in found.items()
        ]
        return Chart(title=title, unit=unit, parameter="", better="less", series=tuple(sides))

    return Part(
        charts=(
            chart(
                f"Clients that the database dropped, of {items}",
                "clients",
                lambda each: each.dropped,
            ),
            chart(f"{items} bodies of {body:g} s", "s", lambda each: each.seconds),
        )
    )
