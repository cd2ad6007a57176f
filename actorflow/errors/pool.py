"""Errors of task pools."""

from __future__ import annotations

from typing import Any

from actorflow.errors.base import ActorflowError, Closed

__all__ = [
    "AdmissionFull",
    "PoolClosed",
    "QueryFailed",
    "QueryShed",
]


class AdmissionFull(ActorflowError):
    """A task pool has no room for a task, and whoever submitted it does not wait any longer.

    Args:
        query: for which query it was.
        admitted: how many tasks of that query wait for a worker.
    """

    def __init__(self, query: str, admitted: int) -> None:
        super().__init__(
            f"there is no room for a task of query {query!r}: {admitted} wait for a worker"
        )
        self.query = query
        self.admitted = admitted

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.query, self.admitted)


class QueryFailed(ActorflowError):
    """A query of a task pool failed; the exception, where it could travel, is the ``__cause__``.

    Args:
        query: which query.
        summary: why, ``"ValueError: no"``.
    """

    def __init__(self, query: str, summary: str) -> None:
        super().__init__(f"query {query!r} failed with {summary}")
        self.query = query
        self.summary = summary

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.query, self.summary)


class QueryShed(QueryFailed):
    """A query was ended because it held the most when all held too much.

    Args:
        query: which query.
        held: how much it held, in the units of the limit.
        limit: how much all queries may hold together.
    """

    def __init__(self, query: str, held: int, limit: int) -> None:
        super().__init__(query, f"holding {held} of {limit}, more than any other")
        self.held = held
        self.limit = limit

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.query, self.held, self.limit)


class PoolClosed(Closed):
    """A query of a task pool takes no more tasks: it is stopping, or it has ended."""
