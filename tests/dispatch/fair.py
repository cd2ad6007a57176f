"""A dispatcher of somebody else's, right, and wrong in every way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from actorflow import Delivery, Dispatched, Dispatcher, UnfinishedBatch

__all__ = ["BREAKS", "Fair", "Queues", "broken"]


class Fair(Dispatcher):
    """One event to each consumer in turn."""

    holds = False

    def __init__(self, weight: int = 1) -> None:
        self.weight = weight
        self.credit: dict[int, int] = {}

    @property
    def capacity(self) -> int:
        return sum(self.credit.values())

    def subscribe(self, ref: int, consumer: str, options: Mapping[str, Any]) -> None:
        self.credit[ref] = 0

    def ask(self, ref: int, count: int) -> None:
        if ref in self.credit:
            self.credit[ref] += count

    def dispatch(self, events: list[Any], position: int) -> Dispatched:
        deliveries: list[Delivery] = []
        while len(deliveries) < len(events) and self.capacity:
            for ref in [ref for ref, credit in self.credit.items() if credit]:
                if len(deliveries) < len(events):
                    place = len(deliveries)
                    deliveries.append(Delivery(ref, [events[place]], position + place))
                    self.credit[ref] -= 1
        return Dispatched(deliveries, len(events) - len(deliveries))

    def suspend(self, ref: int) -> None:
        self.credit.pop(ref, None)

    def leave(self, ref: int, *, successor: bool = False) -> None:
        self.credit.pop(ref, None)

    def give_back(self, ref: int, batches: list[UnfinishedBatch]) -> list[UnfinishedBatch]:
        return batches


class Queues(Fair):
    """Has room for one event more than was asked for, which waits inside."""

    holds = True

    def __init__(self) -> None:
        super().__init__()
        self.inside: list[Delivery] = []

    @property
    def queued(self) -> int:
        return len(self.inside)

    @property
    def first_position(self) -> int | None:
        return self.inside[0].position if self.inside else None

    def held_events(self) -> list[Any]:
        return [event for waiting in self.inside for event in waiting.events]

    def dispatch(self, events: list[Any], position: int) -> Dispatched:
        answer = super().dispatch(events, position)
        if answer.leftover and not self.inside:
            place = len(events) - answer.leftover
            self.inside.append(Delivery(0, [events[place]], position + place))
            answer.leftover -= 1
        return answer

    def ready(self) -> list[Any]:
        able = [ref for ref, credit in self.credit.items() if credit]
        if not self.inside or not able:
            return []
        self.credit[able[0]] -= 1
        waiting = self.inside.pop()
        return [Delivery(able[0], waiting.events, waiting.position)]


def _changed(change: Callable[[Dispatched, list[Any], int], Any]) -> dict[str, Any]:
    """A `dispatch` whose answer is changed."""

    def dispatch(self: Fair, events: list[Any], position: int) -> Any:
        return change(Fair.dispatch(self, events, position), events, position)

    return {"dispatch": dispatch}


def _raises(*arguments: Any, **options: Any) -> Any:
    raise ZeroDivisionError("mine")


def _deliver(*deliveries: Delivery, leftover: int = 0) -> dict[str, Any]:
    return _changed(lambda answer, events, position: Dispatched(list(deliveries), leftover))


BREAKS: dict[str, tuple[dict[str, Any], str]] = {
    "raises in dispatch": ({"dispatch": _raises}, "dispatch does not raise"),
    "raises in ask": ({"ask": _raises}, "ask does not raise"),
    "raises in subscribe": ({"subscribe": _raises}, "subscribe does not raise"),
    "raises in capacity": ({"capacity": property(_raises)}, "capacity does not raise"),
    "raises in queued": ({"queued": property(_raises)}, "queued does not raise"),
    "a capacity that is none": (
        {"capacity": property(lambda self: "many")},
        "capacity is a number from 0 to the sum of all credit",
    ),
    "too much capacity": (
        {"capacity": property(lambda self: 99)},
        "capacity is a number from 0 to the sum of all credit",
    ),
    "no answer": (_changed(lambda *_: None), "dispatch returns a Dispatched"),
    "a leftover that is none": (
        _changed(lambda answer, events, position: Dispatched(answer.deliveries, -1)),
        "leftover is how many events are left",
    ),
    "takes nothing": (
        _changed(lambda answer, events, position: Dispatched([], len(events))),
        "with a capacity above 0, dispatch takes at least one event",
    ),
    "loses events": (
        _changed(lambda answer, events, position: Dispatched(answer.deliveries[1:])),
        "every event goes to one consumer, waits inside, or is left over",
    ),
    "gives an event twice": (
        _changed(lambda answer, events, position: Dispatched([answer.deliveries[0]] * 2)),
        "every event goes to one consumer, waits inside, or is left over",
    ),
    "gives events of its own": (
        _deliver(Delivery(1, ["mine", "too"], 0)),
        "every event goes to one consumer, waits inside, or is left over",
    ),
    "to nobody": (
        _deliver(Delivery(99, ["a", "b"], 0)),
        "only a subscription that was admitted and can be reached gets anything",
    ),
    "more than asked for": (
        _changed(lambda answer, events, p: Dispatched([Delivery(1, [*events, *events * 5], p)])),
        "nobody gets more than was asked for",
    ),
    "an empty delivery": (
        _deliver(Delivery(1, [], 0)),
        "a delivery has a list of at least one event",
    ),
    "a delivery without a list": (
        _deliver(Delivery(1, ("a", "b"), 0)),  # type: ignore[arg-type]
        "a delivery has a list of at least one event",
    ),
    "no deliveries": (_deliver("a"), "a delivery is a Delivery"),  # type: ignore[arg-type]
    "a wrong place": (
        _deliver(Delivery(1, ["a", "b"], -5)),
        "a delivery has its first event's place",
    ),
    "claims what waits": (
        {"queued": property(lambda self: 3)},
        "every event goes to one consumer, waits inside, or is left over",
    ),
}
"""What a dispatcher does wrong, and the rule that the error names."""


def broken(name: str) -> type[Fair]:
    """The class that does one thing wrong."""
    return type("Broken", (Fair,), {"__module__": __name__, **BREAKS[name][0]})
