"""The stage form of the batcher: demand instead of rejection, the end of the input, crashes."""

from __future__ import annotations

from typing import Any

import pytest

from actorflow import (
    BatchFailed,
    Consumer,
    OptionError,
    SubscribeTo,
    Topology,
)
from actorflow.stages.batcher import (
    BatcherStage,
    Duration,
    Err,
    Flush,
    Immediate,
    ItemFailed,
    KeyedBatch,
    Size,
)
from actorflow.stages.batcher.processors import PhaseEnd
from actorflow.stages.sources import Items
from actorflow.testing import Faults, StageHarness, simulate
from actorflow.topology.yaml import loads
from tests.seeds import seeds


def parity(number: int) -> int:
    """A key."""
    return number % 2


def tenfold(key: Any, inputs: list[int]) -> list[Any]:
    """A processor that fails odd hundreds."""
    return [Err("no") if each >= 100 and each % 2 else 10 * each for each in inputs]


class Sink(Consumer):
    """Keeps what it gets."""

    def __init__(self) -> None:
        self.got: list[Any] = []

    def handle_events(self, events: list[Any], subscription: Any) -> None:
        self.got += events
        self.set_result(self.got)


def harness_of(max_demand: int = 8, **arguments: Any) -> StageHarness:
    """A batcher between a producer, link 1, and a consumer, link 2, which the test plays."""
    harness = StageHarness(BatcherStage, arguments)
    harness.link_to_producer(1, "numbers", max_demand=max_demand, min_demand=max_demand - 1)
    harness.subscribe(2, "sink")
    harness.ask(2, 1000)
    return harness


def emitted(harness: StageHarness) -> list[Any]:
    """Every event that the stage has emitted."""
    return [event for events in harness.events(2) for event in events]


def test_batches_are_events_in_the_order_in_which_they_are_full() -> None:
    """Keys are kept apart; a part of a batch leaves when its time has come."""
    harness = harness_of(key=parity, limits={"max_batch_size": 2})
    harness.route(1, [0, 1, 2, 3, 4])
    full = [KeyedBatch(0, [0, 2], "size"), KeyedBatch(1, [1, 3], "size")]
    assert emitted(harness) == full
    harness.advance(1.0)
    assert emitted(harness) == [*full, KeyedBatch(0, [4], "timeout")]


def test_demand_returns_when_an_event_is_finished_and_not_before() -> None:
    """A full batcher is one that asks for nothing: rejection is absence of demand."""
    limits = {"max_batch_size": 1, "max_key_concurrency": 1, "max_batch_queue_size": 1}
    harness = harness_of(4, limits=limits, policy=Immediate(), processor=tenfold, workers="thread")
    harness.route(1, [1, 2, 3, 4])
    harness.advance(0)
    assert harness.asks(1) == [4]
    assert harness.offspring is not None
    for life, value in enumerate((10, 20, 30, 40), 1):
        harness.offspring.returns(life, result=PhaseEnd([value]))
        assert harness.asks(1) == [4] + [1] * life
    assert emitted(harness) == [10, 20, 30, 40]


def test_an_input_is_acknowledged_when_its_outputs_are() -> None:
    """Not when they are emitted: a killed batcher loses nothing."""
    harness = harness_of(limits={"max_batch_size": 2})
    harness.route(1, [1, 2])
    harness.advance(0.01)
    assert harness.acked(1) == 0
    harness.acknowledge(2)
    harness.advance(0.01)
    assert harness.acked(1) == 1


def test_a_window_that_no_batch_fits_into_is_warned_of() -> None:
    """Each batch would wait for its time; nothing hangs."""
    harness = harness_of(4, limits={"max_batch_size": 10})
    assert harness.log[0].event == "max_demand is less than a batch: none will be full"
    harness.route(1, [1, 2, 3, 4])
    harness.advance(1)
    assert [batch.items for batch in emitted(harness)] == [[1, 2, 3, 4]]


def test_a_cast_flushes() -> None:
    """One key, or all."""
    harness = harness_of(key=parity)
    harness.route(1, [0, 1])
    harness.cast(Flush(1))
    assert emitted(harness) == [KeyedBatch(1, [1], "flush")]
    harness.cast(Flush())
    assert emitted(harness)[1:] == [KeyedBatch(0, [0], "flush")]


def test_the_last_batches_start_when_nothing_more_comes() -> None:
    """What waits behind a full queue too, and new items are batched as ever."""
    limits = {"max_batch_size": 2, "max_key_concurrency": 1, "max_batch_queue_size": 1}
    harness = harness_of(limits=limits, policy=Size(), processor=tenfold, workers="thread")
    harness.route(1, [1, 2, 3, 4, 5])
    harness.last(1)
    assert harness.offspring is not None
    for life, values in enumerate(([10, 20], [30, 40], [50]), 1):
        assert list(harness.offspring.running) == [life]
        harness.offspring.returns(life, result=PhaseEnd(values))
    assert emitted(harness) == [10, 20, 30, 40, 50]
    harness.route(1, [6])
    assert not harness.offspring.running
    harness.last(1)
    assert list(harness.offspring.running) == [4]


def test_no_batch_waits_for_what_its_own_end_would_bring() -> None:
    """A window that is full of parts of batches, or smaller than one, does not hang."""
    harness = harness_of(4, key=str, policy=Size())
    harness.route(1, [1, 2, 3])
    assert emitted(harness) == []
    harness.route(1, [4])
    assert [batch.items for batch in emitted(harness)] == [[1], [2], [3], [4]]
    assert {batch.trigger for batch in emitted(harness)} == {"flush"}
    assert sum(harness.asks(1)) == 8


