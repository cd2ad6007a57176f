"""Which partition each event of a batch is of: the function that a partition dispatcher is given.

Events are asked about by the batch and not one by one, since a step of Python for each event is
what it costs to partition.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from itertools import islice
from typing import Any

from actorflow.dispatch.functions import culprit, resolve_function
from actorflow.errors import OptionError, PartitionError, Refused
from actorflow.protocol.failure import Failure
from actorflow.protocol.reasons import brief, shown

__all__ = ["PartitionFunction", "is_hashable"]

_SHOWN = 20
"""How many partitions an error names."""


class PartitionFunction:
    """The partitions, and the function that says which of them an event is of.

    Args:
        partitions: as `PartitionDispatcher` has it.
        by: as `PartitionDispatcher` has it.

    Raises:
        OptionError: bad partitions, names without a function, or a function that is none.

    Example:
        >>> groups = defaultdict(list)
        >>> PartitionFunction(2, lambda number: number % 2).sort([5, 7, 8], 0, groups)
        >>> dict(groups)
        {1: [0, 1], 0: [2]}
    """

    def __init__(self, partitions: int | Iterable[Hashable], by: Any) -> None:
        self.names = tuple(_partition_names(partitions))
        self._possible = frozenset((*self.names, None))
        self._by: Callable[[Any], Any]
        self._hash_all: Callable[[list[Any], int], list[int] | None] | None = None
        if by is None:
            if type(partitions) is not int:
                raise OptionError("by", "given when partitions have names", by)
            count = partitions
            # What it imports, few processes need.
            from actorflow.dispatch.hashing import quick_partitions, stable_hash

            self._hash_all = quick_partitions
            self._by = lambda event: stable_hash(event) % count
            return
        try:
            self._by = resolve_function("by", by)
        except Refused as error:
            raise OptionError("by", "a function or 'module:name'", by, str(error)) from error

    @property
    def known(self) -> str:
        """The partitions for an error; of very many the first."""
        few = ", ".join(shown(name) for name in islice(self.names, _SHOWN))
        more = len(self.names) - _SHOWN
        return f"{few}, and {more} more" if more > 0 else few

    def sort(self, events: list[Any], start: int, groups: defaultdict[Hashable, list[int]]) -> None:
        """Add to each partition's group where its events are; those of none have the name None.

        Args:
            events: what to ask about.
            start: where the first of them is.
            groups: the groups so far.

        Raises:
            PartitionError: the function fails for one of them; the groups are of no use then.
        """
        at, name = start, None
        names = self._names_of(events)
        try:
            for at, name in enumerate(names, start):
                groups[name].append(at)
        except Exception as error:
            # It cannot be hashed, so it is no partition's name either.
            raise self._no_partition(name, events[at - start]) from error
        if not groups.keys() <= self._possible:
            wrong = next(name for name in groups if name not in self._possible)
            raise self._no_partition(wrong, events[groups[wrong][0] - start])

    def _names_of(self, events: list[Any]) -> list[Any]:
        """What the function says of each event."""
        if self._hash_all is not None:
            names = self._hash_all(events, len(self.names))
            if names is not None:
                return names
        by, asked = self._by, iter(events)
        try:
            return [by(event) for event in asked]
        except Exception as error:
            # Whatever the function raises; its own exception stays the cause.
            what = f"raised {Failure.of(error).summary}"
            raise PartitionError(what, brief(culprit(events, asked)), self.known) from error

    def _no_partition(self, name: Any, event: Any) -> PartitionError:
        return PartitionError(f"returned {brief(name)}", brief(event), self.known)


def is_hashable(value: object) -> bool:
    """Whether a value can name a partition; a tuple with a list in it cannot."""
    try:
        hash(value)
    except TypeError:
        return False
    return True


def _partition_names(partitions: Any) -> list[Hashable]:
    rule = "a number from 1, or a list of different names"
    if type(partitions) is int and partitions >= 1:
        return list(range(partitions))
    if isinstance(partitions, list | tuple) and partitions:
        names = list(partitions)
        if all(map(is_hashable, names)) and len(set(names)) == len(names):
            return names
    raise OptionError("partitions", rule, partitions)
