"""Windows that ask for what somebody else wants, instead of keeping themselves full."""

from __future__ import annotations

from actorflow.protocol.demand import AutoWindow, Batch, SubscriptionOptions, Window

__all__ = ["Driven", "DrivenAutoWindow", "DrivenWindow", "driven_window_for"]


class Driven(Window):
    """What driven windows share: asks that nobody has called for are taken back."""

    switchable = False

    free: bool
    """Whether it goes by itself, as the window that it would be otherwise."""
    opened: bool
    """Whether it may ask: its subscription has been agreed to."""
    taken: int
    """Events that are in hand: taken from their message, and not handled yet."""
    _behind: bool
    """Whether something was in hand when it was set free, whose refill nobody has asked for."""

    def _begin(self) -> None:
        self.free = self.opened = self._behind = False
        self.taken = 0

    def open(self) -> int:
        """The first ask: nothing, unless it is free."""
        self.opened = True
        return super().open() if self.free else 0

    def up_to(self, wanted: int) -> int:
        """How many more to ask for so that `wanted` are outstanding; they count as asked."""
        more = min(wanted, self.max_demand) - self.outstanding - self.taken
        if more <= 0 or not self.opened:
            return 0
        self.outstanding += more
        return more

    def handled(self, count: int) -> None:
        """Events are in hand no more; what came after the subscription's end never counted."""
        self.taken = max(0, self.taken - count)

    def set_free(self) -> int:
        """Go by itself from now on; returns what it asks for at once."""
        self.free = self._behind = True
        return self.catch_up()

    def catch_up(self) -> int:
        """While free: what is to be asked for events that were in hand when it was set free."""
        if not self._behind:
            return 0
        self._behind = self.taken > 0
        low = self.outstanding + self.taken <= self.min_demand
        return self.up_to(self.max_demand) if low else 0

    def take(self, count: int) -> int | None:
        """As `Window.take`; unless it is free no ask follows."""
        ask = super().take(count)
        if ask is None:
            return None
        self.taken += count
        return self._kept(ask)

    def split(self, count: int) -> list[Batch]:
        """As `Window.split`; unless it is free no asks follow."""
        self.taken += count
        batches = super().split(count)
        for batch in batches:
            batch.ask = self._kept(batch.ask)
        return batches

    def arrived(self, count: int) -> None:
        """As `Window.arrived`."""
        self.taken += count
        super().arrived(count)

    def measured(self, events: int, seconds: float) -> int:
        """As `Window.measured`; unless it is free nothing is asked for."""
        return self._kept(super().measured(events, seconds))

    def _kept(self, ask: int) -> int:
        if self.free:
            return ask
        self.outstanding -= ask
        return 0


class DrivenWindow(Driven):
    """A window that is filled up to what is wanted, and never above its `max_demand`.

    Example:
        >>> window = DrivenWindow(10, 5)
        >>> window.open(), window.up_to(4), window.up_to(6), window.up_to(99)
        (0, 4, 2, 4)
        >>> window.take(4), window.up_to(99), window.handled(4), window.up_to(7)
        (0, 0, None, 1)
        >>> window.set_free(), window.take(3)
        (0, 6)
    """

    def __init__(self, max_demand: int, min_demand: int) -> None:
        super().__init__(max_demand, min_demand)
        self._begin()


class DrivenAutoWindow(Driven, AutoWindow):
    """A driven window of ``max_demand: auto``: as wide as the measured time per event allows."""

    def __init__(self) -> None:
        super().__init__()
        self._begin()


def driven_window_for(options: SubscriptionOptions) -> DrivenWindow | DrivenAutoWindow:
    """The driven window that a subscription's options call for."""
    if options.max_demand == "auto":
        return DrivenAutoWindow()
    return DrivenWindow(options.max_demand, options.resolved_min_demand)
