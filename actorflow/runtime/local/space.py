"""A producer's side of shared memory: large buffers are copied into it, and consumers return them.

The memory is an anonymous file of the producer's. It has no name, so the system frees it with the
last process that has it open or mapped, however that process ends. On the lane beside each link
(see `lanes`) the producer offers its file, as a descriptor; the consumer accepts it once it has
mapped it, and says which blobs it needs no more. Its end of file says that the consumer is gone,
and needs none.

Nobody waits for any of it. What is not offered or accepted yet, has no room, or cannot be had from
the system, travels in the body. The producer reads its lanes when it looks for room.
"""

from __future__ import annotations

import array
import errno
import fcntl
import mmap
import os
import socket
from collections.abc import Callable, Iterable, MutableSequence
from typing import Any

from actorflow.protocol.blobs import Loans, pages
from actorflow.runtime.local.descriptors import close_all, keep_from_forks
from actorflow.runtime.local.lanes import ACCEPTED, NUMBER, SEALS
from actorflow.stage.counters import Counter

__all__ = ["SharedSpace"]

_MOST_HEARD = NUMBER.size * 512
"""How many bytes are read from a lane at once."""

_POPULATE_WRITE = 23
"""MADV_POPULATE_WRITE, which Python does not name yet: have pages, or say that there are none."""

ROUNDS = 4
"""How many reads of a lane are made in a row."""

MOST_LENT = 256
"""How many blobs one consumer may have at once. A lane holds twice as many returns unread."""


class _Lane:
    """The producer's end of one."""

    __slots__ = ("accepted", "leaving", "rest", "socket")

    def __init__(self, descriptor: int) -> None:
        self.socket = _socket(descriptor)
        self.accepted = False
        self.leaving = False
        """Whether the subscription is over, so that only returns are waited for."""
        self.rest = b""
        """The beginning of a number."""

    def close(self) -> None:
        close_all((self.socket.detach(),))


