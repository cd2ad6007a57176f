"""Children of a stage: what to run for an event, how it ended, and the seam to where they live.

A stage that starts a child for each event decides when; a `ChildRuntime`, which the driver of the
stage provides, does it: in processes, threads and tasks on this machine, or in virtual time.
"""

from __future__ import annotations

import inspect
import math
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import fields
from typing import Any, Literal

from actorflow.dispatch.functions import resolve_function
from actorflow.errors import Ignore, OptionError, Refused
from actorflow.protocol.failure import Failure
from actorflow.records import dataclass

__all__ = [
    "CHILD_KINDS",
    "ChildEnd",
    "ChildEnded",
    "ChildKind",
    "ChildRuntime",
    "ChildTemplate",
    "Observer",
    "not_started",
    "outcome_of",
    "outcome_of_coroutine",
    "outcome_without_waiting",
]

CHILD_KINDS = ("worker", "process", "thread", "task")
NOT_STARTED = "not_started"
TASKS_AT_ONCE = 100
"""How many asyncio tasks, or threads, ``max_demand: auto`` begins with; they mostly wait."""


@dataclass(frozen=True, slots=True)
class ChildKind:
    """How children live.

    Args:
        name: ``"worker"``, ``"process"``, ``"thread"`` or ``"task"``.
        workers: how many worker processes there are, for ``"worker"``.
        ahead: whether some children may wait in a worker's pipe, where they are stuck behind one
            that turns out slow, while children are quick on average.
        waiting: how many may wait there however long they take, from 0: for a stage that sees to
            that itself.
    """

    name: str
    workers: int = 1
    ahead: bool = True
    waiting: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildTemplate:
    """What a `ConsumerSupervisor` runs for each event: OTP's child specification.

    Args:
        run: a function, called with `arguments` and the event; or a class, constructed with them,
            whose `run` method is called; or ``"module:name"`` of either. What it returns is the
            child's result.
        arguments: what comes before the event, positionally.
        kind: ``"worker"``, in one of a few warm processes; ``"process"``, in a fresh process of its
            own; ``"thread"``, in a thread; ``"task"``, as an asyncio task, for coroutine functions.
        restart: ``"transient"``, run again when it ends badly; or ``"temporary"``, never.
        shutdown: seconds from being asked to stop until it is killed, from 0; ``"brutal_kill"``
            kills at once, ``"infinity"`` never.
        timeout: seconds after which a child that runs is killed, above 0; None for no limit.
        workers: how many worker processes there are, from 1; None for one per processor.

    Raises:
        OptionError: an option breaks its rule.

    Example:
        >>> ChildTemplate(run="operator:neg").kind
        'worker'
        >>> ChildTemplate(run=print, restart="permanent")
        Traceback (most recent call last):
        ...
        actorflow.errors.OptionError: restart must be transient or temporary, got 'permanent'; the \
child of an event must be able to end
    """

    run: Callable[..., Any] | str
    arguments: Sequence[Any] = ()
    kind: Literal["worker", "process", "thread", "task"] = "worker"
    restart: Literal["transient", "temporary"] = "transient"
    shutdown: float | Literal["brutal_kill", "infinity"] = 2.0
    timeout: float | None = None
    workers: int | None = None

    def __post_init__(self) -> None:
        if isinstance(self.arguments, str | bytes) or not isinstance(self.arguments, Sequence):
            raise OptionError("arguments", "a list of values", self.arguments)
        if self.kind not in CHILD_KINDS:
            raise OptionError("kind", "one of " + ", ".join(CHILD_KINDS), self.kind)
        restart: str = self.restart
        if restart not in ("transient", "temporary"):
            permanent = "the child of an event must be able to end"
            hint = permanent if restart == "permanent" else ""
            raise OptionError("restart", "transient or temporary", restart, hint)
        if self.shutdown not in ("brutal_kill", "infinity") and not _is_seconds(self.shutdown):
            rule = "a number of seconds from 0, brutal_kill or infinity"
            raise OptionError("shutdown", rule, self.shutdown)
        if self.timeout is not None and not (_is_seconds(self.timeout) and self.timeout):
            raise OptionError("timeout", "a number of seconds above 0, or none", self.timeout)
        if self.workers is not None and (type(self.workers) is not int or self.workers < 1):
            raise OptionError("workers", "an integer of at least 1, or none", self.workers)
        if self.workers is not None and self.kind != "worker":
            hint = "the number of other children is what max_demand says"
            raise OptionError("workers", "left out unless kind is worker", self.workers, hint)
        self._check_run()

    def _check_run(self) -> None:
        run = self.function
        work: object = run
        if isinstance(run, type):
            work = getattr(run, "run", None)
            if not callable(work):
                raise OptionError("run", "a function, or a class with a method run", self.run)
        is_async = inspect.iscoroutinefunction(work)
        if is_async and self.kind != "task":
            raise OptionError("run", "no coroutine function unless kind is task", self.run)
        if self.kind == "task" and not is_async:
            hint = "an ordinary function would hold up all the others; let it run in a worker"
            raise OptionError("run", "a coroutine function when kind is task", self.run, hint)

    @property
    def function(self) -> Callable[..., Any]:
        """What `run` names, imported.

        Raises:
            OptionError: it cannot be imported, or it is no function.
        """
        try:
            return resolve_function("run", self.run)
        except Refused as error:
            rule = "a function, a class, or 'module:name' of one"
            raise OptionError("run", rule, self.run, error.detail) from error

    @property
    def child_kind(self) -> ChildKind:
        """How its children live."""
        return ChildKind(self.kind, self.at_once if self.kind == "worker" else 1)

    @property
    def at_once(self) -> int:
        """How many children it makes sense to run at the same time when nobody says."""
        if self.kind in ("thread", "task"):
            return TASKS_AT_ONCE
        return self.workers or _processors()

    @classmethod
    def of(cls, given: object) -> ChildTemplate:
        """A template from one, from a map of its fields, or from what is to be run alone.

        Raises:
            OptionError: it is none of them, or an option breaks its rule.

        Example:
            >>> ChildTemplate.of({"run": "operator:neg", "restart": "temporary"}).restart
            'temporary'
        """
        if isinstance(given, ChildTemplate):
            return given
        if not isinstance(given, Mapping):
            if callable(given) or isinstance(given, str):
                return cls(run=given)
            raise OptionError("template", "a ChildTemplate, a map of its fields, or run", given)
        known = [each.name for each in fields(cls)]
        unknown = [key for key in given if key not in known]
        if unknown or "run" not in given:
            rule = "a map with run and, as wanted, " + ", ".join(known[1:])
            raise OptionError("template", rule, dict(given))
        return cls(**given)


