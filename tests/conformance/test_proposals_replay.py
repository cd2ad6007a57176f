"""Section 6, pain 36: the last N events of a broadcast, replayed to late subscribers."""

from __future__ import annotations

import threading
from random import Random
from typing import Any

import pytest

from actorflow import (
    BroadcastDispatcher,
    ChildSpec,
    EventNotEncodable,
    OptionError,
    StageId,
    StageOptions,
    StageSpec,
    Subscription,
    SubscriptionOptions,
    Topology,
)
from actorflow.dispatch.build import build_dispatcher
from actorflow.supervision import operations
from actorflow.testing import Faults, Simulation, fault_point
from actorflow.testing.harness import StageHarness
from actorflow.testing.topologies import Numbers, Sink
from tests.conformance.helpers.stages import Idle, Same
from tests.seeds import few


def flat(batches: list[list[Any]]) -> list[Any]:
    """All events of some batches."""
    return [event for batch in batches for event in batch]


class Feed(Idle):
    """Emits what it is cast, and notifies of what it is called with."""

    def handle_call(self, request: Any, sender: Any) -> None:
        self.notify(request)


def feed(replay: int, **options: Any) -> StageHarness:
    """A broadcast with one consumer, on link 1, that wants whatever comes."""
    producer = StageHarness(Feed, dispatcher={"broadcast": {"replay": replay}}, **options)
    producer.subscribe(1, "early")
    producer.ask(1, 1000)
    return producer


@pytest.mark.parametrize("replay", [0, 1, 3, 7, 10, 99])
@pytest.mark.parametrize("batches", [[7], [1] * 7, [3, 4], [6, 1]])
def test_pain_36_a_late_subscriber_gets_the_last_events(replay: int, batches: list[int]) -> None:
    """As many as are asked for and were sent, then what is new; the others get nothing twice."""
    producer = feed(replay)
    start = 0
    for count in batches:
        producer.cast(list(range(start, start + count)))
        start += count
    producer.subscribe(2, "late")
    producer.ask(2, 100)
    producer.cast([7, 8])
    first = 7 - min(7, replay)
    assert flat(producer.events(2)) == list(range(first, 9))
    assert flat(producer.events(1)) == list(range(9))
    assert producer.counters["replayed"] == 7 - first
    assert producer.status()["producing"]["buffered"] == 0


def test_pain_36_replay_obeys_the_newcomers_demand() -> None:
    """It gets no more than it asks for, before anything newer; until then the others wait."""
    producer = feed(4)
    producer.cast([1, 2, 3, 4])
    producer.subscribe(2, "late")
    assert producer.events(2) == []
    producer.ask(2, 3)
    assert producer.events(2) == [[1, 2, 3]]
    producer.cast([5])
    assert flat(producer.events(1)) == [1, 2, 3, 4]
    producer.ask(2, 1)
    assert producer.events(2) == [[1, 2, 3], [4]]
    producer.ask(2, 1)
    assert producer.events(2)[2:] == [[5]]
    assert flat(producer.events(1)) == [1, 2, 3, 4, 5]


def test_pain_36_an_ask_that_comes_before_the_subscription_is_agreed() -> None:
    """It is served from the replay first, too."""
    producer = feed(4)
    producer.cast([1, 2, 3])
    producer.autorun = False
    producer.subscribe(2, "late")
    producer.ask(2, 2)
    producer.run()
    assert producer.events(2) == [[1, 2]]


def test_pain_36_the_selector_decides_here_too() -> None:
    """What the newcomer's selector turns down is not replayed, and costs it no demand."""
    producer = feed(4)
    producer.cast([0, 7, 0, 8, 9])
    producer.subscribe(2, "late", selector="operator:truth")
    producer.ask(2, 9)
    assert producer.events(2) == [[7, 8, 9]]
    assert producer.counters["replayed"] == 3


def test_pain_36_a_selector_that_raises_ends_the_newcomer_alone() -> None:
    """Its subscription ends with the reason; the producer and the others go on."""
    producer = feed(4)
    producer.cast(["a"])
    producer.subscribe(2, "late", selector="operator:neg")
    producer.ask(2, 9)
    ((name, detail), *_) = producer.eos_reasons(2)
    assert name == "bad_selector"
    assert "TypeError" in detail
    producer.cast(["b"])
    assert flat(producer.events(1)) == ["a", "b"]
    assert producer.counters["replayed"] == 0


