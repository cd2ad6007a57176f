"""Task pools: queries of tasks that make tasks, in workers that never wait for room."""

from actorflow.stages.pool.calls import TaskPoolHandle, Ticket
from actorflow.stages.pool.lifecycle import QueryResult
from actorflow.stages.pool.options import InFlight, MemoryBudget
from actorflow.stages.pool.query import Pipeline, Query
from actorflow.stages.pool.stage import ConsumerTaskPool, TaskPool
from actorflow.stages.pool.stats import PoolStats
from actorflow.stages.pool.worker import Lease, TaskContext

__all__ = [
    "ConsumerTaskPool",
    "InFlight",
    "Lease",
    "MemoryBudget",
    "Pipeline",
    "PoolStats",
    "Query",
    "QueryResult",
    "TaskContext",
    "TaskPool",
    "TaskPoolHandle",
    "Ticket",
]
