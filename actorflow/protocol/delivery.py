"""Delivery: what a producer keeps until it is acknowledged, and how a consumer knows what to say.

Sequence numbers count the batches of a subscription from 1. An acknowledgement is cumulative.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import Any, Self

from actorflow.errors import ProtocolError
from actorflow.records import dataclass

__all__ = ["Attempt", "Lineage", "Origin", "Unfinished", "UnfinishedBatch", "Unkept"]


@dataclass(frozen=True, slots=True)
class Attempt:
    """Which delivery of an event this is, when its consumer died of an earlier one, or may have.

    Args:
        number: counts the deliveries, from 1; this one is at least the second.
        alone: whether it was the only one in hand at the last death, so that nothing else is to
            blame.
        failure: what that death was, as `Failure.to_wire` has it; empty when it was not alone.
        buried: whether it was given up, and its dead letter is kept: it only has to be finished.

    Example:
        >>> again = Attempt(2, alone=False, failure={}).again(alone=True, failure={})
        >>> again.number, again.alone
        (3, True)
    """

    number: int
    alone: bool
    failure: dict[str, Any]
    buried: bool = False

    def again(self, *, alone: bool, failure: dict[str, Any]) -> Self:
        """The next one, after another death."""
        return type(self)(self.number + 1, alone, failure)


FIRST = Attempt(1, alone=False, failure={})

_NOTHING: deque[Any] = deque()
"""What a subscription keeps on which nothing was sent: a queue of its own takes 760 bytes."""


@dataclass(frozen=True, slots=True)
class UnfinishedBatch:
    """A batch that was sent and is not yet acknowledged.

    Args:
        seq: its sequence number.
        events: its events, in order.
        position: the place of its first event in the order of emission (see `Lineage`).
        attempt: which delivery it is, when a consumer has died of an earlier one.

    Example:
        >>> UnfinishedBatch(seq=1, events=["a", "b"], position=10).events
        ['a', 'b']
    """

    seq: int
    events: list[Any]
    position: int
    attempt: Attempt | None = None


class Unfinished:
    """A producer's store of one subscription's unacknowledged batches, bounded by its demand.

    Example:
        >>> store = Unfinished()
        >>> store.sent(["a", "b"], position=0), store.sent(["c"], position=2)
        (1, 2)
        >>> store.acknowledge(1)
        2
        >>> [batch.events for batch in store.give_back()]
        [['c']]
    """

    __slots__ = (
        "_attempts",
        "_events",
        "_in_order",
        "_positions",
        "_suspects",
        "acked",
        "count",
        "seq",
    )

    def __init__(self) -> None:
        # What is kept of a batch, in two queues, as an object for each would take longer. Sequence
        # numbers have no gaps, so they are known: the last is `seq`.
        self._events: deque[list[Any]] = _NOTHING
        self._positions: deque[int] = _NOTHING
        self._attempts: dict[int, Attempt] = {}
        self._suspects: dict[int, Attempt] = {}
        self._in_order = True
        self.seq = 0
        self.acked = 0
        self.count = 0

    def sent(self, events: list[Any], position: int) -> int:
        """Remember a batch that is about to be sent; returns its sequence number."""
        positions = self._positions
        if not positions:
            self._in_order = True
            if positions is _NOTHING:
                self._events, self._positions = deque(), deque()
                positions = self._positions
        elif position < positions[-1]:
            self._in_order = False  # another consumer's unfinished batch, sent again here
        positions.append(position)
        self._events.append(events)
        self.count += len(events)
        self.seq += 1
        return self.seq

    def acknowledge(self, seq: int) -> int:
        """Every batch up to `seq` is finished; returns how many events that newly finishes.

        Raises:
            ProtocolError: ``bad_acknowledgement``: a batch that was never sent. An older number
                than before is no news and no error.
        """
        if seq > self.seq:
            raise _never_sent(seq, self.seq)
        if seq <= self.acked:
            return 0
        self.acked = seq
        events, positions = self._events, self._positions
        finished = 0
        for _ in range(len(events) - self.seq + seq):
            finished += len(events.popleft())
            positions.popleft()
        self.count -= finished
        return finished

    def attempted(self, attempt: Attempt) -> None:
        """The batch that was sent last, of one event, is another attempt at it."""
        self._attempts = {seq: it for seq, it in self._attempts.items() if seq > self.acked}
        self._attempts[self.seq] = attempt

    def suspect(self, seq: int, failure: dict[str, Any]) -> None:
        """The consumer died with this batch in hand: each of its events will come alone.

        So the one that kills its consumer is found by the next death, and the others are finished
        before it.

        Args:
            seq: the batch.
            failure: how the consumer died, as `Failure.to_wire` has it.
        """
        for batch in self.kept:
            if batch.seq == seq:
                before = batch.attempt or FIRST
                alone = len(batch.events) == 1
                # Of several nobody knows whose failure it is, and each would carry it.
                self._suspects[seq] = before.again(alone=alone, failure=failure if alone else {})

    def bury(self, seq: int) -> None:
        """The consumer has given this batch's event up, and its dead letter is kept."""
        attempt = self._attempts.get(seq)
        if attempt is not None:
            self._suspects[seq] = replace(attempt, buried=True)

    def give_back(self) -> list[UnfinishedBatch]:
        """Take out everything unfinished, oldest first, to be dispatched again."""
        batches = self.kept
        self._events.clear()
        self._positions.clear()
        self.count = 0
        suspects, self._suspects, self._attempts = self._suspects, {}, {}
        if not suspects:
            return batches
        split = (
            _singles(batch, suspects[batch.seq]) if batch.seq in suspects else [batch]
            for batch in batches
        )
        return [batch for several in split for batch in several]

    def lose(self) -> int:
        """The consumer is gone: how many events it may not have had, and nobody will have again."""
        return 0

    @property
    def kept(self) -> list[UnfinishedBatch]:
        """Every batch that is not acknowledged, oldest first."""
        first = self.seq - len(self._events) + 1
        batches = zip(self._events, self._positions, strict=True)
        attempt = self._attempts.get
        return [
            UnfinishedBatch(seq, events, position, attempt(seq))
            for seq, (events, position) in enumerate(batches, first)
        ]

    @property
    def first_position(self) -> int | None:
        """The lowest place of an unfinished event, or None when all is finished."""
        if not self._positions:
            return None
        return self._positions[0] if self._in_order else min(self._positions)


