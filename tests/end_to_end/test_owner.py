"""A supervisor among a host's own actors: whom it belongs to, and what it tells."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pykka
import pytest

from actorflow import (
    OptionError,
    RunDown,
    Supervisor,
    SupervisorOptions,
    Topology,
    TopologyError,
    from_iterable,
)
from tests.end_to_end.helpers import Events, alive, wait_until
from tests.end_to_end.stages import Count, Sink
from tests.end_to_end.stages_of_lives import Noted

pytestmark = pytest.mark.processes

LIMIT = 50.0


@pytest.fixture(autouse=True)
def no_actor_left() -> Iterator[None]:
    """Stop the actors of a test that failed."""
    yield
    pykka.ActorRegistry.stop_all(timeout=LIMIT)


def counting(source: Any) -> Topology:
    """An iterable, counted in a process."""
    return (
        Topology("counting")
        .stage("items", from_iterable(source))
        .stage("count", Count, subscribe_to=["items"])
    )


def broken() -> Iterator[int]:
    """One item and an error."""
    yield 1
    raise LookupError("broken")


class Owner(pykka.ThreadingActor):
    """Starts a supervisor of its own, and passes on what it is told."""

    def __init__(self, topology: Topology, told: queue.SimpleQueue[Any]) -> None:
        super().__init__()
        self.topology = topology
        self.told = told

    def on_start(self) -> None:
        self.supervisor = Supervisor.start(self.topology, owner=self.actor_ref)

    def on_receive(self, message: Any) -> Any:
        if message == "supervisor":
            return self.supervisor
        self.told.put(message)
        return None


def owned(topology: Topology) -> tuple[pykka.ActorRef[Any], queue.SimpleQueue[Any]]:
    """The supervisor of an owner, and what the owner is told."""
    told: queue.SimpleQueue[Any] = queue.SimpleQueue()
    owner = Owner.start(topology, told)
    return owner.ask("supervisor", timeout=LIMIT), told


def test_an_owner_is_told_of_the_end() -> None:
    """Once, with the results; the supervisor stays and answers until it is stopped."""
    supervisor, told = owned(counting([1, 2, 3]))
    down = told.get(timeout=LIMIT)
    assert isinstance(down, RunDown)
    assert (down.run, down.supervisor) == ("counting", supervisor.actor_urn)
    assert down.outcome.status == "done"
    assert down.outcome.results["count"]["events"] == 3
    children = supervisor.proxy().which_children().get(timeout=LIMIT)
    assert {child.state for child in children} == {"ended"}
    supervisor.stop(timeout=LIMIT)
    with pytest.raises(queue.Empty):
        told.get_nowait()


def test_an_owner_is_told_of_a_failure() -> None:
    """With the very exception."""
    _, told = owned(counting(broken()))
    outcome = told.get(timeout=LIMIT).outcome
    assert outcome.status == "failed"
    assert isinstance(outcome.error, LookupError)


def test_the_hosts_registry_stops_it_and_its_processes(tmp_path: Path) -> None:
    """`stop_all` has every child stop, in its turn and its time; the owner is told before."""
    told: queue.SimpleQueue[Any] = queue.SimpleQueue()
    path = tmp_path / "noted"
    topology = Topology("endless", supervisor=SupervisorOptions(order="one_by_one"))
    for name, seconds, shutdown in (("a", 0.0, 5.0), ("b", 0.0, 5.0), ("c", 1000.0, 0.2)):
        args = {"path": str(path), "seconds": 0.0, "end": seconds}
        topology = topology.stage(name, Noted, args=args, shutdown=shutdown)
    supervisor = Supervisor.start(topology, owner=told)

    def running() -> list[int]:
        rows = supervisor.proxy().which_children().get(timeout=LIMIT)
        pids = [child.pid for child in rows if child.state == "running"]
        return pids if len(pids) == len(rows) else []

    pids = wait_until(running, "the children to run")
    pykka.ActorRegistry.stop_all(timeout=LIMIT)
    assert not supervisor.is_alive()
    assert not alive(pids)
    outcome = told.get(timeout=LIMIT).outcome
    assert (outcome.status, outcome.error) == ("stopped", None)
    # Whether the one that is killed had come to its end by then is a matter of the machine.
    others = ["-b", "-b.", "-a", "-a."]
    assert path.read_text().split()[6:] in (["-c", *others], others)


def test_closing_a_run_waits_for_the_stop_that_is_under_way(tmp_path: Path) -> None:
    """The host's registry has begun it, and the stage takes its time; nothing is left after it."""
    path = tmp_path / "noted"
    topology = Topology("slow").stage("a", Noted, args={"path": str(path), "end": 0.5})
    run = topology.start(Events())
    wait_until(lambda: run.which_children()[0].state == "running", "the child to run")
    pid = run.which_children()[0].pid
    run.supervisor.stop(block=False)
    wait_until(lambda: "-a" in path.read_text(), "its end to begin")
    run.close()
    assert not alive({pid})
    assert path.read_text().split()[2:] == ["-a", "-a."]
    assert run.outcome(0).status == "stopped"


