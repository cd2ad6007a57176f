"""Section 0: what GenStage 1.3.2 gets wrong about demand and dispatching, done the better way."""

from __future__ import annotations

from typing import Any

import pytest

from actorflow import BroadcastDispatcher, DemandDispatcher, Refused
from actorflow.protocol.control import SYSTEM
from actorflow.testing.harness import StageHarness
from tests.conformance.helpers.stages import Counter, Forwarder, Idle, Same
from tests.seeds import seeds


def flat(batches: list[list[Any]]) -> list[Any]:
    """All events of some batches."""
    return [event for batch in batches for event in batch]


def test_b01_buffered_events_are_never_hidden_by_a_debt() -> None:
    """Ask 100, leave, emit 3: a new consumer that asks 2 gets the two oldest, then the third."""
    producer = StageHarness(Idle)
    producer.subscribe(1, "one")
    producer.ask(1, 100)
    producer.unsubscribe(1)
    producer.cast(["a", "b", "c"])
    producer.subscribe(2, "other")
    producer.ask(2, 2)
    assert producer.events(2) == [["a", "b"]]
    producer.cast(["d"])
    assert producer.events(2) == [["a", "b"]]
    producer.ask(2, 2)
    assert flat(producer.events(2)) == ["a", "b", "c", "d"]


def test_b02_a_late_joiner_of_a_broadcast_drains_the_buffer() -> None:
    """What was buffered while a joiner had not asked goes out as soon as all have demand."""
    producer = StageHarness(Idle, dispatcher="broadcast")
    producer.subscribe(1, "one")
    producer.ask(1, 10)
    producer.subscribe(2, "late")
    producer.cast(["a", "b"])
    assert producer.events(1) == []
    producer.ask(2, 1)
    assert producer.events(1) == producer.events(2) == [["a"]]
    producer.cast(["c"])
    producer.ask(2, 5)
    assert flat(producer.events(1)) == flat(producer.events(2)) == ["a", "b", "c"]


PARTITIONS = {"partition": {"partitions": 2, "by": "operator:itemgetter"}}


def by_first(event: list[Any]) -> Any:
    """A partition function: the event names its partition."""
    return event[0]


def partitioned() -> StageHarness:
    """A producer with the partitions 0 and 1."""
    by = f"{__name__}:by_first"
    return StageHarness(Idle, dispatcher={"partition": {"partitions": 2, "by": by}})


def test_b03_queued_events_survive_for_the_successor() -> None:
    """The events that wait for a partition outlive its consumer; the next one gets all of them."""
    producer = partitioned()
    producer.subscribe(1, "zero", partition=0)
    producer.subscribe(2, "one", partition=1)
    producer.ask(2, 5)
    producer.cast([[0, number] for number in range(5)])
    producer.unsubscribe(1)
    assert producer.status()["producing"]["buffered"] == 5
    producer.subscribe(3, "other", partition=0)
    producer.ask(3, 9)
    assert producer.events(3) == [[[0, number] for number in range(5)]]
    assert producer.counters["discarded"] == 0


def test_b04_an_event_of_no_partition_gives_its_demand_back() -> None:
    """A producer that emits exactly what is asked goes on although its events are dropped."""

    class Numbers(Counter):
        def handle_demand(self, demand: int) -> list[list[Any]]:
            return [
                [0 if number % 3 == 0 else None, number] for number in super().handle_demand(demand)
            ]

    by = f"{__name__}:by_first"
    producer = StageHarness(Numbers, dispatcher={"partition": {"partitions": 1, "by": by}})
    producer.subscribe(1, partition=0)
    producer.ask(1, 5)
    assert flat(producer.events(1)) == [[0, 0], [0, 3], [0, 6], [0, 9], [0, 12]]


