"""Section 5.5: the producer's buffer."""

from __future__ import annotations

from typing import Any

import pytest

from actorflow.testing.harness import StageHarness
from tests.conformance.helpers.stages import Counter, Idle

FULL = "the buffer is full, events were discarded"


class Watching(Idle):
    """Keeps what was discarded; `verdict` is its answer."""

    def __init__(self, verdict: bool | None) -> None:
        self.verdict = verdict
        self.discarded: list[list[Any]] = []

    def handle_discarded(self, events: list[Any]) -> bool | None:
        self.discarded.append(events)
        return self.verdict


def overflown(**options: Any) -> StageHarness:
    """Five events, then three more, into a producer without consumers."""
    producer = StageHarness(Idle, **options)
    producer.cast(["a", "b", "c", "d", "e"])
    producer.cast(["f", "g", "h"])
    return producer


def consume(producer: StageHarness) -> list[list[Any]]:
    """What a consumer with 4/0 gets, which asks again when its four have come."""
    producer.subscribe(1)
    producer.ask(1, 4)
    producer.ask(1, 4)
    return producer.events(1)


def test_s028_keep_first_discards_the_new_events() -> None:
    """A full buffer that keeps the first drops the three that come late, and says how many."""
    producer = overflown(buffer_size=5, buffer_keep="first")
    assert [(each.event, each.values["discarded"]) for each in producer.log] == [(FULL, 3)]
    assert consume(producer) == [["a", "b", "c", "d"], ["e"]]


def test_s029_keep_last_discards_the_oldest_events() -> None:
    """The default drops the three oldest."""
    producer = overflown(buffer_size=5)
    assert [(each.event, each.values["discarded"]) for each in producer.log] == [(FULL, 3)]
    assert consume(producer) == [["d", "e", "f", "g"], ["h"]]


def test_s030_an_unlimited_buffer_discards_nothing() -> None:
    """Without a limit all eight events wait."""
    producer = overflown(buffer_size=None)
    assert producer.log == []
    assert consume(producer) == [["a", "b", "c", "d"], ["e", "f", "g", "h"]]


def test_s031_a_stage_can_keep_the_warning_out_of_the_log() -> None:
    """`handle_discarded` gets the dropped events; when it returns False nothing is logged."""
    producer = StageHarness(Watching, {"verdict": False}, buffer_size=5)
    producer.cast(["a", "b", "c", "d", "e", "f", "g", "h"])
    assert producer.behaviour.discarded == [["a", "b", "c"]]
    consume(producer)
    assert producer.log == []


@pytest.mark.parametrize("verdict", [True, None])
def test_s032_the_default_warning_comes_with_the_callback(verdict: bool | None) -> None:
    """When `handle_discarded` returns True or nothing, the warning is logged too."""
    producer = StageHarness(Watching, {"verdict": verdict}, buffer_size=5)
    producer.cast(["a", "b", "c", "d", "e", "f", "g", "h"])
    assert producer.behaviour.discarded == [["a", "b", "c"]]
    assert [each.event for each in producer.log] == [FULL]
    assert producer.counters["discarded"] == 3


def test_s033_the_buffered_events_can_be_counted() -> None:
    """The count of what is buffered rises with each emission, and is 0 after consumption."""
    producer = StageHarness(Counter, buffer_size=None)
    producer.cast(["a", "b", "c", "d", "e"])
    assert producer.counters["buffered"] == 5
    assert producer.status()["producing"]["buffered"] == 5
    producer.cast(["f", "g", "h"])
    assert producer.counters["buffered"] == 8
    producer.subscribe(1)
    producer.ask(1, 8)
    assert producer.counters["buffered"] == 0
    assert producer.status()["producing"]["buffered"] == 0
