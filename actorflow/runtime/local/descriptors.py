"""Small verbs on file descriptors.

Who owns one is said where it is passed. Closing is never left to the garbage collector, because a
number that is closed twice may be somebody else's by then.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Collection, Iterable
from functools import cache

__all__ = [
    "above_stdio",
    "anonymous_file",
    "close_all",
    "close_others",
    "fill_stdio",
    "keep_from_forks",
    "open_descriptors",
    "pipe",
    "share_with_forks",
]

FIRST_FREE = 3
"""Below it are standard input, output and error, which are never a transport."""

_private: set[int] = set()
"""Pipes' ends that a process forked by the host's program must not keep: those that were made to be
given away and have not been sent yet, and those of stages that live in the program."""

_shares_with_forks = False


def close_all(descriptors: Iterable[int]) -> None:
    """Close each; one that is closed already is no error, the others must still be closed."""
    for descriptor in descriptors:
        _private.discard(descriptor)
        # EBADF is the only thing Linux reports here for a pipe or a socket, and after any other
        # error the descriptor is gone as well: close must not be retried.
        with contextlib.suppress(OSError):
            os.close(descriptor)


def above_stdio(descriptor: int) -> int:
    """The same file under a number from 3; takes the given descriptor over.

    A program that was started with standard input closed gets 0 for the first thing it opens.
    Without this a socket would become the standard input of a process that `print`s into it.
    """
    if descriptor >= FIRST_FREE:
        return descriptor
    try:
        return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, FIRST_FREE)
    finally:
        os.close(descriptor)


def fill_stdio() -> None:
    """Open the null device for each of 0, 1, 2 that is closed, so that nothing else gets them."""
    for number in range(FIRST_FREE):
        try:
            os.fstat(number)
        except OSError:
            null = os.open(os.devnull, os.O_RDWR)
            # The lowest free number is the one that was found closed, as lower ones are open now.
            if null != number:
                os.dup2(null, number)
                os.close(null)
            os.set_inheritable(number, True)


def open_descriptors() -> set[int]:
    """The numbers of every descriptor of this process, as far as the system can list them."""
    for directory in ("/proc/self/fd", "/dev/fd"):
        try:
            listed = {int(name) for name in os.listdir(directory)}
        except OSError:
            continue
        # The listing had a descriptor of its own, which is closed again.
        return {number for number in listed if _is_open(number)}
    return {number for number in range(256) if _is_open(number)}


def close_others(keep: Collection[int]) -> None:
    """Close every descriptor from 3 on that is not in `keep`, in one system call per gap."""
    start = FIRST_FREE
    for number in sorted(keep):
        if number >= start:
            os.closerange(start, number)
            start = number + 1
    # close_range(2) stops at the last open one; the portable loop behind it needs a real limit.
    os.closerange(start, max(start, os.sysconf("SC_OPEN_MAX")))


def pipe() -> tuple[int, int]:
    """A non-blocking pipe to give away, not inherited: its read end and its write end.

    Neither does a process keep it that the host's program forks in the meantime, with
    `multiprocessing` for example: a copy of an end there would hide a stage's death from the stage
    at the other end. `close_all` is what closes it.
    """
    read, write = os.pipe()
    keep_from_forks((read, write))
    os.set_blocking(read, False)
    os.set_blocking(write, False)
    return read, write


def keep_from_forks(descriptors: Iterable[int]) -> None:
    """Have these closed in every process that the program forks, until `close_all` closes them.

    Not in a stage's own process, see `share_with_forks`.
    """
    if not _shares_with_forks:
        _have_them_dropped()
        _private.update(descriptors)


def share_with_forks() -> None:
    """Have `keep_from_forks` keep nothing: in a process with which all that it forks is killed.

    Copies of its descriptors hide its end from nobody, then; and what runs after each fork would
    cost each of its fresh children a dozen pages of memory.
    """
    global _shares_with_forks  # noqa: PLW0603  (it is this process's own, once and for all)
    _shares_with_forks = True


@cache
def _have_them_dropped() -> None:
    os.register_at_fork(after_in_child=_drop_private)


def _drop_private() -> None:
    """Close, in a process that was forked, what its parent keeps to itself."""
    if _private:
        close_all(tuple(_private))


def anonymous_file(name: str) -> int:
    """A new empty file in memory that has no place in any folder, so that none is left behind.

    Args:
        name: for those who look at a process's descriptors.
    """
    if hasattr(os, "memfd_create"):
        return os.memfd_create(name, os.MFD_CLOEXEC)
    import tempfile

    descriptor, path = tempfile.mkstemp(prefix=f"{name}-")
    os.unlink(path)
    return descriptor


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True
