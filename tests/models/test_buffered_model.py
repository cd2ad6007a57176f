"""Barbara's buffered stream as a model: a window of calls, one body, and permits for all of them.

Five items; at most three calls at a time. A call wants a permit, has it, and is done; a result is
taken by the body, which wants a permit, too, and ends. Two designs:

* ``same``: one task polls the window and then awaits the body: no call moves while the body runs.
* ``apart``: the calls move by themselves, whatever the body does. It is ours.

The numbers of states, of deadlocks and of trapped states are those of the specification's table in
all six rows; there the window of the second design is beside the body (``claim="window"``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import pytest

from tests.models.explorer import Exploration, Step, explore

ITEMS = 5
WINDOW = 3

Design = Literal["same", "apart"]
Call = Literal["wants", "has", "done"]


@dataclass(frozen=True, slots=True)
class State:
    """Where the items are, and the permits."""

    left: int
    permits: int
    calls: tuple[Call, ...] = ()
    body: Literal["none", "wants", "has"] = "none"

    def with_call(self, index: int, call: Call, permits: int = 0) -> State:
        """The same, with one call further and so many permits more."""
        calls = sorted((*self.calls[:index], call, *self.calls[index + 1 :]))
        return replace(self, calls=tuple(calls), permits=self.permits + permits)


def steps(
    state: State, design: Design, claim: Literal["total", "window"], ending: bool
) -> Iterator[Step[State]]:
    """What may happen next.

    Args:
        state: where everything is.
        design: who moves the calls.
        claim: whether the body's item counts for the window.
        ending: whether a body that has its permit ends.
    """
    if design == "apart" or state.body == "none":
        claimed = len(state.calls) + (claim == "total" and state.body != "none")
        if state.left and claimed < WINDOW:
            calls = tuple(sorted((*state.calls, "wants")))
            yield Step("claim", replace(state, left=state.left - 1, calls=calls))
        for index, call in enumerate(state.calls):
            if call == "wants" and state.permits:
                yield Step("permit", state.with_call(index, "has", -1))
            elif call == "has":
                yield Step("return", state.with_call(index, "done", 1))
    if state.body == "none" and "done" in state.calls:
        calls = tuple(sorted(state.calls, key=lambda call: call != "done")[1:])
        yield Step("body", replace(state, calls=tuple(sorted(calls)), body="wants"))
    elif state.body == "wants" and state.permits:
        yield Step("body's permit", replace(state, body="has", permits=state.permits - 1))
    elif state.body == "has" and ending:
        yield Step("body ends", replace(state, body="none", permits=state.permits + 1))


def explored(
    design: Design, permits: int, claim: Literal["total", "window"] = "window"
) -> Exploration[State]:
    """Every state of a design."""
    return explore(
        State(ITEMS, permits),
        lambda state: steps(state, design, claim, ending=True),
        lambda state: not state.left and not state.calls and state.body == "none",
    )


@pytest.mark.parametrize(
    ("design", "permits", "counts"),
    [
        ("same", 1, (116, 10, 10)),
        ("same", 2, (139, 3, 3)),
        ("same", 3, (145, 0, 0)),
        ("apart", 1, (138, 0, 0)),
        ("apart", 2, (171, 0, 0)),
        ("apart", 3, (183, 0, 0)),
    ],
)
def test_d_04_the_table(design: Design, permits: int, counts: tuple[int, int, int]) -> None:
    """One task for calls and body deadlocks while permits are fewer than the window; ours never."""
    assert explored(design, permits).counts == counts


@pytest.mark.parametrize("permits", [1, 2, 3])
def test_d_04_our_default_claims_no_more_than_the_window(permits: int) -> None:
    """``claim="total"``: the body's item is one of the three; free of deadlocks as well."""
    found = explored("apart", permits, "total")
    assert found.free
    assert all(len(s.calls) + (s.body != "none") <= WINDOW for s in found.states)


@pytest.mark.parametrize(("design", "free"), [("same", False), ("apart", True)])
def test_d_25_a_ready_call_moves_though_the_body_never_ends(design: Design, free: bool) -> None:
    """Fairness for the calls alone: a body that keeps its permit for ever holds up no call.

    Done is what a body that never ends leaves possible: it runs, and every claimed call is done.
    """
    found = explore(
        State(ITEMS, permits=2),
        lambda state: steps(state, design, "window", ending=False),
        lambda state: state.body == "has" and state.calls == ("done",) * WINDOW,
    )
    assert found.free is free
