"""The ready dispatcher: an event goes to every consumer that has demand at that moment."""

from __future__ import annotations

from typing import Any

from actorflow.dispatch.base import Delivery, Dispatched
from actorflow.dispatch.broadcast import BroadcastDispatcher, selected

__all__ = ["ReadyDispatcher"]


class ReadyDispatcher(BroadcastDispatcher):
    """A broadcast that waits for nobody: who has no demand just now misses the event.

    While nobody at all has demand, events wait. What a consumer had not finished when it died is
    kept for its successor, as with any broadcast. A `Broker` deals what it is told in this way.

    Example:
        >>> dispatcher = ReadyDispatcher()
        >>> dispatcher.subscribe(1, "a/0", {})
        >>> dispatcher.subscribe(2, "b/0", {})
        >>> dispatcher.ask(1, 2)
        >>> dispatcher.ask(2, 1)
        >>> [(d.ref, d.events) for d in dispatcher.dispatch(["x", "y"], 0).deliveries]
        [(1, ['x', 'y']), (2, ['x'])]
    """

    def __init__(self) -> None:
        super().__init__()

    @property
    def capacity(self) -> int:
        """The largest credit of all."""
        return max((place.credit for place in self._places.values()), default=0)

    def expect(self, consumer: str) -> None:
        """Nobody is waited for."""

    def dispatch(self, events: list[Any], position: int) -> Dispatched:
        """Send each consumer as many of the first events as it has demand for.

        Raises:
            CannotServe: ``bad_selector``: one of them raised; nobody has got anything.
        """
        taken = 0
        deliveries = []
        for place in self._places.values():
            count = min(place.credit, len(events))
            chosen = events if count == len(events) else events[:count]
            if place.selector is not None:
                chosen = selected(place, chosen)
            if chosen:
                deliveries.append(Delivery(place.ref, chosen, position))
            taken = max(taken, count)
        # Only now, since a selector may have raised.
        for delivery in deliveries:
            self._places[delivery.ref].credit -= len(delivery.events)
        return Dispatched(deliveries, len(events) - taken)
