"""``actorflow run``: a topology from start to report, with Ctrl-C on the way."""

from __future__ import annotations

import argparse
import sys
import threading
import traceback
from contextlib import nullcontext, redirect_stdout
from dataclasses import replace
from typing import Any, TextIO

from actorflow.cli.check import MISTAKE, show_problems, what_stands_still
from actorflow.cli.interrupts import Interrupts
from actorflow.cli.logs import configure_logs
from actorflow.cli.output import Unbreakable, print_out
from actorflow.cli.progress import Progress
from actorflow.errors import ActorflowError, DeadLetterError, TopologyError
from actorflow.observe.logs import event_logger
from actorflow.observe.report import Report
from actorflow.records import dataclass
from actorflow.supervision.events import Outcome
from actorflow.topology.model import Topology
from actorflow.topology.retrying import retrying
from actorflow.topology.run import Run
from actorflow.topology.yaml import load

__all__ = ["run"]

DONE, FAILED, INTERRUPTED = 0, 1, 130

REFRESH = 0.25
"""Seconds between two drawings of the progress lines."""


@dataclass(frozen=True, slots=True)
class _Console:
    """Where the command writes.

    Args:
        output: standard output, for the report alone.
        errors: standard error.
        progress: the live lines at the end of standard error, or None.
    """

    output: TextIO
    errors: Unbreakable
    progress: Progress | None

    @property
    def log(self) -> Progress | Unbreakable:
        """Where lines go that must not tear the progress."""
        return self.progress or self.errors

    def say(self, text: str) -> None:
        """Tell the user what the command does."""
        self.log.write(f"actorflow: {text}\n")


def run(options: argparse.Namespace) -> int:
    """Run a topology; returns the exit code."""
    output = sys.stdout
    # What the stages' modules print when they are imported here must not get into the report.
    with redirect_stdout(sys.stderr) if options.json else nullcontext():
        try:
            topology = load(options.file, overrides=options.overrides)
            if options.retry_dead_letters is not None:
                topology = retrying(topology, options.retry_dead_letters)
            topology.plan()
        except TopologyError as error:
            show_problems(error)
            return MISTAKE
        except DeadLetterError as error:
            print(f"actorflow: {error}", file=sys.stderr)
            return MISTAKE
        errors = Unbreakable(sys.stderr)
        shown = options.progress == "always" or (options.progress == "auto" and errors.isatty())
        console = _Console(output, errors, Progress(errors) if shown else None)
        configure_logs(options.log_level, options.log_format, console.log)
        interrupts = Interrupts()
        with interrupts.caught():
            return _started(topology, options, interrupts, console)


def _started(
    topology: Topology, options: argparse.Namespace, interrupts: Interrupts, console: _Console
) -> int:
    try:
        # Nobody else is there who could start or subscribe another stage.
        plan = replace(topology.plan(), ends_when_idle=True)
        runtime = topology.runtime(stdout_to_stderr=options.json)
        console.log.write(what_stands_still(plan))
        started = Run(plan, runtime, event_logger(plan.name, lifecycle=True))
    except (ActorflowError, OSError) as error:
        console.say(str(error))
        return FAILED
    with started:
        outcome = _watch(started, interrupts, console, options.drain_timeout)
        report = Report(started.stats(), outcome)
    if outcome.status == "failed" and outcome.root_cause is not None:
        # The original exception, once, with the traceback of the stage's process as its cause.
        console.errors.write("".join(traceback.format_exception(outcome.root_cause)))
    printed = print_out(report.as_json() if options.json else report.as_text(), console.output)
    if outcome.status == "failed":
        return FAILED
    if interrupts.count:
        return INTERRUPTED
    return DONE if printed else FAILED


def _watch(
    started: Run, interrupts: Interrupts, console: _Console, drain_timeout: float
) -> Outcome:
    """Wait for the end; the first interrupt drains, the second stops, the third kills."""
    progress = console.progress
    ending: list[threading.Thread] = []
    started.on_over(interrupts.wake)
    while not started.over:
        interrupts.wait(REFRESH if progress is not None else None)
        if progress is not None and not started.over:
            progress.show(started.stats())
        for what, act, *arguments in (
            ("draining; Ctrl-C again stops at once", started.drain, drain_timeout),
            ("stopping; Ctrl-C again kills", started.stop),
            ("killing", started.close),
        )[len(ending) : interrupts.count]:
            console.say(what)
            ending.append(_in_background(act, *arguments))
    if progress is not None:
        progress.clear()
    for thread in ending:
        thread.join()
    return started.outcome()


def _in_background(act: Any, *arguments: Any) -> threading.Thread:
    """The main thread goes on taking signals meanwhile."""
    thread = threading.Thread(target=act, args=arguments, name="actorflow-ending", daemon=True)
    thread.start()
    return thread
