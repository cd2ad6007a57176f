"""The live lines of ``actorflow run`` on a terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.end_to_end.helpers import finish, start_actorflow, wait_until

pytestmark = pytest.mark.processes

ENDLESS = """\
name: endless
stages:
  numbers: {use: "tests.end_to_end.stages:Numbers"}
  a_stage_with_quite_a_long_name: {use: "tests.end_to_end.stages:Slowly", args: {seconds: 0.005},
                                   subscribe_to: [{to: numbers, max_demand: 10}]}
  sink: {use: "tests.end_to_end.stages:Sink",
         subscribe_to: [{to: a_stage_with_quite_a_long_name, max_demand: 10}]}
"""


class Screen:
    """A pseudo-terminal of so many columns and lines, and everything that was written to it."""

    def __init__(self, columns: int, lines: int) -> None:
        self._ours, self.theirs = pty.openpty()
        size = struct.pack("HHHH", lines, columns, 0, 0)
        fcntl.ioctl(self.theirs, termios.TIOCSWINSZ, size)
        self._written = b""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        while select.select([self._ours], [], [], 30)[0]:
            try:
                data = os.read(self._ours, 65536)
            except OSError:  # EIO: the last writer has gone
                break
            if not data:
                break
            self._written += data

    def close(self) -> None:
        """Close it once its writers have gone."""
        os.close(self.theirs)
        self._reader.join(30)
        os.close(self._ours)

    @property
    def text(self) -> str:
        """What was written so far; of the last character some bytes may be missing."""
        return self._written.decode(errors="ignore").replace("\r\n", "\n")

    @property
    def blocks(self) -> list[str]:
        """What was drawn each time."""
        return re.split(r"\x1b\[\d+A\r\x1b\[J", self.text)


@pytest.mark.parametrize("columns", [120, 40])
def test_a_line_for_each_stage_is_redrawn_in_place(
    columns: int, topology: Callable[[str], Path]
) -> None:
    """Each drawing erases the one before; no line is longer than the terminal is wide."""
    screen = Screen(columns, 24)
    try:
        program = start_actorflow("run", str(topology(ENDLESS)), "--json", stderr=screen.theirs)
        wait_until(
            lambda: screen.text.count("\x1b[J") >= 3 and (columns < 80 or "running" in screen.text),
            "three drawings, and stages that run",
        )
        program.send_signal(signal.SIGINT)
        code, output, _ = finish(program)
    finally:
        screen.close()
    assert code == 130
    assert output.count("\n") == 1
    drawn = [block for block in screen.blocks if "numbers/0" in block]
    assert len(drawn) >= 3
    for block in drawn:
        # What the interrupt is answered with stands above the next drawing.
        lines = [line for line in block.splitlines() if not line.startswith("actorflow:")]
        names = [line.split()[0] for line in lines[:3]]
        assert names == ["numbers/0", "a_stage_with_quite_a_long_name/0", "sink/0"]
        assert max(map(len, lines[:3])) < columns
    # As many lines up as were drawn: the cursor ends where it began.
    assert set(re.findall(r"\x1b\[(\d+)A", screen.text)) == {"3"}
    if columns > 80:
        assert re.search(r"numbers/0 +0 in +[\d,]+ out +[\d,]+/s +running", screen.text)
    assert "draining; Ctrl-C again stops at once" in screen.text
    # Nothing of it is left at the end.
    assert "numbers/0" not in screen.blocks[-1]


def test_a_small_terminal_shows_as_much_as_it_can(topology: Callable[[str], Path]) -> None:
    """More stages than lines: the rest is counted, as what has scrolled away cannot be erased."""
    screen = Screen(100, 8)
    many = ENDLESS.replace("numbers: {", "numbers: {replicas: 10, ")
    try:
        program = start_actorflow("run", str(topology(many)), "--json", stderr=screen.theirs)
        wait_until(lambda: screen.text.count("\x1b[J") >= 2, "two drawings")
        program.send_signal(signal.SIGINT)
        assert finish(program)[0] == 130
    finally:
        screen.close()
    assert "… and 7 more" in screen.text
    assert set(re.findall(r"\x1b\[(\d+)A", screen.text)) == {"6"}


def test_progress_can_be_forced_into_a_file(
    topology: Callable[[str], Path], tmp_path: Path
) -> None:
    """`--progress always` draws also where no terminal is; `auto` does not."""
    file, drawn = str(topology(ENDLESS)), tmp_path / "drawn"
    with drawn.open("w") as stream:
        program = start_actorflow("run", file, "--json", "--progress", "always", stderr=stream)
    wait_until(lambda: "sink/0" in drawn.read_text(), "a drawing")
    program.send_signal(signal.SIGINT)
    assert finish(program)[0] == 130
    assert "\x1b[" in drawn.read_text()
    limit = ("--set", "stages.numbers.args.limit=60")
    for option in ("auto", "never"):
        program = start_actorflow("run", file, "--json", "--progress", option, *limit)
        code, _, errors = finish(program)
        assert code == 0
        assert "\x1b[" not in errors
        assert "sink/0" not in errors


def test_log_lines_do_not_tear_the_progress(topology: Callable[[str], Path]) -> None:
    """A log line is written above the block; on a terminal it is made for a person."""
    screen = Screen(120, 24)
    fails = ENDLESS.replace("Slowly", "FailsOnce").replace(
        "seconds: 0.005", f"at: 2000, path: {topology('').parent}/failed"
    )
    try:
        program = start_actorflow("run", str(topology(fails)), "--json", stderr=screen.theirs)
        wait_until(lambda: "restarting" in screen.text, "the failure")
        wait_until(lambda: "numbers/0" in screen.text.partition("restarting")[2], "a drawing")
        program.send_signal(signal.SIGINT)
        assert finish(program)[0] == 130
    finally:
        screen.close()
    (line,) = [each for each in screen.text.splitlines() if "cannot take 2000" in each]
    assert "run" in line
    assert "a_stage_with_quite_a_long_name" in line
    assert not line.startswith("{")
    for block in screen.blocks:
        assert block.count("numbers/0") <= 1
