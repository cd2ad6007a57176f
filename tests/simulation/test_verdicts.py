"""The judge of notifications (A12): it speaks when one is misplaced, and only then."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from actorflow.protocol.demand import SubscriptionOptions
from actorflow.protocol.identity import Incarnation, StageId
from actorflow.protocol.messages import Subscribe
from actorflow.protocol.wire import encode
from actorflow.stage.options import StageOptions
from actorflow.stage.spec import StageSpec
from actorflow.supervision.specs import Plan
from actorflow.testing.players import Numbers, Sink
from actorflow.testing.topologies import RandomTopology
from actorflow.testing.verdicts import Record, Taken, judge

SOURCE = Incarnation(StageId("numbers"), 1)
SINK = Incarnation(StageId("sink"), 1)
LATE = Incarnation(StageId("late"), 1)
REPLAYS = {"broadcast": {"replay": 100}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A run that has ended, of a source that notifies.

    Args:
        emitted: its events.
        places: where among them it notified.
        flows: what was taken, subscription by subscription.
        options: the source's.
        leaves_after: after how many events the declared consumer leaves; 0 for never.
    """

    emitted: tuple[int, ...]
    places: tuple[int, ...]
    flows: tuple[Taken, ...]
    options: dict[str, Any] = field(default_factory=dict)
    leaves_after: int = 0

    def judged(self, *replacing: Subscribe) -> list[str]:
        """What the judge says of its notifications."""
        record = Record(acknowledgements=True)
        record.emitted[SOURCE] += self.emitted
        record.told[SOURCE] += self.places
        record.taken |= dict(enumerate(self.flows, 1))
        process: Any = SimpleNamespace(machine=SimpleNamespace(consuming=None))
        for message in replacing:
            record.received(process, message.ref, encode(message)[4:])
        said = judge(self.topology(), record, once=True, complete=False)
        return [line for line in said if "told" in line]

    def topology(self) -> RandomTopology:
        """A source and a sink."""
        options = StageOptions(**self.options)
        leaves = {"leaves_after": self.leaves_after}
        return RandomTopology(
            plan=Plan(name="judged", children=()),
            sources={"numbers": len(self.emitted)},
            rules={},
            stages={
                "numbers": StageSpec(id=SOURCE.stage, behaviour=Numbers, options=options),
                "sink": StageSpec(id=SINK.stage, behaviour=Sink, arguments=leaves),
            },
            links={("numbers", "sink"): SubscriptionOptions()},
            crashable=(),
        )


def took(events: list[int], *told: tuple[int, int], who: Incarnation = SINK) -> Taken:
    """What a consumer took, and at which place of its own it heard of which place."""
    return Taken(SOURCE, who, {}, events=events, told=list(told))


FALSE_ALARMS = {
    "a replaced subscription goes on where the first was": Case(
        emitted=(0, 1, 2, 3),
        places=(1, 3),
        flows=(took([0, 1], (1, 1)), took([2, 3], (3, 1))),
    ),
    "replayed events have left their notifications behind": Case(
        emitted=(0, 1, 2),
        places=(1, 2),
        flows=(took([0, 1, 2], (1, 1), (2, 2)), took([0, 1, 2], who=LATE)),
        options={"dispatcher": REPLAYS},
    ),
    "where nobody is waited for, a declared consumer may come late": Case(
        emitted=(0, 1, 2),
        places=(1, 2),
        flows=(took([0, 1, 2]),),
        options={"dispatcher": REPLAYS, "when_no_consumers": "discard"},
    ),
    "of equal events the first that was taken may be the last": Case(
        emitted=(7, 7, 8), places=(1,), flows=(took([7, 8]), took([7], (1, 0), who=LATE))
    ),
    "equal events stand on both sides of a notification": Case(
        emitted=(7, 7, 7), places=(1, 2), flows=(took([7, 7, 7], (1, 1), (2, 2)),)
    ),
    "what a consumer that leaves had goes to others behind newer events": Case(
        emitted=(0, 1, 2), places=(2,), flows=(took([2, 0, 1], (2, 0)),), leaves_after=1
    ),
    "who has taken nothing yet need not have heard anything": Case(
        emitted=(0, 1), places=(0, 1), flows=(took([0, 1], (0, 0), (1, 1)), took([], who=LATE))
    ),
    "what was notified before the first event that was taken is not missed": Case(
        emitted=(0, 1, 2), places=(1,), flows=(took([0], (1, 1)), took([1, 2], who=LATE))
    ),
}


@pytest.mark.parametrize("name", FALSE_ALARMS)
def test_a12_no_alarm(name: str) -> None:
    """Each of these was, or would be, a false alarm."""
    replacing = Subscribe(2, {}, 1, "moved")
    assert FALSE_ALARMS[name].judged(*[replacing] * name.startswith("a replaced")) == []


ALARMS = {
    "out of order, or twice": Case(
        emitted=(0, 1), places=(1,), flows=(took([0, 1], (1, 1), (1, 1)),)
    ),
    "before [0]": Case(emitted=(0, 1), places=(1,), flows=(took([0, 1], (1, 0)),)),
    "after [1]": Case(emitted=(0, 1), places=(1,), flows=(took([0, 1], (1, 2)),)),
    "never told [2]": Case(emitted=(0, 1, 2), places=(2,), flows=(took([0, 1, 2]),)),
    "never told [1]": Case(
        emitted=(0, 1), places=(1,), flows=(took([0, 1]),), options={"dispatcher": REPLAYS}
    ),
}


@pytest.mark.parametrize("said", ALARMS)
def test_a12_an_alarm(said: str) -> None:
    """One that is misplaced, repeated or missing is found, also where late ones may miss some."""
    (line,) = ALARMS[said].judged()
    assert said in line


def test_a12_a_place_is_noted_when_events_go_out() -> None:
    """`Record` puts a notification before the events of the callback that made it, if any."""
    record = Record(acknowledgements=False)
    behaviour = SimpleNamespace(tells=True)
    process: Any = SimpleNamespace(child=SOURCE, machine=SimpleNamespace(behaviour=behaviour))
    work: Any = SimpleNamespace(label="handle_demand", args=(2,))
    for result in ([0, 1], [], [2]):
        record.finishes(process, work, result)
    assert record.told[SOURCE] == [0, 2]
    assert record.emitted[SOURCE] == [0, 1, 2]
