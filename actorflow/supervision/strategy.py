"""Who is restarted with whom, whether at all, and when it is too often: pure decisions."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TypeVar

from actorflow.supervision.specs import Intensity

__all__ = ["RestartLog", "restart_group", "wants_restart"]

Member = TypeVar("Member")


def wants_restart(restart: str, *, normal: bool) -> bool:
    """Whether a child that ended is restarted, by its `restart` option (OTP).

    Example:
        >>> wants_restart("transient", normal=True), wants_restart("permanent", normal=True)
        (False, True)
    """
    return restart == "permanent" or (restart == "transient" and not normal)


def restart_group(strategy: str, started: Sequence[Member], failed: Member) -> list[Member]:
    """The children that are restarted when one fails, in start order, itself included.

    Args:
        strategy: the supervisor's.
        started: its children, stages or supervisors, in start order.
        failed: one of them.

    Example:
        >>> restart_group("rest_for_one", ["a", "b", "c"], "b")
        ['b', 'c']
    """
    if strategy == "one_for_all":
        return list(started)
    if strategy == "rest_for_one":
        return list(started[started.index(failed) :])
    return [failed]


class RestartLog:
    """The restarts of the last `max_seconds`.

    Example:
        >>> log = RestartLog(Intensity(max_restarts=1, max_seconds=5))
        >>> log.allows(0.0), log.allows(1.0), log.allows(7.0)
        (True, False, True)
    """

    def __init__(self, intensity: Intensity) -> None:
        self._intensity = intensity
        self._times: deque[float] = deque()

    def allows(self, now: float) -> bool:
        """Note a restart at `now`; False when that is one too many."""
        self._times.append(now)
        while self._times[0] < now - self._intensity.max_seconds:
            self._times.popleft()
        return len(self._times) <= self._intensity.max_restarts
