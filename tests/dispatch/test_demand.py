"""The demand dispatcher against a list that is sorted by GenStage's words."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from actorflow import DemandDispatcher, OptionError
from tests.dispatch.crowd import Crowd


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
TestDemand.settings = settings(deadline=None, max_examples=80, stateful_step_count=40)


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
