"""Children of a running supervisor: started, stopped, started again, forgotten, watched."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from actorflow import (
    ChildCounts,
    ChildSpec,
    DownMessage,
    NoSuchStage,
    Refused,
    Run,
    StageId,
    StageKilled,
    StageSpec,
    StartFailed,
    SubscribeTo,
    SupervisorOptions,
    Topology,
)
from actorflow.stage.behaviour import Stage
from actorflow.supervision.events import ChildEnded, ChildReady
from tests.end_to_end.helpers import (
    Events,
    alive,
    how_many_in,
    kill,
    numbers_in,
    pids,
    states,
    wait_until,
)
from tests.end_to_end.stages import (
    Answers,
    Collect,
    Fails,
    Idle,
    Numbers,
    Pass,
    Sink,
    Sleep,
    StartsWhenAllowed,
)

pytestmark = pytest.mark.processes


def spec(
    name: str, behaviour: type[Stage], *, restart: str = "transient", **args: Any
) -> ChildSpec:
    """A child to start while running."""
    stage = StageSpec(id=StageId(name), behaviour=behaviour, arguments=args)
    return ChildSpec(stage=stage, restart=restart, shutdown=2.0)


def pair(**supervisor: Any) -> Topology:
    """An idle source and a sink."""
    return (
        Topology("pair", supervisor=SupervisorOptions(**supervisor))
        .stage("source", Idle)
        .stage("sink", Sink, subscribe_to=["source"])
    )


def start(topology: Topology) -> tuple[Run, Events]:
    """Start, and wait until every stage runs."""
    events = Events()
    run = topology.start(events)
    events.started(*(stage.name for stage in topology.stages))
    return run, events


def test_which_and_count_children_tell_what_there_is() -> None:
    """Each child has a row: state, kind, pid, generation; the counts are those of the rows."""
    run, _ = start(pair())
    with run:
        source, sink = run.which_children()
        assert (source.id, source.state, source.kind) == ("source/0", "running", "producer")
        assert (sink.id, sink.state, sink.kind) == ("sink/0", "running", "consumer")
        assert (source.generation, source.restarts, source.reason) == (1, 0, None)
        assert len(alive({source.pid, sink.pid, os.getpid()})) == 3
        assert run.count_children() == ChildCounts(specs=2, active=2, restarting=0)


def test_a_child_is_started_subscribed_terminated_restarted_and_deleted(tmp_path: Path) -> None:
    """The whole life of a dynamic child, with real events in each part of it."""
    journal = tmp_path / "journal"
    run, events = start(pair())
    with run:
        row = run.start_child(spec("extra", Collect, path=str(journal)))
        assert (row.id, row.state, row.kind) == ("extra/0", "running", "consumer")
        run.subscribe("extra", to="source")
        wait_until(lambda: all(asked(run)), "both to have asked")
        run.cast("source", list(range(10)))
        wait_until(lambda: numbers_in(journal), "its share")
        assert [each.stage for each in run.stats().stages] == ["source/0", "sink/0", "extra/0"]
        assert run.count_children() == ChildCounts(specs=3, active=3, restarting=0)
        run.terminate_child("extra")
        assert not alive({row.pid})
        assert run.count_children() == ChildCounts(specs=3, active=2, restarting=0)
        assert run.which_children()[2].reason == "shutdown"
        again = run.restart_child("extra")
        assert again.pid != row.pid
        assert again.generation == 2
        with pytest.raises(Refused, match="terminate it first"):
            run.delete_child("extra")
        with pytest.raises(Refused, match="running"):
            run.restart_child("extra")
        run.terminate_child("extra")
        run.delete_child("extra")
        assert list(states(run)) == ["source/0", "sink/0"]
        with pytest.raises(NoSuchStage):
            run.terminate_child("extra")
        assert run.start_child(spec("extra", Sink)).generation == 1
    assert all(end.normal for end in events.of(ChildEnded))


def asked(run: Run) -> list[int]:
    """What each consumer of the source has asked for and not got."""
    consumers = run.status("source")["producing"]["consumers"]
    return [consumer["outstanding"] for consumer in consumers]


def test_a_name_that_is_taken_is_refused() -> None:
    """`already_started` says who holds the name."""
    run, _ = start(pair())
    with run:
        pid = pids(run)["sink/0"]
        with pytest.raises(Refused, match=f"sink/0 is running as process {pid}") as caught:
            run.start_child(spec("sink", Sink))
        assert caught.value.reason == "already_started"


def test_a_child_that_does_not_start_is_an_error_of_the_operation() -> None:
    """The run goes on, the error has the exception as its cause, and the name is free again."""
    run, _ = start(pair())
    with run:
        with pytest.raises(StartFailed, match="extra/0 did not start") as caught:
            run.start_child(spec("extra", Fails, where="on_start"))
        assert isinstance(caught.value.__cause__, ValueError)
        assert list(states(run)) == ["source/0", "sink/0"]
        run.start_child(spec("extra", Sink))
        assert states(run)["extra/0"] == "running"


def test_a_declared_child_that_does_not_start_again_is_kept(tmp_path: Path) -> None:
    """As in OTP: a failed `restart_child` leaves the child where it was, to be tried again."""
    gate = tmp_path / "gate"
    gate.touch()
    topology = pair().stage(
        "gated", StartsWhenAllowed, args={"path": str(gate)}, start_within=3.0, subscribe_to=[]
    )
    run, _ = start(topology)
    with run:
        run.terminate_child("gated")
        gate.unlink()
        with pytest.raises(StartFailed, match="gated/0 did not start") as caught:
            run.restart_child("gated")
        assert "start_within=3 s" in str(caught.value.__cause__)
        assert states(run)["gated/0"] == "ended"
        gate.touch()
        assert run.restart_child("gated").state == "running"


def test_a_restarted_child_has_its_declared_subscriptions_again(tmp_path: Path) -> None:
    """After `terminate_child` and `restart_child` events flow as before, without a word."""
    journal = tmp_path / "journal"
    topology = (
        Topology("again")
        .stage("numbers", Numbers)
        .stage("pass", Pass, subscribe_to=[SubscribeTo("numbers", max_demand=5)])
        .stage(
            "collect",
            Collect,
            args={"path": str(journal)},
            subscribe_to=[SubscribeTo("pass", max_demand=5, cancel="temporary")],
        )
    )
    run, _ = start(topology)
    with run:
        wait_until(lambda: how_many_in(journal) > 20, "events to flow")
        run.terminate_child("pass")
        assert states(run) == {"numbers/0": "running", "pass/0": "ended", "collect/0": "running"}
        seen = how_many_in(journal)
        run.restart_child("pass")
        wait_until(lambda: how_many_in(journal) > seen + 20, "events to flow again")
        outcome = run.drain(timeout=50)
    assert outcome.status == "done"
    arrived = numbers_in(journal)
    assert set(arrived) == set(range(outcome.results["numbers"]))


def sleeping_group(told: Path) -> Topology:
    """Two stages that are restarted together; one of them sleeps in its callback."""
    return (
        Topology("group", supervisor=SupervisorOptions(strategy="one_for_all"))
        .stage("numbers", Numbers)
        .stage(
            "sleep",
            Sleep,
            args={"seconds": 20.0, "path": str(told)},
            shutdown=3.0,
            subscribe_to=["numbers"],
        )
    )


def restart_the_group(run: Run, told: Path) -> None:
    """Kill one of them while the other sleeps; return while the other is being stopped."""
    wait_until(told.exists, "the callback")
    kill(run, "numbers")
    wait_until(lambda: states(run)["sleep/0"] == "stopping", "the group to be stopped")


def test_a_stop_while_a_group_restarts_is_a_stop(tmp_path: Path) -> None:
    """Whoever is stopped in the middle of a group's restart stays stopped, and nobody hangs."""
    run, events = start(sleeping_group(tmp_path / "sleeps"))
    with run:
        restart_the_group(run, tmp_path / "sleeps")
        assert states(run)["numbers/0"] == "restarting"
        outcome = run.stop()
    assert outcome.status == "stopped"
    started = [str(ready.child) for ready in events.of(ChildReady)]
    assert sorted(started) == ["numbers/0#1", "sleep/0#1"]


