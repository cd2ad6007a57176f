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
import itertools
import time
from functools import partial
from typing import Any

from actorflow import Consumer, Producer, SubscribeTo, Topology
from actorflow.stages.buffered import AsyncStage
from actorflow.stages.sources import Range
from benchmarks._buffered_delay import PATIENCE, delay
from benchmarks._buffered_story import story
from benchmarks._suite import (
    Chart,
    Finding,
    Part,
    Result,
    alternate,
    parser,
    publish,
    quotients,
    series,
)

CONCURRENCY = 5
LIMITS = {"total": CONCURRENCY, "window": CONCURRENCY + 1}
"""The most that may be claimed, by the way to claim."""

CLAIMS = tuple(LIMITS)
ASYNCIO = "bare asyncio"

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


def timers(rounds: int, *, quick: bool) -> Part:
    """Both ways to claim, beside bare asyncio."""
    count, at_once = (2_048, 64) if quick else (65_536, 256)
    seconds = alternate(
        {
            ASYNCIO: partial(timers_in_asyncio, count, at_once),
            **{claim: partial(timers_in_a_stage, count, at_once, claim) for claim in CLAIMS},
        },
        rounds,
    )
    return Part(
        charts=(
            Chart(
                title=f"{count:,} calls of 100 µs, {at_once} in flight",
                unit="calls/s",
                parameter="",
                series=tuple(
                    series(
                        side if side == ASYNCIO else f"actorflow, claim {side}",
                        "floor" if side == ASYNCIO else "actorflow",
                        {"": [count / each for each in found]},
                    )
                    for side, found in seconds.items()
                ),
            ),
        ),
        findings=tuple(
            Finding(
                name=f"calls of those of bare asyncio, claim {claim}",
                rounds=quotients(seconds[ASYNCIO], seconds[claim]),
            )
            for claim in CLAIMS
        ),
    )


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


def most_claimed(claim: str, items: int) -> int:
    """The most items that were taken from the source and not processed, at any time."""
    topology = (
        Topology("claims")
        .stage("shelf", Shelf, args={"items": items})
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
    most = max(itertools.accumulate(change for _, change in changes))
    if most > LIMITS[claim]:
        raise AssertionError(f"{most} items were claimed at once, claim {claim}")
    return most


def claims(rounds: int, *, quick: bool) -> Part:
    """The most that was claimed at any time, against the limit."""
    items, turns = (100, 1) if quick else (1_000, rounds)
    most = alternate({claim: partial(most_claimed, claim, items) for claim in CLAIMS}, turns)
    return Part(
        charts=(
            Chart(
                title="The most items that were claimed at once",
                unit="items",
                parameter="",
                better="less",
                series=(
                    *(
                        series(f"limit of {claim}", "floor", {"": [LIMITS[claim]]})
                        for claim in CLAIMS
                    ),
                    *(series(f"claim {claim}", "actorflow", {"": most[claim]}) for claim in CLAIMS),
                ),
            ),
        ),
        findings=tuple(
            Finding(
                name=f"claimed at once of the limit, claim {claim}",
                rounds=tuple(each / LIMITS[claim] for each in most[claim]),
                better="less",
            )
            for claim in CLAIMS
        ),
    )


# --- all of it ------------------------------------------------------------------------------------

PARTS = {"delay": delay, "timers": timers, "claims": claims, "story": story}


def measure(options: argparse.Namespace) -> Result:
    """The parts that are asked for."""
    return Result.of_parts(
        (PARTS[part](options.rounds, quick=options.quick) for part in options.part or list(PARTS)),
        name="buffered",
        title="The asynchronous stage",
        measures="How late a call's I/O is served while a body works, from a datagram's sending"
        " until the call has it; calls that do nothing but wait for 100 µs, beside bare asyncio"
        " with a semaphore; the most items that are claimed at once, against the limit; and"
        " connections that a database drops when they are idle, beside asyncio.gather and"
        " concurrent.futures.",
    )


def main(argv: list[str] | None = None) -> int:
    """Measure and report; returns the exit status."""
    options = parser(__doc__, rounds=5)
    options.add_argument(
        "--part", choices=PARTS, action="append", help="only this; may be repeated"
    )
    return publish(measure, options.parse_args(argv))


if __name__ == "__main__":
    raise SystemExit(main())
