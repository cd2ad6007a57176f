"""The fixed counters of one end of a link, by position on its half of the link's scoreboard slot.

A link's slot has two halves, one for each end, each with one writer. What was sent is on one half
and what was received on the other, so that what is in between can be read off, too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import IntEnum
from typing import Any, Protocol

from actorflow.stage.counters import Counter

__all__ = [
    "HALF_SIZE",
    "ConsumerMeter",
    "ConsumerTally",
    "LinkCounter",
    "LinkSlot",
    "Meter",
    "ProducerMeter",
    "ProducerTally",
    "named_half",
]

HALF_SIZE = 16
"""How many 64-bit counters a half holds: two cache lines, which the other end never writes to."""

LinkSlot = Any
"""One end's half, indexed like a list of integers; None when the link is not counted."""


class LinkCounter(IntEnum):
    """What each position of a half counts. Of the producer's: sent; of the consumer's: received.

    With asks and demand it is the other way round.
    """

    EVENTS = 0
    BATCHES = 1
    ASKS = 2
    DEMAND = 3
    WAITED = 4
    """The consumer's: nanoseconds from an ask to the first batch that answers it, of all sampled
    asks together."""
    ANSWERED = 5
    """How many asks have been sampled."""
    WAITING = 6
    """The producer's: events that wait in its dispatcher for this consumer, now."""
    REDELIVERED = 7
    LOST = 8


def named_half(half: Sequence[int]) -> Mapping[str, int]:
    """A half's counters by their lower-case names.

    Example:
        >>> named_half([0] * HALF_SIZE)["events"]
        0
    """
    return {counter.name.lower(): half[counter] for counter in LinkCounter}


_ASKS, _DEMAND = int(LinkCounter.ASKS), int(LinkCounter.DEMAND)
_EVENTS, _BATCHES = int(LinkCounter.EVENTS), int(LinkCounter.BATCHES)
_WAITED, _ANSWERED = int(LinkCounter.WAITED), int(LinkCounter.ANSWERED)
_WAITING = int(LinkCounter.WAITING)

# Looking a member of an enumeration up takes longer than counting.
_EVENTS_IN, _BATCHES_IN = int(Counter.EVENTS_IN), int(Counter.BATCHES_IN)
_EVENTS_OUT, _BATCHES_OUT = int(Counter.EVENTS_OUT), int(Counter.BATCHES_OUT)
_ASKS_IN, _DEMAND_IN = int(Counter.ASKS_IN), int(Counter.DEMAND_IN)
_ASKS_OUT, _DEMAND_OUT = int(Counter.ASKS_OUT), int(Counter.DEMAND_OUT)

ALL_OF_THE_FIRST = 16
ONE_IN = 8
"""Of the first asks of a link each is timed, later one in so many: a clock is read twice for it."""


class Meter(Protocol):
    """What a producer tells of its end of a link."""

    def asked(self, count: int) -> None:
        """An ask has come."""

    def sent(self, count: int, seq: int) -> None:
        """A batch is leaving, with its sequence number."""

    def waiting(self, count: int) -> None:
        """So many events wait in the dispatcher for this consumer."""

    def add(self, counter: LinkCounter, count: int) -> None:
        """Count something rare."""


class ProducerMeter:
    """Counts a producer's end.

    Args:
        slot: the producer's half.
    """

    __slots__ = ("_asks", "_demand", "_events", "_slot", "_waiting")

    def __init__(self, slot: LinkSlot) -> None:
        self._slot = slot
        self._asks = 0
        self._demand = 0
        self._events = 0
        self._waiting = 0

    def asked(self, count: int) -> None:
        """An ask has come."""
        slot = self._slot
        # Added up here and stored there, which costs less than adding up in the shared memory.
        slot[_ASKS] = self._asks = self._asks + 1
        slot[_DEMAND] = self._demand = self._demand + count

    def sent(self, count: int, seq: int) -> None:
        """A batch is leaving, with its sequence number."""
        slot = self._slot
        slot[_EVENTS] = self._events = self._events + count
        slot[_BATCHES] = seq

    def waiting(self, count: int) -> None:
        """So many events wait in the dispatcher for this consumer."""
        if count != self._waiting:
            self._waiting = self._slot[_WAITING] = count

    def add(self, counter: LinkCounter, count: int) -> None:
        """Count something rare."""
        self._slot[counter] += count


class ConsumerMeter:
    """Counts a consumer's end, and times how long an ask is open until the first event for it.

    Asks are answered in order: an ask's first event is the one after all that were asked for
    before. One ask is timed at a time.

    Args:
        slot: the consumer's half.
        now: the driver's clock, in seconds.

    Example:
        >>> slot, times = [0] * HALF_SIZE, iter([1.0, 1.5])
        >>> meter = ConsumerMeter(slot, lambda: next(times))
        >>> meter.asked(10)
        >>> meter.received(3, seq=1)
        >>> named_half(slot)["waited"], named_half(slot)["answered"]
        (500000000, 1)
    """

    __slots__ = ("_asks", "_demand", "_events", "_now", "_since", "_slot", "_threshold")

    def __init__(self, slot: LinkSlot, now: Callable[[], float]) -> None:
        self._slot = slot
        self._now = now
        self._asks = 0
        self._demand = 0
        self._events = 0
        self._since = 0.0
        self._threshold = -1
        """How many events come before the first for the ask that is timed; -1 for none."""

    def asked(self, count: int) -> None:
        """An ask is leaving."""
        slot = self._slot
        asks = self._asks = self._asks + 1
        if self._threshold < 0 and (asks <= ALL_OF_THE_FIRST or not asks % ONE_IN):
            self._threshold = self._demand
            self._since = self._now()
        slot[_ASKS] = asks
        slot[_DEMAND] = self._demand = self._demand + count

    def received(self, count: int, seq: int) -> None:
        """A batch has come, with its sequence number."""
        slot = self._slot
        events = self._events = self._events + count
        slot[_EVENTS] = events
        slot[_BATCHES] = seq
        if 0 <= self._threshold < events:
            slot[_WAITED] += int((self._now() - self._since) * 1e9)
            slot[_ANSWERED] += 1
            self._threshold = -1


class ProducerTally:
    """Counts the producer's ends of all links without a place, together, in the stage's own slot.

    What has a place is counted there alone: a stage's totals are the sum of both (see `observe`).

    Args:
        slot: the stage's.
    """

    __slots__ = ("_slot",)

    def __init__(self, slot: Any) -> None:
        self._slot = slot

    def asked(self, count: int) -> None:
        """An ask has come."""
        self._slot[_ASKS_IN] += 1
        self._slot[_DEMAND_IN] += count

    def sent(self, count: int, seq: int) -> None:
        """A batch is leaving."""
        self._slot[_EVENTS_OUT] += count
        self._slot[_BATCHES_OUT] += 1

    def waiting(self, count: int) -> None:
        """Nobody looks at one link without a place."""

    def add(self, counter: LinkCounter, count: int) -> None:
        """The stage has counted it."""


class ConsumerTally:
    """Counts the consumer's ends of all links without a place, together, in the stage's own slot.

    Args:
        slot: the stage's.
    """

    __slots__ = ("_slot",)

    def __init__(self, slot: Any) -> None:
        self._slot = slot

    def asked(self, count: int) -> None:
        """An ask is leaving."""
        self._slot[_ASKS_OUT] += 1
        self._slot[_DEMAND_OUT] += count

    def received(self, count: int, seq: int) -> None:
        """A batch has come."""
        self._slot[_EVENTS_IN] += count
        self._slot[_BATCHES_IN] += 1