def test_a_terminated_child_is_not_started_again_with_its_group(tmp_path: Path) -> None:
    """`terminate_child` in the middle of a group's restart holds; the others come back."""
    run, events = start(sleeping_group(tmp_path / "sleeps"))
    with run:
        restart_the_group(run, tmp_path / "sleeps")
        run.terminate_child("sleep")
        events.started("numbers", generation=2)
        assert states(run) == {"numbers/0": "running", "sleep/0": "ended"}


def test_a_monitor_gets_one_message_for_each_end(tmp_path: Path) -> None:
    """Each incarnation's end is told once, with its reason, and whether a successor comes."""
    run, events = start(pair())
    got: list[DownMessage] = []
    with run:
        number = run.monitor("sink", got.append)
        victim = kill(run, "sink")
        events.restarted("sink")
        (down,) = got
        assert (down.monitor, str(down.child), down.reason) == (number, "sink/0#1", "killed")
        assert isinstance(down.error, StageKilled)
        assert f"process {victim}" in str(down.error)
        assert down.restarting
        run.terminate_child("sink")
        assert [(str(each.child), each.reason, each.restarting) for each in got[1:]] == [
            ("sink/0#2", "shutdown", False)
        ]
        assert run.demonitor(number) is False
        late: list[DownMessage] = []
        run.monitor("sink", late.append)
        assert [(str(each.child), each.reason) for each in late] == [("sink/0#2", "shutdown")]
        unwanted: list[DownMessage] = []
        assert run.demonitor(run.monitor("source", unwanted.append)) is True
        run.terminate_child("source")
        assert unwanted == []
    assert len(got) == 2


