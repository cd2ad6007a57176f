"""A stage with other arguments or options: each replica in turn gives way to one with the new."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

from actorflow.errors import Closed
from actorflow.protocol import control
from actorflow.protocol.identity import Incarnation, StageId
from actorflow.supervision.children import Child, ChildInfo, ChildState
from actorflow.supervision.lives import Lives
from actorflow.supervision.revivals import Revivals
from actorflow.supervision.specs import ChildSpec
from actorflow.supervision.state import SupervisorState

__all__ = ["FIXED_OPTIONS", "Replacing"]

FIXED_OPTIONS = ("dispatcher", "delivery")
"""Options that a stage and its neighbours have agreed upon when they were linked."""

REASON = ("shutdown", "replaced")
"""Why the predecessor ends."""


class Replacing:
    """Starts the replicas of a stage again, one after the other, with another specification.

    Args:
        state: the supervisor's.
        lives: stops children.
        revivals: starts them again when they have ended.
    """

    def __init__(self, state: SupervisorState, lives: Lives, revivals: Revivals) -> None:
        self._state = state
        self._lives = lives
        self._revivals = revivals

    def replace(
        self,
        stages: list[StageId],
        arguments: Mapping[str, Any] | None,
        options: Mapping[str, Any],
        within: float,
    ) -> Future[list[ChildInfo]]:
        """Replace these, each when the one before it is ready.

        A new one that does not start gives way to one as before, and the rest stay as they are.

        Args:
            stages: the replicas.
            arguments: the constructor's new keyword arguments, all of them; None leaves them.
            options: the new values of fields of `StageOptions`.
            within: seconds that a producer may take to hand over what it has emitted.
        """
        result: Future[list[ChildInfo]] = Future()
        result.set_running_or_notify_cancel()
        self._next(stages, 0, (arguments, options, within), result)
        return result

    def _next(
        self,
        stages: list[StageId],
        place: int,
        how: tuple[Mapping[str, Any] | None, Mapping[str, Any], float],
        result: Future[list[ChildInfo]],
    ) -> None:
        if place == len(stages):
            rows = [self._state.children.get(stage) for stage in stages]
            result.set_result([ChildInfo.of(child) for child in rows if child is not None])
            return
        child = self._state.children.get(stages[place])
        if child is None or child.leaving:
            self._next(stages, place + 1, how, result)
            return
        arguments, options, within = how
        ready = self._begin(child, _changed(child.spec, arguments, options), within)

        def done(over: Future[ChildInfo]) -> None:
            error = over.exception()
            if error is None and self._state.stopping:
                error = Closed(f"the run {self._state.plan.name!r} is stopping")
            if error is not None:
                result.set_exception(error)
            else:
                self._next(stages, place + 1, how, result)

        ready.add_done_callback(done)

    def _begin(self, child: Child, spec: ChildSpec, within: float) -> Future[ChildInfo]:
        """Have a child give way to one with another specification."""
        ready: Future[ChildInfo] = Future()
        before, child.spec = child.spec, spec
        if child.state is ChildState.ENDED:
            ready.set_result(ChildInfo.of(child))
            return ready
        self._state.replaced.add(child, ready)
        child.fallback = before if child.was_ready else None
        if child.awaited:
            return ready
        self._revivals.follow(child)
        incarnation = child.incarnation
        if child.state is ChildState.RUNNING and child.kind == "producer":
            self._state.tell(child, control.Retire(successor=True))
            self._state.after(within, lambda: self._overdue(incarnation))
        else:
            # What it has not finished is delivered again, to its successor.
            self._lives.terminate(child, REASON)
        return ready

    def _overdue(self, incarnation: Incarnation) -> None:
        child = self._state.current(incarnation)
        if child is not None and child.state is ChildState.RUNNING:
            said = "did not hand over in time what it had emitted; it is stopped"
            self._state.log(child, "warning", said)
            self._lives.terminate(child, REASON)


def _changed(
    spec: ChildSpec, arguments: Mapping[str, Any] | None, options: Mapping[str, Any]
) -> ChildSpec:
    stage = spec.stage
    if arguments is not None:
        stage = replace(stage, arguments=dict(arguments))
    return replace(spec, stage=replace(stage, options=replace(stage.options, **options)))
