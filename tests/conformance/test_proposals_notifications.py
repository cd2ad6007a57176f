"""Section 7, A12: notifications are never dropped, and keep their place among the events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actorflow import Subscription
from actorflow.testing.harness import StageHarness
from tests.conformance.helpers.network import Network
from tests.conformance.helpers.stages import Forwarder, Idle, Same
from tests.seeds import examples


@dataclass(frozen=True)
class Note:
    """What is said, to be told from events."""

    number: int


class Tells(Idle):
    """Emits what it is cast, and notifies of what it is called with."""

    def handle_call(self, request: int, sender: Any) -> None:
        self.notify(["note", request])


class Repeats(Same):
    """Passes on what it is told."""

    def handle_notification(self, message: Any, subscription: Subscription) -> None:
        self.notify(message)


class Listens(Forwarder):
    """Keeps events and notes in the order in which it gets them."""

    def __init__(self) -> None:
        super().__init__()
        self.got: list[int | Note] = []

    def handle_events(self, events: list[int], subscription: Subscription) -> None:
        self.got += events

    def handle_notification(self, message: Any, subscription: Subscription) -> None:
        self.got.append(Note(message[1]))


def half(event: int) -> int:
    """A partition function."""
    return event % 2


PARTITION = {"partition": {"partitions": 2, "by": f"{__name__}:half"}}
Emitted = Sequence[int | Note]


def judge(emitted: Emitted, got: Emitted, notes: int) -> None:
    """Each note once and in order; each event on the same side of each note as it was emitted."""
    assert [each.number for each in got if isinstance(each, Note)] == list(range(notes))
    place = {each: number for number, each in enumerate(emitted)}
    places = [place[each] for each in got]
    assert places == sorted(places)


class Told:
    """A source and two consumers, perhaps with a producer-consumer between them."""

    def __init__(
        self, dispatcher: Any, *, size: int | None, keep: str, demand: str, between: bool
    ) -> None:
        self.network = Network()
        options = {"buffer_size": size, "buffer_keep": keep}
        self.source = self.network.add(
            "source",
            Tells,
            dispatcher="demand" if between else dispatcher,
            demand=demand,
            **options,
        )
        if between:
            self.network.add("between", Repeats, dispatcher=dispatcher, buffer_size=None)
            self.network.connect("between", "source", max_demand=3)
        self.producer = "between" if between else "source"
        self.sinks = [self.network.add(f"sink{number}", ByHand) for number in range(2)]
        for number in range(2):
            self.network.connect(f"sink{number}", self.producer, partition=number)
        self.network.run()
        self.emitted: list[int | Note] = []
        self.notes = 0
        self.events = 0

    def emit(self, count: int) -> None:
        """Emit so many events."""
        events = list(range(self.events, self.events + count))
        self.events += count
        self.emitted += events
        self.source.cast(events)
        self.network.run()

    def tell(self) -> None:
        """Notify."""
        self.emitted.append(Note(self.notes))
        self.source.send_call(self.notes)
        self.notes += 1
        self.network.run()

    def ask(self, sink: int, count: int) -> None:
        """Have a consumer ask."""
        self.sinks[sink].behaviour.want(count)
        self.network.run()

    def judge(self) -> None:
        """Let everything through, and judge what the consumers got."""
        self.source.set_demand("forward")
        for _ in range(4):
            self.ask(0, 200)
            self.ask(1, 200)
        for sink in self.sinks:
            judge(self.emitted, sink.behaviour.got, self.notes)
        events = [each for sink in self.sinks for each in sink.behaviour.got]
        taken = {each for each in events if not isinstance(each, Note)}
        assert len(taken) == self.events - self.source.counters["discarded"]


class ByHand(Listens):
    """Asks when it is told to."""

    def handle_subscribe(self, side: str, options: Any, subscription: Subscription) -> str:
        self.source = subscription
        return "manual"

    def want(self, count: int) -> None:
        """Ask for so many events."""
        self.ask(self.source, count)


@pytest.mark.parametrize("between", [False, True])
@pytest.mark.parametrize("demand", ["forward", "accumulate"])
@pytest.mark.parametrize("size", [3, None])
@pytest.mark.parametrize("dispatcher", ["demand", "broadcast", PARTITION], ids=str)
def test_a12_five_notes_among_events_that_overflow(
    dispatcher: Any, size: int | None, demand: str, between: bool
) -> None:
    """A buffer of three that keeps the last, two consumers of different speed, n1 to n5."""
    told = Told(dispatcher, size=size, keep="last", demand=demand, between=between)
    told.ask(0, 2)
    for count in (4, 1, 3, 7, 2):
        told.emit(count)
        told.tell()
        told.ask(0, 1)
    told.ask(1, 1)
    told.emit(3)
    told.judge()
    if size is None:
        assert told.source.counters["discarded"] == 0
    elif not between:
        assert told.source.counters["discarded"] > 0


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("emit"), st.integers(1, 6)),
        st.tuples(st.just("tell"), st.just(0)),
        st.tuples(st.just("ask0"), st.integers(1, 6)),
        st.tuples(st.just("ask1"), st.integers(1, 6)),
        st.tuples(st.just("mode"), st.integers(0, 1)),
    ),
    max_size=25,
)


@settings(deadline=None, max_examples=examples(150))
@given(
    steps=STEPS,
    dispatcher=st.sampled_from(["demand", "broadcast", PARTITION]),
    size=st.sampled_from([0, 1, 3, None]),
    keep=st.sampled_from(["first", "last"]),
    between=st.booleans(),
)
def test_a12_in_any_order_of_things(
    steps: list[tuple[str, int]], dispatcher: Any, size: int | None, keep: str, between: bool
) -> None:
    """Whatever is emitted, said and asked when, and whatever a full buffer drops."""
    told = Told(dispatcher, size=size, keep=keep, demand="forward", between=between)
    for step, amount in steps:
        if step == "emit":
            told.emit(amount)
        elif step == "tell":
            told.tell()
        elif step == "mode":
            told.source.set_demand("accumulate" if amount else "forward")
        else:
            told.ask(int(step[-1]), amount)
    told.judge()


def test_a12_a_note_costs_no_demand() -> None:
    """A consumer that asked for two events gets two, whatever is said in between."""
    producer = StageHarness(Tells)
    producer.subscribe(1)
    producer.ask(1, 2)
    producer.cast([1])
    producer.call(0)
    producer.cast([2])
    producer.call(1)
    assert producer.events(1) == [[1], [2]]
    assert [type(each).__name__ for each in producer.sent(1)] == [
        "Route",
        "Notify",
        "Route",
        "Notify",
    ]