def test_pain_36_notifications_keep_their_place() -> None:
    """What is said now comes behind what is replayed."""
    producer = feed(4)
    producer.cast([1, 2])
    producer.subscribe(2, "late")
    producer.call("hello")
    producer.ask(2, 1)
    producer.ask(2, 1)
    kinds = [type(message).__name__ for message in producer.sent(2)]
    assert kinds == ["Route", "Route", "Notify"]


class OwnBroadcast(BroadcastDispatcher):
    """Somebody's own dispatcher, which is guarded."""


def test_pain_36_a_dispatcher_of_ones_own_may_replay() -> None:
    """One that has a memory, and says what a newcomer gets of it."""
    producer = StageHarness(Feed, dispatcher=OwnBroadcast(replay=2))
    producer.subscribe(1, "early")
    producer.ask(1, 10)
    producer.cast([1, 2, 3])
    producer.subscribe(2, "late")
    producer.ask(2, 10)
    assert producer.events(2) == [[2, 3]]


def test_pain_36_the_guard_checks_what_it_says() -> None:
    """A number, from 0; anything else ends the stage with the rule that it broke."""

    class Odd(OwnBroadcast):
        def catch_up(self, ref: int, position: int) -> Any:
            return "many"

    producer = StageHarness(Feed, dispatcher=Odd(replay=2))
    producer.subscribe(1, "early")
    assert "catch_up returns a number from 0" in str(producer.error)


# --- who is no newcomer ---------------------------------------------------------------------------


def test_pain_36_a_restarted_consumer_is_no_newcomer() -> None:
    """Its successor gets what it had not finished, and nothing else again."""
    producer = feed(4)
    producer.cast([1, 2])
    producer.cast([3])
    producer.acknowledge(1, 1)
    producer.down("early#1", restarting=True)
    producer.subscribe(2, "early#2")
    producer.ask(2, 100)
    assert flat(producer.events(2)) == [3]
    assert producer.counters["replayed"] == 0


def test_pain_36_a_changed_subscription_is_no_newcomer() -> None:
    """One that takes the place of another goes on where that was."""
    producer = feed(4)
    producer.cast([1, 2])
    producer.acknowledge(1)
    producer.subscribe(2, "early", replaces=1, reason="again")
    producer.ask(2, 100)
    producer.cast([3])
    assert flat(producer.events(2)) == [3]


# --- acknowledgement and redelivery ---------------------------------------------------------------


def test_pain_36_a_newcomer_that_is_killed_has_them_delivered_again() -> None:
    """What it had not finished of the replay goes to its successor, and is counted."""
    producer = feed(4)
    producer.cast([1, 2, 3])
    producer.acknowledge(1)
    producer.subscribe(2, "late#1")
    producer.ask(2, 2)
    assert producer.counters["unacknowledged"] == 2
    producer.down("late#1", restarting=True)
    producer.subscribe(3, "late#2")
    producer.ask(3, 100)
    assert flat(producer.events(3)) == [1, 2, 3]
    assert producer.counters["redelivered"] == 2
    producer.acknowledge(3)
    assert producer.counters["unacknowledged"] == 0


def test_pain_36_a_newcomer_that_leaves_holds_nobody_up() -> None:
    """The others have had those events; nothing of the replay stays behind."""
    producer = feed(4)
    producer.cast([1, 2, 3])
    producer.acknowledge(1)
    producer.subscribe(2, "late")
    producer.ask(2, 1)
    producer.cast([4])
    producer.down("late")
    assert flat(producer.events(1)) == [1, 2, 3, 4]
    producer.acknowledge(1)
    producer.finish()
    assert producer.exiting is not None


def test_pain_36_the_end_waits_for_a_newcomer_that_is_catching_up() -> None:
    """It is told done when it has had and finished everything."""
    producer = feed(4)
    producer.cast([1, 2, 3])
    producer.subscribe(2, "late")
    producer.finish()
    producer.acknowledge(1)
    assert producer.exiting is None
    producer.ask(2, 10)
    producer.acknowledge(2)
    assert flat(producer.events(2)) == [1, 2, 3]
    assert producer.eos_reasons(2) == ["done"]
    assert producer.exiting is not None


def test_pain_36_replayed_outputs_hold_no_input_up() -> None:
    """The inputs they were made from are finished, and stay so; new ones wait for their own."""
    middle = StageHarness(Same, dispatcher={"broadcast": {"replay": 2}})
    middle.link_to_producer(7, max_demand=100, min_demand=0)
    middle.subscribe(1, "early")
    middle.ask(1, 100)
    middle.route(7, ["a", "b"])
    middle.acknowledge(1)
    middle.advance(1)
    assert middle.acked(7) == 1
    middle.route(7, ["c"])
    middle.subscribe(2, "late")
    middle.ask(2, 100)
    assert flat(middle.events(2)) == ["b", "c"]
    half = middle.machine.producing
    assert half is not None
    assert half.lowest_unfinished == 2
    middle.acknowledge(1)
    middle.advance(1)
    assert middle.acked(7) == 2


