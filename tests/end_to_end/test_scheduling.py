"""Who waits for a processor, and who takes one."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from actorflow import Topology
from actorflow.runtime.local.kernel import wait_for_turns
from tests.end_to_end.helpers import Events, pids
from tests.end_to_end.stages import Idle

as_usual = pytest.mark.skipif(
    os.sched_getscheduler(0) != os.SCHED_OTHER, reason="the tests were given a policy of their own"
)


def in_a_thread(policy: int) -> tuple[bool, int]:
    """What `wait_for_turns` says and leaves where this policy holds, which is a thread's own."""

    def change() -> tuple[bool, int]:
        os.sched_setscheduler(0, policy, os.sched_param(0))
        return wait_for_turns(), os.sched_getscheduler(0)

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(change).result()


@as_usual
@pytest.mark.processes
def test_a_stage_waits_for_its_turn_unless_it_is_told_not_to() -> None:
    """With `scheduling: batch`, the default; the program and the others are left as they were."""
    events = Events()
    topology = (
        Topology("turns")
        .stage("usual", Idle)
        .stage("batch", Idle, scheduling="batch")
        .stage("normal", Idle, scheduling="normal")
    )
    with topology.start(events) as run:
        events.started("usual", "batch", "normal")
        found = {name: os.sched_getscheduler(pid) for name, pid in pids(run).items()}
    batch, normal = os.SCHED_BATCH, os.SCHED_OTHER
    assert found == {"usual/0": batch, "batch/0": batch, "normal/0": normal}
    assert os.sched_getscheduler(0) == normal


@as_usual
def test_a_policy_that_the_program_was_given_is_left_alone() -> None:
    """`chrt --idle 0 actorflow run …` means all of it."""
    assert in_a_thread(os.SCHED_OTHER) == (True, os.SCHED_BATCH)
    assert in_a_thread(os.SCHED_BATCH) == (False, os.SCHED_BATCH)
    assert in_a_thread(os.SCHED_IDLE) == (False, os.SCHED_IDLE)


@as_usual
def test_where_the_system_refuses_a_stage_goes_on_without(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sandbox may forbid the call."""

    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    assert not wait_for_turns()
    assert os.sched_getscheduler(0) == os.SCHED_OTHER
