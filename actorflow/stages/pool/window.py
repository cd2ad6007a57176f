"""How many events of one producer may be under way or unfinished: a limit that may grow."""

from __future__ import annotations

from actorflow.stages.pool.options import InFlight

__all__ = ["SourceWindow"]


class SourceWindow:
    """The window of one subscription, asked for by hand.

    The limit grows when the producer had to wait although workers could have had more: everything
    it may send is here and unfinished, and nothing of it waits for a worker. It falls back, by
    halves, when nothing comes. Additive increase, multiplicative decrease.

    Args:
        options: the limit, and how far and by how much it grows.

    Example:
        >>> window = SourceWindow(InFlight(limit=4, most=16))
        >>> window.ask(window.room(100, 100)), window.arrived(4), window.finished(4, True)
        (4, None, None)
        >>> window.limit
        8
    """

    def __init__(self, options: InFlight) -> None:
        self.limit = options.limit
        self.asked = 0
        """How many events were asked for and have not come."""
        self.unfinished = 0
        """How many have come and are not finished."""
        self._options = options
        self._most = options.limit if options.most is None else options.most
        self._waited = False
        self._quiet = False

    @property
    def grown(self) -> bool:
        """Whether the limit is above where it began."""
        return self.limit > self._options.limit

    def room(self, free: int, share: int) -> int:
        """How many to ask for now.

        Half of what there may be at a time, so that asks are few and batches large; and whatever
        there is room for when nothing is here.

        Args:
            free: how many the pool could take.
            share: how many it could take if it had none.
        """
        room = min(self.limit - self.asked - self.unfinished, free)
        most = min(self.limit, share)
        return room if room > 0 and (2 * room >= most or not self._any) else 0

    def ask(self, count: int) -> int:
        """So many have been asked for; returns the same."""
        self.asked += count
        return count

    def arrived(self, count: int) -> None:
        """So many have come."""
        self.asked = max(0, self.asked - count)
        self.unfinished += count
        self._quiet = False
        self._waited = self._waited or self.unfinished >= self.limit

    def finished(self, count: int, hungry: bool) -> None:
        """So many are finished; if the producer had to wait for that, it may send more now.

        Args:
            count: how many.
            hungry: whether nothing waits for a worker.
        """
        self.unfinished -= count
        if self._waited and hungry:
            self._waited = False
            self.limit = min(self._most, self.limit + self._options.step)

    def look(self) -> None:
        """Time has passed: if nothing has come since the last look, the limit is halved."""
        if self._quiet and not self.unfinished:
            self.limit = max(self._options.limit, self.limit // 2)
        self._quiet = True

    @property
    def _any(self) -> bool:
        return self.asked + self.unfinished > 0
