"""The stages of `test_lives`: their processes need not import pytest."""

from __future__ import annotations

from tests.end_to_end.stages import Idle


class Hesitates(Idle):
    """Has nothing the first times that it is asked."""

    asked = 0

    def handle_demand(self, demand: int) -> list[int]:  # type: ignore[override]
        self.asked += 1
        if self.asked < 5:
            return []
        self.finish()
        return [1, 2, 3]
