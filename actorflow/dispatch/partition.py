"""The partition dispatcher: a function of each event says which consumer gets it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

from actorflow.dispatch.base import Delivery, Dispatched, Dispatcher, Told
from actorflow.dispatch.partition_function import PartitionFunction, is_hashable
from actorflow.dispatch.partition_queue import Mark, Partition, Said
from actorflow.errors import OptionError, Refused
from actorflow.protocol.delivery import UnfinishedBatch
from actorflow.protocol.reasons import brief, plain

__all__ = ["PartitionDispatcher"]

_WHEN_UNASSIGNED = ("hold", "drop")


class PartitionDispatcher(Dispatcher):
    """Routes each event to the partition that a function of the event names.

    Args:
        partitions: how many partitions, from 1 (then they are 0, 1, …), or their names.
        by: a function of the event (or its ``module:name``) that returns the partition, or None to
            drop the event; a dropped event is credited back to the producer. With numbered
            partitions it may be left out: then `stable_hash` modulo their number is used.
        when_unassigned: what becomes of the events of a partition whose consumer has left for good
            and that nobody else has taken: ``"hold"`` lets them wait for the next one, ``"drop"``
            drops them, which is counted, logged and told to `handle_discarded`.

    One consumer per partition: it subscribes with the option ``partition``. What is routed to a
    partition without demand waits there, and counts against the demand of all: a hot partition
    slows the producer down; at most the total demand waits.

    Raises:
        OptionError: bad partitions, names without a function, or another bad option.

    Example:
        >>> dispatcher = PartitionDispatcher(partitions=["even", "odd"],
        ...                                  by=lambda n: "odd" if n % 2 else "even")
        >>> dispatcher.subscribe(1, "odds/0", {"partition": "odd"})
        >>> dispatcher.ask(1, 9)
        >>> dispatcher.dispatch([1, 2, 3], 0).deliveries
        [Delivery(ref=1, events=[1, 3], position=0, attempt=None)]
    """

    may_drop = True

    def __init__(
        self,
        *,
        partitions: int | Iterable[Hashable] = (),
        by: Any = None,
        when_unassigned: str = "hold",
    ) -> None:
        self._function = PartitionFunction(partitions, by)
        if when_unassigned not in _WHEN_UNASSIGNED:
            rule = "one of " + ", ".join(_WHEN_UNASSIGNED)
            raise OptionError("when_unassigned", rule, when_unassigned)
        self.discards = when_unassigned == "drop"
        self._partitions: dict[Hashable, Partition] = {
            name: Partition() for name in self._function.names
        }
        self._credit = self._queued = 0
        """Of all partitions together."""
        self._of_ref: dict[int, Hashable] = {}
        self._expected: set[str] = set()
        self._passed: list[object] = []
        self._discarded: list[Any] = []
        self._stale: dict[Hashable, Partition] = {}
        """Those whose queue may have something that can leave."""
        self._changed = self._stranded = False

    @property
    def names(self) -> tuple[Hashable, ...]:
        """The partitions, in order."""
        return self._function.names

    @property
    def capacity(self) -> int:
        """The total credit, less what waits for partitions without."""
        free = self._credit - self._queued
        return max(0, free)

    @property
    def queued(self) -> int:
        """How many events wait for their partition's consumer."""
        return self._queued

    @property
    def stranded(self) -> bool:
        """Whether events wait in a partition that nobody has, and nobody is about to take."""
        return self._stranded

    def held_events(self) -> list[Any]:
        """What is queued for any partition, in the order of emission."""
        held = [pair for part in self._partitions.values() for pair in part.held]
        return [event for _, event in sorted(held, key=lambda pair: pair[0])]

    @property
    def first_position(self) -> int | None:
        """The place of the oldest waiting event."""
        heads = (part.first_position for part in self._partitions.values())
        return min((head for head in heads if head is not None), default=None)

    def expect(self, consumer: str) -> None:
        """Until all who are declared have come, no partition counts as left for good."""
        self._expected.add(consumer)

    def expect_no_more(self, consumer: str) -> None:
        """That stage will not take a partition."""
        self._expect_less(consumer)

    def subscribe(self, ref: int, consumer: str, options: Mapping[str, Any]) -> None:
        """Admit the consumer of a free partition."""
        self._admit(self._free(options), ref, consumer)

    def replace(self, old: int, ref: int, consumer: str, options: Mapping[str, Any]) -> None:
        """Hand the partition over, or exchange it for another."""
        name = self._free(options, besides=old)
        self._admit(name, ref, consumer)
        self.leave(old)

    def _free(self, options: Mapping[str, Any], besides: int | None = None) -> Hashable:
        """The partition that is asked for, if it exists and nobody else has it."""
        if "partition" not in options:
            detail = f"the option partition is missing; partitions: {self._function.known}"
            raise Refused("bad_option", detail)
        given = options["partition"]
        name = _as_name(given)
        part = self._partitions.get(name) if is_hashable(name) else None
        if part is None or type(name) is bool:
            detail = f"unknown partition {brief(given)}; partitions: {self._function.known}"
            raise Refused("bad_option", detail)
        if part.reachable and part.ref != besides:
            detail = f"partition {name!r} is taken; partitions: {self._function.known}"
            raise Refused("bad_option", detail)
        found: Hashable = name
        return found

    def _admit(self, name: Hashable, ref: int, consumer: str) -> None:
        part = self._partitions[name]
        self._drop_credit(part)
        part.ref, part.suspended, part.awaited = ref, False, None
        self._of_ref[ref] = name
        self._stale[name] = part
        self._changed = True
        if self._stranded:
            self._stranded = any(each.vacant and each.events for each in self._partitions.values())
        self._expect_less(consumer)

    def ask(self, ref: int, count: int) -> None:
        """Credit a partition."""
        part = self._served_by(ref)
        if part is not None:
            part.credit += count
            self._credit += count
            if part.queue:
                self._stale[self._of_ref[ref]] = part

    def ready(self) -> Sequence[Delivery | Told]:
        """What waits in partitions that have credit, in one message unless something was said."""
        if not self._stale:
            return ()
        stale, self._stale = self._stale, {}
        self._changed = True
        found: list[Delivery | Told] = []
        for part in stale.values():
            before = part.events
            found += part.take_ready(self._pass)
            self._queued -= before - part.events
            self._credit -= before - part.events
        return found

    def dispatch(self, events: list[Any], position: int) -> Dispatched:
        """Route each event; those for a partition with credit leave, the rest waits there.

        Raises:
            PartitionError: the function fails for an event; then none of them is taken.
        """
        groups, taken = self._route(events)
        deliveries: list[Delivery] = []
        dropped: list[int] = []
        for name, group in groups.items():
            part = self._partitions[name]
            part.routed += len(group)
            rest = group
            if part.credit and part.ref is not None:
                rest = group[part.credit :]
                chosen = [events[at] for at in (group[: part.credit] if rest else group)]
                part.credit -= len(chosen)
                self._credit -= len(chosen)
                deliveries.append(Delivery(part.ref, chosen, position + group[0]))
                if not rest:
                    continue
            elif self._is_unassigned(part):
                dropped += group
                continue
            part.put(events, rest, position)
            self._queued += len(rest)
            self._changed = True
            if part.ref is None:
                self._settle_vacant([part])
        if dropped:
            self._discarded += [events[at] for at in sorted(dropped)]
        return Dispatched(deliveries, len(events) - taken)

    def suspend(self, ref: int) -> None:
        """Stop sending to a partition; its events wait."""
        part = self._served_by(ref)
        if part is not None:
            part.suspended = True
            self._drop_credit(part)

    def leave(self, ref: int, *, successor: bool = False) -> None:
        """Free the partition.

        What is queued there waits for its next consumer (B3), or is dropped when that is wanted and
        none is coming.
        """
        name = self._of_ref.get(ref)
        if name is None:
            return
        self._changed = True
        part = self._partitions[name]
        if part.ref == ref:
            self._drop_credit(part)
            part.ref, part.suspended = None, False
            part.awaited = ref if successor else None
        elif part.awaited == ref and not successor:
            part.awaited = None
        self._settle_vacant([part])

    def give_back(self, ref: int, batches: list[UnfinishedBatch]) -> list[UnfinishedBatch]:
        """Put it first in line in its partition, unless nobody is to get it there."""
        name = self._of_ref.get(ref)
        if name is None:
            return batches
        part = self._partitions[name]
        if not self._is_unassigned(part):
            before = part.events
            part.put_back(batches)
            self._queued += part.events - before
            self._stale[name] = part
            self._changed = True
            self._settle_vacant([part])
        return []

    def forget(self, ref: int) -> None:
        """Drop what is remembered of a subscription that is over."""
        self._of_ref.pop(ref, None)

    def outstanding(self, ref: int) -> int:
        """The credit of one subscription."""
        part = self._served_by(ref)
        return part.credit if part is not None else 0

    def waiting_for(self, ref: int) -> int:
        """How many events wait for one subscription's partition."""
        name = self._of_ref.get(ref)
        part = None if name is None else self._partitions[name]
        return part.events if part is not None and part.ref == ref else 0

    def waiting_changed(self) -> bool:
        """Whether a queue has grown or shrunk."""
        changed, self._changed = self._changed, False
        return changed

    def waiting(self, partition: Hashable) -> int:
        """How many events wait for one partition: a hot one shows here."""
        return self._partitions[partition].events

    def take_discarded(self) -> list[Any]:
        """The events dropped since the last call."""
        discarded, self._discarded = self._discarded, []
        return discarded

    def mark(self, token: object) -> bool:
        """Put a mark into every queue that holds events."""
        busy = [part for part in self._partitions.values() if part.events]
        if not busy:
            return True
        mark = Mark(token, len(busy))
        for part in busy:
            part.queue.append(mark)
        return False

    def tell(self, token: object, refs: Sequence[int]) -> Sequence[int]:
        """Whoever has events waiting, or is away for a while, is told behind them."""
        now: list[int] = []
        tellable = set(refs)
        for part in self._partitions.values():
            if part.queue or part.suspended or part.awaited is not None:
                part.queue.append(Said(token))
            elif part.ref is not None and part.ref in tellable:
                now.append(part.ref)
        return now

    def passed_marks(self) -> list[object]:
        """The tokens whose last mark was passed since the last call."""
        passed, self._passed = self._passed, []
        return passed

    def describe(self) -> dict[str, Any]:
        """Each partition: who has it, what waits there, and its share of all events so far."""
        total = sum(part.routed for part in self._partitions.values())
        return {
            "partitions": [
                {
                    "partition": plain(name),
                    "ref": part.ref,
                    "queued": part.events,
                    "routed": part.routed,
                    "share": round(part.routed / total, 4) if total else 0.0,
                }
                for name, part in self._partitions.items()
            ]
        }

    # --- within -----------------------------------------------------------------------------------

    def _route(self, events: list[Any]) -> tuple[Mapping[Hashable, list[int]], int]:
        """Where the events of each partition are, as far as there is room, and how far that is.

        Nothing is changed yet: when the function fails, nobody has got anything.
        """
        groups: defaultdict[Hashable, list[int]] = defaultdict(list)
        size, taken, costless = len(events), 0, 0
        room = self.capacity
        while room and taken < size:
            part = events if room >= size else events[taken : taken + room]
            self._function.sort(part, taken, groups)
            taken += len(part)
            # What goes to nobody takes no room, so others may have it.
            before, costless = costless, self._costless(groups) if taken < size else 0
            room = costless - before
        groups.pop(None, None)
        return groups, taken

    def _costless(self, groups: Mapping[Hashable, list[int]]) -> int:
        """How many events are for nobody."""
        return sum(
            len(group)
            for name, group in groups.items()
            if name is None or self._is_unassigned(self._partitions[name])
        )

    def _is_unassigned(self, part: Partition) -> bool:
        """Whether what is routed there is dropped: nobody has it and nobody is about to."""
        return self.discards and part.vacant and not self._expected

    def _expect_less(self, consumer: str) -> None:
        """One less is declared and to come; when it was the last, nobody is awaited any more."""
        if consumer in self._expected:
            self._expected.discard(consumer)
            if not self._expected:
                self._settle_vacant(self._partitions.values())

    def _settle_vacant(self, parts: Iterable[Partition]) -> None:
        """What waits in those of these partitions that nobody will take is dropped, or stranded."""
        for part in parts:
            if not part.queue or not part.vacant or self._expected:
                continue
            if self.discards:
                self._queued -= part.events
                self._discarded += part.clear(self._pass)
                self._changed = True
            elif part.events:
                self._stranded = True

    def _drop_credit(self, part: Partition) -> None:
        self._credit -= part.credit
        part.credit = 0

    def _served_by(self, ref: int) -> Partition | None:
        """The partition that this subscription is the reachable consumer of."""
        name = self._of_ref.get(ref)
        part = None if name is None else self._partitions[name]
        return part if part is not None and part.ref == ref and not part.suspended else None

    def _pass(self, mark: Mark) -> None:
        mark.left -= 1
        if not mark.left:
            self._passed.append(mark.token)


def _as_name(value: Any) -> Any:
    """A partition's name as it was: a tuple travels as a list."""
    return tuple(map(_as_name, value)) if isinstance(value, list) else value
