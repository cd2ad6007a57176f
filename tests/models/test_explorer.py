"""The explorer itself: what it calls stuck, trapped and too many."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from tests.models.explorer import Step, TooManyStates, explore


def test_a_model_that_always_ends_has_no_trapped_state() -> None:
    """Counting to three ends, whichever of two steps comes first."""

    def steps(state: tuple[int, int]) -> Iterable[Step[tuple[int, int]]]:
        left, right = state
        if left < 3:
            yield Step("left", (left + 1, right))
        if right < 3:
            yield Step("right", (left, right + 1))

    found = explore((0, 0), steps, lambda state: state == (3, 3))
    assert found.counts == (16, 0, 0)
    assert found.free


def test_a_state_without_a_step_is_a_deadlock_with_a_way_to_it() -> None:
    """Two that each take two forks, one after the other, and in opposite order."""

    def steps(state: str) -> Iterable[Step[str]]:
        if state == "":
            yield Step("a takes the first", "a")
            yield Step("b takes the second", "b")
        elif state == "a":
            yield Step("a takes the second", "done")
            yield Step("b takes the second", "ab")
        elif state == "b":
            yield Step("b takes the first", "done")
            yield Step("a takes the first", "ab")

    found = explore("", steps, lambda state: state == "done")
    assert found.deadlocks == {"ab"} == found.trapped
    assert found.path("ab") == ["a takes the first", "b takes the second"]


def test_a_livelock_is_trapped_though_it_always_has_a_step() -> None:
    """Two that step aside for each other, for ever."""
    found = explore(0, lambda state: [Step("aside", 1 - state)], lambda state: state > 1)
    assert found.counts == (2, 0, 2)


def test_a_model_without_end_is_refused() -> None:
    """A counter that only grows."""
    with pytest.raises(TooManyStates, match="more than 50"):
        explore(0, lambda state: [Step("add", state + 1)], lambda state: False, limit=50)
