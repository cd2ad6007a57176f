"""How many items a stage may claim from each of its producers: pure counting."""

from __future__ import annotations

from collections.abc import Callable

from actorflow.records import dataclass

__all__ = ["Claims"]


@dataclass(slots=True)
class _Share:
    """What one producer has been asked for: what comes yet, and what has come and is not done."""

    coming: int = 0
    held: int = 0


class Claims:
    """At most so many items are asked for and not done, over all producers together.

    Each producer has an equal share of them, so that one that has nothing to give cannot hold what
    the others could use; and one at least, so that each is heard. So the limit is the number of
    producers where there are more of those. Every item is asked for when its place is free.

    Args:
        limit: how many, from 1.
        producers: how many producers there are, or are declared.
        ask: ask a producer for so many more.

    Example:
        >>> asked = []
        >>> claims = Claims(5, lambda: 1, lambda producer, count: asked.append((producer, count)))
        >>> claims.joined("queue")
        >>> claims.came("queue", 2)
        >>> claims.done("queue", 1)
        >>> asked
        [('queue', 5), ('queue', 1)]
    """

    def __init__(
        self, limit: int, producers: Callable[[], int], ask: Callable[[object, int], None]
    ) -> None:
        self._limit = limit
        self._producers = producers
        self._ask = ask
        self._shares: dict[object, _Share] = {}
        self._left = 0
        """What is held of producers that have left."""
        self._closed = False

    @property
    def claimed(self) -> int:
        """How many items have come and are not done."""
        return self._left + sum(share.held for share in self._shares.values())

    @property
    def open(self) -> int:
        """How many have been asked for and are not done."""
        return self._left + sum(share.coming + share.held for share in self._shares.values())

    def joined(self, producer: object) -> None:
        """A producer is there."""
        self._shares[producer] = _Share()
        self._refill()

    def left(self, producer: object) -> None:
        """A producer is gone; what it was asked for and had not sent, others may be asked for."""
        share = self._shares.pop(producer, None)
        if share is not None:
            self._left += share.held
            self._refill()

    def came(self, producer: object, count: int) -> None:
        """So many items have come."""
        share = self._shares.get(producer)
        if share is None:
            self._left += count
            return
        # More than was asked for is possible when a producer breaks the rules; it earns no refill.
        share.coming = max(0, share.coming - count)
        share.held += count

    def done(self, producer: object, count: int) -> None:
        """The places of so many of a producer's items are free."""
        share = self._shares.get(producer)
        if share is None:
            self._left -= count
        else:
            share.held -= count
        self._refill()

    def close(self) -> None:
        """Ask for nothing more."""
        self._closed = True

    def _refill(self) -> None:
        if self._closed or not self._shares:
            return
        number = max(len(self._shares), self._producers())
        each, more = divmod(self._limit, number)
        free = self._limit - self.open
        for place, (producer, share) in enumerate(self._shares.items()):
            has = share.coming + share.held
            wants = each + (place < more) - has
            count = min(wants, free)
            if not has and count < 1:
                count = 1  # an idle producer must not keep another from being heard
            if count > 0:
                share.coming += count
                free -= count
                self._ask(producer, count)
