"""Groups of children that are being started again, together."""

from __future__ import annotations

from dataclasses import field

from actorflow.protocol.identity import StageId
from actorflow.records import dataclass
from actorflow.supervision.children import Child, ChildState
from actorflow.supervision.lives import Lives
from actorflow.supervision.state import SupervisorState
from actorflow.supervision.tree import Decision

__all__ = ["Revivals"]


@dataclass(slots=True, eq=False)
class _Revival:
    """A group on its way back.

    Args:
        stages: who is started, in start order.
        waiting: whose processes have to end before.
        pauses: how many back-offs have to pass before.
        joined: the revival that this one has become a part of.
    """

    stages: list[StageId]
    waiting: set[StageId] = field(default_factory=set)
    pauses: int = 0
    joined: _Revival | None = None

    def takes(self, stages: set[StageId]) -> bool:
        return not stages.isdisjoint(self.stages) or not stages.isdisjoint(self.waiting)


class Revivals:
    """Starts a group again, in start order, once all of it has stopped and its back-off is over.

    A later decision that concerns a part of a group, such as a restart of the supervisor above it,
    takes the group in.

    Args:
        state: the supervisor's.
        lives: starts and stops children.
    """

    def __init__(self, state: SupervisorState, lives: Lives) -> None:
        self._state = state
        self._lives = lives
        self._revivals: list[_Revival] = []

    def begin(self, decision: Decision) -> None:
        """Stop whoever of a group lives, the last started first; the rest follows."""
        again, over = set(decision.restart), set(decision.stop)
        touched = again | over
        affected = [self._state.children[stage] for stage in self._in_order(touched)]
        revival = self._joined(touched, decision.restart)
        for child in reversed(affected):
            if child.id in over:
                self._lives.give_up(child)
                self._state.forget_if_over(child)
                continue
            self._lives.hold(child, paused=bool(decision.pause))
            if child.alive:
                child.comes_back = True
                self._lives.terminate(child)
            elif child.state is ChildState.ENDED:
                child.state = ChildState.RESTARTING
        revival.waiting.update(child.id for child in affected if child.alive)
        if decision.pause:
            revival.pauses += 1
            self._state.after(decision.pause, lambda: self._pause_over(revival))

    def follow(self, child: Child) -> None:
        """Start a child again once its process has ended, which it has been told to."""
        child.comes_back = True
        revival = self._joined({child.id}, (child.id,))
        revival.waiting.add(child.id)

    def again(self, child: Child) -> None:
        """Start a child again whose process is just ending."""
        child.state = ChildState.RESTARTING
        self._joined({child.id}, (child.id,))

    def gone(self, stage: StageId) -> None:
        """A process has ended."""
        for revival in list(self._revivals):
            revival.waiting.discard(stage)
            self._start(revival)

    def forget(self, child: Child) -> None:
        """A child was given up; the rest of its group goes on."""
        for revival in list(self._revivals):
            if child.id in revival.stages:
                revival.stages.remove(child.id)
                self._start(revival)

    def hurry(self) -> None:
        """No back-off any more: the run is being drained, and who is missed is needed now."""
        for revival in list(self._revivals):
            revival.pauses = 0
            self._start(revival)

    def _joined(self, affected: set[StageId], again: tuple[StageId, ...]) -> _Revival:
        """A revival of these stages, and of those of every revival that they are a part of."""
        revival = _Revival([])
        stages = set(again)
        for other in [each for each in self._revivals if each.takes(affected)]:
            other.joined = revival
            stages.update(stage for stage in other.stages if stage not in affected)
            revival.waiting |= other.waiting
            revival.pauses += other.pauses
            self._revivals.remove(other)
        revival.stages = self._in_order(stages)
        self._revivals.append(revival)
        return revival

    def _in_order(self, stages: set[StageId]) -> list[StageId]:
        if len(stages) < 2:
            return list(stages)  # among thousands of others
        return [stage for stage in self._state.tree.in_order() if stage in stages]

    def _pause_over(self, revival: _Revival) -> None:
        while revival.joined is not None:
            revival = revival.joined
        revival.pauses = max(0, revival.pauses - 1)
        self._start(revival)

    def _start(self, revival: _Revival) -> None:
        if revival.waiting or revival.pauses or revival not in self._revivals:
            return
        self._revivals.remove(revival)
        if self._state.stopping:
            return
        known = (self._state.children.get(stage) for stage in revival.stages)
        group = [child for child in known if child is not None and child.awaited]
        for child in group:
            self._state.rewire(child)
        self._lives.start(group)
