"""A stage's options, its kind, and its verbs outside of a run."""

from __future__ import annotations

from typing import Any

import pytest

from actorflow import (
    Consumer,
    NotInStage,
    OptionError,
    Producer,
    ProducerConsumer,
    StageOptions,
    Subscription,
)
from actorflow.protocol.identity import Incarnation, StageId
from actorflow.stage.behaviour import Stage, kind_of
from actorflow.testing.harness import StageHarness
from tests.conformance.helpers.stages import Counter, Forwarder, Same

HANDLE = Subscription(1, "producer", Incarnation(StageId("peer")), {})


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("buffer_size", -1),
        ("buffer_size", 1.5),
        ("buffer_size", True),
        ("buffer_size", "many"),
        ("buffer_keep", "middle"),
        ("buffer_keep", None),
        ("demand", "backward"),
        ("demand", ["forward"]),
        ("poll_interval", 0),
        ("poll_interval", -1.0),
        ("poll_interval", float("inf")),
        ("poll_interval", float("nan")),
        ("poll_interval", "1"),
        ("poll_interval", True),
        ("delivery", "twice"),
        ("codec", "json"),
        ("shared_memory", 65535),
        ("shared_memory", "64 MB"),
        ("shared_memory", None),
        ("busy_poll", -0.001),
        ("busy_poll", 0.02),
        ("busy_poll", float("nan")),
        ("busy_poll", "fast"),
        ("busy_poll", True),
        ("busy_poll", None),
    ],
)
def test_a_bad_option_is_refused(option: str, value: Any) -> None:
    """Each by name and value, with the rule."""
    with pytest.raises(OptionError) as caught:
        StageOptions(**{option: value})
    assert caught.value.option == option
    assert caught.value.value is value
    assert caught.value.rule


def test_the_defaults_differ_by_kind() -> None:
    """A producer's buffer has a limit, a producer-consumer's none; a class may set its own."""

    class Small(Counter):
        buffer_size = 7
        buffer_keep = "first"

    for behaviour, size in ((Counter, 10_000), (Same, None), (Small, 7)):
        stage = StageHarness(behaviour)
        half = stage.machine.producing
        assert half is not None
        assert half.buffer._size == size
    half = StageHarness(Small, buffer_size=0).machine.producing
    assert half is not None
    assert (half.buffer._size, half.buffer._keep) == (0, "first")


@pytest.mark.parametrize(
    ("behaviour", "kind"),
    [(Producer, "producer"), (Consumer, "consumer"), (ProducerConsumer, "producer_consumer")],
)
def test_kinds(behaviour: type[Stage], kind: str) -> None:
    """A class is of the kind of its base."""
    assert kind_of(behaviour) == kind


@pytest.mark.parametrize("value", [Stage, object, int, None, "Producer", Counter(5)])
def test_what_is_no_stage(value: Any) -> None:
    """Anything else is a TypeError that shows it."""
    with pytest.raises(TypeError, match="is no subclass of Producer, ProducerConsumer or Consumer"):
        kind_of(value)


@pytest.mark.parametrize(
    "verb",
    [
        lambda stage: stage.emit([1]),
        lambda stage: stage.notify("x"),
        lambda stage: stage.finish(),
        lambda stage: stage.set_demand("forward"),
        lambda stage: stage.stop(),
        lambda stage: stage.cancel(HANDLE),
        lambda stage: stage.send_after(1, "x"),
        lambda stage: stage.set_result(1),
        lambda stage: stage.log,
        lambda stage: stage.name,
        lambda stage: stage.index,
        lambda stage: stage.replicas,
    ],
)
def test_verbs_need_a_run(verb: Any) -> None:
    """On an object that nothing has started they say what to do instead."""
    with pytest.raises(NotInStage, match=r"Counter is not running.*actorflow\.testing\.run"):
        verb(Counter())


@pytest.mark.parametrize(
    ("behaviour", "verb"),
    [
        (Forwarder, lambda stage: stage._context.emit([1])),
        (Forwarder, lambda stage: stage._context.notify("x")),
        (Counter, lambda stage: stage._context.ask(HANDLE, 1)),
        (Counter, lambda stage: stage.cancel(HANDLE)),
    ],
)
def test_verbs_of_another_kind(behaviour: type[Stage], verb: Any) -> None:
    """A consumer cannot emit, a producer cannot ask."""
    with pytest.raises(NotInStage, match="it cannot"):
        verb(StageHarness(behaviour).behaviour)


def test_who_a_stage_is() -> None:
    """A stage knows its name, its index and how many there are."""
    stage = StageHarness(Counter, name="numbers", index=2, replicas=3).behaviour
    assert (stage.name, stage.index, stage.replicas) == ("numbers", 2, 3)


@pytest.mark.parametrize("result", ["text", b"bytes", {"a": 1}, 5, 1.5])
def test_what_is_no_list_of_events(result: Any) -> None:
    """A callback returns an iterable of events or None; text and maps are not taken apart."""
    stage = StageHarness(type("Returns", (Same,), {"handle_cast": lambda self, _: result}))
    stage.cast(None)
    assert "handle_cast must return an iterable of events, or None" in str(stage.error)


@pytest.mark.parametrize(
    "result", [[1, 2], (1, 2), range(1, 3), iter([1, 2]), {1: None, 2: None}.keys()]
)
def test_what_is_a_list_of_events(result: Any) -> None:
    """Any other iterable is emitted in its order."""
    stage = StageHarness(type("Returns", (Same,), {"handle_cast": lambda self, _: result}))
    stage.subscribe(1)
    stage.ask(1, 5)
    stage.cast(None)
    assert stage.events(1) == [[1, 2]]


def test_a_consumer_that_returns_events() -> None:
    """It is an error that says why."""
    stage = StageHarness(type("Returns", (Forwarder,), {"handle_events": lambda *_: [1]}))
    stage.link_to_producer(1)
    stage.route(1, ["a"])
    assert "a consumer cannot dispatch events" in str(stage.error)
