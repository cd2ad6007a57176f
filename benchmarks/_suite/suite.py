"""The whole suite: benchmark after benchmark, what is done so far, and what it comes to."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from actorflow.cli.interrupts import Interrupts
from actorflow.cli.output import Unbreakable, print_out
from benchmarks._suite.catalogue import chosen, titles
from benchmarks._suite.compare import Comparison, compare
from benchmarks._suite.files import Output, read_results
from benchmarks._suite.forms import to_plain
from benchmarks._suite.records import SuiteReport
from benchmarks._suite.runner import Outcome, Plan, run_one
from benchmarks._suite.text import (
    render,
    render_comparison,
    render_failures,
    render_verdicts,
    table,
)
from benchmarks._suite.verdicts import verdicts

__all__ = ["run"]

DONE, FAILED, INTERRUPTED = 0, 1, 130


def run(options: argparse.Namespace, root: Path) -> int:
    """Do what ``actorflow bench`` is asked for; returns the exit code.

    Args:
        options: the command's.
        root: the directory that holds the folder ``benchmarks``.

    Raises:
        OptionError: one of them is wrong; nothing was run.
    """
    known = titles(root)
    names = chosen(options.names, list(known))
    if options.list:
        rows = {name: known[name] for name in names}
        print_out(json.dumps(rows) if options.json else table(["", ""], rows.items()), sys.stdout)
        return DONE
    old = read_results(options.compare) if options.compare is not None else None
    output = Output(options.output) if options.output is not None else None
    interrupts = Interrupts()
    running = _Running(_plan(options, root), interrupts, output, old, quiet=options.json)
    with interrupts.caught():
        running.run(names)
    if options.json:
        print_out(json.dumps(to_plain(running.suite)), sys.stdout)
    running.close()
    if interrupts.count:
        return INTERRUPTED
    return FAILED if running.failed else DONE


def _plan(options: argparse.Namespace, root: Path) -> Plan:
    arguments: list[str] = []
    if options.quick:
        arguments.append("--quick")
    if options.rounds is not None:
        arguments += ["--rounds", str(options.rounds)]
    return Plan(root, tuple(arguments), options.time_limit)


class _Running:
    """A run of the suite.

    Args:
        plan: how benchmarks are run.
        interrupts: what ends the run early.
        output: where the files go, or None.
        old: an earlier run to compare with, or None.
        quiet: whether standard output is for the JSON alone.
    """

    def __init__(
        self,
        plan: Plan,
        interrupts: Interrupts,
        output: Output | None,
        old: SuiteReport | None,
        *,
        quiet: bool,
    ) -> None:
        self.suite = SuiteReport(reports=())
        self._plan = plan
        self._interrupts = interrupts
        self._output = output
        self._old = old
        self._quiet = quiet
        self._errors = Unbreakable(sys.stderr)
        self._unwritten = False

    @property
    def failed(self) -> bool:
        """Whether a benchmark failed, something became worse, or a file could not be written."""
        comparison = self._comparison
        worse = comparison is not None and comparison.worse
        return bool(self.suite.failures) or worse or self._unwritten

    def run(self, names: Sequence[str]) -> None:
        """Run them one after the other; what is done is written after each."""
        outcomes: list[Outcome] = []
        for number, name in enumerate(names, 1):
            if self._interrupts.count:
                break
            self._errors.write(f"[{number:>2}/{len(names)}] {name} … ")
            began = time.monotonic()
            outcome = run_one(name, self._plan, self._interrupts)
            outcomes.append(outcome)
            how = f"failed: {outcome.failure.reason}" if outcome.failure is not None else "done"
            self._errors.write(f"{how}, {time.monotonic() - began:.1f} s\n")
            self.suite = SuiteReport(
                reports=tuple(each.report for each in outcomes if each.report is not None),
                failures=tuple(each.failure for each in outcomes if each.failure is not None),
                not_run=tuple(names[number:]),
            )
            self._write()
            if outcome.report is not None and not self._quiet:
                print_out(f"\n== {name}: {render(outcome.report)}\n", sys.stdout)

    def close(self) -> None:
        """Say what it comes to; on standard error where standard output is for the JSON."""
        parts = [render_verdicts(verdicts(self.suite))]
        if self.suite.failures:
            parts.append(render_failures(self.suite.failures))
        if self.suite.not_run:
            parts.append(f"not run: {', '.join(self.suite.not_run)}")
        if self._comparison is not None:
            parts.append(render_comparison(self._comparison))
        text = "\n\n".join(parts)
        if self._quiet:
            self._errors.write(f"{text}\n")
        else:
            print_out(text, sys.stdout)

    @property
    def _comparison(self) -> Comparison | None:
        return compare(self._old, self.suite) if self._old is not None else None

    def _write(self) -> None:
        if self._output is None:
            return
        try:
            self._output.write(self.suite, self._comparison)
        except OSError as error:
            # A full disk must not cost the benchmarks that are still to come.
            self._unwritten = True
            self._errors.write(f"actorflow bench: {error}\n")
