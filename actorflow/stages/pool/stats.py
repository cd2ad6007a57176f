"""What a pool says of itself."""

from __future__ import annotations

from actorflow.records import dataclass
from actorflow.stages.pool.lifecycle import QueryResult

__all__ = ["PoolStats"]


@dataclass(frozen=True, slots=True)
class PoolStats:
    """How a pool stands, at a moment.

    Args:
        workers: how many worker processes it has.
        idle: how many of them have nothing to do.
        admission: tasks that were admitted and that no worker has had yet.
        submitting: submissions that wait for room.
        internal: tasks that were made inside and wait for a worker.
        internal_bytes: how many bytes they take in memory.
        spilled_bytes: and how many on disk.
        control: starts and stops of pipelines that wait for a worker.
        delayed: tasks that wait for their time.
        parked_stops: pipelines whose stop waits for their last tasks.
        memory_held: how much of the memory budget is held.
        memory_waiting: tasks that wait for memory.
        slices: how often a worker was given something.
        executed: how many tasks ran to their end, of all queries there have been.
        late: events that came when no query took them any more.
        queries: every query that has not ended.

    Example:
        >>> from actorflow.stages.pool import TaskPool
        >>> from actorflow.stages.pool.calls import Look
        >>> from actorflow.testing import StageHarness
        >>> queries = [{"name": "negate", "pipelines": {"negate": "operator:neg"}}]
        >>> stats = StageHarness(TaskPool, {"queries": queries, "workers": 2}).call(Look())
        >>> stats.workers, stats.idle, stats.executed, [query.name for query in stats.queries]
        (2, 2, 0, ['negate'])
    """

    workers: int
    idle: int
    admission: int
    submitting: int
    internal: int
    internal_bytes: int
    spilled_bytes: int
    control: int
    delayed: int
    parked_stops: int
    memory_held: int
    memory_waiting: int
    slices: int
    executed: int
    late: int
    queries: tuple[QueryResult, ...]
