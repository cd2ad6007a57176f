"""The proofs of `test_snapshots` can fail: each deliberate break loses or repeats an event."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import pytest

from actorflow import ActorflowError, SubscribeTo, SupervisorOptions, Topology
from actorflow.protocol.control import Snapshot
from actorflow.protocol.edges import EdgeStore
from actorflow.runtime.simulated.stall import Stalled
from actorflow.stage.exact import HeldPort
from actorflow.stage.reach import Reach
from actorflow.supervision.journal import Journal
from actorflow.testing import Faults, simulate
from tests.simulation.breaks import INTERPRETED_ONLY
from tests.simulation.test_snapshots import (
    NUMBERS,
    Collect,
    crashing,
    made,
    topology,
    two_between,
)

pytestmark = INTERPRETED_ONLY

SEEDS = range(1, 400)
"""How many runs a break may take to show; most take a few."""


@dataclass(frozen=True, slots=True)
class Break:
    """A deliberate mistake.

    Args:
        of: the class that it is made in.
        method: what is replaced.
        by: the broken one.
    """

    of: type
    method: str
    by: Any


def sent_at_once(self: HeldPort, link: int, head: bytes, body: bytes) -> None:
    """A batch leaves before a snapshot contains it."""
    self._port.send(link, head, body)


def forgets_the_buffer(self: Journal, snapshot: Snapshot, *, take: Any = Journal.take) -> None:
    """What nobody had asked for is not kept."""
    take(self, replace(snapshot, buffer=None))


def forgets_the_outputs(self: Journal, snapshot: Snapshot, *, take: Any = Journal.take) -> None:
    """What is under way is not kept."""
    take(self, replace(snapshot, outputs=[]))


def sends_all_again(self: EdgeStore, events: int) -> None:
    """What the consumer's snapshot reflects is sent once more."""


def opens_too_soon(self: Reach, link: Any) -> bool:
    """A subscription is made while its events are in hand."""
    return True


def never_covers(self: Journal, ref: int) -> int:
    """The supervisor does not say how far the snapshots of a dead consumer reach."""
    return 0


EXACT = {
    "sent_at_once": Break(HeldPort, "hold", sent_at_once),
    "forgets_the_buffer": Break(Journal, "take", forgets_the_buffer),
    "forgets_the_outputs": Break(Journal, "take", forgets_the_outputs),
    "sends_all_again": Break(EdgeStore, "resume", sends_all_again),
    "opens_too_soon": Break(Reach, "may_open", opens_too_soon),
}


def broken(seed: int, whole: Topology, right: Callable[[Any], bool], faults: Faults) -> bool:
    """Whether a run with this seed comes to a wrong result, or to none."""
    try:
        run = simulate(whole, seed=seed, faults=faults)
    except (ActorflowError, Stalled, AssertionError, IndexError):
        return True
    return run.status != "done" or not right(run.results["collect"])


@pytest.mark.parametrize("name", EXACT)
def test_a_break_of_exactly_once_shows(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some crash makes an event count twice, or never, or the run stand still."""
    each = EXACT[name]
    monkeypatch.setattr(each.of, each.method, each.by)
    whole = replace(two_between("exactly_once"), supervisor=SupervisorOptions(max_restarts=20))

    def right(result: Any) -> bool:
        return Counter(map(str, result)) == made()

    assert any(broken(seed, whole, right, crashing(seed)) for seed in SEEDS)


def test_a_state_counts_twice_when_nobody_says_how_far_it_reaches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The last acknowledgement dies with a consumer; the supervisor's word takes its place."""
    monkeypatch.setattr(Journal, "covers", never_covers)
    direct = topology("at_least_once").stage(
        "collect", Collect, replicas=2, subscribe_to=[SubscribeTo("numbers", max_demand=6)]
    )

    def right(result: Any) -> bool:
        return Counter(chain.from_iterable(result)) == Counter(range(NUMBERS))

    faults = Faults(crashes=4, within=200, stages=("collect",))
    assert any(broken(seed, direct, right, faults) for seed in SEEDS)
