"""Whether a run has come to rest: nothing more can flow in it by itself."""

from __future__ import annotations

from collections.abc import Mapping

from actorflow.protocol.identity import StageId
from actorflow.supervision.children import Child, ChildState
from actorflow.supervision.wiring import EdgeState, Wiring

__all__ = ["is_idle"]


def is_idle(children: Mapping[StageId, Child], wiring: Wiring) -> bool:
    """Whether every source has ended, or has lost whoever took its events, for good.

    A stage is of use while events from it can reach a stage that nobody was declared to take from:
    a sink that lives, or will live again. A run is idle when it has no source of use; whoever has
    lost its subscriptions is no source. A stage that an operation has stopped, or subscribed, is in
    a program's hands: then the run is not idle.

    Args:
        children: the supervisor's.
        wiring: who takes from whom.
    """
    if not any(child.ended_for_good for child in children.values()):
        return False
    if any(_in_other_hands(child) for child in children.values()):
        return False
    if any(not edge.declared and edge.state is not EdgeState.OVER for edge in wiring.edges):
        return False
    useful: dict[StageId, bool] = {}
    return not any(
        child.state is not ChildState.ENDED and _is_of_use(child.id, children, wiring, useful)
        for child in children.values()
        if not wiring.was_fed(child.id)
    )


def _in_other_hands(child: Child) -> bool:
    return child.dynamic or child.terminated or child.state is ChildState.STOPPING


def _is_of_use(
    stage: StageId, children: Mapping[StageId, Child], wiring: Wiring, known: dict[StageId, bool]
) -> bool:
    """Whether events from a stage can still reach a sink; without recursion, however long."""
    todo = [stage]
    while todo:
        here = todo[-1]
        below = {edge.consumer for edge in wiring.downstream(here)}
        unknown = [each for each in below if each not in known]
        if here in known or children[here].state is ChildState.ENDED:
            known.setdefault(here, False)
            todo.pop()
        elif unknown and not any(known.get(each, False) for each in below):
            todo += unknown
        else:
            known[here] = not below or any(known[each] for each in below if each in known)
            todo.pop()
    return known[stage]
