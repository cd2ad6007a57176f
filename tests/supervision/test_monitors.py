"""Monitors: callbacks, queues and actors are told of each end once, whatever becomes of them."""

from __future__ import annotations

import asyncio
import queue
import signal
from typing import Any

import pykka
import pytest

from actorflow import Consumer, DownMessage, OptionError, StageKilled, Subscription, Topology
from actorflow.protocol.identity import StageId
from actorflow.stage.spec import StageSpec
from actorflow.supervision import operations
from actorflow.supervision.children import ChildState
from actorflow.supervision.events import ChildEnded, StageLogged, SupervisorEvent
from actorflow.supervision.monitors import teller
from actorflow.supervision.specs import Backoff, ChildSpec
from actorflow.testing import Simulation
from actorflow.testing.topologies import Numbers, Sink
from tests.end_to_end.helpers import Events, kill
from tests.seeds import seeds

SEEDS = seeds(20)


class Listens(pykka.ThreadingActor):
    """An actor of the host's own, that writes down what it is told."""

    def __init__(self, told: queue.SimpleQueue[object]) -> None:
        super().__init__()
        self.told = told

    def on_receive(self, message: object) -> None:
        self.told.put(message)


class Fails(Consumer):
    """Says something, and raises."""

    def handle_events(self, events: list[int], subscription: Subscription) -> None:
        self.log.info("the last word")
        raise ValueError("not this one")


class Quits(Consumer):
    """Leaves with an exit status."""

    def handle_events(self, events: list[int], subscription: Subscription) -> None:
        import os

        os._exit(7)


def pair(sink: type[Consumer] = Sink, **options: Any) -> Topology:
    """A source and a sink."""
    return (
        Topology("monitored")
        .stage("numbers", Numbers, args={"first": 0, "count": 40})
        .stage("sink", sink, subscribe_to=["numbers"], **options)
    )


def watched(topology: Topology, seed: int) -> tuple[Simulation, list[DownMessage]]:
    """A simulated run whose sink is monitored from the beginning."""
    downs: list[DownMessage] = []
    simulation = Simulation(topology, seed=seed).start()
    operations.monitor(simulation.core, "sink", downs.append)
    return simulation, downs


@pytest.mark.parametrize("seed", SEEDS)
def test_each_incarnation_is_told_once(seed: int) -> None:
    """Two kills and an orderly end: three messages, in order; the last says that nobody follows."""
    simulation, downs = watched(pair(), seed)
    child = simulation.core.children[StageId("sink")]
    for life in (1, 2):
        simulation.run_until(
            lambda: child.generation == life and child.state is ChildState.RUNNING  # noqa: B023
        )
        simulation.world.signal(child.incarnation, "kill")
        simulation.run_until(lambda: child.generation > life)  # noqa: B023
    simulation.finish()
    assert [(str(down.child), down.restarting) for down in downs] == [
        ("sink/0#1", True),
        ("sink/0#2", True),
        ("sink/0#3", False),
    ]
    assert [(down.reason, down.signal) for down in downs] == [
        ("killed", signal.SIGKILL),
        ("killed", signal.SIGKILL),
        ("done", None),
    ]
    assert downs[2].status == 0


@pytest.mark.parametrize("seed", SEEDS)
def test_the_last_words_come_first(seed: int) -> None:
    """What the stage logged, and then that it is down, with its exception and its place."""
    order: list[SupervisorEvent | DownMessage] = []
    simulation = Simulation(pair(Fails, restart="temporary"), seed=seed).start()
    simulation.core.report = order.append
    operations.monitor(simulation.core, "sink", order.append)
    simulation.run_until(lambda: bool(order) and isinstance(order[-1], DownMessage))
    kinds = [type(each) for each in order]
    assert kinds.index(StageLogged) < kinds.index(ChildEnded) < kinds.index(DownMessage)
    down = order[-1]
    assert isinstance(down, DownMessage)
    assert isinstance(down.error, ValueError)
    assert "handle_events" in str(down.error.__cause__)


def test_one_that_has_ended_is_told_of_at_once_and_once() -> None:
    """Whether it comes back, as it waits for its back-off, or not."""
    simulation, _ = watched(pair(backoff=Backoff(initial=5)), 3)
    child = simulation.core.children[StageId("sink")]
    simulation.run_until(lambda: child.state is ChildState.RUNNING)
    simulation.world.signal(child.incarnation, "kill")
    simulation.run_until(lambda: child.state is ChildState.RESTARTING)
    downs: list[DownMessage] = []
    operations.monitor(simulation.core, "sink", downs.append)
    assert [(str(down.child), down.restarting) for down in downs] == [("sink/0#1", True)]
    simulation.finish()
    assert [(str(down.child), down.restarting) for down in downs[1:]] == [("sink/0#2", False)]
    late: list[DownMessage] = []
    operations.monitor(simulation.core, "sink", late.append)
    assert late == [DownMessage(3, *_fields(downs[1]))]


def _fields(down: DownMessage) -> tuple[Any, ...]:
    return (
        down.child,
        down.reason,
        down.error,
        down.restarting,
        down.pid,
        down.status,
        down.signal,
        down.detail,
    )


