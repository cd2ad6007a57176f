"""The partition dispatcher: each partition is a queue of its own that outlives its consumers."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from actorflow import OptionError, PartitionDispatcher, Refused, stable_hash
from tests.dispatch.crowd import Crowd, Member

NAMES = ["x", "y", 3]

HASHES = [3429944985, 2768625435, 1246332673, 1231433021, 3622288468]


def by(event: int) -> Any:
    """Every fourth event is of no partition."""
    return [*NAMES, None][event % 4]


class PartitionMachine(RuleBasedStateMachine):
    """Three queues; who has credit for one gets its head."""

    def __init__(self) -> None:
        super().__init__()
        self.crowd = Crowd(PartitionDispatcher(partitions=NAMES, by=by))
        self.emitted = 0
        self.done: dict[Any, list[int]] = {name: [] for name in NAMES}
        self.tokens = 0
        self.marks: dict[int, dict[Any, int]] = {}
        """For each mark, how many events of each partition are still before it."""
        self.awaited: set[Any] = set()

    @property
    def partitions(self) -> PartitionDispatcher:
        dispatcher = self.crowd.dispatcher
        assert isinstance(dispatcher, PartitionDispatcher)
        return dispatcher

    def owner(self, name: Any) -> Member | None:
        return next((m for m in self.crowd.members.values() if m.place == name), None)

    def waiting(self, name: Any) -> list[int]:
        """The events that wait for a partition."""
        queue = self.partitions._partitions[name].queue
        return [item.event for item in queue if hasattr(item, "event")]

    @rule(name=st.sampled_from(NAMES))
    def join(self, name: Any) -> None:
        """A partition has one consumer at a time, and none until the last one's fate is known."""
        if self.owner(name) is None:
            self.awaited.discard(name)
            self.crowd.join(f"consumer of {name}", name, partition=name)
        elif self.owner(name).reachable:  # type: ignore[union-attr]
            with pytest.raises(Refused, match="is taken"):
                self.crowd.join("another", name, partition=name)

    @precondition(lambda self: self.crowd.reachable)
    @rule(data=st.data(), count=st.integers(1, 6))
    def ask(self, data: st.DataObject, count: int) -> None:
        """Credit first serves what waits for this partition, from its head, in one message."""
        member = data.draw(st.sampled_from(self.crowd.reachable))
        waited, before = self.waiting(member.place), len(member.got)
        self.crowd.ask(member, count)
        assert member.got[before:] == waited[:count]
        assert self.waiting(member.place) == waited[count:]
        self.collect(member.place, len(waited[:count]))

    @rule(count=st.integers(1, 8))
    def dispatch(self, count: int) -> None:
        """Events are taken while there is room; those of no partition cost none."""
        events = list(range(self.emitted, self.emitted + count))
        room, taken = self.partitions.capacity, 0
        before = {name: len(self.waiting(name)) for name in NAMES}
        expected: dict[Any, list[int]] = {}
        credit = {m.place: m.credit for m in self.crowd.reachable}
        for event in events:
            if not room:
                break
            taken += 1
            name = by(event)
            if name is None:
                continue
            room -= 1
            if credit.get(name, 0):
                credit[name] -= 1
                expected.setdefault(name, []).append(event)
            else:
                before[name] += 1
        dispatched = self.partitions.dispatch(events, self.emitted)
        found = {self.crowd.members[d.ref].place: d.events for d in dispatched.deliveries}
        assert found == expected
        assert len(found) == len(dispatched.deliveries), "one message for each consumer"
        assert dispatched.leftover == count - taken
        assert {name: len(self.waiting(name)) for name in NAMES} == before
        self.emitted += taken
        self.crowd.take(dispatched.deliveries)

    @rule()
    def tell(self) -> None:
        """Whoever has a partition, or will take over its queue, is told in order."""
        hears = [name for name in NAMES if self.owner(name) or name in self.awaited]
        hears += [name for name in NAMES if self.partitions._partitions[name].queue]
        self.crowd.tell(self.emitted, {name: self.waiting(name) for name in hears})

    @rule()
    def mark(self) -> None:
        """A mark is passed at once when nothing waits, else behind everything that does."""
        before = {name: len(self.waiting(name)) for name in NAMES if self.waiting(name)}
        token, self.tokens = self.tokens, self.tokens + 1
        assert self.partitions.mark(token) is not bool(before)
        if before:
            self.marks[token] = before

    def collect(self, name: Any, left: int) -> None:
        """Events of a partition have left: which marks does that pass?"""
        due = []
        for token, before in self.marks.items():
            if name in before:
                before[name] -= left
                if before[name] <= 0:
                    del before[name]
            if not before:
                due.append(token)
        for token in due:
            del self.marks[token]
        assert self.partitions.passed_marks() == due

    @precondition(lambda self: self.crowd.members)
    @rule(data=st.data(), batches=st.integers(1, 3))
    def finish(self, data: st.DataObject, batches: int) -> None:
        """A consumer acknowledges."""
        self.crowd.finish(data.draw(st.sampled_from(list(self.crowd.members.values()))), batches)

    @precondition(lambda self: self.crowd.reachable)
    @rule(data=st.data())
    def break_link(self, data: st.DataObject) -> None:
        """An unreachable consumer keeps its partition; its events wait."""
        self.crowd.break_link(data.draw(st.sampled_from(self.crowd.reachable)))

    @precondition(lambda self: self.crowd.members)
    @rule(data=st.data(), comes=st.booleans())
    def leave(self, data: st.DataObject, comes: bool) -> None:
        """The partition is free, and what was not finished is first in its queue."""
        member: Member = data.draw(st.sampled_from(list(self.crowd.members.values())))
        waited, unfinished = self.waiting(member.place), member.unfinished()
        self.done[member.place] += member.got[: member.finished]
        self.partitions.leave(member.ref, successor=comes)
        assert self.partitions.give_back(member.ref, member.store.give_back()) == []
        assert self.waiting(member.place) == unfinished + waited
        self.partitions.forget(member.ref)
        del self.crowd.members[member.ref]
        if comes:
            self.awaited.add(member.place)
        for before in self.marks.values():
            if member.place in before:
                before[member.place] += len(unfinished)
        self.crowd.take(self.partitions.ready())

    @invariant()
    def nothing_is_lost_or_reordered(self) -> None:
        """Finished, unfinished and waiting together are every event of the partition, in order."""
        self.crowd.check()
        for name in NAMES:
            owner = self.owner(name)
            found = self.done[name] + (owner.got if owner else []) + self.waiting(name)
            assert found == [event for event in range(self.emitted) if by(event) == name]
            assert self.partitions.waiting(name) == len(self.waiting(name))
            assert not (owner and owner.credit and self.waiting(name))

    @invariant()
    def what_waits_counts_against_all(self) -> None:
        """Capacity is all credit less all that waits."""
        credit = sum(member.credit for member in self.crowd.members.values())
        waiting = sum(len(self.waiting(name)) for name in NAMES)
        assert self.partitions.capacity == max(0, credit - waiting)
        assert self.partitions.queued == waiting


