"""One benchmark in a process of its own: with a time limit, and nothing left behind."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psutil

from actorflow.cli.interrupts import Interrupts
from actorflow.runtime.local.kernel import die_with_parent
from benchmarks._suite.forms import BadForm, from_plain
from benchmarks._suite.records import Failure, Report

__all__ = ["Outcome", "Plan", "run_one"]

MARK = "ACTORFLOW_BENCHMARK"
"""The environment variable by which the processes of a benchmark are known, whoever started them
and whoever their parent is by now."""

GOODBYE = 5.0
"""Seconds in which a benchmark that is interrupted may stop what it started; a second Ctrl-C ends
them."""

GRACE = 2.0
"""Seconds after a benchmark's end when what it started counts as left behind."""

LAST_LINES = 20


@dataclass(frozen=True, slots=True)
class Plan:
    """How benchmarks are run.

    Args:
        root: the directory that holds the folder ``benchmarks``.
        arguments: the options that each of them gets.
        time_limit: seconds that one may take.
    """

    root: Path
    arguments: tuple[str, ...]
    time_limit: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one: a report, a failure, or a report that says that something is broken."""

    report: Report | None = None
    failure: Failure | None = None


def run_one(name: str, plan: Plan, interrupts: Interrupts) -> Outcome:
    """Run a benchmark until it ends, its time is over, or an interrupt comes.

    Args:
        name: its module.
        plan: how.
        interrupts: what ends it early.
    """
    mark = f"{os.getpid()}.{time.monotonic_ns()}"
    # Files and no pipes: whatever a benchmark leaves behind may hold its output open.
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", f"benchmarks.{name}", "--json", *plan.arguments],
            cwd=plan.root,
            env={**os.environ, MARK: mark},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            # Ctrl-C on the terminal is for the suite, which passes it on.
            start_new_session=True,
            # No thread is running: the one that waited for the last benchmark has ended.
            preexec_fn=die_with_parent,  # noqa: PLW1509
        )
        reason = ""
        try:
            reason = _watch(process, plan.time_limit, interrupts)
        finally:
            # What had to be ended had its time already.
            left = _clear(process, mark, 0.0 if reason else GRACE)
        if not reason and left:
            reason = f"left behind {len(left)} processes: {', '.join(left)}"
        return _outcome(name, process.returncode, reason, _text(output), _text(errors))


def _watch(process: subprocess.Popen[bytes], limit: float, interrupts: Interrupts) -> str:
    """Wait for its end; returns why it has to be ended, or nothing when it ended by itself."""
    ended = threading.Event()

    def wait() -> None:
        process.wait()
        ended.set()
        interrupts.wake()

    waiter = threading.Thread(target=wait, name="benchmark-waiter", daemon=True)
    waiter.start()
    reason = ""
    deadline = time.monotonic() + limit
    while not ended.is_set() and not reason:
        left = deadline - time.monotonic()
        if interrupts.count:
            reason = "interrupted"
        elif left <= 0:
            reason = f"took longer than {limit:g} s"
        else:
            interrupts.wait(left)
    if reason:
        _end(process, ended, interrupts)
    waiter.join()
    return reason


def _end(process: subprocess.Popen[bytes], ended: threading.Event, interrupts: Interrupts) -> None:
    """Interrupt it, and kill it when it goes on."""
    # Its `with` blocks stop what they started; where it was is on its standard error.
    _signal_group(process, signal.SIGINT)
    deadline = time.monotonic() + GOODBYE
    while not ended.is_set() and interrupts.count < 2 and (left := deadline - time.monotonic()) > 0:
        interrupts.wait(left)
    if not ended.is_set():
        _signal_group(process, signal.SIGKILL)


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _clear(process: subprocess.Popen[bytes], mark: str, grace: float) -> list[str]:
    """Kill what a benchmark left behind; returns the names of what did not go in the grace."""
    if process.poll() is None:
        _signal_group(process, signal.SIGKILL)
        process.wait()
    _, alive = psutil.wait_procs(_marked(mark), grace)
    names = []
    for each in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            names.append(each.name())
            each.kill()
    psutil.wait_procs(alive, GRACE)
    return names


def _marked(mark: str) -> list[psutil.Process]:
    found = []
    for each in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if each.environ().get(MARK) == mark and each.status() != psutil.STATUS_ZOMBIE:
                found.append(each)
    return found


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")


def _outcome(name: str, code: int, reason: str, output: str, errors: str) -> Outcome:
    last_words = _last(errors.splitlines())
    try:
        report = from_plain(Report, json.loads(output))
    except (ValueError, BadForm) as error:
        why = reason or (_ending(code) if code else f"printed no report: {error}")
        return Outcome(failure=Failure(benchmark=name, reason=why, last_words=last_words))
    if reason or code:
        broken = _last(report.result.broken) or last_words
        failure = Failure(benchmark=name, reason=reason or _ending(code), last_words=broken)
        return Outcome(report, failure)
    return Outcome(report)


def _ending(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"


def _last(lines: Sequence[str]) -> str:
    return "\n".join(lines[-LAST_LINES:])
