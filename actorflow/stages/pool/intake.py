"""The events of a pool's producers: asked for as there is room, tasks here, finished with them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from actorflow.stage.behaviour import Subscription
from actorflow.stage.held import HeldBatch
from actorflow.stages.pool.entrance import Entrance
from actorflow.stages.pool.lifecycle import QueryRun
from actorflow.stages.pool.options import InFlight
from actorflow.stages.pool.query import Query
from actorflow.stages.pool.roots import Done
from actorflow.stages.pool.window import SourceWindow

__all__ = ["Intake", "entry_of"]

LOOK_EVERY = 1.0
"""Seconds between two looks at windows that have grown, whether anything comes."""


def entry_of(query: Query, producer: str) -> str | None:
    """Which pipeline of a query takes the events of a producer, if any does.

    Example:
        >>> query = Query(name="negate", pipelines={"negate": "operator:neg"})
        >>> entry_of(query, "numbers")
        'negate'
    """
    return query.sources.get(producer) if query.sources else query.entry


class Intake:
    """What a pool has asked its producers for, and what of it is not finished.

    Args:
        entrance: the way into the pool.
        running: its queries that have not ended, by name.
        in_flight: how many events of a producer may be unfinished, when nobody says.
        ask: asks a producer for more.
        after: has something called in so many seconds.
    """

    def __init__(
        self,
        entrance: Entrance,
        running: Mapping[str, QueryRun],
        in_flight: InFlight,
        ask: Callable[[Subscription, int], None],
        after: Callable[[float, Callable[[], None]], None],
    ) -> None:
        self._entrance = entrance
        self._running = running
        self._in_flight = in_flight
        self._ask = ask
        self._after = after
        self._windows: dict[Subscription, SourceWindow] = {}
        self._touched: list[_Taken] = []
        self._looking = False

    def open(self, subscription: Subscription) -> None:
        """A producer is there; its subscription's `max_demand` goes before the pool's limit."""
        limit = subscription.options.get("max_demand")
        in_flight = InFlight(limit=limit) if type(limit) is int else self._in_flight
        self._windows[subscription] = SourceWindow(in_flight)

    def close(self, subscription: Subscription) -> None:
        """A producer is gone."""
        self._windows.pop(subscription, None)

    def take(self, events: list[Any], subscription: Subscription, batch: HeldBatch) -> None:
        """Make a task of each event, for every query that takes it."""
        window = self._windows.get(subscription)
        if window is not None:
            window.arrived(len(events))
        taken = _Taken(subscription, batch, self._touched)
        takers = self._takers(subscription)
        if len(takers) == 1:
            run, pipeline = takers[0]
            self._entrance.admit(run, pipeline, events, taken.some)
            return
        if not takers:
            self._entrance.too_late(len(events))
            taken.some("expired", len(events))
        for event in events:
            last = _Last(len(takers), taken.some)
            for run, pipeline in takers:
                self._entrance.admit(run, pipeline, [event], last.one)

    def settle(self) -> None:
        """Return credit for what is finished, and ask for what there is room for."""
        for taken in self._touched:
            count, taken.finished = taken.finished, 0
            window = self._windows.get(taken.subscription)
            if window is not None:
                takers = self._takers(taken.subscription)
                window.finished(count, not any(self._entrance.waiting(run) for run, _ in takers))
            taken.batch.finished(count)
        self._touched.clear()
        for subscription, window in list(self._windows.items()):
            rooms = [self._entrance.room(run) for run, _ in self._takers(subscription)]
            count = window.room(min(rooms, default=0), self._entrance.share)
            if count:
                self._ask(subscription, window.ask(count))
        self._look_later()

    def _takers(self, subscription: Subscription) -> list[tuple[QueryRun, int]]:
        found = []
        for run in self._running.values():
            entry = entry_of(run.query, subscription.stage)
            if entry is not None:
                found.append((run, run.query.index(entry)))
        return found

    def _look_later(self) -> None:
        if not self._looking and any(window.grown for window in self._windows.values()):
            self._looking = True
            self._after(LOOK_EVERY, self._look)

    def _look(self) -> None:
        self._looking = False
        for window in self._windows.values():
            window.look()
        self._look_later()


class _Taken:
    """A batch of events, and how many of them were finished since credit was last returned."""

    __slots__ = ("_touched", "batch", "finished", "subscription")

    def __init__(self, subscription: Subscription, batch: HeldBatch, touched: list[_Taken]) -> None:
        self.subscription = subscription
        self.batch = batch
        self.finished = 0
        self._touched = touched

    def some(self, how: str, count: int) -> None:
        """So many more are."""
        if not self.finished:
            self._touched.append(self)
        self.finished += count


class _Last:
    """Tells when the last of several has told it."""

    __slots__ = ("_done", "_left")

    def __init__(self, left: int, done: Done) -> None:
        self._left = left
        self._done = done

    def one(self, how: str, count: int) -> None:
        """One more is done."""
        self._left -= count
        if not self._left:
            self._done(how, 1)
