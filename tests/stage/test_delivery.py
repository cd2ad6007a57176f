"""at_least_once: what a consumer had not finished is dispatched again, and only that."""

from __future__ import annotations

import pytest

from actorflow.stage.link_counters import named_half
from actorflow.testing.harness import StageHarness
from tests.conformance.helpers.stages import Counter, Idle
from tests.stage.senders import flat, producer_with

# --- a consumer that dies -------------------------------------------------------------------------


@pytest.mark.parametrize("restarting", [False, True])
def test_another_consumer_gets_what_a_dead_one_had_not_finished(restarting: bool) -> None:
    """Only what was not acknowledged, in order, before anything newer."""
    producer = producer_with(["a"], ["b", "c"], ["d"])
    producer.acknowledge(1, 1)
    producer.hang_up(1)
    producer.cast(["e"])
    producer.subscribe(2, "two")
    producer.ask(2, 100)
    assert flat(producer.events(2)) == ["e"]

    producer.down("one", restarting=restarting)
    assert flat(producer.events(2)) == ["e", "b", "c", "d"]
    assert producer.counters["redelivered"] == 3
    assert producer.counters["unacknowledged"] == 4


def test_what_comes_back_precedes_what_is_buffered() -> None:
    """With nobody there in the meantime, a later consumer gets everything in order of emission."""
    producer = producer_with(["a"], ["b", "c"])
    producer.hang_up(1)
    producer.cast(["d"])
    producer.down("one")
    producer.cast(["e"])
    producer.subscribe(2, "two")
    producer.ask(2, 100)
    assert flat(producer.events(2)) == ["a", "b", "c", "d", "e"]


def test_the_successor_of_a_dead_consumer_takes_over() -> None:
    """Under a new ref and with new sequence numbers the successor gets what was not finished."""
    producer = producer_with(["a"], ["b"])
    producer.acknowledge(1, 1)
    producer.down("one#1", restarting=True)
    producer.subscribe(2, "one#2")
    producer.ask(2, 10)
    assert producer.events(2) == [["b"]]
    assert [batch.seq for batch in producer.batches(2)] == [1]
    assert [peer["ref"] for peer in producer.status()["producing"]["consumers"]] == [2]


def test_nothing_is_given_to_others_before_the_verdict() -> None:
    """The end of a link alone is no verdict: nothing is sent again while it is open."""
    producer = producer_with(["a"])
    producer.subscribe(2, "two")
    producer.ask(2, 10)
    producer.hang_up(1)
    assert producer.events(2) == []


def test_three_lives_of_one_consumer() -> None:
    """Each successor that dies leaves what it had not finished to the next."""
    producer = producer_with(["a"], ["b"], ["c"], ["d"])
    for life in (2, 3, 4):
        producer.down(f"one#{life - 1}", restarting=True)
        producer.subscribe(life, f"one#{life}")
        producer.ask(life, 1)
        producer.ask(life, 1)
        producer.acknowledge(life, 1)
    assert [producer.events(life) for life in (2, 3, 4)] == [
        [["a"], ["b"]],
        [["b"], ["c"]],
        [["c"], ["d"]],
    ]
    assert producer.counters["unacknowledged"] == 1


def test_two_subscriptions_of_one_consumer_are_both_succeeded() -> None:
    """A consumer that had two subscriptions and comes back with two leaves no place behind."""
    producer = producer_with(["a"])
    producer.subscribe(2, "one")
    producer.autorun = False
    producer.down("one#1", restarting=True)
    producer.subscribe(3, "one#2")
    producer.subscribe(4, "one#2")
    producer.run()
    producer.autorun = True
    producer.ask(3, 10)
    producer.acknowledge(3)
    states = {peer["ref"]: peer["state"] for peer in producer.status()["producing"]["consumers"]}
    assert states == {3: "active", 4: "active"}
    producer.finish()
    assert producer.exiting is not None


def test_a_full_buffer_drops_nothing_that_came_back() -> None:
    """A small buffer never costs what at_least_once has promised."""
    producer = producer_with(["a"], ["b"], ["c"], buffer_size=1)
    producer.down("one")
    producer.cast(["d"])
    producer.cast(["e"])
    assert producer.calls("handle_discarded") == [(["d"],)]
    producer.subscribe(2, "two")
    producer.ask(2, 10)
    assert flat(producer.events(2)) == ["a", "b", "c", "e"]


def test_a_thousand_unfinished_batches_come_back_quickly() -> None:
    """Giving back is linear in the number of batches."""
    producer = StageHarness(Idle)
    producer.subscribe(1, "one")
    producer.ask(1, 20_000)
    producer.autorun = False
    half = producer.machine.producing
    assert half is not None
    for number in range(20_000):
        half.emit([number])
    producer.run()
    producer.autorun = True
    producer.down("one")
    producer.subscribe(2, "two")
    producer.ask(2, 20_000)
    assert flat(producer.events(2)) == list(range(20_000))


# --- a consumer that leaves -----------------------------------------------------------------------


