"""The partition dispatcher: each partition is a queue of its own that outlives its consumers."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from actorflow import OptionError, PartitionDispatcher, PartitionError, Refused, stable_hash
from actorflow.dispatch.base import Delivery
from actorflow.protocol.delivery import Attempt, UnfinishedBatch
from tests.dispatch.crowd import Crowd, Member
from tests.seeds import examples

NAMES = ["x", "y", 3]


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
        return [event for _, event in self.partitions._partitions[name].held]

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
        assert all(d.position == d.events[0] for d in dispatched.deliveries), "events are places"
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
TestPartition.settings = settings(deadline=None, max_examples=examples(80), stateful_step_count=50)


def test_numbered_partitions_have_a_default() -> None:
    """Without a function an event goes where its hash says, which is the same in every process."""
    dispatcher = PartitionDispatcher(partitions=4)
    for partition in range(4):
        dispatcher.subscribe(partition, str(partition), {"partition": partition})
        dispatcher.ask(partition, 100)
    events: list[Any] = [*range(20), "text", ("tuple", 1), b"bytes", None, 1.5]
    for delivery in dispatcher.dispatch(events, 0).deliveries:
        assert all(stable_hash(event) % 4 == delivery.ref for event in delivery.events)


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


def test_a_partition_named_by_a_tuple() -> None:
    """On the wire a tuple is a list; the subscription finds its partition all the same."""
    dispatcher = PartitionDispatcher(partitions=[("a", 1), ("a", (2, 3))], by="builtins:tuple")
    dispatcher.subscribe(1, "one/0", {"partition": ["a", 1]})
    dispatcher.subscribe(2, "two/0", {"partition": ["a", [2, 3]]})
    for ref in (1, 2):
        dispatcher.ask(ref, 5)
    events = [("a", (2, 3)), ("a", 1), ("a", (2, 3))]
    deliveries = dispatcher.dispatch(events, 0).deliveries
    assert {d.ref: d.events for d in deliveries} == {1: events[1:2], 2: [events[0], events[2]]}


def test_a_function_that_raises_changes_nothing() -> None:
    """The error names the event and the partitions; nobody has got anything."""
    dispatcher = PartitionDispatcher(partitions=2, by=lambda event: 1 // event)
    for partition in range(2):
        dispatcher.subscribe(partition + 1, f"{partition}/0", {"partition": partition})
        dispatcher.ask(partition + 1, 5)
    with pytest.raises(PartitionError) as caught:
        dispatcher.dispatch([1, 2, 0, 3], 0)
    assert str(caught.value) == (
        "for the event 0 the partition function raised ZeroDivisionError: integer division or"
        " modulo by zero; it must return one of 0, 1, or None to drop the event"
    )
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert (dispatcher.outstanding(1), dispatcher.outstanding(2), dispatcher.queued) == (5, 5, 0)
    assert [d.events for d in dispatcher.dispatch([1, 2, 3], 0).deliveries] == [[1], [2, 3]]


@pytest.mark.parametrize("name", [7, "x", [0], {}, ("a", [])], ids=repr)
def test_a_function_that_names_no_partition_changes_nothing(name: Any) -> None:
    """The error names the event and what was returned, also when that cannot be hashed."""
    dispatcher = PartitionDispatcher(partitions=2, by=lambda event: 1 if event < 3 else name)
    dispatcher.subscribe(1, "1/0", {"partition": 1})
    dispatcher.ask(1, 9)
    with pytest.raises(PartitionError) as caught:
        dispatcher.dispatch([1, 2, 3, 4], 0)
    assert (caught.value.problem, caught.value.event) == (f"returned {name!r}", "3")
    assert (dispatcher.outstanding(1), dispatcher.queued) == (9, 0)


def test_an_error_names_the_first_of_very_many_partitions() -> None:
    """And says how many more there are."""
    dispatcher = PartitionDispatcher(partitions=10_000, by="builtins:str")
    with pytest.raises(Refused, match=r"; partitions: 0, 1, .*, 19, and 9980 more$"):
        dispatcher.subscribe(1, "a/0", {"partition": "0"})


def test_events_beyond_the_room_are_not_asked_about() -> None:
    """The function is asked once about each event that is taken; what goes to nobody takes none."""
    asked: list[int] = []

    def parity(event: int) -> int | None:
        asked.append(event)
        return None if event % 3 == 0 else event % 2

    dispatcher = PartitionDispatcher(partitions=2, by=parity)
    dispatcher.subscribe(1, "even/0", {"partition": 0})
    dispatcher.ask(1, 3)
    dispatched = dispatcher.dispatch([0, 1, 2, 3, 6, 4, 5, 7], 0)
    assert (asked, dispatched.leftover) == ([0, 1, 2, 3, 6, 4], 2)
    assert [d.events for d in dispatched.deliveries] == [[2, 4]]
    assert (dispatcher.waiting(1), dispatcher.capacity) == (1, 0)


def test_what_waits_keeps_its_place_however_it_is_taken() -> None:
    """The place of the oldest is known exactly, also when some of a batch have left."""
    dispatcher = split("hold")
    dispatcher.dispatch([0, 2, 1, 4, 6, 8, 10, 12, 3, 14], 0)
    assert dispatcher.first_position == 6
    dispatcher.ask(1, 2)
    (delivery,) = dispatcher.ready()
    assert delivery == Delivery(1, [10, 12], 6)
    assert (dispatcher.first_position, dispatcher.held_events()) == (9, [14])


def test_another_attempt_at_an_event_leaves_alone() -> None:
    """Whatever waits before it or behind it, so that it is known what kills its consumer."""
    dispatcher = split("hold")
    dispatcher.dispatch([0, 2, 4, 6, 8, 10], 0)
    dispatcher.leave(1, successor=True)
    again = Attempt(2, alone=True, failure={})
    given = [UnfinishedBatch(1, [0], 0), UnfinishedBatch(1, [2], 1, again)]
    given += [UnfinishedBatch(1, [4], 2, again), UnfinishedBatch(2, [6, 8], 3)]
    assert dispatcher.give_back(1, given) == []
    dispatcher.subscribe(3, "0/0", {"partition": 0})
    dispatcher.ask(3, 9)
    assert dispatcher.ready() == [
        Delivery(3, [0], 0),
        Delivery(3, [2], 1, again),
        Delivery(3, [4], 2, again),
        Delivery(3, [6, 8, 10], 3),
    ]


def split(when_unassigned: str) -> PartitionDispatcher:
    """Two partitions with a consumer each, which have asked for five."""
    dispatcher = PartitionDispatcher(
        partitions=2, by=lambda event: event % 2, when_unassigned=when_unassigned
    )
    for partition in range(2):
        dispatcher.expect(f"{partition}/0")
    for partition in range(2):
        dispatcher.subscribe(partition + 1, f"{partition}/0", {"partition": partition})
        dispatcher.ask(partition + 1, 5)
    return dispatcher


def test_by_default_the_events_of_a_consumer_that_left_are_held() -> None:
    """They wait for the next one, and hold the others back once all demand is used up."""
    dispatcher = split("hold")
    dispatcher.leave(1)
    assert dispatcher.dispatch([0, 2, 1, 4, 6, 8, 3], 0).leftover == 2
    assert (dispatcher.capacity, dispatcher.waiting(0)) == (0, 4)
    assert dispatcher.take_discarded() == []


def test_events_are_stranded_when_nobody_has_their_partition_or_is_expected() -> None:
    """Not while the declared or a successor are to come, nor when somebody has taken it."""
    dispatcher = PartitionDispatcher(partitions=3, by="builtins:int")
    dispatcher.expect("0/0")
    dispatcher.expect("1/0")
    dispatcher.subscribe(1, "0/0", {"partition": 0})
    dispatcher.ask(1, 5)
    dispatcher.dispatch([1, 0], 0)
    assert not dispatcher.stranded
    dispatcher.expect_no_more("1/0")
    assert dispatcher.stranded
    dispatcher.subscribe(2, "1/0", {"partition": 1})
    assert not dispatcher.stranded
    dispatcher.dispatch([0, 2], 2)
    assert dispatcher.stranded
    dispatcher.leave(2, successor=True)
    dispatcher.subscribe(3, "2/0", {"partition": 2})
    assert not dispatcher.stranded
    dispatcher.leave(2)
    assert dispatcher.stranded


def test_dropped_are_the_events_of_a_consumer_that_left_for_good() -> None:
    """What waits and what comes; the others never notice."""
    dispatcher = split("drop")
    dispatcher.dispatch([0, 2, 4, 6, 8, 10, 12], 0)
    assert dispatcher.waiting(0) == 2
    assert not dispatcher.mark("behind")
    dispatcher.leave(1)
    assert dispatcher.take_discarded() == [10, 12]
    assert dispatcher.passed_marks() == ["behind"]
    assert (dispatcher.queued, dispatcher.capacity) == (0, 5)
    dispatched = dispatcher.dispatch([14, 1, 16, 3], 7)
    assert [(d.ref, d.events) for d in dispatched.deliveries] == [(2, [1, 3])]
    assert (dispatched.leftover, dispatcher.capacity) == (0, 3)
    assert dispatcher.take_discarded() == [14, 16]
    assert dispatcher.take_discarded() == []


def test_nothing_is_dropped_while_a_successor_or_a_declared_consumer_is_to_come() -> None:
    """Only when it is known that nobody comes."""
    dispatcher = split("drop")
    dispatcher.leave(1, successor=True)
    dispatcher.dispatch([0, 2], 0)
    dispatcher.subscribe(3, "0/0", {"partition": 0})
    dispatcher.ask(3, 9)
    assert [d.events for d in dispatcher.ready() if not hasattr(d, "token")] == [[0, 2]]
    dispatcher.expect("later/0")
    dispatcher.leave(3)
    dispatcher.dispatch([4], 2)
    assert (dispatcher.take_discarded(), dispatcher.waiting(0)) == ([], 1)
    dispatcher.expect_no_more("later/0")
    assert (dispatcher.take_discarded(), dispatcher.waiting(0)) == ([4], 0)


def test_a_successor_that_does_not_come_after_all() -> None:
    """Then what waited for it is dropped."""
    dispatcher = split("drop")
    dispatcher.leave(1, successor=True)
    dispatcher.dispatch([0, 2], 0)
    dispatcher.leave(1)
    assert dispatcher.take_discarded() == [0, 2]


def test_an_unknown_policy() -> None:
    """It is refused with what there is."""
    with pytest.raises(OptionError, match="when_unassigned must be one of hold, drop, got 'wait'"):
        PartitionDispatcher(partitions=1, when_unassigned="wait")


@given(
    events=st.lists(st.integers(0, 2), max_size=60),
    asks=st.lists(st.tuples(st.integers(1, 3), st.integers(1, 5)), max_size=12),
)
def test_no_more_waits_than_all_have_asked_for(
    events: list[int], asks: list[tuple[int, int]]
) -> None:
    """The bound of a hot partition: what waits is never more than the total open demand was."""
    dispatcher = PartitionDispatcher(partitions=3, by="builtins:int")
    for partition in range(3):
        dispatcher.subscribe(partition + 1, f"{partition}/0", {"partition": partition})
    asked = 0
    for ref, count in asks:
        dispatcher.ask(ref, count)
        asked += count
        dispatcher.ready()
    sent = sum(len(d.events) for d in dispatcher.dispatch(events, 0).deliveries) if events else 0
    assert dispatcher.queued + sent <= asked


def test_a_hot_partition_shows_in_the_description() -> None:
    """For each partition who has it, what waits and its share of all events, as plain data."""
    dispatcher = split("hold")
    dispatcher.dispatch([0, 2, 4, 6, 8, 10, 1, 12], 0)
    assert dispatcher.describe() == {
        "partitions": [
            {"partition": 0, "ref": 1, "queued": 2, "routed": 7, "share": 0.875},
            {"partition": 1, "ref": 2, "queued": 0, "routed": 1, "share": 0.125},
        ]
    }
    assert (dispatcher.waiting_for(1), dispatcher.waiting_for(2)) == (2, 0)
