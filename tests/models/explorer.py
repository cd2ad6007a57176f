"""Try every interleaving of a small model, and say which states are stuck or can never be done.

A model is a state (a frozen dataclass) and a function that yields the steps that may come next.
The explorer goes breadth first through all of them. A *deadlock* is a state that is not done and
has no step. A state is *trapped* when no order of steps leads from it to one that is done: every
deadlock is trapped, and so is a livelock, which has steps for ever.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

__all__ = ["Exploration", "Step", "TooManyStates", "explore"]

State = TypeVar("State", bound=Hashable)


class TooManyStates(AssertionError):
    """The model has more states than its test expected, or infinitely many."""


@dataclass(frozen=True, slots=True)
class Step(Generic[State]):
    """What may happen next: a name for people, and the state that follows."""

    name: str
    state: State


@dataclass(frozen=True, slots=True)
class Exploration(Generic[State]):
    """Every state that the model can reach, and which of them are not as they should be."""

    states: frozenset[State]
    ends: frozenset[State]
    """The states that are done."""
    deadlocks: frozenset[State]
    trapped: frozenset[State]
    cause: dict[State, tuple[State, str]]
    """The state from which each was first reached, and the name of the step."""

    @property
    def counts(self) -> tuple[int, int, int]:
        """The number of states, of deadlocks and of trapped states, as a table has them."""
        return len(self.states), len(self.deadlocks), len(self.trapped)

    @property
    def free(self) -> bool:
        """Whether every state can still be done."""
        return not self.trapped

    def path(self, state: State) -> list[str]:
        """The names of the steps on a shortest way to the state.

        Example:
            >>> found = explore(0, lambda n: [Step("add", n + 1)] if n < 2 else [], lambda n: n > 5)
            >>> [found.path(stuck) for stuck in found.deadlocks]
            [['add', 'add']]
        """
        names = []
        while state in self.cause:
            state, name = self.cause[state]
            names.append(name)
        return names[::-1]


def explore(
    initial: State,
    steps: Callable[[State], Iterable[Step[State]]],
    done: Callable[[State], bool],
    *,
    limit: int = 100_000,
) -> Exploration[State]:
    """Visit every state that can be reached from the initial one.

    Args:
        initial: The first state.
        steps: Which steps a state allows.
        done: Whether a state is an end that the model may stop in.
        limit: The largest number of states.

    Raises:
        TooManyStates: There are more states than `limit`.
    """
    seen: set[State] = {initial}
    waiting = deque([initial])
    cause: dict[State, tuple[State, str]] = {}
    before: dict[State, list[State]] = {}
    ends: set[State] = set()
    deadlocks: set[State] = set()
    while waiting:
        state = waiting.popleft()
        following = list(steps(state))
        if done(state):
            ends.add(state)
        elif not following:
            deadlocks.add(state)
        for step in following:
            before.setdefault(step.state, []).append(state)
            if step.state in seen:
                continue
            if len(seen) == limit:
                raise TooManyStates(f"more than {limit} states")
            seen.add(step.state)
            cause[step.state] = state, step.name
            waiting.append(step.state)
    leading = _leading_to(ends, before)
    return Exploration(
        states=frozenset(seen),
        ends=frozenset(ends),
        deadlocks=frozenset(deadlocks),
        trapped=frozenset(seen - leading),
        cause=cause,
    )


def _leading_to(ends: set[State], before: dict[State, list[State]]) -> set[State]:
    """Every state from which an end can be reached, the ends among them."""
    leading = set(ends)
    waiting = list(ends)
    while waiting:
        for state in before.get(waiting.pop(), ()):
            if state not in leading:
                leading.add(state)
                waiting.append(state)
    return leading
