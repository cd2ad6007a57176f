"""Ctrl-C and SIGTERM on the command line: drain, stop, and what the exit code says."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import psutil
import pytest

from actorflow.cli.interrupts import Interrupts
from tests.end_to_end.helpers import (
    alive,
    finish,
    how_many_in,
    numbers_in,
    start_actorflow,
    wait_until,
)
from tests.stopwatch import within

pytestmark = pytest.mark.processes

TOPOLOGY = """\
name: endless
stages:
  numbers:
    use: tests.end_to_end.stages:Numbers
  pass:
    use: tests.end_to_end.stages:Pass
    subscribe_to: [{{to: numbers, max_demand: 20}}]
  sink:
    use: tests.end_to_end.stages:{sink}
    args: {args}
    shutdown: {shutdown}
    subscribe_to: [{{to: pass, max_demand: 20}}]
"""


class Endless:
    """A running ``actorflow run`` of a topology without an end."""

    def __init__(self, folder: Path, sink: str, *options: str, shutdown: float = 2.0, **args: Any):
        self.path = folder / "journal"
        args["path"] = str(self.path)
        text = TOPOLOGY.format(sink=sink, args=json.dumps(args), shutdown=shutdown)
        file = folder / "endless.yaml"
        file.write_text(text)
        # A group of its own, as a shell makes one, so that the group can be signalled.
        self.program: subprocess.Popen[str] = start_actorflow(
            "run", str(file), "--json", *options, start_new_session=True
        )
        wait_until(self.path.exists, "the sink to take events")
        children = psutil.Process(self.program.pid).children(recursive=True)
        self.family = {child.pid for child in children}

    def interrupt(self, number: int = signal.SIGINT) -> None:
        """Signal the command's whole process group, as a terminal does."""
        os.killpg(self.program.pid, number)

    def said(self, word: str) -> str:
        """Wait for a line on standard error with this word in it."""
        assert self.program.stderr is not None
        while line := self.program.stderr.readline():
            if word in line:
                return line
        raise AssertionError(f"it never said {word!r}")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda each: each.name)
def test_an_interrupt_drains(number: signal.Signals, tmp_path: Path) -> None:
    """Sources stop, everything emitted arrives, the report is printed, and the exit code is 130."""
    running = Endless(tmp_path, "Collect")
    wait_until(lambda: how_many_in(running.path) > 100, "events to flow")
    running.interrupt(number)
    code, output, errors = finish(running.program)
    assert code == 130
    assert "draining; Ctrl-C again stops at once" in errors
    assert "Traceback" not in errors
    report = json.loads(output)
    assert report["status"] == "done"
    assert numbers_in(running.path) == list(range(report["results"]["numbers"]))
    assert report["results"]["sink"] == report["results"]["numbers"]
    assert not alive(running.family)


def test_a_closed_terminal_is_an_interrupt_unless_nohup_says_no() -> None:
    """SIGHUP counts as the others do, and is ignored where it was."""
    before = signal.getsignal(signal.SIGHUP)
    try:
        for handler, counted in ((signal.SIG_DFL, 1), (signal.SIG_IGN, 0)):
            signal.signal(signal.SIGHUP, handler)
            interrupts = Interrupts()
            with interrupts.caught():
                os.kill(os.getpid(), signal.SIGHUP)
                assert interrupts.count == counted
            assert signal.getsignal(signal.SIGHUP) is handler
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_signal_that_another_thread_was_given_wakes_the_main_thread() -> None:
    """The system may choose any; a process that was stopped and goes on has it chosen at random."""
    interrupts = Interrupts()

    def waits() -> bool:
        frame = sys._current_frames()[threading.main_thread().ident or 0]
        return frame.f_code is Interrupts.wait.__code__

    def take_it() -> None:
        wait_until(waits, "the main thread to wait")
        signal.pthread_kill(threading.get_ident(), signal.SIGTERM)

    thread = threading.Thread(target=take_it)
    with interrupts.caught(), within(10):
        thread.start()
        interrupts.wait(20)
        assert interrupts.count == 1
    thread.join()


def test_stages_do_not_hear_the_interrupt(tmp_path: Path) -> None:
    """A Ctrl-C that reaches every stage changes nothing: the host does the draining."""
    running = Endless(tmp_path, "Collect")
    for pid in running.family:
        os.kill(pid, signal.SIGINT)
    seen = how_many_in(running.path)
    wait_until(lambda: how_many_in(running.path) > seen + 100, "events to go on")
    assert alive(running.family) == running.family
    running.interrupt()
    code, output, _ = finish(running.program)
    assert code == 130
    report = json.loads(output)
    assert [stage["restarts"] for stage in report["stages"]] == [0, 0, 0]


def test_a_second_interrupt_stops(tmp_path: Path) -> None:
    """While a drain waits for a callback the next Ctrl-C ends the run within `shutdown`."""
    running = Endless(tmp_path, "Sleep", seconds=20.0, shutdown=0.4)
    running.interrupt()
    assert "draining" in running.said("draining")
    running.interrupt()
    with within(0.4 + 2.0):
        code, output, errors = finish(running.program)
    assert code == 130
    assert "stopping" in errors
    assert "Traceback" not in errors
    assert json.loads(output)["status"] == "stopped"
    assert not alive(running.family)


def test_a_third_interrupt_kills(tmp_path: Path) -> None:
    """Who does not want to wait for `shutdown` either presses Ctrl-C once more."""
    running = Endless(tmp_path, "Defiant", shutdown=30.0)
    running.interrupt()
    running.said("draining")
    running.interrupt()
    running.said("stopping")
    running.interrupt()
    with within(5.0):
        code, output, errors = finish(running.program)
    assert code == 130
    assert "Traceback" not in errors
    assert json.loads(output)["status"] == "stopped"
    assert not alive(running.family)


def test_a_drain_has_a_limit(tmp_path: Path) -> None:
    """After `--drain-timeout` nothing runs, whatever `shutdown`; the report says what is left."""
    running = Endless(tmp_path, "Sleep", "--drain-timeout", "0.4", seconds=60.0, shutdown=30.0)
    with within(0.4 + 5.0):
        running.interrupt()
        code, output, errors = finish(running.program)
    assert code == 130
    report = json.loads(output)
    assert report["status"] == "stopped"
    left = {each["stage"]: each for each in report["remains"]}
    assert left["numbers/0"]["unfinished"] > 0
    assert left["sink/0"]["unhandled"] > 0
    assert not any(each["lost"] or each["kept"] for each in report["remains"])
    assert "did not finish in the drain's time" in errors
    assert not alive(running.family)
