"""A limit on the rate of events: the token bucket.

A consumer keeps to a rate by what it asks for. Each event that comes costs a token, and no more is
asked for than there are tokens for: so in no stretch of time come more events than the burst and
what the rate allows in that time, whatever the producer does.
"""

from __future__ import annotations

import math

from actorflow.errors import OptionError
from actorflow.records import dataclass

__all__ = ["RateLimit", "TokenBucket"]

NEARLY = 1e-6
"""Tokens that floats may have lost on the way; an event comes this part of itself too early."""

AT_MOST_EVERY = 0.001
"""Seconds between two asks of a subscription that waits for tokens."""


@dataclass(frozen=True, slots=True)
class RateLimit:
    """How many events may come in a time.

    Args:
        rate: events per second, above 0.
        burst: how many may come at once after a quiet time, from 1; None for what the rate gives in
            a tenth of a second, and at least 1.

    Raises:
        OptionError: a value breaks its rule.

    Example:
        >>> RateLimit(100).size, RateLimit(3).size, RateLimit(3, burst=5).size
        (10, 1, 5)
        >>> RateLimit(0)
        Traceback (most recent call last):
        ...
        actorflow.errors.OptionError: rate must be a number of events per second above 0, got 0
    """

    rate: float
    burst: int | None = None

    def __post_init__(self) -> None:
        rate, burst = self.rate, self.burst
        if type(rate) not in (int, float) or not 0 < rate < math.inf:
            raise OptionError("rate", "a number of events per second above 0", rate)
        if burst is not None and (type(burst) is not int or burst < 1):
            raise OptionError("burst", "an integer of at least 1", burst)

    @property
    def size(self) -> int:
        """`burst` as given, or its default."""
        return self.burst if self.burst is not None else max(1, int(self.rate / 10))

    @classmethod
    def of(cls, rate: float | None, burst: int | None) -> RateLimit | None:
        """A limit, or None when there is no rate.

        Raises:
            OptionError: a value breaks its rule, or a burst without a rate.
        """
        if rate is None:
            if burst is not None:
                raise OptionError("burst", "left out when there is no rate", burst, "give rate too")
            return None
        return cls(rate, burst)


class TokenBucket:
    """Tokens that come at a rate, up to a burst; each event takes one when it arrives.

    It is told the time, on any clock of seconds that does not go back. It begins full.

    Args:
        limit: the rate and the burst.
        now: the time.

    Example:
        >>> bucket = TokenBucket(RateLimit(10, burst=2), now=0.0)
        >>> bucket.allowance(0.0), bucket.promise(2), bucket.allowance(0.0)
        (2, None, 0)
        >>> bucket.spend(2, 0.0), bucket.wait(1, 0.0), bucket.allowance(0.1)
        (None, 0.1, 1)
    """

    __slots__ = ("_at", "_rate", "_size", "_tokens", "promised")

    def __init__(self, limit: RateLimit, now: float) -> None:
        self._rate = float(limit.rate)
        self._size = limit.size
        self._tokens = float(limit.size)
        self._at = now
        self.promised = 0
        """Events that were asked for and have not come."""

    def change(self, limit: RateLimit, now: float) -> None:
        """Go on with another limit; tokens beyond its burst are gone, none are made up for."""
        self._fill(now)
        self._rate, self._size = float(limit.rate), limit.size
        self._tokens = min(self._tokens, float(self._size))

    def allowance(self, now: float) -> int:
        """How many events may be asked for now: each has a token, and so has each on its way."""
        self._fill(now)
        return max(0, int(self._tokens + NEARLY) - self.promised)

    def promise(self, count: int) -> None:
        """So many are asked for."""
        self.promised += count

    def spend(self, count: int, now: float) -> None:
        """So many have come. Those that nobody asked for are paid for too, afterwards."""
        self._fill(now)
        self._tokens -= count
        self.promised = max(0, self.promised - count)

    def wait(self, wanted: int, now: float) -> float | None:
        """Seconds until some of `wanted` may be asked for, in asks that are not too small.

        None when it is not time that is missing: all the tokens there can be are promised, and the
        next step is that events come.
        """
        self._fill(now)
        room = self._size - self.promised
        if room < 1:
            return None
        share = max(1, min(wanted, room, math.ceil(self._rate * AT_MOST_EVERY)))
        return max(0.0, (self.promised + share - self._tokens) / self._rate)

    def _fill(self, now: float) -> None:
        passed = now - self._at
        if passed > 0:
            self._tokens = min(float(self._size), self._tokens + passed * self._rate)
            self._at = now
