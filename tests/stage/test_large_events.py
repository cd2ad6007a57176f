"""A consumer with ``max_demand: auto`` asks for few large events, whatever it has asked before."""

from __future__ import annotations

from typing import Any

import actorflow
from actorflow.protocol.pace import MAX_BYTES
from actorflow.testing import StageHarness

MIB = 1 << 20


class Sink(actorflow.Consumer):
    """Handles events at once."""

    def handle_events(self, events: list[Any], subscription: actorflow.Subscription) -> None:
        """Nothing takes no time."""


def large(count: int) -> list[bytes]:
    """So many events of 1 MiB, each another one."""
    return [bytes(MIB) for _ in range(count)]


def open_window(harness: StageHarness) -> int:
    """Events that the stage waits for."""
    taken = sum(len(events) for events, _ in harness.calls("handle_events"))
    return sum(harness.asks(1)) - taken


def test_a_window_holds_no_more_than_its_bytes() -> None:
    """It is wide while events are small, narrow from the first large ones on, and wide again."""
    sink = StageHarness(Sink)
    sink.link_to_producer(1, "numbers")
    while open_window(sink) < 100:
        sink.route(1, list(range(max(1, open_window(sink) // 2))))
    sink.route(1, large(16))
    widest = open_window(sink)
    while open_window(sink) > MAX_BYTES // MIB:
        sink.route(1, large(MAX_BYTES // MIB))
        assert open_window(sink) < widest
        widest = open_window(sink)
    for _ in range(20):
        sink.route(1, large(max(1, open_window(sink) // 2)))
        assert 1 <= open_window(sink) <= MAX_BYTES // MIB
    for _ in range(50):
        sink.route(1, list(range(max(1, open_window(sink) // 2))))
    assert open_window(sink) > 100
