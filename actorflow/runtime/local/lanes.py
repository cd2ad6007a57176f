"""The lanes of a stage's links, by which it shares memory with its neighbours.

A lane comes beside a link, as a descriptor. Until somebody has a use for it, it is kept here; then
it belongs to the memory that the stage shares with its consumers, or to that which a producer
shares with the stage. When its link is over, it goes with it.
"""

from __future__ import annotations

import fcntl
from collections.abc import MutableSequence
from functools import partial
from struct import Struct
from typing import TYPE_CHECKING, Any

from actorflow.runtime.local.descriptors import close_all, keep_from_forks
from actorflow.runtime.local.links import CAN_SHARE

if TYPE_CHECKING:
    from actorflow.runtime.local.blobs import SharedBlobs
    from actorflow.runtime.local.control_link import Driver
    from actorflow.runtime.local.space import SharedSpace

__all__ = ["ACCEPTED", "NUMBER", "SEALS", "Lanes"]

NUMBER = Struct("<Q")
"""What is said on a lane: the size of the memory with the offer, then what its consumer says."""

ACCEPTED = (1 << 64) - 1
"""What a consumer says when it has mapped the space; any other number is the place of a blob that
it returns."""

SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW if CAN_SHARE else 0
"""What the file of a space has: nobody can make it shorter under those who have it mapped."""


class Lanes:
    """What one stage has of shared memory, link by link.

    Args:
        counters: the stage's scoreboard slot.
        driver: the loop; its machine need not be there before something goes wrong.
    """

    def __init__(self, counters: MutableSequence[int], driver: Driver) -> None:
        self._counters = counters
        self._driver = driver
        self._unused: dict[int, int] = {}
        """For each link the lane that nothing has been done with yet."""
        self._blobs: dict[int, SharedBlobs] = {}
        self._space: SharedSpace | None = None
        self._awaited: set[int] = set()
        """The lanes on which a producer may still offer its memory."""

    def add(self, link: int, lane: int) -> None:
        """A lane has come with a link; it is owned from now on."""
        keep_from_forks((lane,))
        self._unused[link] = lane

    def space(self, size: int) -> SharedSpace | None:
        """Memory that the stage shares with its consumers; None when there is no use for it."""
        if size and CAN_SHARE:
            from actorflow.runtime.local.space import SharedSpace  # the zygote has it

            self._space = SharedSpace(size, self._take, self._counters, self._refuse, self._log)
        return self._space

    def blobs(self, link: int) -> SharedBlobs | None:
        """The memory that the producer on a link shares, as soon as it offers any."""
        lane = self._take(link)
        if lane < 0:
            return None
        from actorflow.runtime.local.blobs import SharedBlobs  # the zygote has it

        blobs = self._blobs[link] = SharedBlobs(lane)
        self._awaited.add(lane)
        self._driver.watch(lane, partial(self._offered, blobs))
        return blobs

    def release(self, link: int) -> None:
        """A link is over; who has blobs of it returns them all the same."""
        lane = self._take(link)
        if lane >= 0:
            close_all((lane,))
        blobs = self._blobs.pop(link, None)
        if blobs is not None:
            self._await_no_more(blobs)
            blobs.close()
        if self._space is not None:
            self._space.part(link)

    def close(self) -> None:
        """Release every link, and the stage's own memory."""
        for link in (*self._unused, *self._blobs):
            self.release(link)
        if self._space is not None:
            self._space.close()

    def _take(self, link: int) -> int:
        return self._unused.pop(link, -1)

    def _offered(self, blobs: SharedBlobs, events: int) -> None:
        if not blobs.take_offer():
            self._await_no_more(blobs)
            blobs.not_offered()

    def _await_no_more(self, blobs: SharedBlobs) -> None:
        lane = blobs.fileno()
        if lane in self._awaited:
            self._awaited.remove(lane)
            self._driver.unwatch(lane)

    def _refuse(self, link: int, reason: str) -> None:
        self._driver.machine.count_refusal(link, reason)

    def _log(self, level: str, event: str, values: dict[str, Any]) -> None:
        self._driver.machine.log(level, event, values)
