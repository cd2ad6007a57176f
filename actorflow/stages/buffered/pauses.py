"""The pauses of items whose call failed and that are to be tried again.

Pure: somebody else has the clock. An item that pauses is in no call, and keeps its place: nothing
is claimed in its stead.
"""

from __future__ import annotations

from collections.abc import Callable

from actorflow.protocol.backoff import Backoff
from actorflow.stages.buffered.items import Item

__all__ = ["Pauses"]


class Pauses:
    """Items that wait until they are tried again, each for as long as the back-off says.

    Args:
        backoff: how long that is; None for no pause at all.
        who: whose calls they are, for the random part.
        after: have something called in so many seconds.
        over: called with each item whose pause is over.

    Example:
        >>> timers, again = [], []
        >>> backoff = Backoff(initial=0.5)
        >>> pauses = Pauses(backoff, "get/0", lambda *timer: timers.append(timer), again.append)
        >>> pauses.begin(Item(1, "page", None, tries=2))
        1.0
        >>> ((seconds, act),) = timers
        >>> act()
        >>> seconds, [item.number for item in again], len(pauses)
        (1.0, [1], 0)
    """

    def __init__(
        self,
        backoff: Backoff | None,
        who: str,
        after: Callable[[float, Callable[[], None]], None],
        over: Callable[[Item], None],
    ) -> None:
        self._backoff = backoff
        self._who = who
        self._after = after
        self._over = over
        self._items: dict[int, Item] = {}

    def __len__(self) -> int:
        return len(self._items)

    def begin(self, item: Item) -> float:
        """A call of this item has failed.

        Returns:
            Seconds of its pause. With 0 there is none: it is over when this returns.
        """
        if self._backoff is None:
            self._over(item)
            return 0.0
        seconds = self._backoff.pause(item.tries, f"{self._who} {item.number}")
        self._items[item.number] = item
        self._after(seconds, lambda: self._end(item.number))
        return seconds

    def end(self) -> list[Item]:
        """The stage stops: every pause ends here, and there is none from now on.

        Returns:
            What was pausing, oldest items first.
        """
        self._backoff = None
        items = [self._items[number] for number in sorted(self._items)]
        self._items.clear()
        return items

    def _end(self, number: int) -> None:
        item = self._items.pop(number, None)
        if item is not None:
            self._over(item)
