"""What a program asks of a running pool, and the handle that asks it."""

from __future__ import annotations

from typing import Any, Literal

from actorflow.errors import OptionError
from actorflow.protocol.arguments import check_seconds, check_text, check_timeout
from actorflow.records import dataclass
from actorflow.stage.handle import StageHandle
from actorflow.stages.pool.lifecycle import QueryResult
from actorflow.stages.pool.query import Query
from actorflow.stages.pool.stats import PoolStats

__all__ = ["Look", "StartQuery", "StopQuery", "Submit", "TaskPoolHandle", "Ticket"]

A_MOMENT = 5.0
"""Seconds that a call may take beyond what it was told to wait for."""

UNTIL = ("admitted", "done")
MODES = ("soft", "hard")


@dataclass(frozen=True, slots=True)
class Submit:
    """Take a task from outside."""

    query: str
    pipeline: str | None
    item: Any
    until: str
    timeout: float | None


@dataclass(frozen=True, slots=True)
class StartQuery:
    """Start a query."""

    query: Query


@dataclass(frozen=True, slots=True)
class StopQuery:
    """Stop a query."""

    query: str
    mode: str
    deadline: float | None


@dataclass(frozen=True, slots=True)
class Look:
    """Tell of a query by name, or of everything."""

    query: str | None = None


@dataclass(frozen=True, slots=True)
class Ticket:
    """A task that was admitted.

    Args:
        query: for which query.
        state: ``"admitted"``; or how it ended, with everything that descends from it: ``"done"``,
            ``"failed"`` or ``"expired"``.

    Example:
        >>> Ticket("negate", "done").state
        'done'
    """

    query: str
    state: str


class TaskPoolHandle(StageHandle):
    """The operations of a running `TaskPool`; `Run.task_pool` gives one.

    Each may raise `CallTimeout`, and `StageDown` when the stage ends first. A query is named by its
    name; the newest of that name is meant.

    Args:
        call: makes a call to the stage: request, seconds.

    Example:
        >>> from actorflow.stages.pool import TaskPool
        >>> from actorflow.testing import StageHarness
        >>> stage = StageHarness(TaskPool, {"workers": 2})
        >>> pool = TaskPoolHandle(lambda request, seconds: stage.call(request))
        >>> pool.start({"name": "negate", "pipelines": {"negate": "operator:neg"}}).state
        'running'
        >>> pool.submit("negate", 5)
        Ticket(query='negate', state='admitted')
    """

    def submit(
        self,
        query: str,
        item: Any,
        pipeline: str | None = None,
        *,
        until: Literal["admitted", "done"] = "admitted",
        timeout: float | None = 5.0,
    ) -> Ticket:
        """Have a pipeline run a task, and wait until it is admitted, or done.

        Args:
            query: for which query.
            item: what the task is about.
            pipeline: for which of its pipelines; None for the one that no other emits to.
            until: ``"admitted"``: return when there was room; ``"done"``: when everything that
                descends from it is done.
            timeout: seconds to wait, from 0; 0 for not waiting for room, None for no limit.

        Raises:
            AdmissionFull: there was no room in that time.
            PoolClosed: the query takes no more tasks.
            CallTimeout: it was admitted, and was not done in that time.
            OptionError: an argument breaks its rule.
        """
        check_text("query", query)
        if until not in UNTIL:
            raise OptionError("until", "admitted or done", until)
        limit = check_timeout(timeout)
        request = Submit(query, pipeline, item, until, limit)
        ticket: Ticket = self._ask(request, _with_a_moment(limit))
        return ticket

    def start(self, query: Query, timeout: float = 5.0) -> QueryResult:
        """Start a query; returns how it stands, which is ``"starting"`` or ``"running"``.

        Raises:
            OptionError: there is one of that name that has not ended, or a function of it cannot
                be sent to a worker.
        """
        found: QueryResult = self._ask(StartQuery(Query.of(query)), timeout)
        return found

    def stop(
        self,
        query: str,
        mode: Literal["soft", "hard"] = "soft",
        *,
        deadline: float | None = None,
        timeout: float = 60.0,
    ) -> QueryResult:
        """Stop a query, and wait until it has ended. May be repeated.

        Args:
            query: which.
            mode: ``"soft"``: it takes no more tasks, does those that it has, and its pipelines
                stop in order; ``"hard"``: its tasks expire, and its pipelines are not stopped.
            deadline: seconds after which a soft stop becomes a hard one, and a hard one kills the
                workers that still have tasks of it.
            timeout: seconds to wait.

        Raises:
            OptionError: an argument breaks its rule, or there was no such query.
        """
        check_text("query", query)
        if mode not in MODES:
            raise OptionError("mode", "soft or hard", mode)
        if deadline is not None:
            check_seconds("deadline", deadline)
        found: QueryResult = self._ask(StopQuery(query, mode, deadline), timeout)
        return found

    def query(self, name: str, timeout: float = 5.0) -> QueryResult:
        """How a query stands, or how it ended.

        Raises:
            OptionError: there was no such query.
        """
        found: QueryResult = self._ask(Look(check_text("name", name)), timeout)
        return found

    def stats(self, timeout: float = 5.0) -> PoolStats:
        """How the pool stands."""
        found: PoolStats = self._ask(Look(), timeout)
        return found


def _with_a_moment(timeout: float | None) -> float:
    return NEVER if timeout is None else timeout + A_MOMENT


NEVER = 86_400.0 * 365
"""Seconds: longer than any run."""
