"""The word that nothing more comes: before the end, and before everything is acknowledged."""

from __future__ import annotations

from typing import Any

import pytest

from actorflow import (
    LATER,
    Consumer,
    Defaults,
    Producer,
    ProducerConsumer,
    SubscribeTo,
    Topology,
)
from actorflow.protocol.messages import RouteLast
from actorflow.stages.batcher import BatcherStage, Size
from actorflow.stages.sources import Items
from actorflow.testing import Faults, StageHarness, simulate
from tests.seeds import seeds


class Held(ProducerConsumer):
    """Holds every event back until it is told that nothing more comes."""

    finishes_later = True

    def on_start(self) -> None:
        """Nothing is held."""
        self.held: list[Any] = []
        self.flushed = 0

    def handle_events(self, events: list[Any], subscription: Any) -> Any:
        """Hold them."""
        self.held.append((self.later(), events))
        return LATER

    def on_flush(self) -> None:
        """Let go."""
        self.flushed += 1
        held, self.held = self.held, []
        self.emit([event for _, events in held for event in events])
        for batch, _ in held:
            batch.finished()


class Finite(Producer):
    """Three events, then the end."""

    def handle_demand(self, demand: int) -> list[int]:
        """All at once."""
        self.finish()
        return [1, 2, 3]


class Same(ProducerConsumer):
    """Hands on what it gets."""

    def handle_events(self, events: list[Any], subscription: Any) -> list[Any]:
        """The same."""
        return events


class Collected(Consumer):
    """Keeps what it gets."""

    def __init__(self) -> None:
        self.got: list[Any] = []

    def handle_events(self, events: list[Any], subscription: Any) -> None:
        """Keep it."""
        self.got += events
        self.set_result(self.got)


def lasts(harness: StageHarness, ref: int) -> int:
    """How often a consumer was told that all is sent."""
    return sum(isinstance(each, RouteLast) for each in harness.sent(ref))


def between(*producers: int) -> StageHarness:
    """`Held` between producers and the consumer 9, which the test plays."""
    harness = StageHarness(Held)
    for ref in producers:
        harness.link_to_producer(ref, f"source{ref}", max_demand=10)
    harness.subscribe(9, "sink", wants_last=True)
    harness.ask(9, 100)
    return harness


def test_a_producer_says_it_once_to_those_who_want_to_know() -> None:
    """When it has finished, and waits for nothing but acknowledgements."""
    harness = StageHarness(Finite)
    harness.subscribe(1, "wants", wants_last=True)
    harness.subscribe(2, "does not")
    harness.ask(1, 3)
    harness.ask(2, 3)
    assert (lasts(harness, 1), lasts(harness, 2)) == (1, 0)
    assert harness.eos_reasons(1) == []
    harness.acknowledge(1)
    assert lasts(harness, 1) == 1
    assert harness.eos_reasons(1) == ["done"]


def test_one_that_never_kept_anything_says_the_end_at_once() -> None:
    """Under `at_most_once` there is nothing to wait for in between."""
    harness = StageHarness(Finite, delivery="at_most_once")
    harness.subscribe(1, "wants", wants_last=True)
    harness.ask(1, 3)
    assert lasts(harness, 1) == 0
    assert harness.eos_reasons(1) == ["done"]


def test_a_stage_is_told_when_every_producer_has_said_so() -> None:
    """One is not enough; what it lets go of is handed on, and so is the word."""
    harness = between(1, 2)
    harness.route(1, ["a"])
    harness.route(2, ["b"])
    harness.last(1)
    assert harness.behaviour.flushed == 0
    assert lasts(harness, 9) == 0
    harness.last(2)
    assert harness.behaviour.flushed == 1
    assert harness.events(9) == [["a", "b"]]
    assert lasts(harness, 9) == 1


def test_the_end_of_one_stream_is_as_good_as_the_word() -> None:
    """A producer whose events were all acknowledged ends without it."""
    harness = between(1, 2)
    harness.route(1, ["a"])
    harness.last(1)
    harness.eos(2)
    assert harness.behaviour.flushed == 1


def test_it_is_told_too_when_every_stream_ends_without_the_word() -> None:
    """As under `at_most_once`, where nothing is acknowledged."""
    harness = between(1)
    harness.route(1, ["a"])
    harness.eos(1)
    assert harness.events(9) == [["a"]]
    harness.acknowledge(9)
    assert harness.exiting is not None