@pytest.mark.parametrize(
    ("dispatcher", "good", "bad"),
    [
        ("broadcast", {}, {"selector": 7}),
        ("broadcast", {}, {"selector": "no.such.module:name"}),
        ("broadcast", {}, {"selector": "operator:no_such_name"}),
        (PARTITIONS, {"partition": 0}, {}),
        (PARTITIONS, {"partition": 0}, {"partition": 7}),
        (PARTITIONS, {"partition": 0}, {"partition": 0}),
        (PARTITIONS, {"partition": 0}, {"partition": {"a": "map"}}),
        ("demand", {}, {"max_demand": "many"}),
        ("demand", {}, {"cancel": "never"}),
        ("demand", {}, {"min_demand": 5, "max_demand": 5}),
    ],
)
def test_b05_a_bad_subscription_ends_alone(
    dispatcher: Any, good: dict[str, Any], bad: dict[str, Any]
) -> None:
    """Whatever is wrong with a subscription's options, the producer and the others go on."""
    producer = StageHarness(Idle, dispatcher=dispatcher)
    producer.subscribe(1, "good", **good)
    producer.subscribe(2, "bad", **bad)
    ((name, text),) = producer.eos_reasons(2)
    assert name == "bad_option"
    assert text
    producer.ask(2, 5)
    assert producer.eos_reasons(2)[1:] == ["unknown_subscription"]
    assert producer.exiting is None
    assert [peer["ref"] for peer in producer.status()["producing"]["consumers"]] == [1]


def test_b06_a_shuffled_dispatch_never_stops_at_a_consumer_without_demand() -> None:
    """With any seed, one consumer with demand among others without gets the events."""
    for seed in seeds(1000):
        dispatcher = DemandDispatcher(shuffle_demands_on_first_dispatch=True, seed=seed)
        for ref in range(1, 5):
            dispatcher.subscribe(ref, f"{ref}/0", {})
        dispatcher.ask(3, 4)
        dispatched = dispatcher.dispatch(list("abcd"), 0)
        assert [(each.ref, each.events) for each in dispatched.deliveries] == [(3, list("abcd"))]


def test_b06_the_order_after_a_shuffle_is_by_demand_again() -> None:
    """After the first, shuffled dispatch the consumer with the most demand is first."""
    for seed in seeds(100):
        dispatcher = DemandDispatcher(shuffle_demands_on_first_dispatch=True, seed=seed)
        for ref, demand in ((1, 1), (2, 2), (3, 3)):
            dispatcher.subscribe(ref, f"{ref}/0", {})
            dispatcher.ask(ref, demand)
        dispatcher.dispatch(["a"], 0)
        left = {ref: dispatcher.outstanding(ref) for ref in (1, 2, 3)}
        first = dispatcher.dispatch(["b"], 1).deliveries[0].ref
        assert left[first] == max(left.values())


def test_b07_every_stage_answers_the_demand_query() -> None:
    """The mode can be asked of a producer, a producer-consumer and a consumer."""
    for behaviour in (Counter, Same, Forwarder):
        assert StageHarness(behaviour).call("demand", SYSTEM) == "forward"


def test_s107_b08_a_buffer_of_0_discards_at_once() -> None:
    """A buffer size of 0 is valid: what finds no demand is dropped and counted."""
    producer = StageHarness(Idle, buffer_size=0)
    producer.subscribe(1)
    producer.ask(1, 2)
    producer.cast(["a", "b", "c"])
    assert producer.events(1) == [["a", "b"]]
    assert producer.calls("handle_discarded") == [(["c"],)]
    assert producer.counters["discarded"] == 1


@pytest.mark.parametrize("attempts", [2, 3, 5])
def test_s108_b09_a_broadcast_refuses_a_second_subscription_every_time(attempts: int) -> None:
    """However often a subscribed consumer subscribes again, it stays subscribed once."""
    dispatcher = BroadcastDispatcher()
    dispatcher.subscribe(1, "one/0", {})
    for ref in range(2, attempts + 2):
        with pytest.raises(Refused, match="already_subscribed"):
            dispatcher.subscribe(ref, "one/0", {})
        dispatcher.leave(ref)
    dispatcher.ask(1, 1)
    assert [each.ref for each in dispatcher.dispatch(["a"], 0).deliveries] == [1]


def test_b09_also_through_the_stage() -> None:
    """Each further attempt is answered, and the first subscription goes on."""
    producer = StageHarness(Counter, dispatcher="broadcast")
    for ref in range(1, 6):
        producer.subscribe(ref, "one")
    producer.ask(1, 2)
    assert producer.events(1) == [[0, 1]]
    for ref in range(2, 6):
        assert [reason[0] for reason in producer.eos_reasons(ref)] == ["already_subscribed"]
