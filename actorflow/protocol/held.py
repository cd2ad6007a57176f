"""Events that are finished later than their callback returns: their window, their order.

A consumer that works on many events at once, one child for each, returns credit when an event's
work is over and not when its callback has returned. The rule is the one of every window: when no
more than `min_demand` events are asked for or being worked on, ask for what makes it `max_demand`
(GenStage's ConsumerSupervisor uses the same words for the opposite, its B14).
"""

from __future__ import annotations

from actorflow.protocol.demand import Batch, SubscriptionOptions, Window
from actorflow.protocol.pace import MAX_AUTO, Pace

__all__ = ["FinishedInOrder", "HeldAutoWindow", "HeldWindow", "held_window_for"]


class HeldWindow(Window):
    """A window whose credit returns event by event, when each is finished.

    A message is one batch, whatever its size. `outstanding` counts events that were asked for and
    are not finished: those under way and those being worked on.

    Example:
        >>> window = HeldWindow(10, 2)
        >>> window.open(), window.take(10)
        (10, 0)
        >>> [window.finished(1, 0.0) for _ in range(8)]
        [0, 0, 0, 0, 0, 0, 0, 8]
    """

    __slots__ = ("_coming", "_excess")

    switchable = False

    def __init__(self, max_demand: int, min_demand: int) -> None:
        super().__init__(max_demand, min_demand)
        self._coming = 0
        self._excess = 0

    def open(self) -> int:
        """As `Window.open`."""
        self._coming = super().open()
        return self._coming

    @property
    def under_way(self) -> int:
        """As `Window.under_way`: without those that are being worked on."""
        return self._coming

    def take(self, count: int) -> int | None:
        """No ask follows the callback; None when more has come than was asked for."""
        if count > self._coming:
            return None
        self._coming -= count
        return 0

    def split(self, count: int) -> list[Batch]:
        """One batch; what was not asked for is told, and will earn no refill."""
        credited = min(count, self._coming)
        self._coming -= credited
        self._excess += count - credited
        return [Batch(count, 0, count - credited)]

    def finished(self, count: int, seconds: float) -> int:
        """So many events are finished; returns how many to ask for.

        Args:
            count: how many, from 1.
            seconds: how long the work on them took, added up.
        """
        unasked = min(count, self._excess)
        self._excess -= unasked
        self.outstanding -= count - unasked
        if self.outstanding > self.min_demand:
            return 0
        ask = self.max_demand - self.outstanding
        self.outstanding = self.max_demand
        self._coming += ask
        return ask


class HeldAutoWindow(HeldWindow):
    """A held window that follows the time per event.

    It begins with one event for each place where one can be worked on, so that long jobs are not
    taken from other consumers only to wait here; `Pace` has the rule.

    Args:
        at_once: how many events are worked on at the same time, from 1.

    Example:
        >>> window = HeldAutoWindow(2)
        >>> window.open(), window.take(2), window.finished(1, 1e-6), window.max_demand
        (2, 0, 3, 4)
    """

    __slots__ = ("_pace", "heavy")

    def __init__(self, at_once: int) -> None:
        super().__init__(at_once, at_once // 2)
        self._pace = Pace(at_once)
        self.heavy = False

    def weigh(self, events: int, size: int) -> None:
        """As `Window.weigh`; what is too wide now is so no longer."""
        most = self._pace.weigh(events, size)
        self.heavy = most < MAX_AUTO
        self.narrow(most)

    def finished(self, count: int, seconds: float) -> int:
        """As `HeldWindow.finished`, after learning from the time it took."""
        self.max_demand = self._pace.wider(self.max_demand, count, seconds)
        self.min_demand = self.max_demand // 2
        return super().finished(count, seconds)


def held_window_for(options: SubscriptionOptions, at_once: int) -> HeldWindow:
    """The window that a subscription's options call for at a stage that finishes events later."""
    if options.max_demand == "auto":
        return HeldAutoWindow(at_once)
    return HeldWindow(options.max_demand, options.resolved_min_demand)


class FinishedInOrder:
    """Up to which batch everything is finished, whatever order they are finished in.

    Example:
        >>> order = FinishedInOrder()
        >>> order.finish(2), order.finish(1), order.finish(3)
        (0, 2, 3)
    """

    __slots__ = ("_ahead", "_up_to")

    def __init__(self) -> None:
        self._up_to = 0
        self._ahead: set[int] = set()

    def finish(self, seq: int) -> int:
        """Batch `seq` is finished; returns up to which one all are."""
        ahead = self._ahead
        ahead.add(seq)
        while self._up_to + 1 in ahead:
            self._up_to += 1
            ahead.remove(self._up_to)
        return self._up_to
