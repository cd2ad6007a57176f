"""The small stages of GenStage's own tests, and a few more."""

from __future__ import annotations

from typing import Any

import actorflow
from actorflow import Subscription
from actorflow.stage.behaviour import Stage


class Emits(Stage):
    """Emits the lists that it is cast or called with."""

    def handle_cast(self, message: list[Any]) -> list[Any]:
        return message

    def handle_call(self, request: list[Any], sender: Any) -> str:
        self.emit(request)
        return "emitted"

    def handle_info(self, message: Any) -> None:
        self.log.info("info", message=message)


class Counter(Emits, actorflow.Producer):
    """Emits 0, 1, 2, … exactly as demanded, and the lists that it is cast or called with."""

    def __init__(self, start: int = 0) -> None:
        self.next = start

    def handle_demand(self, demand: int) -> Any:
        events = range(self.next, self.next + demand)
        self.next += demand
        return events


class Idle(Counter):
    """A producer that answers no demand, and emits what it is cast."""

    def handle_demand(self, demand: int) -> Any:
        return None


class Forwarder(actorflow.Consumer):
    """Keeps every batch."""

    def __init__(self) -> None:
        self.batches: list[list[Any]] = []

    def handle_events(self, events: list[Any], subscription: Subscription) -> None:
        self.batches.append(events)

    def handle_info(self, message: Any) -> None:
        self.log.info("info", message=message)


class Same(Emits, actorflow.ProducerConsumer):
    """Emits what it takes, and keeps every batch."""

    def __init__(self) -> None:
        self.batches: list[list[Any]] = []

    def handle_events(self, events: list[Any], subscription: Subscription) -> list[Any]:
        self.batches.append(events)
        return events


class Twice(Same):
    """Emits each event twice."""

    def handle_events(self, events: list[Any], subscription: Subscription) -> list[Any]:
        self.batches.append(events)
        return [event for event in events for _ in range(2)]


class Discarder(Same):
    """Emits nothing."""

    def handle_events(self, events: list[Any], subscription: Subscription) -> list[Any]:
        self.batches.append(events)
        return []
