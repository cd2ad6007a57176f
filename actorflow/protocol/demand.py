"""Demand: a subscription's options, and the window that says when to ask for how much."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any, Literal

import msgpack

from actorflow.errors import OptionError
from actorflow.protocol.messages import MAX_COUNT
from actorflow.protocol.pace import MAX_AUTO, Pace
from actorflow.protocol.rate import RateLimit
from actorflow.protocol.reasons import CANCEL_MODES
from actorflow.records import dataclass

__all__ = [
    "AutoWindow",
    "Batch",
    "ManualWindow",
    "SubscriptionOptions",
    "Window",
    "window_for",
]

_ON_THE_WIRE = ("max_demand", "min_demand", "cancel", "rate", "burst")


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionOptions:
    """How a consumer takes events from a producer.

    Args:
        max_demand: how many events may be under way to the consumer, from 1; or ``"auto"``, which
            starts at 1 and follows the measured time per event.
        min_demand: when no more than this many are left, the consumer asks again; from 0 to
            ``max_demand - 1``. The default is half of `max_demand`.
        cancel: what the consumer does when the subscription ends: ``"permanent"`` ends with it,
            ``"transient"`` ends when the reason is not an orderly one, ``"temporary"`` goes on.
        rate: at most so many events per second, above 0; None for no limit.
        burst: with a rate, how many may come at once after a quiet time, from 1; the default is
            what the rate gives in a tenth of a second.
        extra: options for the producer's dispatcher, such as ``partition`` or ``selector``: plain
            data, since it travels to another process; a function by its ``module:name``.

    Raises:
        OptionError: a value breaks its rule.

    Example:
        >>> SubscriptionOptions(max_demand=10).resolved_min_demand
        5
        >>> SubscriptionOptions(max_demand=0)
        Traceback (most recent call last):
        ...
        actorflow.errors.OptionError: max_demand must be an integer of at least 1, or auto, got 0
    """

    max_demand: int | Literal["auto"] = "auto"
    min_demand: int | None = None
    cancel: str = "permanent"
    rate: float | None = None
    burst: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        limit = self.max_demand
        if limit != "auto" and (type(limit) is not int or limit < 1):
            raise OptionError("max_demand", "an integer of at least 1, or auto", limit)
        if limit != "auto" and limit > MAX_COUNT:
            raise OptionError("max_demand", f"at most {MAX_COUNT}", limit)
        low = self.min_demand
        if low is not None:
            if limit == "auto":
                raise OptionError(
                    "min_demand", "left out while max_demand is auto", low, "give max_demand too"
                )
            if type(low) is not int or not 0 <= low < limit:
                rule = f"an integer from 0 to {limit - 1} (max_demand - 1)"
                raise OptionError("min_demand", rule, low)
        if not isinstance(self.extra, Mapping):
            raise OptionError("extra", "a map from names to plain data", self.extra)
        if self.cancel not in CANCEL_MODES:
            raise OptionError("cancel", "one of " + ", ".join(CANCEL_MODES), self.cancel)
        RateLimit.of(self.rate, self.burst)
        for name, value in self.extra.items():
            _refuse_unless_plain(name, value)

    @property
    def resolved_min_demand(self) -> int:
        """`min_demand` as given, or half of `max_demand`."""
        if self.min_demand is not None:
            return self.min_demand
        return 0 if self.max_demand == "auto" else self.max_demand // 2

    @property
    def limit(self) -> RateLimit | None:
        """`rate` and `burst` together, or None without a rate."""
        return RateLimit.of(self.rate, self.burst)

    def to_wire(self) -> dict[str, Any]:
        """The options as plain data for a subscribe message."""
        limited = {"rate": self.rate, "burst": self.burst} if self.rate is not None else {}
        return {
            **self.extra,
            "max_demand": self.max_demand,
            "min_demand": self.min_demand,
            "cancel": self.cancel,
            **limited,
        }

    @classmethod
    def from_wire(cls, data: Mapping[str, Any]) -> SubscriptionOptions:
        """Read what `to_wire` wrote, and what a peer in another language might write.

        Raises:
            OptionError: a value breaks its rule.
        """
        known = {key: data[key] for key in _ON_THE_WIRE if key in data}
        extra = {key: value for key, value in data.items() if key not in known}
        return cls(**known, extra=extra)


def _refuse_unless_plain(name: object, value: Any) -> None:
    """Refuse here what could not be sent with a subscription."""
    try:
        msgpack.packb(value, unicode_errors="backslashreplace")
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        hint = "a function is given as 'module:name'" if callable(value) else str(error)
        rule = "plain data, which can travel to another process"
        raise OptionError(str(name), rule, value, hint) from None


@dataclass(slots=True)
class Batch:
    """A part of a message that is handled in one callback, and the ask that follows it.

    Not frozen: one is made per batch.
    """

    size: int
    ask: int
    excess: int = 0


class Window:
    """An automatic subscription's demand, exactly GenStage's (its section 4).

    A message is cut into batches of at most ``max - min`` events; after a batch that leaves no more
    than `min` outstanding the consumer asks for what brings it back to `max`.

    Example:
        >>> window = Window(10, 5)
        >>> window.open()
        10
        >>> window.split(10)
        [Batch(size=5, ask=5, excess=0), Batch(size=5, ask=5, excess=0)]
    """

    __slots__ = ("max_demand", "min_demand", "outstanding")

    adapts = False
    """Whether `measured` has anything to learn."""

    switchable = True
    """Whether its stage may ask by itself for a while instead."""

    heavy = False
    """Whether the size of its messages limits it, so that each is to be weighed."""

    def __init__(self, max_demand: int, min_demand: int) -> None:
        self.max_demand = max_demand
        self.min_demand = min_demand
        self.outstanding = 0

    def open(self) -> int:
        """The first ask; or a later one, of what is missing when no more than `min` are left."""
        if self.outstanding > self.min_demand:
            return 0
        ask = self.max_demand - self.outstanding
        self.outstanding = self.max_demand
        return ask

    def take(self, count: int) -> int | None:
        """The ask that follows a message that is one batch; None when it has to be `split`."""
        left = self.outstanding - count
        if left < 0 or count > self.max_demand - self.min_demand:
            return None
        if left <= self.min_demand:
            self.outstanding = self.max_demand
            return self.max_demand - left
        self.outstanding = left
        return 0

    def split(self, count: int) -> list[Batch]:
        """Cut a message of `count` events into batches; the asks count as sent.

        Events that were not asked for are handled too, but earn no refill; `Batch.excess` tells.
        """
        limit = self.max_demand - self.min_demand
        owed, left = self.outstanding, self.outstanding
        batches = []
        while count > 0:
            size = min(limit, count)
            count -= size
            credited = min(size, owed)
            owed -= credited
            left -= credited
            ask = 0
            if left <= self.min_demand:
                ask = self._refill(left)
                left += ask
            batches.append(Batch(size, ask, size - credited))
        self.outstanding = left
        return batches

    def measured(self, events: int, seconds: float) -> int:
        """Learn what a batch took; returns how many more events to ask for at once."""
        return 0

    def learn(self, events: int, seconds: float) -> int:
        """Learn what a batch took; returns by how much the window has grown."""
        return 0

    def _refill(self, left: int) -> int:
        """What is to be asked for when so many are left, no more than `min`."""
        return self.max_demand - left

    def weigh(self, events: int, size: int) -> None:
        """Learn how many bytes a message of so many events had."""

    def narrow(self, most: int) -> None:
        """Be no wider than so many events, from 1."""
        if most < self.max_demand:
            self.max_demand = most
            self.min_demand = most // 2

    @property
    def under_way(self) -> int:
        """Events that were asked for, or count as asked for, and have not been taken."""
        return self.outstanding

    def retake(self, count: int) -> int:
        """The ask that follows a batch which is in hand already, whatever its size."""
        ask = Window.take(self, count)
        return ask if ask is not None else sum(each.ask for each in Window.split(self, count))

    def arrived(self, count: int) -> None:
        """So many events came, and none will be asked for in their place."""
        self.outstanding = max(0, self.outstanding - count)


class AutoWindow(Window):
    """A window that follows the time per event, so that no option has to be set.

    It starts at one event, so that a few long jobs spread over all consumers; `Pace` has the rule.
    """

    __slots__ = ("_in_hand", "_pace", "heavy")

    adapts = True

    def __init__(self) -> None:
        super().__init__(1, 0)
        self._in_hand = 0
        self._pace = Pace()
        self.heavy = False

    def take(self, count: int) -> int | None:
        """As `Window.take`."""
        left = self.outstanding - count
        if left < 0 or count > self.max_demand - self.min_demand:
            return None
        self._in_hand += count
        ask = self._refill(left) if left <= self.min_demand else 0
        self.outstanding = left + ask
        return ask

    def split(self, count: int) -> list[Batch]:
        """As `Window.split`."""
        self._in_hand += count
        return super().split(count)

    def measured(self, events: int, seconds: float) -> int:
        """Learn what a batch took; returns how many more events to ask for at once."""
        grown = self.learn(events, seconds)
        # While batches wait in hand they take up window: their own asks will grow it.
        if grown <= 0 or self._in_hand or self.outstanding > self.min_demand:
            return 0
        ask = self._refill(self.outstanding)
        self.outstanding += ask
        return ask

    def weigh(self, events: int, size: int) -> None:
        """As `Window.weigh`; what is too wide now is so no longer."""
        most = self._pace.weigh(events, size)
        self.heavy = most < MAX_AUTO
        self.narrow(most)

    def _refill(self, left: int) -> int:
        # Whole batches, one at least. While the window changes its width asks are of any size, and
        # asking for exactly what is missing would keep them so: one small batch, one that has to be
        # split, and a producer that waits in between.
        ask = self.max_demand - left
        return ask - ask % (self.max_demand - self.min_demand)

    def arrived(self, count: int) -> None:
        """As `Window.arrived`."""
        self._in_hand += count
        super().arrived(count)

    def learn(self, events: int, seconds: float) -> int:
        """As `Window.learn`."""
        target = self._pace.wider(self.max_demand, events, seconds)
        grown = target - self.max_demand
        self.max_demand = target
        self.min_demand = target // 2
        self._in_hand -= events
        return grown


class ManualWindow:
    """What takes batches while a stage asks by itself: a message is one batch, and earns no ask.

    Args:
        automatic: the subscription's own window, whose books it keeps, so that the subscription can
            be switched back without asking for what is under way already.

    Example:
        >>> window = Window(10, 5)
        >>> window.outstanding = 50
        >>> ManualWindow(window).take(45), window.outstanding, window.open()
        (0, 5, 5)
    """

    __slots__ = ("adapts", "automatic")

    def __init__(self, automatic: Window) -> None:
        self.automatic = automatic
        self.adapts = automatic.adapts

    def take(self, count: int) -> int | None:
        """As `Window.take`: never an ask, and never a split."""
        self.automatic.arrived(count)
        return 0

    def split(self, count: int) -> list[Batch]:
        """As `Window.split`: one batch."""
        self.automatic.arrived(count)
        return [Batch(count, 0)]

    def measured(self, events: int, seconds: float) -> int:
        """Learn what a batch took, for later."""
        self.automatic.learn(events, seconds)
        return 0


def window_for(options: SubscriptionOptions) -> Window:
    """The window that a subscription's options call for."""
    if options.max_demand == "auto":
        return AutoWindow()
    return Window(options.max_demand, options.resolved_min_demand)
