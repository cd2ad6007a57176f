"""A-26: inputs, ends, scans that come, go and crash, in any order, against intervals."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from actorflow.stages.scans import ScanConfig
from actorflow.stages.scans.scan import latest, take
from tests.seeds import THOROUGH
from tests.systems.scans_rig import Rig

WINDOW = 3


class Scans(RuleBasedStateMachine):
    """The reference is, for each scan, which input it joined at and which ones it may have seen."""

    def __init__(self) -> None:
        super().__init__()
        config = ScanConfig(max_buffer=WINDOW, emit="tagged", on_error="drop", empty="hold")
        self.rig = Rig(config, window=8)
        self.rig.more_to_come = True
        self.fed = 0
        self.joined: dict[int, int] = {}
        self.length: dict[int, int] = {}

    @rule(count=st.integers(1, 9))
    def push(self, count: int) -> None:
        """The source has so many more."""
        self.rig.feed(range(self.fed, self.fed + count))
        self.fed += count

    @rule(takes=st.none() | st.integers(0, 5))
    def add(self, takes: int | None) -> None:
        """One more scan, which is done after some inputs, or never."""
        (member,) = self.rig.add(latest() if takes is None else take(takes, latest()))
        self.joined[member.id] = member.reach - member.queued
        self.length[member.id] = 1 << 30 if takes is None else takes

    @precondition(lambda self: self.rig.core.members)
    @rule(which=st.integers(0, 99), mode=st.sampled_from(["drain", "drop"]))
    def remove(self, which: int, mode: Any) -> None:
        """One less."""
        self.rig.core.remove(self._chosen(which), mode)

    @precondition(lambda self: self.rig.core.members)
    @rule(which=st.integers(0, 99))
    def crash(self, which: int) -> None:
        """A process is killed."""
        self.rig.companions.kill(self.rig.core.members[self._chosen(which)].host)

    @rule(taking=st.booleans())
    def consume(self, taking: bool) -> None:
        """The consumer begins to take values, or stops."""
        self.rig.take(taking=taking)

    @rule(steps=st.integers(1, 30))
    def let_things_happen(self, steps: int) -> None:
        """Some of what can happen does."""
        left = iter(range(steps))
        self.rig.run(until=lambda: next(left, None) is None)

    @invariant()
    def buffers_hold_no_more_than_their_size(self) -> None:
        """I-A3 and I-A4: inputs, and inputs with values; the initial value has a place besides."""
        for member in self.rig.core.members.values():
            assert 0 <= member.queued <= WINDOW
            assert 0 <= member.queued + member.held <= WINDOW + 1

    @invariant()
    def the_minimum_of_those_that_run_decides(self) -> None:
        """I-A1 and I-A2: what waits does so for a scan that runs and is full."""
        running = [each for each in self.rig.core.members.values() if each.running]
        if self.rig.core.backlog and running:
            assert min(each.room for each in running) <= 0
        assert len({each.reach for each in running}) <= 1

    @invariant()
    def each_scan_sees_a_stretch_without_gaps(self) -> None:
        """From the input it joined at, one after the other."""
        for number, start in self.joined.items():
            values = self.rig.tagged(number)[1:]
            assert values == list(range(start, start + len(values)))
            assert len(values) <= self.length[number]

    def teardown(self) -> None:
        """I-A5: whatever has happened, it comes to its end."""
        rig = self.rig
        rig.take()
        self.add(None)  # inputs are held for it, should no other run any more
        rig.end_source()
        rig.finish()
        self.each_scan_sees_a_stretch_without_gaps()
        assert not rig.core.members
        assert rig.pulled == rig.finished == self.fed

    def _chosen(self, which: int) -> int:
        members = list(self.rig.core.members)
        return members[which % len(members)]


test_a_26_machine = Scans.TestCase
test_a_26_machine.settings = settings(
    max_examples=500 if THOROUGH else 25,
    stateful_step_count=60 if THOROUGH else 30,
)
