"""A child's life: started in its turn and in time, stopped in its turn and within its time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from actorflow.errors import StartFailed
from actorflow.protocol import control
from actorflow.protocol.identity import StageId
from actorflow.protocol.reasons import plain
from actorflow.supervision.children import Child, ChildState, End
from actorflow.supervision.events import ChildEnded, ChildRestarting
from actorflow.supervision.linking import Linking
from actorflow.supervision.recovery import Recovery
from actorflow.supervision.specs import shutdown_seconds
from actorflow.supervision.state import SupervisorState
from actorflow.supervision.turns import Turns

__all__ = ["Lives"]


class Lives:
    """Starts and stops children; what becomes of it is a later observation.

    Args:
        state: the supervisor's.
        linking: tells peers of a child that will not be started again after all.
    """

    def __init__(self, state: SupervisorState, linking: Linking) -> None:
        self._state = state
        self._linking = linking
        self._starts = Turns(state.tree)
        self._stops = Turns(state.tree, backwards=True)
        self._reasons: dict[StageId, Any] = {}

    # --- starting ---------------------------------------------------------------------------------

    def start(self, children: Sequence[Child]) -> None:
        """Start these, which have no process, each when its turn has come.

        The children of a dynamic supervisor have nothing to do with each other, and come when
        others have long been there: for them nobody waits.

        Args:
            children: in start order.
        """
        for child in children:
            if self._state.tree.leaf(child.id).parent.dynamic is not None:
                self._spawn(child)
            else:
                self._starts.wait([child.id])
                if child.state is ChildState.ENDED:
                    child.state = ChildState.WAITING
        self._start_next()

    def started(self, child: Child) -> None:
        """A child is ready; whoever comes after it may start."""
        self._starts.over(child.id)
        self._start_next()

    def ended(self, child: Child) -> None:
        """A child's process is gone; one that comes back without having been ready is waited for.

        It has to be known by now whether it does.
        """
        self._reasons.pop(child.id, None)
        self._stops.over(child.id)
        if child.state is ChildState.ENDED:
            self._starts.over(child.id)
        self._stop_next()
        self._start_next()

    def hold(self, child: Child, *, paused: bool) -> None:
        """A child is to start again, and not before its group is gone and its back-off is over.

        Args:
            child: of the group.
            paused: whether there is a back-off. Nobody waits for the end of that, but for one that
                has never been ready.
        """
        if paused and child.was_ready:
            self._starts.over(child.id)
        else:
            self._starts.hold(child.id)

    def _start_next(self) -> None:
        if self._state.stopping:
            return
        for stage in self._starts.next():
            self._spawn(self._state.children[stage])

    def _spawn(self, child: Child) -> None:
        again = child.state is ChildState.RESTARTING
        child.generation += 1
        child.state = ChildState.STARTING
        child.exiting = child.last_result = None
        child.unhandled = {}
        child.served = False
        child.pid = 0
        child.overdue = False
        child.terminated = False
        child.fault = ""
        child.buried.clear()
        if child.fallback is not None:
            child.was_ready = False
        life = child.generation
        self._state.runtime.spawn(child.incarnation, Recovery.spec_of(child))
        self._state.after(child.spec.start_within, lambda: self._start_overdue(child, life))
        if again:
            child.restarts += 1
            self._state.report(ChildRestarting(child.incarnation, child.restarts))

    # --- stopping ---------------------------------------------------------------------------------

    def give_up(self, child: Child, reason: Any = "shutdown") -> None:
        """Stop a child for good, also one that was to be started, or started again."""
        child.comes_back = False
        if child.awaited:
            if child.state is ChildState.WAITING:
                self._never_starts(child, reason)
            child.state = ChildState.ENDED
            last = child.end.reason if child.end else reason
            self._linking.verdict(child, last, restarting=False)
            self._starts.over(child.id)
            self._start_next()
        self.terminate(child, reason)

    def _never_starts(self, child: Child, reason: Any) -> None:
        """The life that was to come is over before its turn has come."""
        child.generation += 1
        child.end = End(plain(reason), True, None, "no process: its turn to start had not come")
        who = child.incarnation
        self._state.report(ChildEnded(who, 0, child.end.reason, True, None, child.end.detail))
        self._state.calls.down(who, reason)
        self._state.take_early(who)
        self._state.monitors.down(child, restarting=False)
        never = StartFailed(f"stage {child.id} was stopped before its turn to start had come")
        self._state.ready.reject(child, never)
        self._state.replaced.reject(child, never)

    def terminate(self, child: Child, reason: Any = "shutdown") -> None:
        """Ask a child to stop, when its turn has come; SIGTERM and SIGKILL follow.

        SIGTERM at half of its `shutdown` time, SIGKILL at its end; with ``"brutal_kill"`` it is
        killed at once, with ``"infinity"`` never. A drain's deadline is nearer than any of these.
        """
        if child.state not in (ChildState.STARTING, ChildState.RUNNING):
            return
        child.state = ChildState.STOPPING
        self._reasons[child.id] = reason
        self._stops.wait([child.id])
        self._stop_next()
        if self._stops.waits(child.id):
            self.hurry(child)

    def _stop_next(self) -> None:
        for stage in self._stops.next():
            self._stop(self._state.children[stage], self._reasons.pop(stage))

    def _stop(self, child: Child, reason: Any) -> None:
        seconds = min(shutdown_seconds(child.spec.shutdown), self._left)
        if not seconds:
            self._state.runtime.signal(child.incarnation, "kill")
            return
        self._state.tell(child, control.Stop(plain(reason)))
        if seconds < math.inf:
            self._escalate_after(child, seconds / 2, "terminate")
            self._escalate_after(child, seconds, "kill")

    @property
    def _left(self) -> float:
        """Seconds until no child may live any longer."""
        return max(0.0, self._state.deadline - self._state.runtime.now())

    def hurry(self, child: Child) -> None:
        """One that is to stop has until the deadline, however long it might take else."""
        if child.state is ChildState.STOPPING and self._left < math.inf:
            self._escalate_after(child, self._left, "kill")

    def _escalate_after(self, child: Child, seconds: float, signal: str) -> None:
        life = child.generation
        self._state.after(seconds, lambda: self._escalate(child, life, signal))

    # A child of the same name may have taken the place of a forgotten one: the object tells them
    # apart, its generation the lives of one.

    def _escalate(self, child: Child, life: int, signal: str) -> None:
        if self._is(child, life) and child.state is ChildState.STOPPING:
            self._state.runtime.signal(child.incarnation, signal)

    def _start_overdue(self, child: Child, life: int) -> None:
        if self._is(child, life) and child.state is ChildState.STARTING:
            child.overdue = True
            self._state.runtime.signal(child.incarnation, "kill")

    def _is(self, child: Child, life: int) -> bool:
        return self._state.children.get(child.id) is child and child.generation == life
