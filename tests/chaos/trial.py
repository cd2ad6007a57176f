"""One trial: a random topology of real processes, a nemesis, and the verdict of the checker."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import psutil

from tests.chaos.checker import check
from tests.chaos.history import DONE, EMITTED, Life, read_histories
from tests.chaos.host import REPORT, SETTINGS, SHAPE
from tests.chaos.nemesis import FATAL, Nemesis, draw_plan
from tests.chaos.shapes import Shape, random_shape
from tests.evidence import describe_process

__all__ = ["Trial", "Verdict"]

ROOT = Path(__file__).parents[2]
PATIENCE = 40.0
"""Seconds without a line in any history after which a run hangs."""

TINY_PIPE = 4096
PACE = 0.003


@dataclass(slots=True)
class Verdict:
    """How a trial ended.

    Args:
        seed: which.
        shape: what ran.
        seconds: how long it took.
        deeds: what was done, by kind.
        lives: how many lives the stages had.
        emitted: how many events they emitted.
        handled: how many they handled.
        problems: what went wrong; nothing when all is well.
    """

    seed: int
    shape: Shape
    seconds: float = 0.0
    deeds: Counter[str] = field(default_factory=Counter)
    lives: int = 0
    emitted: int = 0
    handled: int = 0
    problems: list[str] = field(default_factory=list)


class Trial:
    """What a seed stands for, and its run.

    Args:
        seed: draws topology, pipes, checkpoint and the nemesis's plan.
        folder: an empty folder for histories and evidence.
        events: how many events the parts take together, about.
    """

    def __init__(self, seed: int, folder: Path, *, events: int = 1500) -> None:
        random = Random(f"chaos {seed}")
        self.seed = seed
        self.folder = folder
        self.shape = random_shape(random, events=events, pace=PACE)
        self.checkpoint = random.random() < 0.5
        self.pipe = random.choice((0, 0, TINY_PIPE))
        self.plan = draw_plan(random, checkpoint=self.checkpoint)
        self._host: subprocess.Popen[bytes] | None = None
        self._written = 0
        self._last_news = 0.0

    def describe(self) -> str:
        """What it is, for a person."""
        said = f"pipes of {self.pipe or 'any'} bytes, checkpoint: {self.checkpoint}"
        deeds = ", ".join(f"{deed.kind} after {deed.after:.2f} s" for deed in self.plan)
        return f"seed {self.seed}, {self.shape}\n  {said}\n  {deeds}"

    def run(self) -> Verdict:
        """Run it to its end, or until it hangs."""
        (self.folder / SHAPE).write_text(self.shape.to_json())
        settings = {"pipe": self.pipe, "checkpoint": self.checkpoint}
        (self.folder / SETTINGS).write_text(json.dumps(settings))
        verdict = Verdict(self.seed, self.shape)
        began = time.monotonic()
        try:
            self._live(verdict)
        finally:
            self._end_host()
        verdict.seconds = time.monotonic() - began
        lives = read_histories(self.folder)
        verdict.lives = len(lives)
        verdict.emitted = _count(lives, EMITTED)
        verdict.handled = _count(lives, DONE)
        report = self.folder / REPORT
        said: Any = json.loads(report.read_text()) if report.exists() else {}
        if not verdict.problems and said.get("status") == "done":
            results = said["results"]
            verdict.problems += map(str, check(self.shape, lives, results))
        if verdict.problems:
            text = "\n".join([self.describe(), *verdict.problems])
            (self.folder / "violations").write_text(text + "\n")
        return verdict

    # --- its lives --------------------------------------------------------------------------------

    def _live(self, verdict: Verdict) -> None:
        plan = list(self.plan)
        expected_to_fail = False
        while True:
            self._start_host()
            assert self._host is not None
            self._wait_for_events()
            nemesis = Nemesis(self._host.pid, self._wait)
            while plan and self._host.poll() is None:
                deed = plan.pop(0)
                self._wait(deed.after)
                if self._host.poll() is None and nemesis.do(deed):
                    verdict.deeds[deed.kind] += 1
                    expected_to_fail = deed.kind in FATAL
                if expected_to_fail:
                    break
            self._wait_for_its_end(verdict)
            code = self._host.wait()
            if verdict.problems or code == 0:
                return
            if not expected_to_fail and "Too many open files" in self._last_words():
                # It was to start a stage and had no descriptors, and says so.
                verdict.deeds["refused start"] += 1
                expected_to_fail = self.checkpoint
                if not expected_to_fail:
                    return
            if not expected_to_fail:
                verdict.problems.append(f"the host ended with {code}: {self._last_words()}")
                return
            expected_to_fail = False

    def _start_host(self) -> None:
        errors = (self.folder / "host.errors").open("ab")
        with errors:
            self._host = subprocess.Popen(
                [sys.executable, "-m", "tests.chaos.host", str(self.folder)],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
                start_new_session=True,
            )
        self._last_news = time.monotonic()

    def _wait(self, seconds: float) -> None:
        """Let so much time pass, or less when the host ends."""
        assert self._host is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._host.wait(seconds)

    def _wait_for_events(self) -> None:
        """Until the first events flow in this life of the host, or it ends."""
        assert self._host is not None
        patient_until = time.monotonic() + PATIENCE
        while self._host.poll() is None and not self._has_news():
            if time.monotonic() > patient_until:
                return
            self._wait(0.02)

    def _wait_for_its_end(self, verdict: Verdict) -> None:
        assert self._host is not None
        self._last_news = time.monotonic()
        while self._host.poll() is None:
            self._wait(0.2)
            if not self._has_news() and time.monotonic() - self._last_news > PATIENCE:
                self._gather_evidence()
                verdict.problems.append(f"it hangs: nothing was handled for {PATIENCE:g} s")
                self._end_host()

    def _has_news(self) -> bool:
        """Whether any stage has written anything since the last look."""
        written = sum(path.stat().st_size for path in self.folder.glob("*.history"))
        if written == self._written:
            return False
        self._written, self._last_news = written, time.monotonic()
        return True

    # --- evidence ---------------------------------------------------------------------------------

    def _gather_evidence(self) -> None:
        """Write down who waits for whom, and every stack."""
        assert self._host is not None
        with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
            family = psutil.Process(self._host.pid).children(recursive=True)
            ready = {int(path.stem.split("-")[2]) for path in self.folder.glob("*.stacks")}
            for each in family:
                if each.pid in ready:
                    os.kill(each.pid, signal.SIGUSR1)
            os.kill(self._host.pid, signal.SIGUSR1)
            self._wait(0.5)
            said = [describe_process(each) for each in [psutil.Process(self._host.pid), *family]]
            (self.folder / "processes").write_text("\n".join(said))

    def _last_words(self) -> str:
        report = self.folder / REPORT
        if report.exists():
            return str(json.loads(report.read_text())["error"])
        return (self.folder / "host.errors").read_text()[-2000:]

    def _end_host(self) -> None:
        if self._host is not None and self._host.poll() is None:
            self._host.kill()
            self._host.wait()


def _count(lives: list[Life], kind: str) -> int:
    return sum(
        len(record.events) for life in lives for record in life.records if record.kind == kind
    )
