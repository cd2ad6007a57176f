"""Section 5.8: manual demand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from actorflow import OptionError, Subscription
from actorflow.testing.harness import StageHarness
from tests.conformance.helpers.network import Network
from tests.conformance.helpers.script import Script
from tests.conformance.helpers.stages import Counter, Forwarder


class Manual(Forwarder):
    """Asks for as many as it is cast."""

    def handle_subscribe(
        self, side: str, options: Mapping[str, Any], subscription: Subscription
    ) -> str:
        self.subscription = subscription
        return "manual"

    def handle_cast(self, message: int) -> None:
        self.ask(self.subscription, message)


def test_s050_a_manual_subscription_asks_only_when_told() -> None:
    """Nothing comes before the first ask; each ask of 50 brings one batch of 50."""
    network = Network()
    network.add("counter", Counter)
    sink = network.add("sink", Manual)
    network.connect("sink", "counter")
    network.run()
    assert sink.behaviour.batches == []
    for first in (0, 50):
        sink.cast(50)
        network.run()
        assert sink.behaviour.batches[-1] == list(range(first, first + 50))
    assert len(sink.behaviour.batches) == 2


def test_s050_the_whole_message_is_one_batch() -> None:
    """A manual subscription's message is not cut, and no ask follows it by itself."""
    consumer = StageHarness(Manual)
    steps = Script(consumer)
    consumer.link_to_producer(1, max_demand=4, min_demand=2)
    consumer.cast(50)
    consumer.route(1, range(50))
    assert steps() == [("subscribe", 1), ("ask", 1, 50), ("handle_events", list(range(50)))]


def test_s050_asking_for_nothing() -> None:
    """An ask of 0 sends nothing; a negative one is refused where it is passed."""
    consumer = StageHarness(Manual)
    steps = Script(consumer)
    consumer.link_to_producer(1)
    consumer.cast(0)
    assert steps() == [("subscribe", 1)]
    for count, message in ((-1, "at least 0, got -1"), (2**41, "at most")):
        with pytest.raises(OptionError, match=message):
            consumer.behaviour.ask(consumer.behaviour.subscription, count)
