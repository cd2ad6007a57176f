"""The fixed counters of a stage, by position on its scoreboard slot.

A stage writes them, anyone may read them at any moment, also while the stage hangs and after it
died. In the simulator the slot is a list, in a process it is shared memory; both are indexed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import IntEnum

__all__ = ["SLOT_SIZE", "Counter", "named"]

SLOT_SIZE = 64
"""How many 64-bit counters a slot holds; more than are used, so that a reader needs no version."""


class Counter(IntEnum):
    """What each position of a slot counts. Times are nanoseconds; ``*_since`` are monotonic.

    The first eight are of links without a place of their own; others are counted there alone, as it
    costs time for every batch, and `observe.statistics` adds them up.
    """

    EVENTS_IN = 0
    EVENTS_OUT = 1
    BATCHES_IN = 2
    BATCHES_OUT = 3
    ASKS_IN = 4
    ASKS_OUT = 5
    DEMAND_IN = 6
    DEMAND_OUT = 7
    BUFFERED = 8
    UNACKNOWLEDGED = 9
    REDELIVERED = 10
    DISCARDED = 11
    EXCESS = 12
    BUSY = 13
    STARVED = 14
    BLOCKED = 15
    CALLBACK_SINCE = 16
    CALLBACK_EVENTS = 17
    STARTED_SINCE = 18
    ENDED = 19
    GENERATION = 20
    PID = 21
    PROTOCOL_ERRORS = 22
    LOST = 23
    LOG_DROPPED = 24
    ACKNOWLEDGED = 25
    HELD = 26
    REPLAYED = 27
    QUEUED = 28
    MESSAGES_DROPPED = 29
    CALLBACK_REF = 30
    CALLBACK_MESSAGE = 31
    RETRIED = 32
    SKIPPED = 33
    DEAD_LETTERED = 34
    LARGE_SHARED = 35
    LARGE_PIPED = 36


def named(slot: Sequence[int]) -> Mapping[str, int]:
    """A slot's counters by their lower-case names.

    Example:
        >>> named([0] * SLOT_SIZE)["events_in"]
        0
    """
    return {counter.name.lower(): slot[counter] for counter in Counter}
