"""The life of one query: its pipelines start, have tasks, and stop in order. Pure decisions.

A pipeline stops when nothing more can come to it, from sources or other pipelines, and no task of
it is left anywhere. Until then its stop is not work: it lies beside the counter that it waits for,
in no queue, and is made a job when the counter reaches zero.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from enum import Enum

from actorflow.protocol.failure import Failure
from actorflow.records import dataclass
from actorflow.stages.pool.query import Query
from actorflow.stages.pool.roots import Done, Roots
from actorflow.stages.pool.slices import START, STOP, Verb

__all__ = ["CALLS", "Job", "PipelineState", "QueryResult", "QueryRun", "QueryState"]

CALLS = ""
"""The input of an entry that no producer feeds: whoever submits tasks."""


class QueryState(Enum):
    """Where a query stands."""

    RESERVED = "reserved"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class QueryResult:
    """How a query stands, or how it ended.

    Args:
        name: the query's name.
        state: ``"reserved"``, ``"starting"``, ``"running"``, ``"stopping"``, ``"stopped"`` or
            ``"failed"``.
        admitted: how many tasks came from outside.
        created: how many tasks made, a task that is repeated counting each time.
        executed: how many tasks ran to their end.
        failed: how many raised.
        expired: how many were dropped because the query had failed or was stopped hard.
        pending: how many are left: ``admitted + created - executed - failed - expired``.
        outputs: how many events it emitted.
        slices: how often a worker was given something of it.
        stops: the pipelines that have stopped, in order.
        reason: why it failed, as text; nothing when it did not.

    Example:
        >>> from actorflow.stages.pool.calls import Look
        >>> from actorflow.stages.pool import TaskPool
        >>> from actorflow.testing import StageHarness
        >>> queries = [{"name": "negate", "pipelines": {"negate": "operator:neg"}}]
        >>> result = StageHarness(TaskPool, {"queries": queries, "workers": 2}).call(Look("negate"))
        >>> result.state, result.admitted, result.pending
        ('running', 0, 0)
    """

    name: str
    state: str
    admitted: int
    created: int
    executed: int
    failed: int
    expired: int
    pending: int
    outputs: int
    slices: int
    stops: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Job:
    """A pipeline's start or stop, to be run by a worker."""

    run: QueryRun
    verb: Verb
    pipeline: int
    attempts: int = 0
    """How many workers have died with it."""


@dataclass(slots=True)
class PipelineState:
    """One pipeline of a running query."""

    name: str
    has_start: bool
    has_stop: bool
    to: tuple[int, ...]
    inputs: set[str]
    """What may still bring it tasks: sources, `CALLS`, other pipelines."""
    pending: int = 0
    """How many tasks of it there are, wherever they are."""
    stopping: bool = False
    stopped: bool = False

    @property
    def parked(self) -> bool:
        """Whether its stop waits for its tasks, and for nothing else."""
        return not self.inputs and self.pending > 0


