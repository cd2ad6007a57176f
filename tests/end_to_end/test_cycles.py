"""Ten thousand subscriptions come and go, and leave nothing behind in any of the processes."""

from __future__ import annotations

import gc
from pathlib import Path

import psutil
import pytest

from actorflow import Run, SubscriptionOptions, Topology
from tests.end_to_end.helpers import Events, descriptors, pids, wait_until
from tests.end_to_end.stages import Idle, Sink
from tests.seeds import THOROUGH

CYCLES = 10_000 if THOROUGH else 2_000

TEMPORARY = SubscriptionOptions(max_demand=10, cancel="temporary")


def cycle(run: Run, times: int) -> None:
    """Subscribe and cancel so many times, each time to the end."""
    for _ in range(times):
        run.cancel(run.subscribe("sink", to="source", options=TEMPORARY, timeout=50))


def settled(run: Run) -> bool:
    """Whether both stages have seen the end of every subscription."""
    producing = run.status("source")["producing"]
    return not producing["consumers"] and not run.status("sink")["producers"]


def memory(pid: int) -> int:
    """A process's own memory, in bytes."""
    return int(psutil.Process(pid).memory_full_info().uss)


@pytest.mark.processes
@pytest.mark.timeout(120)
def test_s118_ten_thousand_subscriptions_leave_nothing_behind(tmp_path: Path) -> None:
    """Descriptors and memory of host, zygote and both stages are afterwards what they were."""
    events = Events()
    topology = Topology("cycles").stage("source", Idle).stage("sink", Sink, subscribe_to=[])
    with topology.start(events) as run:
        events.started("source", "sink")
        processes = {
            **pids(run),
            "host": psutil.Process().pid,
            "zygote": run._runtime.describe()["zygote"],
        }
        cycle(run, 1000)  # what is made once has been made then
        wait_until(lambda: settled(run), "the subscriptions to end")
        gc.collect()
        before = {name: (descriptors(pid), memory(pid)) for name, pid in processes.items()}
        cycle(run, CYCLES - 1000)
        wait_until(lambda: settled(run), "the subscriptions to end")
        gc.collect()
        after = {name: (descriptors(pid), memory(pid)) for name, pid in processes.items()}
        assert {n: v[0] for n, v in before.items()} == {n: v[0] for n, v in after.items()}
        grown = {name: after[name][1] - before[name][1] for name in processes}
        # One word kept per cycle would be 72 kB; what is left is the allocators' own.
        print(grown)
        assert {name: size for name, size in grown.items() if size > 300_000} == {}
        assert pids(run) == {name: processes[name] for name in pids(run)}
        run.cast("source", [1, 2, 3])
        run.subscribe("sink", to="source", options=TEMPORARY)
        wait_until(lambda: run.stats().stage("sink").events_in == 3, "events to flow")
