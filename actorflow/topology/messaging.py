"""Messages to the stages of a run, and word of their ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from actorflow.protocol.arguments import (
    check_integer,
)
from actorflow.protocol.control import SYSTEM
from actorflow.supervision import operations
from actorflow.supervision.monitors import MonitorTarget
from actorflow.topology.part import CALL_TIMEOUT, RunPart

if TYPE_CHECKING:
    pass

__all__ = ["RunningMessages"]


class RunningMessages(RunPart):
    """The part of a `Run` that is about messages."""

    def call(self, stage: str, request: Any, timeout: float = CALL_TIMEOUT) -> Any:
        """Call a stage and wait for what its `handle_call` returns.

        Raises:
            CallTimeout: no reply within `timeout` seconds.
            StageDown: the stage ended before it replied.
            CallError: `handle_call` raised; the original exception is the cause.
        """
        return self._supervisor.act(lambda core: operations.call(core, stage, request), timeout)

    def cast(self, stage: str, message: Any) -> None:
        """Send a stage a message for `handle_cast`."""
        self._supervisor.act(lambda core: operations.cast(core, stage, message), CALL_TIMEOUT)

    def info(self, stage: str, message: Any) -> None:
        """Send a stage a message for `handle_info`, behind the events it has buffered."""
        self._supervisor.act(lambda core: operations.info(core, stage, message), CALL_TIMEOUT)

    def status(self, stage: str, timeout: float = CALL_TIMEOUT) -> dict[str, Any]:
        """What a stage says of itself: state, subscriptions, buffer. It must not be busy."""
        found = self._supervisor.act(
            lambda core: operations.call(core, stage, "status", scope=SYSTEM), timeout
        )
        return dict(found)

    def monitor(self, stage: str, target: MonitorTarget) -> int:
        """Have a `DownMessage` delivered whenever the stage ends, once for each of its processes.

        It comes after everything that the process had sent. Of a stage that has ended already it
        comes at once. A target that raises, is full or has ended costs a log line and nothing else.

        Args:
            stage: ``"count"``, or ``"count/1"`` for one replica.
            target: a callback, which is called on the supervisor's thread and must not wait; a
                queue with ``put_nowait``, such as `queue.SimpleQueue`; or the reference of a pykka
                actor, which is told.

        Returns:
            the monitor's number, for `demonitor`.

        Raises:
            NoSuchStage: there is no such stage.
            OptionError: the target is none of these.
        """
        return self._supervisor.act(
            lambda core: operations.monitor(core, stage, target), CALL_TIMEOUT
        )

    def demonitor(self, monitor: int) -> bool:
        """End a monitor; returns whether there was one."""
        check_integer("monitor", monitor, None)
        return self._supervisor.act(lambda core: core.monitors.remove(monitor), CALL_TIMEOUT)
