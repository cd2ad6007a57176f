"""M32: a diamond of a broadcast, a filter and a join ends, or says why not; it never hangs."""

from __future__ import annotations

from typing import Any

import pytest

from actorflow import (
    OptionError,
    ProducerConsumer,
    SkewExceeded,
    SubscribeTo,
    Topology,
    TopologyError,
)
from actorflow.stages.zip import Zip
from actorflow.testing import StageHarness, simulate
from actorflow.testing.topologies import Numbers, Sink
from tests.seeds import seeds


class Straight(ProducerConsumer):
    """Lets every event through."""

    def handle_events(self, events: list[int], subscription: Any) -> list[int]:
        return events


class OneInFour(ProducerConsumer):
    """Lets one event of four through."""

    def handle_events(self, events: list[int], subscription: Any) -> list[int]:
        return [event for event in events if event % 4 == 3]


def diamond(count: int, skew_limit: int | None) -> Topology:
    """A source that broadcasts to a filter and to an identity, and a join of both."""
    narrow = {"max_demand": 2, "min_demand": 1}
    arguments: dict[str, Any] = {"sources": ["filter", "straight"]}
    if skew_limit is not None:
        arguments["skew_limit"] = skew_limit
    return (
        Topology("diamond")
        .stage("numbers", Numbers, args={"first": 0, "count": count}, dispatcher="broadcast")
        .stage("filter", OneInFour, subscribe_to=[SubscribeTo("numbers", **narrow)])
        .stage("straight", Straight, subscribe_to=[SubscribeTo("numbers", **narrow)])
        .stage(
            "pairs",
            Zip,
            args=arguments,
            subscribe_to=[SubscribeTo("filter", **narrow), SubscribeTo("straight", **narrow)],
        )
        .stage("sink", Sink, subscribe_to=["pairs"])
    )


@pytest.mark.parametrize("seed", seeds(10))
def test_m32_a_diamond_with_enough_room_ends(seed: int) -> None:
    """The join makes room for what is ahead, as far as it has to."""
    finished = simulate(diamond(24, 100), seed=seed)
    assert finished.handled("sink") == [(4 * n + 3, n) for n in range(6)]


@pytest.mark.parametrize("seed", seeds(5))
def test_m32_a_diamond_with_too_little_room_says_so(seed: int) -> None:
    """The error names the limit, and who is too far behind."""
    with pytest.raises(SkewExceeded) as caught:
        simulate(diamond(200, 10), seed=seed)
    assert (caught.value.limit, caught.value.laggard) == (10, "filter/0")


def test_m32_a_diamond_without_a_limit_is_refused() -> None:
    """Where it is declared, by the names of those that would wait for each other."""
    with pytest.raises(TopologyError, match=r"'filter' and 'straight' both come from 'numbers'"):
        diamond(24, None).plan()


def test_what_is_no_diamond_needs_no_limit() -> None:
    """Two sources, or a source that gives each event to one of two."""
    two = Topology("two").stage("a", Numbers, args={"first": 0, "count": 1})
    two = two.stage("b", Numbers, args={"first": 0, "count": 1})
    two.stage("pairs", Zip, args={"sources": ["a", "b"]}, subscribe_to=["a", "b"]).plan()
    dealt = (
        Topology("dealt")
        .stage("numbers", Numbers, args={"first": 0, "count": 1})
        .stage("a", Straight, subscribe_to=["numbers"])
        .stage("b", Straight, subscribe_to=["numbers"])
    )
    dealt.stage("pairs", Zip, args={"sources": ["a", "b"]}, subscribe_to=["a", "b"]).plan()


@pytest.mark.parametrize("limit", [0, -1, 1.5, "2", True])
def test_a_limit_out_of_range(limit: Any) -> None:
    """It is refused by name, rule and value."""
    with pytest.raises(OptionError, match="skew_limit must be an integer of at least 1, or none"):
        Zip(sources=["a", "b"], skew_limit=limit)


def test_windows_grow_only_when_there_is_no_other_way_on() -> None:
    """As long as something is asked for and not there, the full source is not asked."""
    stage = StageHarness(Zip, {"sources": ["a", "b"], "skew_limit": 9})
    for ref, name in ((1, "a"), (2, "b")):
        stage.link_to_producer(ref, name, max_demand=4)
    stage.subscribe(9, "sink")
    stage.ask(9, 100)
    stage.route(1, [1, 2, 3])
    assert stage.asks(1) == [4]
    stage.route(1, [4])
    assert stage.asks(1) == [4, 4]
    stage.route(1, [5, 6, 7, 8])
    assert stage.asks(1) == [4, 4, 1]
    stage.route(1, [9])
    assert isinstance(stage.error, SkewExceeded)
