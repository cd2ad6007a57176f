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


def test_s015_the_same_chain_linked_from_its_end() -> None:
    """The sink subscribes first, the middle to the producer last: the batches are the same."""
    network = Network()
    network.add("counter", Counter)
    middle = network.add("middle", Twice).behaviour
    sink = network.add("sink", Forwarder).behaviour
    network.connect("sink", "middle", max_demand=100, min_demand=50)
    network.run()
    network.connect("middle", "counter", max_demand=100, min_demand=80)
    network.run(until=lambda: twice(125, 139) in sink.batches)
    assert middle.batches[0] == list(range(20))
    assert sink.batches[:2] == [twice(0, 19), twice(20, 39)]
    assert list(range(100, 120)) in middle.batches
    assert sink.batches[sink.batches.index(twice(120, 124)) + 1] == twice(125, 139)


def test_s019_a_producer_consumer_that_broadcasts() -> None:
    """Two consumers with 10 and 20 of a doubling broadcast: both get the same doubled batches."""
    network = Network()
    network.add("counter", Counter)
    network.add("middle", Twice, dispatcher="broadcast")
    one = network.add("one", Forwarder).behaviour
    other = network.add("other", Forwarder).behaviour
    network.connect("one", "middle", max_demand=10, min_demand=0)
    network.connect("other", "middle", max_demand=20, min_demand=0)
    network.connect("middle", "counter", max_demand=100, min_demand=80)
    network.run(until=lambda: len(one.batches) > 50 and len(other.batches) > 50)
    assert one.batches[:50] == other.batches[:50]
    seen = [event for batch in one.batches for event in batch]
    assert seen == twice(0, seen[-1])[: len(seen)]
