"""Section 5.14, the dispatchers' part: what GenStage's own tests leave out."""

from __future__ import annotations

from typing import Any

import pytest

from actorflow import (
    DemandDispatcher,
    OptionError,
    PartitionDispatcher,
    PartitionError,
    SubscriptionOptions,
)
from actorflow.testing.harness import StageHarness
from tests.conformance.helpers.stages import Counter, Idle
from tests.seeds import seeds


def flat(batches: list[list[Any]]) -> list[Any]:
    """All events of some batches."""
    return [event for batch in batches for event in batch]


def remainder(event: int) -> Any:
    """A partition function."""
    return event % 3 if event % 3 < 2 else None


def first(event: int) -> int:
    """A partition function."""
    return 0


def fails_at_seven(event: int) -> int:
    """A partition function, or a selector, that does not like 7."""
    if event == 7:
        raise ValueError("seven")
    return event % 2


def partitioned(behaviour: Any = Idle, by: str = "remainder", **options: Any) -> StageHarness:
    """A producer with the partitions 0 and 1."""
    partition = {"partitions": 2, "by": f"{__name__}:{by}", **options}
    return StageHarness(behaviour, name="source", dispatcher={"partition": partition})


@pytest.mark.parametrize("dispatcher", ["demand", {"demand": {"chunk": 1}}, "broadcast"])
@pytest.mark.parametrize("asked", [1, 3, 100])
def test_s101_what_was_buffered_after_a_consumer_left(dispatcher: Any, asked: int) -> None:
    """Ask 100, leave, emit 3: whoever comes next and asks 2 gets the 2 oldest."""
    producer = StageHarness(Idle, dispatcher=dispatcher)
    producer.subscribe(1, "one")
    producer.ask(1, asked)
    producer.unsubscribe(1)
    producer.cast(["a", "b", "c"])
    producer.subscribe(2, "other")
    producer.ask(2, 2)
    assert flat(producer.events(2)) == ["a", "b"]
    producer.ask(2, 2)
    producer.cast(["d"])
    assert flat(producer.events(2)) == ["a", "b", "c", "d"]


@pytest.mark.parametrize("emitted_before", [0, 1, 4])
def test_s102_a_late_joiner_of_a_broadcast(emitted_before: int) -> None:
    """It holds the others up until it asks; then everything goes on, in order, for all."""
    producer = StageHarness(Idle, dispatcher="broadcast")
    producer.subscribe(1, "one")
    producer.ask(1, 100)
    producer.cast(list(range(emitted_before)))
    producer.subscribe(2, "late")
    producer.cast(list(range(emitted_before, 6)))
    assert flat(producer.events(1)) == list(range(emitted_before))
    for _ in range(emitted_before, 6):
        producer.ask(2, 1)
    assert flat(producer.events(1)) == list(range(6))
    assert flat(producer.events(2)) == list(range(emitted_before, 6))


@pytest.mark.parametrize("left", ["cancelled", "killed", "restarting"])
def test_s103_a_partitions_successor_receives_the_queue(left: str) -> None:
    """However the consumer left, and what it had not finished comes first."""
    producer = partitioned()
    producer.subscribe(1, "zero", partition=0)
    producer.subscribe(2, "one", partition=1)
    producer.ask(1, 2)
    producer.ask(2, 20)
    producer.cast([0, 3, 6, 9, 1, 4])
    assert flat(producer.events(1)) == [0, 3]
    if left == "cancelled":
        producer.unsubscribe(1)
        producer.hang_up(1)
    else:
        producer.hang_up(1)
        producer.down("zero", restarting=left == "restarting")
    producer.cast([12, 7])
    assert flat(producer.events(2)) == [1, 4, 7]
    warned = ("warning", "nobody has the partition of events that wait")
    expected = [] if left == "restarting" else [warned]
    assert [(line.level, line.event) for line in producer.log if line.level != "debug"] == expected
    producer.subscribe(3, "zero/0#2", partition=0)
    producer.ask(3, 20)
    assert flat(producer.events(3)) == [0, 3, 6, 9, 12]
    assert (producer.counters["discarded"], producer.counters["lost"]) == (0, 0)


def test_s103_with_the_drop_policy_everything_is_counted_and_logged() -> None:
    """What waited and what comes is discarded, what it had in hand is lost; the others flow."""
    producer = partitioned(when_unassigned="drop")
    producer.subscribe(1, "zero", partition=0)
    producer.subscribe(2, "one", partition=1)
    producer.ask(1, 2)
    producer.ask(2, 20)
    producer.cast([0, 3, 6, 9, 1])
    producer.hang_up(1)
    producer.down("zero")
    assert producer.calls("handle_discarded") == [([6, 9],)]
    producer.cast([12, 4, 15, 7])
    assert producer.calls("handle_discarded") == [([6, 9],), ([12, 15],)]
    assert flat(producer.events(2)) == [1, 4, 7]
    counters = producer.counters
    assert (counters["discarded"], counters["lost"], counters["redelivered"]) == (4, 2, 0)
    assert [(line.level, line.event) for line in producer.log] == [
        ("warning", "a consumer has left with events that nobody else gets"),
        ("warning", "nobody has their partition, events are discarded"),
    ]
    producer.subscribe(3, "zero/0#2", partition=0)
    producer.ask(3, 20)
    producer.cast([18])
    assert flat(producer.events(3)) == [18]


