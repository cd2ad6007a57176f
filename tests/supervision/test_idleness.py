"""A run in which nothing can flow any more ends, where it is told to; elsewhere it waits."""

from __future__ import annotations

from typing import Any

import pytest

from actorflow import (
    Consumer,
    Producer,
    SubscribeTo,
    SubscriptionOptions,
    SupervisorOptions,
    Topology,
)
from actorflow.protocol.identity import StageId
from actorflow.supervision import changes, operations
from actorflow.supervision.children import ChildState
from actorflow.supervision.idleness import is_idle
from actorflow.supervision.specs import Backoff
from actorflow.testing import Simulation, Stalled, simulate
from actorflow.testing.topologies import Numbers, Sink, Through
from tests.seeds import seeds

SEEDS = seeds(20)


class Idle(Producer):
    """Has nothing, and is never done."""

    def handle_demand(self, demand: int) -> None:
        """Nothing."""


class Leaves(Consumer):
    """Has enough after its first events."""

    def handle_events(self, events: list[int], subscription: object) -> None:
        self.stop()


def to(stage: str, cancel: str) -> SubscribeTo:
    """A subscription with few events under way."""
    return SubscribeTo(stage, max_demand=3, cancel=cancel)


def chain(cancel: str, *, ends: bool = True, **sink: Any) -> Topology:
    """Three stages in a row, whose subscriptions outlive their producers."""
    return (
        Topology("rests", supervisor=SupervisorOptions(ends_when_idle=ends))
        .stage("a", Numbers, args={"first": 0, "count": 30})
        .stage("b", Through, args={"rule": "identity"}, subscribe_to=[to("a", cancel)])
        .stage("c", Sink, subscribe_to=[to("b", cancel)], **sink)
    )


@pytest.mark.parametrize("cancel", ["transient", "temporary"])
def test_a_run_whose_sources_are_done_ends(cancel: str) -> None:
    """Though no cancel mode ends its consumers; everything is processed before."""
    for seed in SEEDS:
        run = simulate(chain(cancel), seed=seed, laws=True)
        assert (run.status, sorted(run.handled("c"))) == ("done", list(range(30)))


def test_without_the_option_it_waits_for_the_program() -> None:
    """Which may subscribe them to something else."""
    with pytest.raises(Stalled):
        simulate(chain("temporary", ends=False))


def test_a_source_that_nobody_will_ever_take_from_ends() -> None:
    """Its only consumer was killed, and is temporary: nobody waits for ever."""
    for seed in SEEDS:
        simulation = Simulation(chain("temporary", restart="temporary"), seed=seed)
        sink = simulation.core.children[StageId("c")]
        simulation.run_until(lambda: bool(simulation.history))  # noqa: B023
        simulation.world.signal(sink.incarnation, "kill")
        run = simulation.finish()
        assert run.status == "done"


def test_a_consumer_that_has_enough_ends_the_run_with_it() -> None:
    """An endless source behind it would be asked for nothing ever again."""
    for seed in SEEDS:
        topology = (
            Topology("enough", supervisor=SupervisorOptions(ends_when_idle=True))
            .stage("a", Numbers, args={"first": 0, "count": 5000})
            .stage("b", Leaves, subscribe_to=[to("a", "permanent")])
        )
        run = simulate(topology, seed=seed)
        assert run.status == "done"
        assert len(run.handled("b")) < 10


def test_a_stage_that_works_without_consumers_keeps_the_run() -> None:
    """It may have another purpose than its events; so may one that nobody subscribed to yet."""
    simulation = Simulation(chain("permanent").stage("alone", Idle), seed=4)
    children = simulation.core.children
    simulation.run_until(lambda: all(children[StageId(name)].ended_for_good for name in "abc"))
    assert not is_idle(children, simulation.core.wiring)
    assert simulation.stop().status == "stopped"


def test_one_that_was_unsubscribed_does_not_keep_the_run() -> None:
    """It lives on without a subscription, which makes it no source; the rest comes to its end."""
    for seed in SEEDS:
        topology = chain("temporary").stage("d", Sink, subscribe_to=[to("b", "temporary")])
        simulation = Simulation(topology, seed=seed)
        simulation.run_until(lambda: len(simulation.history) > 2)  # noqa: B023
        assert changes.unsubscribe(simulation.core, "d", "b", "normal") == 1
        run = simulation.finish()
        assert run.status == "done"
        assert set(run.handled("c")) | set(run.handled("d")) == set(range(30))


