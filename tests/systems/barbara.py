"""Barbara's world in virtual time: calls and bodies as generators that yield what they wait for."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable
from typing import Any, Protocol

__all__ = ["Running", "Semaphore", "Steps", "Stuck", "Until", "Wait", "World"]


class Stuck(AssertionError):
    """Everybody waits, and nothing will ever happen: a deadlock."""


class Wait(Protocol):
    """What a call waits for."""

    @property
    def due(self) -> float | None:
        """When it is over by itself; None when somebody else has to end it."""

    def over(self, now: float) -> bool:
        """Whether it is over."""


class Until:
    """A moment: some I/O is ready then."""

    def __init__(self, due: float) -> None:
        self.due: float | None = due

    def over(self, now: float) -> bool:
        return self.due is not None and now >= self.due


class _Ticket:
    due = None

    def __init__(self) -> None:
        self.granted = False

    def over(self, now: float) -> bool:
        return self.granted


class Semaphore:
    """Permits that are handed to those who wait in order, also to one that nobody polls."""

    def __init__(self, count: int) -> None:
        self._free = count
        self._waiting: deque[_Ticket] = deque()

    def acquire(self) -> _Ticket:
        """A ticket; it is over when its holder has a permit."""
        ticket = _Ticket()
        self._waiting.append(ticket)
        self._hand_out()
        return ticket

    def release(self) -> None:
        """Give a permit back."""
        self._free += 1
        self._hand_out()

    def _hand_out(self) -> None:
        while self._free and self._waiting:
            self._free -= 1
            self._waiting.popleft().granted = True


Steps = Generator[Wait, None, Any]


class Running:
    """A call or a body that has begun; it moves when it is polled, and only then."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self.wait: Wait | None = None
        self.done = False
        self.result: Any = None

    def poll(self, now: float) -> bool:
        """Move as far as it goes; returns whether it is done."""
        while not self.done and (self.wait is None or self.wait.over(now)):
            try:
                self.wait = next(self._steps)
            except StopIteration as end:
                self.done, self.result = True, end.value
        return self.done


class World:
    """The clock, a database, and the permits.

    Args:
        permits: how many there are.
        idle: seconds between connecting and asking after which the database drops a client.
    """

    def __init__(self, permits: int = 2, *, idle: float = 0.2) -> None:
        self.now = 0.0
        self.permits = Semaphore(permits)
        self.lock = Semaphore(1)
        self.dropped: list[int] = []
        self.in_flight = self.most_in_flight = 0
        self._idle = idle

    def pass_time(self, running: Iterable[Running]) -> None:
        """Nobody can move: let time pass until one of these can.

        Raises:
            Stuck: none of them ever will.
        """
        waits = [each.wait for each in running if each.wait is not None]
        if any(wait.over(self.now) for wait in waits):
            return
        dues = [wait.due for wait in waits if wait.due is not None]
        if not dues:
            raise Stuck(f"{len(waits)} wait for each other")
        self.now = max(self.now, min(dues))

    # --- calls ------------------------------------------------------------------------------------

    def select(self, item: int) -> Steps:
        """Open a connection, which takes 10 to 30 ms, then send the query."""
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        connected = self.now + 0.01 * (1 + item % 3)
        yield Until(connected)
        if self.now - connected > self._idle:
            self.dropped.append(item)
        yield Until(self.now + 0.01)
        self.in_flight -= 1
        return item

    def two_steps(self, item: int) -> Steps:
        """A permit at the start, and another for the second step."""
        for _ in range(2):
            yield self.permits.acquire()
            yield Until(self.now + 0.01)
            self.permits.release()
        return item

    def locked(self, item: int) -> Steps:
        """A lock that is taken three calls deep."""
        yield from self._helper()
        return item

    def _helper(self) -> Steps:
        yield from self._deeper()

    def _deeper(self) -> Steps:
        yield self.lock.acquire()
        yield Until(self.now + 0.01)
        self.lock.release()

    # --- bodies -----------------------------------------------------------------------------------

    def slow_body(self, item: int) -> Steps:
        """Two seconds of waiting."""
        yield Until(self.now + 2.0)

    def body_with_permit(self, item: int) -> Steps:
        """It needs a permit, too."""
        yield self.permits.acquire()
        yield Until(self.now + 0.01)
        self.permits.release()

    def body_with_lock(self, item: int) -> Steps:
        """The same lock as the calls."""
        yield from self._helper()