def test_s103_with_the_drop_policy_a_producer_can_finish() -> None:
    """Nothing waits for a consumer that will never come."""
    producer = partitioned(when_unassigned="drop")
    producer.subscribe(1, "zero", partition=0)
    producer.subscribe(2, "one", partition=1)
    producer.ask(2, 20)
    producer.cast([0, 3, 1])
    producer.finish()
    assert producer.exiting is None
    producer.unsubscribe(1)
    producer.acknowledge(2)
    assert producer.exiting is not None
    assert producer.exiting.reason == "done"


@pytest.mark.parametrize("policy", ["hold", "drop"])
def test_s104_an_event_of_no_partition_is_credited(policy: str) -> None:
    """A source that emits exactly what it is asked for goes on, whatever is dropped."""
    producer = partitioned(Counter, when_unassigned=policy)
    producer.subscribe(1, "zero", partition=0)
    producer.subscribe(2, "one", partition=1)
    producer.ask(1, 4)
    producer.ask(2, 4)
    assert flat(producer.events(1))[:3] == [0, 3, 6]
    assert flat(producer.events(2))[:3] == [1, 4, 7]
    assert not producer.counters["discarded"]


@pytest.mark.parametrize(
    ("dispatcher", "good", "bad"),
    [
        ("demand", {}, {"max_demand": 0}),
        ("demand", {}, {"min_demand": -1, "max_demand": 5}),
        ("demand", {}, {"cancel": "sometimes"}),
        ("broadcast", {}, {"selector": "nowhere:nothing"}),
        ("broadcast", {}, {"selector": ["a", "list"]}),
        ("partition", {"partition": 0}, {}),
        ("partition", {"partition": 0}, {"partition": 0}),
        ("partition", {"partition": 0}, {"partition": 2}),
        ("partition", {"partition": 0}, {"partition": None}),
        ("partition", {"partition": 0}, {"partition": ["a", ["b"]]}),
    ],
)
def test_s105_b05_others_flow_whatever_one_subscribes_with(
    dispatcher: str, good: dict[str, Any], bad: dict[str, Any]
) -> None:
    """Under way, not only at the start: the others get what they ask for before and after."""
    producer = (
        partitioned(Counter, by="first")
        if dispatcher == "partition"
        else StageHarness(Counter, dispatcher=dispatcher)
    )
    producer.subscribe(1, "good", **good)
    producer.ask(1, 3)
    before = len(flat(producer.events(1)))
    for ref in range(2, 7):
        producer.subscribe(ref, f"bad{ref}", **bad)
        producer.ask(ref, 5)
        assert producer.eos_reasons(ref)[0][0] == "bad_option"
        assert producer.eos_reasons(ref)[1:] == ["unknown_subscription"]
    producer.ask(1, 3)
    assert (before, len(flat(producer.events(1)))) == (3, 6)
    assert producer.exiting is None


def test_s105_a_selector_that_raises_ends_its_own_subscription() -> None:
    """With a reason that names selector, exception and event; the others get everything."""
    producer = StageHarness(Counter, dispatcher="broadcast")
    producer.subscribe(1, "good")
    producer.subscribe(2, "bad", selector=f"{__name__}:fails_at_seven")
    for ref in (1, 2):
        producer.ask(ref, 5)
    assert flat(producer.events(1)) == [0, 1, 2, 3, 4]
    for ref in (1, 2):
        producer.ask(ref, 5)
    ((reason, detail),) = producer.eos_reasons(2)
    assert reason == "bad_selector"
    assert detail == "the selector raised ValueError: seven for the event 7"
    assert ("cancel", [reason, detail]) in [args[0] for args in producer.calls("handle_cancel")]
    producer.ask(1, 5)
    assert flat(producer.events(1)) == list(range(15))
    assert producer.exiting is None


def test_s105_a_selector_that_raises_over_the_buffer() -> None:
    """What was buffered leaves in order, and everything that was emitted behind it."""
    producer = StageHarness(Idle, dispatcher="broadcast")
    producer.subscribe(1, "good")
    producer.subscribe(2, "bad", selector=f"{__name__}:fails_at_seven")
    producer.ask(1, 20)
    producer.cast([5, 6, 7, 8])
    producer.cast([9])
    assert producer.events(1) == []
    producer.ask(2, 20)
    producer.cast([10])
    assert flat(producer.events(1)) == [5, 6, 7, 8, 9, 10]
    assert producer.events(2) == []
    assert producer.counters["buffered"] == 0


