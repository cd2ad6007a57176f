"""What a batch costs each stage of a chain, counted: system calls, encodings, times it is woken.

Counts, unlike times, are the same on every machine. They are limits: when a change makes a count
smaller, lower the limit with it.
"""

from __future__ import annotations

import pytest

from actorflow import Consumer, Producer, ProducerConsumer, Subscription
from actorflow.compiled import core
from actorflow.protocol.identity import StageId
from actorflow.stage.spec import StageSpec
from tests.runtime.local.lockstep import Calls, run_in_turns

BATCHES = 100
"""Over how many batches is counted, after as many in which everything finds its pace."""

LIMITS = {
    "numbers": {
        "poll": 150,
        "read": 56,
        "writev": 100,
        "woken": 50,
        "pickle": 100,
        "encode events": 100,
        "encode messages": 100,
        "decode messages": 100,
    },
    "double": {
        "poll": 150,
        "read": 112,
        "writev": 200,
        "woken": 50,
        "pickle": 200,
        "encode events": 100,
        "decode events": 100,
        "encode messages": 200,
        "decode messages": 200,
    },
    "total": {
        "poll": 150,
        "read": 56,
        "writev": 100,
        "woken": 50,
        "pickle": 100,
        "decode events": 100,
        "encode messages": 100,
        "decode messages": 100,
    },
}
"""In `BATCHES` batches, each stage at most; what is not named not at all.

Two batches are under way at a time, so a stage is woken for two: once in 1 000 events where a
window is 1 000 wide, once in 10 where it is 10.
"""


class Numbers(Producer):
    """Counts up to a limit."""

    def __init__(self, limit: int) -> None:
        self.next, self.limit = 0, limit

    def handle_demand(self, demand: int) -> range:
        first, self.next = self.next, min(self.limit, self.next + demand)
        if self.next == self.limit:
            self.finish()
        return range(first, self.next)


class Double(ProducerConsumer):
    """Doubles."""

    def handle_events(self, events: list[int], subscription: Subscription) -> list[int]:
        return [2 * event for event in events]


class Total(Consumer):
    """Keeps what everybody has called whenever `BATCHES` more batches have come."""

    def __init__(self, calls: dict[str, Calls], seen: list[dict[str, Calls]]) -> None:
        self.calls, self.seen = calls, seen
        self.batches = 0

    def handle_events(self, events: list[int], subscription: Subscription) -> None:
        self.batches += 1
        if self.batches % BATCHES == 0:
            self.seen.append({name: Calls(called) for name, called in self.calls.items()})


@pytest.mark.skipif(
    core() == "compiled", reason="compiled code has no clock to be replaced, and no calls to count"
)
@pytest.mark.parametrize("demand", [10, 1000])
def test_a_batch_costs_no_more_calls_than_it_did(
    demand: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No more of any call in 100 batches, whatever their size, than are known to be needed."""
    calls: dict[str, Calls] = {}
    seen: list[dict[str, Calls]] = []
    batch = demand // 2
    limit = (2 * BATCHES + 10) * batch
    specs = [
        StageSpec(id=StageId("numbers"), behaviour=Numbers, arguments={"limit": limit}),
        StageSpec(id=StageId("double"), behaviour=Double),
        StageSpec(id=StageId("total"), behaviour=Total, arguments={"calls": calls, "seen": seen}),
    ]
    run_in_turns(monkeypatch, specs, {"max_demand": demand, "min_demand": batch}, calls)
    before, after = seen
    more = [
        f"{stage}: {call}, {count} times in {BATCHES} batches, and {known.get(call, 0)} are known"
        for stage, known in LIMITS.items()
        for call, count in (after[stage] - before[stage]).items()
        if count > known.get(call, 0)
    ]
    if more:
        pytest.fail("\n".join(["a batch costs more than it did:", *more]), pytrace=False)