def _never_sent(seq: int, last: int) -> ProtocolError:
    return ProtocolError("bad_acknowledgement", f"batch {seq} acknowledged of {last}")


def _singles(batch: UnfinishedBatch, attempt: Attempt) -> list[UnfinishedBatch]:
    """A batch event by event, each another attempt."""
    return [
        UnfinishedBatch(batch.seq, [event], batch.position + offset, attempt)
        for offset, event in enumerate(batch.events)
    ]


class Unkept(Unfinished):
    """The store under ``at_most_once``: it keeps no events, and counts those not acknowledged.

    Example:
        >>> store = Unkept()
        >>> store.sent(["a", "b"], position=0), store.sent(["c"], position=2)
        (1, 2)
        >>> store.acknowledge(1), store.count, store.give_back(), store.lose()
        (0, 0, [], 1)
    """

    __slots__ = ("_sizes",)

    def __init__(self) -> None:
        super().__init__()
        self._sizes: deque[int] = deque()

    def sent(self, events: list[Any], position: int) -> int:
        """Remember how many events are about to be sent; returns their sequence number."""
        self._sizes.append(len(events))
        self.seq += 1
        return self.seq

    def acknowledge(self, seq: int) -> int:
        """Every batch up to `seq` is finished; none of it was unfinished.

        Raises:
            ProtocolError: as `Unfinished.acknowledge`.
        """
        if seq > self.seq:
            raise _never_sent(seq, self.seq)
        self.acked = max(self.acked, seq)
        for _ in range(len(self._sizes) - self.seq + seq):
            self._sizes.popleft()
        return 0

    def attempted(self, attempt: Attempt) -> None:
        """Nothing is attempted again."""

    def lose(self) -> int:
        """How many events were on their way, or in hand, or finished without a word of it yet."""
        lost = sum(self._sizes)
        self._sizes.clear()
        return lost


@dataclass(slots=True)
class Origin:
    """An input batch of a producer-consumer: finished when everything made from it is.

    Args:
        ref: the input's subscription.
        seq: its sequence number.
        handled: whether all of its callbacks have returned.
        end: the place in the order of emission after its last output.
    """

    ref: int
    seq: int
    handled: bool = False
    end: int = 0


class Lineage:
    """Which inputs are finished: those whose outputs all are, or that had none.

    Every event that a stage emits has a place in the order of emission. An input is finished when
    its callbacks have returned and no event before the place after its last output is unfinished.
    One number, the lowest unfinished place, decides for all inputs, so the cost is per batch.

    Example:
        >>> lineage = Lineage()
        >>> origin = lineage.begin(ref=7, seq=1)
        >>> lineage.handled(origin, emitted=5)
        >>> lineage.finished(lowest_unfinished=4), lineage.finished(lowest_unfinished=5)
        ([], [Origin(ref=7, seq=1, handled=True, end=5)])
    """

    __slots__ = ("_open",)

    def __init__(self) -> None:
        self._open: deque[Origin] = deque()

    def begin(self, ref: int, seq: int) -> Origin:
        """An input batch has been taken in hand."""
        origin = Origin(ref, seq)
        self._open.append(origin)
        return origin

    def handled(self, origin: Origin, emitted: int) -> None:
        """The input's callbacks are over; `emitted` events have been emitted so far in all."""
        origin.handled = True
        origin.end = emitted

    def finished(self, lowest_unfinished: int) -> list[Origin]:
        """Take out the inputs that are finished now, in order."""
        done = []
        while self._open and self._open[0].handled and self._open[0].end <= lowest_unfinished:
            done.append(self._open.popleft())
        return done

    def __len__(self) -> int:
        return len(self._open)
