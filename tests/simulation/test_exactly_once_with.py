"""`exactly_once` beside what changes a running topology: every event still counts once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from itertools import chain
from random import Random
from typing import Any

import pytest

from actorflow import (
    FORWARD,
    HOLD,
    ActorflowError,
    Defaults,
    Refused,
    SubscribeTo,
    SubscriptionOptions,
    SupervisorOptions,
    Topology,
)
from actorflow.protocol import control
from actorflow.protocol.messages import Subscribe, Unsubscribe
from actorflow.stages.sources import Items
from actorflow.supervision import operations, subscriptions
from actorflow.supervision.changes import pause_stage, resume_stage, scale, unsubscribe
from actorflow.supervision.core import SupervisorCore
from actorflow.supervision.subscriptions import resubscribe
from actorflow.supervision.wiring import Edge, EdgeState
from actorflow.testing import Faults, Simulation, StageHarness, Stalled
from tests.seeds import seeds
from tests.simulation.test_snapshots import (
    NUMBERS,
    Collect,
    Several,
    crashing,
    made,
    topology,
    two_between,
)

SEEDS = seeds(20)
WITHIN = 400

Change = Callable[[SupervisorCore, Random], Any]


class Decides(Several):
    """Decides about demand: holds it for a moment, passes it on, or asks for it."""

    def handle_demand(self, demand: int) -> Any:
        if demand % 3 == 0:
            self.send_after(0.001, "go on")
            return HOLD
        return FORWARD if demand % 3 == 1 else None

    def handle_info(self, message: Any) -> None:
        self.forward()


def counted(results: dict[str, Any]) -> Counter[str]:
    """What all replicas of the sink have in their states."""
    found = results["collect"]
    lists = found if found and isinstance(found[0], list) and is_nested(found) else [found]
    return Counter(str(event) for event in chain.from_iterable(each or [] for each in lists))


def is_nested(found: list[Any]) -> bool:
    """Whether these are the results of several replicas: lists of events, which are pairs."""
    return any(each and isinstance(each[0], list) for each in found)


def run(whole: Topology, seed: int, change: Change, faults: Faults) -> dict[str, Any]:
    """A run in which something is changed four times, at random steps; returns the results."""
    random = Random(f"beside {seed}")
    simulation = Simulation(whole, seed=seed, faults=faults)
    for step in sorted(random.randint(10, WITHIN) for _ in range(4)):
        simulation.run_until(lambda step=step: simulation.world.steps >= step)
        if not simulation.over:
            with suppress(ActorflowError):  # whoever it is about may have ended
                change(simulation.core, random)
    try:
        return simulation.finish(max_steps=200_000).results
    except Stalled:
        # Somebody is left without a subscription, and waits for another one.
        simulation.core.drain()
    return simulation.finish(max_steps=200_000).results


def three_at_the_end() -> Topology:
    """Two stages between a source and three sinks, which live on without a subscription."""
    supervisor = SupervisorOptions(max_restarts=1000, ends_when_idle=True)
    take = SubscribeTo("several", max_demand=5, cancel="temporary")
    return (
        Topology("beside", supervisor=supervisor, defaults=Defaults(delivery="exactly_once"))
        .stage("numbers", Items, args={"items": list(range(NUMBERS))})
        .stage("several", Several, replicas=2, subscribe_to=[SubscribeTo("numbers", max_demand=7)])
        .stage("collect", Collect, replicas=3, subscribe_to=[take])
    )


def one_of(core: SupervisorCore, random: Random, *, live: bool = False) -> Edge | None:
    """A subscription of a sink, but never of the first: somebody is to take everything."""
    edges = [
        each
        for each in core.wiring.edges
        if each.consumer.name == "collect" and each.consumer.index
        if (each.live if live else each.state is not EdgeState.OVER)
    ]
    return random.choice(edges) if edges else None


def later(core: SupervisorCore, seconds: float, act: Callable[..., Any], *args: Any) -> None:
    """Do something in so many seconds; whatever it is about may be over or changed by then."""

    def attempt() -> None:
        with suppress(ActorflowError):
            act(core, *args)

    core.after(seconds, attempt)


def is_paused(core: SupervisorCore, edge: Edge, random: Random) -> None:
    """For a while."""
    subscriptions.pause(core, edge.ref)
    later(core, 0.01, subscriptions.resume, edge.ref)


def is_cancelled(core: SupervisorCore, edge: Edge, random: Random) -> None:
    """For good, though a restart makes it again."""
    operations.cancel(core, edge.ref, random.choice(("normal", "enough")))


def is_taken_away(core: SupervisorCore, edge: Edge, random: Random) -> None:
    """For good."""
    unsubscribe(core, str(edge.consumer), str(edge.producer), random.choice(("normal", "enough")))


def has_another_beside_it(core: SupervisorCore, edge: Edge, random: Random) -> None:
    """A second one between the same stages, in its place or not."""
    if random.random() < 0.5:
        is_cancelled(core, edge, random)
    options = SubscriptionOptions(max_demand=3, cancel="temporary")
    operations.subscribe(core, str(edge.consumer), str(edge.producer), options)


def has_its_stage_stopped(core: SupervisorCore, edge: Edge, random: Random) -> None:
    """And started again."""
    gone = operations.terminate_child(core, str(edge.consumer))
    again = operations.restart_child
    gone.add_done_callback(lambda _: later(core, 0.001, again, str(edge.consumer)))


def has_its_stage_paused(core: SupervisorCore, edge: Edge, random: Random) -> None:
    """For a while."""
    pause_stage(core, str(edge.consumer))
    later(core, 0.01, resume_stage, str(edge.consumer))


DEEDS = (
    is_paused,
    is_cancelled,
    is_taken_away,
    has_another_beside_it,
    has_its_stage_stopped,
    has_its_stage_paused,
)


@pytest.mark.parametrize("deed", DEEDS)
def test_a_subscription_that(deed: Callable[..., None]) -> None:
    """Whatever is done to it, and whoever dies meanwhile: every event counts once."""

    def change(core: SupervisorCore, random: Random) -> None:
        edge = one_of(core, random)
        if edge is not None:
            deed(core, edge, random)

    for seed in SEEDS:
        results = run(three_at_the_end(), seed, change, crashing(seed))
        assert counted(results) == made(), seed


@pytest.mark.parametrize("seed", [12, 514])
def test_what_is_under_way_when_a_subscription_is_taken_away_and_its_producer_dies(
    seed: int,
) -> None:
    """What its consumer has counts, and the successor does not give it to others.

    With seed 12 the consumer lives and has it in hand, with seed 514 it dies as well, before the
    successor knows how far its snapshot reaches.
    """

    def change(core: SupervisorCore, random: Random) -> None:
        edge = one_of(core, random, live=True)
        if edge is not None:
            is_taken_away(core, edge, random)

    assert counted(run(three_at_the_end(), seed, change, crashing(seed))) == made()


def test_a_subscription_that_waits_to_be_made_can_be_cancelled() -> None:
    """It waits for the snapshot of what came on its edge before, and is cancelled once it is."""
    sink = StageHarness(Collect, delivery="exactly_once")
    first = control.Link(1, "consumer", "numbers/0#1", {"max_demand": 4}, edge="e")
    sink.order(first)
    sink.order(control.SnapshotStored(1))
    sink.advance(1.0)
    sink.route(1, [1, 2])
    sink.down("numbers/0#1", restarting=True)
    sink.order(replace(first, ref=2, peer="numbers/0#2"))
    sink.cancel(2, "enough")
    assert sink.sent(2) == []
    sink.advance(1.0)
    for number in (2, 3):
        sink.order(control.SnapshotStored(number))
    made_then, left_then = sink.sent(2)[:2]
    assert isinstance(made_then, Subscribe)
    assert made_then.options["resume"] == 2
    assert left_then == Unsubscribe(2, "enough")


def grows(core: SupervisorCore, random: Random) -> None:
    """One more replica of the stage between."""
    replicas = sum(child.id.name == "several" for child in core.children.values())
    scale(core, "several", replicas + 1, 30.0)


@pytest.mark.parametrize("crashes", [False, True])
def test_a_stage_that_decides_about_demand(crashes: bool) -> None:
    """Held demand is no state: a successor is asked again."""
    for seed in SEEDS:
        faults = crashing(seed) if crashes else Faults()
        results = run(two_between("exactly_once", Decides), seed, lambda core, random: None, faults)
        assert counted(results) == made(), seed


def test_a_broadcast_that_replays() -> None:
    """What is remembered for latecomers is not sent to those who are there, nor to successors."""
    whole = topology("exactly_once", dispatcher={"broadcast": {"replay": 5}})
    for name in ("left", "right"):
        whole = whole.stage(name, Collect, subscribe_to=[SubscribeTo("numbers", max_demand=4)])
    for seed in SEEDS:
        results = run(whole, seed, lambda core, random: None, crashing(seed))
        for name in ("left", "right"):
            assert results[name] == list(range(NUMBERS)), seed


@pytest.mark.parametrize("crashes", [False, True])
def test_replicas_that_come(crashes: bool) -> None:
    """A new one takes its share, and has a state of its own."""
    for seed in SEEDS:
        faults = crashing(seed) if crashes else Faults()
        results = run(two_between("exactly_once"), seed, grows, faults)
        assert counted(results) == made(), seed


def test_a_subscription_cannot_be_exchanged_nor_a_replica_leave() -> None:
    """What was sent on the old one, and is in nobody's snapshot, would be counted twice."""
    simulation = Simulation(two_between("exactly_once"), seed=1)
    simulation.run_until(
        lambda: any(each.state is EdgeState.ESTABLISHED for each in simulation.core.wiring.edges)
    )
    core = simulation.core
    edge = next(each for each in core.wiring.edges if each.state is EdgeState.ESTABLISHED)
    with pytest.raises(Refused, match="exactly_once: the events of subscription"):
        resubscribe(core, edge.ref, to=None, options=None, reason="normal", consumer=None)
    with pytest.raises(Refused, match="exactly_once: a replica of several"):
        scale(core, "several", 1, 30.0)
    assert counted(simulation.finish().results) == made()