def test_a_monitor_goes_with_the_name() -> None:
    """A stage is deleted, and another one takes its name: that one is not monitored."""
    simulation, downs = watched(pair(backoff=Backoff(initial=5)), 3)
    core = simulation.core
    child = core.children[StageId("sink")]
    simulation.run_until(lambda: child.state is ChildState.RUNNING)
    simulation.world.signal(child.incarnation, "kill")
    simulation.run_until(lambda: child.state is ChildState.RESTARTING)
    operations.terminate_child(core, "sink")
    operations.delete_child(core, "sink")
    again = operations.start_child(core, child.spec)
    simulation.run_until(again.done)
    assert again.result(timeout=0).generation == 1
    gone = operations.terminate_child(core, "sink")
    simulation.run_until(gone.done)
    assert [(str(down.child), down.restarting) for down in downs] == [("sink/0#1", True)]
    simulation.stop()


class Answers(Consumer):
    """Leaves its life's number behind, unless it is killed."""

    def on_stop(self, reason: Any) -> None:
        self.set_result(f"answer of {self.name}")


@pytest.mark.parametrize("seed", SEEDS)
def test_what_a_forgotten_child_has_answered_comes_with_its_end(seed: int) -> None:
    """To its monitor and in the event of its end; the run keeps nothing of it."""
    topology = Topology("service").dynamic_supervisor("jobs")
    simulation = Simulation(topology, seed=seed).start()
    core = simulation.core
    downs: list[DownMessage] = []
    for name in ("jobs.a", "jobs.b"):
        stage = StageSpec(id=StageId(name), behaviour=Answers)
        started = operations.start_child(core, ChildSpec(stage=stage, supervisor="jobs"))
        simulation.run_until(started.done)
        operations.monitor(core, name, downs.append)
    killed = core.children[StageId("jobs.a")]
    simulation.world.signal(killed.incarnation, "kill")
    simulation.run_until(lambda: killed.generation == 2 and killed.state is ChildState.RUNNING)
    for name in ("jobs.a", "jobs.b"):
        simulation.run_until(operations.terminate_child(core, name).done)
    assert [(str(down.child), down.result) for down in downs] == [
        ("jobs.a/0#1", None),
        ("jobs.a/0#2", "answer of jobs.a"),
        ("jobs.b/0#1", "answer of jobs.b"),
    ]
    assert not core.children
    run = simulation.stop()
    ended = [event for event in run.events if isinstance(event, ChildEnded)]
    assert [event.result for event in ended] == [None, "answer of jobs.a", "answer of jobs.b"]
    assert run.results == {}


def test_a_target_that_fails_hurts_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """A full queue, a dead actor, a callback that raises or wants to exit: a log line each."""
    full: queue.Queue[object] = queue.Queue(maxsize=1)
    full.put("no room")
    dead = Listens.start(queue.SimpleQueue())
    dead.stop()

    def leaves(down: DownMessage) -> None:
        raise SystemExit(3)

    simulation, downs = watched(pair(), 5)
    for target in (full, dead, leaves):
        operations.monitor(simulation.core, "sink", target)
    last: list[DownMessage] = []
    operations.monitor(simulation.core, "sink", last.append)
    assert simulation.finish().status == "done"
    assert (len(downs), len(last), full.qsize()) == (1, 1, 1)
    assert caplog.text.count("the monitor of sink/0 failed") == 2
    assert caplog.text.count("is an actor that has ended") == 1


def test_a_callback_may_end_another_monitor() -> None:
    """Which then hears nothing."""
    simulation, _ = watched(pair(), 5)
    core = simulation.core
    numbers: list[int] = []
    operations.monitor(core, "sink", lambda down: core.monitors.remove(numbers[0]))
    heard: list[DownMessage] = []
    numbers.append(operations.monitor(core, "sink", heard.append))
    simulation.finish()
    assert heard == []


@pytest.mark.parametrize("target", [None, 3, "a name", [], asyncio.Queue()])
def test_what_is_no_target_is_refused(target: Any) -> None:
    """At the call; an asyncio queue, which belongs to one thread, with a word on what to do."""
    with pytest.raises(OptionError, match=r"target must be a callback, a queue .*actor") as caught:
        teller(target)
    assert ("call_soon_threadsafe" in str(caught.value)) is isinstance(target, asyncio.Queue)


@pytest.mark.processes
def test_queues_and_actors_hear_of_real_processes() -> None:
    """With pid, signal or exit status, and the error; an actor also by the supervisor's proxy."""
    downs: queue.SimpleQueue[Any] = queue.SimpleQueue()
    told: queue.SimpleQueue[Any] = queue.SimpleQueue()
    listens = Listens.start(told)
    events = Events()
    try:
        with pair(Quits, restart="temporary").stage("idle", Sink).start(events) as run:
            run.monitor("sink", downs)
            run.monitor("idle", listens)
            proxy = run.supervisor.proxy()
            unwanted = proxy.monitor("idle", listens).get(timeout=10)
            assert proxy.demonitor(unwanted).get(timeout=10) is True
            quit_by_itself = downs.get(timeout=20)
            assert (quit_by_itself.status, quit_by_itself.signal) == (7, None)
            assert quit_by_itself.reason == ["exit", 7]
            assert isinstance(quit_by_itself.error, StageKilled)
            events.started("idle")
            pid = kill(run, "idle")
            killed = told.get(timeout=20)
            assert (killed.pid, killed.signal, killed.status) == (pid, signal.SIGKILL, None)
            assert killed.restarting
        stopped = told.get(timeout=20)
        assert (str(stopped.child), stopped.restarting) == ("idle/0#2", False)
        assert told.empty()
    finally:
        listens.stop()
