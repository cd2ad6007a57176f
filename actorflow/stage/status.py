"""A stage's own account of itself, as plain data, for status pages and stall reports (A30)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from actorflow.protocol.reasons import brief
from actorflow.stage.behaviour import Stage

if TYPE_CHECKING:
    from actorflow.stage.demand_hook import DemandHook
    from actorflow.stage.incoming import Incoming
    from actorflow.stage.machine import StageMachine
    from actorflow.stage.producing import ProducingHalf

__all__ = ["status_of"]

LONGEST = 1000
"""How many characters of a value's repr are shown."""


def status_of(machine: StageMachine) -> dict[str, Any]:
    """Everything that a status page shows of a stage; nothing in it depends on the user's classes.

    Args:
        machine: the stage's machine, at any moment of its life.
    """
    half, consuming = machine.producing, machine.consuming
    incoming = consuming.subscriptions.values() if consuming is not None else ()
    return {
        "stage": str(machine.child),
        "type": machine.kind,
        "state": _state_of(machine.behaviour),
        "producing": _producing(half, machine.demand_hook) if half is not None else None,
        "producers": [
            {
                "ref": each.ref,
                "stage": str(each.handle.peer),
                "finished": each.finished,
                "state": _state_of_incoming(each),
            }
            for each in incoming
        ],
    }


def _producing(half: ProducingHalf, hook: DemandHook | None) -> Mapping[str, Any]:
    found = _as_data(half.dispatcher.describe())
    described = found if isinstance(found, dict) else {"description": found}
    decided = {} if hook is None else {"held": hook.held, "forwarded": hook.forwarded}
    return {
        **described,
        **decided,
        "dispatcher": half.dispatcher.name,
        "demand": half.mode,
        "buffered": half.buffer.count + half.dispatcher.queued,
        "requested": half.requested,
        "consumers": [
            {
                "ref": outgoing.ref,
                "stage": str(outgoing.handle.peer),
                "state": outgoing.state.name.lower(),
                "outstanding": half.dispatcher.outstanding(outgoing.ref),
                "waiting": half.dispatcher.waiting_for(outgoing.ref),
                "unfinished": outgoing.store.count,
            }
            for outgoing in half.subscriptions.values()
        ],
    }


def _state_of(behaviour: Stage | None) -> dict[str, str]:
    """The beginning of the repr of each of a behaviour's own attributes.

    Whatever its class does with attribute access is not asked.
    """
    try:
        attributes = object.__getattribute__(behaviour, "__dict__")
    except AttributeError:
        return {}
    return {
        _name_of(key): brief(value, LONGEST)
        for key, value in list(attributes.items())
        if key != "_context"
    }


def _name_of(key: object) -> str:
    """An attribute's name; a dict may have been given other keys, too."""
    return key if type(key) is str else brief(key, LONGEST)


def _as_data(value: Any, depth: int = 8) -> Any:
    """Whatever a dispatcher says of itself as plain data; what is none is shown by its repr."""
    if value is None or type(value) in (str, bool, int):
        return value
    if type(value) is float:
        return value if math.isfinite(value) else repr(value)
    if depth and type(value) is dict:
        items = list(value.items())
        return {_name_of(key): _as_data(item, depth - 1) for key, item in items}
    if depth and type(value) in (list, tuple):
        return [_as_data(item, depth - 1) for item in value]
    return brief(value, LONGEST)


def _state_of_incoming(incoming: Incoming) -> str:
    """Lost means that it has ended, and that this waits behind what it sent before."""
    if incoming.ended:
        return "over" if incoming.over else "lost"
    return "paused" if incoming.paused_by else "manual" if incoming.manual else "active"
