"""The part of the scoreboard that links are counted on: a slot for each, a half for each end."""

from __future__ import annotations

import _thread
import mmap
from collections.abc import Mapping
from typing import Any

from actorflow.protocol.identity import StageId
from actorflow.records import dataclass
from actorflow.stage.link_counters import HALF_SIZE, LinkSlot, named_half
from actorflow.supervision.runtime import LinkCounters

__all__ = ["LINKS", "LINK_BYTES", "LinkBoard", "half_view"]

HALF_BYTES = HALF_SIZE * 8
LINK_BYTES = 2 * HALF_BYTES

LINKS = 65_536
"""How many links are counted at once. Untouched slots take no memory."""

_HALVES = {"producer": 0, "consumer": HALF_BYTES}


REMEMBERED = 256
"""How many links that are over are still shown one by one. Late enough that neither end, which may
learn of the end a moment later, still counts in a slot that is given away."""


@dataclass(slots=True)
class _Counted:
    """A link that has a place."""

    producer: StageId
    consumer: StageId
    partition: Any
    place: int
    began: float
    live: bool = True

    @property
    def edge(self) -> tuple[StageId, StageId, str]:
        return self.producer, self.consumer, repr(self.partition)


class LinkBoard:
    """The host's side: gives out the slots of links, and reads them.

    The slot of a link that is over stays as it is for a while: until `REMEMBERED` others are over,
    or all slots are taken. Then it is added to what is remembered of its edge, cleared, and free. A
    link for which there is no slot is not counted; it works all the same.

    Its methods may be called from any thread.

    Args:
        memory: the scoreboard; the slots are at its end.
        links: how many there are.
    """

    def __init__(self, memory: mmap.mmap, links: int = LINKS) -> None:
        self._memory: mmap.mmap | bytes = memory
        self._start = len(memory) - links * LINK_BYTES
        self._links = links
        self._used = 0
        self._free: list[int] = []
        self._counted: dict[int, _Counted] = {}
        self._over: dict[int, None] = {}
        self._past: dict[tuple[StageId, StageId, str], LinkCounters] = {}
        self._lock = _thread.allocate_lock()

    def add(
        self, ref: int, producer: StageId, consumer: StageId, partition: Any, began: float
    ) -> int:
        """A place for a link, with every counter 0; -1 when there is none."""
        with self._lock:
            if not isinstance(self._memory, mmap.mmap):
                return -1
            if self._free:
                place = self._free.pop()
            elif self._used < self._links:
                place = self._used
                self._used += 1
            elif self._over:
                place = self._take_oldest()
            else:
                return -1
            self._counted[ref] = _Counted(producer, consumer, partition, place, began)
            return place

    def over(self, ref: int) -> None:
        """Nothing more is sent on this link."""
        with self._lock:
            counted = self._counted.get(ref)
            if counted is not None and counted.live:
                counted.live = False
                self._over[ref] = None
                if len(self._over) > REMEMBERED and isinstance(self._memory, mmap.mmap):
                    self._free.append(self._take_oldest())

    def read(self) -> list[LinkCounters]:
        """Every link that has a place, in the order of their making; before them what is past."""
        with self._lock:
            now = [self._read(counted) for counted in self._counted.values()]
            return [*self._past.values(), *now]

    def close(self) -> None:
        """Keep a copy of what was counted. May be repeated."""
        with self._lock:
            if isinstance(self._memory, mmap.mmap):
                end = self._start + self._used * LINK_BYTES
                self._memory, self._start = self._memory[self._start : end], 0

    def _take_oldest(self) -> int:
        ref = next(iter(self._over))
        del self._over[ref]
        counted = self._counted.pop(ref)
        past, gone = self._past.get(counted.edge), self._read(counted)
        self._past[counted.edge] = gone if past is None else _together(past, gone)
        start = self._start + counted.place * LINK_BYTES
        assert isinstance(self._memory, mmap.mmap)
        self._memory[start : start + LINK_BYTES] = bytes(LINK_BYTES)
        return counted.place

    def _read(self, counted: _Counted) -> LinkCounters:
        # The consumer's first: what it has received, the producer has counted before.
        consuming = self._half(counted.place, "consumer")
        producing = self._half(counted.place, "producer")
        return LinkCounters(
            counted.producer,
            counted.consumer,
            counted.partition,
            counted.began,
            1,
            counted.live,
            producing,
            consuming,
        )

    def _half(self, place: int, role: str) -> Mapping[str, int]:
        start = self._start + place * LINK_BYTES + _HALVES[role]
        return named_half(memoryview(self._memory[start : start + HALF_BYTES]).cast("q"))


def half_view(slot: Any, place: int, role: str, links: int = LINKS) -> LinkSlot:
    """One end's half, writable, in a process that maps the scoreboard.

    Args:
        slot: the stage's own slot, a view of the same memory; where it is none (a list, in a
            test), links are not counted.
        place: the link's place, or -1.
        role: ``"producer"`` or ``"consumer"``.
        links: how many places there are.
    """
    if not 0 <= place < links or role not in _HALVES or not isinstance(slot, memoryview):
        return None
    memory: Any = slot.obj
    start = len(memory) - (links - place) * LINK_BYTES + _HALVES[role]
    return memoryview(memory)[start : start + HALF_BYTES].cast("q")


def _together(past: LinkCounters, gone: LinkCounters) -> LinkCounters:
    """What two links of one edge, both over, counted."""

    def added(one: Mapping[str, int], other: Mapping[str, int]) -> Mapping[str, int]:
        return {name: one[name] + other[name] for name in one}

    return LinkCounters(
        past.producer,
        past.consumer,
        past.partition,
        past.began,
        past.links + gone.links,
        False,
        added(past.producing, gone.producing),
        added(past.consuming, gone.consuming),
    )
