"""`exactly_once` beside what changes a running topology: every event still counts once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from itertools import chain
from random import Random
from typing import Any

import pytest

from actorflow import FORWARD, HOLD, ActorflowError, Refused, SubscribeTo, Topology
from actorflow.supervision.changes import scale
from actorflow.supervision.core import SupervisorCore
from actorflow.supervision.subscriptions import resubscribe
from actorflow.supervision.wiring import EdgeState
from actorflow.testing import Faults, Simulation
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
    return simulation.finish(max_steps=200_000).results


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
