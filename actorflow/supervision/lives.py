"""A child's life: started in time, and stopped within its time."""

from __future__ import annotations

import math
from typing import Any

from actorflow.protocol import control
from actorflow.protocol.reasons import plain
from actorflow.supervision.children import Child, ChildState
from actorflow.supervision.linking import Linking
from actorflow.supervision.recovery import Recovery
from actorflow.supervision.specs import shutdown_seconds
from actorflow.supervision.state import SupervisorState

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

    def spawn(self, child: Child) -> None:
        """Start a child's next incarnation."""
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

    def give_up(self, child: Child, reason: Any = "shutdown") -> None:
        """Stop a child for good, also one that was to be started again."""
        child.comes_back = False
        if child.state is ChildState.RESTARTING:
            child.state = ChildState.ENDED
            last = child.end.reason if child.end else reason
            self._linking.verdict(child, last, restarting=False)
        self.terminate(child, reason)

    def terminate(self, child: Child, reason: Any = "shutdown") -> None:
        """Ask a child to stop; SIGTERM at half of its `shutdown` time, SIGKILL at its end.

        With ``"brutal_kill"`` it is killed at once, with ``"infinity"`` never. A drain's deadline
        is nearer than any of these.
        """
        if child.state not in (ChildState.STARTING, ChildState.RUNNING):
            return
        child.state = ChildState.STOPPING
        left = max(0.0, self._state.deadline - self._state.runtime.now())
        seconds = min(shutdown_seconds(child.spec.shutdown), left)
        if not seconds:
            self._state.runtime.signal(child.incarnation, "kill")
            return
        self._state.tell(child, control.Stop(plain(reason)))
        if seconds < math.inf:
            self._escalate_after(child, seconds / 2, "terminate")
            self._escalate_after(child, seconds, "kill")

    def hurry(self, child: Child) -> None:
        """One that was asked to stop has until the deadline, however long it might take else."""
        if child.state is ChildState.STOPPING:
            left = max(0.0, self._state.deadline - self._state.runtime.now())
            self._escalate_after(child, left, "kill")

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
