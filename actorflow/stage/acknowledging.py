"""Acknowledgements that no ask has carried leave by themselves, soon."""

from __future__ import annotations

from collections.abc import Callable

from actorflow.stage.timers import Alarm, Timers

__all__ = ["ACKNOWLEDGE_WITHIN", "Acknowledging"]

ACKNOWLEDGE_WITHIN = 0.005
"""Seconds that an acknowledgement may wait for an ask to carry it: short against a person's
patience at the end of a run, long against the time between two asks of a busy subscription."""


class Acknowledging:
    """The timer behind `ACKNOWLEDGE_WITHIN`: one at a time, for all subscriptions together.

    Args:
        timers: the stage's timers.
        now: the driver's clock, seconds, monotonic.
        acknowledge: sends what is to be acknowledged.
    """

    __slots__ = ("_alarm", "_now")

    def __init__(
        self, timers: Timers, now: Callable[[], float], acknowledge: Callable[[], None]
    ) -> None:
        self._alarm = Alarm(timers, acknowledge)
        self._now = now

    def wanted(self) -> None:
        """There is something to acknowledge."""
        if not self._alarm.is_set:
            self._alarm.set(self._now() + ACKNOWLEDGE_WITHIN)