TestPartition = PartitionMachine.TestCase
TestPartition.settings = settings(deadline=None, max_examples=80, stateful_step_count=50)


def test_numbered_partitions_have_a_default() -> None:
    """Without a function an event goes where its hash says, which is the same in every process."""
    dispatcher = PartitionDispatcher(partitions=4)
    for partition in range(4):
        dispatcher.subscribe(partition, str(partition), {"partition": partition})
        dispatcher.ask(partition, 100)
    events: list[Any] = [*range(20), "text", ("tuple", 1), b"bytes", None, 1.5]
    for delivery in dispatcher.dispatch(events, 0).deliveries:
        assert all(stable_hash(event) % 4 == delivery.ref for event in delivery.events)


def test_a_hash_is_the_same_in_every_process() -> None:
    """Which partition an event goes to must not change with a restart, nor with a new version."""
    values = ["a", 1, b"a", None, 1.5]
    assert [stable_hash(value) for value in values] == HASHES


def test_a_function_that_cannot_be_imported() -> None:
    """It is refused when the dispatcher is made, with what is wrong."""
    with pytest.raises(OptionError, match="by must be a function or 'module:name'"):
        PartitionDispatcher(partitions=2, by="no.such.module:name")


def test_a_partition_may_be_named_by_the_text_of_a_function() -> None:
    """The function may be given as a callable or by its name."""
    dispatcher = PartitionDispatcher(partitions=["1", "2"], by="builtins:str")
    dispatcher.subscribe(1, "one", {"partition": "1"})
    dispatcher.ask(1, 2)
    (delivery,) = dispatcher.dispatch([1, 2], 0).deliveries
    assert delivery.events == [1]
    assert dispatcher.waiting("2") == 1
