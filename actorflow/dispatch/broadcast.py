"""The broadcast dispatcher: every consumer gets every event that its selector takes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import Any

from actorflow.dispatch.base import Delivery, Dispatched, Dispatcher, Told
from actorflow.dispatch.functions import culprit, resolve_function
from actorflow.dispatch.memory import Memory
from actorflow.errors import CannotServe, OptionError, Refused
from actorflow.protocol.delivery import UnfinishedBatch
from actorflow.protocol.failure import Failure
from actorflow.protocol.reasons import brief
from actorflow.records import dataclass

__all__ = ["BroadcastDispatcher", "selected"]


@dataclass(frozen=True, slots=True)
class _Said:
    """A message behind the batches of a backlog."""

    token: object


@dataclass(slots=True)
class _Place:
    """One consumer's place: while it is there, nobody gets ahead of it.

    `backlog` is what its predecessor had not finished, what is replayed to it, and what was said
    while nobody was there; it is served before anything new.
    """

    ref: int
    consumer: str
    selector: Callable[[Any], Any] | None = None
    credit: int = 0
    suspended: bool = False
    backlog: deque[UnfinishedBatch | _Said] = field(default_factory=deque)

    @property
    def batches(self) -> list[UnfinishedBatch]:
        """The batches of the backlog."""
        return [each for each in self.backlog if isinstance(each, UnfinishedBatch)]


class BroadcastDispatcher(Dispatcher):
    """Sends each event to all consumers, at the pace of the slowest.

    Consumers that are declared, in a topology, are waited for: none misses the first events because
    it took longer to start. One that subscribes of its own accord gets what comes from then on.

    A subscription may carry ``selector``, a function of one event or its ``module:name``; what it
    turns down costs that consumer no demand. One that raises ends its own subscription, as
    ``bad_selector``. A consumer subscribes once; a second subscription is refused as
    ``already_subscribed``, however often it is tried.

    Args:
        replay: how many of the last events one that subscribes late gets first, from 0.

    Raises:
        OptionError: `replay` is no such number.

    Example:
        >>> dispatcher = BroadcastDispatcher()
        >>> dispatcher.subscribe(1, "a/0", {})
        >>> dispatcher.subscribe(2, "b/0", {"selector": "operator:truth"})
        >>> dispatcher.ask(1, 3)
        >>> dispatcher.ask(2, 2)
        >>> [(d.ref, d.events) for d in dispatcher.dispatch([0, 7, 8], 0).deliveries]
        [(1, [0, 7]), (2, [7])]
    """

    may_drop = True
    may_copy = True

    def __init__(self, *, replay: int = 0) -> None:
        if type(replay) is not int or replay < 0:
            raise OptionError("replay", "an integer of at least 0", replay)
        self.memory = Memory(replay) if replay else None
        self._places: dict[int, _Place] = {}
        self._heirs: dict[int, int] = {}
        self._expected: set[str] = set()
        self._changed = False

    @property
    def capacity(self) -> int:
        """The smallest credit of all; 0 while somebody is expected."""
        if self._expected:
            return 0
        return min((place.credit for place in self._places.values()), default=0)

    @property
    def queued(self) -> int:
        """What waits for successors of consumers that died."""
        return sum(len(batch.events) for p in self._places.values() for batch in p.batches)

    @property
    def first_position(self) -> int | None:
        """The place of the oldest event in a backlog."""
        places = [batch.position for p in self._places.values() for batch in p.batches]
        return min(places, default=None)

    def expect(self, consumer: str) -> None:
        """Wait for a consumer: nobody gets ahead of it."""
        self._expected.add(consumer)

    def expect_no_more(self, consumer: str) -> None:
        """Wait for it no longer."""
        self._expected.discard(consumer)

    def subscribe(self, ref: int, consumer: str, options: Mapping[str, Any]) -> None:
        """Admit a consumer that is not subscribed yet."""
        if any(
            place.consumer == consumer and not place.suspended for place in self._places.values()
        ):
            raise Refused("already_subscribed", f"{consumer} is subscribed to this broadcast")
        self._places[ref] = _Place(ref, consumer, _selector(options))
        self._expected.discard(consumer)

    def replace(self, old: int, ref: int, consumer: str, options: Mapping[str, Any]) -> None:
        """Hand the place over, and whatever may yet come back from the old subscription."""
        selector = _selector(options)
        before = self._places.pop(old)
        self._places[ref] = _Place(ref, consumer, selector, backlog=before.backlog)
        self._heirs[old] = ref
        self._changed = True

    def catch_up(self, ref: int, position: int) -> int:
        """Put the last events that its selector takes before whatever this consumer gets."""
        place, memory = self._places.get(ref), self.memory
        if place is None or memory is None:
            return 0
        events = memory.last()
        chosen = events if place.selector is None else selected(place, events)
        if chosen:
            place.backlog.append(UnfinishedBatch(0, chosen, position))
            self._changed = True
        return len(chosen)

    def ask(self, ref: int, count: int) -> None:
        """Credit a consumer."""
        place = self._places.get(ref)
        if place is not None and not place.suspended:
            place.credit += count

    def ready(self) -> Sequence[Delivery | Told]:
        """Backlogs of predecessors, as far as their successors' credit goes."""
        found: list[Delivery | Told] = []
        for place in self._places.values():
            while place.backlog and not place.suspended:
                self._changed = True
                head = place.backlog[0]
                if isinstance(head, _Said):
                    place.backlog.popleft()
                    found.append(Told(place.ref, head.token))
                elif place.credit:
                    found.append(_serve(place, head))
                else:
                    break
        return found

    def tell(self, token: object, refs: Sequence[int]) -> Sequence[int]:
        """Whoever has a backlog, or is away, is told behind it."""
        now = []
        for place in self._places.values():
            if place.backlog or place.suspended:
                place.backlog.append(_Said(token))
            elif place.ref in refs:
                now.append(place.ref)
        return now

    def dispatch(self, events: list[Any], position: int) -> Dispatched:
        """Send what all can take to each; selectors are asked event by event.

        Raises:
            CannotServe: ``bad_selector``: one of them raised; nobody has got anything.
        """
        take = min(self.capacity, len(events))
        if not take:
            return Dispatched([], len(events))
        common = events if take == len(events) else events[:take]
        deliveries = []
        for place in self._places.values():
            chosen = common if place.selector is None else selected(place, common)
            if chosen:
                deliveries.append(Delivery(place.ref, chosen, position))
        # Only now, since a selector may have raised.
        for delivery in deliveries:
            self._places[delivery.ref].credit -= len(delivery.events)
        if self.memory is not None:
            self.memory.remember(common)
        return Dispatched(deliveries, len(events) - take)

    def suspend(self, ref: int) -> None:
        """Keep the consumer's place, without credit, until it is known whether it comes back."""
        place = self._places.get(ref)
        if place is not None:
            place.suspended = True
            place.credit = 0

    def leave(self, ref: int, *, successor: bool = False) -> None:
        """Give up the place, or keep it for the successor."""
        if successor:
            self.suspend(ref)
        else:
            self._places.pop(ref, None)
            self._changed = True

    def give_back(self, ref: int, batches: list[UnfinishedBatch]) -> list[UnfinishedBatch]:
        """Keep it for the successor, whose place it is; everybody else has had these events."""
        while ref in self._heirs:
            ref = self._heirs[ref]
        place = self._places.get(ref)
        if place is not None:
            place.backlog.extendleft(reversed(batches))
            self._changed = True
        return []

    def forget(self, ref: int) -> None:
        """Drop what is remembered of a subscription that is over."""
        self._heirs.pop(ref, None)

    def succeed(self, old: int, ref: int) -> None:
        """Hand a place and its backlog over."""
        place = self._places.pop(old, None)
        if place is not None and ref in self._places:
            self._places[ref].backlog = place.backlog
            self._changed = True

    def outstanding(self, ref: int) -> int:
        """The credit of one subscription."""
        place = self._places.get(ref)
        return place.credit if place else 0

    def waiting_changed(self) -> bool:
        """Whether a backlog has grown or shrunk."""
        changed, self._changed = self._changed, False
        return changed

    def waiting_for(self, ref: int) -> int:
        """How many events of its predecessor wait for one subscription."""
        place = self._places.get(ref)
        return sum(len(batch.events) for batch in place.batches) if place else 0


def selected(place: _Place, events: list[Any]) -> list[Any]:
    """What a consumer's selector takes."""
    selector = place.selector
    assert selector is not None
    asked = iter(events)
    try:
        return [event for event in asked if selector(event)]
    except Exception as error:
        what = Failure.of(error).summary
        detail = f"the selector raised {what} for the event {brief(culprit(events, asked))}"
        raise CannotServe(place.ref, "bad_selector", detail) from error


def _selector(options: Mapping[str, Any]) -> Callable[[Any], Any] | None:
    selector = options.get("selector")
    return None if selector is None else resolve_function("selector", selector)


def _serve(place: _Place, batch: UnfinishedBatch) -> Delivery:
    """Take from the first batch of a backlog what there is credit for."""
    share = min(place.credit, len(batch.events))
    place.credit -= share
    place.backlog.popleft()
    if share < len(batch.events):
        rest = batch.events[share:]
        place.backlog.appendleft(UnfinishedBatch(batch.seq, rest, batch.position + share))
    return Delivery(place.ref, batch.events[:share], batch.position, batch.attempt)
