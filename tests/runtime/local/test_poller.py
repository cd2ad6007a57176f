"""A poller that looks again before it sleeps: when, for how long, and when it stops to."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Iterator
from itertools import cycle
from typing import Any

import pytest

from actorflow.protocol.identity import Incarnation, StageId
from actorflow.runtime.local.control import ControlSocket, control_pair
from actorflow.runtime.local.loop import StageLoop
from actorflow.runtime.local.poller import READABLE, BusyPoller
from actorflow.stage.behaviour import Consumer
from actorflow.stage.children import ChildKind
from actorflow.stage.counters import SLOT_SIZE
from actorflow.stage.spec import StageSpec

LIMIT = 0.0001
READY = [(7, READABLE)]
LOOK = 2_000
"""Nanoseconds that a look takes."""


class Script:
    """A poller and a clock: each look finds nothing until the message of this wait is there.

    Args:
        waits: how long after its beginning each wait has something.
        work: how long there is work before each, again and again.
    """

    def __init__(self, waits: Iterable[float], work: Iterable[float] = (0.000_1,)) -> None:
        self.now = 0
        self.slept: list[float | None] = []
        self.pauses = 0
        self.poller = BusyPoller(self, LIMIT, lambda: self.now, self.pause)
        self._waits: Iterator[float] = iter(waits)
        self._work = cycle(round(each * 1e9) for each in work)
        self._due: int | None = None

    def pause(self) -> None:
        """Somebody else's turn."""
        self.pauses += 1

    def wait(self, seconds: float | None) -> list[tuple[int, int]]:
        """Ready when the message is there; a sleep moves the clock to it, or to its own end."""
        if self._due is None:
            self._due = self.now + round(next(self._waits) * 1e9)
        self.now += LOOK
        if seconds != 0.0:
            self.slept.append(seconds)
            until = self._due if seconds is None else self.now + round(seconds * 1e9)
            self.now = max(self.now, min(self._due, until))
        if self.now < self._due:
            return []
        self._due = None
        return READY

    def play(self, *waits: float | None) -> list[int]:
        """For each wait, how often it has slept; work comes before each."""
        found = []
        for seconds in waits:
            before = len(self.slept)
            self.now += next(self._work)
            self.poller.wait(seconds)
            found.append(len(self.slept) - before)
        return found

    def register(self, descriptor: int, events: int) -> Any:
        """Nothing to watch."""

    def unregister(self, descriptor: int) -> Any:
        """Nothing to watch."""

    def sleep_at_once(self) -> None:
        """It is done above this one."""

    def close(self) -> None:
        """Nothing to close."""


def test_it_looks_again_once_two_waits_have_been_short() -> None:
    """And goes on as long as the messages come within the limit."""
    script = Script([0.00005] * 10)
    assert script.play(*[None] * 10) == [1, 1, 0, 0, 0, 0, 0, 0, 0, 0]
    assert script.pauses > 8


def test_a_long_wait_is_slept_and_makes_the_next_ones_sleep() -> None:
    """The third message is late: the process sleeps for it, and for the two after it."""
    script = Script([0.00001, 0.00001, 0.5, 0.00001, 0.00001, 0.00001])
    assert script.play(*[None] * 6) == [1, 1, 1, 1, 1, 0]


def test_rare_messages_never_make_it_look_again() -> None:
    """One a millisecond, and now and then two together, as at a low rate."""
    script = Script([0.001, 0.00002] * 50)
    assert script.play(*[None] * 100) == [1] * 100
    assert script.pauses == 0


@pytest.mark.parametrize(("work", "looks_again"), [(0.000_02, True), (0.000_01, False)])
def test_it_looks_again_for_no_longer_than_the_work_is_worth(
    work: float, looks_again: bool
) -> None:
    """Waits of 50 µs: shorter than four times 20 µs of work, longer than four times 10 µs."""
    script = Script([0.00005] * 20, work=[work])
    slept = script.play(*[None] * 20)
    assert sum(slept) == (2 if looks_again else 20)
    assert bool(script.pauses) == looks_again


def test_credit_is_kept_for_a_wait_after_little_work() -> None:
    """A batch, then an ask that is no work: two short waits of one cycle are paid by its work."""
    script = Script([0.00004] * 20, work=[0.000_03, 0.000_005])
    assert sum(script.play(*[None] * 20)) == 2


def test_it_looks_again_for_the_limit_and_no_longer() -> None:
    """When nothing comes any more it has looked for 0.1 ms: 50 looks of 2 µs."""
    script = Script([0.00001, 0.00001, 60.0])
    assert script.play(None, None, None) == [1, 1, 1]
    assert script.pauses == 49


def test_a_timer_is_not_late_for_it() -> None:
    """What has been spent looking is no part of the sleep; a timer within the limit is seen."""
    for seconds in (0.01, 0.00002):
        script = Script([0.00001, 0.00001, 60.0])
        script.play(None, None)
        began = script.now
        assert script.poller.wait(seconds) == []
        assert seconds <= (script.now - began) * 1e-9 <= seconds + 2 * LOOK * 1e-9


def test_a_look_that_does_not_wait_changes_nothing() -> None:
    """The look between two batches says nothing about how soon messages come."""
    script = Script([0.00001, 0.00001, 0.00005, 0.00005])
    assert script.play(None, None, 0.0, None) == [1, 1, 0, 0]


def test_it_looks_no_more_when_it_is_to_sleep_at_once() -> None:
    """However soon messages come, and however much work there is."""
    script = Script([0.00001] * 20)
    assert script.play(*[None] * 10)[2:] == [0] * 8
    script.poller.sleep_at_once()
    assert script.play(*[None] * 10) == [1] * 10


def test_a_stage_with_a_process_for_each_event_sleeps_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its children want the processors that looking again would take."""
    told: list[BusyPoller] = []

    def tell(poller: BusyPoller) -> None:
        told.append(poller)

    monkeypatch.setattr(BusyPoller, "sleep_at_once", tell)
    ours, theirs = control_pair()
    control = ControlSocket(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, theirs))
    spec = StageSpec(id=StageId("jobs"), behaviour=Consumer)
    loop = StageLoop(Incarnation.parse("jobs/0#1"), spec, control, [0] * SLOT_SIZE)
    looks_again = [loop._poller] if isinstance(loop._poller, BusyPoller) else []
    try:
        assert bool(looks_again) == hasattr(os, "sched_yield")
        assert told == []
        loop.children(ChildKind("process"), lambda ends: None).close()
        assert told == looks_again
    finally:
        loop._poller.close()
        control.close()
        ours.close()