def test_a_producer_that_is_expected_still_is_waited_for() -> None:
    """A stream that has not begun may bring more."""
    harness = between(1)
    harness.expect("source1/0", "source2/0")
    harness.route(1, ["a"])
    harness.last(1)
    assert harness.behaviour.flushed == 0
    harness.link_to_producer(2, "source2", max_demand=10)
    harness.last(2)
    assert harness.behaviour.flushed == 1


def test_more_may_come_all_the_same() -> None:
    """What another consumer had in hand when it died: then the word is not true any more."""
    harness = between(1)
    harness.route(1, ["a"])
    harness.last(1)
    harness.route(1, ["b"])
    assert harness.behaviour.flushed == 1
    assert lasts(harness, 9) == 1
    harness.last(1)
    assert harness.behaviour.flushed == 2
    assert harness.events(9) == [["a"], ["b"]]
    assert lasts(harness, 9) == 2


def test_a_drain_and_a_retirement_flush() -> None:
    """A stage that is told to finish holds nothing back."""
    for order in ("finish", "retire"):
        harness = between(1)
        harness.route(1, ["a"])
        if order == "finish":
            harness.finish()
        else:
            harness.cancel(1)
            harness.eos(1, "normal")
        assert harness.events(9) == [["a"]], order


def test_one_that_has_nothing_under_way_says_it_too() -> None:
    """Its consumer may hold what others have sent, and waits for every stream."""
    harness = StageHarness(Same)
    harness.link_to_producer(1, max_demand=10)
    harness.subscribe(9, "sink", wants_last=True)
    harness.last(1)
    assert lasts(harness, 9) == 1


def test_what_waits_for_demand_is_not_all_sent() -> None:
    """The word is handed on when the last event has left."""
    harness = StageHarness(Same)
    harness.link_to_producer(1, max_demand=10)
    harness.subscribe(9, "sink", wants_last=True)
    harness.ask(9, 2)
    harness.route(1, [1, 2, 3])
    harness.last(1)
    assert lasts(harness, 9) == 0
    harness.ask(9, 1)
    assert lasts(harness, 9) == 1


def test_the_word_from_a_stranger_is_no_news() -> None:
    """A ref that is not of that link, and a stage that has no producers."""
    harness = between(1)
    harness.receive(1, RouteLast(7))
    assert harness.behaviour.flushed == 0
    alone = StageHarness(Finite)
    alone.subscribe(1, "sink")
    alone.receive(1, RouteLast(1))
    assert alone.counters["protocol_errors"] == 1


def chain(policy: Any, delivery: str = "at_least_once") -> Topology:
    """Numbers through a plain stage and two batchers, one behind the other, to a sink."""
    batcher = {"policy": policy, "limits": {"max_batch_size": 4}}
    return (
        Topology("chain", defaults=Defaults(delivery=delivery))
        .stage("numbers", Items, args={"items": list(range(30))}, replicas=2)
        .stage("same", Same, replicas=2, subscribe_to=["numbers"])
        .stage("fours", BatcherStage, args=batcher, subscribe_to=["same"])
        .stage("sixteens", BatcherStage, args=batcher, subscribe_to=["fours"])
        .stage("sink", Collected, subscribe_to=[SubscribeTo("sixteens", max_demand=1)])
    )


def numbers_in(result: Any) -> list[int]:
    """Every number of a result of batches of batches."""
    return sorted(number for outer in result for inner in outer.items for number in inner.items)


@pytest.mark.parametrize("delivery", ["at_least_once", "at_most_once"])
def test_the_word_passes_through_a_chain(delivery: str) -> None:
    """No batch waits for its hour, in any order of events, and nothing is lost."""
    for seed in seeds(10):
        run = simulate(chain(Size(linger=3600.0), delivery), seed=seed, laws=True)
        assert numbers_in(run.results["sink"]) == sorted([*range(30)] * 2)
        assert run.seconds < 60


def test_the_word_is_said_again_to_whoever_gets_what_a_dead_consumer_had() -> None:
    """Kills at any moment: the run ends, and no number is missing."""
    for seed in seeds(10):
        faults = Faults(crashes=2, within=200, stages=("same", "fours", "sixteens"))
        run = simulate(chain(Size()), seed=seed, faults=faults, check=False)
        if run.status == "done":
            assert set(numbers_in(run.results["sink"])) == set(range(30))
            assert run.seconds < 60
