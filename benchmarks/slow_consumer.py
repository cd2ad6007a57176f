"""Memory over time when a consumer is slower than its source, beside peers without back-pressure.

Events of 10 kB; the consumer takes 10 ms for each, and the peers' sources make up to a thousand in
a second: ten times as many as are consumed. Each peer is a program of its own, as a user would
write it; its memory (PSS: what is shared counts once) and that of all its processes is looked at
while it runs; told is what it has more than after its first second. What stops a peer's source, if
anything does, is a full pipe; actorflow's is asked for what its consumer wants.

    python -m benchmarks.slow_consumer
    python -m benchmarks.slow_consumer --peer actorflow --seconds 60 --json
"""

from __future__ import annotations

import argparse
import time

import psutil

from benchmarks._programs import Unavailable, answered, started
from benchmarks._slow_sinks import PEERS
from benchmarks._suite import Chart, Finding, Missing, Result, parser, publish, timeline

SETTLES = 1.0
"""Seconds after which a program has imported what it imports, and has all its processes."""

QUICK = ("actorflow", "multiprocessing.Queue")
EVERY = 0.25
MIB = 1 << 20
LIMIT = 5.0
"""MiB that actorflow may grow by."""


def watch(peer: str, seconds: float) -> dict[float, float]:
    """The MiB that a peer has by more than when it was watched first, by the seconds since then.

    Raises:
        Unavailable: it is not installed, or has ended.
    """
    found: dict[float, float] = {}
    with started("benchmarks._slow_sinks", peer) as program:
        time.sleep(SETTLES)
        began, first = time.monotonic(), None
        while (now := time.monotonic() - began) <= seconds:
            if program.poll() is not None:
                raise Unavailable(answered(program))
            memory = _memory(psutil.Process(program.pid))
            first = memory if first is None else first
            found[round(now, 2)] = (memory - first) / MIB
            time.sleep(EVERY)
    return found


def _memory(program: psutil.Process) -> int:
    """Bytes of a program and of all its processes."""
    total = 0
    for process in (program, *program.children(recursive=True)):
        try:
            memory = process.memory_full_info()
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue  # it has just ended
        total += getattr(memory, "pss", memory.uss)
    return total


def measure(options: argparse.Namespace) -> Result:
    """The memory of every peer over time."""
    seconds = 1.5 if options.quick else options.seconds
    found, missing = {}, []
    for peer in options.peer or (QUICK if options.quick else PEERS):
        try:
            found[peer] = watch(peer, seconds)
        except Unavailable as error:
            missing.append(Missing(side=peer, why=str(error)))
    grown = {peer: list(values.values())[-1] for peer, values in found.items()}
    ours = grown.get("actorflow", 0.0)
    return Result(
        name="slow_consumer",
        title="A consumer that is slower than its source",
        measures="Events of 10 kB, 10 ms for each; sources that could make a thousand a second."
        " Memory of all processes of a program, beyond what it had after its first second.",
        charts=(
            Chart(
                title="Memory over time",
                unit="MiB",
                parameter="seconds",
                kind="timeline",
                better="less",
                series=tuple(
                    timeline(peer, "actorflow" if peer == "actorflow" else "peer", values)
                    for peer, values in found.items()
                ),
            ),
        ),
        findings=tuple(
            Finding(
                name=f"{peer}, grown in a second",
                unit="MiB",
                better="less",
                rounds=(value / seconds,),
            )
            for peer, value in grown.items()
        ),
        missing=tuple(missing),
        broken=(f"actorflow grew by {ours:.1f} MiB",) if ours > LIMIT else (),
    )


def main(argv: list[str] | None = None) -> int:
    """Measure and print."""
    options = parser(__doc__, rounds=1)
    options.add_argument("--peer", action="append", choices=PEERS, help="all when none")
    options.add_argument("--seconds", type=float, default=8.0, help="for which each runs (8)")
    return publish(measure, options.parse_args(argv))


if __name__ == "__main__":
    raise SystemExit(main())
