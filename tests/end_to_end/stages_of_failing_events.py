"""The stages of `test_failing_events`: their processes need not import pytest."""

from __future__ import annotations

import os
import signal
from typing import Any

from actorflow import Consumer, ProducerConsumer, Subscription


class Add(Consumer):
    """Adds numbers up; one of them kills its process, or raises."""

    def __init__(self, poison: int, *, kills: bool = True) -> None:
        self.poison = poison
        self.kills = kills
        self.count = 0
        self.total = 0

    def handle_events(self, events: list[int], subscription: Subscription) -> None:
        if self.poison in events and self.kills:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.poison in events:
            raise ValueError(f"no {self.poison}")
        self.count += len(events)
        self.total += sum(events)

    def snapshot(self) -> Any:
        return self.count, self.total

    def restore(self, state: Any) -> None:
        self.count, self.total = state

    def on_stop(self, reason: Any) -> None:
        self.set_result([self.count, self.total])


class Refuse(Consumer):
    """Takes no 50, and keeps no state."""

    def handle_events(self, events: list[int], subscription: Subscription) -> None:
        if 50 in events:
            raise ValueError("no 50")


class DieLazily(ProducerConsumer):
    """A generator that works while it is read, and dies at 70."""

    def handle_events(self, events: list[int], subscription: Subscription) -> Any:
        for event in events:
            if event == 70:
                os.kill(os.getpid(), signal.SIGKILL)
            yield event