@dataclass(slots=True)
class QueryRun:
    """A query in a pool.

    Args:
        number: its own in the pool.
        query: what it is.
        definition: the same for workers.
    """

    number: int
    query: Query
    definition: bytes
    state: QueryState = QueryState.RESERVED
    pipelines: list[PipelineState] = field(default_factory=list)
    roots: Roots = field(default_factory=Roots)
    failure: Failure | None = None
    ended: list[Callable[[QueryResult], None]] = field(default_factory=list)
    """Who is told, once, of its end."""
    dropped: bool = False
    """Whether what it had is gone: it failed, or was stopped hard."""
    stop_wanted: bool = False
    slices: int = 0
    """How many workers have tasks of it in hand."""
    given: int = 0
    """How often one was given some."""
    admitted: int = 0
    created: int = 0
    executed: int = 0
    failed: int = 0
    expired: int = 0
    outputs: int = 0
    unsent: int = 0
    """How many outputs nobody has taken yet."""
    each: float = 0.0
    """How long a task takes, seconds, lately; 0 when nothing is known."""
    shipping: float = 0.0
    """How long it takes to give back what a slice leaves."""
    wants: int = 0
    """How much memory one of its tasks wants, at most, lately."""
    stops: list[str] = field(default_factory=list)
    _starting: int = 0

    def __post_init__(self) -> None:
        names = self.query.names
        for name, each in self.query.pipelines.items():
            to = tuple(names.index(target) for target in each.to)
            self.pipelines.append(
                PipelineState(name, each.start is not None, each.stop is not None, to, set())
            )
        for place, pipeline in enumerate(self.pipelines):
            for target in pipeline.to:
                if target != place:
                    self.pipelines[target].inputs.add(f">{pipeline.name}")
        for source, name in self.query.sources.items():
            self.pipelines[names.index(name)].inputs.add(source)
        for pipeline in self.pipelines:
            if not pipeline.inputs:
                pipeline.inputs.add(CALLS)

    # --- what it is -------------------------------------------------------------------------------

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self.state in (QueryState.STOPPED, QueryState.FAILED)

    @property
    def works(self) -> bool:
        """Whether its tasks may run."""
        return self.state in (QueryState.RUNNING, QueryState.STOPPING) and not self.dropped

    @property
    def pending(self) -> int:
        """How many tasks it has, wherever they are."""
        return sum(each.pending for each in self.pipelines)

    @property
    def parked_stops(self) -> int:
        """How many pipelines wait for their last tasks to stop."""
        return sum(each.parked for each in self.pipelines)

    def takes(self, pipeline: int) -> bool:
        """Whether tasks for this pipeline may come from outside."""
        one = self.pipelines[pipeline]
        closed = self.over or self.dropped or self.stop_wanted
        return not closed and any(not each.startswith(">") for each in one.inputs)

    def result(self) -> QueryResult:
        """How it stands."""
        return QueryResult(
            self.query.name,
            self.state.value,
            self.admitted,
            self.created,
            self.executed,
            self.failed,
            self.expired,
            self.pending,
            self.outputs,
            self.given,
            tuple(self.stops),
            "" if self.failure is None else self.failure.summary,
        )

    # --- its life ---------------------------------------------------------------------------------

    def begin(self) -> list[Job]:
        """Start: the jobs that come before any task."""
        self.state = QueryState.STARTING
        jobs = [self._job(START, at) for at, each in enumerate(self.pipelines) if each.has_start]
        self._starting = len(jobs)
        return jobs or self._running()

    def job_done(self, job: Job) -> list[Job]:
        """A start or stop has been run; returns the jobs that may follow."""
        if job.verb == STOP:
            self._stopped(job.pipeline)
            return self.settle()
        self._starting -= 1
        return [] if self._starting else self._running()

    def end_input(self, source: str) -> list[Job]:
        """Nothing more comes from a source."""
        for each in self.pipelines:
            each.inputs.discard(source)
        return self.settle()

    def stop(self) -> list[Job]:
        """Nothing more comes from anywhere: stop when everything is done (soft stop)."""
        self.stop_wanted = True
        for each in self.pipelines:
            each.inputs = {name for name in each.inputs if name.startswith(">")}
        return self.settle()

    def count(self, pending: Mapping[int, int]) -> None:
        """Tasks were made and done."""
        for pipeline, change in pending.items():
            self.pipelines[pipeline].pending += change

    def changed(self, pending: Mapping[int, int]) -> list[Job]:
        """Tasks were made and done; returns the stops whose time has come by that."""
        self.count(pending)
        return self.settle()

    def settle(self) -> list[Job]:
        """The stops whose time has come."""
        if not self.works:
            return []
        jobs: list[Job] = []
        # One that stops without a function may have been the last before others.
        while any(self._try_stop(at, jobs) for at in range(len(self.pipelines))):
            continue
        if all(each.stopped for each in self.pipelines):
            self.state = QueryState.STOPPED
        elif not any(self.takes(at) for at in range(len(self.pipelines))):
            self.state = QueryState.STOPPING
        return jobs

    def drop(self) -> list[tuple[Done, int]]:
        """Forget every task; returns who is to be told of how many that were admitted."""
        self.dropped = True
        self.expired += self.pending
        for each in self.pipelines:
            each.pending = 0
        return self.roots.drop()

    # --- within -----------------------------------------------------------------------------------

    def _running(self) -> list[Job]:
        self.state = QueryState.RUNNING
        return self.settle()

    def _try_stop(self, place: int, jobs: list[Job]) -> bool:
        """Begin a pipeline's stop if its time has come; whether it has stopped by that."""
        pipeline = self.pipelines[place]
        if pipeline.stopping or pipeline.inputs or pipeline.pending:
            return False
        pipeline.stopping = True
        if pipeline.has_stop:
            jobs.append(self._job(STOP, place))
            return False
        self._stopped(place)
        return True

    def _stopped(self, place: int) -> None:
        pipeline = self.pipelines[place]
        pipeline.stopped = True
        self.stops.append(pipeline.name)
        for target in pipeline.to:
            self.pipelines[target].inputs.discard(f">{pipeline.name}")

    def _job(self, verb: Verb, place: int) -> Job:
        return Job(self, verb, place)
