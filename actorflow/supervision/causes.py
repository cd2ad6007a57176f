"""What a run ended for: the first failure, found again behind those that followed from it."""

from __future__ import annotations

from collections.abc import Sequence

from actorflow.errors import IntensityExceeded
from actorflow.protocol.failure import Failure
from actorflow.supervision.children import Child, End
from actorflow.supervision.specs import SupervisorSpec
from actorflow.supervision.state import SupervisorState
from actorflow.supervision.tree import Decision

__all__ = ["intensity_error", "root_cause"]


def intensity_error(
    state: SupervisorState, child: Child, end: End, decision: Decision
) -> IntensityExceeded:
    """The error of a run whose restarts did not help; its cause is what happened in the stage.

    Args:
        state: the supervisor's.
        child: whose end was one too many.
        end: that end.
        decision: what it led to: the supervisors that gave up, from the inside outward.
    """
    said = f"stage {child.id} ended more often than {_allowed(child, decision.gave_up)}"
    cause = root_cause(state, child)
    if cause is None:
        return IntensityExceeded(f"{said}; it last ended with {end.reason!r}")
    error = IntensityExceeded(f"{said}; the cause: {Failure.of(cause).summary}")
    error.__cause__ = cause
    cause.add_note(said)
    return error


def root_cause(state: SupervisorState, child: Child) -> BaseException | None:
    """The exception or kill that a child's end goes back to, if there was any.

    A consumer whose producer is gone for good ends with its producer's reason and no exception.
    """
    seen: set[Child] = set()
    while child.end is not None and child.end.error is None:
        seen.add(child)
        producers = [state.children[edge.producer] for edge in state.wiring.upstream(child.id)]
        lost = [
            each
            for each in producers
            if each.end is not None and each.end.reason == child.end.reason and each not in seen
        ]
        if not lost:
            return None
        child = lost[0]
    return child.end.error if child.end is not None else None


def _allowed(child: Child, gave_up: Sequence[SupervisorSpec]) -> str:
    """What was allowed, supervisor by supervisor."""
    texts = [
        f"{_name(each)} allows: more than max_restarts={each.intensity.max_restarts} restarts"
        f" in max_seconds={each.intensity.max_seconds:g}"
        for each in gave_up
    ]
    backoff = child.spec.backoff
    if backoff is not None and backoff.attempts is not None:
        texts[0] = f"its back-off allows: more than attempts={backoff.attempts} restarts in a row"
    return ", then than ".join(texts)


def _name(supervisor: SupervisorSpec) -> str:
    return f"supervisor {supervisor.name!r}" if supervisor.name else "the supervisor"
