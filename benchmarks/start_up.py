"""What a start costs: ``import actorflow`` and ``actorflow check``, beside Python doing nothing.

Each is a fresh interpreter, from its start to its end, with the modules' bytecode cached. The sides
alternate; counted is the processor's time, which does not depend on what else runs, and seconds on
the clock, which do.

    python -m benchmarks.start_up
    python -m benchmarks.start_up --rounds 50 --json
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks._suite import (
    Chart,
    Finding,
    Result,
    Series,
    alternate,
    parser,
    publish,
    quotients,
    series,
)
from benchmarks._suite.records import Role

CHECKED = Path(__file__).parents[1] / "configs" / "wordcount.yaml"

COMMANDS = {
    "python -c pass": ("-c", "pass"),
    "import actorflow": ("-c", "import actorflow"),
    "actorflow check": ("-m", "actorflow", "check", str(CHECKED)),
}
FLOOR = "python -c pass"
TARGETS = {"import actorflow": "import_time", "actorflow check": "check_time"}


@dataclass(frozen=True, slots=True)
class Start:
    """One start, in milliseconds.

    Args:
        seconds: on the clock.
        processor: of the processor's time.
    """

    seconds: float
    processor: float


def start(arguments: Sequence[str]) -> Start:
    """Start an interpreter and wait for its end."""
    # Bytecode is what users have; without it every start would compile the whole package.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    began = time.perf_counter()
    program = subprocess.Popen(
        [sys.executable, *arguments], stdout=subprocess.DEVNULL, env=environment
    )
    _, status, used = os.wait4(program.pid, 0)
    seconds = time.perf_counter() - began
    program.returncode = os.waitstatus_to_exitcode(status)
    if program.returncode:
        raise AssertionError(f"{' '.join(arguments)} ended with {program.returncode}")
    return Start(1000 * seconds, 1000 * (used.ru_utime + used.ru_stime))


def measure(options: argparse.Namespace) -> Result:
    """Every start, in turns; the first of each, which may write bytecode, is not counted."""
    for arguments in COMMANDS.values():
        start(arguments)
    found = alternate(
        {name: partial(start, arguments) for name, arguments in COMMANDS.items()}, options.rounds
    )

    def chart(title: str, value: Callable[[Start], float]) -> Chart:
        sides: list[Series] = []
        for name, starts in found.items():
            role: Role = "floor" if name == FLOOR else "actorflow"
            sides.append(series(name, role, {"start": [value(each) for each in starts]}))
        return Chart(title=title, unit="ms", parameter="", series=tuple(sides), better="less")

    seconds = {name: [each.seconds for each in starts] for name, starts in found.items()}
    return Result(
        name="start_up",
        title="What a start costs",
        measures="A fresh interpreter from its start to its end: with nothing to do, with"
        " import actorflow, and actorflow check of a topology of four stages.",
        charts=(
            chart("Seconds on the clock", lambda each: each.seconds),
            chart("Processor time", lambda each: each.processor),
        ),
        findings=tuple(
            Finding(
                name=f"{name}, over {FLOOR}",
                rounds=quotients(seconds[name], seconds[FLOOR]),
                better="less",
                targets=(key,),
            )
            for name, key in TARGETS.items()
        ),
    )


def main(argv: list[str] | None = None) -> int:
    """Measure and print."""
    return publish(measure, parser(__doc__, rounds=15).parse_args(argv))


if __name__ == "__main__":
    raise SystemExit(main())
