"""The broadcast dispatcher: each place sees each event that its selector takes, in order."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from actorflow import BroadcastDispatcher, CannotServe, Refused
from tests.dispatch.crowd import Crowd, Member
from tests.seeds import examples

SELECTORS: dict[str, Any] = {
    "a": None,
    "b": lambda event: event % 2 == 0,
    "c": lambda event: False,
    "d": None,
}


class BroadcastMachine(RuleBasedStateMachine):
    """Places by name; a place is kept for a successor, or given up."""

    def __init__(self) -> None:
        super().__init__()
        self.crowd = Crowd(BroadcastDispatcher())
        self.emitted = 0
        self.since: dict[str, int] = {}
        """At which event a place began."""
        self.done: dict[str, list[Any]] = {}
        """What a place's consumers finished, the dead ones included."""
        self.awaited: dict[str, int] = {}
        """Whose successor is expected, and under which ref it was."""
        self.expected: set[str] = set()

    def backlog(self, name: str) -> list[Any]:
        """What waits in a place."""
        member = next((m for m in self.crowd.members.values() if m.name == name), None)
        ref = self.awaited.get(name) if member is None else member.ref
        places: Any = self.crowd.dispatcher
        return [event for batch in places._places[ref].batches for event in batch.events]

    @rule()
    def tell(self) -> None:
        """Every place hears it, also one whose next consumer is still to come."""
        names = {*self.awaited, *(member.name for member in self.crowd.members.values())}
        self.crowd.tell(self.emitted, {name: self.backlog(name) for name in names})

    @rule(name=st.sampled_from("abcd"))
    def join(self, name: str) -> None:
        """A consumer subscribes once; the successor of one that is awaited takes over its place."""
        if any(member.name == name for member in self.crowd.members.values()):
            if next(m for m in self.crowd.members.values() if m.name == name).reachable:
                with pytest.raises(Refused, match="already_subscribed"):
                    self.crowd.join(name, name, selector=SELECTORS[name])
            return
        member = self.crowd.join(name, name, selector=SELECTORS[name])
        self.expected.discard(name)
        if name in self.awaited:
            self.crowd.dispatcher.succeed(self.awaited.pop(name), member.ref)
        else:
            self.since[name], self.done[name] = self.emitted, []

    @rule(name=st.sampled_from("abcd"), more=st.booleans())
    def expect(self, name: str, more: bool) -> None:
        """A declared consumer is waited for, until it has subscribed or will not."""
        if more and not any(member.name == name for member in self.crowd.members.values()):
            self.crowd.dispatcher.expect(name)
            self.expected.add(name)
        else:
            self.crowd.dispatcher.expect_no_more(name)
            self.expected.discard(name)

    @precondition(lambda self: self.crowd.reachable)
    @rule(data=st.data(), count=st.integers(1, 6))
    def ask(self, data: st.DataObject, count: int) -> None:
        """Credit first serves what waits for this consumer."""
        member = data.draw(st.sampled_from(self.crowd.reachable))
        waited = len(self.backlog(member.name))
        self.crowd.ask(member, count)
        assert len(self.backlog(member.name)) == max(0, waited - count)

    @rule(count=st.integers(1, 8))
    def dispatch(self, count: int) -> None:
        """What all can take goes to each, encoded once where it is the same."""
        events = list(range(self.emitted, self.emitted + count))
        take = min(count, self.crowd.dispatcher.capacity)
        dispatched = self.crowd.dispatcher.dispatch(events, self.emitted)
        assert dispatched.leftover == count - take
        without = [d.events for d in dispatched.deliveries if self.selector(d.ref) is None]
        assert all(each is without[0] for each in without)
        self.crowd.take(dispatched.deliveries)
        self.emitted += take

    def selector(self, ref: int) -> Any:
        return SELECTORS[self.crowd.members[ref].name]

    @precondition(lambda self: self.crowd.members)
    @rule(data=st.data(), batches=st.integers(1, 3))
    def finish(self, data: st.DataObject, batches: int) -> None:
        """A consumer acknowledges."""
        self.crowd.finish(data.draw(st.sampled_from(list(self.crowd.members.values()))), batches)

    @precondition(lambda self: self.crowd.reachable)
    @rule(data=st.data())
    def break_link(self, data: st.DataObject) -> None:
        """A consumer that is unreachable keeps its place, and everybody waits."""
        self.crowd.break_link(data.draw(st.sampled_from(self.crowd.reachable)))

    @precondition(lambda self: self.crowd.members)
    @rule(data=st.data(), comes=st.booleans())
    def leave(self, data: st.DataObject, comes: bool) -> None:
        """With a successor coming the place is kept, with what was not finished first in it."""
        member: Member = data.draw(st.sampled_from(list(self.crowd.members.values())))
        self.done[member.name] += member.got[: member.finished]
        self.crowd.dispatcher.leave(member.ref, successor=comes)
        assert self.crowd.dispatcher.give_back(member.ref, member.store.give_back()) == []
        del self.crowd.members[member.ref]
        if comes:
            self.awaited[member.name] = member.ref
        else:
            self.crowd.said.pop(member.name, None)
            self.crowd.dispatcher.forget(member.ref)

    @precondition(lambda self: self.awaited)
    @rule(data=st.data())
    def give_up(self, data: st.DataObject) -> None:
        """The successor does not come after all: nobody waits for it any more."""
        name = data.draw(st.sampled_from(sorted(self.awaited)))
        self.crowd.dispatcher.leave(self.awaited.pop(name))
        self.crowd.said.pop(name, None)

    @invariant()
    def nobody_misses_anything(self) -> None:
        """Finished, unfinished and waiting together are everything since the place began."""
        self.crowd.check()
        for name in [*self.awaited, *(member.name for member in self.crowd.members.values())]:
            member = next((m for m in self.crowd.members.values() if m.name == name), None)
            found = self.done[name] + (member.got if member else []) + self.backlog(name)
            selector = SELECTORS[name] or (lambda event: True)
            assert found == [e for e in range(self.since[name], self.emitted) if selector(e)]

    @invariant()
    def goes_at_the_pace_of_the_slowest(self) -> None:
        """Capacity is the smallest credit; it is 0 while anyone is awaited or expected."""
        credit = [member.credit for member in self.crowd.members.values()]
        waits = self.awaited or self.expected or not credit
        assert self.crowd.dispatcher.capacity == (0 if waits else min(credit))


TestBroadcast = BroadcastMachine.TestCase
TestBroadcast.settings = settings(deadline=None, max_examples=examples(80), stateful_step_count=50)


def test_a_selector_that_raises_changes_nothing() -> None:
    """The error says whose it is, for which event; nobody has got anything."""
    dispatcher = BroadcastDispatcher()
    dispatcher.subscribe(1, "one/0", {})
    dispatcher.subscribe(2, "two/0", {"selector": lambda event: 1 // event})
    for ref in (1, 2):
        dispatcher.ask(ref, 5)
    with pytest.raises(CannotServe) as caught:
        dispatcher.dispatch([1, 2, 0, 3], 0)
    assert (caught.value.ref, caught.value.reason) == (2, "bad_selector")
    assert caught.value.detail == (
        "the selector raised ZeroDivisionError: integer division or modulo by zero for the event 0"
    )
    assert (dispatcher.outstanding(1), dispatcher.outstanding(2)) == (5, 5)
    dispatcher.leave(2)
    assert [(d.ref, d.events) for d in dispatcher.dispatch([1, 2, 0, 3], 0).deliveries] == [
        (1, [1, 2, 0, 3])
    ]
