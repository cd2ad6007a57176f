"""The last snapshot of a stream does not wait for its turn: the end of everybody waits for it."""

from __future__ import annotations

from typing import Any

import pytest

from actorflow import Consumer, Producer, ProducerConsumer
from actorflow.protocol.control import Snapshot, SnapshotStored
from actorflow.runtime.simulated.clock import FakeClock
from actorflow.stage.behaviour import Stage
from actorflow.testing import StageHarness

COST = 0.02
"""Seconds that a snapshot takes, so that 0.4 pass from one to the next."""


class Heavy(Stage):
    """Has a state that takes its time."""

    clock: FakeClock

    def snapshot(self) -> int:
        """Nothing that would matter."""
        self.clock.advance(COST)
        return 0

    def restore(self, state: int) -> None:
        """As before."""

    def handle_cast(self, message: Any) -> None:
        """Something to keep, though no event."""


class Sum(Heavy, Consumer):
    """A consumer with such a state."""

    def handle_events(self, events: list[Any], subscription: Any) -> None:
        """Nothing is added up."""


class Same(Heavy, ProducerConsumer):
    """A producer-consumer with such a state."""

    def handle_events(self, events: list[Any], subscription: Any) -> list[Any]:
        """The same."""
        return events


class Once(Heavy, Producer):
    """A producer with such a state: two answers, and the end with the second."""

    asked = 0

    def handle_demand(self, demand: int) -> list[int]:
        """One event."""
        self.asked += 1
        if self.asked == 2:
            self.finish()
        return [self.asked]


def stage(behaviour: type[Stage], **options: Any) -> StageHarness:
    """A stage whose snapshots take time on its own clock, and whose first one is kept."""
    harness = StageHarness(behaviour, autorun=False, **options)
    harness.step()
    harness.behaviour.clock = harness.clock
    harness.autorun = True
    harness.run()
    keep(harness)
    return harness


def snapshots(harness: StageHarness) -> list[Snapshot]:
    """Those that were sent to the supervisor."""
    return [record for record in harness.told if isinstance(record, Snapshot)]


def keep(harness: StageHarness) -> None:
    """As the supervisor: the last one is kept."""
    harness.order(SnapshotStored(snapshots(harness)[-1].number))


def test_the_word_that_nothing_more_comes_hastens_it() -> None:
    """Once; afterwards the rule holds again that a twentieth of the time is enough."""
    harness = stage(Sum)
    harness.link_to_producer(1, max_demand=10)
    harness.route(1, [1])
    harness.route(1, [2])
    assert (len(snapshots(harness)), harness.acked(1)) == (1, 0)
    harness.last(1)
    assert len(snapshots(harness)) == 2
    keep(harness)
    assert harness.acked(1) == 2
    harness.cast("more to keep")
    assert len(snapshots(harness)) == 2
    harness.route(1, [3])
    assert len(snapshots(harness)) == 2
    harness.last(1)
    assert len(snapshots(harness)) == 3


def test_one_that_is_under_way_is_followed_at_once_by_the_last() -> None:
    """It reflects less than has come, and to wait for it cannot be helped."""
    harness = stage(Sum)
    harness.link_to_producer(1, max_demand=10)
    harness.route(1, [1])
    harness.advance(1.0)
    harness.route(1, [2])
    harness.last(1)
    assert len(snapshots(harness)) == 2
    keep(harness)
    assert len(snapshots(harness)) == 3
    keep(harness)
    assert harness.acked(1) == 2


@pytest.mark.parametrize("delivery", ["at_least_once", "exactly_once"])
def test_between_others_too(delivery: str) -> None:
    """What it emitted is finished, or held back until then."""
    harness = stage(Same, delivery=delivery)
    harness.link_to_producer(1, max_demand=10)
    harness.subscribe(9, "sink", edge="sink", resume=0)
    harness.ask(9, 100)
    harness.route(1, [1])
    if delivery == "at_least_once":
        harness.acknowledge(9)
    assert len(snapshots(harness)) == 1
    harness.last(1)
    assert len(snapshots(harness)) == 2
    keep(harness)
    assert harness.events(9) == [[1]]


def test_the_end_of_a_producer_hastens_it() -> None:
    """Under `exactly_once` its last events are held back until they are kept."""
    harness = stage(Once, delivery="exactly_once")
    harness.subscribe(9, "sink", edge="sink", resume=0)
    harness.ask(9, 1)
    assert len(snapshots(harness)) == 1
    harness.ask(9, 1)
    assert len(snapshots(harness)) == 2
    keep(harness)
    assert harness.events(9) == [[1], [2]]
