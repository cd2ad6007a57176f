"""A7: a producer hands a subscription on to others, as one step or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

import actorflow
from actorflow import (
    OptionError,
    Redirect,
    Refused,
    Subscription,
    SubscriptionOptions,
    SupervisorOptions,
    Topology,
)
from actorflow.supervision import operations
from actorflow.supervision.events import ChildEnded
from actorflow.supervision.wiring import EdgeState
from actorflow.testing import Faults
from actorflow.testing.simulation import Simulation
from actorflow.testing.topologies import Numbers, Sink
from tests.conformance.helpers.stages import Forwarder, Idle
from tests.conformance.helpers.supervised import Supervised
from tests.seeds import seeds


class Redirector(actorflow.Producer):
    """Sends whoever subscribes to others."""

    def __init__(self, to: list[str]) -> None:
        self.to = to

    def handle_subscribe(
        self, side: str, options: Mapping[str, Any], subscription: Subscription
    ) -> Redirect:
        return Redirect(*self.to)

    def handle_demand(self, demand: int) -> None:
        raise AssertionError("a redirector is asked for nothing")


class Watches(Forwarder):
    """Keeps the order of its callbacks; its result is what they were."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[str, str]] = []

    def handle_subscribe(
        self, side: str, options: Mapping[str, Any], subscription: Subscription
    ) -> None:
        self.calls.append(("subscribe", subscription.stage))

    def handle_cancel(self, reason: Any, subscription: Subscription) -> None:
        kind = reason[1][0] if isinstance(reason[1], list) else reason[1]
        self.calls.append((f"cancel {kind}", subscription.stage))


class Picky(Idle):
    """Refuses its place in a broadcast to everybody but the first."""

    dispatcher = "broadcast"


def redirected(
    *targets: str, sink: Any = Watches, source: Any = Idle, count: int = 0, **options: Any
) -> Topology:
    """A redirector to these of the producers a, b and c, and a sink that subscribes to it."""
    topology = Topology("redirected", supervisor=SupervisorOptions(max_restarts=1000))
    for number, name in enumerate("abc"):
        args = {"first": number * 1000, "count": count} if source is Numbers else {}
        topology = topology.stage(name, source, args=args)
    topology = topology.stage("redirector", Redirector, args={"to": list(targets)})
    return topology.stage(
        "sink", sink, subscribe_to=[{"to": "redirector", "max_demand": 4, **options}]
    )


def producers_of(run: Any, consumer: str = "sink") -> list[str]:
    """Whom a consumer is subscribed to, established and there to stay."""
    return sorted(
        edge.producer.name
        for edge in run.core.wiring.edges
        if edge.consumer.name == consumer
        and edge.state is EdgeState.ESTABLISHED
        and not edge.leaving
    )


def test_a07_every_new_subscription_begins_before_the_redirectors_ends() -> None:
    """For all seeds: k times handle_subscribe, and only then handle_cancel; then events flow."""
    for seed in seeds(25):
        run = Supervised(redirected("a", "b", "c"), seed)
        run.until(lambda run=run: ends(run, "sink") == ["redirector"])  # type: ignore[misc]
        calls = run.stage("sink/0").calls
        assert calls[0] == ("subscribe", "redirector")
        assert sorted(calls[1:4]) == [("subscribe", name) for name in "abc"]
        assert calls[4:] == [("cancel redirected", "redirector")]
        assert producers_of(run) == ["a", "b", "c"]
        for number, name in enumerate("abc"):
            operations.cast(run.core, name, [number])
        run.until(lambda run=run: sum(map(len, run.batches("sink/0"))) == 3)  # type: ignore[misc]
        assert sorted(event for batch in run.batches("sink/0") for event in batch) == [0, 1, 2]
        run.simulation.stop()


def ends(run: Supervised, stage: str) -> list[str]:
    """Whose subscriptions have ended at a stage, in order."""
    behaviour = run.stage(f"{stage}/0")
    calls = getattr(behaviour, "calls", [])
    return [peer for label, peer in calls if label.startswith("cancel")]


def test_a07_a_program_that_subscribes_gets_the_ref_of_the_first_new_one() -> None:
    """The operation is done when the redirect is."""
    topology = redirected("a", "b").stage("late", Forwarder)
    run = Supervised(topology)
    ref = run.wait(operations.subscribe(run.core, "late", "redirector", SubscriptionOptions()))
    assert producers_of(run, "late") == ["a", "b"]
    edge = run.core.wiring.by_ref(ref)
    assert edge is not None
    assert edge.producer.name == "a"


