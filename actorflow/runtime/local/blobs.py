"""A consumer's side of shared memory: the blobs that its producer shares with it, and their return.

See `space` for the other side, and for what is said on the lane between the two.
"""

from __future__ import annotations

import array
import ctypes
import errno
import fcntl
import mmap
import os
import socket
from collections import deque
from functools import partial
from typing import Any
from weakref import ref

from actorflow.errors import Undecodable
from actorflow.protocol.blobs import pages
from actorflow.protocol.framing import LARGE
from actorflow.runtime.local.descriptors import close_all, keep_from_forks
from actorflow.runtime.local.lanes import ACCEPTED, NUMBER, SEALS

__all__ = ["SharedBlobs"]

_RIGHTS = socket.CMSG_SPACE(2 * array.array("i").itemsize)


class SharedBlobs:
    """A consumer's side of its producer's space.

    Each blob is mapped as if it had been copied: who writes to it, writes to a copy of that page
    which only this process has. What was written is forgotten when the blob is returned.

    Args:
        lane: the consumer's end; taken over.
    """

    def __init__(self, lane: int) -> None:
        keep_from_forks((lane,))
        os.set_blocking(lane, False)
        # A number and no object, which would warn when views outlive the interpreter.
        self._lane = lane
        self._memory: mmap.mmap | None = None
        self._size = 0
        self._out: dict[int, ref[Any]] = {}
        self._returns: deque[bytes] = deque()
        self._closing = False
        # A process that the stage forks has copies of its views, which are not its own to return.
        self._owner = os.getpid()
        # Views may go at any moment, also when the interpreter ends and globals are gone.
        self._pid = os.getpid
        self._socket = partial(socket.socket, socket.AF_UNIX, socket.SOCK_STREAM, 0)
        self._pages = pages
        self._pack = NUMBER.pack
        self._close = close_all
        self._forget = mmap.MADV_DONTNEED

    def fileno(self) -> int:
        """The lane's descriptor, to wait for the offer; -1 when closed."""
        return self._lane

    def take_offer(self) -> bool:
        """Map what the producer offers, and say so; False when nothing more comes on the lane.

        Then the lane is to be watched no more, and `not_offered` to be called.
        """
        lane = self._socket(self._lane)
        try:
            return self._take_offer(lane)
        except BlockingIOError:
            return True
        except OSError:
            # No memory or no descriptor to be had: by pipe, then. Or the producer is gone.
            return False
        finally:
            lane.detach()

    def _take_offer(self, lane: socket.socket) -> bool:
        cloexec = getattr(socket, "MSG_CMSG_CLOEXEC", 0)
        data, ancillary, _, _ = lane.recvmsg(NUMBER.size, _RIGHTS, cloexec)
        files = array.array("i")
        for _, _, rights in ancillary:
            files.frombytes(rights[: len(rights) - len(rights) % files.itemsize])
        try:
            if not data or not files or self._memory is not None:
                return False
            self._map(files[0])
            lane.send(self._pack(ACCEPTED))
        finally:
            close_all(files)
        return True

    def not_offered(self) -> None:
        """Nothing more comes on the lane. Without a space it is of no use."""
        if self._memory is None:
            self.close()

    def view(self, place: int, size: int) -> memoryview:
        """As `BlobSource.view`."""
        memory = self._memory
        if memory is None or size < LARGE or place % mmap.PAGESIZE or place + size > self._size:
            detail = f"no blob of {size} bytes can be at {place}"
            raise Undecodable("undecodable_body", detail)
        if self._returns:
            self._send_returns()
        if place in self._out:
            raise Undecodable("undecodable_body", f"the blob at {place} is in hand already")
        # What is between the mapping and all views of this blob, and goes with the last of them.
        holder = (ctypes.c_ubyte * size).from_buffer(memory, place)
        self._out[place] = ref(holder, partial(self._unused, place, size))
        return memoryview(holder).cast("B")

    def close(self) -> None:
        """The link is over. The lane is kept while there are views."""
        self._closing = True
        if not self._out:
            self._memory = None
            descriptor, self._lane = self._lane, -1
            if descriptor >= 0:
                self._close((descriptor,))

    def _map(self, file: int) -> None:
        if fcntl.fcntl(file, fcntl.F_GET_SEALS) & SEALS != SEALS:
            # Made shorter later, it would end this process at the next look.
            raise OSError(errno.EINVAL, "a space must be sealed")
        self._size = os.fstat(file).st_size
        self._memory = mmap.mmap(file, self._size, access=mmap.ACCESS_COPY)

    def _unused(self, place: int, size: int, holder: ref[Any]) -> None:
        """The last view is gone: on whatever thread, whatever it was doing."""
        if self._pid() != self._owner:
            return
        memory = self._memory
        if memory is not None:
            memory.madvise(self._forget, place, self._pages(size))
        del self._out[place]
        self._returns.append(self._pack(place))
        self._send_returns()
        if self._closing:
            self.close()

    def _send_returns(self) -> None:
        returns, number = self._returns, b""
        lane = self._socket(self._lane)
        try:
            while returns:
                number = returns.popleft()
                lane.send(number)
        except BlockingIOError:
            # So many have not been read yet. The producer will, before it needs the room.
            returns.appendleft(number)
        except OSError:
            # It is gone, and needs none of them.
            returns.clear()
        finally:
            lane.detach()