class SharedSpace:
    """A producer's space: a file in memory, made when the first large buffer is to be sent.

    Args:
        size: how large it is, in bytes; what is never used takes no memory.
        take_lane: takes a link's lane over, or returns -1 where there is none.
        counters: the stage's scoreboard slot.
        refuse: is told of a link whose consumer breaks a rule, and which.
        log: writes a line of the stage's log.
    """

    def __init__(
        self,
        size: int,
        take_lane: Callable[[int], int],
        counters: MutableSequence[int],
        refuse: Callable[[int, str], None],
        log: Callable[[str, str, dict[str, Any]], None],
    ) -> None:
        self._size = size
        self._take_lane = take_lane
        self._counters = counters
        self._refuse = refuse
        self._log = log
        self._loans = Loans(size)
        self._lanes: dict[int, _Lane] = {}
        self._file = -1
        self._memory: mmap.mmap | None = None
        self._ready = 0
        """How many bytes, from its beginning, the system has given pages for."""
        self._unavailable = False
        self._collected = False
        """Whether lanes were read for the batch that is being encoded."""

    def put(self, link: int, data: memoryview) -> int | None:
        """As `BlobSpace.put`."""
        place = self._place(link, data.nbytes) if self.reaches(link) else None
        if place is None or self._memory is None:
            self._counters[Counter.LARGE_PIPED] += 1
            return None
        self._memory[place : place + data.nbytes] = data
        self._counters[Counter.LARGE_SHARED] += 1
        return place

    def reaches(self, link: int) -> bool:
        """As `BlobSpace.reaches`; a consumer that was not offered the space is, for the next time.

        Whoever has not accepted yet may have in the meantime.
        """
        lane = self._lanes.get(link)
        if lane is None:
            lane = self._offer(link)
        elif not lane.accepted:
            self._read(link, lane)
        return lane is not None and lane.accepted

    def lend(self, link: int, places: Iterable[int]) -> None:
        """As `BlobSpace.lend`."""
        for place in places:
            self._loans.lend(place, link)
        if link not in self._lanes:
            # It has left since: what it is sent now it will not read.
            self._loans.gone(link)

    def settle(self, places: Iterable[int]) -> None:
        """As `BlobSpace.settle`."""
        self._collected = False
        for place in places:
            self._loans.settle(place)

    def part(self, link: int) -> None:
        """A link is over. Its lane is kept while its consumer has blobs."""
        lane = self._lanes.get(link)
        if lane is not None:
            lane.leaving = True
            self._read(link, lane)

    def close(self) -> None:
        """Give everything back to the system; what consumers have in hand they keep."""
        for lane in self._lanes.values():
            lane.close()
        self._lanes.clear()
        self._memory = None
        if self._file >= 0:
            close_all((self._file,))
            self._file = -1

    # --- memory -----------------------------------------------------------------------------------

    def _place(self, link: int, size: int) -> int | None:
        """Room for so many bytes, after a look at what has been returned.

        One look for each batch, and another one where there seems to be no room.
        """
        if not self._collected:
            self._collect()
        place = self._take(link, size)
        if place is None:
            self._collect()
            place = self._take(link, size)
        return place

    def _take(self, link: int, size: int) -> int | None:
        """Room for so many bytes that has pages behind it."""
        if self._loans.outstanding(link) >= MOST_LENT:
            return None
        place = self._loans.take(size)
        if place is not None and not self._prepare(place + pages(size)):
            self._loans.settle(place)
            return None
        return place

    def _prepare(self, end: int) -> bool:
        """Whether the space has pages up to here: to write where it has none could be fatal.

        Asked for in one call, they also cost half of what they cost when written to one by one.
        """
        memory = self._memory
        if end <= self._ready or memory is None:
            return memory is not None
        try:
            try:
                memory.madvise(_POPULATE_WRITE, self._ready, end - self._ready)
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
                # A kernel before 5.14.
                os.posix_fallocate(self._file, self._ready, end - self._ready)
        except OSError:
            return False
        self._ready = end
        return True

    def _make(self) -> bool:
        """Whether there is a file, made at the first call."""
        if self._memory is None and not self._unavailable:
            try:
                flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
                self._file = os.memfd_create("actorflow-blobs", flags)
                keep_from_forks((self._file,))
                os.ftruncate(self._file, self._size)
                # Who maps it can rely on its size: a page that is gone would end its process.
                fcntl.fcntl(self._file, fcntl.F_ADD_SEALS, SEALS)
                self._memory = mmap.mmap(self._file, self._size)
            except OSError as error:
                self._unavailable = True
                said = "no memory to share with consumers: large events go by pipe"
                self._log("warning", said, {"bytes": self._size, "reason": str(error)})
                close_all((self._file,) if self._file >= 0 else ())
                self._file = -1
        return self._memory is not None

    # --- lanes ------------------------------------------------------------------------------------

    def _offer(self, link: int) -> _Lane | None:
        """Have a consumer told of the space; None where it cannot be."""
        if not self._make():
            return None
        descriptor = self._take_lane(link)
        if descriptor < 0:
            return None
        lane = _Lane(descriptor)
        rights = array.array("i", (self._file,)).tobytes()
        try:
            lane.socket.sendmsg(
                [NUMBER.pack(self._size)], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)]
            )
        except OSError:
            # It does not want any, is gone, or too many descriptors are under way.
            lane.close()
            return None
        self._lanes[link] = lane
        return lane

    def _collect(self) -> None:
        """Take back what consumers have returned, so that the same places are used again."""
        self._collected = True
        for link, lane in list(self._lanes.items()):
            if lane.leaving or self._loans.outstanding(link):
                self._read(link, lane)

    def _read(self, link: int, lane: _Lane) -> None:
        """Take what a consumer has said."""
        gone = False
        try:
            # Not for as long as it says something: it may never end.
            for _ in range(ROUNDS):
                data = lane.socket.recv(_MOST_HEARD)
                gone = not data
                if gone:
                    break
                self._heard(link, lane, lane.rest + data)
        except BlockingIOError:
            pass  # nothing more has come
        except ConnectionError:
            gone = True  # with something of ours unread
        if gone:
            self._loans.gone(link)
        if gone or (lane.leaving and not self._loans.outstanding(link)):
            lane.close()
            del self._lanes[link]

    def _heard(self, link: int, lane: _Lane, data: bytes) -> None:
        whole = len(data) - len(data) % NUMBER.size
        lane.rest = data[whole:]
        for (number,) in NUMBER.iter_unpack(data[:whole]):
            if number == ACCEPTED:
                lane.accepted = True
            elif not self._loans.returned(number, link):
                self._refuse(link, f"a blob at {number} was returned that was not lent")


def _socket(descriptor: int) -> socket.socket:
    keep_from_forks((descriptor,))
    end = socket.socket(fileno=descriptor)
    end.setblocking(False)
    return end
