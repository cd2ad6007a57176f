"""Managers of members in a declared topology: what they may be, and what they hand down."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from actorflow.stages.broker import Broker
from actorflow.topology.report import Report, did_you_mean

if TYPE_CHECKING:
    from actorflow.topology.declarations import StageDeclaration
    from actorflow.topology.drafts import Draft

__all__ = ["check_members", "directly", "own_dispatcher", "strategies"]

OWN_DISPATCHER = "ready"
"""How a broker deals what it is told itself."""


def check_members(drafts: Mapping[str, Draft], report: Report) -> None:
    """Report what is wrong with managers and their members."""
    for draft in drafts.values():
        if draft.members is None:
            continue
        path = (*draft.path, "members")
        if draft.kind == "consumer":
            message = "a Consumer has no members; only a stage that is subscribed to can have some"
            report.add(path, message, key=True)
        elif draft.replicas is not None and draft.replicas > 1:
            message = f"a stage with members has one replica, and {draft.name!r} {draft.replicas}"
            report.add(path, message, key=True)
        seen: set[str] = set()
        for place, name in enumerate(draft.members):
            if problem := _problem(draft, name, seen, drafts):
                report.add((*path, place), problem)
            seen.add(name)


def _problem(draft: Draft, name: str, seen: set[str], drafts: Mapping[str, Draft]) -> str:
    member = drafts.get(name)
    if name in seen:
        return f"{name!r} is named twice"
    if member is None:
        others = [other for other in drafts if other != draft.name]
        return f"unknown stage {name!r}{did_you_mean(name, others)}"
    if member is draft:
        return "a stage is no member of itself"
    if member.kind == "consumer":
        return f"{name!r} is a Consumer and emits no events"
    if _hands_down(draft) and "dispatcher" in member.options:
        return (
            f"{name!r} has a dispatcher of its own, and {draft.name!r} hands one down; delete one"
        )
    return ""


def directly(names: Iterable[str], drafts: Mapping[str, Draft]) -> Iterator[str]:
    """Whom a stage that subscribes to these takes events from: them, and their members."""
    for name in names:
        yield name
        if name in drafts:
            yield from drafts[name].members or ()


def _hands_down(draft: Draft) -> bool:
    broker = draft.use is not None and issubclass(draft.use, Broker)
    return broker and "dispatcher" in draft.options


def own_dispatcher(use: type) -> dict[str, Any]:
    """The dispatcher that a class brings along, whatever is declared: a broker's is for members.

    Example:
        >>> own_dispatcher(Broker)
        {'dispatcher': 'ready'}
    """
    return {"dispatcher": OWN_DISPATCHER} if issubclass(use, Broker) else {}


def strategies(stages: Iterable[StageDeclaration]) -> dict[str, Any]:
    """For each member of a broker, the dispatcher that the broker hands down."""
    return {
        member: declared.options["dispatcher"]
        for declared in stages
        if issubclass(declared.use, Broker) and "dispatcher" in declared.options
        for member in declared.members or ()
    }
