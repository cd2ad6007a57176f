"""Who ends next in a drain, and when its time is over: pure decisions."""

from __future__ import annotations

from collections.abc import Mapping

from actorflow.protocol.identity import Incarnation, StageId
from actorflow.supervision.children import Child, ChildState
from actorflow.supervision.wiring import EdgeState, Wiring

__all__ = ["Drain", "stops_after"]

FOR_STOPPING = 0.25
"""The part of a drain's time that is kept, at most, for stages to stop in."""


def stops_after(within: float, stopping: float) -> float:
    """When a drain that is not over asks the stages that still run to stop.

    What it is given is its deadline for everything, so the stages' time to stop is a part of it: as
    much as they may take, and not more than a quarter of the whole.

    Args:
        within: seconds from its beginning until no stage is left.
        stopping: seconds that the stages may take to stop.

    Example:
        >>> stops_after(60, 5.0), stops_after(4, 5.0), stops_after(8, float("inf"))
        (55.0, 3.0, 6.0)
    """
    return within - min(stopping, FOR_STOPPING * within)


class Drain:
    """Sources finish first, then whoever nothing can come to any more; each life is told once.

    Most of the others end by themselves with their streams; one whose subscriptions are temporary,
    or that has none, would not. And whoever has nobody left to take its events would wait for ever
    until they are taken.

    Args:
        children: the supervisor's.
        wiring: who takes from whom.
    """

    def __init__(self, children: Mapping[StageId, Child], wiring: Wiring) -> None:
        self._children = children
        self._wiring = wiring
        self._finishing: set[Incarnation] = set()
        self._stranded: set[Incarnation] = set()

    def finishing(self) -> list[Child]:
        """Those all of whose producers have ended, if they have any."""
        fed = {
            edge.consumer
            for edge in self._wiring.edges
            if self._children[edge.producer].state is not ChildState.ENDED
        }
        found = [child for child in self._running(self._finishing) if child.id not in fed]
        self._finishing.update(child.incarnation for child in found)
        return found

    def stranded(self) -> list[Child]:
        """Those from whom no consumer takes, or will."""
        taken = {
            edge.producer
            for edge in self._wiring.edges
            if edge.state is not EdgeState.OVER
            and self._children[edge.consumer].state is not ChildState.ENDED
        }
        found = [
            child
            for child in self._running(self._stranded)
            if child.kind != "consumer" and child.id not in taken
        ]
        self._stranded.update(child.incarnation for child in found)
        return found

    def _running(self, told: set[Incarnation]) -> list[Child]:
        return [
            child
            for child in self._children.values()
            if child.state is ChildState.RUNNING and child.incarnation not in told
        ]