def test_an_owner_that_was_stopped_first_does_not_hold_anything_up(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """There is nobody left to tell but the log."""
    gate = threading.Event()

    def items() -> Iterator[int]:
        yield 1
        gate.wait(LIMIT)

    told: queue.SimpleQueue[Any] = queue.SimpleQueue()
    owner = Owner.start(counting(items()), told)
    supervisor = owner.ask("supervisor", timeout=LIMIT)
    owner.stop(timeout=LIMIT)
    with caplog.at_level(logging.ERROR):
        gate.set()
        wait_until(
            lambda: "the owner of run 'counting' was not told: it is done" in caplog.text, ""
        )
    assert supervisor.is_alive()
    supervisor.stop(timeout=LIMIT)


def test_an_owner_may_be_a_callback_that_raises(caplog: pytest.LogCaptureFixture) -> None:
    """Its mistake is logged, and the supervisor goes on."""
    called = threading.Event()

    def owner(down: RunDown) -> None:
        called.set()
        raise LookupError("the owner's own")

    supervisor = Supervisor.start(counting([1]), owner=owner)
    assert called.wait(LIMIT)
    assert supervisor.proxy().count_children().get(timeout=LIMIT).active == 0
    wait_until(lambda: "the owner's own" in caplog.text, "the log")
    supervisor.stop(timeout=LIMIT)


def test_what_cannot_be_an_owner_is_refused_at_the_call() -> None:
    """Before anything is started; a topology's mistakes are, too."""
    with pytest.raises(OptionError, match="owner must be a callback, a queue"):
        Supervisor.start(counting([1]), owner=5)
    with pytest.raises(TopologyError, match="unknown stage"):
        Supervisor.start(Topology("x").stage("sink", Sink, subscribe_to=["nobody"]))
    assert pykka.ActorRegistry.get_all() == []


def test_supervisors_of_one_owner_do_not_disturb_each_other() -> None:
    """One fails, one is done, one goes on."""
    told: queue.SimpleQueue[Any] = queue.SimpleQueue()
    names = {"fails": broken(), "done": [1, 2], "goes-on": count()}
    supervisors = {
        name: Supervisor.start(
            Topology(name)
            .stage("items", from_iterable(source))
            .stage("count", Count, subscribe_to=["items"]),
            owner=told,
        )
        for name, source in names.items()
    }
    downs = [told.get(timeout=LIMIT) for _ in range(2)]
    assert {down.run: down.outcome.status for down in downs} == {"fails": "failed", "done": "done"}
    children = supervisors["goes-on"].proxy().which_children().get(timeout=LIMIT)
    assert not {child.state for child in children} & {"ended", "restarting", "stopping"}
    supervisors["goes-on"].stop(timeout=LIMIT)
    assert told.get(timeout=LIMIT).outcome.status == "stopped"
