"""Subscriptions that are replaced while events flow and processes die, in random schedules."""

from __future__ import annotations

from contextlib import suppress
from random import Random
from typing import Any

import pytest

from actorflow import ActorflowError, SubscribeTo, SubscriptionOptions, SupervisorOptions, Topology
from actorflow.supervision.subscriptions import resubscribe
from actorflow.supervision.wiring import Edge, EdgeState
from actorflow.testing import Faults, Simulation
from actorflow.testing.topologies import Numbers, Sink, Through
from tests.seeds import seeds

COUNT = 60
WITHIN = 700
FOREVER = SupervisorOptions(max_restarts=1000)
PAIR = {"partition": {"partitions": 2}}


def topology(dispatcher: Any) -> Topology:
    """A source, a stage between and two sinks, so that either end of a chain can be replaced."""
    return (
        Topology("changes", supervisor=FOREVER)
        .stage("numbers", Numbers, args={"first": 0, "count": COUNT, "answer": "exact"})
        .stage(
            "through",
            Through,
            args={"rule": "identity"},
            dispatcher=dispatcher,
            subscribe_to=[SubscribeTo("numbers", max_demand=5)],
        )
        .stage(
            "sink",
            Sink,
            replicas=2,
            subscribe_to=[SubscribeTo("through", max_demand=4)],
        )
    )


def crossing() -> Topology:
    """Two sources, one sink that takes from both, and one that takes from the first."""
    sources = Topology("moves", supervisor=FOREVER)
    for name, first in (("left", 0), ("right", COUNT)):
        args = {"first": first, "count": COUNT, "answer": "exact"}
        sources = sources.stage(name, Numbers, args=args)
    both = [SubscribeTo(name, max_demand=4) for name in ("left", "right")]
    return sources.stage("stays", Sink, subscribe_to=both).stage(
        "moves", Sink, subscribe_to=both[:1]
    )


class Changes:
    """A run in which subscriptions are replaced at random steps."""

    def __init__(self, topology: Topology, seed: int, crashes: int = 0) -> None:
        self.random = Random(f"changes {seed}")
        faults = Faults(crashes=crashes, within=WITHIN)
        self.simulation = Simulation(topology, seed=seed, faults=faults, laws=not crashes)
        self.made = 0
        self.refused: list[str] = []

    def run(self, changes: int, consumers: tuple[str, ...], to: tuple[str, ...] = ()) -> None:
        """Replace so many, then run to the end."""
        steps = sorted(self.random.randint(20, WITHIN) for _ in range(changes))
        for step in steps:
            self.simulation.run_until(lambda: self.simulation.world.steps >= step)  # noqa: B023
            if not self.simulation.over:
                self._change(consumers, to)
        self.simulation.finish(check=False)
        outcome = self.simulation.core.outcome
        assert outcome is not None
        if outcome.error is not None:
            raise outcome.error
        assert outcome.status == "done"

    def _change(self, consumers: tuple[str, ...], to: tuple[str, ...]) -> None:
        core = self.simulation.core
        eligible = [edge for edge in core.wiring.edges if self._may_change(edge, consumers)]
        if not eligible:
            return
        edge = self.random.choice(eligible)
        demand = self.random.randint(1, 6)
        options = SubscriptionOptions(
            max_demand=demand, cancel=edge.options.cancel, extra=edge.options.extra
        )
        goal = self.random.choice(to) if to else None
        reason = self.random.choice(("normal", "oops"))
        with suppress(ActorflowError):  # one of the two may have ended
            future = resubscribe(
                core, edge.ref, to=goal, options=options, reason=reason, consumer=None
            )
            self.made += 1
            future.add_done_callback(lambda done: self._count(done.exception()))

    def _count(self, error: BaseException | None) -> None:
        if error is not None:
            self.refused.append(str(error))

    def _may_change(self, edge: Edge, consumers: tuple[str, ...]) -> bool:
        free = not edge.leaving and not edge.replaces
        return free and edge.state is EdgeState.ESTABLISHED and edge.consumer.name in consumers

    def taken(self, consumer: str) -> list[int]:
        """What a stage has handled, in order."""
        return [
            event
            for each in self.simulation.history
            if consumer in (each.stage.stage.name, str(each.stage.stage))
            for event in each.events
        ]

    def nothing_is_left(self) -> None:
        """No edge is in the middle of a change."""
        assert not any(edge.replaces or edge.leaving for edge in self.simulation.core.wiring.edges)


@pytest.mark.parametrize("dispatcher", ["demand", "broadcast", PAIR], ids=["demand", "all", "pair"])
def test_s110_replaced_on_the_same_producer(dispatcher: Any) -> None:
    """Nothing is lost, repeated or out of order, and no consumer ends before its time."""
    made = 0
    for seed in range(12):
        changes = Changes(topology(dispatcher), seed)
        changes.run(6, ("through", "sink"))
        made += changes.made
        assert set(changes.refused) <= {"done"}
        if dispatcher == "broadcast":
            assert changes.taken("sink/0") == changes.taken("sink/1") == list(range(COUNT))
        else:
            assert sorted(changes.taken("sink")) == list(range(COUNT))
        for sink in ("sink/0", "sink/1"):
            assert changes.taken(sink) == sorted(changes.taken(sink))
        assert changes.taken("through") == list(range(COUNT))
        changes.nothing_is_left()
    assert made > 20


@pytest.mark.parametrize("dispatcher", ["demand", "broadcast", PAIR], ids=["demand", "all", "pair"])
def test_s110_replaced_while_processes_die(dispatcher: Any) -> None:
    """Whoever is killed at whichever moment: nothing is lost, and the run comes to its end."""
    for seed in seeds(20):
        changes = Changes(topology(dispatcher), seed, crashes=2)
        changes.run(6, ("through", "sink"))
        for sink in ("sink/0", "sink/1") if dispatcher == "broadcast" else ("sink",):
            assert set(changes.taken(sink)) == set(range(COUNT)), f"seed {seed}"
        changes.nothing_is_left()


@pytest.mark.parametrize("crashes", [0, 2])
def test_s110_moved_to_another_producer(crashes: int) -> None:
    """A consumer that changes over between two producers takes what each of them sent it."""
    for seed in seeds(20):
        changes = Changes(crossing(), seed, crashes)
        changes.run(6, ("moves",), ("left", "right"))
        taken = changes.taken("stays") + changes.taken("moves")
        assert set(taken) == set(range(2 * COUNT)), f"seed {seed}"
        if not crashes:
            assert len(taken) == len(set(taken))
        changes.nothing_is_left()
