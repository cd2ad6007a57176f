"""What an asynchronous stage says of its items."""

from __future__ import annotations

from actorflow.records import dataclass

__all__ = ["CallCounts"]


@dataclass(frozen=True, slots=True)
class CallCounts:
    """Where an asynchronous stage's items are, and what became of those before.

    Args:
        waiting: claimed, and no call has begun, or it is to be tried again; `pausing` are among
            them.
        in_flight: in a call.
        ready: their result waits for its turn.
        handed_over: their result is emitted, and their place not free yet.
        items: how many have come in this life of the stage.
        retried: how often a call was tried again.
        failed: how many failed for good and were skipped, or became an `ItemFailed`.
        cancelled: how many a stop has cancelled.
        pausing: how many wait for the end of the pause before they are tried again.

    Example:
        >>> counts = CallCounts(waiting=2, in_flight=5, ready=1, handed_over=1, pausing=1)
        >>> counts.claimed
        9
    """

    waiting: int
    in_flight: int
    ready: int
    handed_over: int
    items: int = 0
    retried: int = 0
    failed: int = 0
    cancelled: int = 0
    pausing: int = 0

    @property
    def claimed(self) -> int:
        """How many have come and have not been done with."""
        return self.waiting + self.in_flight + self.ready + self.handed_over
