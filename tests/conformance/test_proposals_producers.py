"""Section 7: what GenStage's authors and users proposed for producers, and never got."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from actorflow import Subscription
from actorflow.testing import spend
from actorflow.testing.harness import StageHarness
from tests.conformance.helpers.network import Network
from tests.conformance.helpers.stages import Forwarder, Idle, Same


def flat(batches: list[list[Any]]) -> list[Any]:
    """All events of some batches."""
    return [event for batch in batches for event in batch]


# --- A13: a polling producer ----------------------------------------------------------------------


class Shelf(Idle):
    """Hands over what it has been cast when it is asked, and looks again every 50 ms."""

    poll_interval = 0.05

    def __init__(self) -> None:
        self.items: list[Any] = []
        self.asked: list[int] = []

    def handle_cast(self, message: list[Any]) -> None:
        self.items += message

    def handle_demand(self, demand: int) -> list[Any]:
        self.asked.append(demand)
        taken, self.items = self.items[:demand], self.items[demand:]
        return taken


def test_a13_an_empty_source_is_polled_with_what_is_unmet() -> None:
    """Every 50 ms with 10, until 7 items come; then with 3, and with nothing once all are met."""
    producer = StageHarness(Shelf)
    shelf = producer.behaviour
    producer.advance(1.0)
    producer.subscribe(1)
    producer.advance(1.0)
    assert shelf.asked == []

    producer.ask(1, 10)
    producer.advance(1.0)
    assert shelf.asked == [10] * 21
    producer.cast(list(range(7)))
    producer.advance(0.05)
    assert producer.events(1) == [list(range(7))]
    producer.advance(0.5)
    assert shelf.asked[21:] == [10, *[3] * 10]
    producer.cast([7, 8, 9])
    producer.advance(0.05)
    assert flat(producer.events(1)) == list(range(10))
    polls = len(shelf.asked)
    producer.advance(5.0)
    assert len(shelf.asked) == polls


def test_a13_nobody_subscribed_is_nobody_to_poll_for() -> None:
    """What a consumer that left had asked for is no reason to look."""
    producer = StageHarness(Shelf)
    producer.subscribe(1)
    producer.ask(1, 10)
    producer.unsubscribe(1)
    producer.advance(0.05)
    polls = len(producer.behaviour.asked)
    producer.advance(5.0)
    assert len(producer.behaviour.asked) == polls


# --- A14: a producer that starts empty ------------------------------------------------------------


class Worker(Forwarder):
    """Takes a second of virtual time for each job."""

    def handle_events(self, events: list[Any], subscription: Subscription) -> None:
        spend(float(len(events)))
        super().handle_events(events, subscription)


def test_a14_jobs_that_come_later_are_spread_over_the_workers() -> None:
    """Four workers ask 10 each of an empty producer; 100 jobs then run, on all of them."""
    network = Network()
    queue = network.add("queue", Idle)
    workers = [network.add(f"worker{number}", Forwarder) for number in range(4)]
    for number in range(4):
        network.connect(f"worker{number}", "queue", max_demand=10)
    network.run()
    assert queue.calls("handle_demand") == [(10,)] * 4
    queue.cast(list(range(100)))
    network.run()
    done = [flat(worker.behaviour.batches) for worker in workers]
    assert sorted(flat(done)) == list(range(100))
    assert all(len(each) >= 10 for each in done)


# --- A15: asynchronous delivery -------------------------------------------------------------------


class Deferred(Idle):
    """Notes what is demanded, and answers it five seconds later, or when it is cast."""

    def __init__(self) -> None:
        self.noted = 0

    def handle_demand(self, demand: int) -> None:
        self.noted += demand
        self.send_after(5.0, demand)

    def handle_info(self, message: int) -> list[str]:
        return ["late"] * message


def test_a15_demand_is_answered_from_another_callback() -> None:
    """Five seconds later, against the demand that is remembered, and asked for only once."""
    producer = StageHarness(Deferred)
    producer.subscribe(1)
    producer.ask(1, 3)
    producer.advance(4.9)
    assert producer.events(1) == []
    producer.advance(0.1)
    assert producer.events(1) == [["late"] * 3]
    assert producer.behaviour.noted == 3
    assert producer.status()["producing"]["requested"] == 0


def test_a15_demand_is_answered_from_outside() -> None:
    """A cast brings the events; what is not asked for waits in the buffer."""
    producer = StageHarness(Idle)
    producer.subscribe(1)
    producer.ask(1, 3)
    producer.advance(5.0)
    producer.cast(["a", "b", "c", "d"])
    assert producer.events(1) == [["a", "b", "c"]]
    assert producer.counters["buffered"] == 1
    producer.ask(1, 1)
    assert producer.events(1)[1:] == [["d"]]


# --- A16: nobody is there -------------------------------------------------------------------------


class Discards(Idle):
    """A producer whose events are for those who are there."""

    when_no_consumers = "discard"


def test_a16_without_consumers_events_are_discarded() -> None:
    """Five events to nobody: the next consumer gets none of them, five are counted, no warning."""
    producer = StageHarness(Discards)
    producer.cast([1, 2, 3])
    producer.cast([4, 5])
    producer.subscribe(1)
    producer.ask(1, 10)
    assert producer.events(1) == []
    assert producer.counters["discarded"] == 5
    assert producer.counters["buffered"] == 0
    assert producer.calls("handle_discarded") == [([1, 2, 3],), ([4, 5],)]
    assert [(each.level, each.event) for each in producer.log] == [
        ("info", "there is no consumer, events are discarded")
    ]
    producer.cast([6])
    assert producer.events(1) == [[6]]


def test_a16_without_consumers_events_are_buffered() -> None:
    """The default: the next consumer gets all, up to the size of the buffer."""
    producer = StageHarness(Idle, buffer_size=4)
    producer.cast([1, 2, 3, 4, 5])
    producer.subscribe(1)
    producer.ask(1, 10)
    assert producer.events(1) == [[2, 3, 4, 5]]
    assert producer.counters["discarded"] == 1


def test_a16_a_consumer_without_demand_is_a_consumer() -> None:
    """What it has not asked for yet waits for it."""
    producer = StageHarness(Discards)
    producer.subscribe(1)
    producer.cast([1, 2])
    producer.ask(1, 10)
    assert producer.events(1) == [[1, 2]]


def test_a16_a_consumer_that_is_to_come_is_waited_for() -> None:
    """One that the topology declares, until it is known that it will not come."""
    producer = StageHarness(Discards)
    producer.expect(consumers=["sink/0"])
    producer.cast([1])
    assert producer.counters["buffered"] == 1
    producer.down("sink")
    producer.cast([2])
    assert producer.counters["discarded"] == 1


def test_a16_a_consumer_that_is_being_restarted_is_waited_for() -> None:
    """Its successor gets what was emitted in between; when none comes, the next gets it."""
    producer = StageHarness(Discards)
    producer.subscribe(1, "sink#1")
    producer.hang_up(1)
    producer.cast([1])
    producer.down("sink#1", restarting=True)
    producer.cast([2])
    producer.subscribe(2, "sink#2")
    producer.ask(2, 5)
    assert flat(producer.events(2)) == [1, 2]
    producer.acknowledge(2)
    producer.down("sink#2")
    producer.cast([3])
    assert producer.counters["discarded"] == 1


def test_a16_while_accumulating() -> None:
    """What is emitted to nobody is discarded in either mode."""
    producer = StageHarness(Discards, demand="accumulate")
    producer.cast([1])
    producer.subscribe(1)
    producer.cast([2])
    producer.set_demand("forward")
    producer.ask(1, 5)
    assert producer.events(1) == [[2]]
    assert producer.counters["discarded"] == 1


@pytest.mark.parametrize("dispatcher", ["demand", "broadcast", {"partition": {"partitions": 2}}])
def test_a16_with_every_dispatcher(dispatcher: Any) -> None:
    """It is the stage's rule, whoever would get which event."""
    producer = StageHarness(Discards, dispatcher=dispatcher)
    producer.cast(["a", "b"])
    assert producer.counters["discarded"] == 2


