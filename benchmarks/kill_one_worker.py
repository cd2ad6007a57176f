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
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil

from benchmarks._killed_worker import ITEMS, PEERS, SECONDS, WORKERS
from benchmarks._suite import Chart, Missing, Result, alternate, parser, publish, series
from benchmarks._suite.records import Better

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


QUICK = ("actorflow", "concurrent.futures")
"""The peers of a quick run: a hang takes all the seconds that there are."""


def measure(options: argparse.Namespace) -> Result:
    """Every peer in turns."""
    peers = options.peer or (QUICK if options.quick else list(PEERS))
    found = alternate(
        {peer: partial(outcome_of, peer, options.seconds) for peer in peers}, options.rounds
    )
    installed = {
        peer: outcomes for peer, outcomes in found.items() if outcomes[0].saw != "not installed"
    }
    ended = {
        peer: [each.seconds for each in outcomes if each.seconds is not None]
        for peer, outcomes in installed.items()
    }
    ours = installed.get("actorflow", ())
    return Result(
        name="kill_one_worker",
        title="A worker that is killed",
        measures=f"{ITEMS} items of {SECONDS:g} s each on {WORKERS} workers. The worker that has"
        " one of them in hand kills itself with SIGKILL, once: how many items come back, and after"
        " how long. Then the whole program is killed while it works: how many of its processes"
        " live on.",
        charts=(
            _chart(
                f"Items that came back, of {ITEMS}",
                "items",
                "more",
                {peer: [each.delivered for each in runs] for peer, runs in installed.items()},
            ),
            _chart(
                "Until it was over",
                "s",
                "less",
                {peer: seconds for peer, seconds in ended.items() if seconds},
            ),
            _chart(
                "Processes that outlive their program",
                "processes",
                "less",
                {peer: [each.orphans for each in runs] for peer, runs in installed.items()},
            ),
        ),
        missing=tuple(
            Missing(side=peer, why=_why_missing(peer, peers))
            for peer in PEERS
            if peer not in installed
        ),
        notes=tuple(
            f"{peer}: the caller saw {outcomes[0].saw}."
            if outcomes[0].saw != "hangs"
            else f"{peer} hangs; after {options.seconds:g} s it was ended."
            for peer, outcomes in installed.items()
        ),
        broken=tuple(
            f"{each.delivered} of {ITEMS} items came back, {each.orphans} processes lived on"
            for each in ours
            if each.delivered < ITEMS or each.orphans
        ),
    )


def _why_missing(peer: str, peers: Collection[str]) -> str:
    return "not installed" if peer in peers else "not asked for"


def _chart(title: str, unit: str, better: Better, values: Mapping[str, Sequence[float]]) -> Chart:
    sides = [
        series(peer, "actorflow" if peer == "actorflow" else "peer", {"": found})
        for peer, found in values.items()
    ]
    return Chart(title=title, unit=unit, parameter="", better=better, series=tuple(sides))


def main(argv: list[str] | None = None) -> int:
    """Run the peers; returns 1 when actorflow lost an item or left something behind."""
    options = parser(__doc__, rounds=1, quick_rounds=1)
    options.add_argument(
        "--peer", choices=PEERS, action="append", help="one of them; all when none"
    )
    options.add_argument("--seconds", type=float, default=10.0, help="how long each may take (10)")
    return publish(measure, options.parse_args(argv))


if __name__ == "__main__":
    raise SystemExit(main())
