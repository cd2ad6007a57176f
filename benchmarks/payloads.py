"""Large buffers, NumPy arrays and bytes, from one stage to another: bytes per second by size.

The floor is `memcpy`: the same buffers copied inside one process, into memory that is there
already. Beside it bare pipes between two processes, and `multiprocessing.Queue`. A buffer is made
once and sent again and again; the consumer owns what it gets and looks at its first and last byte.

    python -m benchmarks.payloads
    python -m benchmarks.payloads --size 4194304 --kind array --rounds 9 --json
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from typing import Any

from actorflow import Consumer, Producer, SubscribeTo, Subscription, Topology
from benchmarks._payload_rivals import KINDS, Watch, buffers, warm_up
from benchmarks._programs import answer_of
from benchmarks._suite import (
    Chart,
    Finding,
    Missing,
    Result,
    alternate,
    at_least,
    parser,
    publish,
    quotients,
    series,
)

SIZES = (1 << 16, 1 << 18, 1 << 20, 1 << 22, 1 << 24)
QUICK = (1 << 16, 1 << 22)
RIVALS = {"memcpy": "memcpy", "bare pipes": "pipes", "multiprocessing.Queue": "queue"}
UNDER_WAY = 32 << 20
"""About how many bytes a window holds: half of the memory that a stage shares by default."""

TARGETS = {"memcpy": "payload_memcpy", "multiprocessing.Queue": "payload_queue"}
TARGET_SIZE = 1 << 22


class Buffers(Producer):
    """Emits a window of buffers again and again.

    Args:
        kind: one of `KINDS`.
        size: of each, in bytes.
        count: how many times it emits one.
    """

    def __init__(self, kind: str, size: int, count: int) -> None:
        self.buffers = buffers(kind, size, window_of(size))
        self.next = 0
        self.count = count

    def handle_demand(self, demand: int) -> list[Any]:
        """The next ones."""
        end = min(self.count, self.next + demand)
        window = len(self.buffers)
        events = [self.buffers[number % window] for number in range(self.next, end)]
        self.next = end
        if end == self.count:
            self.finish()
        return events


class Looks(Consumer):
    """Looks at each buffer; its result is how many bytes came in a second.

    Args:
        count: how many count.
        window: how many are under way.
    """

    def __init__(self, count: int, window: int) -> None:
        self.watch = Watch(count, window)

    def handle_events(self, events: list[Any], subscription: Subscription) -> None:
        """Take a batch."""
        for buffer in events:
            self.watch.look(buffer)

    def on_stop(self, reason: Any) -> None:
        """Leave the result behind."""
        self.set_result(self.watch.rate)


def window_of(size: int) -> int:
    """How many buffers of a size are under way."""
    return max(2, min(64, UNDER_WAY // size))


def run_actorflow(kind: str, size: int, count: int) -> float:
    """One run; bytes per second."""
    window = window_of(size)
    making = {"kind": kind, "size": size, "count": count + warm_up(window)}
    topology = (
        Topology("payloads")
        .stage("buffers", Buffers, args=making)
        .stage(
            "looks",
            Looks,
            args={"count": count, "window": window},
            subscribe_to=[SubscribeTo("buffers", max_demand=window)],
        )
    )
    with topology.start() as run:
        return float(run.wait(timeout=120)["looks"])


def run_rival(side: str, kind: str, size: int, count: int) -> float:
    """The same on another side; bytes per second."""
    module = "benchmarks._payload_rivals"
    return float(answer_of(module, side, kind, size, count, window_of(size), seconds=120))


def compare(kind: str, size: int, *, total: int, rounds: int) -> dict[str, tuple[float, ...]]:
    """MiB per second of every side, which take turns.

    Args:
        kind: of buffers.
        size: of each, in bytes.
        total: about how many bytes are sent.
        rounds: how many turns each has.
    """
    count = max(2 * window_of(size), total // size)
    sides: dict[str, Callable[[], float]] = {
        name: partial(run_rival, side, kind, size, count) for name, side in RIVALS.items()
    }
    sides["actorflow"] = partial(run_actorflow, kind, size, count)
    found = alternate(sides, rounds)
    return {side: tuple(rate / 2**20 for rate in rates) for side, rates in found.items()}


def measure(options: argparse.Namespace) -> Result:
    """Every side with every kind of buffer in every size."""
    kinds = options.kind or list(KINDS)
    missing = []
    if "array" in kinds and not _has_numpy():
        kinds = [kind for kind in kinds if kind != "array"]
        missing.append(Missing(side="arrays", why="NumPy is not installed"))
    sizes = options.size or (QUICK if options.quick else SIZES)
    total = (64 if options.quick else 512) << 20
    found = {
        kind: {size: compare(kind, size, total=total, rounds=options.rounds) for size in sizes}
        for kind in kinds
    }
    return Result(
        name="payloads",
        title="Large buffers",
        measures="A stage sends the same buffers again and again, the next looks at the first and"
        " last byte of each. The floor is memcpy within one process, into memory that is there"
        " already. Buffers that do not count come first: four windows of them.",
        charts=tuple(_chart(kind, by_size) for kind, by_size in found.items()),
        findings=tuple(
            finding
            for kind, by_size in found.items()
            for size, rates in by_size.items()
            for finding in _findings(kind, size, rates)
        ),
        missing=tuple(missing),
    )


def _chart(kind: str, by_size: dict[int, dict[str, tuple[float, ...]]]) -> Chart:
    def of(side: str) -> dict[float | str, tuple[float, ...]]:
        return {size / 2**10: rates[side] for size, rates in by_size.items()}

    return Chart(
        title={"array": "NumPy arrays", "bytes": "bytes"}[kind],
        unit="MiB/s",
        parameter="KiB",
        series=(
            series("memcpy", "floor", of("memcpy")),
            series("bare pipes", "floor", of("bare pipes")),
            series("actorflow", "actorflow", of("actorflow")),
            series("multiprocessing.Queue", "peer", of("multiprocessing.Queue")),
        ),
    )


def _findings(kind: str, size: int, rates: dict[str, tuple[float, ...]]) -> list[Finding]:
    aimed_at = kind == "array" and size == TARGET_SIZE
    return [
        Finding(
            name=f"of {rival}, {kind} of {size >> 10:,} KiB",
            rounds=quotients(rates["actorflow"], rates[rival]),
            targets=(TARGETS[rival],) if aimed_at and rival in TARGETS else (),
        )
        for rival in RIVALS
    ]


def _has_numpy() -> bool:
    try:
        import numpy  # noqa: F401
    except ImportError:
        return False
    return True


def main(argv: list[str] | None = None) -> int:
    """Run the comparison and print it."""
    options = parser(__doc__, rounds=5)
    options.add_argument("--size", type=at_least(2), action="append", help="bytes; may be repeated")
    options.add_argument("--kind", choices=list(KINDS), action="append", help="may be repeated")
    return publish(measure, options.parse_args(argv))


if __name__ == "__main__":
    raise SystemExit(main())