def test_a_down_message_comes_after_everything_that_was_sent() -> None:
    """Whatever the stage had logged by its end was seen before its monitor is told."""
    events = Events()
    seen: list[int] = []
    topology = Topology("talks").stage("talks", Talks, restart="temporary")
    with topology.start(events) as run:
        run.monitor("talks", lambda down: seen.append(logged_by(events)))
        events.started("talks")
        run.cast("talks", "now")
        run.outcome(50)
    assert seen == [50]


class Talks(Answers):
    """Says as much as a socket surely holds, and dies at once."""

    def handle_cast(self, message: Any) -> None:
        for number in range(50):
            self.log.info("a word", number=number)
        os.kill(os.getpid(), signal.SIGKILL)


def logged_by(events: Events) -> int:
    """How many lines stages have logged."""
    from actorflow.supervision.events import StageLogged

    return len(events.of(StageLogged))


def test_a_monitor_that_raises_hurts_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """A mistake in the program's callback is logged; the run and other monitors go on."""

    def raises(down: DownMessage) -> None:
        raise RuntimeError("a mistake in the program")

    got: list[DownMessage] = []
    run, events = start(pair())
    with run:
        run.monitor("sink", raises)
        run.monitor("sink", got.append)
        kill(run, "sink")
        events.restarted("sink")
        assert len(got) == 1
        assert not run.over
    assert "a mistake in the program" in caplog.text


def test_a_listener_that_raises_hurts_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """So is one in the listener, such as a log whose reader has gone."""
    ready = threading.Event()

    def raises(event: object) -> None:
        ready.set()
        raise BrokenPipeError("nobody reads this")

    topology = Topology("deaf").stage("numbers", Numbers, args={"limit": 100})
    topology = topology.stage("sink", Sink, subscribe_to=["numbers"])
    with topology.start(raises) as run:
        assert run.wait(50) == {"numbers": 100}
    assert "nobody reads this" in caplog.text


def test_a_callback_that_would_wait_for_itself_is_refused() -> None:
    """An operation from a monitor, which the supervisor itself calls, fails at once."""
    refused: list[Refused] = []
    run, events = start(pair())

    def asks(down: DownMessage) -> None:
        try:
            run.which_children()
        except Refused as error:
            refused.append(error)

    with run:
        run.monitor("sink", asks)
        kill(run, "sink")
        events.restarted("sink")
    assert len(refused) == 2
    assert {error.reason for error in refused} == {"own_thread"}


def test_a_monitor_may_close_the_run() -> None:
    """Closing needs no answer: the run ends as soon as the callback has returned."""
    run, _ = start(pair())
    with run:
        run.monitor("sink", lambda down: run.close())
        kill(run, "sink")
        assert run.outcome(50).status == "stopped"


def test_a_killed_zygote_ends_the_run_and_everything(tmp_path: Path) -> None:
    """When the process that forks is killed the run fails with Broken, and monitors are told."""
    from actorflow import Broken

    got: list[DownMessage] = []
    run, _ = start(pair())
    with run:
        run.monitor("sink", got.append)
        stages = set(pids(run).values())
        os.kill(run._runtime.describe()["zygote"], signal.SIGKILL)
        with pytest.raises(Broken, match="the process that forks the stages"):
            run.wait(50)
        wait_until(lambda: not alive(stages), "the stages to be gone", 1.0)
    # Each stage was found dead before it was known why, so a successor may have been ordered.
    assert got[-1].restarting is False
    assert len({str(down.child) for down in got}) == len(got)
