"""The demand dispatcher against a list that is sorted by GenStage's words."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from actorflow import DemandDispatcher, OptionError
from tests.dispatch.crowd import Crowd
from tests.seeds import examples


class DemandMachine(RuleBasedStateMachine):
    """Each event goes to the largest demand; an ask moves behind all that are not smaller."""

    def __init__(self) -> None:
        super().__init__()
        self.crowd = Crowd(DemandDispatcher())
        self.order: list[int] = []
        self.emitted = 0

    def put_in(self, ref: int) -> None:
        """GenStage: inserted before the first strictly smaller entry, so equals stay FIFO."""
        credit = self.crowd.members[ref].credit
        at = 0
        while at < len(self.order) and self.crowd.members[self.order[at]].credit >= credit:
            at += 1
        self.order.insert(at, ref)

    @rule(name=st.sampled_from("abc"))
    def join(self, name: str) -> None:
        """Anyone may subscribe, also more than once."""
        self.order.append(self.crowd.join(name).ref)

    @precondition(lambda self: self.order)
    @rule(data=st.data(), count=st.integers(1, 6))
    def ask(self, data: st.DataObject, count: int) -> None:
        """Credit moves a subscription forward."""
        ref = data.draw(st.sampled_from(self.order))
        self.order.remove(ref)
        self.crowd.ask(self.crowd.members[ref], count)
        self.put_in(ref)

    @rule(count=st.integers(1, 12))
    def dispatch(self, count: int) -> None:
        """The events leave in order, to the largest demand first, one message each."""
        events = list(range(self.emitted, self.emitted + count))
        expected: list[tuple[int, list[Any]]] = []
        credit = {ref: self.crowd.members[ref].credit for ref in self.order}
        order, left = list(self.order), events
        while left and order and credit[order[0]]:
            ref = order.pop(0)
            share, left = left[: credit[ref]], left[credit[ref] :]
            expected.append((ref, share))
            credit[ref] -= len(share)
            at = 0
            while at < len(order) and credit[order[at]] >= credit[ref]:
                at += 1
            order.insert(at, ref)
        self.order = order

        dispatched = self.crowd.dispatcher.dispatch(events, self.emitted)
        assert [(each.ref, each.events) for each in dispatched.deliveries] == expected
        assert [each.position for each in dispatched.deliveries] == [
            part[0] for _, part in expected
        ]
        assert dispatched.leftover == len(left)
        self.emitted += count - dispatched.leftover
        self.crowd.take(dispatched.deliveries)

    @precondition(lambda self: self.order)
    @rule(data=st.data(), batches=st.integers(0, 3), broken=st.booleans(), comes=st.booleans())
    def leave(self, data: st.DataObject, batches: int, broken: bool, comes: bool) -> None:
        """Who leaves takes its credit along, and anyone may have what it had not finished."""
        member = self.crowd.members[data.draw(st.sampled_from(self.order))]
        self.order.remove(member.ref)
        self.crowd.finish(member, batches)
        if broken:
            self.crowd.break_link(member)
        self.crowd.dispatcher.leave(member.ref, successor=comes)
        unfinished = member.store.give_back()
        assert self.crowd.dispatcher.give_back(member.ref, unfinished) == unfinished
        assert [event for batch in unfinished for event in batch.events] == member.unfinished()
        self.crowd.dispatcher.forget(member.ref)
        del self.crowd.members[member.ref]

    @rule(ref=st.integers(1000, 1005))
    def strangers(self, ref: int) -> None:
        """What is said of an unknown subscription changes nothing."""
        self.crowd.dispatcher.ask(ref, 5)
        self.crowd.dispatcher.suspend(ref)
        self.crowd.dispatcher.leave(ref)
        assert self.crowd.dispatcher.outstanding(ref) == 0

    @invariant()
    def adds_up(self) -> None:
        """Capacity is the sum of all credit, and nothing waits inside."""
        self.crowd.check()
        credit = [self.crowd.members[ref].credit for ref in self.order]
        assert self.crowd.dispatcher.capacity == sum(credit)
        assert credit == sorted(credit, reverse=True)
        assert self.crowd.dispatcher.queued == 0


TestDemand = DemandMachine.TestCase
TestDemand.settings = settings(deadline=None, max_examples=examples(80), stateful_step_count=40)


def test_the_rotation_of_genstage() -> None:
    """Two consumers at 4 and emissions of 3: a 3, b 3, then 1 each, and one is left."""
    dispatcher = DemandDispatcher()
    for ref, name in ((1, "a"), (2, "b")):
        dispatcher.subscribe(ref, name, {})
        dispatcher.ask(ref, 4)
    found = []
    for first in (0, 3, 6):
        dispatched = dispatcher.dispatch([first, first + 1, first + 2], first)
        deliveries = [(each.ref, each.events) for each in dispatched.deliveries]
        found.append((deliveries, dispatched.leftover))
    assert found == [([(1, [0, 1, 2])], 0), ([(2, [3, 4, 5])], 0), ([(1, [6]), (2, [7])], 1)]


def test_a_shuffle_needs_a_yes_or_no() -> None:
    """The option is checked."""
    with pytest.raises(
        OptionError, match="shuffle_demands_on_first_dispatch must be true or false"
    ):
        DemandDispatcher(shuffle_demands_on_first_dispatch="yes")  # type: ignore[arg-type]


def test_a_shuffle_deals_the_first_batch_in_any_order() -> None:
    """Over many seeds each consumer is first at times; a seed repeats itself."""

    def first(seed: int) -> int:
        dispatcher = DemandDispatcher(shuffle_demands_on_first_dispatch=True, seed=seed)
        for ref in (1, 2, 3):
            dispatcher.subscribe(ref, str(ref), {})
            dispatcher.ask(ref, 5)
        return dispatcher.dispatch(["a"], 0).deliveries[0].ref

    assert {first(seed) for seed in range(50)} == {1, 2, 3}
    assert [first(seed) for seed in range(50)] == [first(seed) for seed in range(50)]


class TurnsMachine(RuleBasedStateMachine):
    """With `chunk`: whoever has not had a turn for longest is next, for so many events at most."""

    CHUNK = 3

    def __init__(self) -> None:
        super().__init__()
        self.crowd = Crowd(DemandDispatcher(chunk=self.CHUNK))
        self.turns: list[int] = []
        self.emitted = 0

    @rule(name=st.sampled_from("abc"))
    def join(self, name: str) -> None:
        """A newcomer is behind the others."""
        self.turns.append(self.crowd.join(name).ref)

    @precondition(lambda self: self.turns)
    @rule(data=st.data(), count=st.integers(1, 9))
    def ask(self, data: st.DataObject, count: int) -> None:
        """Credit changes nobody's turn."""
        self.crowd.ask(self.crowd.members[data.draw(st.sampled_from(self.turns))], count)

    @rule(count=st.integers(1, 20))
    def dispatch(self, count: int) -> None:
        """In turn, at most a chunk each; two turns in a row of one consumer are one message."""
        events = list(range(self.emitted, self.emitted + count))
        credit = {ref: self.crowd.members[ref].credit for ref in self.turns}
        expected: list[tuple[int, list[Any]]] = []
        left = events
        while left and any(credit.values()):
            ref = next(ref for ref in self.turns if credit[ref])
            size = min(self.CHUNK, credit[ref])
            share, left = left[:size], left[size:]
            credit[ref] -= len(share)
            self.turns.remove(ref)
            self.turns.append(ref)
            if expected and expected[-1][0] == ref:
                expected[-1][1].extend(share)
            else:
                expected.append((ref, list(share)))
        dispatched = self.crowd.dispatcher.dispatch(events, self.emitted)
        assert [(d.ref, d.events) for d in dispatched.deliveries] == expected
        assert [d.position for d in dispatched.deliveries] == [d[1][0] for d in expected]
        assert dispatched.leftover == len(left)
        self.emitted += count - len(left)
        self.crowd.take(dispatched.deliveries)

    @precondition(lambda self: self.turns)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        """Whoever leaves has no turn any more, and its credit is gone."""
        ref = data.draw(st.sampled_from(self.turns))
        self.turns.remove(ref)
        self.crowd.dispatcher.leave(ref)
        del self.crowd.members[ref]

    @invariant()
    def capacity_is_all_credit(self) -> None:
        """What could be dealt now."""
        self.crowd.check()
        credit = sum(member.credit for member in self.crowd.members.values())
        assert self.crowd.dispatcher.capacity == credit


