"""Polling: a producer that owes events is asked again, every so many seconds."""

from __future__ import annotations

from collections.abc import Callable

from actorflow.stage.timers import Timers

__all__ = ["Polling"]


class Polling:
    """The timer behind `poll_interval`: one at a time, and none while nothing is owed.

    Args:
        interval: seconds between two polls, above 0; None for never.
        timers: the stage's timers.
        now: the driver's clock, seconds, monotonic.
        unmet: how much the behaviour was asked for that somebody wants and that it has not emitted.
        ask: ask the behaviour for so much; `wanted` is called when it has answered.
    """

    __slots__ = ("_ask", "_interval", "_now", "_running", "_timers", "_unmet")

    def __init__(
        self,
        interval: float | None,
        timers: Timers,
        now: Callable[[], float],
        unmet: Callable[[], int],
        ask: Callable[[int], None],
    ) -> None:
        self._interval = interval
        self._timers = timers
        self._now = now
        self._unmet = unmet
        self._ask = ask
        self._running = False

    def wanted(self) -> None:
        """Something may be owed: start the timer if it is, and none is running."""
        interval = self._interval
        if interval is not None and not self._running and self._unmet():
            self._running = True
            self._timers.add(self._now() + interval, self._poll)

    def _poll(self) -> None:
        self._running = False
        unmet = self._unmet()
        if unmet:
            self._ask(unmet)
