"""Section 5.13: dispatchers and the buffer as units."""

from __future__ import annotations

from typing import Any

import pytest

from actorflow import (
    BroadcastDispatcher,
    DemandDispatcher,
    Dispatcher,
    OptionError,
    PartitionDispatcher,
    PartitionError,
    Refused,
)
from actorflow.dispatch.build import build_dispatcher
from actorflow.stage.buffer import Buffer, Chunk
from actorflow.testing.harness import StageHarness
from tests.conformance.helpers.stages import Counter, Idle


def deliver(dispatcher: Dispatcher, events: list[Any]) -> tuple[dict[int, list[Any]], int]:
    """Dispatch events: what each subscription gets, and how many are left over."""
    dispatched = dispatcher.dispatch(events, 0)
    return {each.ref: each.events for each in dispatched.deliveries}, dispatched.leftover


def debt(producer: StageHarness) -> int:
    """What the producer has been asked for and does not owe to anybody now."""
    half = producer.machine.producing
    assert half is not None
    return half.requested - half.dispatcher.capacity


def test_s094_a_consumer_that_leaves_leaves_its_demand_as_a_debt() -> None:
    """Ask 10, cancel, subscribe, ask 5: nothing new is asked for, and 5 stay as a debt."""
    producer = StageHarness(Idle)
    producer.subscribe(1, "one")
    producer.ask(1, 10)
    producer.unsubscribe(1)
    assert debt(producer) == 10
    producer.subscribe(2, "other")
    producer.ask(2, 5)
    assert debt(producer) == 5
    assert producer.calls("handle_demand") == [(10,)]


def test_s094_dispatching_without_consumers() -> None:
    """All events are left over, and each emission lowers the debt: 10, 7, 0."""
    producer = StageHarness(Idle, buffer_size=None)
    producer.subscribe(1)
    producer.ask(1, 10)
    producer.unsubscribe(1)
    producer.cast([1, 2, 3])
    assert debt(producer) == 7
    producer.cast([4, 5, 6, 7, 8, 9, 10])
    assert debt(producer) == 0
    assert producer.counters["buffered"] == 10

    dispatcher = DemandDispatcher()
    assert deliver(dispatcher, [1, 2, 3]) == ({}, 3)


def test_s094_two_subscriptions_of_one_consumer() -> None:
    """One of two is cancelled with 3 outstanding, 5 events come: 3 delivered, 2 left, debt 1."""
    producer = StageHarness(Idle)
    for ref in (1, 2):
        producer.subscribe(ref, "one")
        producer.ask(ref, 3)
    producer.unsubscribe(2)
    producer.cast([1, 2, 3, 4, 5])
    assert producer.events(1) == [[1, 2, 3]]
    assert producer.counters["buffered"] == 2
    assert debt(producer) == 1


def starts_with(prefix: str) -> Any:
    """A selector."""
    return lambda event: event.startswith(prefix)


def test_s097_broadcast_selectors() -> None:
    """Each consumer gets what its selector takes, in order, and the rest costs it no demand."""
    dispatcher = BroadcastDispatcher()
    dispatcher.subscribe(1, "one/0", {"selector": starts_with("a")})
    dispatcher.subscribe(2, "two/0", {"selector": starts_with("b")})
    dispatcher.ask(1, 4)
    dispatcher.ask(2, 4)
    assert deliver(dispatcher, ["a1", "b1", "a2", "a3"]) == ({1: ["a1", "a2", "a3"], 2: ["b1"]}, 0)
    assert (dispatcher.outstanding(1), dispatcher.outstanding(2)) == (1, 3)


def selects_even(event: int) -> bool:
    """A selector, by name."""
    return event % 2 == 0


def test_s097_filtered_events_are_asked_for_again() -> None:
    """What a selector turns down is asked of the producer again, on the consumer's behalf."""
    producer = StageHarness(Counter, dispatcher="broadcast")
    producer.subscribe(1, selector=f"{__name__}:selects_even")
    producer.ask(1, 4)
    assert producer.events(1)[0] == [0, 2]
    assert [event for batch in producer.events(1) for event in batch] == [0, 2, 4, 6]
    assert [count for (count,) in producer.calls("handle_demand")][:2] == [4, 2]


def test_s097_the_same_consumer_twice() -> None:
    """The second subscription is refused, and the first one's credit is as it was."""
    dispatcher = BroadcastDispatcher()
    dispatcher.subscribe(1, "one/0", {})
    dispatcher.ask(1, 3)
    with pytest.raises(Refused, match="already_subscribed"):
        dispatcher.subscribe(2, "one/0", {})
    assert (dispatcher.outstanding(1), dispatcher.capacity) == (3, 3)


def test_s097_infos_are_immediate() -> None:
    """A broadcast holds nothing back, so an info with an empty buffer is delivered at once."""
    assert BroadcastDispatcher().mark("info")


@pytest.mark.parametrize(
    "partitions", [0, -1, True, "abc", [], ["a", "a"], None, [["list"]], [(["list"],)]]
)
def test_s099_bad_partitions(partitions: Any) -> None:
    """Partitions are a number from 1, or a list of different names."""
    with pytest.raises(OptionError) as caught:
        build_dispatcher({"partition": {"partitions": partitions}})
    assert caught.value.option == "partitions"
    assert caught.value.rule == "a number from 1, or a list of different names"
    assert caught.value.value == partitions


