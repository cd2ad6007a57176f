"""The batcher as a model: callers, an inbox, a worker with one key, a processor, and a shutdown.

A caller puts items into the inbox, the worker takes them into batches of two and decides, time may
pass between any two steps, the processor has one batch at a time. Two ways to shut down:

* ``upstream``: a request only sets a flag. The worker leaves when nothing waits in a batch and
  nothing is processed; what is in the inbox then is lost.
* ``ideal``: no more items are taken from callers, the inbox is emptied, and a part of a batch
  starts as soon as capacity is free, whatever the policy.

With five items, an inbox of three and a queue of two batches of two, the deadlocks and the trapped
states are those of the specification's table: `Size` under ``upstream`` has 1 and 6, everything
else none; an accepted item is lost under ``upstream`` alone, whatever the policy. The numbers of
states differ (80 for 81 and 105 for 181 with `Size`, 130 to 260 for 300 to 443 with the others, 12
with a loss for 15 to 25): the table's model is not written down, and here an acquisition is no
step.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import pytest

from tests.models.explorer import Exploration, Step, explore

ITEMS = 5
BATCH = 2
QUEUE = 2
INBOX = 3

Policy = Literal["immediate", "size", "duration", "balanced"]
Shutdown = Literal["upstream", "ideal"]


@dataclass(frozen=True, slots=True)
class Waiting:
    """A batch in the queue."""

    size: int
    due: bool = False


@dataclass(frozen=True, slots=True)
class State:
    """Everything there is."""

    unsent: int = ITEMS
    inbox: int = 0
    queue: tuple[Waiting, ...] = ()
    processing: int = 0
    asked: bool = False
    left: bool = False
    lost: int = 0


@dataclass(frozen=True, slots=True)
class Batcher:
    """The rules of one policy and one way to shut down."""

    policy: Policy
    shutdown: Shutdown

    def steps(self, state: State) -> Iterator[Step[State]]:
        """What may happen next."""
        yield from self.caller(state)
        if not state.asked:
            yield Step("ask", self.go_on(replace(state, asked=True)))
        if state.left:
            return
        if state.inbox:
            yield Step("take", self.take(replace(state, inbox=state.inbox - 1)))
        if state.processing:
            yield Step("finish", self.go_on(replace(state, processing=0)))
        if self.policy == "duration":
            yield from self.time(state)
        if self.may_leave(state):
            yield Step("leave", replace(state, left=True, lost=state.inbox, inbox=0))

    def caller(self, state: State) -> Iterator[Step[State]]:
        """A caller gives its next item, waits for room in the inbox, or is refused."""
        if not state.unsent:
            return
        sent = replace(state, unsent=state.unsent - 1)
        if state.left or (state.asked and self.shutdown == "ideal"):
            yield Step("refused", sent)
        elif state.inbox < INBOX:
            yield Step("add", replace(sent, inbox=state.inbox + 1))

    def take(self, state: State) -> State:
        """The worker puts an item into the newest batch, or rejects it, and decides."""
        queue, opens = state.queue, not state.queue or state.queue[-1].size == BATCH
        if opens and len(queue) == QUEUE:
            return state
        if opens:
            queue = (*queue, Waiting(1))
        else:
            queue = (*queue[:-1], replace(queue[-1], size=queue[-1].size + 1))
        placed = replace(state, queue=queue)
        full = queue[-1].size == BATCH
        starts = {
            "immediate": opens,
            "size": full,
            "duration": full,
            "balanced": opens or full,
        }[self.policy]
        if not state.processing and (starts or self.forced(state)):
            return self.start(placed, 0)
        return placed

    def go_on(self, state: State) -> State:
        """Capacity is free: the first batch that may start does."""
        if state.processing or not state.queue or state.left:
            return state
        front = state.queue[0]
        waits = self.policy in ("size", "duration") and front.size < BATCH and not front.due
        return state if waits and not self.forced(state) else self.start(state, 0)

    def time(self, state: State) -> Iterator[Step[State]]:
        """The time of a batch comes, at any moment after it was opened."""
        for place, batch in enumerate(state.queue):
            if not batch.due:
                due = (*state.queue[:place], replace(batch, due=True), *state.queue[place + 1 :])
                yield Step("due", self.go_on(replace(state, queue=due)))
                return

    def forced(self, state: State) -> bool:
        """Whether a part of a batch need not wait."""
        return state.asked and self.shutdown == "ideal"

    def may_leave(self, state: State) -> bool:
        """Whether the worker may end."""
        if not state.asked or state.queue or state.processing:
            return False
        return self.shutdown == "upstream" or not state.inbox

    @staticmethod
    def start(state: State, place: int) -> State:
        """A batch leaves the queue for the processor."""
        queue = (*state.queue[:place], *state.queue[place + 1 :])
        return replace(state, queue=queue, processing=state.queue[place].size)


def explored(policy: Policy, shutdown: Shutdown) -> Exploration[State]:
    """Every state; an end is a worker that has left, with no caller waiting for anything."""
    rules = Batcher(policy, shutdown)
    return explore(State(), rules.steps, lambda state: state.left and not state.unsent)


def losing(found: Exploration[State]) -> int:
    """How many states have lost an item that was accepted."""
    return sum(state.lost > 0 for state in found.states)


def test_size_never_leaves_with_a_part_of_a_batch() -> None:
    """Nothing more comes, and what waits is not full: one deadlock, which all of that leads to."""
    found = explored("size", "upstream")
    assert found.counts == (80, 1, 6)
    (stuck,) = found.deadlocks
    assert (stuck.queue, stuck.asked, stuck.unsent) == ((Waiting(1),), True, 0)
    assert explored("size", "ideal").free


@pytest.mark.parametrize("policy", ["immediate", "duration", "balanced"])
@pytest.mark.parametrize("shutdown", ["upstream", "ideal"])
def test_the_other_policies_always_leave(policy: Policy, shutdown: Shutdown) -> None:
    """No deadlock, nothing trapped."""
    assert explored(policy, shutdown).counts[1:] == (0, 0)


@pytest.mark.parametrize("policy", ["immediate", "size", "duration", "balanced"])
def test_an_accepted_item_is_lost_unless_the_inbox_is_emptied(policy: Policy) -> None:
    """Under every policy of the original, and under none of ours."""
    assert losing(explored(policy, "upstream")) == 12
    assert losing(explored(policy, "ideal")) == 0
