"""What a supervisor tells its owner while it works."""

from __future__ import annotations

from dataclasses import field
from typing import Any

from actorflow.errors import IntensityExceeded
from actorflow.protocol.control import LogRecord
from actorflow.protocol.identity import Incarnation
from actorflow.records import dataclass
from actorflow.supervision.remains import Remains

__all__ = [
    "ChildEnded",
    "ChildReady",
    "ChildRestarting",
    "DownMessage",
    "Outcome",
    "RunDown",
    "StageLogged",
    "SupervisorEnded",
    "SupervisorEvent",
]


@dataclass(frozen=True, slots=True)
class ChildReady:
    """A child has started."""

    child: Incarnation
    pid: int


@dataclass(frozen=True, slots=True)
class ChildEnded:
    """A child's process is gone.

    Args:
        child: who.
        pid: its process.
        reason: why, plain data.
        normal: whether that is an orderly end.
        error: the exception or kill, or None.
        detail: pid, signal or status, memory.
        result: what it passed to `set_result`, or None.
    """

    child: Incarnation
    pid: int
    reason: Any
    normal: bool
    error: BaseException | None
    detail: str
    result: Any = None


@dataclass(frozen=True, slots=True)
class ChildRestarting:
    """A child is being started again."""

    child: Incarnation
    restarts: int


@dataclass(frozen=True, slots=True)
class SupervisorEnded:
    """A supervisor has ended, and its children with it.

    Args:
        supervisor: its name; nothing for the run's own.
        reason: ``"gave_up"``, when its children ended badly more often than it allows;
            ``"shutdown"``, when the end of significant children ended it; or ``"killed"``.
        restarting: whether it begins again.
    """

    supervisor: str
    reason: str
    restarting: bool


@dataclass(frozen=True, slots=True)
class StageLogged:
    """A stage wrote a log line."""

    child: Incarnation
    pid: int
    record: LogRecord


@dataclass(frozen=True, slots=True)
class DownMessage:
    """To a monitor: the watched stage is gone; nothing it sent comes after this.

    Args:
        monitor: the monitor's number.
        child: the incarnation that ended.
        reason: why, plain data.
        error: its exception, with the traceback of its process as the cause, or its kill; None for
            an end without either.
        restarting: whether a successor is started.
        pid: its process, 0 when it never had one.
        status: the process's exit status, or None when it died of a signal.
        signal: the signal's number, or None.
        detail: pid, status or signal, memory, and what else is known, for a person.
        result: what this incarnation passed to `set_result`, or None. Of a child that its dynamic
            supervisor forgets, this is where its answer is given.

    Example:
        >>> from actorflow.protocol.identity import Incarnation, StageId
        >>> child = Incarnation(StageId("count", 0), 1)
        >>> down = DownMessage(7, child, "shutdown", None, restarting=False, pid=4711, status=0)
        >>> str(down.child.stage), down.reason, down.restarting
        ('count/0', 'shutdown', False)
    """

    monitor: int
    child: Incarnation
    reason: Any
    error: BaseException | None
    restarting: bool
    pid: int = 0
    status: int | None = None
    signal: int | None = None
    detail: str = ""
    result: Any = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended.

    Args:
        status: ``"done"``, ``"stopped"`` or ``"failed"``.
        error: what ended it, when it failed: when restarts did not help an `IntensityExceeded`,
            whose ``__cause__`` is the exception or kill that it goes back to.
        results: what stages passed to `set_result`: by stage name, a list by index when there are
            replicas.
        remains: what was not finished, of each stage that had something: nothing after a run that
            came to its end, or a drain that was in time.

    Example:
        >>> Outcome("done", results={"count": 100}).results["count"]
        100
    """

    status: str
    error: BaseException | None = None
    results: dict[str, Any] = field(default_factory=dict)
    remains: tuple[Remains, ...] = ()

    @property
    def root_cause(self) -> BaseException | None:
        """What `Run.wait` raises: the stage's own exception, or its kill; else `error`.

        The supervisor's words, how often it was tried, are among its notes.
        """
        if isinstance(self.error, IntensityExceeded) and self.error.__cause__ is not None:
            return self.error.__cause__
        return self.error


@dataclass(frozen=True, slots=True)
class RunDown:
    """To a supervisor's owner: its run is over, and no process of it is left.

    Args:
        run: the run's name.
        supervisor: the urn of the supervisor's actor.
        outcome: how it ended.

    Example:
        >>> RunDown("words", "urn:uuid:1", Outcome("stopped")).outcome.status
        'stopped'
    """

    run: str
    supervisor: str
    outcome: Outcome


SupervisorEvent = (
    ChildReady | ChildEnded | ChildRestarting | SupervisorEnded | StageLogged | Outcome
)
