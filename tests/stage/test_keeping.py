"""When a stage takes a snapshot, on a fake clock."""

from __future__ import annotations

import pytest

from actorflow.protocol.control import Snapshot
from actorflow.runtime.simulated.clock import FakeClock
from actorflow.stage.keeping import Keeping, Outputs
from actorflow.stage.timers import Timers


@pytest.mark.parametrize(("takes", "rests"), [(0.0, 0.005), (0.0002, 0.005), (0.02, 0.4)])
def test_a_snapshot_takes_at_most_a_twentieth_of_the_time(takes: float, rests: float) -> None:
    """Or comes every five milliseconds, when that is less; the timer rings when it is due."""
    clock, timers, sent = FakeClock(), Timers(), list[Snapshot]()

    def state() -> str:
        clock.advance(takes)
        return "state"

    keeping = Keeping(
        state, None, Outputs(), exact=False, send=sent.append, now=clock, timers=timers
    )
    for number in (1, 2):
        began = clock()
        keeping.changed()
        work = keeping.next()
        assert work is not None
        work.done(work.call(), 0.0)
        assert [record.number for record in sent] == list(range(1, number + 1))
        keeping.stored(number)
        keeping.changed()
        assert keeping.next() is None
        assert timers.next_due == pytest.approx(began + rests)
        clock.advance_to(began + rests - 1e-6)
        assert keeping.next() is None
        clock.advance_to(began + rests + 1e-9)
        timers.fire_due(clock())