@pytest.mark.parametrize("missing", ["dead", "unknown", "consumer", "refuses"])
def test_a07_one_target_that_cannot_be_had_fails_the_whole_redirect(missing: str) -> None:
    """One typed error, no half state: whoever was in between is as before."""
    topology = redirected("a", {"dead": "b", "unknown": "x", "consumer": "other"}.get(missing, "b"))
    stages = topology.stage("other", Forwarder).stage("late", Watches)
    run = Supervised(stages if missing != "refuses" else refusing())
    if missing == "dead":
        run.core.give_up(operations.find(run.core, "b"))
        run.until(lambda: run.row("b/0").state == "ended")
    future = operations.subscribe(
        run.core, "late", "redirector", SubscriptionOptions(cancel="temporary")
    )
    with pytest.raises(Refused, match="redirect_failed"):
        run.wait(future)
    run.until(lambda: ends(run, "late")[-1:] == ["redirector"])
    calls = run.stage("late/0").calls
    assert calls[-1] == ("cancel redirect_failed", "redirector")
    begun = [peer for label, peer in calls if label == "subscribe"]
    assert sorted(begun) == sorted(ends(run, "late"))
    run.until(lambda: not [e for e in run.core.wiring.edges if e.consumer.name == "late"])
    operations.cast(run.core, "a", [1])
    assert run.stage("late/0").batches == []


def refusing() -> Topology:
    """One of the targets has a partition that is taken."""
    return (
        Topology("refusing")
        .stage("a", Idle)
        .stage("b", Idle, dispatcher={"partition": {"partitions": 1}})
        .stage("first", Forwarder, subscribe_to=["b"])
        .stage("redirector", Redirector, args={"to": ["a", "b"]})
        .stage("late", Watches)
    )


def test_a07_a_loop_is_refused() -> None:
    """Directly, and over another redirector; a chain that ends is followed to its end."""
    topology = (
        Topology("loops")
        .stage("self", Redirector, args={"to": ["self"]})
        .stage("there", Redirector, args={"to": ["back"]})
        .stage("back", Redirector, args={"to": ["there"]})
        .stage("far", Redirector, args={"to": ["near"]})
        .stage("near", Redirector, args={"to": ["a"]})
        .stage("a", Idle)
        .stage("sink", Forwarder)
    )
    run = Supervised(topology)
    options = SubscriptionOptions(cancel="temporary")
    for name in ("self", "there"):
        with pytest.raises(Refused, match="redirect_loop"):
            run.wait(operations.subscribe(run.core, "sink", name, options))
    run.wait(operations.subscribe(run.core, "sink", "far", options))
    assert producers_of(run) == ["a"]
    run.until(lambda: [str(e.producer) for e in run.core.wiring.edges] == ["a/0"])


def test_a07_a_declared_subscription_that_fails_ends_its_consumer_by_the_cancel_mode() -> None:
    """It is started again, and asks again, as often as its supervisor allows."""
    topology = redirected("a", "nobody")
    simulation = Simulation(Topology("once", stages=topology.stages), seed=1)
    finished = simulation.finish(check=False)
    assert finished.status == "failed"
    reasons = [e.reason for e in finished.events if isinstance(e, ChildEnded)]
    assert ["redirect_failed", "no_such_stage: there is no stage 'nobody'"] in reasons


@pytest.mark.parametrize("victim", ["sink", "a", "redirector"])
def test_a07_a_redirect_stands_over_restarts(victim: str) -> None:
    """Whoever is killed afterwards, the consumer is subscribed to the same producers, once each."""
    run = Supervised(redirected("a", "b"))
    run.until(lambda: producers_of(run) == ["a", "b"])
    run.until(lambda: len([e for e in run.core.wiring.edges if not e.leaving]) == 2)
    for _ in range(2):
        run.kill(f"{victim}/0")
        run.until(lambda: run.row(f"{victim}/0").state == "running")
        run.until(lambda: producers_of(run) == ["a", "b"])
    assert run.row(f"{victim}/0").generation == 3


def test_a07_nothing_is_lost_or_doubled_whoever_dies_at_any_step_of_the_switch() -> None:
    """The consumer, the redirector, or none: in the end each target is subscribed to once."""
    for seed in seeds(150):
        topology = redirected("a", "b", "c", sink=Sink, source=Numbers, count=6)
        faults = Faults(crashes=seed % 3, within=250, stages=("sink", "redirector"))
        simulation = Simulation(topology, seed=seed, faults=faults, laws=True)
        simulation.run_until(lambda s=simulation: len(set(handled(s))) == 18)  # type: ignore[misc]
        if simulation.over:
            run = simulation.finish(check=False)
            assert any(each.endswith("#1") for each in run.crashed), run.error
            continue
        if not simulation.world.crashed:
            assert sorted(handled(simulation)) == sorted(set(handled(simulation)))
        refs = [
            (edge.consumer, edge.producer)
            for edge in simulation.core.wiring.edges
            if edge.live and not edge.leaving
        ]
        assert len(refs) == len(set(refs)), seed
        run = simulation.stop()
        assert run.error is None


def handled(simulation: Simulation) -> list[int]:
    """What the sink has handled."""
    return [event for each in simulation.history for event in each.events]


def test_a07_a_redirect_names_stages() -> None:
    """What is no name is refused where it is passed."""
    for stages in ((), ("",), (7,)):
        with pytest.raises(OptionError, match="stages must be"):
            Redirect(*stages)  # type: ignore[arg-type]
