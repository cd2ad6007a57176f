"""Room in a space, and who has which blob of it."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
)

from actorflow.protocol.blobs import PAGE, Loans, Room, pages
from tests.seeds import examples

SPACE = 12
"""Pages of the space: few, so that it is full now and then."""

CONSUMERS = (3, 5, 8)
sizes = st.integers(1, 5 * PAGE)


class RoomMachine(RuleBasedStateMachine):
    """Compared with a row of pages, each free or not."""

    places = Bundle("places")

    def __init__(self) -> None:
        super().__init__()
        self.room = Room(SPACE * PAGE + 17)
        self.row = [False] * SPACE
        self.sizes: dict[int, int] = {}

    @rule(target=places, size=sizes)
    def take(self, size: int) -> object:
        """The first stretch that is long enough, or none when there is none."""
        count = pages(size) // PAGE
        starts = range(SPACE - count + 1)
        first = next((s for s in starts if not any(self.row[s : s + count])), None)
        place = self.room.take(size)
        if first is None:
            assert place is None
            return multiple()
        assert place == first * PAGE
        self.row[first : first + count] = [True] * count
        self.sizes[place] = count
        return place

    @rule(place=consumes(places))
    def give_back(self, place: int) -> None:
        """What was taken is free, and nothing else."""
        self.room.give_back(place)
        count = self.sizes.pop(place)
        self.row[place // PAGE : place // PAGE + count] = [False] * count

    @invariant()
    def as_many_are_taken(self) -> None:
        """Nothing is lost, or free twice."""
        assert self.room.taken == sum(self.row) * PAGE


class LoansMachine(RuleBasedStateMachine):
    """Compared with sets: a blob stays while its maker or a consumer has it."""

    blobs = Bundle("blobs")

    def __init__(self) -> None:
        super().__init__()
        self.loans = Loans(SPACE * PAGE)
        self.holders: dict[int, set[int]] = {}
        self.sizes: dict[int, int] = {}

    @rule(target=blobs, size=sizes, to=st.sets(st.sampled_from(CONSUMERS)))
    def make(self, size: int, to: set[int]) -> object:
        """A blob is put, lent to some, and settled."""
        place = self.loans.take(size)
        if place is None:
            return multiple()
        assert place not in self.holders
        for link in to:
            self.loans.lend(place, link)
        self.loans.settle(place)
        if to:
            self.holders[place], self.sizes[place] = set(to), pages(size)
        return place

    @rule(place=blobs, link=st.sampled_from(CONSUMERS))
    def returns(self, place: int, link: int) -> None:
        """Only who has a blob can return it, and once."""
        has = link in self.holders.get(place, ())
        assert self.loans.returned(place, link) == has
        if has:
            self._less(place, link)

    @rule(link=st.sampled_from(CONSUMERS))
    def goes(self, link: int) -> None:
        """Who is gone has nothing."""
        self.loans.gone(link)
        for place in [place for place, links in self.holders.items() if link in links]:
            self._less(place, link)

    def _less(self, place: int, link: int) -> None:
        self.holders[place].discard(link)
        if not self.holders[place]:
            del self.holders[place]

    @invariant()
    def what_nobody_has_is_free(self) -> None:
        """And what somebody has is not."""
        assert self.loans.taken == sum(self.sizes[place] for place in self.holders)
        for link in CONSUMERS:
            held = sum(link in links for links in self.holders.values())
            assert self.loans.outstanding(link) == held


TestRoom = RoomMachine.TestCase
TestLoans = LoansMachine.TestCase
TestRoom.settings = TestLoans.settings = settings(max_examples=examples(60), deadline=None)


def test_a_space_below_a_page_has_no_room() -> None:
    """Nothing is taken of it, and nothing goes wrong."""
    assert Room(PAGE - 1).take(1) is None


def test_what_was_not_taken_cannot_be_given_back() -> None:
    """A mistake of ours shows, before memory is given to two."""
    room = Room(4 * PAGE)
    place = room.take(2 * PAGE)
    assert place == 0
    for wrong in (PAGE, 4 * PAGE):
        with pytest.raises(KeyError):
            room.give_back(wrong)
    room.give_back(place)
    with pytest.raises(KeyError):
        room.give_back(place)
