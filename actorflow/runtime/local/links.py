"""Links: two pipes between two stages, made by the host and handed to both."""

from __future__ import annotations

import fcntl
import os
import socket
import sys

from actorflow.protocol.identity import Incarnation
from actorflow.records import dataclass
from actorflow.runtime.local.descriptors import close_all, keep_from_forks, pipe
from actorflow.stage.options import StageOptions

__all__ = ["CAN_SHARE", "WIDE", "LinkEnds", "WideningBudget", "make_link", "shares"]

WIDE = 1 << 20
"""The size in bytes that a pipe of events is widened to: what Linux allows without privilege."""

WAITING = 1 << 18
"""How many bytes of kernel memory a lane asks for, for what a consumer has said and nobody read."""

CAN_SHARE = hasattr(os, "memfd_create") and hasattr(fcntl, "F_ADD_SEALS")
"""Whether this system has what `blobs` needs: files without a name that nobody can make shorter."""

_PAGE = 4096


@dataclass(frozen=True, slots=True)
class LinkEnds:
    """A link's descriptors: for each side the one it reads from and the one it writes to.

    There may be a third: its end of the lane for large buffers.
    """

    producer: tuple[int, ...]
    consumer: tuple[int, ...]


class WideningBudget:
    """How many pipes of this run may be wide at once: half of what the system grants a user.

    A user who has used up ``pipe-user-pages-soft`` gets pipes of two pages from then on, in every
    program. So a run leaves half of it alone, and its further links keep the usual size.
    """

    def __init__(self) -> None:
        self._links: dict[int, tuple[Incarnation, Incarnation]] = {}
        limit = _soft_limit()
        self._most = max(1, limit // WIDE // 2) if limit else sys.maxsize

    def take(self, ref: int, producer: Incarnation, consumer: Incarnation) -> bool:
        """Whether the pipe of this link may be wide; it counts until either stage has ended."""
        if len(self._links) >= self._most:
            return False
        self._links[ref] = (producer, consumer)
        return True

    def ended(self, child: Incarnation) -> None:
        """This stage's links are gone."""
        for ref in [ref for ref, sides in self._links.items() if child in sides]:
            del self._links[ref]


def shares(options: StageOptions) -> bool:
    """Whether a stage with these options shares memory with its consumers, on this system."""
    return CAN_SHARE and options.shared_bytes > 0 and options.codec in ("auto", "pickle")


def make_link(*, wide: bool, lane: bool = False) -> LinkEnds:
    """Make a link's two pipes; the caller owns the descriptors.

    Args:
        wide: whether to widen the pipe of events. The other one carries asks of a few bytes.
        lane: whether to make a lane, too.

    Raises:
        OSError: no more descriptors may be opened; none is left open then.
    """
    events_read, events_write = pipe()
    try:
        asks_read, asks_write = pipe()
    except OSError:
        close_all((events_read, events_write))
        raise
    try:
        lanes = [(end,) for end in _make_lane()] if lane else [(), ()]
    except OSError:
        close_all((events_read, events_write, asks_read, asks_write))
        raise
    if wide:
        _widen(events_write)
    return LinkEnds(
        producer=(asks_read, events_write, *lanes[0]),
        consumer=(events_read, asks_write, *lanes[1]),
    )


def _make_lane() -> tuple[int, int]:
    """The descriptors of a lane, to give away: the producer's end and the consumer's."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    # What the consumer says may wait for long until it is read.
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, WAITING)
    ends = ours.detach(), theirs.detach()
    keep_from_forks(ends)
    return ends


def _widen(descriptor: int) -> None:
    if not hasattr(fcntl, "F_SETPIPE_SZ"):
        return
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, WIDE)
    except OSError:
        # EPERM past the user's budget, EINVAL past the system's maximum: both normal, and a pipe of
        # the usual size does the same, with more system calls.
        return


def _soft_limit() -> int:
    """How many bytes of pipe a user may have before new ones become tiny; 0 when no limit."""
    try:
        with open("/proc/sys/fs/pipe-user-pages-soft") as limit:
            return int(limit.read()) * _PAGE
    except (OSError, ValueError):
        # Not Linux: there is no F_SETPIPE_SZ either.
        return 0
