"""The scenarios of the three hangs catch the versions of the original that hang."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from actorflow.stages.scans import Done, Partial, Scan, latest
from tests.systems.naive.scans import BufferFull, Hangs, distribute


class AtGate(Scan[Any, Any]):
    """Waits at a gate with each input in its hand, and is done after some."""

    def __init__(self, gate: threading.Event, takes: int = 1 << 30) -> None:
        self.gate, self.takes = gate, takes

    def initial(self) -> Partial[int]:
        return Partial(0)

    def step(self, state: int, item: Any) -> Partial[int] | Done[int]:
        assert self.gate.wait(20)
        return Done(item) if state + 1 == self.takes else Partial(state + 1)


def opened_at(gate: threading.Event, number: int) -> Any:
    """Opens a gate before this item is pushed."""
    return lambda item: gate.set() if item == number else None


def test_a_01_catches_a_driver_that_raises() -> None:
    """With room for one and a scan behind a gate, its push is an error."""
    gate = threading.Event()
    with pytest.raises(BufferFull):
        distribute(range(5), [AtGate(gate)], 1, "raise", at_end=gate.set)


def test_a_02_catches_a_scan_that_does_not_say_its_end() -> None:
    """Endless scans and a finite source: the driver waits for a word that nobody says."""
    with pytest.raises(Hangs, match="nobody rings"):
        distribute(range(10), [latest(), latest()], 100, "block")


def test_a_04_catches_a_driver_that_waits_for_a_finished_scan() -> None:
    """It finishes with its buffer full, and the driver is on its way to push more."""
    gate = threading.Event()
    scans = [AtGate(gate, takes=1), latest()]
    with pytest.raises(Hangs, match="buffer that nobody reads"):
        distribute(range(10), scans, 1, "say_end", before_each=opened_at(gate, 2))
