"""Gates, fault points and spent time, in real processes and without any."""

from __future__ import annotations

import pickle
import time
from pathlib import Path

import pytest

from actorflow import CallTimeout, Closed, Consumer, Subscription, Topology
from actorflow.testing import FakeClock, Gate, fault_point, spend
from actorflow.testing.topologies import Numbers


class Waiting(Consumer):
    """Waits at a gate with its first event."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate

    def handle_events(self, events: list[int], subscription: Subscription) -> None:
        self.gate.wait()
        fault_point("passed")
        self.set_result(self.index)


@pytest.mark.processes
def test_a_gate_holds_real_processes_until_it_is_opened() -> None:
    """All of them are in their callbacks at once, and all go on."""
    with Gate() as gate:
        topology = (
            Topology("gated")
            .stage("numbers", Numbers, args={"first": 0, "count": 9})
            .stage("waiting", Waiting, args={"gate": gate}, replicas=3, subscribe_to=["numbers"])
        )
        with topology.start() as run:
            gate.wait_for(3, timeout=30)
            assert not run.over
            gate.open()
            assert run.wait(timeout=30) == {"waiting": [0, 1, 2]}


def test_nobody_comes() -> None:
    """Waiting for it has a limit."""
    with Gate() as gate, pytest.raises(CallTimeout, match="0 of 1 came"):
        gate.wait_for(1, timeout=0.01)


def test_a_gate_leaves_nothing_behind() -> None:
    """It may be closed twice, and is of no use afterwards."""
    gate = Gate()
    folder = Path(gate._folder)
    assert folder.exists()
    gate.close()
    gate.close()
    assert not folder.exists()
    with pytest.raises(Closed):
        gate.open()


def test_only_the_test_opens_a_gate() -> None:
    """A stage's copy can wait, and no more."""
    with Gate() as gate:
        copy = pickle.loads(pickle.dumps(gate))
        with pytest.raises(Closed):
            copy.open()
        gate.open()
        copy.wait()
        assert gate.arrived == 1


def test_elsewhere_time_is_really_spent() -> None:
    """Outside a simulated run `spend` sleeps."""
    began = time.monotonic()
    spend(0.02)
    assert time.monotonic() - began >= 0.02


def test_a_fake_clock_moves_when_it_is_told_to() -> None:
    """And never backwards."""
    clock = FakeClock(10.0)
    clock.advance(2.5)
    clock.advance_to(11.0)
    assert clock() == 12.5
    with pytest.raises(ValueError, match="seconds must be"):
        clock.advance(-1)
