"""The stages of `test_running_changes`: their processes need not import pytest."""

from __future__ import annotations

from typing import Any

from actorflow import (
    ProducerConsumer,
    Subscription,
)
from tests.end_to_end.stages import Collect, Numbers


class Told(Numbers):
    """Numbers that can be called."""

    def handle_call(self, request: Any, sender: Any) -> None:
        """Answer in turn."""


class Kept(Collect):
    """A sink that can be called."""

    def handle_call(self, request: Any, sender: Any) -> None:
        """Answer in turn."""


class Add(ProducerConsumer):
    """Adds a number to each event; its result is how many it had."""

    def __init__(self, number: int = 0) -> None:
        self.number = number
        self.count = 0

    def handle_events(self, events: list[int], subscription: Subscription) -> list[int]:
        self.count += len(events)
        return [event + self.number for event in events]

    def handle_call(self, request: Any, sender: Any) -> int:
        return self.replicas

    def on_stop(self, reason: Any) -> None:
        self.set_result(self.count)