TestTurns = TurnsMachine.TestCase
TestTurns.settings = settings(deadline=None, max_examples=examples(80), stateful_step_count=50)


@pytest.mark.parametrize("chunk", [0, -1, 1.0, True, "1"])
def test_a_bad_chunk_is_refused(chunk: Any) -> None:
    """A chunk is a number of events from 1."""
    with pytest.raises(OptionError, match="chunk must be an integer of at least 1"):
        DemandDispatcher(chunk=chunk)


def test_events_that_come_one_by_one_are_dealt_in_turn() -> None:
    """A turn ends with the emission, so that a slow source feeds everybody."""
    dispatcher = DemandDispatcher(chunk=100)
    for ref in (1, 2, 3):
        dispatcher.subscribe(ref, f"{ref}/0", {})
        dispatcher.ask(ref, 1000)
    refs = [dispatcher.dispatch([n], n).deliveries[0].ref for n in range(7)]
    assert refs == [1, 2, 3, 1, 2, 3, 1]


def test_the_first_turns_may_be_shuffled() -> None:
    """In random order the first time, B6 included, and then in that order."""
    orders = set()
    for seed in range(50):
        dispatcher = DemandDispatcher(chunk=1, shuffle_demands_on_first_dispatch=True, seed=seed)
        for ref in (1, 2, 3, 4):
            dispatcher.subscribe(ref, f"{ref}/0", {})
        for ref in (1, 2, 3):
            dispatcher.ask(ref, 2)
        dealt = [d.ref for d in dispatcher.dispatch(list("abcdef"), 0).deliveries]
        assert dealt[:3] == dealt[3:]
        orders.add(tuple(dealt[:3]))
    assert len(orders) == 6
