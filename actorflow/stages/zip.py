"""Pairs of the events of several sources: `Zip`."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from actorflow.errors import OptionError, SkewExceeded
from actorflow.protocol.reasons import is_normal
from actorflow.stage.behaviour import ProducerConsumer, Subscription

__all__ = ["Zip"]

WINDOW = 500
"""How many events of a source may be under way or wait, when its subscription does not say."""


class Zip(ProducerConsumer):
    """Joins the first event of each source to a tuple, then the second, and so on.

    It asks each source by hand, for as many events as its subscription's `max_demand` allows to be
    under way or to wait here: so a fast source is held back by a slow one. When a source has ended
    and its last event is joined, the others are cancelled with the reason ``normal`` and this stage
    finishes. What they had sent beyond that is dropped.

    A longer source that should end then must do so when its last consumer leaves, as
    ``from_iterable(…, on_cancel="stop")`` does.

    Args:
        sources: the names of the stages whose events are joined, in the order of the tuples; from
            two. A replica is named with its index: ``"clock/1"``.
        skew_limit: how many events of one source may wait for those of another that has none, from
            1. Full windows grow up to it while another source has none; more is `SkewExceeded`.
            None holds the faster source back instead. Sources that come from one broadcast need a
            limit: when one of their ways drops events, the other one held back holds up both.

    Raises:
        OptionError: an argument breaks its rule, or another stage is subscribed to.
        SkewExceeded: one source is too far ahead of another.

    Example:
        >>> zipped = Zip(sources=["names", "numbers"])
        >>> zipped.join("names", ["a", "b"]), zipped.join("numbers", [1])
        ([], [('a', 1)])
    """

    def __init__(self, *, sources: Sequence[str], skew_limit: int | None = None) -> None:
        if skew_limit is not None and (type(skew_limit) is not int or skew_limit < 1):
            raise OptionError("skew_limit", "an integer of at least 1, or none", skew_limit)
        self._skew_limit = skew_limit
        rule = "a list of at least two different names of stages"
        if isinstance(sources, str) or not isinstance(sources, Sequence):
            raise OptionError("sources", rule, sources)
        named = [each if "/" in each else f"{each}/0" for each in sources if type(each) is str]
        if len(named) < 2 or len(set(named)) != len(sources):
            raise OptionError("sources", rule, sources)
        self._waiting: dict[str, deque[Any]] = {name: deque() for name in named}
        self._ended: set[str] = set()
        self._windows: dict[str, int] = {}
        self._asked: dict[str, int] = {}
        self._subscriptions: dict[str, Subscription] = {}

    # --- sources come and go ----------------------------------------------------------------------

    def handle_subscribe(
        self, side: str, options: Mapping[str, Any], subscription: Subscription
    ) -> str | None:
        """Ask a source for its first events."""
        if side != "producer":
            return None
        name = str(subscription.peer.stage)
        if name not in self._waiting:
            raise OptionError("sources", f"a list that names {name}", list(self._waiting))
        limit = options.get("max_demand")
        self._windows[name] = limit if type(limit) is int else WINDOW
        self._asked[name] = 0
        self._subscriptions[name] = subscription
        self._refill(name)
        self._widen()
        return "manual"

    def handle_cancel(self, reason: Any, subscription: Subscription) -> None:
        """A source has ended; one that fell may be started again, and goes on."""
        name = str(subscription.peer.stage)
        if self._subscriptions.get(name) == subscription:
            del self._subscriptions[name]
            if is_normal(reason[1]):
                self._ended.add(name)
                self._leave_when_over()

    # --- events -----------------------------------------------------------------------------------

    def handle_events(self, events: list[Any], subscription: Subscription) -> list[Any]:
        """Take the events of one source; returns the tuples that they complete."""
        name = str(subscription.peer.stage)
        self._asked[name] -= len(events)
        tuples = self.join(name, events)
        for each in self._subscriptions:
            self._refill(each)
        self._widen()
        self._leave_when_over()
        return tuples

    def join(self, source: str, events: Sequence[Any]) -> list[tuple[Any, ...]]:
        """Add the events of one source; returns the tuples that are complete now.

        Args:
            source: which one, ``"names"`` or ``"names/0"``.
            events: its next events, in order.
        """
        name = source if "/" in source else f"{source}/0"
        self._waiting[name].extend(events)
        count = min(map(len, self._waiting.values()))
        return [tuple(queue.popleft() for queue in self._waiting.values()) for _ in range(count)]

    @property
    def waiting(self) -> dict[str, int]:
        """How many events of each source wait for those of others."""
        return {name: len(queue) for name, queue in self._waiting.items()}

    # --- state ------------------------------------------------------------------------------------

    def snapshot(self) -> Any:
        """What waits, and who has ended."""
        return {name: list(queue) for name, queue in self._waiting.items()}, self._ended

    def restore(self, state: Any) -> None:
        """Go on from there."""
        waiting, self._ended = state
        for name, events in waiting.items():
            self._waiting[name] = deque(events)

    # --- within -----------------------------------------------------------------------------------

    def _refill(self, name: str) -> None:
        """Ask again once half of the window is free, as an automatic subscription does."""
        window = self._windows[name]
        held = self._asked[name] + len(self._waiting[name])
        if held <= window // 2 and not self._over:
            self._asked[name] += window - held
            self.ask(self._subscriptions[name], window - held)

    def _widen(self) -> None:
        """Ask on where windows are full while another source has nothing (Parks' rule).

        Also when a source is there again: a restored stage may have full windows from the start.
        """
        limit = self._skew_limit
        if limit is None or self._over:
            return
        lagging = next((name for name, queue in self._waiting.items() if not queue), None)
        if lagging is None:
            return
        for name, subscription in self._subscriptions.items():
            held = len(self._waiting[name])
            if not held or self._asked[name]:
                continue
            if held >= limit:
                raise SkewExceeded(limit, f"events of {name} wait", lagging)
            self._windows[name] = max(self._windows[name], min(limit, 2 * held))
            count = max(1, self._windows[name] - held)
            self._asked[name] += count
            self.ask(subscription, count)

    @property
    def _over(self) -> bool:
        return any(not self._waiting[name] for name in self._ended)

    def _leave_when_over(self) -> None:
        if self._over:
            for subscription in self._subscriptions.values():
                self.cancel(subscription, "normal")
