"""The demand hook of a producer-consumer: it decides what to do about its consumers' demand.

Without it a producer-consumer keeps its windows full, whatever its consumers want. With it the
demand that they have and that nobody has answered is put to `handle_demand`; what that leaves
unanswered, and does not hold, is asked of the producers. The accounting is one equation:

    requested = forwarded + held + undecided

`requested` is the producing half's: wanted, put to the behaviour, and not emitted. Undecided is
what the callback has not answered yet, held what it said to hold. The rest is forwarded: every
producer is asked until so much is under way from it, within its `max_demand`. What is under way is
compared with what is wanted after each batch, so that what a filter drops, and what a producer
that dies had been asked for, is asked for again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from actorflow.errors import OptionError
from actorflow.protocol.demand import SubscriptionOptions, Window
from actorflow.protocol.driven import Driven, driven_window_for
from actorflow.stage.answers import FORWARD, HOLD
from actorflow.stage.behaviour import ProducerConsumer, Stage
from actorflow.stage.callbacks import Callbacks
from actorflow.stage.consuming import ConsumingHalf
from actorflow.stage.counters import Counter
from actorflow.stage.exact import ExactProducingHalf
from actorflow.stage.incoming import Taken
from actorflow.stage.joint import Joint
from actorflow.stage.producing import ProducingHalf

__all__ = ["DecidingExactHalf", "DecidingHalf", "DemandHook", "decides"]


def decides(behaviour: type[Stage]) -> bool:
    """Whether a class has a demand hook: a producer-consumer with a `handle_demand` of its own.

    Example:
        >>> decides(ProducerConsumer)
        False
    """
    own = getattr(behaviour, "handle_demand", None)
    return issubclass(behaviour, ProducerConsumer) and own is not ProducerConsumer.handle_demand


class DecidingHalf(ProducingHalf):
    """The producing half of a stage with a demand hook, which is told of every emission."""

    emitted_some: Callable[[], None]

    def emit(self, events: list[Any]) -> None:
        """As `ProducingHalf.emit`; what is met is no longer held."""
        super().emit(events)
        self.emitted_some()


class DecidingExactHalf(DecidingHalf, ExactProducingHalf):
    """The same, under `exactly_once`."""


class DemandHook:
    """Puts demand to one behaviour, and passes on what it does not answer.

    Args:
        callbacks: the behaviour's callbacks.
        counters: the stage's scoreboard slot.
    """

    def __init__(self, callbacks: Callbacks, counters: Any) -> None:
        self._callbacks = callbacks
        self._counters = counters
        self._producing: ProducingHalf
        self._consuming: ConsumingHalf
        self._joint: Joint
        self.held = 0
        """Demand that the behaviour holds."""
        self.free = False
        """Whether the subscriptions go by their own windows, as after `FORWARD`."""
        self.deciding = False
        """Whether `handle_demand` is being called: what it leaves is asked for after it."""
        self._undecided = 0
        self._in_hand = 0
        self._mark = 0

    def join(self, producing: DecidingHalf, consuming: ConsumingHalf, joint: Joint) -> None:
        """Take the halves and what joins them, once they are made."""
        self._producing = producing
        self._consuming = consuming
        self._joint = joint
        producing.emitted_some = self._settle
        consuming.new_window = self.window_for

    @property
    def forwarded(self) -> int:
        """Demand that nobody has met and that is asked of the producers."""
        return max(0, self._producing.requested - self.held - self._undecided)

    def window_for(self, options: SubscriptionOptions) -> Window:
        """The window of a subscription to a producer."""
        window = driven_window_for(options)
        window.free = self.free
        return window

    def demand(self, count: int) -> None:
        """So much more is wanted: have the behaviour decide about it."""
        self._undecided += count
        self._callbacks.decide(count, self._begun, self._decided)
        self.refill()

    def forward(self, count: int | None) -> int:
        """Ask the producers for demand that is held, or that is just being decided about.

        Args:
            count: how much, from 0; None for all of it.

        Returns:
            how much that was: no more than there is.

        Raises:
            OptionError: `count` is no such number.
        """
        if count is not None and (type(count) is not int or count < 0):
            raise OptionError("count", "an integer of at least 0, or none for all", count)
        self._settle()
        there = self.held + self._in_hand
        found = there if count is None else min(count, there)
        first = min(found, self._in_hand)
        self._in_hand -= first
        self._undecided -= first
        self.held -= found - first
        self.refill()
        return found

    def refill(self) -> None:
        """Ask the producers for what is forwarded and not under way."""
        self._settle()
        half = self._producing
        if self.free:
            self._ask_each(lambda window: window.catch_up())
            return
        wanted = min(self.forwarded, half.capacity)
        if wanted > 0 and not self.deciding and not half.finishing:
            self._ask_each(lambda window: window.up_to(wanted))

    def handled(self, taken: Taken, result: Any, seconds: float) -> None:
        """As `Joint.handled`; then what is still wanted is asked for."""
        window = taken.incoming.automatic
        self._joint.handled(taken, result, seconds)
        if isinstance(window, Driven) and not taken.incoming.manual:
            window.handled(len(taken.events))
        self.refill()

    # --- within -----------------------------------------------------------------------------------

    def _begun(self, count: int) -> None:
        self.deciding = True
        self._in_hand = count
        self._mark = self._producing.emitted

    def _decided(self, result: Any) -> None:
        if result is not FORWARD and result is not HOLD:
            self._callbacks.returned(result, "handle_demand")
        self.deciding = False
        unanswered = max(0, self._in_hand - (self._producing.emitted - self._mark))
        self._undecided -= self._in_hand
        self._in_hand = 0
        if result is HOLD:
            self.held += unanswered
        self._go_free(result is FORWARD)
        self.refill()

    def _go_free(self, free: bool) -> None:
        if free == self.free:
            return
        self.free = free
        if free:
            self._ask_each(lambda window: window.set_free())
        else:
            for incoming in self._consuming.subscriptions.values():
                if isinstance(incoming.automatic, Driven):
                    incoming.automatic.free = False

    def _ask_each(self, more: Callable[[Driven], int]) -> None:
        for incoming in self._consuming.subscriptions.values():
            window = incoming.automatic
            # A manual subscription's demand is the behaviour's own to ask for.
            if not isinstance(window, Driven) or incoming.manual:
                continue
            if not incoming.ended and not incoming.broken:
                count = more(window)
                if count:
                    self._consuming.asking.want(incoming, count)

    def _settle(self) -> None:
        """What was emitted from elsewhere is owed no more, first of what is forwarded."""
        over = self.held + self._undecided - self._producing.requested
        if over > 0:
            self.held -= min(self.held, over)
        self._counters[Counter.HELD] = self.held
