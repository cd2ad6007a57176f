"""Running changes: operations that change what a running supervisor runs, and how it is linked."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from concurrent.futures import Future
from typing import Any

from actorflow.errors import OptionError, Refused
from actorflow.protocol import control
from actorflow.protocol.reasons import plain
from actorflow.stage.behaviour import kind_of
from actorflow.supervision.children import Child, ChildInfo, ChildState
from actorflow.supervision.core import SupervisorCore
from actorflow.supervision.joining import RouterInfo
from actorflow.supervision.operations import ensure_open, find
from actorflow.supervision.replacing import FIXED_OPTIONS
from actorflow.supervision.wiring import EdgeState

__all__ = [
    "change_members",
    "named",
    "pause_stage",
    "replace",
    "resume_stage",
    "routers",
    "scale",
    "unsubscribe",
]


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
    core.check_end()
    return len(found)


# --- pauses ---------------------------------------------------------------------------------------


def pause_stage(core: SupervisorCore, stage: str) -> None:
    """Have a stage make and take nothing new; its consumers and producers stay as they are.

    Raises:
        Refused: ``draining``: a run that drains has to come to its end.
        NoSuchStage: there is no such stage.
    """
    ensure_open(core)
    if core.draining:
        raise Refused("draining", "a run that drains has nothing paused")
    for child in named(core, stage):
        if not child.paused:
            child.paused = True
            _hold(core, child)


def resume_stage(core: SupervisorCore, stage: str) -> None:
    """Lift the pause of a stage; nothing happens when there is none.

    Raises:
        NoSuchStage: there is no such stage.
    """
    ensure_open(core)
    for child in named(core, stage):
        if child.paused:
            child.paused = False
            _hold(core, child)


def _hold(core: SupervisorCore, child: Child) -> None:
    """Tell a running stage whether it is paused; one that is starting is told when it is ready."""
    if child.state is not ChildState.RUNNING:
        return
    if child.kind == "producer":
        core.tell(child, control.SetDemand("accumulate" if child.paused else "forward"))
    for edge in core.wiring.upstream(child.id):
        # A subscription that was paused by itself stays so.
        if edge.live and not edge.paused:
            core.tell(child, control.PauseSubscription(edge.ref, child.paused))


# --- replicas and replacements --------------------------------------------------------------------


def scale(
    core: SupervisorCore, stage: str, replicas: int, within: float
) -> Future[list[ChildInfo]]:
    """Have so many replicas of a stage; the future has their rows once they are there.

    Raises:
        OptionError: the stage has an index.
        Refused: ``busy``: a replica is leaving still; ``partitions``: so many do not fit;
            ``not_scalable``: there can only be one; ``exactly_once``: none may leave.
        NoSuchStage: there is no such stage.
    """
    ensure_open(core)
    if "/" in stage:
        raise OptionError("stage", "a stage's name without an index", stage)
    named(core, stage)
    return core.scaling.scale(stage, replicas, within)


def replace(
    core: SupervisorCore,
    stage: str,
    arguments: Mapping[str, Any] | None,
    options: Mapping[str, Any],
    within: float,
) -> Future[list[ChildInfo]]:
    """Have a stage's replicas give way to others, one after the other.

    Raises:
        OptionError: an option breaks its rule.
        Refused: ``fixed_option``: neighbours rely on it; ``not_replaceable``: it lives in the
            program.
        NoSuchStage: there is no such stage.
    """
    ensure_open(core)
    children = named(core, stage)
    fixed = [option for option in options if option in FIXED_OPTIONS]
    if fixed:
        raise Refused("fixed_option", f"{fixed[0]} cannot change while {stage} is linked")
    if children[0].spec.stage.place is not None:
        raise Refused("not_replaceable", f"{stage} lives in the program")
    stages = [child.id for child in children if not child.leaving]
    return core.replacing.replace(stages, arguments, options, within)
