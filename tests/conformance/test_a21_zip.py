"""A21: the events of two sources in pairs."""

from __future__ import annotations

from typing import Any

import pytest

from actorflow import Consumer, OptionError, SubscribeTo, Subscription, Topology, from_iterable
from actorflow.stages.sources import Items
from actorflow.stages.zip import Zip
from actorflow.testing import Faults, StageHarness, simulate
from actorflow.testing.points import spend
from tests.seeds import seeds
from tests.stopwatch import within

LONG, SHORT = 1000, 600
WINDOW = 16


class LeftAlone(Items):
    """A source that ends when its consumer has left, and takes some time for each event."""

    def __init__(self, items: list[Any], seconds: float = 0.0) -> None:
        super().__init__(items)
        self.seconds = seconds

    def handle_demand(self, demand: int) -> list[Any]:
        spend(self.seconds * demand)
        return super().handle_demand(demand)

    def handle_cancel(self, reason: Any, subscription: Subscription) -> None:
        self.set_result(reason)
        if reason[0] == "cancel":
            self.stop()


class Watched(Zip):
    """Keeps how much has waited at most."""

    most = 0

    def handle_events(self, events: list[Any], subscription: Subscription) -> list[Any]:
        pairs = super().handle_events(events, subscription)
        self.most = max(self.most, *self.waiting.values())
        return pairs

    def on_stop(self, reason: Any) -> None:
        self.set_result(self.most)


class Collect(Consumer):
    """Keeps what it gets."""

    def __init__(self) -> None:
        self.pairs: list[Any] = []

    def handle_events(self, events: list[Any], subscription: Subscription) -> None:
        self.pairs += events

    def on_stop(self, reason: Any) -> None:
        self.set_result(self.pairs)


def topology(slow: str) -> Topology:
    """A source of 1000 numbers and one of 600, one of them slow."""
    return (
        Topology("zip")
        .stage(
            "long",
            LeftAlone,
            args={"items": list(range(LONG)), "seconds": 0.01 * (slow == "long")},
        )
        .stage(
            "short",
            LeftAlone,
            args={"items": list(range(SHORT)), "seconds": 0.01 * (slow == "short")},
        )
        .stage(
            "pairs",
            Watched,
            args={"sources": ["long", "short"]},
            subscribe_to=[
                SubscribeTo("long", max_demand=WINDOW),
                SubscribeTo("short", max_demand=WINDOW),
            ],
        )
        .stage("sink", Collect, subscribe_to=[SubscribeTo("pairs", max_demand=50)])
    )


PAIRS = [(number, number) for number in range(SHORT)]


@pytest.mark.parametrize("slow", ["long", "short", "neither"])
@pytest.mark.parametrize("seed", seeds(4))
def test_a21_pairs_in_order_until_the_shorter_ends(seed: int, slow: str) -> None:
    """600 pairs; what waits is bounded by max_demand; the longer source is cancelled."""
    run = simulate(topology(slow), seed=seed, laws=True)
    assert run.results["sink"] == PAIRS
    assert 0 < run.results["pairs"] <= WINDOW
    assert run.results["long"] == ("cancel", "normal")
    assert run.report.stage("long").events_out <= SHORT + WINDOW


@pytest.mark.parametrize("seed", seeds(20))
def test_a21_what_waits_survives_a_restart(seed: int) -> None:
    """A snapshot holds the unpaired events, so that pairs stay pairs."""
    faults = Faults(crashes=1, within=2000, stages=("pairs",))
    run = simulate(topology("short"), seed=seed, faults=faults, laws=True)
    assert sorted(set(run.handled("sink"))) == PAIRS


@pytest.mark.processes
def test_a21_with_processes() -> None:
    """The same with real ones, and iterables of the program."""
    topology = (
        Topology("zip")
        .stage("long", from_iterable(range(LONG), on_cancel="stop"))
        .stage("short", from_iterable(range(SHORT)))
        .stage("pairs", Zip, args={"sources": ["long", "short"]}, subscribe_to=["long", "short"])
        .stage("sink", Collect, subscribe_to=["pairs"])
    )
    with within(20), topology.start() as run:
        assert run.wait(timeout=30)["sink"] == PAIRS


def zipping(*sources: str) -> StageHarness:
    """The stage alone; the test plays its sources, whose windows are 4 wide, and its consumer."""
    stage = StageHarness(Zip, {"sources": list(sources)})
    for ref, name in enumerate(sources, 1):
        stage.link_to_producer(ref, name, max_demand=4)
    stage.subscribe(9, "sink")
    stage.ask(9, 100)
    return stage


def test_a21_three_sources() -> None:
    """Tuples have as many parts as there are sources, in the order that was named."""
    stage = zipping("c", "a", "b")
    stage.route(2, ["a1"])
    stage.route(3, ["b1", "b2"])
    assert stage.events(9) == []
    stage.route(1, ["c1", "c2"])
    assert stage.events(9) == [[("c1", "a1", "b1")]]


def test_a21_a_fast_source_is_not_asked_beyond_its_window() -> None:
    """What waits counts as what is under way; it is asked again when half of that is paired."""
    stage = zipping("fast", "slow")
    stage.route(1, [1, 2, 3, 4])
    assert stage.asks(1) == [4]
    stage.route(2, ["a"])
    assert stage.asks(1) == [4]
    stage.route(2, ["b"])
    assert stage.asks(1) == [4, 2]
    assert stage.asks(2) == [4, 2]


def test_a21_a_source_ends_while_its_events_wait() -> None:
    """They are paired first; then the others are cancelled, and more of theirs is dropped."""
    stage = zipping("short", "long")
    stage.route(1, [1, 2])
    stage.eos(1)
    stage.route(2, ["a"])
    assert stage.exiting is None
    stage.route(2, ["b", "c"])
    assert stage.events(9) == [[(1, "a")], [(2, "b")]]
    assert [each.reason for each in stage.sent(2) if hasattr(each, "reason")] == ["normal"]
    stage.route(2, ["d"])
    assert len(stage.events(9)) == 2


def test_a21_an_empty_source() -> None:
    """There are no pairs, and the other source is cancelled at once."""
    stage = zipping("empty", "other")
    stage.eos(1)
    stage.eos(2, "normal")
    assert stage.events(9) == []
    assert stage.exiting is not None


@pytest.mark.parametrize("sources", ["names", None, [], ["one"], ["a", "a"], ["a", "a/0"], [1, 2]])
def test_a21_bad_sources(sources: Any) -> None:
    """At least two different names of stages."""
    with pytest.raises(OptionError, match="sources must be a list of at least two"):
        Zip(sources=sources)


def test_a21_a_source_that_was_not_named() -> None:
    """A subscription to another stage is refused by name."""
    stage = zipping("a", "b")
    stage.link_to_producer(3, "c")
    assert isinstance(stage.error, OptionError)
    assert "a list that names c/0" in str(stage.error)
