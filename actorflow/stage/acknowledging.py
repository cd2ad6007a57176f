"""Acknowledgements that no ask has carried leave by themselves, soon."""

from __future__ import annotations

from collections.abc import Callable

from actorflow.stage.timers import Timers

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

    __slots__ = ("_acknowledge", "_now", "_running", "_timers")

    def __init__(
        self, timers: Timers, now: Callable[[], float], acknowledge: Callable[[], None]
    ) -> None:
        self._timers = timers
        self._now = now
        self._acknowledge = acknowledge
        self._running = False

    def wanted(self) -> None:
        """There is something to acknowledge."""
        if not self._running:
            self._running = True
            self._timers.add(self._now() + ACKNOWLEDGE_WITHIN, self._fire)

    def _fire(self) -> None:
        self._running = False
        self._acknowledge()
