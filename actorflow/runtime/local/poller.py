"""Waiting for descriptors: epoll where the system has it, poll elsewhere, behind one interface.

`selectors` would do, at three times the cost per wait; a stage waits once per batch.

To be woken from a sleep costs more than a small batch: the writer calls the sleeper's core, which
has gone idle, and the sleeper comes back to cold caches. So a `BusyPoller` looks again for a moment
before it sleeps, as long as what it waits for comes soon; adaptive mutexes do the same, and so does
Linux with `net.core.busy_poll`.
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable
from functools import partial
from math import ceil
from typing import Any, Protocol

__all__ = ["READABLE", "WRITABLE", "BusyPoller", "Poller", "busy_poller", "new_poller"]

READABLE = select.POLLIN
WRITABLE = select.POLLOUT

SOON = 2
"""After so many short waits in a row the next one is expected to be short, too. A consumer that
gets a batch now and then has one: its producer's answer to the demand of the batch before."""

WORTH = 4
"""All in all it looks again for at most so many times as long as it works. So what looking costs is
bounded by what the work costs, whatever the rate is at which messages come."""


class Poller(Protocol):
    """A set of descriptors and what to wait for on each."""

    def register(self, descriptor: int, events: int) -> Any:
        """Begin to watch a descriptor."""

    def unregister(self, descriptor: int) -> Any:
        """Watch it no more; to be called before it is closed."""

    def wait(self, seconds: float | None) -> list[tuple[int, int]]:
        """The descriptors that are ready and for what; empty when the time is up."""

    def sleep_at_once(self) -> None:
        """Look no more for what may come soon: others are to have the processor."""

    def close(self) -> None:
        """Give back its own descriptor, if it has one."""


class _System:
    """What the system has."""

    def sleep_at_once(self) -> None:
        """As `Poller.sleep_at_once`: it never does anything else."""


class _Epoll(_System):
    def __init__(self, most: int) -> None:
        epoll = select.epoll()
        # A float from 0 is rounded up to milliseconds by Python itself.
        self.wait = partial(epoll.poll, maxevents=most) if most > 0 else epoll.poll
        self.register = epoll.register
        self.unregister = epoll.unregister
        self.close = epoll.close


class _Poll(_System):
    def __init__(self) -> None:
        poll = select.poll()
        self._poll = poll.poll
        self.register = poll.register
        self.unregister = poll.unregister

    def wait(self, seconds: float | None) -> list[tuple[int, int]]:
        return self._poll(None if seconds is None else ceil(seconds * 1000))

    def close(self) -> None:
        """It has no descriptor."""


class BusyPoller:
    """A poller that looks again before it sleeps, while waits have been short of late.

    Work makes a credit, `WORTH` times as long and `seconds` at most, and waits use it up. A wait is
    short when the credit suffices. After `SOON` short ones in a row it looks again for as long as
    there is credit; a wait that is longer ends this. So a process whose messages come rarely
    sleeps, and one that hears nothing more looks again once. Between two looks it lets others have
    the processor.

    Args:
        poller: what to wait with.
        seconds: the longest time for which it looks again.
        clock: the time in nanoseconds.
        pause: what to do between two looks.
    """

    def __init__(
        self,
        poller: Poller,
        seconds: float,
        clock: Callable[[], int],
        pause: Callable[[], None],
    ) -> None:
        self._look = poller.wait
        self._limit = int(seconds * 1e9)
        self._clock = clock
        self._pause = pause
        self._ended = clock()
        self._credit = 0
        self._short = 0
        self.register = poller.register
        self.unregister = poller.unregister
        self.close = poller.close

    def sleep_at_once(self) -> None:
        """As `Poller.sleep_at_once`: whatever its work is worth, it has no credit from now on."""
        self._limit = 0

    def wait(self, seconds: float | None) -> list[tuple[int, int]]:
        """The descriptors that are ready and for what; empty when the time is up."""
        if seconds == 0.0:
            return self._look(0.0)
        began = self._clock()
        credit = min(self._limit, self._credit + WORTH * (began - self._ended))
        if self._short < SOON:
            ready = self._look(seconds)
        else:
            ready = self._look_again(began, credit, seconds)
        self._ended = ended = self._clock()
        left = credit - (ended - began)
        self._short, self._credit = (self._short + 1, left) if left >= 0 else (0, 0)
        return ready

    def _look_again(self, began: int, credit: int, seconds: float | None) -> list[tuple[int, int]]:
        limit = credit if seconds is None else min(credit, seconds * 1e9)
        while not (ready := self._look(0.0)):
            looked = self._clock() - began
            if looked >= limit:
                return self._look(None if seconds is None else max(0.0, seconds - looked * 1e-9))
            self._pause()
        return ready


def busy_poller(seconds: float) -> Poller:
    """The best poller of this system, which looks again for `seconds` before it sleeps."""
    poller = new_poller()
    # Where nobody can be let go first, looking again would keep the writer from its processor.
    if seconds and hasattr(os, "sched_yield"):
        return BusyPoller(poller, seconds, time.monotonic_ns, os.sched_yield)
    return poller


def new_poller(most: int = -1) -> Poller:
    """The best poller of this system.

    Args:
        most: how many descriptors one wait may tell of, where that can be said: a few make a small
            buffer. -1 for a thousand.
    """
    return _Epoll(most) if hasattr(select, "epoll") else _Poll()
