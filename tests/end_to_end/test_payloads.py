"""Large buffers in shared memory, in real processes, with kills."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import psutil
import pytest

from actorflow import SubscribeTo, SupervisorOptions, Topology
from actorflow.runtime.local.links import CAN_SHARE
from tests.end_to_end.helpers import (
    Events,
    alive,
    descriptors,
    finish,
    how_many_in,
    kill,
    numbers_in,
    pids,
    start_python,
    wait_until,
)
from tests.end_to_end.payloads import Hoard, PassChecked, Pictures, Scribble

pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif(not CAN_SHARE, reason="this system shares no memory"),
]

HOARDED = 40


def pictures(folder: Path) -> Topology:
    """Two consumers of one broadcast, of which one scribbles; a chain behind the other; a hoarder.

    The space has room for eighteen buffers, and sixteen may be under way at once.
    """
    scribbled, collected = str(folder / "scribbled"), str(folder / "collected")
    from_pictures = SubscribeTo("pictures", max_demand=4)
    from_pass = SubscribeTo("pass", max_demand=4)
    return (
        Topology("pictures", supervisor=SupervisorOptions(max_restarts=9, max_seconds=60))
        .stage("pictures", Pictures, dispatcher="broadcast", shared_memory="2304 KiB")
        .stage("scribble", Scribble, args={"path": scribbled}, subscribe_to=[from_pictures])
        .stage("pass", PassChecked, subscribe_to=[from_pictures])
        .stage("collect", Scribble, args={"path": collected}, subscribe_to=[from_pass])
        .stage("more", Pictures, args={"limit": HOARDED}, shared_memory="256 KiB")
        .stage("hoard", Hoard, subscribe_to=[SubscribeTo("more", max_demand=4)])
    )


def test_buffers_arrive_whole_and_come_back_whoever_is_killed(tmp_path: Path) -> None:
    """What a killed consumer had in hand is free again, and is sent again as it was.

    And a consumer that keeps everything gets everything: by pipe, when there is no room left.
    """
    events = Events()
    with pictures(tmp_path).start(events) as run:

        def shared() -> int:
            return run.stats().stage("pictures").large_shared

        def flows(more: int) -> None:
            before = shared(), how_many_in(tmp_path / "collected")
            wait_until(lambda: shared() > before[0] + more, "buffers in shared memory")
            wait_until(lambda: how_many_in(tmp_path / "collected") > before[1] + more, "events")

        def kill_each(*victims: str) -> None:
            for victim in victims:
                kill(run, victim)
                events.restarted(victim)
                flows(40)

        flows(20)
        kill_each("pass")
        survivor = pids(run)["pass/0"]
        open_before = descriptors(survivor)
        kill_each("scribble", "collect", "pictures")
        wait_until(lambda: descriptors(survivor) == open_before, "lanes and spaces to be closed")
        # The others may have been faster than the one that keeps everything.
        wait_until(lambda: run.stats().stage("hoard").events_in == HOARDED, "all of the hoard")
        hoarded = run.stats().stage("more")
        outcome = run.drain(timeout=50)
    assert outcome.status == "done"
    for name in ("scribbled", "collected"):
        numbers = set(numbers_in(tmp_path / name))
        assert numbers == set(range(max(numbers) + 1))
    assert outcome.results["hoard"] == list(range(HOARDED))
    assert hoarded.large_shared + hoarded.large_piped == HOARDED
    # Room for two, and copies of those that are no views come back.
    assert 0 < hoarded.large_shared < HOARDED
    assert not events.errors("pictures")


HOST = """
from actorflow import Topology
from tests.end_to_end.payloads import Pictures, Scribble

topology = (
    Topology("host")
    .stage("pictures", Pictures)
    .stage("sink", Scribble, args={"path": "/dev/null"},
           subscribe_to=[{"to": "pictures", "max_demand": 4}])
)
with topology.start() as run:
    while run.stats().stage("pictures").large_shared < 50:
        pass
    print(*(child.pid for child in run.which_children()), flush=True)
    run.wait(60)
"""


def shared_by(pid: int) -> bool:
    """Whether a process has a space mapped."""
    return "actorflow-blobs" in Path(f"/proc/{pid}/maps").read_text()


def test_nothing_is_left_of_a_host_that_is_killed() -> None:
    """Neither a process nor a name; the memory goes with the processes that had it."""
    host = start_python("-c", HOST)
    assert host.stdout is not None
    stages = [int(word) for word in host.stdout.readline().split()]
    assert all(shared_by(pid) for pid in stages)
    assert not shared_by(host.pid)
    family = {each.pid for each in psutil.Process(host.pid).children(recursive=True)}
    os.kill(host.pid, signal.SIGKILL)
    host.wait(50)
    wait_until(lambda: not alive(family), f"{family} to be gone", seconds=1.0)
    assert finish(host) == (-signal.SIGKILL, "", "")


GUEST = """
import sys
from actorflow import Topology
from tests.end_to_end.payloads import Pictures, check

kept = sys.kept = []
topology = Topology("guest").stage("pictures", Pictures, args={"limit": 60}, shared_memory="4 MiB")
with topology.start() as run:
    for event in run.stream("pictures", max_demand=4):
        kept.append(event)
    shared = run.stats().stage("pictures").large_shared
for number, buffer in kept:
    check(number, buffer)
print(len(kept), shared > 0)
"""


def test_views_in_the_program_outlive_the_run() -> None:
    """They are good as long as somebody has them; also up to the interpreter's end, silently."""
    assert finish(start_python("-X", "dev", "-c", GUEST)) == (0, "60 True\n", "")
