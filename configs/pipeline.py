"""The stages of pipeline.yaml: the A→B→C of GenStage's README, with a rate per stage."""

from __future__ import annotations

from typing import Any

from actorflow import Consumer, Producer, ProducerConsumer, Subscription


class A(Producer):
    """Counts from `start`, to `limit` when there is one."""

    def __init__(self, start: int = 0, limit: int | None = None) -> None:
        self.next = start
        self.limit = limit

    def handle_demand(self, demand: int) -> range:
        """The next integers."""
        end = self.next + demand
        if self.limit is not None and end >= self.limit:
            end = self.limit
            self.finish()
        events = range(self.next, end)
        self.next = end
        return events


class B(ProducerConsumer):
    """Multiplies."""

    def __init__(self, factor: int = 2) -> None:
        self.factor = factor

    def handle_events(self, events: list[int], subscription: Subscription) -> list[int]:
        """Each event times the factor."""
        factor = self.factor
        return [factor * event for event in events]


class C(Consumer):
    """Counts and adds up what arrives."""

    def __init__(self) -> None:
        self.events = 0
        self.total = 0

    def handle_events(self, events: list[int], subscription: Subscription) -> None:
        """Add a batch."""
        self.events += len(events)
        self.total += sum(events)

    def on_stop(self, reason: Any) -> None:
        """Leave the result behind."""
        self.set_result({"events": self.events, "total": self.total})
