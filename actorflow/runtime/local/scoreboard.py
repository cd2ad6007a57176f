"""The scoreboard: one block of memory that a run's processes share, a slot of counters per stage.

Each slot has one writer, its stage, and once that has ended the host. Everybody may read it at any
moment without a message: a counter is an aligned 64-bit word, which is written and read whole.
"""

from __future__ import annotations

import mmap
import os
import time
from collections.abc import Mapping

from actorflow.errors import RunError
from actorflow.protocol.identity import StageId
from actorflow.runtime.local.descriptors import anonymous_file
from actorflow.runtime.local.linkboard import LINK_BYTES, LINKS, LinkBoard
from actorflow.stage.counters import SLOT_SIZE, Counter, named

__all__ = ["SLOTS", "Scoreboard", "slot_view"]

SLOT_BYTES = SLOT_SIZE * 8
"""A whole number of cache lines, so that two stages never write to the same one."""

SLOTS = 4096
"""How many stages a run may have at once. Untouched slots take no memory."""


class Scoreboard:
    """The host's side: makes the memory, gives out its slots, reads them.

    A stage keeps its slot over restarts. The slot of a stage that has ended stays readable until
    all others are taken as well; then the one that ended first is cleared and given away, so a
    supervisor that starts a child per event never runs out.

    Args:
        slots: how many stages there may be at once.
    """

    def __init__(self, slots: int = SLOTS) -> None:
        self.slots = slots
        size = slots * SLOT_BYTES + LINKS * LINK_BYTES
        self.descriptor = _shared_memory(size)
        memory = mmap.mmap(self.descriptor, size)
        self.links = LinkBoard(memory)
        """The slots of links, behind those of stages."""
        self._memory: mmap.mmap | bytes = memory
        self._places: dict[StageId, int] = {}
        self._ended: dict[StageId, None] = {}

    def allocate(self, stage: StageId) -> int:
        """The stage's slot, the same one as before when it had one.

        Raises:
            RunError: as many stages as there are slots are running.
        """
        place = self._places.get(stage)
        if place is not None:
            self._ended.pop(stage, None)
            return place
        if len(self._places) < self.slots:
            place = len(self._places)
        elif self._ended:
            oldest = next(iter(self._ended))
            del self._ended[oldest]
            place = self._places.pop(oldest)
            self._clear(place)
        else:
            raise RunError(
                f"stage {stage} has no place on the scoreboard: {self.slots} stages are running,"
                " which is as many as one run may have"
            )
        self._places[stage] = place
        return place

    def slot(self, stage: StageId) -> memoryview:
        """The allocated slot of a stage that lives in this program, to be written by it alone."""
        assert isinstance(self._memory, mmap.mmap)
        return slot_view(self._memory, self._places[stage])

    def release(self, stage: StageId) -> None:
        """The stage's process has ended: its slot may be given away when no other is left.

        The callback that it died in counts as time that it was busy. Its mark stays: the supervisor
        asks what was in hand.
        """
        if stage in self._places:
            if isinstance(self._memory, mmap.mmap):
                slot = self.slot(stage)
                since = slot[Counter.CALLBACK_SINCE]
                slot[Counter.BUSY] += time.monotonic_ns() - since if since else 0
            self._ended.pop(stage, None)
            self._ended[stage] = None

    def counters(self, stage: StageId) -> Mapping[str, int]:
        """The stage's counters by name; all 0 for one that was never started."""
        place = self._places.get(stage)
        if place is None:
            return named([0] * SLOT_SIZE)
        start = place * SLOT_BYTES
        return named(memoryview(self._memory[start : start + SLOT_BYTES]).cast("q"))

    def close(self) -> None:
        """Give the memory back; what was counted stays readable from a copy. May be repeated."""
        if isinstance(self._memory, mmap.mmap):
            # Not closed but let go of: another thread may be reading a counter at this moment, and
            # the mapping ends with the last reference to it.
            self._memory = self._memory[: len(self._places) * SLOT_BYTES]
            self.links.close()
            os.close(self.descriptor)

    def _clear(self, place: int) -> None:
        if isinstance(self._memory, mmap.mmap):
            self._memory[place * SLOT_BYTES : (place + 1) * SLOT_BYTES] = bytes(SLOT_BYTES)


def slot_view(memory: mmap.mmap, place: int) -> memoryview:
    """A slot as a writable sequence of `SLOT_SIZE` integers, in a process that maps the memory."""
    return memoryview(memory)[place * SLOT_BYTES : (place + 1) * SLOT_BYTES].cast("q")


def _shared_memory(size: int) -> int:
    """A descriptor of so much zeroed memory without a name, so that nothing can be left behind."""
    descriptor = anonymous_file("actorflow-scoreboard")
    os.ftruncate(descriptor, size)
    return descriptor
