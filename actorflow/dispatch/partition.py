"""The partition dispatcher: a function of each event says which consumer gets it."""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from actorflow.dispatch.base import Delivery, Dispatched, Dispatcher, Told
from actorflow.dispatch.functions import resolve_function
from actorflow.errors import BadReturn, OptionError, Refused
from actorflow.protocol.codec import encode_value
from actorflow.protocol.delivery import UnfinishedBatch

__all__ = ["PartitionDispatcher", "stable_hash"]


def stable_hash(value: Any) -> int:
    """A hash that is the same in every process, unlike the built-in `hash` of text.

    Args:
        value: any value that may travel as an event.

    Returns:
        an integer from 0 to 2**32 - 1: the CRC-32 of the value's encoding.

    Example:
        >>> stable_hash("a") == stable_hash("a"), stable_hash("a") == stable_hash(b"a")
        (True, False)
    """
    return zlib.crc32(encode_value(value).body)


@dataclass(frozen=True, slots=True)
class _Waiting:
    event: Any
    position: int


@dataclass(slots=True)
class _Mark:
    """A mark that lies in several queues and is passed when it has left the last."""

    token: object
    left: int


@dataclass(frozen=True, slots=True)
class _Said:
    """A message for whoever takes what is queued before it."""

    token: object


@dataclass(slots=True)
class _Partition:
    """A partition has credit or a queue, never both; the queue outlives its consumer (B3)."""

    ref: int | None = None
    suspended: bool = False
    awaited: int | None = None
    """Whose successor is expected."""
    credit: int = 0
    queue: deque[_Waiting | _Mark | _Said] = field(default_factory=deque)
    events: int = 0

    @property
    def reachable(self) -> bool:
        """Whether there is somebody to send to."""
        return self.ref is not None and not self.suspended


