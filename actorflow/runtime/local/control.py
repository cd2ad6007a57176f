"""The control link between the host and a stage: frames both ways, descriptors beside them."""

from __future__ import annotations

import array
import contextlib
import errno
import os
import select
import socket
import time
from collections import deque
from collections.abc import Sequence

from actorflow.protocol.framing import MAX_FRAME, FrameDecoder
from actorflow.records import dataclass
from actorflow.runtime.local.descriptors import close_all

__all__ = ["MAX_DESCRIPTORS", "ControlSocket", "control_pair"]

MAX_DESCRIPTORS = 3
"""How many descriptors one frame may carry: a link's read end and its write end, and its lane."""

CHUNK = 1 << 16
"""How many bytes one read asks for."""

ROUNDS = 16
"""How many reads `receive` makes before it lets the caller see to others."""

DRAIN_ROUNDS = 1024
"""Reads of a final `drain`: 64 MiB, far above what a socket holds, so that a stray writer that got
away with a copy of the descriptor cannot keep the reader busy for ever."""

_ANCILLARY = socket.CMSG_SPACE(8 * array.array("i").itemsize)
_CLOEXEC = getattr(socket, "MSG_CMSG_CLOEXEC", 0)
_FULL = (errno.EAGAIN, errno.EWOULDBLOCK, errno.ENOBUFS)
_GONE = (errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN)


@dataclass(slots=True)
class _Outgoing:
    """What is left of one frame, and the descriptors that leave with its next byte."""

    data: memoryview
    descriptors: Sequence[int]


