"""Running changes: operations that change what a running supervisor runs, and how it is linked."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from actorflow.errors import Refused
from actorflow.protocol.reasons import plain
from actorflow.stage.behaviour import kind_of
from actorflow.supervision.children import Child, ChildState
from actorflow.supervision.core import SupervisorCore
from actorflow.supervision.joining import RouterInfo
from actorflow.supervision.operations import ensure_open, find
from actorflow.supervision.wiring import EdgeState

__all__ = ["change_members", "named", "routers", "unsubscribe"]


def named(core: SupervisorCore, stage: str) -> list[Child]:
    """The children that a name means: ``"count/1"`` that one, ``"count"`` every replica.

    Raises:
        NoSuchStage: there is none.
    """
    name, _, index = stage.partition("/")
    replicas = [child for child in core.children.values() if child.id.name == name]
    if index or not replicas:
        return [find(core, stage)]
    return replicas


# --- managers -------------------------------------------------------------------------------------


def change_members(
    core: SupervisorCore, manager: str, change: str, stages: Collection[str]
) -> RouterInfo:
    """Change a manager's members; the edges follow at once.

    Raises:
        Refused: ``no_such_stage``, ``not_a_producer``, ``cycle``; ``noproc``: it has ended.
        NoSuchStage: there is no such manager.
    """
    ensure_open(core)
    child = find(core, manager)
    if kind_of(child.spec.stage.behaviour) == "consumer":
        raise Refused("not_a_producer", f"{child.id} is a consumer, it has no members")
    if child.state is ChildState.ENDED:
        raise Refused("noproc", f"{child.id} has ended")
    core.joining.change(child, change, stages)
    core.joining.settle()
    return next(row for row in core.joining.routers() if row.manager == str(child.id))


def routers(core: SupervisorCore) -> list[RouterInfo]:
    """A row for each manager of members."""
    return core.joining.routers()


# --- subscriptions --------------------------------------------------------------------------------


def unsubscribe(core: SupervisorCore, consumer: str, producer: str, reason: Any) -> int:
    """End every subscription between two stages; their cancel modes decide about the consumer.

    They are not made again when one of the two is restarted. Who unsubscribes from a manager
    leaves its members too.

    Returns:
        how many subscriptions end.

    Raises:
        Refused: ``unknown_subscription``: there is none between the two.
        NoSuchStage: there is no such stage.
    """
    ensure_open(core)
    consumers, producers = named(core, consumer), named(core, producer)
    found = [
        edge
        for of in consumers
        for to in producers
        for edge in core.wiring.between(of.id, to.id)
        if edge.state is not EdgeState.OVER and not edge.leaving
    ]
    if not found:
        detail = f"{consumer} is not subscribed to {producer}"
        raise Refused("unknown_subscription", detail)
    for edge in found:
        core.linking.leave(edge, plain(reason))
    core.joining.settle()
    return len(found)