def _processors() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _is_seconds(value: object) -> bool:
    return type(value) in (int, float) and 0 <= value < math.inf  # type: ignore[operator]


# --- how a child ends -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ChildEnd:
    """How a child ended.

    Args:
        reason: plain data: ``"normal"``, ``"ignored"``, ``["exit", 3]``, ``["error", …]``,
            ``["signal", 9]``, ``["not_started", …]``, ``"timeout"``, …
        normal: whether that is an orderly end.
        result: what it returned.
        failure: the exception that ended it, or None.
        seconds: how long it ran.
    """

    reason: Any
    normal: bool
    result: Any = None
    failure: Failure | None = None
    seconds: float = 0.0

    @property
    def not_started(self) -> bool:
        """Whether it never began, for want of processes, or of memory."""
        return type(self.reason) is list and self.reason[0] == NOT_STARTED

    def to_wire(self) -> list[Any]:
        """Its fields, for a pipe."""
        failure = None if self.failure is None else self.failure.to_wire()
        return [self.reason, self.normal, self.result, failure, self.seconds]

    @classmethod
    def from_wire(cls, data: Sequence[Any]) -> ChildEnd:
        """Read what `to_wire` wrote.

        Raises:
            TypeError: it is something else; a child may write there whatever it likes.
            ValueError: the same.
        """
        reason, normal, result, failure, seconds = data
        if type(normal) is not bool or type(seconds) is not float:
            raise TypeError(f"no end of a child: {normal!r}, {seconds!r}")
        known = None if failure is None else Failure.from_wire(failure)
        return cls(reason, normal, result, known, seconds)


