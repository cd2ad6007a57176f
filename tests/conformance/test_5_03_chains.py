"""Section 5.3: chains with a producer-consumer."""

from __future__ import annotations

from tests.conformance.helpers.network import Network
from tests.conformance.helpers.stages import Counter, Discarder, Forwarder, Twice


def twice(first: int, last: int) -> list[int]:
    """Each number two times."""
    return [event for event in range(first, last + 1) for _ in range(2)]


def test_s013_a_chain_of_three() -> None:
    """Each stage batches after its own subscription; what finds no demand waits in the middle."""
    network = Network()
    network.add("counter", Counter)
    middle = network.add("middle", Twice).behaviour
    sink = network.add("sink", Forwarder).behaviour
    network.connect("middle", "counter", max_demand=100, min_demand=80)
    network.connect("sink", "middle", max_demand=100, min_demand=50)
    network.run(until=lambda: twice(125, 139) in sink.batches)
    assert middle.batches[0] == list(range(20))
    assert sink.batches[:2] == [twice(0, 19), twice(20, 39)]
    assert list(range(100, 120)) in middle.batches
    assert sink.batches[sink.batches.index(twice(120, 124)) + 1] == twice(125, 139)
    seen = [event for batch in sink.batches for event in batch]
    assert seen == twice(0, seen[-1])


def test_s018_a_producer_consumer_that_discards_goes_on() -> None:
    """A producer-consumer that emits nothing keeps receiving: its consumer's demand is unmet."""
    network = Network()
    network.add("counter", Counter)
    middle = network.add("middle", Discarder).behaviour
    network.add("sink", Forwarder)
    network.connect("middle", "counter", max_demand=100, min_demand=80)
    network.connect("sink", "middle", max_demand=100, min_demand=50)
    network.run(until=lambda: len(middle.batches) > 50)
    for first in (0, 100, 1000):
        assert list(range(first, first + 20)) in middle.batches
