"""B20: a producer-consumer whose producer is gone while its queue waits for demand."""

from __future__ import annotations

from typing import Any

import pytest

from actorflow import SubscribeTo, Topology
from actorflow.stage.upstream import LOST_AFTER
from actorflow.supervision.events import StageLogged
from actorflow.testing.harness import StageHarness
from tests.conformance.helpers.stages import Counter, Same
from tests.conformance.helpers.supervised import Supervised

DOWNSTREAM = ["none", "silent", "left", "died"]


def between(downstream: str, cancel: str = "permanent") -> StageHarness:
    """A producer-consumer with three events in its queue, and nobody who asks for them."""
    stage = StageHarness(Same)
    stage.link_to_producer(1, "counter", max_demand=5, cancel=cancel)
    if downstream != "none":
        stage.subscribe(2, "sink")
    if downstream == "left":
        stage.unsubscribe(2)
        stage.hang_up(2)
    if downstream == "died":
        stage.hang_up(2)
        stage.down("sink", "killed")
    stage.route(1, ["a", "b", "c"])
    return stage


def state(stage: StageHarness) -> list[str]:
    """What the status says of the producers."""
    return [each["state"] for each in stage.status()["producers"]]


@pytest.mark.parametrize("downstream", DOWNSTREAM)
def test_b20_the_status_says_at_once_that_the_producer_is_lost(downstream: str) -> None:
    """So does the log; the callback waits for its turn, behind the events."""
    stage = between(downstream)
    stage.down("counter", "killed")
    assert state(stage) == ["lost"]
    assert "upstream lost" in str(stage.log[-1])
    assert [why for why, handle in stage.calls("handle_cancel") if handle.ref == 1] == []
    assert stage.exiting is None


@pytest.mark.parametrize("downstream", ["none", "left", "died"])
@pytest.mark.parametrize("cancel", ["permanent", "transient"])
def test_b20_without_a_downstream_it_ends_within_a_stated_time(
    downstream: str, cancel: str
) -> None:
    """After `LOST_AFTER` seconds; what is dropped is counted and logged."""
    stage = between(downstream, cancel)
    stage.down("counter", "killed")
    stage.advance(LOST_AFTER - 0.1)
    assert stage.exiting is None
    stage.advance(0.2)
    assert [why for why, handle in stage.calls("handle_cancel") if handle.ref == 1] == [
        ("down", "killed")
    ]
    assert stage.exiting is not None
    assert stage.exiting.reason == "killed"
    assert stage.counters["lost"] == 3
    assert "'events': 3" in str(stage.log[-1])
    assert stage.behaviour.batches == []


def test_b20_a_silent_downstream_is_waited_for() -> None:
    """Its events are its own; when it asks they are handled, and then the stage ends."""
    stage = between("silent")
    stage.down("counter", "killed")
    stage.advance(100 * LOST_AFTER)
    assert stage.exiting is None
    stage.ask(2, 10)
    assert stage.events(2) == [["a", "b", "c"]]
    assert stage.exiting is not None
    assert stage.exiting.reason == "killed"
    assert stage.counters["lost"] == 0


@pytest.mark.parametrize("leaves", ["cancels", "dies"])
def test_b20_a_silent_downstream_that_leaves_later(leaves: str) -> None:
    """From then on it takes twice the stated time at most."""
    stage = between("silent")
    stage.down("counter", "killed")
    stage.advance(10.5 * LOST_AFTER)
    if leaves == "cancels":
        stage.unsubscribe(2)
    else:
        stage.hang_up(2)
        stage.down("sink", "killed")
    stage.advance(2 * LOST_AFTER)
    assert stage.exiting is not None
    assert stage.exiting.reason == "killed"


def test_b20_a_downstream_that_is_being_restarted_is_waited_for() -> None:
    """Its successor gets what is there."""
    stage = between("silent")
    stage.hang_up(2)
    stage.down("sink", "killed", restarting=True)
    stage.down("counter", "killed")
    stage.advance(3 * LOST_AFTER)
    assert stage.exiting is None
    stage.subscribe(3, "sink#2")
    stage.ask(3, 10)
    assert stage.events(3) == [["a", "b", "c"]]


def test_b20_a_downstream_that_is_declared_is_waited_for() -> None:
    """It has not come yet."""
    stage = StageHarness(Same)
    stage.expect("counter/0", consumers=["sink/0"])
    stage.link_to_producer(1, "counter", max_demand=5)
    stage.route(1, ["a"])
    stage.down("counter", "killed")
    stage.advance(3 * LOST_AFTER)
    assert stage.exiting is None


@pytest.mark.parametrize("downstream", DOWNSTREAM)
@pytest.mark.parametrize(
    ("cancel", "reason"),
    [("temporary", "killed"), ("transient", "normal"), ("permanent", "done")],
)
def test_b20_an_end_that_does_not_end_the_stage_badly_has_no_limit(
    downstream: str, cancel: str, reason: str
) -> None:
    """The stage lives on, or finishes: what is in its queue is for whoever subscribes yet."""
    stage = between(downstream, cancel)
    stage.eos(1, reason)
    assert state(stage) == ["lost"]
    stage.advance(10 * LOST_AFTER)
    assert stage.exiting is None
    stage.subscribe(7, "late")
    stage.ask(7, 10)
    assert stage.events(7) == [["a", "b", "c"]]


def test_b20_a_producer_that_comes_back_is_not_lost() -> None:
    """No limit runs: the successor goes on behind what is in the queue."""
    stage = between("none")
    stage.down("counter", "killed", restarting=True)
    stage.advance(10 * LOST_AFTER)
    assert stage.exiting is None


def test_b20_other_producers_keep_what_they_sent() -> None:
    """Only what the dead one sent is lost: the others have theirs back when the stage ends."""
    stage = between("none")
    stage.link_to_producer(5, "other", max_demand=5)
    stage.route(5, ["x"])
    stage.down("counter", "killed")
    stage.advance(2 * LOST_AFTER)
    assert stage.exiting is not None
    assert stage.counters["lost"] == 3
    assert all(ask.acked == 0 for ask in stage.sent(5)[1:])


def test_s113_a_run_whose_source_is_killed_and_that_has_no_sink_comes_to_its_end() -> None:
    """The producer-consumer ends; started again it finds its producer gone; the run ends badly."""
    topology = (
        Topology("run")
        .stage("counter", Counter, restart="temporary")
        .stage(
            "between",
            Same,
            restart="temporary",
            subscribe_to=[SubscribeTo("counter", max_demand=4)],
        )
    )
    supervised = Supervised(topology)
    machine: Any = supervised.simulation.world.processes
    supervised.until(
        lambda: any(
            process.machine is not None
            and process.machine.consuming is not None
            and bool(process.machine.consuming.inbound)
            for process in machine
        )
    )
    before = supervised.simulation.world.now()
    supervised.kill("counter/0")
    supervised.until(lambda: supervised.simulation.over)
    assert supervised.row("between/0").reason == "killed"
    assert LOST_AFTER <= supervised.simulation.world.now() - before < 2 * LOST_AFTER + 1
    said = [e.record.event for e in supervised.simulation._events if isinstance(e, StageLogged)]
    assert [each[:13] for each in said] == ["upstream lost", "upstream lost"]
