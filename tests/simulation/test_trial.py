"""One stage on trial."""

from __future__ import annotations

from typing import Any

import pytest

from actorflow import (
    Consumer,
    OptionError,
    Producer,
    ProducerConsumer,
    StageOptions,
    Subscription,
)
from actorflow.testing import run
from tests.seeds import seeds


class Counter(Producer):
    """Counts for ever, from a start."""

    def __init__(self, start: int = 0) -> None:
        self.next = start

    def handle_demand(self, demand: int) -> range:
        events = range(self.next, self.next + demand)
        self.next += demand
        return events


class Batches(ProducerConsumer):
    """Emits each batch as one event."""

    def handle_events(self, events: list[Any], subscription: Subscription) -> list[Any]:
        self.log.info("a batch", size=len(events))
        self.notify(len(events))
        return [list(events)]


class Longest(Consumer):
    """Its answer is the longest text."""

    def __init__(self) -> None:
        self.longest = ""

    def handle_events(self, events: list[str], subscription: Subscription) -> None:
        self.longest = max(self.longest, *events, key=len)

    def on_stop(self, reason: Any) -> None:
        self.set_result(self.longest)


class Late(Producer):
    """Says something after a minute."""

    buffer_size = 1

    def on_start(self) -> None:
        self.send_after(60.0, "now")

    def handle_demand(self, demand: int) -> None:
        return None

    def handle_info(self, message: str) -> list[str]:
        self.finish()
        return [message]


class Picky(ProducerConsumer):
    """Refuses zero."""

    def handle_events(self, events: list[int], subscription: Subscription) -> list[float]:
        return [1 / event for event in events]


def test_a_source_is_run_for_as_much_as_is_taken() -> None:
    """It never ends by itself."""
    assert run(Counter, args={"start": 5}, take=3) == [5, 6, 7]


def test_a_source_that_finishes_needs_no_limit() -> None:
    """Time is virtual: a minute is nothing."""
    outputs = run(Late)
    assert outputs == ["now"]
    assert outputs.seconds >= 60


def test_a_producer_consumer_is_fed_by_demand() -> None:
    """Its batches are those of its subscription; notifications and log lines come out as well."""
    outputs = run(Batches, range(7), max_demand=4)
    assert [event for batch in outputs for event in batch] == list(range(7))
    assert {len(batch) for batch in outputs} <= {1, 2}
    assert outputs.notifications == [len(batch) for batch in outputs]
    assert outputs.logs == ["a batch"] * len(outputs)


def test_a_consumer_gives_its_result() -> None:
    """It has no outputs."""
    outputs = run(Longest, ["a", "abc", "ab"])
    assert outputs == []
    assert outputs.result == "abc"


def test_no_inputs_are_fine() -> None:
    """The stream ends at once."""
    assert run(Longest).result == ""


def test_an_exception_comes_out_as_it_was_raised() -> None:
    """With the traceback of the stage as its cause."""
    with pytest.raises(ZeroDivisionError) as caught:
        run(Picky, [1, 0])
    assert "handle_events" in str(caught.value.__cause__)


def test_a_producer_takes_no_inputs() -> None:
    """Said at once, by name and value."""
    with pytest.raises(OptionError, match="inputs must be empty for a producer"):
        run(Counter, [1, 2])


def test_options_may_be_given() -> None:
    """They take the place of the class's own."""
    assert run(Batches, [1], options=StageOptions(dispatcher="broadcast")) == [[1]]


@pytest.mark.parametrize("seed", seeds(20))
def test_other_seeds_are_other_orders_with_the_same_outputs(seed: int) -> None:
    """For a stage that does not depend on how its input is cut."""
    assert run(Picky, [1, 2, 4], seed=seed) == [1.0, 0.5, 0.25]
