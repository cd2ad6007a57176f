"""The partition dispatcher: a function of each event says which consumer gets it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any

from actorflow.dispatch.base import Delivery, Dispatched, Dispatcher, Told
from actorflow.dispatch.functions import resolve_function
from actorflow.dispatch.partition_queue import Mark, Partition, Said, Waiting
from actorflow.errors import OptionError, PartitionError, Refused
from actorflow.protocol.delivery import UnfinishedBatch
from actorflow.protocol.failure import Failure
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
        names = _partition_names(partitions)
        if when_unassigned not in _WHEN_UNASSIGNED:
            rule = "one of " + ", ".join(_WHEN_UNASSIGNED)
            raise OptionError("when_unassigned", rule, when_unassigned)
        if by is None:
            if type(partitions) is not int:
                raise OptionError("by", "given when partitions have names", by)
            count = partitions
            # What it imports, few processes need.
            from actorflow.dispatch.hashing import stable_hash

            self._by: Callable[[Any], Any] = lambda event: stable_hash(event) % count
        else:
            try:
                self._by = resolve_function("by", by)
            except Refused as error:
                raise OptionError("by", "a function or 'module:name'", by, str(error)) from error
        self.discards = when_unassigned == "drop"
        self._partitions: dict[Hashable, Partition] = {name: Partition() for name in names}
        self._of_ref: dict[int, Hashable] = {}
        self._expected: set[str] = set()
        self._passed: list[object] = []
        self._discarded: list[Any] = []
        self._stale = False
        self._changed = False

    @property
    def names(self) -> tuple[Hashable, ...]:
        """The partitions, in order."""
        return tuple(self._partitions)

    @property
    def capacity(self) -> int:
        """The total credit, less what waits for partitions without."""
        free = sum(part.credit - part.events for part in self._partitions.values())
        return max(0, free)

    @property
    def queued(self) -> int:
        """How many events wait for their partition's consumer."""
        return sum(part.events for part in self._partitions.values())

    def held_events(self) -> list[Any]:
        """What is queued for any partition, in the order of emission."""
        queued = [
            item
            for part in self._partitions.values()
            for item in part.queue
            if isinstance(item, Waiting)
        ]
        return [item.event for item in sorted(queued, key=lambda item: item.position)]

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
        self._expected.discard(consumer)
        self._discard_vacant()

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
            detail = f"the option partition is missing; partitions: {self._known}"
            raise Refused("bad_option", detail)
        given = options["partition"]
        name = _as_name(given)
        part = self._partitions.get(name) if _hashable(name) else None
        if part is None or type(name) is bool:
            detail = f"unknown partition {brief(given)}; partitions: {self._known}"
            raise Refused("bad_option", detail)
        if part.reachable and part.ref != besides:
            detail = f"partition {name!r} is taken; partitions: {self._known}"
            raise Refused("bad_option", detail)
        found: Hashable = name
        return found

    def _admit(self, name: Hashable, ref: int, consumer: str) -> None:
        part = self._partitions[name]
        part.ref, part.suspended, part.awaited, part.credit = ref, False, None, 0
        self._of_ref[ref] = name
        self._changed = True
        self._expected.discard(consumer)
        self._discard_vacant()

    def ask(self, ref: int, count: int) -> None:
        """Credit a partition."""
        part = self._served_by(ref)
        if part is not None:
            part.credit += count
            self._stale = self._stale or bool(part.queue)

    def ready(self) -> Sequence[Delivery | Told]:
        """What waits in partitions that have credit, in one message unless something was said."""
        if not self._stale:
            return ()
        self._stale = False
        self._changed = True
        return [each for part in self._partitions.values() for each in part.take_ready(self._pass)]

    def dispatch(self, events: list[Any], position: int) -> Dispatched:
        """Route each event; those for a partition with credit leave, the rest waits there.

        Raises:
            PartitionError: the function fails for an event; then none of them is taken.
        """
        parts, drops = self._route(events), self.discards
        ready: dict[int, list[Waiting]] = {}
        for place, part in enumerate(parts):
            if part is None:
                continue
            part.routed += 1
            event = events[place]
            if part.credit and part.ref is not None:
                part.credit -= 1
                ready.setdefault(part.ref, []).append(Waiting(event, position + place))
            elif drops and self._is_unassigned(part):
                self._discarded.append(event)
            else:
                part.queue.append(Waiting(event, position + place))
                part.events += 1
                self._changed = True
        deliveries = [
            Delivery(ref, [item.event for item in items], items[0].position)
            for ref, items in ready.items()
        ]
        return Dispatched(deliveries, len(events) - len(parts))

    def suspend(self, ref: int) -> None:
        """Stop sending to a partition; its events wait."""
        part = self._served_by(ref)
        if part is not None:
            part.suspended = True
            part.credit = 0

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
            part.ref, part.suspended, part.credit = None, False, 0
            part.awaited = ref if successor else None
        elif part.awaited == ref and not successor:
            part.awaited = None
        self._discard_vacant()

    def give_back(self, ref: int, batches: list[UnfinishedBatch]) -> list[UnfinishedBatch]:
        """Put it first in line in its partition, unless nobody is to get it there."""
        name = self._of_ref.get(ref)
        if name is None:
            return batches
        part = self._partitions[name]
        if not self._is_unassigned(part):
            part.put_back(batches)
            self._stale = self._changed = True
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
        for part in self._partitions.values():
            if part.queue or part.suspended or part.awaited is not None:
                part.queue.append(Said(token))
            elif part.ref is not None and part.ref in refs:
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

    @property
    def _known(self) -> str:
        return ", ".join(repr(name) for name in self._partitions)

    def _route(self, events: list[Any]) -> list[Partition | None]:
        """Whose each event is, as far as there is room; None for one that is dropped.

        Nothing is changed yet: when the function fails, nobody has got anything.
        """
        room = self.capacity
        parts: list[Partition | None] = []
        by, drops = self._by, self.discards
        try:
            for event in events:
                if not room:
                    break
                name = by(event)
                part = None if name is None else self._partition(event, name)
                if part is not None and not (drops and self._is_unassigned(part)):
                    room -= 1
                parts.append(part)
        except PartitionError:
            raise
        except Exception as error:
            # Whatever the function raises; its own exception stays the cause.
            what = f"raised {Failure.of(error).summary}"
            raise PartitionError(what, brief(events[len(parts)]), self._known) from error
        return parts

    def _partition(self, event: Any, name: Any) -> Partition:
        part = self._partitions.get(name) if _hashable(name) else None
        if part is None:
            raise PartitionError(f"returned {brief(name)}", brief(event), self._known)
        return part

    def _is_unassigned(self, part: Partition) -> bool:
        """Whether what is routed there is dropped: nobody has it and nobody is about to."""
        return self.discards and part.vacant and not self._expected

    def _discard_vacant(self) -> None:
        if self.discards:
            for part in self._partitions.values():
                if part.queue and self._is_unassigned(part):
                    self._discarded += part.clear(self._pass)
                    self._changed = True

    def _served_by(self, ref: int) -> Partition | None:
        """The partition that this subscription is the reachable consumer of."""
        name = self._of_ref.get(ref)
        part = None if name is None else self._partitions[name]
        return part if part is not None and part.ref == ref and not part.suspended else None

    def _pass(self, mark: Mark) -> None:
        mark.left -= 1
        if not mark.left:
            self._passed.append(mark.token)


def _partition_names(partitions: Any) -> list[Hashable]:
    rule = "a number from 1, or a list of different names"
    if type(partitions) is int and partitions >= 1:
        return list(range(partitions))
    if isinstance(partitions, list | tuple) and partitions:
        names = list(partitions)
        if all(map(_hashable, names)) and len(set(names)) == len(names):
            return names
    raise OptionError("partitions", rule, partitions)


def _as_name(value: Any) -> Any:
    """A partition's name as it was: a tuple travels as a list."""
    return tuple(map(_as_name, value)) if isinstance(value, list) else value


def _hashable(value: object) -> bool:
    """Whether a value can name a partition; a tuple with a list in it cannot."""
    try:
        hash(value)
    except TypeError:
        return False
    return True
