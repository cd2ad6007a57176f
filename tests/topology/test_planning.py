"""From a topology to the supervisor's plan."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actorflow.protocol.demand import SubscriptionOptions
from actorflow.protocol.identity import StageId
from actorflow.stage.behaviour import Consumer, Producer, ProducerConsumer, Subscription
from actorflow.stage.options import StageOptions
from actorflow.stages.broker import Broker
from actorflow.stages.buffered import AsyncStage
from actorflow.stages.sources import Items
from actorflow.supervision.specs import ChildSpec, Intensity
from actorflow.topology import Defaults, SubscribeTo, SupervisorOptions, Topology
from actorflow.topology.planning import start_order
from actorflow.topology.untaken import untaken
from tests.topology.project.sample import FollowsMany, Halve, Paths


class Numbers(Producer):
    def __init__(self, start: int = 0) -> None:
        self.next = start


class Double(ProducerConsumer):
    pass


class Print(Consumer):
    pass


def options_of(topology: Topology, name: str) -> StageOptions:
    """The options of a stage in the plan."""
    return next(
        child.stage.options for child in topology.plan().children if child.stage.id.name == name
    )


def test_a_plan_has_a_child_for_each_replica() -> None:
    """Children carry id, class, arguments, options and how many there are."""
    plan = (
        Topology("test", supervisor=SupervisorOptions(strategy="one_for_all", max_restarts=9))
        .stage("numbers", Numbers, args={"start": 3})
        .stage("print", Print, replicas=2, subscribe_to=["numbers"], restart="permanent")
        .plan()
    )
    assert [child.stage.id for child in plan.children] == [
        StageId("numbers", 0),
        StageId("print", 0),
        StageId("print", 1),
    ]
    numbers, printer, _ = plan.children
    assert (numbers.stage.behaviour, numbers.stage.arguments) == (Numbers, {"start": 3})
    assert (printer.stage.replicas, printer.restart) == (2, "permanent")
    assert (plan.name, plan.strategy) == ("test", "one_for_all")
    assert plan.intensity == Intensity(max_restarts=9)
    assert plan.preload == (__name__,)


def test_without_options_the_defaults_are_those_of_the_specifications() -> None:
    """A plan adds no default of its own."""
    plan = Topology("t").stage("n", Numbers).stage("p", Print, subscribe_to=["n"]).plan()
    numbers, _ = plan.children
    assert numbers == ChildSpec(stage=numbers.stage)
    assert numbers.stage.options == StageOptions()
    assert plan.subscriptions[0].options == SubscriptionOptions()
    assert (plan.strategy, plan.intensity) == ("one_for_one", Intensity())


def test_options_come_from_class_defaults_and_declaration_in_this_order() -> None:
    """The later goes before the earlier: built-in, class, defaults, stage."""
    topology = (
        Topology("t", defaults=Defaults(delivery="at_most_once", codec="pickle"))
        .stage("numbers", Numbers)
        .stage("paths", Paths, args={"root": "."}, buffer_keep="last", delivery="at_most_once")
        .stage("double", Double, subscribe_to=["numbers"])
        .stage("halve", Halve, subscribe_to=["numbers"], buffer_size=6)
    )
    assert options_of(topology, "numbers") == StageOptions(delivery="at_most_once", codec="pickle")
    assert options_of(topology, "paths") == StageOptions(
        buffer_size=7,
        buffer_keep="last",
        poll_interval=0.5,
        delivery="at_most_once",
        codec="pickle",
    )
    assert options_of(topology, "double").buffer_size is None
    assert options_of(topology, "halve").buffer_size == 6


def test_child_options_come_from_defaults_and_declaration() -> None:
    """A stage's own restart, shutdown and deadline go before the topology's."""
    topology = (
        Topology("t", defaults=Defaults(restart="permanent", shutdown=1, start_within=2))
        .stage("a", Numbers)
        .stage("b", Numbers, restart="temporary", shutdown=0, start_within=3)
    )
    assert [(c.restart, c.shutdown, c.start_within) for c in topology.plan().children] == [
        ("permanent", 1, 2),
        ("temporary", 0, 3),
    ]


def test_subscription_options_come_from_defaults_and_declaration() -> None:
    """A subscription's own max_demand and cancel go before the topology's."""
    topology = (
        Topology("t", defaults=Defaults(max_demand=7, cancel="temporary"))
        .stage("n", Numbers, dispatcher="broadcast")
        .stage("a", Print, subscribe_to=["n"])
        .stage("b", Print, subscribe_to=[SubscribeTo("n", max_demand="auto", cancel="transient")])
        .stage("c", Print, subscribe_to=[SubscribeTo("n", selector="operator:truth")])
    )
    assert [each.options for each in topology.plan().subscriptions] == [
        SubscriptionOptions(max_demand=7, cancel="temporary"),
        SubscriptionOptions(max_demand="auto", cancel="transient"),
        SubscriptionOptions(max_demand=7, cancel="temporary", extra={"selector": "operator:truth"}),
    ]


def test_a_class_may_say_whom_to_follow() -> None:
    """The class attribute subscribe_to holds when the declaration says nothing."""
    topology = (
        Topology("t")
        .stage("follower", FollowsMany)
        .stage("numbers", Numbers)
        .stage("paths", Paths, args={"root": "."})
        .stage("quiet", FollowsMany, subscribe_to=[])
    )
    plan = topology.plan()
    assert [(each.consumer, each.producer) for each in plan.subscriptions] == [
        ("follower", "numbers"),
        ("follower", "paths"),
    ]
    assert [child.stage.id.name for child in plan.children] == [
        "numbers",
        "paths",
        "follower",
        "quiet",
    ]


def test_each_replica_takes_its_partition() -> None:
    """Without a partition named, the replica's index says which; with one named, it is that."""
    by = "tests.topology.project.sample:parity"
    plan = (
        Topology("t")
        .stage("two", Numbers, dispatcher={"partition": {"partitions": 2}})
        .stage(
            "named", Numbers, dispatcher={"partition": {"partitions": ["even", "odd"], "by": by}}
        )
        .stage("a", Print, replicas=2, subscribe_to=["two", "named"])
        .stage("b", Print, subscribe_to=[SubscribeTo("two", partition=1)])
        .plan()
    )
    assert plan.partitions == {"two": (0, 1), "named": ("even", "odd")}
    two, named, chosen = plan.subscriptions
    assert [plan.options_for(two, index).extra["partition"] for index in (0, 1)] == [0, 1]
    assert [plan.options_for(named, index).extra["partition"] for index in (0, 1)] == [
        "even",
        "odd",
    ]
    assert plan.options_for(chosen, 0).extra["partition"] == 1