def test_a_consumer_that_cancels_may_still_finish_what_it_has() -> None:
    """After the end of a subscription acknowledgements count, until the link is at its end."""
    producer = producer_with(["a"], ["b"])
    producer.unsubscribe(1)
    assert producer.eos_reasons(1) == ["normal"]
    producer.subscribe(2, "two")
    producer.ask(2, 10)
    producer.acknowledge(1, 1)
    assert producer.events(2) == []
    producer.hang_up(1)
    assert producer.events(2) == [["b"]]


def test_an_acknowledgement_of_what_was_never_sent() -> None:
    """It ends that subscription with its reason, and the others go on."""
    producer = producer_with(["a"])
    producer.ask(1, 1, acked=7)
    assert producer.eos_reasons(1) == [["bad_acknowledgement", "batch 7 acknowledged of 1"]]
    producer.hang_up(1)
    producer.subscribe(2, "two")
    producer.ask(2, 10)
    assert producer.events(2) == [["a"]]


def test_at_most_once_keeps_nothing() -> None:
    """GenStage's behaviour: what a dead consumer had is gone."""
    producer = producer_with(["a"], ["b"], delivery="at_most_once")
    assert producer.counters["unacknowledged"] == 0
    producer.down("one")
    producer.subscribe(2, "two")
    producer.ask(2, 10)
    producer.cast(["c"])
    assert producer.events(2) == [["c"]]
    producer.acknowledge(2, 1)
    producer.finish()
    assert producer.eos_reasons(2) == ["done"]


@pytest.mark.parametrize("restarting", [True, False])
def test_what_at_most_once_loses_is_counted_and_said(restarting: bool) -> None:
    """All that the dead consumer had not called finished, whether it comes back or not."""
    producer = producer_with(["a"], ["b", "c"], ["d"], delivery="at_most_once")
    producer.acknowledge(1, 1)
    producer.hang_up(1)
    producer.down("one", restarting=restarting)
    assert producer.counters["lost"] == 3
    assert named_half(producer.link_slots[1])["lost"] == 3
    said = [line for line in producer.log if "nobody else gets" in line.event]
    assert [line.values["lost"] for line in said] == [3]


# --- dispatchers with places ----------------------------------------------------------------------


def broadcast() -> StageHarness:
    """A broadcast that sent two batches to two consumers, of which the second finished one."""
    producer = StageHarness(Idle, dispatcher="broadcast")
    for ref, name in ((1, "one"), (2, "two")):
        producer.subscribe(ref, name)
        producer.ask(ref, 10)
    producer.cast(["a"])
    producer.cast(["b"])
    producer.acknowledge(2, 1)
    return producer


def test_a_successor_in_a_broadcast_gets_its_predecessors_part() -> None:
    """It gets what its predecessor had not finished, nobody else does, and nobody gets ahead."""
    producer = broadcast()
    producer.down("two#1", restarting=True)
    producer.cast(["c"])
    assert flat(producer.events(1)) == ["a", "b"]
    producer.subscribe(3, "two#2")
    producer.ask(3, 10)
    assert flat(producer.events(3)) == ["b", "c"]
    assert flat(producer.events(1)) == ["a", "b", "c"]


def test_a_broadcast_goes_on_without_a_consumer_that_does_not_come_back() -> None:
    """What it had not finished the others have had; they wait no longer."""
    producer = broadcast()
    producer.hang_up(2)
    producer.cast(["c"])
    assert flat(producer.events(1)) == ["a", "b"]
    producer.down("two#1")
    assert flat(producer.events(1)) == ["a", "b", "c"]
    producer.acknowledge(1)
    producer.finish()
    assert producer.exiting is not None


def test_a_broadcast_waits_for_the_consumers_that_are_declared() -> None:
    """None of them misses the first events because it took longer to start."""
    producer = StageHarness(Counter, dispatcher="broadcast")
    producer.expect(consumers=["one/0", "two/0", "three/0"])
    producer.subscribe(1, "one")
    producer.ask(1, 2)
    producer.subscribe(2, "two")
    producer.ask(2, 2)
    assert producer.events(1) == []
    producer.down("three")
    assert producer.events(1) == producer.events(2) == [[0, 1]]


def by_first(event: str) -> str:
    """A partition function: the event begins with its partition."""
    return event[0]


PARTITION = {"partition": {"partitions": ["a", "b"], "by": f"{__name__}:by_first"}}


def test_a_successor_in_a_partition_gets_its_queue() -> None:
    """First what its predecessor had not finished, then what waited, and only of its partition."""
    producer = StageHarness(Idle, dispatcher=PARTITION)
    producer.subscribe(1, "one", partition="a")
    producer.subscribe(2, "two", partition="b")
    producer.ask(1, 2)
    producer.ask(2, 9)
    producer.cast(["a1", "a2", "a3", "b1"])
    assert flat(producer.events(1)) == ["a1", "a2"]
    producer.down("one#1", restarting=True)
    producer.cast(["a4", "b2"])
    producer.subscribe(3, "one#2", partition="a")
    producer.ask(3, 9)
    assert flat(producer.events(3)) == ["a1", "a2", "a3", "a4"]
    assert flat(producer.events(2)) == ["b1", "b2"]
