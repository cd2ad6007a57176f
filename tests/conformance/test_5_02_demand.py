"""Section 5.2: producer to consumer demand."""

from __future__ import annotations

from actorflow.testing.harness import StageHarness
from tests.conformance.helpers.network import Network
from tests.conformance.helpers.stages import Counter, Forwarder, Idle


def batches(count: int, **options: int) -> list[tuple[int, int]]:
    """The first and last event of a consumer's first batches from a counter."""
    network = Network()
    network.add("counter", Counter)
    sink = network.add("sink", Forwarder).behaviour
    network.connect("sink", "counter", **options)
    network.run(until=lambda: len(sink.batches) >= count)
    for batch in sink.batches:
        assert batch == list(range(batch[0], batch[-1] + 1))
    return [(batch[0], batch[-1]) for batch in sink.batches[:count]]


def test_s006_half_of_max_demand_is_the_default_minimum() -> None:
    """With a maximum of 1000 alone, GenStage's default, batches are of 500."""
    assert batches(2, max_demand=1000) == [(0, 499), (500, 999)]


def test_s007_a_high_minimum_makes_small_batches() -> None:
    """With 100/80, batches are of 20."""
    found = batches(51, max_demand=100, min_demand=80)
    assert found == [(first, first + 19) for first in range(0, 1020, 20)]


def test_s008_a_low_minimum_makes_uneven_batches() -> None:
    """With 100/20, the first message is cut at 80, and answers of 80 and 100 follow."""
    expected = [(0, 79), (80, 99), (100, 179), (180, 259), (260, 279)]
    assert batches(5, max_demand=100, min_demand=20) == expected


def test_s009_one_event_at_a_time() -> None:
    """With 1/0, every batch is one event."""
    assert batches(3, max_demand=1, min_demand=0) == [(0, 0), (1, 1), (2, 2)]


def test_s010_broadcast_gives_both_the_same_batches() -> None:
    """Consumers with 10/0 and 20/0 of a broadcast see the same batches of ten."""
    network = Network()
    network.add("counter", Counter, dispatcher="broadcast")
    one = network.add("one", Forwarder).behaviour
    other = network.add("other", Forwarder).behaviour
    network.connect("one", "counter", max_demand=10, min_demand=0)
    network.connect("other", "counter", max_demand=20, min_demand=0)
    network.run(until=lambda: len(one.batches) > 101 and len(other.batches) > 101)
    assert one.batches[:101] == other.batches[:101]
    assert list(range(1000, 1010)) in one.batches


def test_s011_a_silent_subscriber_holds_a_broadcast_until_it_leaves() -> None:
    """Nobody receives while a subscriber has not asked; when it cancels, the others start alike."""
    producer = StageHarness(Counter, dispatcher="broadcast")
    for ref, consumer in ((1, "silent"), (2, "one"), (3, "other")):
        producer.subscribe(ref, consumer)
    producer.ask(2, 10)
    producer.ask(3, 10)
    assert producer.events(2) == producer.events(3) == []

    producer.unsubscribe(1)
    assert producer.events(2) == producer.events(3) == [list(range(10))]
    assert producer.eos_reasons(1) == ["normal"]


def test_s012_a_broadcast_asks_once_for_what_all_want() -> None:
    """Two consumers with 10 and 20 of a broadcast that emits nothing: one demand, of 10."""
    producer = StageHarness(Idle, dispatcher="broadcast")
    producer.subscribe(1, "one")
    producer.subscribe(2, "other")
    producer.ask(1, 10)
    producer.ask(2, 20)
    assert producer.calls("handle_demand") == [(10,)]


def test_s012_also_when_the_second_comes_late() -> None:
    """A consumer that joins after the first has asked changes nothing: still one demand of 10."""
    producer = StageHarness(Idle, dispatcher="broadcast")
    producer.subscribe(1, "one")
    producer.ask(1, 10)
    producer.subscribe(2, "other")
    producer.ask(2, 20)
    assert producer.calls("handle_demand") == [(10,)]