def test_a_source_that_was_left_waits_for_the_program() -> None:
    """Nobody takes from it any more, by the program's will: it may subscribe somebody else."""
    simulation = Simulation(chain("temporary"), seed=5)
    simulation.run_until(lambda: len(simulation.history) > 2)
    changes.unsubscribe(simulation.core, "b", "a", "normal")
    with pytest.raises(Stalled):
        simulation.finish()
    again = operations.subscribe(
        simulation.core, "b", "a", SubscriptionOptions(max_demand=3, cancel="temporary")
    )
    simulation.run_until(again.done)
    simulation.run_until(lambda: simulation.core.children[StageId("a")].ended_for_good)
    run = simulation.stop()
    assert set(run.handled("c")) == set(range(30))


def beside_what_has_ended() -> Simulation:
    """A chain without end, at the moment at which all else has ended for good."""
    topology = (
        Topology("beside")
        .stage("a", Idle)
        .stage(
            "b",
            Through,
            args={"rule": "identity"},
            restart="temporary",
            subscribe_to=[to("a", "temporary")],
        )
        .stage("c", Sink, subscribe_to=[to("b", "temporary")])
        .stage("x", Numbers, args={"first": 0, "count": 1})
        .stage("y", Sink, subscribe_to=[to("x", "permanent")])
    )
    simulation = Simulation(topology, seed=4)
    children = simulation.core.children
    simulation.run_until(lambda: all(children[StageId(name)].ended_for_good for name in "xy"))
    return simulation


def test_a_chain_that_may_flow_keeps_the_run_whatever_else_has_ended() -> None:
    """Its source has a sink in reach, through the stage between them."""
    simulation = beside_what_has_ended()
    assert not is_idle(simulation.core.children, simulation.core.wiring)
    simulation.stop()


def test_a_stage_that_was_terminated_is_not_idle_whatever_else_has_ended() -> None:
    """Without it the source has no sink in reach; but the program may restart it."""
    simulation = beside_what_has_ended()
    gone = operations.terminate_child(simulation.core, "b")
    simulation.run_until(gone.done)
    assert not is_idle(simulation.core.children, simulation.core.wiring)
    simulation.stop()


@pytest.mark.parametrize("does", ["starts", "subscribes"])
def test_what_a_program_does_ends_the_rest(does: str) -> None:
    """The source is cut off for good; then a program starts a stage, or subscribes one."""
    simulation = beside_what_has_ended()
    core = simulation.core
    cut = core.children[StageId("b")]
    simulation.world.signal(cut.incarnation, "kill")
    simulation.run_until(lambda: cut.ended_for_good)
    assert is_idle(core.children, core.wiring)
    if does == "starts":
        simulation.run_until(operations.restart_child(core, "y").done)
    else:
        simulation.run_until(operations.subscribe(core, "c", "a", SubscriptionOptions()).done)
    assert not is_idle(core.children, core.wiring)
    simulation.stop()


def test_what_a_program_has_in_its_hands_is_not_idle() -> None:
    """A stage that was terminated may be restarted; one that was started may be subscribed."""
    simulation = Simulation(chain("temporary"), seed=4)
    core = simulation.core
    simulation.run_until(lambda: bool(simulation.history))
    gone = operations.terminate_child(core, "a")
    simulation.run_until(gone.done)
    assert not is_idle(core.children, core.wiring)
    again = operations.restart_child(core, "a")
    simulation.run_until(again.done)
    assert simulation.core.children[StageId("a")].dynamic
    assert not core.draining
    simulation.stop()


def test_the_last_child_that_is_given_up_while_it_waits_ends_the_run() -> None:
    """Nothing will exit any more that could end it."""
    topology = Topology("one").stage("a", Idle, backoff=Backoff(initial=5))
    simulation = Simulation(topology, seed=2)
    child = simulation.start().core.children[StageId("a")]
    simulation.run_until(lambda: child.state is ChildState.RUNNING)
    simulation.world.signal(child.incarnation, "kill")
    simulation.run_until(lambda: child.state is ChildState.RESTARTING)
    operations.terminate_child(simulation.core, "a")
    assert simulation.over
    assert simulation.finish().status == "done"


def test_the_last_subscription_of_a_program_that_is_given_up_ends_the_run() -> None:
    """Nothing will be heard of it any more: its consumer is away, and comes back later."""
    topology = chain("temporary").stage("d", Sink, backoff=Backoff(initial=5))
    simulation = Simulation(topology, seed=3)
    core = simulation.start().core
    away = core.children[StageId("d")]
    simulation.run_until(lambda: away.state is ChildState.RUNNING)
    options = SubscriptionOptions(cancel="temporary")
    simulation.run_until(operations.subscribe(core, "d", "b", options).done)
    simulation.world.signal(away.incarnation, "kill")
    simulation.run_until(lambda: away.state is ChildState.RESTARTING)
    simulation.run_until(lambda: core.children[StageId("a")].ended_for_good)
    assert not core.draining
    changes.unsubscribe(core, "d", "b", "normal")
    assert core.draining
    assert simulation.finish().status == "done"
