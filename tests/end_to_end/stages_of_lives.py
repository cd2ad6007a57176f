"""The stages of `test_lives`: their processes need not import pytest."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from tests.end_to_end.stages import Idle


class Ahead(Idle):
    """Emits so many events at once when it is first asked, and has no more."""

    def __init__(self, count: int) -> None:
        self.left = list(range(count))

    def handle_demand(self, demand: int) -> list[int]:  # type: ignore[override]
        events, self.left = self.left, []
        return events


class Hesitates(Idle):
    """Has nothing the first times that it is asked."""

    asked = 0

    def handle_demand(self, demand: int) -> list[int]:  # type: ignore[override]
        self.asked += 1
        if self.asked < 5:
            return []
        self.finish()
        return [1, 2, 3]


class Noted(Idle):
    """Notes when its start and its end begin and are over, and takes some time for both."""

    def __init__(self, path: str, seconds: float = 0.0, end: float | None = None) -> None:
        self.path = Path(path)
        self.start, self.end = seconds, seconds if end is None else end

    def on_start(self) -> None:
        self._take_time("+", self.start)

    def on_stop(self, reason: Any) -> None:
        self._take_time("-", self.end)

    def _take_time(self, what: str, seconds: float) -> None:
        self._note(f"{what}{self.name}")
        time.sleep(seconds)
        self._note(f"{what}{self.name}.")

    def _note(self, word: str) -> None:
        with self.path.open("a") as file:  # one write, behind what others have written
            file.write(f"{word} ")
