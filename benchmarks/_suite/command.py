"""What every benchmark's command line has in common."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime

from benchmarks._suite.forms import to_plain
from benchmarks._suite.machine import load, machine
from benchmarks._suite.records import Report, Result
from benchmarks._suite.targets import target
from benchmarks._suite.text import render

__all__ = ["at_least", "parser", "publish"]


QUICK_ROUNDS = 3
"""Enough for a median and a spread."""


def parser(
    doc: str | None, *, rounds: int, quick_rounds: int = QUICK_ROUNDS
) -> argparse.ArgumentParser:
    """A parser with the options that every benchmark has, to which it adds its own.

    Args:
        doc: the module's docstring, which is the description.
        rounds: how many turns each side has by default, from 1.
        quick_rounds: the same with ``--quick``.
    """
    made = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--json", action="store_true", help="print one JSON object")
    made.add_argument("--quick", action="store_true", help="a few seconds of it: rough figures")
    made.add_argument(
        "--rounds",
        type=at_least(1),
        metavar="N",
        help=f"alternating turns of each side (default: {rounds}, quick: {quick_rounds})",
    )
    made.set_defaults(full_rounds=rounds, quick_rounds=quick_rounds)
    return made


def at_least(least: int) -> Callable[[str], int]:
    """The type of an option that is a whole number from `least`."""

    def whole(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least:
            raise argparse.ArgumentTypeError(f"must be a whole number from {least}, got {text!r}")
        return value

    return whole


def publish(measure: Callable[[argparse.Namespace], Result], options: argparse.Namespace) -> int:
    """Measure, and print the report as a table or, with ``--json``, as JSON.

    Args:
        measure: given the options, measures; nothing of it may print to standard output.
        options: what `parser` made.

    Returns:
        the exit code: 0, or 1 when the result says that something is broken.
    """
    began, loaded, clock = datetime.now(UTC), load(), time.monotonic()
    if options.rounds is None:
        options.rounds = options.quick_rounds if options.quick else options.full_rounds
    result = measure(options)
    for finding in result.findings:
        for key in finding.targets:
            target(key)  # refuses one that there is not, before it gets into a file
    report = Report(
        result=result,
        quick=options.quick,
        machine=machine(),
        began=began.isoformat(timespec="seconds"),
        seconds=time.monotonic() - clock,
        load_before=loaded,
        load_after=load(),
    )
    print(json.dumps(to_plain(report)) if options.json else render(report))
    return int(bool(result.broken))
