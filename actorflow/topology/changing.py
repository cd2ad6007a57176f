"""Changing a run while it runs: what a program may do to a topology that has started."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from actorflow.errors import OptionError, TopologyError
from actorflow.protocol.arguments import check_map
from actorflow.protocol.codec import encode_value
from actorflow.stage.routing import member_names
from actorflow.supervision import changes, operations
from actorflow.supervision.children import ChildInfo
from actorflow.supervision.joining import RouterInfo
from actorflow.topology.classes import check_arguments
from actorflow.topology.keys import STAGE, stage_option_names
from actorflow.topology.part import CALL_TIMEOUT, RunPart
from actorflow.topology.report import Report

__all__ = ["RunningChanges"]


class RunningChanges(RunPart):
    """The part of a `Run` that changes it."""

    # --- pauses -----------------------------------------------------------------------------------

    def pause_stage(self, stage: str) -> None:
        """Have a stage rest: a source emits nothing, any other asks for nothing more.

        What is under way is still handled. Nobody is unsubscribed; its consumers wait. The pause
        outlives restarts, and holds for replicas that come by `scale`. A drain lifts it.

        Args:
            stage: ``"count"`` for every replica, ``"count/1"`` for that one.

        Raises:
            Refused: ``draining``.
            NoSuchStage: there is no such stage.
        """
        _name("stage", stage)
        self._supervisor.act(lambda core: changes.pause_stage(core, stage), CALL_TIMEOUT)

    def resume_stage(self, stage: str) -> None:
        """Lift the pause of a stage; a source forwards demand again, and meets what has come.

        A subscription that was paused by itself (`pause`) stays so.

        Raises:
            NoSuchStage: there is no such stage.
        """
        _name("stage", stage)
        self._supervisor.act(lambda core: changes.resume_stage(core, stage), CALL_TIMEOUT)

    # --- replicas and replacements ----------------------------------------------------------------

    def scale(
        self, stage: str, replicas: int, *, within: float = 30.0, timeout: float = 60.0
    ) -> list[ChildInfo]:
        """Have so many replicas of a stage, while events flow; waits for those that come or go.

        More: the new ones get the stage's declared subscriptions. Fewer: the last ones ask for no
        more, finish what they have, and end; what one does not finish is delivered to the others.
        `self.replicas` follows in all of them. In `wait()` and the report each replica that there
        ever was has its result, in a list by index.

        Args:
            stage: the stage, without an index.
            replicas: how many, from 1 to 10 000.
            within: seconds that one that leaves may take; then it is stopped.
            timeout: seconds to wait for all of it; what was begun goes on.

        Returns:
            a row for each replica.

        Raises:
            Refused: ``partitions``: so many do not fit the partitions that they take;
                ``not_scalable``: the stage has members, or lives in the program; ``busy``: one is
                leaving still.
            StartFailed: a new one did not start; those that did stay.
            NoSuchStage: there is no such stage.
        """
        _name("stage", stage)
        STAGE.check(replicas=replicas)
        _seconds("within", within)
        return self._supervisor.act(
            lambda core: changes.scale(core, stage, replicas, within), timeout
        )

    def replace(
        self,
        stage: str,
        *,
        args: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
        within: float = 30.0,
        timeout: float = 60.0,
    ) -> list[ChildInfo]:
        """Give a stage other arguments or options: its replicas are started again, one by one.

        A producer first hands over what it has emitted, and its consumers wait for the new one.
        What another stage has not finished is delivered to its successor. A new one that does not
        start gives way to one as before, and the others stay as they are.

        Args:
            stage: ``"count"`` for every replica, ``"count/1"`` for that one.
            args: the constructor's keyword arguments, all of them; None leaves them.
            options: new values of fields of `StageOptions`, but for `dispatcher` and `delivery`.
            within: seconds that a producer may take to hand over.
            timeout: seconds to wait for all of it; what was begun goes on.

        Returns:
            a row for each replica.

        Raises:
            OptionError: an argument or option breaks its rule.
            TopologyError: the arguments do not fit the constructor.
            Refused: ``fixed_option``, or ``not_replaceable``: the stage lives in the program.
            StartFailed: a new one did not start.
            NoSuchStage: there is no such stage.
        """
        _name("stage", stage)
        _seconds("within", within)
        chosen = {} if options is None else options
        _check_options(chosen)
        if args is not None:
            self._check_arguments(stage, args)
        if args is None and not chosen:
            raise OptionError("args", "given, or options", args)
        return self._supervisor.act(
            lambda core: changes.replace(core, stage, args, chosen, within), timeout
        )

    def _check_arguments(self, stage: str, args: Mapping[str, Any]) -> None:
        """Refuse arguments that the constructor does not take."""
        check_map("args", args)
        behaviour = self._supervisor.act(
            lambda core: changes.named(core, stage)[0].spec.stage.behaviour, CALL_TIMEOUT
        )
        report = Report()
        check_arguments(behaviour, args, ("args",), report)
        problems = report.problems()
        if problems:
            raise TopologyError(problems)

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


def _check_options(options: Mapping[str, Any]) -> None:
    check_map("options", options)
    known = stage_option_names()
    for option in options:
        if option not in known:
            raise OptionError("options", "fields of StageOptions: " + ", ".join(known), option)
    STAGE.check(**options)


def _seconds(option: str, value: object) -> None:
    if type(value) not in (int, float) or not 0 <= value < math.inf:  # type: ignore[operator]
        raise OptionError(option, "a number of seconds from 0", value)


def _name(option: str, value: object) -> None:
    if not isinstance(value, str) or not value:
        raise OptionError(option, 'a stage\'s name, such as "numbers" or "numbers/1"', value)
