"""The stages of `test_vanished`: their processes need not import pytest."""

from __future__ import annotations

import os
from typing import Any

from actorflow import Consumer, Producer
from tests.end_to_end.stages import Numbers, append, wait_for_file


class StopsInABatch(Consumer):
    """Writes half of its first batch down, and waits there for ever, its first life only."""

    def __init__(self, path: str, journal: str) -> None:
        self.path = path
        self.journal = journal

    def handle_events(self, events: list[int], subscription: Any) -> None:
        if not os.path.exists(self.path):
            append(self.journal, *events[: len(events) // 2])
            append(self.path, "in the middle")
            wait_for_file(self.path + ".never")
        append(self.journal, *events)


class Witnesses(Numbers):
    """Counts, and keeps how its consumers left."""

    def __init__(self) -> None:
        super().__init__()
        self.downs: list[Any] = []

    def handle_cancel(self, reason: Any, subscription: Any) -> None:
        self.downs.append(reason)

    def handle_call(self, request: Any, sender: Any) -> Any:
        return self.downs


class Silent(Producer):
    def handle_demand(self, demand: int) -> None:
        return None
