"""A poller that looks again before it sleeps: when, for how long, and when it stops to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from actorflow.runtime.local.poller import READABLE, BusyPoller

LIMIT = 0.0001
READY = [(7, READABLE)]


class Script:
    """A poller and a clock: each look finds nothing until the message of this wait is there."""

    def __init__(self, waits: Iterable[float], look: float = 0.000_002) -> None:
        self.now = 0
        self.slept: list[float | None] = []
        self.pauses = 0
        self._waits: Iterator[float] = iter(waits)
        self._cost = int(look * 1e9)
        self._due: int | None = None

    def clock(self) -> int:
        """The time of the script."""
        return self.now

    def pause(self) -> None:
        """Somebody else's turn."""
        self.pauses += 1

    def wait(self, seconds: float | None) -> list[tuple[int, int]]:
        """Ready when the message is there; a sleep moves the clock to it, or to its own end."""
        if self._due is None:
            self._due = self.now + int(next(self._waits) * 1e9)
        self.now += self._cost
        if seconds != 0.0:
            self.slept.append(seconds)
            until = self._due if seconds is None else self.now + int(seconds * 1e9)
            self.now = max(self.now, min(self._due, until))
        if self.now < self._due:
            return []
        self._due = None
        return READY

    def register(self, descriptor: int, events: int) -> Any:
        """Nothing to watch."""

    def modify(self, descriptor: int, events: int) -> Any:
        """Nothing to watch."""

    def unregister(self, descriptor: int) -> Any:
        """Nothing to watch."""

    def close(self) -> None:
        """Nothing to close."""


def sleeps_of(script: Script, seconds: Iterable[float | None]) -> list[int]:
    """For each wait, how often it has slept."""
    poller = BusyPoller(script, LIMIT, script.clock, script.pause)
    found = []
    for each in seconds:
        before = len(script.slept)
        poller.wait(each)
        found.append(len(script.slept) - before)
    return found


def test_it_looks_again_once_two_waits_have_been_short() -> None:
    """And goes on as long as the messages come within the limit."""
    script = Script([0.00005] * 10)
    assert sleeps_of(script, [None] * 10) == [1, 1, 0, 0, 0, 0, 0, 0, 0, 0]
    assert script.pauses > 8


def test_a_long_wait_is_slept_and_makes_the_next_ones_sleep() -> None:
    """The third message is late: the process sleeps for it, and for the two after it."""
    script = Script([0.00001, 0.00001, 0.5, 0.00001, 0.00001, 0.00001])
    assert sleeps_of(script, [None] * 6) == [1, 1, 1, 1, 1, 0]


def test_rare_messages_never_make_it_look_again() -> None:
    """One a millisecond, and now and then two together, as at a low rate."""
    script = Script([0.001, 0.00002] * 50)
    assert sleeps_of(script, [None] * 100) == [1] * 100
    assert script.pauses == 0


def test_it_looks_again_for_the_limit_and_no_longer() -> None:
    """When nothing comes any more, the time spent looking is the limit and one look."""
    script = Script([0.00001, 0.00001, 60.0])
    poller = BusyPoller(script, LIMIT, script.clock, script.pause)
    poller.wait(None)
    poller.wait(None)
    began = script.now
    poller.wait(None)
    assert len(script.slept) == 3
    assert script.pauses == 49  # between 50 looks of 2 µs
    assert script.now - began >= 60e9


def test_a_timer_is_not_late_for_it() -> None:
    """What has been spent looking is no part of the sleep; a timer within the limit is seen."""
    script = Script([0.00001, 0.00001, 60.0])
    poller = BusyPoller(script, LIMIT, script.clock, script.pause)
    poller.wait(None)
    poller.wait(None)
    began = script.now
    assert poller.wait(0.01) == []
    assert 0.01 <= (script.now - began) * 1e-9 < 0.010_01
    script = Script([0.00001, 0.00001, 60.0])
    poller = BusyPoller(script, LIMIT, script.clock, script.pause)
    poller.wait(None)
    poller.wait(None)
    began = script.now
    assert poller.wait(0.00002) == []
    assert (script.now - began) * 1e-9 < 0.000_03


def test_a_look_that_does_not_wait_changes_nothing() -> None:
    """The look between two batches says nothing about how soon messages come."""
    script = Script([0.00001, 0.00001, 0.00005, 0.00005])
    assert sleeps_of(script, [None, None, 0.0, None]) == [1, 1, 0, 0]
