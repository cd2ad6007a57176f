"""Blobs: large buffers of events that lie in memory which producer and consumers share.

A *space* is that memory, one for each producer. A *blob* is one buffer in it, at a *place*: its
distance from the space's beginning. It is lent to every consumer that its batch is sent to, and the
room is free again when each has returned it or is gone. Pure: who has what, and where there is
room; the memory itself is the driver's (`runtime/local/space.py`).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from typing import Protocol

__all__ = ["BlobSource", "BlobSpace", "Loans", "Room"]

PAGE = 1 << 16
"""Blobs begin at multiples of this, so that no two of them share a page of memory on any system."""


class BlobSpace(Protocol):
    """A producer's space, in the hands of whoever drives it. None of it blocks or raises."""

    def put(self, link: int, data: memoryview) -> int | None:
        """Copy a buffer into the space; returns its place.

        None when there is no room, or when the consumer on this link cannot reach the space: then
        the buffer travels in the body. The blob stays until it is settled, and returned by
        everybody that it was lent to.
        """

    def reaches(self, link: int) -> bool:
        """Whether the consumer on this link can reach the space."""

    def lend(self, link: int, places: Iterable[int]) -> None:
        """A batch with these blobs is being sent on a link."""

    def settle(self, places: Iterable[int]) -> None:
        """Everybody who is to have these blobs has been lent them; or nobody is to have them."""


class BlobSource(Protocol):
    """A consumer's side of its producer's space."""

    def view(self, place: int, size: int) -> memoryview:
        """A blob. It is returned to its producer when the last view of it is gone.

        Raises:
            Undecodable: there is no such place, or the blob there is in hand already.
        """


class Room:
    """Which parts of a space are free. The first one that is large enough is taken.

    So a space that is never full is used at its beginning, again and again, and the rest of it
    takes no memory.

    Args:
        size: the space's size in bytes.

    Example:
        >>> room = Room(3 * PAGE)
        >>> room.take(PAGE), room.take(1), room.take(PAGE), room.take(1)
        (0, 65536, 131072, None)
        >>> room.give_back(65536)
        >>> room.take(PAGE + 1), room.take(PAGE)
        (None, 65536)
    """

    __slots__ = ("_ends", "_starts", "_taken")

    def __init__(self, size: int) -> None:
        # Free stretches, in order, never empty and never side by side.
        end = size // PAGE * PAGE
        self._starts = [0] if end else []
        self._ends = {0: end} if end else {}
        self._taken: dict[int, int] = {}

    def take(self, size: int) -> int | None:
        """The place of so many free bytes, from 1, which are taken now; None when there are none.

        Whole pages are taken.
        """
        whole = pages(size)
        ends = self._ends
        for index, start in enumerate(self._starts):
            end = start + whole
            if end > ends[start]:
                continue
            rest = ends.pop(start)
            if end < rest:
                self._starts[index] = end
                ends[end] = rest
            else:
                del self._starts[index]
            self._taken[start] = end
            return start
        return None

    def give_back(self, place: int) -> None:
        """What was taken here is free.

        Raises:
            KeyError: nothing was.
        """
        end = self._taken.pop(place)
        starts, ends = self._starts, self._ends
        index = bisect_left(starts, place)
        if end in ends:
            # What is behind it is free, too: one stretch.
            del starts[index]
            end = ends.pop(end)
        if index and ends[starts[index - 1]] == place:
            ends[starts[index - 1]] = end
        else:
            starts.insert(index, place)
            ends[place] = end

    @property
    def taken(self) -> int:
        """How many bytes are taken."""
        return sum(end - start for start, end in self._taken.items())


class Loans:
    """Which consumers have which blob of a space.

    Args:
        size: the space's size in bytes.

    Example:
        >>> loans = Loans(2 * PAGE)
        >>> place = loans.take(PAGE)
        >>> loans.lend(place, 7), loans.lend(place, 8), loans.settle(place)
        (None, None, None)
        >>> loans.returned(place, 7), loans.outstanding(8), loans.taken
        (True, 1, 65536)
        >>> loans.gone(8)
        >>> loans.taken
        0
    """

    __slots__ = ("_borrowers", "_lent", "_room")

    def __init__(self, size: int) -> None:
        self._room = Room(size)
        self._borrowers: dict[int, int] = {}
        self._lent: dict[int, set[int]] = {}

    def take(self, size: int) -> int | None:
        """The place for a blob of so many bytes, which stays until it is settled; None for none."""
        place = self._room.take(size)
        if place is not None:
            # Whoever puts it there has it, too.
            self._borrowers[place] = 1
        return place

    def lend(self, place: int, link: int) -> None:
        """The consumer on a link has a blob from now on, once."""
        self._borrowers[place] += 1
        self._lent.setdefault(link, set()).add(place)

    def returned(self, place: int, link: int) -> bool:
        """The consumer on a link has it no more; False when it had not."""
        lent = self._lent.get(link)
        if lent is None or place not in lent:
            return False
        lent.remove(place)
        self._less(place)
        return True

    def gone(self, link: int) -> None:
        """The consumer on a link is gone, and has nothing."""
        for place in self._lent.pop(link, ()):
            self._less(place)

    def settle(self, place: int) -> None:
        """A blob is lent to everybody who is to have it."""
        self._less(place)

    def outstanding(self, link: int) -> int:
        """How many blobs the consumer on a link has."""
        return len(self._lent.get(link, ()))

    @property
    def taken(self) -> int:
        """How many bytes of the space are taken."""
        return self._room.taken

    def _less(self, place: int) -> None:
        self._borrowers[place] -= 1
        if not self._borrowers[place]:
            del self._borrowers[place]
            self._room.give_back(place)


def pages(size: int) -> int:
    """So many bytes and what is missing to a whole page.

    Example:
        >>> pages(1), pages(65536), pages(65537)
        (65536, 65536, 131072)
    """
    return -(-size // PAGE) * PAGE
