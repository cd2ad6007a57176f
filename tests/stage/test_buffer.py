"""The producer's buffer against a plain list."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from actorflow.stage.buffer import Buffer, Chunk
from tests.seeds import examples

Entry = tuple[str, Any, int]
"""``("event", event, place)``, ``("returned", event, place)`` or ``("mark", token, -1)``."""


class BufferMachine(RuleBasedStateMachine):
    """A buffer and a list that is changed by the rules, entry by entry."""

    @initialize(size=st.none() | st.integers(0, 6), keep=st.sampled_from(["first", "last"]))
    def begin(self, size: int | None, keep: str) -> None:
        self.buffer = Buffer(size, keep)
        self.size, self.keep = size, keep
        self.model: list[Entry] = []
        self.places = itertools.count()
        self.tokens = itertools.count()
        self.taken: list[tuple[list[Any], int]] = []

    def fresh(self) -> list[Entry]:
        return [entry for entry in self.model if entry[0] == "event"]

    @rule(count=st.integers(1, 9))
    def put(self, count: int) -> None:
        """Events are appended; what is too much is dropped, but never what came back."""
        places = list(itertools.islice(self.places, count))
        events = [f"event {place}" for place in places]
        new: list[Entry] = [
            ("event", event, place) for event, place in zip(events, places, strict=True)
        ]
        excess = 0 if self.size is None else max(0, len(self.fresh()) + count - self.size)
        if self.keep == "first":
            kept = count - min(excess, count)
            dropped = [event for _, event, _ in new[kept:]]
            self.model += new[:kept]
        else:
            candidates = [*self.fresh(), *new]
            lost = candidates[:excess]
            dropped = [event for _, event, _ in lost]
            self.model = [entry for entry in [*self.model, *new] if entry not in lost]
        assert self.buffer.put(events, places[0]) == dropped

    @rule()
    def mark(self) -> None:
        """A mark goes to the end, and needs no place when there is nothing before it."""
        token = next(self.tokens)
        assert self.buffer.mark(token) is not bool(self.model)
        if self.model:
            self.model.append(("mark", token, -1))

    @rule(count=st.integers(-1, 9))
    def take(self, count: int) -> None:
        """The oldest events come out, up to a mark, or to a gap in their places."""
        expected: list[Entry] = []
        for entry in self.model[: max(count, 0)]:
            if entry[0] == "mark" or (expected and entry[2] != expected[-1][2] + 1):
                break
            expected.append(entry)
        del self.model[: len(expected)]
        chunk = self.buffer.take(count)
        if not expected:
            assert chunk is None
            return
        assert chunk is not None
        assert chunk.events == [event for _, event, _ in expected]
        assert chunk.position == expected[0][2]
        self.taken.append((chunk.events, chunk.position))

    @precondition(lambda self: self.taken)
    @rule(data=st.data())
    def put_back(self, data: st.DataObject) -> None:
        """What was taken comes back in its place among what is left, before any mark."""
        index = data.draw(st.integers(0, len(self.taken) - 1))
        events, position = self.taken.pop(index)
        at = 0
        while at < len(self.model) and self.model[at][0] != "mark" and self.model[at][2] < position:
            at += 1
        self.model[at:at] = [
            ("returned", event, position + offset) for offset, event in enumerate(events)
        ]
        self.buffer.put_back(events, position)

    @rule()
    def due_marks(self) -> None:
        """Marks that nothing is before come out in order."""
        due = list(itertools.takewhile(lambda entry: entry[0] == "mark", self.model))
        del self.model[: len(due)]
        assert self.buffer.due_marks() == [token for _, token, _ in due]

    @invariant()
    def agrees(self) -> None:
        """Counts, emptiness and the oldest place are the list's."""
        places = [place for kind, _, place in self.model if kind != "mark"]
        assert self.buffer.count == len(places)
        assert self.buffer.empty is not bool(self.model)
        assert self.buffer.first_position == (places[0] if places else None)
        if self.size is not None:
            assert len(self.fresh()) <= self.size


TestBuffer = BufferMachine.TestCase
TestBuffer.settings = settings(deadline=None, max_examples=examples(150), stateful_step_count=40)


def test_what_came_back_is_never_dropped() -> None:
    """Events that were sent once do not count against the size, and give way to no new ones."""
    for keep, survivors in (("last", ["new"]), ("first", ["new"])):
        buffer = Buffer(1, keep)
        buffer.put_back(["a", "b", "c"], 0)
        assert buffer.put(["new"], 7) == []
        assert buffer.take(9) == Chunk(["a", "b", "c"], 0)
        assert buffer.take(9) == Chunk(survivors, 7)


def test_a_buffer_of_0_still_takes_what_comes_back() -> None:
    """Also a producer without a buffer delivers again what a dead consumer had not finished."""
    buffer = Buffer(0)
    buffer.put_back(["a"], 0)
    assert buffer.put(["b"], 1) == ["b"]
    assert buffer.take(5) == Chunk(["a"], 0)


@pytest.mark.parametrize("size", [None, 10**6])
def test_taking_little_from_much(size: int | None) -> None:
    """A long emission taken one by one costs a little per event, however much is left."""
    buffer = Buffer(size)
    events = list(range(200_000))
    buffer.put(events, 0)
    for expected in range(2000):
        chunk = buffer.take(1)
        assert chunk is not None
        assert (chunk.events, chunk.position) == ([expected], expected)
    chunk = buffer.take(198_000)
    assert chunk is not None
    assert chunk.events == events[2000:]
    assert longest_run(events) <= 2048


def longest_run(events: list[int]) -> int:
    """How many events one take from a long emission has to move at most."""
    buffer = Buffer(None)
    buffer.put(events, 0)
    return max(len(entry.events) for entry in buffer.entries if isinstance(entry, Chunk))


def test_putting_one_into_a_full_buffer() -> None:
    """A stream through a full buffer drops the oldest, one for one."""
    buffer = Buffer(5000)
    buffer.put(list(range(5000)), 0)
    for number in range(5000, 9000):
        assert buffer.put([number], number) == [number - 5000]
    chunk = buffer.take(9000)
    assert chunk is not None
    assert chunk.events == list(range(4000, 9000))