def test_s105_a_partition_function_that_raises_ends_the_producer() -> None:
    """It is the producer's own code: the error names the event and the partitions."""
    producer = partitioned(by="fails_at_seven")
    producer.subscribe(1, "zero", partition=0)
    producer.ask(1, 20)
    producer.cast([4, 7])
    assert isinstance(producer.error, PartitionError)
    assert str(producer.error) == (
        "for the event 7 the partition function raised ValueError: seven; it must return one of"
        " 0, 1, or None to drop the event"
    )
    assert producer.events(1) == []


def test_s105_whoever_catches_a_partition_error_has_not_emitted() -> None:
    """As with an event that cannot be encoded, the stage may go on without it."""

    class Careful(Idle):
        def handle_cast(self, message: list[Any]) -> Any:
            try:
                self.emit(message)
            except PartitionError:
                self.emit([event for event in message if event != 7])

    producer = partitioned(Careful, by="fails_at_seven")
    producer.subscribe(1, "zero", partition=0)
    producer.subscribe(2, "one", partition=1)
    for ref in (1, 2):
        producer.ask(ref, 3)
    producer.cast([4, 7, 9])
    assert (producer.events(1), producer.events(2)) == ([[4]], [[9]])
    assert producer.exiting is None


@pytest.mark.parametrize("chunk", [None, 1, 3])
def test_s106_shuffling_with_consumers_without_demand(chunk: int | None) -> None:
    """1000 seeds: with any, those with demand get everything, whoever has none is passed over."""
    for seed in seeds(1000):
        dispatcher = DemandDispatcher(
            shuffle_demands_on_first_dispatch=True, seed=seed, chunk=chunk
        )
        for ref in range(1, 7):
            dispatcher.subscribe(ref, f"{ref}/0", {})
        for ref in (2, 5):
            dispatcher.ask(ref, 4)
        dispatched = dispatcher.dispatch(list(range(8)), 0)
        assert dispatched.leftover == 0
        got: dict[int, list[int]] = {}
        for each in dispatched.deliveries:
            got.setdefault(each.ref, []).extend(each.events)
        assert {ref: len(events) for ref, events in got.items()} == {2: 4, 5: 4}
        assert all(events == sorted(events) for events in got.values())


def test_b23_a_small_input_is_dealt_to_all() -> None:
    """With `chunk`, ten events go to five consumers although each asked for a thousand."""
    producer = StageHarness(Idle, dispatcher={"demand": {"chunk": 2}})
    for ref in range(1, 6):
        producer.subscribe(ref, f"c{ref}")
        producer.ask(ref, 1000)
    producer.cast(list(range(10)))
    assert [producer.events(ref) for ref in range(1, 6)] == [
        [[0, 1]],
        [[2, 3]],
        [[4, 5]],
        [[6, 7]],
        [[8, 9]],
    ]


@pytest.mark.parametrize("comes_back", [True, False])
def test_b21_what_only_a_lost_broadcast_consumer_was_to_have_is_lost(comes_back: bool) -> None:
    """Redelivered counts what somebody gets again, lost what nobody does; the log says so."""
    producer = StageHarness(Idle, dispatcher="broadcast")
    for ref, name in ((1, "one"), (2, "two")):
        producer.subscribe(ref, name)
        producer.ask(ref, 5)
    producer.cast(["a", "b", "c"])
    producer.hang_up(1)
    producer.down("one", restarting=comes_back)
    counters = producer.counters
    assert (counters["redelivered"], counters["lost"]) == ((3, 0) if comes_back else (0, 3))
    assert len(producer.log) == (not comes_back)
    if comes_back:
        # The successor dies before it had anything, and none follows: now they are lost.
        producer.down("one/0#2")
        assert producer.counters["lost"] == 3
    producer.cast(["d"])
    assert flat(producer.events(2)) == ["a", "b", "c", "d"]


@pytest.mark.parametrize("value", [len, lambda event: True, object(), {1, 2}, 2**70])
def test_a23_an_option_that_cannot_travel_is_refused_at_the_call(value: Any) -> None:
    """A callable, or anything else that is no plain data, fails where it is passed."""
    with pytest.raises(OptionError, match="selector must be plain data") as caught:
        SubscriptionOptions(extra={"selector": value})
    assert caught.value.option == "selector"
    if callable(value):
        assert "a function is given as 'module:name'" in str(caught.value)


def test_b03_the_default_is_to_hold() -> None:
    """Nothing is dropped unless it is asked for."""
    assert not PartitionDispatcher(partitions=1).discards