# --- nobody there, nothing to send ----------------------------------------------------------------


def test_pain_36_with_discard_a_newcomer_knows_the_last_of_it() -> None:
    """What nobody heard is counted as discarded, and still replayed."""
    dispatcher = {"broadcast": {"replay": 1}}
    producer = StageHarness(Feed, dispatcher=dispatcher, when_no_consumers="discard")
    producer.cast([1, 2])
    producer.cast([3])
    producer.subscribe(1, "first")
    producer.ask(1, 10)
    assert flat(producer.events(1)) == [3]
    assert producer.counters["discarded"] == 3
    assert producer.counters["replayed"] == 1


def test_pain_36_what_could_not_be_sent_is_not_remembered() -> None:
    """A stage that catches the error goes on as if it had not emitted."""

    class Careful(Feed):
        def handle_cast(self, message: Any) -> None:
            try:
                self.emit(message or [threading.Lock()])
            except EventNotEncodable:
                self.log.info("caught")

    producer = StageHarness(Careful, dispatcher={"broadcast": {"replay": 2}})
    producer.subscribe(1, "early")
    producer.ask(1, 10)
    producer.cast([1, 2])
    producer.cast([])
    producer.subscribe(2, "late")
    producer.ask(2, 10)
    assert producer.error is None
    assert flat(producer.events(2)) == [1, 2]


@pytest.mark.parametrize("value", [-1, 1.5, "3", True, None])
def test_pain_36_a_bad_number_is_refused(value: Any) -> None:
    """By name, rule and value."""
    with pytest.raises(OptionError, match="replay must be an integer of at least 0"):
        BroadcastDispatcher(replay=value)


@pytest.mark.parametrize("dispatcher", ["demand", "partition"])
def test_pain_36_only_a_broadcast_replays(dispatcher: str) -> None:
    """Elsewhere each event has gone to one consumer, and would be done twice."""
    with pytest.raises(OptionError, match="replay"):
        build_dispatcher({dispatcher: {"replay": 3}})
    with pytest.raises(Exception, match="replay"):
        Topology("run").stage("feed", Feed, dispatcher={dispatcher: {"replay": 3}}).plan()


# --- late joins and kills, in the simulator -------------------------------------------------------


class LateSink(Sink):
    """May be killed with a batch in hand."""

    def handle_events(self, events: list[int], subscription: Subscription) -> None:
        super().handle_events(events, subscription)
        fault_point("taken")


@pytest.mark.parametrize("first", range(0, 100, 50))
def test_pain_36_late_joins_under_crashes(first: int) -> None:
    """Each newcomer gets the end of the sequence without a gap, whoever of the sinks is killed."""
    for seed in few(range(first, first + 50)):
        _join_late(seed)


def _join_late(seed: int) -> None:
    random = Random(seed)
    replay = random.randint(0, 6)
    topology = (
        Topology("feed")
        .stage(
            "numbers",
            Numbers,
            args={"first": 0, "count": 40, "answer": random.choice(("exact", "more", "ticks"))},
            dispatcher={"broadcast": {"replay": replay}},
            buffer_size=None,
        )
        .stage("early", Sink, subscribe_to=[{"to": "numbers", "max_demand": 3}])
    )
    faults = Faults(
        crashes=random.choice((0, 1)),
        within=600,
        stages=("early",),
        points={"taken": random.randint(1, 9)} if random.random() < 0.5 else {},
    )
    simulation = Simulation(topology, seed=seed, faults=faults, laws=True)
    handled = random.randint(1, 30)
    simulation.run_until(lambda: len(simulation.history) >= handled // 3)
    before = {event for each in simulation.history for event in each.events}
    if simulation.over:
        return
    late = StageSpec(id=StageId("late"), behaviour=LateSink, options=StageOptions())
    operations.start_child(simulation.core, ChildSpec(stage=late, restart="transient"))
    demand = SubscriptionOptions(max_demand=random.randint(1, 5), cancel="permanent")
    operations.subscribe(simulation.core, "late", "numbers", demand)
    run = simulation.finish(check=False)
    if run.status != "done":
        return
    assert set(run.handled("early")) == set(range(40))
    got = set(run.handled("late"))
    # Whatever it got goes on to the end without a gap, and begins no later than it came.
    assert not got or got == set(range(min(got), 40))
    if got and replay == 0:
        assert min(got) >= len(before) - 3
