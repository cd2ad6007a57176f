"""Changing a run while it runs: what a program may do to a topology that has started."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from actorflow.errors import OptionError
from actorflow.protocol.codec import encode_value
from actorflow.stage.routing import member_names
from actorflow.supervision import changes, operations
from actorflow.supervision.joining import RouterInfo
from actorflow.supervision.supervisor import SupervisorHandle

__all__ = ["CALL_TIMEOUT", "RunningChanges"]

CALL_TIMEOUT = 5.0
"""Seconds that an operation may take unless its caller says otherwise, as in OTP."""


class RunningChanges:
    """The part of a `Run` that changes it.

    Args:
        supervisor: who does it.
    """

    def __init__(self, supervisor: SupervisorHandle) -> None:
        self._supervisor = supervisor

    # --- subscriptions ----------------------------------------------------------------------------

    def unsubscribe(self, consumer: str, *, to: str, reason: Any = "normal") -> int:
        """End every subscription of one stage to another; they do not come back with a restart.

        Whoever unsubscribes from a stage with members leaves these too.

        Args:
            consumer: the stage that takes events: ``"count/1"``, or ``"count"`` for every replica.
            to: the stage that gives them, likewise.
            reason: why; with the cancel mode it decides whether the consumer ends.

        Returns:
            how many subscriptions end.

        Raises:
            Refused: ``unknown_subscription``: there is none between the two.
            NoSuchStage: there is no such stage.
        """
        _name("consumer", consumer)
        _name("to", to)
        return self._supervisor.act(
            lambda core: changes.unsubscribe(core, consumer, to, reason), CALL_TIMEOUT
        )

    # --- stages with members ----------------------------------------------------------------------

    def add_members(self, manager: str, stages: Iterable[str]) -> RouterInfo:
        """Have everyone who subscribes to a stage joined directly with these producers too.

        Args:
            manager: the stage; it need not have had members before.
            stages: names, ``"numbers"`` (every replica) or ``"numbers/1"``.

        Returns:
            how the manager stands now; the new edges are being made.

        Raises:
            Refused: ``no_such_stage``, ``not_a_producer``, ``cycle`` or ``noproc``; nothing has
                changed.
            NoSuchStage: there is no such manager.
        """
        return self._change_members(manager, "add", stages)

    def remove_members(self, manager: str, stages: Iterable[str]) -> RouterInfo:
        """Have those who subscribe to a stage ask these producers no more; as `add_members`."""
        return self._change_members(manager, "remove", stages)

    def set_members(self, manager: str, stages: Iterable[str]) -> RouterInfo:
        """Have these producers, and no others, as a stage's members; as `add_members`."""
        return self._change_members(manager, "set", stages)

    def routers(self) -> list[RouterInfo]:
        """A row for each stage with members: who is joined with whom."""
        return self._supervisor.act(changes.routers, CALL_TIMEOUT)

    def _change_members(self, manager: str, change: str, stages: Iterable[str]) -> RouterInfo:
        _name("manager", manager)
        names = member_names("stages", stages)
        return self._supervisor.act(
            lambda core: changes.change_members(core, manager, change, names), CALL_TIMEOUT
        )

    # --- ad hoc events ----------------------------------------------------------------------------

    def notify(self, broker: str, event: Any) -> None:
        """Tell every consumer of a `Broker` that has demand for it, and go on at once.

        Raises:
            NoSuchStage: there is no such stage.
            TypeError: the event cannot be sent to another process.
        """
        _name("broker", broker)
        encode_value(event)
        self._supervisor.act(lambda core: operations.cast(core, broker, event), CALL_TIMEOUT)

    def sync_notify(self, broker: str, event: Any, timeout: float = CALL_TIMEOUT) -> None:
        """Tell every consumer of a `Broker` that has demand for it; wait until somebody has.

        Args:
            broker: the stage.
            event: what to tell.
            timeout: seconds to wait at most until the event has left. An event whose caller has
                given up stays in line.

        Raises:
            CallTimeout: nobody had demand in time.
            CallError: the broker refused it, as ``overloaded``: too many wait already; the cause
                says so.
            StageDown: the broker ended before.
            NoSuchStage: there is no such stage.
        """
        _name("broker", broker)
        self._supervisor.act(lambda core: operations.call(core, broker, event), timeout)


def _name(option: str, value: object) -> None:
    if not isinstance(value, str) or not value:
        raise OptionError(option, 'a stage\'s name, such as "numbers" or "numbers/1"', value)
