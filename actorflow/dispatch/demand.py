"""The demand dispatcher, the default: each event goes to the consumer with the most demand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from actorflow.dispatch.base import Delivery, Dispatched, Dispatcher
from actorflow.errors import OptionError
from actorflow.protocol.delivery import UnfinishedBatch

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

    Example:
        >>> dispatcher = DemandDispatcher()
        >>> dispatcher.subscribe(1, "a/0", {})
        >>> dispatcher.ask(1, 2)
        >>> dispatcher.dispatch(["x", "y", "z"], position=0)
        Dispatched(deliveries=[Delivery(ref=1, events=['x', 'y'], position=0)], leftover=1)
    """

    holds = False

    def __init__(
        self, *, shuffle_demands_on_first_dispatch: bool = False, seed: int | None = None
    ) -> None:
        if type(shuffle_demands_on_first_dispatch) is not bool:
            raise OptionError(
                "shuffle_demands_on_first_dispatch",
                "true or false",
                shuffle_demands_on_first_dispatch,
            )
        self._entries: list[_Entry] = []
        self._total = 0
        self._shuffle = Random(seed) if shuffle_demands_on_first_dispatch else None

    @property
    def capacity(self) -> int:
        """The sum of all credit."""
        return self._total

    def subscribe(self, ref: int, consumer: str, options: Mapping[str, Any]) -> None:
        """Admit anyone; a consumer may subscribe more than once."""
        self._entries.append(_Entry(ref))

    def ask(self, ref: int, count: int) -> None:
        """Add to a subscription's credit."""
        entries = self._entries
        if len(entries) == 1 and entries[0].ref == ref:
            # One consumer is the usual case, and has no order to keep.
            entries[0].credit += count
            self._total += count
            return
        entry = self._take_out(ref)
        if entry is not None:
            self._total += count
            entry.credit += count
            self._put_in(entry)

    def dispatch(self, events: list[Any], position: int) -> Dispatched:
        """Deal events to the largest credit first; each consumer's share is one message."""
        entries = self._entries
        size = len(events)
        if len(entries) == 1 and entries[0].credit >= size:
            # One consumer that wants it all is the usual case.
            entries[0].credit -= size
            self._total -= size
            return Dispatched([Delivery(entries[0].ref, events, position)])
        shuffle, self._shuffle = self._shuffle, None
        if shuffle is not None:
            shuffle.shuffle(entries)
            # B6: a consumer without demand must not hide those behind it.
            entries.sort(key=lambda entry: entry.credit == 0)
        deliveries = []
        start = 0
        while start < size and entries and entries[0].credit:
            entry = entries[0]
            share = min(entry.credit, size - start)
            whole = share == size
            part = events if whole else events[start : start + share]
            deliveries.append(Delivery(entry.ref, part, position + start))
            start += share
            self._total -= share
            entry.credit -= share
            if len(entries) > 1:
                del entries[0]
                self._put_in(entry)
        if shuffle is not None:
            entries.sort(key=lambda entry: -entry.credit)
        return Dispatched(deliveries, size - start)

    def suspend(self, ref: int) -> None:
        """Take the consumer out at once; its place in the order has no meaning here."""
        entry = self._take_out(ref)
        if entry is not None:
            self._total -= entry.credit

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