def test_bytes_close_a_batch() -> None:
    """Before the event that does not fit, by the length of bytes unless a function says."""
    harness = harness_of(limits={"max_batch_bytes": 5})
    harness.route(1, [b"aaa", b"bbb", b"cc", b"dddddddd", b"e"])
    harness.advance(1)
    assert [batch.items for batch in emitted(harness)] == [
        [b"aaa"],
        [b"bbb", b"cc"],
        [b"dddddddd"],
        [b"e"],
    ]


@pytest.mark.parametrize("on_error", ["emit", "skip", "fail"])
def test_an_event_that_fails(on_error: Any) -> None:
    """It is an event of its own, or a line in the log, or the end of the stage."""
    limits = {"max_batch_size": 2}
    harness = harness_of(
        limits=limits, processor=tenfold, workers="inline", on_error=on_error, policy=Size(1.0)
    )
    harness.route(1, [100, 101])
    harness.advance(0)
    if on_error == "fail":
        assert isinstance(harness.error, BatchFailed)
        assert harness.acked(1) == 0
        return
    assert emitted(harness)[0] == 1000
    failures = emitted(harness)[1:]
    if on_error == "emit":
        assert isinstance(failures[0], ItemFailed)
        assert (failures[0].item, failures[0].error.message[-2:]) == (101, "no")
    else:
        assert failures == []
        assert harness.log[-1].event == "an event is skipped"
    harness.acknowledge(2)
    harness.advance(0.01)
    assert harness.acked(1) == 1


def test_a_stop_interrupts_what_runs_and_finishes_nothing() -> None:
    """What was in hand is for a successor."""
    harness = harness_of(policy=Immediate(), processor=tenfold, workers=1)
    harness.route(1, [1, 2])
    harness.advance(0)
    harness.stop()
    assert harness.offspring is not None
    assert harness.offspring.signals == [(1, "kill")]
    harness.offspring.die(1)
    harness.advance(0)
    assert harness.exiting is not None
    assert harness.acked(1) == 0
    assert emitted(harness) == []


def pipeline(count: int, **arguments: Any) -> Topology:
    """Numbers through a batcher to a sink."""
    return (
        Topology("batches")
        .stage("numbers", Items, args={"items": list(range(count))})
        .stage(
            "batch",
            BatcherStage,
            args={"key": parity, "limits": {"max_batch_size": 4}, **arguments},
            subscribe_to=[SubscribeTo("numbers", max_demand=10)],
        )
        .stage("sink", Sink, subscribe_to=["batch"])
    )


@pytest.mark.parametrize("policy", [Size(), Size(linger=3600.0), Duration(3600.0)], ids=str)
def test_every_event_is_in_one_batch_at_the_end_of_the_input(policy: Any) -> None:
    """In every order of events; nothing waits for its hour."""
    for seed in seeds(10):
        run = simulate(pipeline(30, policy=policy), seed=seed, laws=True)
        assert run.seconds < 60
        batches = run.results["sink"]
        assert sorted(item for batch in batches for item in batch.items) == list(range(30))
        for key in (0, 1):
            items = [item for batch in batches if batch.key == key for item in batch.items]
            assert items == sorted(items)


def test_a_batcher_that_is_killed_loses_nothing() -> None:
    """What waited in it, and what was being processed, is delivered again."""
    topology = pipeline(30, processor=tenfold, workers=2)
    for seed in seeds(20):
        faults = Faults(crashes=2, within=80, stages=("batch",), children=0)
        run = simulate(topology, seed=seed, faults=faults, check=False)
        if run.status == "done":
            assert set(run.results["sink"]) == {10 * each for each in range(30)}


def test_a_batcher_from_yaml() -> None:
    """Policies and limits are maps, functions are named."""
    topology = loads(
        """
        name: batches
        stages:
          numbers:
            use: actorflow.stages.sources:Items
            args: {items: ["a", "bb", "cc", "d"]}
          batch:
            use: actorflow.stages.batcher:BatcherStage
            args:
              key: builtins:len
              policy: {duration: {seconds: 0.5, on_full: wait_deadline}}
              limits: {max_batch_size: 10}
            subscribe_to: [{to: numbers, max_demand: 10}]
        """
    )
    topology = topology.stage("sink", Sink, subscribe_to=["batch"])
    batches = simulate(topology, seed=1).results["sink"]
    assert [(b.key, b.items) for b in batches] == [(1, ["a", "d"]), (2, ["bb", "cc"])]


BAD: list[tuple[str, dict[str, Any]]] = [
    ("policy", {"policy": Immediate()}),
    ("policy", {"policy": {"balanced": {"min_size_hint": 2}}}),
    ("on_error", {"on_error": "cry"}),
    ("key", {"key": 5}),
    ("workers", {"processor": tenfold, "workers": 0}),
    ("max_batch_size", {"limits": {"max_batch_size": 0}}),
    ("weigh", {"weigh": "no:where"}),
]


@pytest.mark.parametrize(("option", "given"), BAD)
def test_a_bad_argument_is_refused(option: str, given: dict[str, Any]) -> None:
    """Where the stage is declared, and where it is made."""
    for refuse in (BatcherStage.check_arguments, lambda each: BatcherStage(**each)):
        with pytest.raises(OptionError) as caught:
            refuse(given)
        assert caught.value.option == option