def test_s099_partitions_left_out() -> None:
    """A partition dispatcher without partitions is refused."""
    with pytest.raises(OptionError, match="partitions must be a number from 1"):
        build_dispatcher("partition")


def test_s099_named_partitions_need_a_function() -> None:
    """With names there is no default for which event goes where."""
    with pytest.raises(OptionError, match="by must be given when partitions have names"):
        PartitionDispatcher(partitions=["a", "b"])


@pytest.mark.parametrize(
    ("options", "detail"),
    [
        ({}, "the option partition is missing; partitions: 0, 1"),
        ({"partition": 2}, "unknown partition 2; partitions: 0, 1"),
        ({"partition": "a"}, "unknown partition 'a'; partitions: 0, 1"),
        ({"partition": ["a"]}, "unknown partition ['a']; partitions: 0, 1"),
        ({"partition": True}, "unknown partition True; partitions: 0, 1"),
        ({"partition": 0}, "partition 0 is taken; partitions: 0, 1"),
    ],
)
def test_s099_a_subscription_to_a_bad_partition(options: dict[str, Any], detail: str) -> None:
    """It is refused with the known partitions; nobody else notices."""
    dispatcher = PartitionDispatcher(partitions=2)
    dispatcher.subscribe(1, "one/0", {"partition": 0})
    with pytest.raises(Refused) as caught:
        dispatcher.subscribe(2, "two/0", options)
    assert (caught.value.reason, caught.value.detail) == ("bad_option", detail)
    dispatcher.ask(2, 5)
    assert dispatcher.capacity == 0


@pytest.mark.parametrize("answer", [2, "a", (1, 2), ["list"], (["list"],)])
def test_s099_a_function_that_names_no_partition(answer: Any) -> None:
    """What the function returns must be a partition, or None to drop the event."""
    dispatcher = PartitionDispatcher(partitions=2, by=lambda event: answer)
    dispatcher.subscribe(1, "one/0", {"partition": 0})
    dispatcher.ask(1, 1)
    with pytest.raises(PartitionError) as caught:
        dispatcher.dispatch(["event"], 0)
    expected = (
        f"for the event 'event' the partition function returned {answer!r}; it must return one of"
        " 0, 1, or None to drop the event"
    )
    assert str(caught.value) == expected


def test_s100_marks_do_not_count_as_events() -> None:
    """A bounded buffer with as many events as it holds takes any number of marks."""
    buffer = Buffer(2)
    buffer.put(["a", "b"], 0)
    for token in range(5):
        assert not buffer.mark(token)
    assert buffer.count == 2
    assert buffer.take(2) == Chunk(["a", "b"], 0)
    assert buffer.due_marks() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("keep", "dropped", "survivors"),
    [
        ("first", ["f", "g", "h"], ["a", "b", "c", "d", "e"]),
        ("last", ["a", "b", "c"], ["d", "e", "f", "g", "h"]),
    ],
)
def test_s100_what_survives_a_full_buffer(
    keep: str, dropped: list[str], survivors: list[str]
) -> None:
    """Keep first drops the new events, keep last the oldest; both tell which."""
    buffer = Buffer(5, keep)
    assert buffer.put(["a", "b", "c"], 0) == []
    assert buffer.put(["d", "e", "f", "g", "h"], 3) == dropped
    chunk = buffer.take(8)
    assert chunk is not None
    assert chunk.events == survivors


def test_s100_marks_are_pushed_out_by_dropped_events() -> None:
    """A mark whose events were all dropped is due."""
    buffer = Buffer(2)
    buffer.put(["a"], 0)
    buffer.mark("one")
    buffer.put(["b"], 1)
    buffer.mark("two")
    assert buffer.put(["c"], 2) == ["a"]
    assert buffer.due_marks() == ["one"]
    assert buffer.put(["d", "e"], 3) == ["b", "c"]
    assert buffer.due_marks() == ["two"]


def test_s100_marks_of_one_place_are_first_in_first_out() -> None:
    """Marks behind the same event come in the order in which they were put."""
    buffer = Buffer(None)
    buffer.put(["a"], 0)
    for token in "xyz":
        buffer.mark(token)
    buffer.take(1)
    assert buffer.due_marks() == ["x", "y", "z"]


def test_s100_marks_interleave_with_events() -> None:
    """Taking stops at each mark, and goes on once it was taken."""
    buffer = Buffer(None)
    buffer.put(["a", "b"], 0)
    buffer.mark("one")
    buffer.put(["c"], 2)
    buffer.mark("two")
    buffer.put(["d"], 3)
    found: list[Any] = []
    while not buffer.empty:
        chunk = buffer.take(10)
        found.append(chunk.events if chunk else None)
        found += buffer.due_marks()
    assert found == [["a", "b"], "one", ["c"], "two", ["d"]]


def test_s100_an_empty_buffer_says_so() -> None:
    """Taking from an empty buffer gives nothing, and a mark in it is passed already."""
    buffer = Buffer(3)
    assert buffer.empty
    assert buffer.take(5) is None
    assert buffer.mark("info")
    assert buffer.empty
