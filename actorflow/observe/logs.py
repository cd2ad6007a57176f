"""The supervisor's events as log lines, each naming the run, the stage, its index and pid.

A library never configures logging: the lines go to the structlog logger of whoever embeds
actorflow. The command line configures one of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from actorflow.protocol.identity import Incarnation
from actorflow.supervision.events import (
    ChildEnded,
    ChildReady,
    ChildRestarting,
    Outcome,
    StageLogged,
    SupervisorEnded,
    SupervisorEvent,
)

__all__ = ["event_logger"]

_LEVELS = ("debug", "info", "warning", "error", "critical")
_TAKEN = ("self", "event", "level", "timestamp", "run", "stage", "index", "pid")


def event_logger(run: str, *, lifecycle: bool = False) -> Callable[[SupervisorEvent], None]:
    """A listener that logs what a supervisor reports.

    Args:
        run: the run's name, bound to every line.
        lifecycle: whether starts and orderly ends are logged too, at debug level.
    """

    @cache
    def logger() -> Any:
        return _logger().bind(run=run)

    def about(child: Incarnation, pid: int) -> Any:
        stage = child.stage
        line = logger().bind(stage=stage.name, index=stage.index)
        return line.bind(pid=pid) if pid else line

    def listen(event: SupervisorEvent) -> None:
        if isinstance(event, StageLogged):
            record = event.record
            level = record.level if record.level in _LEVELS else "error"
            values = {f"{k}_" if k in _TAKEN else k: v for k, v in record.values.items()}
            getattr(about(event.child, event.pid), level)(record.event, **values)
        elif isinstance(event, ChildReady) and lifecycle:
            about(event.child, event.pid).debug("started", generation=event.child.generation)
        elif isinstance(event, ChildEnded) and event.normal:
            if not lifecycle:
                return
            about(event.child, event.pid).debug("ended", reason=event.reason)
        elif isinstance(event, ChildEnded):
            why = event.reason[-1] if isinstance(event.reason, list) else event.reason
            about(event.child, event.pid).error("failed", reason=why, detail=event.detail)
        elif isinstance(event, ChildRestarting):
            about(event.child, 0).warning("restarting", restarts=event.restarts)
        elif isinstance(event, SupervisorEnded):
            line = logger().bind(supervisor=event.supervisor or "the run's own")
            line.warning("supervisor ended", reason=event.reason, restarting=event.restarting)
        elif isinstance(event, Outcome) and lifecycle:
            logger().debug("over", status=event.status)

    return listen


def _logger() -> Any:
    """Structlog's logger as the program configured it; without that, the standard library's.

    An unconfigured structlog prints everything on standard output, among the program's results; an
    unconfigured `logging` shows warnings and errors on standard error. Both are imported with the
    first line only, as most runs have none: that is a third of what a small program imports.
    """
    import logging

    import structlog

    if structlog.is_configured():
        return structlog.get_logger("actorflow")
    return structlog.wrap_logger(
        logging.getLogger("actorflow"),
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.processors.format_exc_info,
            structlog.processors.KeyValueRenderer(key_order=["event", "run", "stage", "index"]),
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
    )
