"""A stage's own account of itself, as plain data, for status pages and stall reports (A30)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from actorflow.protocol.reasons import shown
from actorflow.stage.behaviour import Stage

if TYPE_CHECKING:
    from actorflow.stage.demand_hook import DemandHook
    from actorflow.stage.incoming import Incoming
    from actorflow.stage.machine import StageMachine
    from actorflow.stage.producing import ProducingHalf

__all__ = ["status_of"]


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
        "state": {key: shown(value) for key, value in _state_of(machine.behaviour).items()},
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
    decided = {} if hook is None else {"held": hook.held, "forwarded": hook.forwarded}
    return {
        **decided,
        "dispatcher": half.dispatcher.name,
        **half.dispatcher.describe(),
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


def _state_of(behaviour: Stage | None) -> dict[str, Any]:
    """A behaviour's own attributes."""
    attributes = {} if behaviour is None else vars(behaviour)
    return {key: value for key, value in attributes.items() if key != "_context"}


def _state_of_incoming(incoming: Incoming) -> str:
    """Lost means that it has ended, and that this waits behind what it sent before."""
    if incoming.ended:
        return "over" if incoming.over else "lost"
    return "paused" if incoming.paused_by else "manual" if incoming.manual else "active"
