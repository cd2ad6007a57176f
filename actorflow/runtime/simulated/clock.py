"""A clock that moves when it is told to."""

from __future__ import annotations

import math

from actorflow.errors import OptionError
from actorflow.protocol.arguments import check_seconds

__all__ = ["FakeClock"]


class FakeClock:
    """A monotonic clock without time of its own; calling it gives the time, in seconds.

    It stands wherever a ``Callable[[], float]`` such as `time.monotonic` does.

    Args:
        start: the first reading.

    Example:
        >>> clock = FakeClock()
        >>> clock.advance(1.5)
        >>> clock()
        1.5
    """

    __slots__ = ("_now",)

    def __init__(self, start: float = 0.0) -> None:
        if type(start) not in (int, float) or not math.isfinite(start):
            raise OptionError("start", "a finite number", start)
        self._now = float(start)

    def __call__(self) -> float:
        """The time, in seconds."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Let so many seconds pass.

        Raises:
            OptionError: a clock does not run backwards.
        """
        self._now += check_seconds("seconds", seconds)

    def advance_to(self, moment: float) -> None:
        """Let the time be `moment`; nothing when that is past."""
        self._now = max(self._now, moment)