def outcome_of(run: Callable[..., Any], arguments: Sequence[Any]) -> ChildEnd:
    """Live the life of a child; never raises.

    Args:
        run: a function, or a class with a method `run`.
        arguments: all of its arguments.

    Example:
        >>> outcome_of(max, (1, 2)).result, outcome_of(max, (1,)).reason[0]
        (2, 'error')
    """
    began = time.monotonic()
    try:
        result = run(*arguments).run() if isinstance(run, type) else run(*arguments)
    except BaseException as error:  # noqa: BLE001  (whatever a child raises is how it ended)
        return end_by(error, time.monotonic() - began)
    return ChildEnd("normal", True, result, None, time.monotonic() - began)


async def outcome_of_coroutine(
    run: Callable[..., Coroutine[Any, Any, Any]], arguments: Sequence[Any]
) -> ChildEnd:
    """As `outcome_of`, for an asyncio task; its cancellation ends it with the reason cancelled."""
    began = time.monotonic()
    try:
        work = run(*arguments).run() if isinstance(run, type) else run(*arguments)
        result = await work
    except BaseException as error:  # noqa: BLE001  (whatever a child raises is how it ended)
        return end_by(error, time.monotonic() - began)
    return ChildEnd("normal", True, result, None, time.monotonic() - began)


def outcome_without_waiting(
    run: Callable[..., Coroutine[Any, Any, Any]], arguments: Sequence[Any]
) -> ChildEnd:
    """As `outcome_of_coroutine`, where there is no event loop: in virtual time.

    Example:
        >>> async def double(number: int) -> int:
        ...     return 2 * number
        >>> outcome_without_waiting(double, (4,)).result
        8
    """
    steps = outcome_of_coroutine(run, arguments)
    try:
        steps.send(None)
        steps.throw(RuntimeError("a coroutine cannot wait for anything in a simulation"))
    except StopIteration as done:
        end: ChildEnd = done.value
        return end
    steps.close()
    return ChildEnd(["error", "it waits again and again, in a simulation"], False)


def end_by(error: BaseException, seconds: float) -> ChildEnd:
    """How a child ended that raised this."""
    if isinstance(error, Ignore):
        return ChildEnd("ignored", True, None, None, seconds)
    if isinstance(error, SystemExit) and (error.code is None or isinstance(error.code, int)):
        status = error.code or 0
        return ChildEnd(["exit", status] if status else "normal", not status, seconds=seconds)
    failure = Failure.of(error)
    return ChildEnd(["error", failure.summary], False, None, failure, seconds)


def not_started(why: str) -> ChildEnd:
    """The end of a child that could not begin."""
    return ChildEnd([NOT_STARTED, why], False)


# --- where children live --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ChildEnded:
    """A child is gone.

    Args:
        life: its number.
        end: how.
    """

    life: int
    end: ChildEnd


Observer = Callable[[Sequence[ChildEnded]], None]
"""Is told of children that have ended, on the stage's own thread."""


class ChildRuntime(ABC):
    """Where the children of one stage live. Nothing here blocks.

    A child is named by its *life*, a number that is never used twice: a child that is run again has
    a new one.
    """

    @abstractmethod
    def start(self, life: int, template: ChildTemplate, arguments: Sequence[Any]) -> None:
        """Run a child; its end is observed later, never during this call.

        Args:
            life: the child's number.
            template: what to run.
            arguments: what follows the template's own arguments.

        Raises:
            OSError: there is no process or thread to be had.
        """

    @abstractmethod
    def signal(self, life: int, signal: Literal["terminate", "kill"]) -> None:
        """Ask a child to end, or end it; nothing when it has ended."""

    @abstractmethod
    def running_since(self, life: int) -> float | None:
        """When a child began to run, on the driver's clock; None while it waits for a place."""

    @abstractmethod
    def pid(self, life: int) -> int:
        """The process it runs in, 0 when it waits for one."""

    @abstractmethod
    def close(self) -> None:
        """Let go of everything; what still runs is killed. May be repeated."""
