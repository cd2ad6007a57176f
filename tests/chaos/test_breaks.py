"""The checker and the simulator can fail: each deliberate break of delivery is caught by a law."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from actorflow import ActorflowError
from actorflow.protocol.control import Snapshot
from actorflow.protocol.delivery import Unfinished
from actorflow.protocol.edges import EdgeStore
from actorflow.runtime.simulated.stall import Endless, Stalled
from actorflow.stage.consuming import ConsumingHalf
from actorflow.stage.exact import HeldPort
from actorflow.stage.keeping import Keeping
from actorflow.stage.producing import ProducingHalf
from actorflow.stage.reach import Reach
from actorflow.supervision.journal import Journal
from actorflow.supervision.recovery import Recovery
from tests.chaos.simulated import DeliveryExperiment, Disk, Undelivered
from tests.simulation.breaks import (
    INTERPRETED_ONLY,
    Break,
    acknowledged_on_arrival,
    break_it,
    end_without_waiting,
    finished_when_handled,
    unfinished_batches_forgotten,
)

pytestmark = INTERPRETED_ONLY

SEEDS = 400
"""How many experiments a break may take to be caught; most take a few."""

LOST, NOT_COUNTED, TWICE = "lost", "not counted", "counted twice"
REPEATED = "repeated"
EARLY = "acknowledged and not finished"
HANGS = "hangs"
FAILS = "fails"


def redelivered_at_most_once(right: Any) -> Any:
    """What was sent is kept, and sent again, though the mode says not to."""
    return lambda self, claim: Unfinished()


def sent_again_twice(right: Any) -> Any:
    """The first of what a successor has to get again is sent to it two times."""
    seen: list[Any] = []

    def take_owed(self: Any, count: int) -> Any:
        batch = right(self, count)
        if batch is not None and not any(each is self for each in seen):
            seen.append(self)
            self.owed.append(batch)
        return batch

    return take_owed


def acknowledgements_one_too_far(right: Any) -> Any:
    """An acknowledgement counts for the batch behind it, too."""

    def acknowledge(self: Any, seq: int) -> int:
        return int(right(self, min(seq + 1, self.seq)))

    return acknowledge


def snapshot_skipped(right: Any) -> Any:
    """Input is called covered when it is handled, without a snapshot that is kept."""

    def taken(self: Any, state: bytes | None) -> None:
        right(self, state)
        if self._under_way is not None:
            self.stored(self._under_way.record.number)

    return taken


def old_snapshot_restored(right: Any) -> Any:
    """A successor goes on from the first snapshot that had a state, and not from the last."""

    def take(self: Any, snapshot: Snapshot) -> None:
        if self._state is not None and snapshot.state is not None:
            snapshot = replace(snapshot, state=self._state)
        right(self, snapshot)

    return take


def position_before_processing(right: Any) -> Any:
    """A position is kept although what was emitted before it is not finished."""
    return lambda self, waiting: True


def covered_before_handling(right: Any) -> Any:
    """A snapshot says that it reflects what has arrived, and not what was handled."""

    def here(self: Any) -> Any:
        found = right(self)
        subscriptions = self._half.subscriptions
        return [
            replace(each, seq=max(each.seq, subscriptions[each.ref].received))
            if each.ref in subscriptions
            else each
            for each in found
        ]

    return here


def buffer_left_out(right: Any) -> Any:
    """What nobody had asked for is not kept."""
    return lambda self, snapshot: right(self, replace(snapshot, buffer=None))


def outputs_left_out(right: Any) -> Any:
    """What is under way is not kept."""
    return lambda self, snapshot: right(self, replace(snapshot, outputs=[]))


def sent_before_it_is_kept(right: Any) -> Any:
    """A batch leaves before a snapshot contains it."""
    return lambda self, link, head, body: self._port.send(link, head, body)


def sent_again_from_the_start(right: Any) -> Any:
    """What the consumer's snapshot reflects is sent once more."""
    return lambda self, events: None


def written_out_of_order(right: Any) -> Any:
    """Snapshots are called stored at once, and the newest is written first."""

    def keep(self: Any, stage: str, snapshot: Snapshot, stored: Any) -> None:
        right(self, stage, snapshot, lambda: None)
        self._waiting.insert(0, self._waiting.pop())
        stored()

    return keep


def written_in_two_steps(right: Any) -> Any:
    """A checkpoint's write is not atomic: the state at once, what goes with it some time."""

    def keep(self: Any, stage: str, snapshot: Snapshot, stored: Any) -> None:
        state_alone = replace(snapshot, outputs=[], buffer=None)
        self._journals.setdefault(stage, Journal()).take(state_alone)
        right(self, stage, snapshot, stored)

    return keep


def successor_without_a_snapshot(right: Any) -> Any:
    """A successor begins at the beginning."""
    return staticmethod(lambda child: child.spec.stage)


BREAKS: dict[str, Break] = {
    broken.by.__name__: broken
    for broken in (
        Break(ConsumingHalf, "route", acknowledged_on_arrival, (EARLY,), 10),
        Break(ProducingHalf, "lowest_unfinished", finished_when_handled, (EARLY,), 107),
        Break(Unfinished, "give_back", unfinished_batches_forgotten, (LOST, NOT_COUNTED, HANGS), 6),
        Break(ProducingHalf, "new_store", redelivered_at_most_once, (REPEATED, "out of order"), 15),
        Break(EdgeStore, "take_owed", sent_again_twice, (TWICE, HANGS, FAILS), 6),
        Break(Unfinished, "acknowledge", acknowledgements_one_too_far, (LOST, EARLY), 76),
        Break(Keeping, "_taken", snapshot_skipped, (NOT_COUNTED, TWICE, EARLY), 6),
        Break(Journal, "take", old_snapshot_restored, (NOT_COUNTED, TWICE), 50),
        Break(Keeping, "_may_go", position_before_processing, (LOST, EARLY), 25),
        Break(Reach, "here", covered_before_handling, (NOT_COUNTED, LOST, EARLY), 13),
        Break(Journal, "take", buffer_left_out, (NOT_COUNTED,), 99),
        Break(Journal, "take", outputs_left_out, (NOT_COUNTED, FAILS, HANGS), 6),
        Break(HeldPort, "hold", sent_before_it_is_kept, (TWICE, NOT_COUNTED, FAILS), 61),
        Break(EdgeStore, "resume", sent_again_from_the_start, (TWICE,), 13),
        Break(ProducingHalf, "flushed", end_without_waiting, (LOST, NOT_COUNTED), 6),
        Break(Disk, "keep", written_out_of_order, (NOT_COUNTED, TWICE, HANGS, FAILS), 92),
        Break(Disk, "keep", written_in_two_steps, (NOT_COUNTED, HANGS, FAILS), 219),
        Break(Recovery, "spec_of", successor_without_a_snapshot, (TWICE, HANGS, FAILS), 17),
    )
}


def found_by(seed: int) -> set[str]:
    """The laws that an experiment breaks."""
    try:
        DeliveryExperiment.of(seed).run()
    except Undelivered as broken:
        return {violation.law for violation in broken.violations}
    except (Stalled, Endless):
        return {HANGS}
    except (ActorflowError, AssertionError, LookupError, ValueError):
        return {FAILS}
    return set()


@pytest.mark.parametrize("name", BREAKS)
def test_a_break_of_delivery_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within some seeds, by a law that it breaks."""
    broken = BREAKS[name]
    break_it(broken, monkeypatch)
    seeds = range(broken.first, broken.first + SEEDS)
    assert any(found_by(seed) & set(broken.caught) for seed in seeds)
