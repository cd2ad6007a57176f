"""What became of a pool's queries."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from actorflow.errors import OptionError, QueryFailed
from actorflow.stages.pool.lifecycle import QueryResult, QueryRun

__all__ = ["Outcomes"]

REMEMBERED = 1000
"""How many ended queries a pool can tell of."""


class Outcomes:
    """The ends of queries, by name: the newest of each name, and not more than can be told."""

    def __init__(self) -> None:
        self._results: dict[str, QueryResult] = {}
        self._failures: dict[str, BaseException] = {}

    def add(self, run: QueryRun, result: QueryResult) -> None:
        """A query has ended."""
        self._results.pop(result.name, None)
        self._failures.pop(result.name, None)
        self._results[result.name] = result
        if run.failure is not None:
            self._failures[result.name] = run.failure.exception()
        if len(self._results) > REMEMBERED:
            oldest = next(iter(self._results))
            del self._results[oldest]
            self._failures.pop(oldest, None)

    def result(self, name: str) -> QueryResult:
        """How a query ended.

        Raises:
            OptionError: none of that name has.
        """
        if name not in self._results:
            raise OptionError("query", "the name of a query that there is or was", name)
        return self._results[name]

    def as_data(self) -> dict[str, Any]:
        """All of them, as plain data."""
        return {
            name: {**asdict(each), "stops": list(each.stops)}
            for name, each in self._results.items()
        }

    def raise_if_all_failed(self, names: Iterable[str]) -> None:
        """When each of these queries has failed, so has the stage that was to run them.

        Raises:
            QueryFailed: they have; the last one, with what it raised as the cause.
        """
        failures = {name: self._failures.get(name) for name in names}
        if failures and all(failures.values()):
            name, error = list(failures.items())[-1]
            raise QueryFailed(name, self._results[name].reason) from error
