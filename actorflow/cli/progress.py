"""The live lines on a terminal: one per stage, redrawn in place, out of the way of log lines."""

from __future__ import annotations

import os
import threading

from actorflow.cli.output import Unbreakable
from actorflow.observe.report import table
from actorflow.observe.statistics import RunStatistics

__all__ = ["Progress"]

_CLEAR_BELOW = "\x1b[J"


class Progress:
    """A block of lines at the end of a terminal.

    Args:
        stream: the terminal.

    `write` puts other text above the block, so that log lines and progress do not tear each other.
    """

    def __init__(self, stream: Unbreakable) -> None:
        self._stream = stream
        self._lines = 0
        self._last: RunStatistics | None = None
        self._lock = threading.Lock()

    def show(self, statistics: RunStatistics) -> None:
        """Redraw the block."""
        text = self._text(statistics)
        self._last = statistics
        with self._lock:
            self._erase()
            self._stream.write(text)
            self._lines = text.count("\n")

    def write(self, text: str) -> int:
        """Write text above the block; the next `show` draws the block again."""
        with self._lock:
            self._erase()
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Nothing is held back."""

    def isatty(self) -> bool:
        """Whether it is a terminal, and not a file that is to have progress lines all the same."""
        return self._stream.isatty()

    def clear(self) -> None:
        """Remove the block for good."""
        with self._lock:
            self._erase()

    def _erase(self) -> None:
        if self._lines:
            self._stream.write(f"\x1b[{self._lines}A\r{_CLEAR_BELOW}")
            self._lines = 0

    def _text(self, statistics: RunStatistics) -> str:
        """The rates are those since the last time, what a person wants to see move."""
        before = {stage.stage: stage for stage in self._last.stages} if self._last else {}
        seconds = statistics.seconds - (self._last.seconds if self._last else 0.0)
        rows = []
        for stage in statistics.stages:
            then = before.get(stage.stage)
            moved = max(
                stage.events_in - (then.events_in if then else 0),
                stage.events_out - (then.events_out if then else 0),
            )
            rate = moved / seconds if seconds > 0 else 0.0
            hand = f"busy for {stage.busy_for:.0f} s" if stage.busy_for >= 1 else stage.state
            rows.append(
                [
                    stage.stage,
                    f"{stage.events_in:,} in",
                    f"{stage.events_out:,} out",
                    f"{rate:,.0f}/s",
                    hand,
                ]
            )
        if not rows:
            return ""
        lines = table([""] * 5, rows).splitlines()[1:]
        return "".join(f"{line}\n" for line in self._fitting(lines))

    def _fitting(self, lines: list[str]) -> list[str]:
        """So much of the lines as the terminal shows; of more than that nothing could be erased."""
        try:
            width, height = os.get_terminal_size(self._stream.fileno())
        except (OSError, ValueError):
            return lines  # no terminal
        room = max(1, height - 2)
        if len(lines) > room:
            lines = [*lines[: room - 1], f"… and {len(lines) - room + 1} more"]
        return [line[: max(1, width - 1)] for line in lines]
