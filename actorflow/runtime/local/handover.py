"""What a stage that has ended has still to hand over: its last frames, to whoever reads them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from actorflow.runtime.local.control import ControlSocket
from actorflow.runtime.local.pipes import PipeLink
from actorflow.runtime.local.poller import WRITABLE, new_poller

__all__ = ["LAST_WORDS", "WaitForRoom", "hand_over", "wait_for_room"]

LAST_WORDS = 5.0
"""Seconds that a failed stage may take to hand over what it has sent."""


WaitForRoom = Callable[[Sequence[PipeLink], float | None], bool]
"""Waits until a peer reads from one of these links, for so many seconds or, with None, for as long
as it takes; False when it is not worth waiting any longer."""


def wait_for_room(full: Sequence[PipeLink], seconds: float | None) -> bool:
    """A `WaitForRoom` that nothing but room wakes."""
    room = new_poller()
    for pipe in full:
        room.register(pipe.writer, WRITABLE)
    room.wait(seconds)
    room.close()
    return True


def hand_over(
    control: ControlSocket,
    pipes: Sequence[PipeLink],
    *,
    failed: bool,
    wait: WaitForRoom,
) -> int:
    """Write what is queued, for as long as somebody reads; returns how many frames were dropped.

    After an orderly end there is no limit: with `at_most_once` nobody would send it again, and
    whoever asked this stage to stop ends it when its time is up. After a failure the limit is
    `LAST_WORDS`, since a successor waits, to whom what is not taken is given back.

    Args:
        control: the link to the supervisor.
        pipes: the links to other stages, of which nothing is read any more.
        failed: whether the stage has.
        wait: waits for those that do not take everything at once.
    """
    deadline = time.monotonic() + LAST_WORDS if failed else None
    control.flush_within(LAST_WORDS)
    for pipe in pipes:
        # Two stages in their last words must not wait for each other to read.
        pipe.close_reader()
    while full := [pipe for pipe in pipes if not _is_written(pipe)]:
        left = None if deadline is None else deadline - time.monotonic()
        if (left is not None and left <= 0) or not wait(full, left):
            break
    for pipe in full:
        # The process ends, and what is queued with it: that is counted, too.
        pipe.close_writer()
    return sum(pipe.dropped for pipe in pipes)


def _is_written(pipe: PipeLink) -> bool:
    written = pipe.flush()
    if written and pipe.closing:
        pipe.close_writer()
    return written