class ControlSocket:
    """A non-blocking Unix stream socket that carries frames and, beside them, descriptors.

    Nothing here blocks, and nothing raises because of the peer: what cannot be written waits in an
    outbox in order, and a peer that has gone shows as `at_end` once everything it sent is read.

    **Descriptors.** Those given to `send` belong to this object from then on: they are closed when
    the kernel has its own reference (it was sent), or on `close`, or at once when the peer is gone.
    Those received belong to it until `take_descriptors` hands them over.

    A frame's descriptors never arrive later than its bytes: they leave in the `sendmsg` that
    writes the frame's first byte, the kernel attaches them to that byte, and gives them to the
    `recvmsg` that reads it. One `recvmsg` never joins the sets of two `sendmsg`s. So sets of
    descriptors and the frames that announce them come in the same order, and a set is there when
    its frame is complete.

    Args:
        sock: one end of a socket pair; taken over and made non-blocking.
        limit: the longest frame accepted, in bytes.
    """

    __slots__ = (
        "_decoder",
        "_outbox",
        "_received",
        "_sock",
        "at_end",
        "failure",
    )

    def __init__(self, sock: socket.socket, limit: int = MAX_FRAME) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._decoder = FrameDecoder(limit)
        self._outbox: deque[_Outgoing] = deque()
        self._received: deque[list[int] | None] = deque()
        self.at_end = False
        """Whether the peer has closed its end, and everything that it sent has been read."""
        self.failure: OSError | None = None
        """What the system refused, by no fault of the peer; nothing is sent any more."""

    def fileno(self) -> int:
        """The descriptor, for a selector; -1 when closed."""
        return self._sock.fileno()

    # --- writing ---------------------------------------------------------------------------------

    def send(self, frame: bytes, descriptors: Sequence[int] = ()) -> None:
        """Write a frame now as far as the kernel takes it; the rest waits for `flush`.

        Args:
            frame: an encoded frame, its length prefix included.
            descriptors: at most `MAX_DESCRIPTORS`; owned and closed by this object from now on.
        """
        if self._sock.fileno() < 0 or self.at_end or self.failure:
            close_all(descriptors)
            return
        self._outbox.append(_Outgoing(memoryview(frame), descriptors))
        if len(self._outbox) == 1:
            self.flush()

    @property
    def wants_write(self) -> bool:
        """Whether something waits to be written."""
        return bool(self._outbox)

    def flush(self) -> bool:
        """Write what the kernel takes; true when nothing is left."""
        outbox = self._outbox
        while outbox:
            item = outbox[0]
            try:
                written = self._write(item)
            except OSError as error:
                if error.errno in _FULL:
                    return False
                if error.errno not in _GONE:
                    # ETOOMANYREFS: more descriptors in flight than the user may have. Retrying
                    # would spin, as the socket counts as writable; so nothing more is sent.
                    self.failure = error
                self._discard_outbox()
                return True
            # The kernel holds its own reference to what was sent, so ours is closed at once: the
            # only writer of a link must be its stage, or its end would never be seen.
            close_all(item.descriptors)
            item.descriptors = ()
            if written < len(item.data):
                item.data = item.data[written:]
            else:
                outbox.popleft()
        return True

    def flush_within(self, seconds: float) -> bool:
        """Wait until everything is written, the peer is gone or the time is up; true when empty.

        For the last words of a process that is about to exit. Nothing else may use it: it waits.
        """
        deadline = time.monotonic() + seconds
        while not self.flush():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            poller = select.poll()
            poller.register(self._sock, select.POLLOUT)
            poller.poll(left * 1000)
        return True

    def _write(self, item: _Outgoing) -> int:
        if not item.descriptors:
            return self._sock.send(item.data)
        rights = array.array("i", item.descriptors)
        return self._sock.sendmsg(
            [item.data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights.tobytes())]
        )

    def _discard_outbox(self) -> None:
        for item in self._outbox:
            close_all(item.descriptors)
        self._outbox.clear()

    # --- reading ---------------------------------------------------------------------------------

    def receive(self) -> list[bytes]:
        """The frames that have arrived, without their length prefix; empty when there are none.

        Raises:
            FrameTooLarge: what arrives is no frame; nothing more can be read from this peer.
        """
        return self._receive(ROUNDS, to_the_end=False)

    def drain(self) -> list[bytes]:
        """Everything a dead peer has left, read until the end of file or until nothing is there.

        The end of file alone would not do: a process that the peer had forked may still hold a
        copy of its descriptor.

        Raises:
            FrameTooLarge: what arrives is no frame.
        """
        return self._receive(DRAIN_ROUNDS, to_the_end=True)

    def _receive(self, rounds: int, *, to_the_end: bool) -> list[bytes]:
        frames: list[bytes] = []
        for _ in range(rounds):
            if self.at_end or self._sock.fileno() < 0:
                break
            try:
                data, ancillary, flags, _ = self._sock.recvmsg(CHUNK, _ANCILLARY, _CLOEXEC)
            except OSError as error:
                if error.errno in _FULL:
                    break
                if error.errno not in _GONE:
                    self.failure = error
                self.at_end = True
                break
            if ancillary or flags & socket.MSG_CTRUNC:
                self._keep(ancillary, bool(flags & socket.MSG_CTRUNC))
            elif not data:
                self.at_end = True
                break
            frames += self._decoder.feed(data)
            if len(data) < CHUNK and not ancillary and not to_the_end:
                # Less than was asked for, and no set of descriptors cut the read short: nothing
                # more is there, and asking again to be told so would cost a system call each time.
                break
        return frames

    def take_descriptors(self, *counts: int) -> list[int]:
        """The descriptors of the oldest frame that carried some; the caller owns them from now on.

        Args:
            counts: how many that frame carries: one of these.

        Raises:
            OSError: EMFILE when they were lost because this process, at that moment, could open no
                more files; EBADMSG when another number of descriptors came. The link itself goes
                on, and later frames' descriptors are not affected.
        """
        descriptors = self._received.popleft() if self._received else []
        if descriptors is None:
            raise OSError(
                errno.EMFILE,
                "a link's descriptors were lost, as this process may open no more files"
                " (raise the limit: ulimit -n)",
            )
        if len(descriptors) not in counts:
            close_all(descriptors)
            announced = " or ".join(map(str, counts))
            raise OSError(
                errno.EBADMSG, f"{announced} descriptors were announced, {len(descriptors)} came"
            )
        return descriptors

    def _keep(self, ancillary: list[tuple[int, int, bytes]], truncated: bool) -> None:
        """Queue one received set; an incomplete one as a gap, so that later sets stay in step."""
        numbers = array.array("i")
        for level, kind, data in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                # A truncated set may end in a part of a number.
                numbers.frombytes(data[: len(data) - len(data) % numbers.itemsize])
        if truncated:
            close_all(numbers)
            self._received.append(None)
            return
        if not _CLOEXEC:
            for number in numbers:
                os.set_inheritable(number, False)
        self._received.append(list(numbers))

    # --- ending ----------------------------------------------------------------------------------

    def close(self) -> None:
        """Close the socket and every descriptor that was not sent or not taken. May be repeated."""
        self._discard_outbox()
        while self._received:
            close_all(self._received.popleft() or ())
        with contextlib.suppress(OSError):
            # The peer is to see the end also while a process that the program has forked in the
            # meantime holds a copy of this descriptor. ENOTCONN: it has closed its end already.
            self._sock.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(OSError):
            # ECONNRESET is reported by some systems for unread data; the descriptor is closed.
            self._sock.close()


def control_pair() -> tuple[ControlSocket, int]:
    """A connected pair: this process's end, and the descriptor of the end to give away."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    return ControlSocket(ours), theirs.detach()