@pytest.mark.parametrize(
    ("producers", "order"),
    [
        ({}, []),
        ({"c": ["b"], "b": ["a"], "a": []}, ["a", "b", "c"]),
        ({"x": [], "c": ["a"], "a": [], "b": ["a"]}, ["x", "a", "c", "b"]),
        ({"d": ["b", "c"], "b": ["a"], "c": ["a"], "a": []}, ["a", "b", "c", "d"]),
        ({"b": ["a", "a"], "a": []}, ["a", "b"]),
    ],
)
def test_start_order(producers: dict[str, list[str]], order: list[str]) -> None:
    """Producers start before their consumers, and stages otherwise as declared."""
    assert start_order(producers) == order


@given(st.data())
def test_start_order_keeps_every_edge(data: st.DataObject) -> None:
    """In any graph without cycles every producer is before its consumers, and nobody is missing."""
    size = data.draw(st.integers(1, 8))
    edges = {str(n): [str(m) for m in range(n) if data.draw(st.booleans())] for n in range(size)}
    shuffled = data.draw(st.permutations(list(edges)))
    order = start_order({name: edges[name] for name in shuffled})
    assert sorted(order) == sorted(edges)
    assert all(order.index(p) < order.index(c) for c, of in edges.items() for p in of)


def test_the_class_of_a_codec_is_imported_once_for_all_stages() -> None:
    """With msgspec itself, before the first of them is forked."""
    place = "actorflow.protocol.identity:StageId"
    topology = Topology("t", defaults=Defaults(codec={"msgspec": place}))
    plan = topology.stage("numbers", Numbers).plan()
    assert list(plan.preload)[-2:] == ["msgspec", "actorflow.protocol.identity"]


class Hand(Items):
    """May hand its consumers on to others."""

    def handle_subscribe(self, side: str, options: Any, subscription: Subscription) -> None:
        pass


async def call(item: object) -> None:
    """What an asynchronous stage calls."""


def test_stages_that_nobody_takes_events_from_are_known() -> None:
    """Members are taken from by way of their manager; who works ahead needs nobody."""
    items = {"items": [1]}
    topology = (
        Topology("test")
        .stage("taken", Items, args=items)
        .stage("idle", Items, args=items, replicas=2)
        .stage("silent", Numbers)  # is never asked for events: it has no handle_demand
        .stage("member", Items, args=items, replicas=2)
        .stage("broker", Broker, members=["member"])
        .stage("double", Double, subscribe_to=["taken"])
        .stage("call", AsyncStage, args={"run": call, "concurrency": 1}, subscribe_to=["taken"])
        .stage("print", Print, subscribe_to=["broker"])
    )
    assert untaken(topology.plan()) == ("idle", "double")
    assert untaken(topology.stage("hand", Hand, args=items).plan()) == ()
