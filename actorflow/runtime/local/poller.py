"""Waiting for descriptors: epoll where the system has it, poll elsewhere, behind one interface.

`selectors` would do, at three times the cost per wait; a stage waits once per batch.
"""

from __future__ import annotations

import select
from math import ceil
from typing import Any, Protocol

__all__ = ["READABLE", "WRITABLE", "Poller", "new_poller"]

READABLE = select.POLLIN
WRITABLE = select.POLLOUT


class Poller(Protocol):
    """A set of descriptors and what to wait for on each."""

    def register(self, descriptor: int, events: int) -> Any:
        """Begin to watch a descriptor."""

    def modify(self, descriptor: int, events: int) -> Any:
        """Wait for something else on it."""

    def unregister(self, descriptor: int) -> Any:
        """Watch it no more; to be called before it is closed."""

    def wait(self, seconds: float | None) -> list[tuple[int, int]]:
        """The descriptors that are ready and for what; empty when the time is up."""

    def close(self) -> None:
        """Give back its own descriptor, if it has one."""


class _Epoll:
    def __init__(self) -> None:
        epoll = select.epoll()
        # A float from 0 is rounded up to milliseconds by Python itself.
        self.wait = epoll.poll
        self.register = epoll.register
        self.modify = epoll.modify
        self.unregister = epoll.unregister
        self.close = epoll.close


class _Poll:
    def __init__(self) -> None:
        poll = select.poll()
        self._poll = poll.poll
        self.register = poll.register
        self.modify = poll.modify
        self.unregister = poll.unregister

    def wait(self, seconds: float | None) -> list[tuple[int, int]]:
        return self._poll(None if seconds is None else ceil(seconds * 1000))

    def close(self) -> None:
        """It has no descriptor."""


def new_poller() -> Poller:
    """The best poller of this system."""
    return _Epoll() if hasattr(select, "epoll") else _Poll()
