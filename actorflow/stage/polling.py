"""Polling: a producer that owes events is asked again, every so many seconds."""

from __future__ import annotations

from collections.abc import Callable

from actorflow.stage.timers import Alarm, Timers

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

    __slots__ = ("_alarm", "_ask", "_interval", "_now", "_unmet")

    def __init__(
        self,
        interval: float | None,
        timers: Timers,
        now: Callable[[], float],
        unmet: Callable[[], int],
        ask: Callable[[int], None],
    ) -> None:
        self._interval = interval
        self._alarm = Alarm(timers, self._poll)
        self._now = now
        self._unmet = unmet
        self._ask = ask

    def wanted(self) -> None:
        """Something may be owed: start the timer if it is, and none is running."""
        interval = self._interval
        if interval is not None and not self._alarm.is_set and self._unmet():
            self._alarm.set(self._now() + interval)

    def _poll(self) -> None:
        unmet = self._unmet()
        if unmet:
            self._ask(unmet)
