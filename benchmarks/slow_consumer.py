"""Memory over time when a consumer is slower than its source, beside peers without back-pressure.

Events of 10 kB; the consumer takes 10 ms for each, and the peers' sources make up to a thousand in
a second: ten times as many as are consumed. Each peer is a program of its own, as a user would
write it; its memory (PSS: what is shared counts once) and that of all its processes is looked at
while it runs; told is what it has more than a second after its first event. What stops a peer's
source, if anything does, is a full pipe; actorflow's is asked for what its consumer wants.

    python -m benchmarks.slow_consumer
    python -m benchmarks.slow_consumer --peer actorflow --seconds 60 --json
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import time
from pathlib import Path

import psutil

from benchmarks._programs import Unavailable, answered, started
from benchmarks._slow_sinks import PEERS
from benchmarks._suite import Chart, Finding, Missing, Result, parser, publish, timeline

SETTLES = 1.0
"""Seconds after the first event for windows and pipes to fill."""

PATIENCE = 60.0
"""Seconds for a program to start; how long that takes depends on what else runs."""

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
    with (
        tempfile.TemporaryDirectory() as folder,
        started("benchmarks._slow_sinks", peer, first_event := Path(folder, "first")) as program,
    ):
        _wait_until_flowing(program, first_event)
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


def _wait_until_flowing(program: subprocess.Popen[str], first_event: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while not first_event.exists() and program.poll() is None:
        if time.monotonic() > deadline:
            raise Unavailable(f"no event was consumed within {PATIENCE:g} s")
        time.sleep(0.02)


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
    """The memory of every peer over time; the plot shows the last round."""
    seconds = 1.5 if options.quick else options.seconds
    found: dict[str, list[dict[float, float]]] = {}
    missing: dict[str, str] = {}
    for peer in list(options.peer or (QUICK if options.quick else PEERS)) * options.rounds:
        try:
            found.setdefault(peer, []).append(watch(peer, seconds))
        except Unavailable as error:
            missing[peer] = str(error)
    grown = {
        peer: tuple(list(values.values())[-1] for values in rounds)
        for peer, rounds in found.items()
        if rounds
    }
    ours = max(grown.get("actorflow", (0.0,)))
    return Result(
        name="slow_consumer",
        title="A consumer that is slower than its source",
        measures="Events of 10 kB, 10 ms for each; sources that could make a thousand a second."
        " Memory of all processes of a program, beyond what it had a second after its first event.",
        charts=(
            Chart(
                title="Memory over time",
                unit="MiB",
                parameter="seconds",
                kind="timeline",
                better="less",
                series=tuple(
                    timeline(peer, "actorflow" if peer == "actorflow" else "peer", found[peer][-1])
                    for peer in grown
                ),
            ),
        ),
        findings=tuple(
            Finding(
                name=f"{peer}, grown in a second",
                unit="MiB",
                better="less",
                rounds=tuple(value / seconds for value in values),
            )
            for peer, values in grown.items()
        ),
        missing=tuple(Missing(side=peer, why=why) for peer, why in missing.items()),
        broken=(f"actorflow grew by {ours:.1f} MiB",) if ours > LIMIT else (),
    )


def main(argv: list[str] | None = None) -> int:
    """Measure and print."""
    options = parser(__doc__, rounds=1, quick_rounds=1)
    options.add_argument("--peer", action="append", choices=PEERS, help="all when none")
    options.add_argument("--seconds", type=float, default=8.0, help="for which each runs (8)")
    return publish(measure, options.parse_args(argv))


if __name__ == "__main__":
    raise SystemExit(main())
