"""What becomes of 16 items on two workers when one worker is killed, here and elsewhere.

Each item is a tenth of a second of work. The worker that has item 5 in hand kills itself with
SIGKILL, once. The same for each peer, in a process of its own with `--seconds` to live: how many
different items came back, after how long, what the caller saw, and how many processes it left
behind when that process was killed in its turn.

    python -m benchmarks.kill_one_worker
    python -m benchmarks.kill_one_worker --peer actorflow --json
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from benchmarks._killed_worker import ITEMS, PEERS

GONE_WITHIN = 2.0
"""Seconds after a program was killed when what it started counts as left behind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How it went with one peer.

    Args:
        peer: its name.
        delivered: how many different items came back.
        seconds: until it was over; None when it did not end by itself.
        saw: what the caller saw: nothing, an exception, or a hang.
        orphans: how many of its processes live on when its program is killed while it works.
    """

    peer: str
    delivered: int
    seconds: float | None
    saw: str
    orphans: int


def outcome_of(peer: str, seconds: float) -> Outcome:
    """Run one peer twice: with a worker killed, and with the whole program killed."""
    with tempfile.TemporaryDirectory() as folder:
        program = _started(peer, Path(folder) / "marker")
        hung = False
        try:
            output, _ = program.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            hung = True
            _kill([program.pid, *_descendants(program.pid)])
            output, _ = program.communicate()
    lines = [json.loads(line) for line in output.splitlines()]
    items = {line["item"] for line in lines if "item" in line}
    end = next((line for line in lines if "saw" in line), None)
    saw = "hangs" if hung or end is None else str(end["saw"])
    took = None if hung or end is None else float(end["seconds"])
    orphans = 0 if saw == "not installed" else orphans_of(peer)
    return Outcome(peer=peer, delivered=len(items), seconds=took, saw=saw, orphans=orphans)


def orphans_of(peer: str) -> int:
    """How many processes live on after their program was killed in the middle of its work."""
    with tempfile.TemporaryDirectory() as folder:
        marker = Path(folder) / "marker"
        marker.touch()  # nobody kills a worker this time
        program = _started(peer, marker)
        assert program.stdout is not None
        program.stdout.readline()
        family = [psutil.Process(pid) for pid in _descendants(program.pid)]
        program.kill()
        program.wait()
        program.stdout.close()
        _, left = psutil.wait_procs(family, GONE_WITHIN)
        orphans = sum(each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in left)
        _kill(each.pid for each in left)
        return orphans


def table(outcomes: Iterable[Outcome]) -> str:
    """The outcomes for people, and for the README."""
    rows = [
        "| | items delivered | seconds | what the caller saw | left behind |",
        "|---|---|---|---|---|",
    ]
    for each in outcomes:
        if each.saw == "not installed":
            rows.append(f"| {each.peer} | not installed | | | |")
            continue
        took = "" if each.seconds is None else f"{each.seconds:.1f}"
        rows.append(
            f"| {each.peer} | {each.delivered} of {ITEMS} | {took} | {each.saw} | {each.orphans} |"
        )
    return "\n".join(rows)


def _started(peer: str, marker: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "benchmarks._killed_worker", peer, str(marker)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def _descendants(pid: int) -> list[int]:
    try:
        return [each.pid for each in psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _kill(pids: Iterable[int]) -> None:
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue  # it has ended by itself


def main(argv: list[str] | None = None) -> int:
    """Run the peers; returns 1 when actorflow lost an item or left something behind."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.kill_one_worker",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--peer", choices=PEERS, action="append", help="one of them; all when none")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long each may take")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--quick", action="store_true", help="actorflow alone")
    options = parser.parse_args(argv)
    peers = options.peer or (["actorflow"] if options.quick else list(PEERS))
    began = time.monotonic()
    outcomes = []
    for peer in peers:
        print(f"{peer} …", file=sys.stderr, flush=True)
        outcomes.append(outcome_of(peer, options.seconds))
    if options.json:
        print(json.dumps([asdict(each) for each in outcomes]))
    else:
        print(table(outcomes))
    print(f"{time.monotonic() - began:.0f} s", file=sys.stderr)
    ours = [each for each in outcomes if each.peer == "actorflow"]
    return int(any(each.delivered < ITEMS or each.orphans for each in ours))


if __name__ == "__main__":
    raise SystemExit(main())
