"""Section 7, A25 to A27: default demand, finite sources, and fast consumers, in whole runs."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from actorflow import (
    ChildSpec,
    Consumer,
    StageId,
    StageSpec,
    SubscribeTo,
    Subscription,
    SubscriptionOptions,
    Topology,
)
from actorflow.stages.sources import Items
from actorflow.supervision import operations
from actorflow.supervision.events import ChildEnded
from actorflow.testing import SimulatedRun, Simulation, simulate, spend
from actorflow.testing.topologies import Through
from tests.conformance.helpers.stages import Counter, Forwarder
from tests.seeds import seeds, size


class Job(Consumer):
    """Takes a second of virtual time for each event, and answers with what it did."""

    def __init__(self, seconds: float = 1.0) -> None:
        self.seconds = seconds
        self.done: list[Any] = []

    def handle_events(self, events: list[Any], subscription: Subscription) -> None:
        spend(self.seconds * len(events))
        self.done += events
        self.set_result(self.done)


# --- A25: default demand --------------------------------------------------------------------------


def test_a25_eight_long_jobs_run_at_once() -> None:
    """Eight jobs of a second, eight consumers, no option: under 1.5 s, and one job each."""
    topology = (
        Topology("jobs")
        .stage("source", Items, args={"items": list(range(8))})
        .stage("worker", Job, replicas=8, subscribe_to=["source"])
    )
    for seed in seeds(30):
        run = simulate(topology, seed=seed)
        assert run.seconds < 1.5
        assert sorted(run.results["worker"]) == [[number] for number in range(8)]


def test_a25_batches_are_an_option() -> None:
    """With a window of eight, all jobs lie with whoever asked first."""
    topology = (
        Topology("jobs")
        .stage("source", Items, args={"items": list(range(8))})
        .stage("worker", Job, replicas=8, subscribe_to=[SubscribeTo("source", max_demand=8)])
    )
    assert simulate(topology, seed=1).seconds >= 8


# --- A26: finite sources --------------------------------------------------------------------------

MAX, MIN = 10, 5


def finite(count: int, cancel: str = "permanent") -> Topology:
    """So many lines, through a stage, into a sink."""
    demand: dict[str, Any] = {"max_demand": MAX, "min_demand": MIN, "cancel": cancel}
    return (
        Topology("lines")
        .stage("lines", Items, args={"items": list(range(count))})
        .stage(
            "through",
            Through,
            args={"rule": "identity"},
            subscribe_to=[SubscribeTo("lines", **demand)],
        )
        .stage("sink", Job, args={"seconds": 0.0}, subscribe_to=[SubscribeTo("through", **demand)])
    )


@pytest.mark.parametrize("count", [0, 1, 2, MIN - 1, MIN, MAX - 1, MAX, MAX + 1, 4 * MAX, 97])
def test_a26_a_finite_source_of_any_size_ends_the_run(count: int) -> None:
    """None, one, below the minimum, an exact multiple, more: all arrive, and all end well."""
    for seed in seeds(10):
        run = simulate(finite(count), seed=seed, laws=True)
        assert run.status == "done"
        assert run.handled("sink") == list(range(count))
        ends = {each.child.stage.name: each for each in run.events if isinstance(each, ChildEnded)}
        assert set(ends) == {"lines", "through", "sink"}
        assert all(each.normal and each.reason == "done" for each in ends.values())
        assert all("status 0" in each.detail for each in ends.values())


@pytest.mark.parametrize("how", ["drain", "stop"])
def test_a26_a_running_flow_is_ended_with_one_call(how: str) -> None:
    """Drained, what is under way arrives and nothing is missing in between; stopped, it ends."""
    topology = (
        Topology("endless")
        .stage("numbers", Counter)
        .stage("through", Through, args={"rule": "identity"}, subscribe_to=["numbers"])
        .stage("sink", Job, args={"seconds": 0.001}, subscribe_to=["through"])
    )
    for seed in seeds(10):
        run = _ended(Simulation(topology, seed=seed), how)
        assert run.status == ("done" if how == "drain" else "stopped")
        taken = run.handled("sink")
        assert all(later == earlier + 1 for earlier, later in pairwise(taken))
        if how == "drain":
            assert run.report.stage("numbers").events_out == len(taken)


def _ended(simulation: Simulation, how: str) -> SimulatedRun:
    simulation.run_until(lambda: len(simulation.history) > 30)
    getattr(simulation.core, how)()
    return simulation.finish()


def test_a26_a_late_subscriber_is_told_done() -> None:
    """One that comes while the source waits for its last acknowledgements, or after its end."""
    for seed in seeds(40):
        _subscribe_late(seed)


def _subscribe_late(seed: int) -> None:
    simulation = Simulation(finite(12), seed=seed)
    simulation.run_until(lambda: len(simulation.history) > seed % 12)
    if simulation.over:
        return
    late = StageSpec(id=StageId("late"), behaviour=Forwarder)
    operations.start_child(simulation.core, ChildSpec(stage=late, restart="temporary"))
    outcome = operations.subscribe(simulation.core, "late", "through", SubscriptionOptions())
    run = simulation.finish(check=False)
    (end,) = [
        each
        for each in run.events
        if isinstance(each, ChildEnded) and each.child.stage.name == "late"
    ]
    assert (end.reason, end.normal) == ("done", True)
    assert outcome.done()
    if outcome.exception() is not None:
        assert "done" in str(outcome.exception())


# --- A27: fast consumers --------------------------------------------------------------------------


def test_a27_filtering_chains_never_stop() -> None:
    """Ten chains of two filters over sinks that cost nothing: every seed, all that should come.

    Ten in a thorough run, three otherwise.
    """
    topology, chains = Topology("chains"), size(10, 3)
    for number in range(chains):
        topology = (
            topology.stage(f"source{number}", Items, args={"items": list(range(300))})
            .stage(
                f"one{number}", Through, args={"rule": "filter"}, subscribe_to=[f"source{number}"]
            )
            .stage(f"two{number}", Through, args={"rule": "filter"}, subscribe_to=[f"one{number}"])
            .stage(f"sink{number}", Forwarder, subscribe_to=[f"two{number}"])
        )
    for seed in range(5):
        run = simulate(topology, seed=seed)
        for number in range(chains):
            assert run.handled(f"sink{number}") == list(range(0, 300, 3))
