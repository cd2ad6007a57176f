"""When a stage takes a snapshot, and what follows when one is kept.

Pure. At most one snapshot is under way. The next is taken when something has happened since, no
message is handled in part, and the last one has not just been: a snapshot may take a
twentieth of a stage's time, however large its state. The last one of a stream, without which
nobody upstream can end, does not wait for that.

There are two rules for what may be sent after the state:

* Under `at_least_once` a snapshot is sent when everything that the stage emitted before it is
  finished. So a successor that goes on from it has nothing to emit again.
* Under `exactly_once` it is sent at once, with what was emitted and is not finished; that is held
  back until the snapshot is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field
from typing import Any

from actorflow.protocol.codec import dump
from actorflow.protocol.control import Snapshot
from actorflow.records import dataclass
from actorflow.stage.reach import Covered, Reach
from actorflow.stage.timers import Alarm, Timers
from actorflow.stage.work import Work

__all__ = ["SNAPSHOT", "Keeping", "Outputs"]

SNAPSHOT = "snapshot"
"""The label of the work of taking one."""

AT_MOST_EVERY = 0.005
"""Seconds between two snapshots, at least: many batches share one where they are small."""

WITH_OUTPUT = 0.001
"""The same where output is held back until the next one is kept: consumers wait for it, and what
they ask for meanwhile is one window."""

SHARE = 0.05
"""Of a stage's time, what snapshots may take. To send, to take in and to keep one costs about half
as much again, in this process and in the supervisor's; nobody waits for it meanwhile."""


@dataclass(frozen=True, slots=True)
class Outputs:
    """What `Keeping` needs to know of a stage's output; a consumer's answers are constant.

    Args:
        emitted: how many events it has emitted.
        lowest_unfinished: the place of the oldest that is not finished.
        taken: what a snapshot holds of them under `exactly_once`, as fields of `Snapshot`; what is
            held back now belongs to that snapshot.
        kept: what was taken is kept: release it.
        holding: whether something is held back.
    """

    emitted: Callable[[], int] = lambda: 0
    lowest_unfinished: Callable[[], int] = lambda: 0
    taken: Callable[[], dict[str, Any]] = dict
    kept: Callable[[], None] = lambda: None
    holding: Callable[[], bool] = lambda: False


@dataclass(slots=True)
class _UnderWay:
    """The snapshot that was taken last and is not kept yet."""

    record: Snapshot
    inputs: list[Covered]
    emitted: int
    sent: bool = field(default=False)


class Keeping:
    """The snapshots of one stage.

    Args:
        state: the behaviour's `snapshot`, or None when it keeps no state.
        reach: how far its input is covered; None for a producer.
        outputs: its output.
        exact: whether it runs under `exactly_once`.
        send: sends a snapshot to the supervisor.
        now: the driver's clock, seconds, monotonic.
        timers: the stage's timers.
    """

    def __init__(
        self,
        state: Callable[[], Any] | None,
        reach: Reach | None,
        outputs: Outputs,
        *,
        exact: bool,
        send: Callable[[Snapshot], None],
        now: Callable[[], float],
        timers: Timers,
    ) -> None:
        self.finishing = False
        self._state = state
        self._reach = reach
        self._outputs = outputs
        self._exact = exact
        self._send = send
        self._now = now
        # When it rings the driver looks for work, and finds this.
        self._alarm = Alarm(timers, lambda: None)
        self._number = 0
        self._changed = False
        self._began = 0.0
        self._rest = 0.0
        """Seconds after the beginning of the last one that its cost alone demands."""
        self._urgent = False
        self._under_way: _UnderWay | None = None

    def changed(self) -> None:
        """Something has happened that the last snapshot does not reflect."""
        self._changed = True

    def nothing_comes(self) -> None:
        """All has come that will: what is not kept yet is all that others still wait for."""
        self._urgent = not self.settled

    def next(self) -> Work | None:
        """The work of taking a snapshot, if one is wanted now."""
        if not self._changed or self._under_way is not None:
            return None
        now, due = self._now(), self._due
        if now < due:
            self._alarm.set(due)
            return None
        if self._reach is not None and not self._reach.whole:
            return None
        self._changed = False
        self._began = now
        if self._state is None:
            self._taken(None)
            return None
        return Work(SNAPSHOT, self._state, (), lambda state, _: self._taken(dump(state)))

    def progressed(self) -> None:
        """Some output is finished: the snapshot that waited for it may go."""
        waiting = self._under_way
        if waiting is None or waiting.sent or not self._may_go(waiting):
            return
        waiting.sent = True
        self._send(waiting.record)

    def stored(self, number: int) -> None:
        """The supervisor keeps the snapshot of this number."""
        kept = self._under_way
        if kept is None or kept.record.number != number:
            return  # said twice, which changes nothing
        self._under_way = None
        self._outputs.kept()
        if self._reach is not None:
            self._reach.covered(kept.inputs)
        if self._changed:
            self._alarm.set(self._due)

    @property
    def _due(self) -> float:
        """When the next one may be taken."""
        if self._urgent or not self._number:
            return self._began
        least = WITH_OUTPUT if self._outputs.holding() else AT_MOST_EVERY
        return self._began + max(self._rest, least)

    @property
    def settled(self) -> bool:
        """Whether nothing is left that only a further snapshot could finish."""
        covered = self._reach is None or self._reach.complete
        return covered and not self._outputs.holding()

    def _taken(self, state: bytes | None) -> None:
        self._rest = (self._now() - self._began) / SHARE
        self._urgent = False
        self._number += 1
        inputs = self._reach.here() if self._reach is not None else []
        more = self._outputs.taken() if self._exact else {}
        record = Snapshot(
            self._number,
            state,
            [each.to_wire() for each in inputs],
            finishing=self.finishing,
            **more,
        )
        self._under_way = _UnderWay(record, inputs, self._outputs.emitted())
        self.progressed()

    def _may_go(self, waiting: _UnderWay) -> bool:
        return self._exact or self._outputs.lowest_unfinished() >= waiting.emitted
