"""A window whose events are paid for with tokens."""

from __future__ import annotations

from collections.abc import Callable

from actorflow.protocol.demand import Batch, Window
from actorflow.protocol.rate import TokenBucket

__all__ = ["LimitedWindow"]


class LimitedWindow:
    """A window whose events are paid for with tokens as they come.

    Args:
        automatic: the subscription's own window.
        bucket: where tokens come from.
        now: the clock.
    """

    __slots__ = ("_now", "adapts", "automatic", "bucket")

    def __init__(self, automatic: Window, bucket: TokenBucket, now: Callable[[], float]) -> None:
        self.automatic = automatic
        self.bucket = bucket
        self.adapts = automatic.adapts
        self._now = now

    def take(self, count: int) -> int | None:
        """As `Window.take`."""
        ask = self.automatic.take(count)
        if ask is not None:
            self.bucket.spend(count, self._now())
        return ask

    def split(self, count: int) -> list[Batch]:
        """As `Window.split`."""
        self.bucket.spend(count, self._now())
        return self.automatic.split(count)

    def measured(self, events: int, seconds: float) -> int:
        """As `Window.measured`."""
        return self.automatic.measured(events, seconds)
