"""A producer that has sent something, with which tests of delivery begin."""

from __future__ import annotations

from typing import Any

from actorflow.testing.harness import StageHarness
from tests.conformance.helpers.stages import Idle

__all__ = ["flat", "producer_with"]


def flat(batches: list[list[Any]]) -> list[Any]:
    """All events of some batches."""
    return [event for batch in batches for event in batch]


def producer_with(*events: list[Any], **options: Any) -> StageHarness:
    """A producer that sent these batches to the consumer "one"."""
    producer = StageHarness(Idle, **options)
    producer.subscribe(1, "one")
    producer.ask(1, 100)
    for batch in events:
        producer.cast(batch)
    return producer
