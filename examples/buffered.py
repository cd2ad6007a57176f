"""Slow requests, many at once, and a body that takes one result at a time.

The requests go on while the body works: when it has done the first result, all the others of the
window are there. Two permits say how many connections there are, for requests and body together.

    $ python examples/buffered.py
"""

import asyncio
import time

import actorflow
from actorflow import Consumer, Topology, from_iterable
from actorflow.stages.buffered import AsyncStage

CONNECTIONS = 2


async def select(item):
    """Ask a database for a row."""
    async with actorflow.permit("connections"):
        await asyncio.sleep(0.005)
    return {"item": item, "selected": time.monotonic()}


class Process(Consumer):
    """Takes one row at a time, and long for it."""

    def __init__(self):
        self.items = []
        self.waited_for_a_request = 0

    def handle_events(self, rows, subscription):
        (row,) = rows
        # Was the row there before the body was free for it?
        self.waited_for_a_request += bool(self.items) and row["selected"] > self.free_since
        with actorflow.permit("connections"):
            time.sleep(0.05)
        self.items.append(row["item"])
        self.free_since = time.monotonic()

    def on_stop(self, reason):
        self.set_result([self.items, self.waited_for_a_request])


topology = (
    Topology("buffered", permits={"connections": CONNECTIONS})
    .stage("queue", from_iterable(range(12)))
    .stage(
        "select",
        AsyncStage,
        args={"run": select, "concurrency": 5, "ordered": True},
        subscribe_to=["queue"],
    )
    .stage(
        "process",
        Process,
        subscribe_to=[{"to": "select", "max_demand": 1, "min_demand": 0}],
    )
)

if __name__ == "__main__":
    with topology.start() as run:
        items, waited = run.wait(timeout=60)["process"]
    print(f"processed in order: {items}")
    print(f"the body waited for a request less than half of the time: {waited < 6}")
