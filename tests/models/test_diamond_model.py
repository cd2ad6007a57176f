"""A diamond: a broadcast to a filter and to an identity, and a zip of both.

The filter lets one event of `keeps` through. With places for one event everywhere, the zip waits
for the filter, the filter for the source, the source for the identity's place, and the identity's
event for the zip. A limit for the skew, which widens the full place that blocks (Parks' rule), is
what the specification asks for; `actorflow.Zip` has `skew_limit`.

The specification's table has 48 states for `keeps=1` and 7 to 11 for more, one of them stuck; with
growth 33. Where its events are held on the way is not written down, so only the numbers of stuck
and trapped states are matched.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from tests.models.explorer import Exploration, Step, explore

EVENTS = 8


@dataclass(frozen=True, slots=True)
class Diamond:
    """The numbers of the events on each way."""

    next: int = 0
    to_filter: tuple[int, ...] = ()
    in_filter: int | None = None
    filtered: tuple[int, ...] = ()
    straight: tuple[int, ...] = ()
    room: int = 1
    """The places on the straight way; every other has one."""

    @property
    def done(self) -> bool:
        """The source has ended, and one side of the zip has nothing more to come."""
        nothing_filtered = not self.to_filter and self.in_filter is None and not self.filtered
        return self.next == EVENTS and (nothing_filtered or not self.straight)


def steps(diamond: Diamond, keeps: int) -> Iterator[Step[Diamond]]:
    """What the source, the filter or the zip may do next."""
    event = diamond.next
    if event < EVENTS and not diamond.to_filter and len(diamond.straight) < diamond.room:
        straight = (*diamond.straight, event)
        yield Step(
            "broadcast", replace(diamond, next=event + 1, to_filter=(event,), straight=straight)
        )
    if diamond.to_filter and diamond.in_filter is None:
        yield Step("take", replace(diamond, to_filter=(), in_filter=diamond.to_filter[0]))
    if diamond.in_filter is not None:
        if (diamond.in_filter + 1) % keeps:
            yield Step("drop", replace(diamond, in_filter=None))
        elif not diamond.filtered:
            yield Step("keep", replace(diamond, in_filter=None, filtered=(diamond.in_filter,)))
    if diamond.filtered and diamond.straight:
        yield Step("zip", replace(diamond, filtered=(), straight=diamond.straight[1:]))


def widened(diamond: Diamond, keeps: int) -> Iterator[Step[Diamond]]:
    """The same, and where nothing else can happen the straight way gets one more place."""
    possible = list(steps(diamond, keeps))
    if not possible and not diamond.done:
        possible.append(Step("widen", replace(diamond, room=diamond.room + 1)))
    yield from possible


def explored(keeps: int, *, grows: bool = False) -> Exploration[Diamond]:
    """Every state of a diamond whose filter keeps one event of `keeps`."""
    rules = widened if grows else steps
    return explore(Diamond(), lambda state: rules(state, keeps), lambda state: state.done)


def test_a_diamond_that_drops_nothing_always_ends() -> None:
    """Both sides of the zip get the same number of events."""
    assert explored(1).free


@pytest.mark.parametrize("keeps", [2, 3, 4])
def test_m32_a_diamond_that_drops_gets_stuck(keeps: int) -> None:
    """There is one way to be stuck, and every state leads to it."""
    found = explored(keeps)
    assert len(found.deadlocks) == 1
    assert found.trapped == found.states
    (stuck,) = found.deadlocks
    assert (stuck.filtered, stuck.straight) == ((), (0,))


@pytest.mark.parametrize("keeps", [2, 3, 4])
def test_a_diamond_that_grows_always_ends(keeps: int) -> None:
    """The straight way becomes as long as the skew, and no longer."""
    found = explored(keeps, grows=True)
    assert found.free
    assert max(state.room for state in found.states) < EVENTS
