"""Subscriptions paused and limited in rate while events flow, stages die and runs drain."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from actorflow import (
    Consumer,
    OptionError,
    Refused,
    SubscribeTo,
    Subscription,
    SupervisorOptions,
    Topology,
)
from actorflow.supervision.operations import restart_child, terminate_child
from actorflow.supervision.subscriptions import (
    pause,
    resume,
    set_rate,
    which_subscriptions,
)
from actorflow.supervision.wiring import EdgeState
from actorflow.testing import Conditions, Faults, Simulation
from actorflow.testing.topologies import Numbers, Sink, Through
from tests.conformance.helpers.stages import Counter, Forwarder
from tests.conformance.helpers.supervised import Supervised

COUNT = 60
WITHIN = 700


class Flighty(Consumer):
    """Pauses after each batch for a while, asks by hand for a while, and by itself again."""

    def __init__(self) -> None:
        self.turn = 0

    def handle_events(self, events: list[int], subscription: Subscription) -> None:
        self.turn += 1
        if self.turn % 3 == 0:
            self.pause(subscription)
            self.send_after(0.01 * self.turn, [subscription, "resume"])
        elif self.turn % 3 == 1:
            self.set_mode(subscription, "manual")
            self.send_after(0.01, [subscription, "automatic"])

    def handle_info(self, message: Any) -> None:
        subscription, what = message
        if what == "resume":
            self.resume(subscription)
        else:
            self.set_mode(subscription, what)


def topology(last: type[Consumer], dispatcher: str = "demand", **options: Any) -> Topology:
    """A source, a stage between and two sinks."""
    return (
        Topology("held", supervisor=SupervisorOptions(max_restarts=1000))
        .stage("numbers", Numbers, args={"first": 0, "count": COUNT, "answer": "exact"})
        .stage(
            "through",
            Through,
            args={"rule": "identity"},
            dispatcher=dispatcher,
            subscribe_to=[SubscribeTo("numbers", max_demand=5, **options)],
        )
        .stage(
            "sink", last, replicas=2, subscribe_to=[SubscribeTo("through", max_demand=4, **options)]
        )
    )


def taken(simulation: Simulation, stage: str) -> list[int]:
    """What a stage has handled, in order."""
    return [
        event
        for each in simulation.history
        if stage in (each.stage.stage.name, str(each.stage.stage))
        for event in each.events
    ]


@pytest.mark.parametrize("crashes", [0, 2])
@pytest.mark.parametrize("dispatcher", ["demand", "broadcast"])
def test_paused_and_resumed_by_the_program_at_random(dispatcher: str, crashes: int) -> None:
    """Every law holds at every step, nothing is lost, and the run comes to its end."""
    acts = 0
    for seed in range(15):
        random = Random(f"holding back {seed}")
        simulation = Simulation(
            topology(Sink, dispatcher),
            seed=seed,
            faults=Faults(crashes=crashes, within=WITHIN),
            laws=True,
        )
        core = simulation.core

        def act() -> None:
            nonlocal acts
            rows = [row for row in which_subscriptions(core) if row.state == "established"]  # noqa: B023
            if rows:
                acts += 1
                choice = random.choice((pause, pause, resume))  # noqa: B023
                choice(core, random.choice(rows).ref)  # noqa: B023

        def end() -> None:
            for edge in core.wiring.edges:  # noqa: B023
                if edge.paused and edge.state is not EdgeState.OVER:
                    resume(core, edge.ref)  # noqa: B023

        for _ in range(12):
            core.after(random.uniform(0, 0.03), act)
        core.after(1.0, end)
        finished = simulation.finish()
        for sink in ("sink/0", "sink/1") if dispatcher == "broadcast" else ("sink",):
            assert set(taken(simulation, sink)) == set(range(COUNT)), f"seed {seed}"
        assert finished.status == "done"
    assert acts > 30


@pytest.mark.parametrize("crashes", [0, 1])
def test_paused_and_switched_by_the_stage_itself(crashes: int) -> None:
    """A consumer that is manual for a while never has more open than its window, and loses nothing.

    A crash of it while it is manual leaves a successor that begins anew.
    """
    for seed in range(15):
        simulation = Simulation(
            topology(Flighty), seed=seed, faults=Faults(crashes=crashes, within=WITHIN), laws=True
        )
        simulation.finish()
        assert set(taken(simulation, "sink")) == set(range(COUNT)), f"seed {seed}"
        if not crashes:
            assert len(taken(simulation, "sink")) == COUNT


def test_a_rate_takes_its_time_under_virtual_time() -> None:
    """A burst of 4 and 10 a second: the last of 60 events comes after 5.6 seconds, none too early.

    In a world without delays that is to the event.
    """
    prompt = Conditions(pick="uniform", slowest=0.0, haste=0.0)
    for seed in range(10):
        plan = (
            Topology("slow")
            .stage("numbers", Numbers, args={"first": 0, "count": COUNT, "answer": "exact"})
            .stage(
                "sink", Sink, subscribe_to=[SubscribeTo("numbers", max_demand=7, rate=10, burst=4)]
            )
        )
        simulation = Simulation(plan, seed=seed, conditions=prompt, laws=True)
        simulation.finish()
        times = [each.time for each in simulation.history for _ in each.events]
        began = times[0]
        assert len(times) == COUNT
        for number, time in enumerate(times):
            assert time - began == pytest.approx(max(0, number - 3) / 10, abs=0.002), number


def test_two_rates_in_one_chain_and_a_crash() -> None:
    """Whoever dies: in no second come more events to a life than its burst and its rate."""
    for seed in range(10):
        simulation = Simulation(
            topology(Sink, rate=20, burst=3), seed=seed, faults=Faults(crashes=1), laws=True
        )
        simulation.finish()
        assert set(taken(simulation, "sink")) == set(range(COUNT))
        lives: dict[tuple[str, str], list[float]] = {}
        for each in simulation.history:
            key = (str(each.stage), str(each.producer))
            lives.setdefault(key, []).extend([each.time] * len(each.events))
        for times in lives.values():
            for first, time in enumerate(times):
                within = [other for other in times[first:] if other - time < 1]
                # A batch is noted when its callback returns, which may take its time.
                assert len(within) <= 20 + 3 + 4


def forwarder() -> Supervised:
    """A counter and a forwarder of it."""
    return Supervised(
        Topology("run")
        .stage("counter", Counter, restart="permanent")
        .stage("sink", Forwarder, subscribe_to=[SubscribeTo("counter", max_demand=4)])
    )


def at_rest(supervised: Supervised) -> bool:
    """Whether the sink has come to rest: it takes no more while everybody else goes on."""
    before = len(supervised.batches("sink/0"))
    end = supervised.simulation.world.now() + 1
    supervised.core.after(1.5, lambda: None)
    supervised.until(lambda: supervised.simulation.world.now() >= end)
    return len(supervised.batches("sink/0")) == before


@pytest.mark.parametrize("victim", ["counter/0", "sink/0"])
def test_the_programs_pause_outlives_a_kill(victim: str) -> None:
    """Of either end; the ref from before still means the subscription."""
    supervised = forwarder()
    core = supervised.core
    supervised.until(lambda: len(supervised.batches("sink/0")) > 3)
    (row,) = which_subscriptions(core, "sink")
    assert (row.consumer, row.producer, row.state) == ("sink/0", "counter/0", "established")
    pause(core, row.ref)
    assert which_subscriptions(core)[0].paused
    supervised.kill(victim)
    supervised.until(lambda: which_subscriptions(core)[0].state == "established")
    assert at_rest(supervised)
    assert which_subscriptions(core)[0].ref != row.ref
    before = len(supervised.batches("sink/0"))
    resume(core, row.ref)
    supervised.until(lambda: len(supervised.batches("sink/0")) > before + 3)


def test_a_pause_ends_with_its_subscription() -> None:
    """One that is over and made again flows, as no ref means it any more (seed 3013538 hung)."""
    supervised = forwarder()
    core = supervised.core
    supervised.until(lambda: len(supervised.batches("sink/0")) > 3)
    (row,) = which_subscriptions(core, "sink")
    pause(core, row.ref)
    gone = terminate_child(core, "sink")
    supervised.until(gone.done)
    restart_child(core, "sink")
    with pytest.raises(Refused, match="unknown_subscription"):
        resume(core, row.ref)
    before = len(supervised.batches("sink/0"))
    supervised.until(lambda: len(supervised.batches("sink/0")) > before + 3)


@pytest.mark.parametrize("victim", ["counter/0", "sink/0"])
def test_the_programs_rate_outlives_a_kill(victim: str) -> None:
    """Of either end."""
    supervised = forwarder()
    core = supervised.core
    (row,) = which_subscriptions(core, "sink")
    set_rate(core, row.ref, 1000.0, 2)
    supervised.kill(victim)
    supervised.until(lambda: which_subscriptions(core)[0].state == "established")
    (row,) = which_subscriptions(core)
    assert (row.options.rate, row.options.burst) == (1000.0, 2)
    supervised.until(lambda: len(supervised.batches("sink/0")) > 10)
    assert all(len(batch) <= 2 for batch in supervised.batches("sink/0")[-5:])


def test_a_drain_of_a_paused_run_comes_to_its_end() -> None:
    """It lifts every pause; what is buffered and under way is processed."""
    for seed in range(10):
        simulation = Simulation(topology(Sink), seed=seed, laws=True)
        core = simulation.core
        simulation.run_until(lambda: len(taken(simulation, "through")) > 5)  # noqa: B023
        for row in which_subscriptions(core):
            if row.state == "established":
                pause(core, row.ref)
        core.drain()
        with pytest.raises(Refused, match="draining"):
            pause(core, which_subscriptions(core)[0].ref)
        assert simulation.finish().status == "done"
        assert sorted(taken(simulation, "sink")) == taken(simulation, "through")


def test_what_cannot_be_paused_or_limited() -> None:
    """Each mistake has its error at the call."""
    supervised = forwarder()
    core = supervised.core
    (row,) = which_subscriptions(core)
    for act in (pause, resume):
        with pytest.raises(Refused, match="unknown_subscription"):
            act(core, 99)
        with pytest.raises(OptionError, match="ref must be a number, as subscribe returns it"):
            act(core, "sink")  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="rate must be"):
        set_rate(core, row.ref, -1, None)
    with pytest.raises(OptionError, match="burst must be"):
        set_rate(core, row.ref, None, 3)
