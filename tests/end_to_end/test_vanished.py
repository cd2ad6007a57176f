"""Peers that vanish, hang or are killed in the middle: 114, 117 and A22, with real processes."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import pytest

from actorflow import Defaults, Incarnation, Run, StageId, SubscribeTo, Topology
from actorflow.protocol.control import decode_control
from actorflow.protocol.framing import frame
from actorflow.protocol.wire import decode
from actorflow.runtime.local.control import ControlSocket, control_pair
from actorflow.runtime.local.loop import StageLoop
from actorflow.stage.counters import SLOT_SIZE, Counter
from actorflow.supervision.specs import StageSpec
from tests.end_to_end.helpers import Events, kill, numbers_in, pids, wait_until
from tests.end_to_end.stages import Count, Numbers
from tests.end_to_end.stages_of_vanished import Silent, StopsInABatch, Witnesses

pytestmark = pytest.mark.processes


@pytest.mark.parametrize("delivery", ["at_least_once", "at_most_once"])
def test_s114_b21_a_consumer_killed_in_the_middle_of_a_batch(delivery: str, tmp_path: Path) -> None:
    """What it had not finished comes again, or is counted as sent and not taken."""
    mark, journal = tmp_path / "mark", tmp_path / "journal"
    events = Events()
    topology = (
        Topology("killed", defaults=Defaults(delivery=delivery))
        .stage("numbers", Numbers, args={"limit": 100})
        .stage(
            "sink",
            StopsInABatch,
            args={"path": str(mark), "journal": str(journal)},
            subscribe_to=[SubscribeTo("numbers", max_demand=10, min_demand=0)],
        )
    )
    with topology.start(events) as run:
        wait_until(mark.exists, "the batch")
        kill(run, "sink")
        run.wait(timeout=50)
        source, sink = run.stats().stage("numbers"), run.stats().stage("sink")
    taken = numbers_in(journal)
    if delivery == "at_least_once":
        assert set(taken) == set(range(100))
        assert source.redelivered == 10
        return
    # The first batch died with its consumer: half of it had been seen, and none comes again.
    assert taken == [*range(5), *range(10, 100)]
    assert source.redelivered == 0
    assert source.lost == 10
    assert source.events_out - len(set(taken)) == 5
    assert sink.events_in == 100


def flowing(run: Run, stage: str) -> Callable[[], bool]:
    """Whether a stage has taken many more events than now."""
    before = run.stats().stage(stage).events_in
    return lambda: run.stats().stage(stage).events_in > before + 1000


def test_s117_a_stopped_consumer_leaves_the_others_flowing() -> None:
    """With the demand dispatcher it keeps what it had asked for, and nobody waits for it."""
    topology = (
        Topology("stopped")
        .stage("numbers", Numbers)
        .stage("sink", Count, replicas=3, subscribe_to=[SubscribeTo("numbers", max_demand=50)])
    )
    with topology.start() as run:
        wait_until(flowing(run, "sink/1"), "events")
        victim = pids(run)["sink/1"]
        os.kill(victim, signal.SIGSTOP)
        try:
            for stage in ("sink/0", "sink/2", "sink/0"):
                wait_until(flowing(run, stage), f"{stage} to go on")
        finally:
            os.kill(victim, signal.SIGCONT)
        wait_until(flowing(run, "sink/1"), "the stopped one to go on")


def test_s117_a_stopped_consumer_of_a_broadcast_shows_in_the_statistics() -> None:
    """All wait for it, as documented; the numbers say for whom, and it goes on where it was."""
    topology = (
        Topology("stopped")
        .stage("numbers", Numbers, dispatcher="broadcast")
        .stage("sink", Count, replicas=3, subscribe_to=[SubscribeTo("numbers", max_demand=50)])
    )
    with topology.start() as run:
        wait_until(flowing(run, "sink/1"), "events")
        victim = pids(run)["sink/1"]
        os.kill(victim, signal.SIGSTOP)
        try:

            def stalled() -> bool:
                """Whether nothing moves any more, though two have asked for all they may."""
                consumers = run.status("numbers")["producing"]["consumers"]
                waiting = {each["stage"]: each["outstanding"] for each in consumers}
                return waiting["sink/1#1"] == 0 and waiting["sink/0#1"] > 0 < waiting["sink/2#1"]

            wait_until(stalled, "the stall")
        finally:
            os.kill(victim, signal.SIGCONT)
        for stage in ("sink/0", "sink/1", "sink/2"):
            wait_until(flowing(run, stage), f"{stage} to go on")


def test_a22_the_others_keep_their_rate_when_a_peer_vanishes() -> None:
    """A consumer is killed and gone for good; down arrives, and the others go on."""
    events = Events()
    topology = (
        Topology("vanished")
        .stage("numbers", Witnesses)
        .stage("gone", Count, restart="temporary", subscribe_to=["numbers"])
        .stage("stays", Count, subscribe_to=[SubscribeTo("numbers", max_demand=100)])
    )
    with topology.start(events) as run:
        wait_until(flowing(run, "gone"), "events")
        kill(run, "gone")
        wait_until(lambda: run.call("numbers", "downs") == [("down", "killed")], "down")
        wait_until(flowing(run, "stays"), "the other to go on")
        peers = [each["stage"] for each in run.status("numbers")["producing"]["consumers"]]
        assert peers == ["stays/0#1"]


def test_a22_sending_to_a_vanished_peer_returns_at_once() -> None:
    """A frame for a link whose reader is gone is dropped and counted: no wait, no error."""
    host, stage_end = control_pair()
    control = ControlSocket(socket.socket(fileno=stage_end))
    slot = memoryview(bytearray(SLOT_SIZE * 8)).cast("q")
    child = Incarnation(StageId("silent"))
    loop = StageLoop(child, StageSpec(id=child.stage, behaviour=Silent), control, slot)
    ours, theirs = os.pipe(), os.pipe()
    for descriptor in (*ours, *theirs):
        os.set_blocking(descriptor, False)
    try:
        host.send(b"\x01\x00\x00\x00\x90", (os.dup(ours[0]), os.dup(theirs[1])))
        control.receive()
        loop.open(7)
        for descriptor in (*ours, *theirs):
            os.close(descriptor)  # the peer is gone: nobody reads, nobody will write
        seconds = []
        for _ in range(200):
            began = time.perf_counter()
            loop.send(7, frame(b"\x00" * 1000))
            loop._flush_dirty()
            seconds.append(time.perf_counter() - began)
        assert median(seconds) < 0.001
        loop.send(7, frame(b"not yet written when the end is seen"))
        loop._look(0.0)
        assert 7 not in loop._links
        loop.send(7, b"\x00" * 1000)  # and once its end was seen nothing is kept
        assert slot[Counter.MESSAGES_DROPPED] == 201
        control.flush()
        (line,) = [decode_control(decode(each)) for each in host.receive()]
        assert line.event == "messages were dropped, their reader is gone"
        assert line.values == {"link": 7, "messages": 201}
    finally:
        control.close()
        host.close()
