"""What a producer keeps until it is acknowledged, and which inputs of a stage are finished."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from actorflow.errors import ProtocolError
from actorflow.protocol.delivery import Lineage, Origin, Unfinished, UnfinishedBatch, Unkept
from tests.seeds import examples


class UnfinishedMachine(RuleBasedStateMachine):
    """The store against a list of all batches that were ever sent."""

    def __init__(self) -> None:
        super().__init__()
        self.store = Unfinished()
        self.sent: list[UnfinishedBatch] = []
        self.acked = 0

    def kept(self) -> list[UnfinishedBatch]:
        return [batch for batch in self.sent if batch.seq > self.acked]

    @rule(count=st.integers(1, 4), position=st.integers(0, 50))
    def send(self, count: int, position: int) -> None:
        """A batch, of any place: what came back from another consumer is older than the last."""
        seq = len(self.sent) + 1
        events = [f"{seq}.{number}" for number in range(count)]
        assert self.store.sent(events, position) == seq
        self.sent.append(UnfinishedBatch(seq, events, position))

    @rule(data=st.data())
    def acknowledge(self, data: st.DataObject) -> None:
        """Any batch that was sent, also one that was acknowledged before."""
        seq = data.draw(st.integers(0, len(self.sent)))
        before = sum(len(batch.events) for batch in self.kept())
        self.acked = max(self.acked, seq)
        after = sum(len(batch.events) for batch in self.kept())
        assert self.store.acknowledge(seq) == before - after

    @rule(beyond=st.integers(1, 5))
    def acknowledge_too_much(self, beyond: int) -> None:
        """A batch that was never sent is a fault of the consumer, and changes nothing."""
        with pytest.raises(ProtocolError) as caught:
            self.store.acknowledge(len(self.sent) + beyond)
        assert caught.value.reason == "bad_acknowledgement"

    @rule()
    def give_back(self) -> None:
        """Everything unfinished comes out, oldest first, and is not the store's any more."""
        assert self.store.give_back() == self.kept()
        self.acked = len(self.sent)

    @invariant()
    def adds_up(self) -> None:
        """The counts and the lowest place are those of what is kept."""
        kept = self.kept()
        assert self.store.count == sum(len(batch.events) for batch in kept)
        assert self.store.seq == len(self.sent)
        assert self.store.first_position == min((batch.position for batch in kept), default=None)


TestUnfinished = UnfinishedMachine.TestCase
TestUnfinished.settings = settings(deadline=None, max_examples=examples(60), stateful_step_count=30)


def test_at_most_once_keeps_nothing() -> None:
    """Sequence numbers count on, and there is nothing to give back."""
    store = Unkept()
    assert [store.sent(["a"], 0), store.sent(["b", "c"], 1), store.sent(["d"], 3)] == [1, 2, 3]
    assert (store.count, store.first_position, store.give_back()) == (0, None, [])
    assert store.acknowledge(2) == 0
    assert store.acknowledge(1) == 0
    with pytest.raises(ProtocolError, match="bad_acknowledgement"):
        store.acknowledge(4)
    assert (store.lose(), store.lose()) == (1, 0)
    assert store.sent(["e", "f"], 4) == 4
    assert store.lose() == 2


class LineageMachine(RuleBasedStateMachine):
    """Inputs, one after the other, with any number of outputs each, that finish in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.lineage = Lineage()
        self.emitted = 0
        self.unfinished: set[int] = set()
        self.inputs: list[tuple[Origin, set[int]]] = []
        self.seq = 0

    @rule(outputs=st.integers(0, 4))
    def handle(self, outputs: int) -> None:
        """An input is handled, and its outputs are emitted."""
        self.seq += 1
        origin = self.lineage.begin(7, self.seq)
        places = set(range(self.emitted, self.emitted + outputs))
        self.emitted += outputs
        self.unfinished |= places
        self.lineage.handled(origin, self.emitted)
        self.inputs.append((origin, places))
        self.collect()

    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        """Some output is finished."""
        if self.unfinished:
            self.unfinished.remove(data.draw(st.sampled_from(sorted(self.unfinished))))
            self.collect()

    def collect(self) -> None:
        found = self.lineage.finished(min(self.unfinished, default=self.emitted))
        for origin in found:
            expected, places = self.inputs.pop(0)
            assert origin is expected
            assert not places & self.unfinished

    @invariant()
    def nothing_waits_that_is_finished(self) -> None:
        """The oldest input that is left has an output that is not finished."""
        assert len(self.lineage) == len(self.inputs)
        if self.inputs:
            assert self.inputs[0][1] & self.unfinished


TestLineage = LineageMachine.TestCase
TestLineage.settings = settings(deadline=None, max_examples=examples(60), stateful_step_count=40)


def test_an_input_in_hand_is_not_finished() -> None:
    """As long as a callback has not returned, its input is open, and so are those after it."""
    lineage = Lineage()
    first, second = lineage.begin(1, 1), lineage.begin(1, 2)
    lineage.handled(second, 0)
    assert lineage.finished(0) == []
    lineage.handled(first, 0)
    assert lineage.finished(0) == [first, second]


def test_an_input_without_outputs_is_finished_at_once() -> None:
    """What a filter takes and does not pass on is acknowledged as soon as it is handled."""
    lineage = Lineage()
    origin: Any = lineage.begin(1, 1)
    lineage.handled(origin, 5)
    assert lineage.finished(5) == [origin]
