"""The stages that random topologies are made of; what each should do is known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from actorflow.stage.answers import FORWARD, HOLD
from actorflow.stage.behaviour import Consumer, Producer, ProducerConsumer, Subscription

__all__ = [
    "SPAN",
    "AskedThrough",
    "ByHand",
    "ExactAskedThrough",
    "ExactByHand",
    "ExactNumbers",
    "ExactSink",
    "ExactThrough",
    "KeptNumbers",
    "KeptSink",
    "KeptThrough",
    "Numbers",
    "Sink",
    "Through",
    "is_even",
    "parity",
    "remainder",
    "through",
]

SPAN = 10_000
"""The numbers of different sources are this far apart."""


class Numbers(Producer):
    """A finite source of whole numbers, that answers demand in one of several ways.

    Args:
        first: the first number of replica 0; that of the next is `SPAN` further.
        count: how many.
        answer: ``"exact"``, what is asked; ``"less"``, half of it, so that it lives on being
            polled; ``"more"``, a few more than asked; ``"ticks"``, nothing, and two at each tick of
            a timer.
        tells: whether it notifies its consumers, before each emission, of how many events came
            before it.
        flows_after: seconds after which it lets demand flow, when its option ``demand`` holds it;
            0 for never.

    Example:
        >>> Numbers(first=0, count=3).answer
        'exact'
    """

    def __init__(
        self,
        first: int,
        count: int,
        answer: str = "exact",
        *,
        tells: bool = False,
        flows_after: float = 0.0,
    ) -> None:
        self.first = first
        self.count = count
        self.answer = answer
        self.tells = tells
        self.flows_after = flows_after
        self.emitted = 0
        self.left: list[int] = []

    def on_start(self) -> None:
        """Count; an empty source is done at once."""
        first = self.first + SPAN * self.index
        self.left = list(range(first + self.emitted, first + self.count))
        if self.flows_after:
            self.send_after(self.flows_after, "flow")
        if self.answer == "ticks":
            self.send_after(0.001, "tick")
        elif not self.left:
            self.finish()

    def handle_demand(self, demand: int) -> list[int]:
        """Answer in its way."""
        wanted = {"exact": demand, "less": (demand + 1) // 2, "more": demand + 3, "ticks": 0}
        return self._take(wanted[self.answer])

    def handle_info(self, message: Any) -> list[int]:
        """Two numbers, whether they are asked for or not."""
        if message == "flow":
            self.set_demand("forward")
            return []
        if message == "tick" and self.left:
            self.send_after(0.001, message)
        return self._take(2)

    def _take(self, count: int) -> list[int]:
        taken, self.left = self.left[:count], self.left[count:]
        if taken and self.tells:
            self.notify(self.emitted)
        self.emitted += len(taken)
        if not self.left:
            self.finish()
        return taken


class KeptNumbers(Numbers):
    """One that goes on from its place when it is started again."""

    def snapshot(self) -> int:
        """How many it has emitted."""
        return self.emitted

    def restore(self, state: int) -> None:
        """Go on behind them."""
        self.emitted = state


def through(rule: str, event: int) -> list[int]:
    """What a stage with this rule makes of an event.

    Example:
        >>> through("identity", 5), through("expand", 5), through("filter", 5)
        ([5], [20, 21, 22], [])
    """
    if rule == "expand":
        return [event * 4 + part for part in range(event % 4 + 2)]
    if rule == "filter":
        return [event] if event % 3 == 0 else []
    return [event]


class _Hears(Consumer):
    """Takes notifications; whoever watches knows what to expect of them."""

    def handle_notification(self, message: Any, subscription: Subscription) -> None:
        """Nothing is done with it."""


class Through(_Hears, ProducerConsumer):
    """Makes none, one or several events of each, by a rule (see `through`).

    Args:
        rule: which.
        tells: whether it notifies its consumers, before each emission, of how many events came
            before it.
    """

    def __init__(self, rule: str, *, tells: bool = False) -> None:
        self.rule = rule
        self.tells = tells
        self.emitted = 0

    def handle_events(self, events: list[int], subscription: Subscription) -> list[int]:
        """Apply the rule to each."""
        made = [each for event in events for each in through(self.rule, event)]
        if made and self.tells:
            self.notify(self.emitted)
        self.emitted += len(made)
        return made


class KeptThrough(Through):
    """One that keeps its count over a restart."""

    def snapshot(self) -> int:
        """How many it has emitted."""
        return self.emitted

    def restore(self, state: int) -> None:
        """Count on."""
        self.emitted = state


class AskedThrough(Through):
    """One that decides about demand.

    Args:
        hook: ``"ask"``: producers are asked for what is wanted; ``"forward"``: as if it did not
            decide; ``"hold"``: demand is held for a moment.
    """

    def __init__(self, rule: str, hook: str, *, tells: bool = False) -> None:
        super().__init__(rule, tells=tells)
        self.hook = hook

    def handle_demand(self, demand: int) -> Any:
        """Decide."""
        if self.hook == "hold":
            self.send_after(0.001, demand)
            return HOLD
        return FORWARD if self.hook == "forward" else None

    def handle_info(self, message: Any) -> None:
        """Let held demand go."""
        self.forward()


class Sink(_Hears):
    """Takes events.

    Args:
        leaves_after: after so many events it stops, in good order; 0 for never.
    """

    def __init__(self, leaves_after: int = 0) -> None:
        self.leaves_after = leaves_after
        self.taken = 0

    def handle_events(self, events: list[int], subscription: Subscription) -> None:
        """Count them."""
        self.taken += len(events)
        if 0 < self.leaves_after <= self.taken and self.index:
            self.stop()


class KeptSink(Sink):
    """One that keeps its count over a restart."""

    def snapshot(self) -> int:
        """How many it has taken."""
        return self.taken

    def restore(self, state: int) -> None:
        """Count on."""
        self.taken = state


class ByHand(_Hears):
    """Takes events on manual subscriptions: asks for `window`, then for what it has handled."""

    def __init__(self, window: int) -> None:
        self.window = window

    def handle_subscribe(
        self, side: str, options: Mapping[str, Any], subscription: Subscription
    ) -> str:
        """Ask for the first ones."""
        self.ask(subscription, self.window)
        return "manual"

    def handle_events(self, events: list[int], subscription: Subscription) -> None:
        """Ask for as many again."""
        self.ask(subscription, len(events))


class Remembers(Consumer):
    """One whose state is everything it has taken, for ``exactly_once``; its result is the same."""

    def handle_events(self, events: list[int], subscription: Subscription) -> Any:
        """Note them, and do what the class does."""
        memory = self.__dict__.setdefault("memory", [])
        memory += [[subscription.peer.stage.name, event] for event in events]
        return super().handle_events(events, subscription)

    def snapshot(self) -> dict[str, Any]:
        """All its plain attributes."""
        return {name: value for name, value in vars(self).items() if not name.startswith("_")}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on with them."""
        vars(self).update(state)

    def on_stop(self, reason: Any) -> None:
        """Leave it behind."""
        self.set_result(vars(self).get("memory", []))


class ExactNumbers(KeptNumbers):
    """A source of an ``exactly_once`` topology."""


class ExactThrough(Remembers, Through):
    """As `Through`, in an ``exactly_once`` topology."""


class ExactAskedThrough(Remembers, AskedThrough):
    """As `AskedThrough`, in an ``exactly_once`` topology."""


class ExactSink(Remembers, Sink):
    """As `Sink`, in an ``exactly_once`` topology."""


class ExactByHand(Remembers, ByHand):
    """As `ByHand`, in an ``exactly_once`` topology."""


def is_even(event: int) -> bool:
    """A selector."""
    return event % 2 == 0


def parity(event: int) -> int:
    """A partition function that has a name."""
    return event % 2


def remainder(count: int, event: int) -> int:
    """A partition function."""
    return event % count
