"""The demand dispatcher, the default: whoever has demand may get an event, the most first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from actorflow.dispatch.base import Delivery, Dispatched, Dispatcher
from actorflow.errors import OptionError
from actorflow.protocol.delivery import UnfinishedBatch
from actorflow.records import dataclass

if TYPE_CHECKING:
    from random import Random

__all__ = ["DemandDispatcher"]


@dataclass(slots=True)
class _Entry:
    ref: int
    credit: int = 0


class DemandDispatcher(Dispatcher):
    """Gives each batch to the consumer with the largest outstanding demand, equals in turn.

    Args:
        shuffle_demands_on_first_dispatch: deal the first batch in random order, so that the first
            consumer to subscribe does not take everything.
        seed: makes that order repeatable.
        chunk: deal in turns: each consumer with demand gets at most so many events, from 1, and
            then it is the next one's turn. None, the default, has no turns.

    Raises:
        OptionError: an option breaks its rule.

    Example:
        >>> dispatcher = DemandDispatcher()
        >>> dispatcher.subscribe(1, "a/0", {})
        >>> dispatcher.ask(1, 2)
        >>> done = dispatcher.dispatch(["x", "y", "z"], position=0)
        >>> done.deliveries[0].events, done.leftover
        (['x', 'y'], 1)

        Dealt in turns, a few events reach everybody:

        >>> dispatcher = DemandDispatcher(chunk=1)
        >>> for ref in (1, 2, 3):
        ...     dispatcher.subscribe(ref, f"consumer/{ref}", {})
        ...     dispatcher.ask(ref, 1000)
        >>> [(each.ref, each.events) for each in dispatcher.dispatch(["x", "y", "z"], 0).deliveries]
        [(1, ['x']), (2, ['y']), (3, ['z'])]

    Ideas from: GenStage's DemandDispatcher; for `chunk`, its FairDispatcher that was never merged.
    """

    holds = False

    capacity = 0
    """The sum of all credit. An attribute and no property, as it is looked at for every batch."""

    def __init__(
        self,
        *,
        shuffle_demands_on_first_dispatch: bool = False,
        seed: int | None = None,
        chunk: int | None = None,
    ) -> None:
        if type(shuffle_demands_on_first_dispatch) is not bool:
            raise OptionError(
                "shuffle_demands_on_first_dispatch",
                "true or false",
                shuffle_demands_on_first_dispatch,
            )
        if chunk is not None and (type(chunk) is not int or chunk < 1):
            raise OptionError("chunk", "an integer of at least 1, or none for no turns", chunk)
        self._chunk = chunk
        self._entries: list[_Entry] = []
        """The largest credit first; with turns, whose turn is next first."""
        self.capacity = 0
        self._shuffle = _generator(seed) if shuffle_demands_on_first_dispatch else None

    def subscribe(self, ref: int, consumer: str, options: Mapping[str, Any]) -> None:
        """Admit anyone; a consumer may subscribe more than once."""
        self._entries.append(_Entry(ref))

    def ask(self, ref: int, count: int) -> None:
        """Add to a subscription's credit."""
        entries = self._entries
        if len(entries) == 1 and entries[0].ref == ref:
            # One consumer is the usual case, and has no order to keep.
            entries[0].credit += count
            self.capacity += count
            return
        if self._chunk is not None:
            for entry in entries:
                if entry.ref == ref:
                    entry.credit += count
                    self.capacity += count
            return
        moved = self._take_out(ref)
        if moved is not None:
            self.capacity += count
            moved.credit += count
            self._put_in(moved)

    def dispatch(self, events: list[Any], position: int) -> Dispatched:
        """Deal events to the largest credit first; each consumer's share is one message."""
        entries = self._entries
        size = len(events)
        if len(entries) == 1 and entries[0].credit >= size:
            # One consumer that wants it all is the usual case.
            entries[0].credit -= size
            self.capacity -= size
            return Dispatched([Delivery(entries[0].ref, events, position)])
        shuffle, self._shuffle = self._shuffle, None
        if shuffle is not None:
            shuffle.shuffle(entries)
            # B6: a consumer without demand must not hide those behind it.
            entries.sort(key=lambda entry: entry.credit == 0)
        if self._chunk is not None:
            return self._deal(events, position, self._chunk)
        deliveries = []
        start = 0
        while start < size and entries and entries[0].credit:
            entry = entries[0]
            share = min(entry.credit, size - start)
            whole = share == size
            part = events if whole else events[start : start + share]
            deliveries.append(Delivery(entry.ref, part, position + start))
            start += share
            self.capacity -= share
            entry.credit -= share
            if len(entries) > 1:
                del entries[0]
                self._put_in(entry)
        if shuffle is not None:
            entries.sort(key=lambda entry: -entry.credit)
        return Dispatched(deliveries, size - start)

    def _deal(self, events: list[Any], position: int, chunk: int) -> Dispatched:
        """Turn by turn; two turns in a row of one consumer are one message."""
        deliveries: list[Delivery] = []
        entries = self._entries
        start, last = 0, len(events)
        while start < last and self.capacity:
            index = next(index for index, entry in enumerate(entries) if entry.credit)
            entry = entries.pop(index)
            share = min(chunk, entry.credit, last - start)
            part = events[start : start + share]
            if deliveries and deliveries[-1].ref == entry.ref:
                deliveries[-1].events += part
            else:
                deliveries.append(Delivery(entry.ref, part, position + start))
            start += share
            entry.credit -= share
            self.capacity -= share
            entries.append(entry)
        return Dispatched(deliveries, last - start)

    def suspend(self, ref: int) -> None:
        """Take the consumer out at once; its place in the order has no meaning here."""
        entry = self._take_out(ref)
        if entry is not None:
            self.capacity -= entry.credit

    def leave(self, ref: int, *, successor: bool = False) -> None:
        """Forget the consumer; nobody's place means anything here."""
        self.suspend(ref)

    def give_back(self, ref: int, batches: list[UnfinishedBatch]) -> list[UnfinishedBatch]:
        """Anyone may have what a consumer did not finish."""
        return batches

    def outstanding(self, ref: int) -> int:
        """The credit of one subscription."""
        return next((entry.credit for entry in self._entries if entry.ref == ref), 0)

    def _take_out(self, ref: int) -> _Entry | None:
        for index, entry in enumerate(self._entries):
            if entry.ref == ref:
                del self._entries[index]
                return entry
        return None

    def _put_in(self, entry: _Entry) -> None:
        """Insert before the first strictly smaller credit, so that equals stay first come."""
        credit = entry.credit
        entries = self._entries
        for index, other in enumerate(entries):
            if other.credit < credit:
                entries.insert(index, entry)
                return
        entries.append(entry)


def _generator(seed: int | None) -> Random:
    """Imported here: every process that is forked from one that has it makes a new seed for it."""
    from random import Random

    return Random(seed)