class PartitionDispatcher(Dispatcher):
    """Routes each event to the partition that a function of the event names.

    Args:
        partitions: how many partitions, from 1 (then they are 0, 1, …), or their names.
        by: a function of the event (or its ``module:name``) that returns the partition, or None to
            drop the event; a dropped event is credited back to the producer. With numbered
            partitions it may be left out: then `stable_hash` modulo their number is used.

    One consumer per partition: it subscribes with the option ``partition``. What is routed to a
    partition without demand waits there, and counts against the demand of all: a hot partition
    slows the producer down; at most the total demand waits.

    Raises:
        OptionError: bad partitions, or names without a function.

    Example:
        >>> dispatcher = PartitionDispatcher(partitions=["even", "odd"],
        ...                                  by=lambda n: "odd" if n % 2 else "even")
        >>> dispatcher.subscribe(1, "odds/0", {"partition": "odd"})
        >>> dispatcher.ask(1, 9)
        >>> dispatcher.dispatch([1, 2, 3], 0).deliveries
        [Delivery(ref=1, events=[1, 3], position=0)]
    """

    def __init__(self, *, partitions: int | Iterable[Hashable] = (), by: Any = None) -> None:
        names = _partition_names(partitions)
        if by is None:
            if type(partitions) is not int:
                raise OptionError("by", "given when partitions have names", by)
            count = partitions
            self._by: Callable[[Any], Any] = lambda event: stable_hash(event) % count
        else:
            try:
                self._by = resolve_function("by", by)
            except Refused as error:
                raise OptionError("by", "a function or 'module:name'", by, str(error)) from error
        self._partitions: dict[Hashable, _Partition] = {name: _Partition() for name in names}
        self._of_ref: dict[int, Hashable] = {}
        self._passed: list[object] = []
        self._stale = False

    @property
    def capacity(self) -> int:
        """The total credit, less what waits for partitions without."""
        free = sum(part.credit - part.events for part in self._partitions.values())
        return max(0, free)

    @property
    def queued(self) -> int:
        """How many events wait for their partition's consumer."""
        return sum(part.events for part in self._partitions.values())

    @property
    def first_position(self) -> int | None:
        """The place of the oldest waiting event."""
        heads = (
            next((item.position for item in part.queue if isinstance(item, _Waiting)), None)
            for part in self._partitions.values()
        )
        return min((head for head in heads if head is not None), default=None)

    def subscribe(self, ref: int, consumer: str, options: Mapping[str, Any]) -> None:
        """Admit the consumer of a free partition."""
        known = ", ".join(repr(name) for name in self._partitions)
        if "partition" not in options:
            raise Refused("bad_option", f"the option partition is missing; partitions: {known}")
        name = options["partition"]
        part = self._partitions.get(name) if _hashable(name) else None
        if part is None or type(name) is bool:
            raise Refused("bad_option", f"unknown partition {name!r}; partitions: {known}")
        if part.reachable:
            raise Refused("bad_option", f"partition {name!r} is taken; partitions: {known}")
        part.ref, part.suspended, part.awaited, part.credit = ref, False, None, 0
        self._of_ref[ref] = name

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
        found: list[Delivery | Told] = []
        for part in self._partitions.values():
            found += self._take_waiting(part)
        return found

    def dispatch(self, events: list[Any], position: int) -> Dispatched:
        """Route each event; those for a partition with credit leave, the rest waits there."""
        room = self.capacity
        ready: dict[int, list[_Waiting]] = {}
        taken = 0
        for event in events:
            if not room:
                break
            here = position + taken
            taken += 1
            name = self._by(event)
            if name is None:
                continue
            room -= 1
            part = self._partition(name)
            if part.credit and part.ref is not None:
                part.credit -= 1
                ready.setdefault(part.ref, []).append(_Waiting(event, here))
            else:
                part.queue.append(_Waiting(event, here))
                part.events += 1
        deliveries = [
            Delivery(ref, [item.event for item in items], items[0].position)
            for ref, items in ready.items()
        ]
        return Dispatched(deliveries, len(events) - taken)

    def suspend(self, ref: int) -> None:
        """Stop sending to a partition; its events wait."""
        part = self._served_by(ref)
        if part is not None:
            part.suspended = True
            part.credit = 0

    def leave(self, ref: int, *, successor: bool = False) -> None:
        """Free the partition; what is queued there waits for its next consumer (B3)."""
        name = self._of_ref.get(ref)
        if name is not None and self._partitions[name].ref == ref:
            part = self._partitions[name]
            part.ref, part.suspended, part.credit = None, False, 0
            part.awaited = ref if successor else None
        elif name is not None and self._partitions[name].awaited == ref and not successor:
            self._partitions[name].awaited = None

    def give_back(self, ref: int, batches: list[UnfinishedBatch]) -> list[UnfinishedBatch]:
        """Put it first in line in its partition."""
        name = self._of_ref.get(ref)
        if name is None:
            return batches
        part = self._partitions[name]
        for batch in reversed(batches):
            part.queue.extendleft(
                _Waiting(event, batch.position + offset)
                for offset, event in reversed(list(enumerate(batch.events)))
            )
            part.events += len(batch.events)
        self._stale = True
        return []

    def forget(self, ref: int) -> None:
        """Drop what is remembered of a subscription that is over."""
        self._of_ref.pop(ref, None)

    def outstanding(self, ref: int) -> int:
        """The credit of one subscription."""
        part = self._served_by(ref)
        return part.credit if part is not None else 0

    def waiting(self, partition: Hashable) -> int:
        """How many events wait for one partition: a hot one shows here."""
        return self._partitions[partition].events

    def mark(self, token: object) -> bool:
        """Put a mark into every queue that holds events."""
        busy = [part for part in self._partitions.values() if part.events]
        if not busy:
            return True
        mark = _Mark(token, len(busy))
        for part in busy:
            part.queue.append(mark)
        return False

    def tell(self, token: object, refs: Sequence[int]) -> Sequence[int]:
        """Whoever has events waiting, or is away for a while, is told behind them."""
        now: list[int] = []
        for part in self._partitions.values():
            if part.queue or part.suspended or part.awaited is not None:
                part.queue.append(_Said(token))
            elif part.ref is not None and part.ref in refs:
                now.append(part.ref)
        return now

    def passed_marks(self) -> list[object]:
        """The tokens whose last mark was passed since the last call."""
        passed, self._passed = self._passed, []
        return passed

    def _served_by(self, ref: int) -> _Partition | None:
        """The partition that this subscription is the reachable consumer of."""
        name = self._of_ref.get(ref)
        part = None if name is None else self._partitions[name]
        return part if part is not None and part.ref == ref and not part.suspended else None

    def _take_waiting(self, part: _Partition) -> list[Delivery | Told]:
        found: list[Delivery | Told] = []
        taken: list[_Waiting] = []

        def deliver() -> None:
            if taken and part.ref is not None:
                events = [item.event for item in taken]
                found.append(Delivery(part.ref, events, taken[0].position))
                taken.clear()

        while part.queue:
            item = part.queue[0]
            if isinstance(item, _Mark):
                self._pass(item)
            elif part.ref is None or part.suspended:
                break
            elif isinstance(item, _Said):
                deliver()
                found.append(Told(part.ref, item.token))
            elif part.credit:
                taken.append(item)
                part.credit -= 1
                part.events -= 1
            else:
                break
            part.queue.popleft()
        deliver()
        return found

    def _pass(self, mark: _Mark) -> None:
        mark.left -= 1
        if not mark.left:
            self._passed.append(mark.token)

    def _partition(self, name: Any) -> _Partition:
        part = self._partitions.get(name) if _hashable(name) else None
        if part is None:
            known = ", ".join(repr(each) for each in self._partitions)
            raise BadReturn("the partition function", f"one of {known}, or None to drop", name)
        return part


def _partition_names(partitions: Any) -> list[Hashable]:
    rule = "a number from 1, or a list of different names"
    if type(partitions) is int and partitions >= 1:
        return list(range(partitions))
    if isinstance(partitions, list | tuple) and partitions:
        names = list(partitions)
        if all(map(_hashable, names)) and len(set(names)) == len(names):
            return names
    raise OptionError("partitions", rule, partitions)


def _hashable(value: object) -> bool:
    """Whether a value can name a partition; a tuple with a list in it cannot."""
    try:
        hash(value)
    except TypeError:
        return False
    return True