# --- A17: what a full buffer keeps ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "keep", "batches"),
    [*product((0, 1, 4, 9, 10, 11, None), ("first", "last"), ([10], [1] * 10, [3, 7], [7, 3]))],
)
def test_a17_exact_survivors(size: int | None, keep: str, batches: list[int]) -> None:
    """Ten events, in messages of any size: the first or the last `size` of them survive."""
    producer = StageHarness(Idle, buffer_size=size, buffer_keep=keep)
    emitted = list(range(10))
    start = 0
    for count in batches:
        producer.cast(emitted[start : start + count])
        start += count
    kept = 10 if size is None else min(size, 10)
    survivors = emitted[:kept] if keep == "first" else emitted[10 - kept :]
    assert producer.counters["buffered"] == kept
    assert producer.counters["discarded"] == 10 - kept
    dropped = flat([events for (events,) in producer.calls("handle_discarded")])
    assert dropped == [event for event in emitted if event not in survivors]
    producer.subscribe(1)
    producer.ask(1, 20)
    assert flat(producer.events(1)) == survivors


# --- A view of demand per asker (pain 5) ----------------------------------------------------------


class Chooses(Idle):
    """Keeps what it sees of its consumers' demand whenever it is called."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, dict[str, int]]] = []

    def look(self, callback: str) -> None:
        self.seen.append((callback, {each.stage: n for each, n in self.outstanding.items()}))

    def handle_demand(self, demand: int) -> None:
        self.look("demand")

    def handle_cast(self, message: list[Any]) -> list[Any]:
        self.look("cast")
        return message

    def handle_subscribe(self, side: str, options: Any, subscription: Subscription) -> None:
        self.look("subscribe")
        self.mine = subscription

    def handle_cancel(self, reason: Any, subscription: Subscription) -> None:
        self.look("cancel")


def test_pain_5_a_producer_sees_who_asked() -> None:
    """In any callback: how much each consumer has asked for and not got."""
    producer = StageHarness(Chooses)
    producer.subscribe(1, "one")
    producer.subscribe(2, "two")
    producer.ask(1, 4)
    producer.ask(2, 7)
    producer.cast(["a"] * 9)
    producer.unsubscribe(2)
    assert producer.behaviour.seen == [
        ("subscribe", {"one": 0}),
        ("subscribe", {"one": 0, "two": 0}),
        ("demand", {"one": 4, "two": 0}),
        ("demand", {"one": 4, "two": 7}),
        ("cast", {"one": 4, "two": 7}),
        ("cancel", {"one": 2}),
    ]
    assert producer.behaviour.demand_of(producer.behaviour.mine) == 0


def test_pain_5_what_was_asked_before_the_subscription_was_agreed() -> None:
    """An early ask is seen as soon as the subscription is."""
    producer = StageHarness(Chooses, autorun=False)
    producer.run()
    producer.subscribe(1, "one")
    producer.ask(1, 4)
    producer.run()
    assert producer.behaviour.seen == [("subscribe", {"one": 4}), ("demand", {"one": 4})]


def by_first(event: str) -> str:
    """A partition function: the event begins with its partition."""
    return event[0]


def test_pain_5_by_partition() -> None:
    """A source that can choose sees which partition wants something."""
    by = f"{__name__}:by_first"
    dispatcher = {"partition": {"partitions": ["a", "b"], "by": by}}
    producer = StageHarness(Chooses, dispatcher=dispatcher)
    producer.subscribe(1, "one", partition="a")
    producer.subscribe(2, "two", partition="b")
    producer.ask(2, 3)
    producer.cast(["b1"])
    producer.cast([])
    assert producer.behaviour.seen[-1] == ("cast", {"one": 0, "two": 2})


def test_pain_5_a_producer_consumer_sees_it_too() -> None:
    """Its consumers' demand, beside the producers that it has itself."""
    middle = StageHarness(Same, dispatcher="broadcast")
    middle.link_to_producer(7, max_demand=10)
    middle.subscribe(1, "one")
    middle.subscribe(2, "two")
    middle.ask(1, 5)
    seen = {each.stage: count for each, count in middle.behaviour.outstanding.items()}
    assert seen == {"one": 5, "two": 0}
