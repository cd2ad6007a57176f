"""Section 5.11: streams out of a run, and iterables into one (GenStage's stream, from_enumerable).

What is about processes has real ones; there is no inbox to pollute in Python, so the scenarios that
are about one are about what else a program has: its threads, descriptors and actors.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from itertools import count, islice
from typing import Any

import pykka
import pytest

from actorflow import (
    NoSuchStage,
    OptionError,
    Refused,
    Topology,
    from_iterable,
)
from actorflow.testing import StageHarness, simulate
from tests.conformance.helpers.stages import Counter, Forwarder
from tests.conformance.stages_of_5_11_streams import Leave, Refusing
from tests.end_to_end.helpers import Events, wait_until

LIMIT = 30.0


def harness(iterable: Any, **options: Any) -> StageHarness:
    """The stage of an iterable, alone."""
    source = from_iterable(iterable, **options)
    place = source.place("items", 1.0)
    return StageHarness(source.behaviour, {"place": place}, **source.options)


def counting() -> Topology:
    """GenStage's counter, with nobody but the program to take from it."""
    return Topology("counting").stage("counter", Counter)


def rows(run: Any) -> list[str]:
    """The names of the run's children."""
    return [child.id for child in run.which_children()]


# --- streams --------------------------------------------------------------------------------------


@pytest.mark.processes
@pytest.mark.parametrize(("wanted", "max_demand"), [(10, 1000), (300, 100)])
def test_s070_a_stream_gives_the_right_items_and_leaves_nothing(
    wanted: int, max_demand: int
) -> None:
    """Ten of a demand of 1000, and three windows of 100; then nothing of the stream is left."""
    with counting().start() as run:
        stream = run.stream("counter", max_demand=max_demand)
        assert list(islice(stream, wanted)) == list(range(wanted))
        assert rows(run) == ["counter/0", "stream-1/0"]
        stream.close()
        assert rows(run) == ["counter/0"]
        assert list(stream) == []


class Reader(pykka.ThreadingActor):
    """Reads a stream in answer to a message, while others wait in its inbox."""

    def __init__(self, run: Any) -> None:
        super().__init__()
        self.run = run
        self.got: list[Any] = []

    def on_receive(self, message: Any) -> Any:
        if message == "read":
            with self.run.stream("counter") as stream:
                self.got += islice(stream, 5)
        elif message == "got":
            return self.got
        else:
            self.got.append(message)
        return None


@pytest.mark.processes
def test_s071_what_else_waits_for_the_program_is_left_alone() -> None:
    """An actor that reads a stream finds its own messages afterwards, in order, and no others."""
    with counting().start() as run:
        reader = Reader.start(run)
        for message in ("before", "read", "after"):
            reader.tell(message)
        assert reader.ask("got", timeout=LIMIT) == ["before", 0, 1, 2, 3, 4, "after"]
        reader.stop()


@pytest.mark.processes
def test_s072_a_name_that_nobody_has_is_refused_at_the_call() -> None:
    """With the nearest name that there is."""
    with counting().start() as run:
        with pytest.raises(NoSuchStage, match="no stage 'conter'; did you mean 'counter'"):
            run.stream("conter")
        assert rows(run) == ["counter/0"]
    with pytest.raises(NoSuchStage, match="no stage 'conter'; did you mean 'counter'"):
        counting().stream("conter")


@pytest.mark.processes
@pytest.mark.parametrize("cancel", ["permanent", "transient", "temporary"])
def test_s072_a_stage_that_has_ended_gives_an_empty_stream(cancel: str) -> None:
    """Late is no mistake: what has finished has nothing more to give."""
    with counting().stage("brief", from_iterable([1])).start() as run:
        assert list(run.stream("brief")) == [1]
        wait_until(lambda: run.which_children()[1].state == "ended", "the source to end")
        assert list(run.stream("brief", cancel=cancel)) == []


def partitioned() -> Topology:
    """A stage that refuses: its only partition is taken."""
    return (
        Topology("partitioned")
        .stage("counter", Counter, dispatcher={"partition": {"partitions": 1}})
        .stage("keep", Forwarder, subscribe_to=["counter"])
    )


@pytest.mark.processes
@pytest.mark.parametrize("cancel", ["permanent", "transient"])
def test_s073_a_refusal_is_raised(cancel: str) -> None:
    """The producer lives, and its other consumers notice nothing."""
    with partitioned().start(Events()) as run:
        wait_until(lambda: run.stats().stage("keep").events_in, "the partition to be taken")
        with pytest.raises(Refused, match="partition"):
            next(run.stream("counter", cancel=cancel, partition=0))
        assert [child.state for child in run.which_children()] == ["running", "running"]


@pytest.mark.processes
@pytest.mark.parametrize("cancel", ["permanent", "transient"])
def test_s073_no_thanks_is_raised(cancel: str) -> None:
    """With the producer's own reason."""
    with Topology("refusing").stage("refusing", Refusing).start() as run:
        with pytest.raises(Refused, match="no_thanks") as caught:
            next(run.stream("refusing", cancel=cancel))
        assert caught.value.reason == "no_thanks"


@pytest.mark.processes
def test_s073_temporary_makes_of_it_an_empty_stream() -> None:
    """Nothing is raised, and nothing comes; the producer lives."""
    with Topology("refusing").stage("refusing", Refusing).start() as run:
        assert list(run.stream("refusing", cancel="temporary")) == []
        assert rows(run) == ["refusing/0"]


@pytest.mark.processes
def test_s074_an_endless_iterable_lives_on_after_ten() -> None:
    """The stream is over, its source is not."""
    with Topology("endless").stage("count", from_iterable(count())).start() as run:
        with run.stream("count", cancel="transient") as stream:
            assert list(islice(stream, 10)) == list(range(10))
        assert [(child.id, child.state) for child in run.which_children()] == [
            ("count/0", "running")
        ]


@pytest.mark.processes
def test_s074_a_finite_one_gives_all_and_ends() -> None:
    """All items, then the source has ended, and so has the run."""
    with Topology("finite").stage("items", from_iterable(range(25))).start() as run:
        assert list(run.stream("items", cancel="transient")) == list(range(25))
        assert run.outcome(LIMIT).status == "done"


@pytest.mark.processes
@pytest.mark.parametrize(
    ("option", "value"), [("max_demand", 0), ("min_demand", 5), ("cancel", "never")]
)
def test_s075_a_bad_option_of_a_stream_is_refused_while_building(option: str, value: Any) -> None:
    """It names the option, the rule and the value; nothing is subscribed."""
    with counting().start() as run:
        with pytest.raises(OptionError, match=f"{option} must be"):
            run.stream("counter", **{option: value})
        assert rows(run) == ["counter/0"]
    with pytest.raises(OptionError, match=f"{option} must be"):
        counting().stream("counter", **{option: value})


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("max_demand", 0),
        ("max_demand", "many"),
        ("on_cancel", "halt"),
        ("demand", "hold"),
        ("dispatcher", "roundrobin"),
    ],
)
def test_s075_a_bad_option_is_refused_while_building(option: str, value: Any) -> None:
    """As in GenStage's stream with `max_demand` 0: the mistake is seen where it is made."""
    with pytest.raises(OptionError, match=option):
        from_iterable([1], **{option: value})


# --- iterables ------------------------------------------------------------------------------------


@pytest.mark.processes
def test_s076_a_source_is_a_child_of_its_name() -> None:
    """It is known by its name like every stage, monitored like them, and ends with the run."""
    gate = threading.Event()

    def items() -> Iterator[int]:
        yield 1
        gate.wait(LIMIT)

    downs: list[Any] = []
    with Topology("named").stage("items", from_iterable(items())).start() as run:
        stream = run.stream("items")
        assert next(stream) == 1
        assert run.status("items")["type"] == "producer"
        assert run.which_children()[0].pid == os.getpid()
        run.monitor("items", downs.append)
        gate.set()
        assert list(stream) == []
        run.wait(LIMIT)
    assert [(str(down.child), down.reason) for down in downs] == [("items/0#1", "done")]


def test_s077_on_cancel_continue_survives_its_last_consumer() -> None:
    """The default: it waits for the next one."""
    stage = harness(range(9))
    stage.subscribe(1)
    stage.ask(1, 1)
    stage.unsubscribe(1)
    stage.hang_up(1)  # without having acknowledged what it got
    assert stage.exiting is None
    stage.subscribe(2)
    stage.ask(2, 2)
    assert stage.events(2) == [[0], [1]]


def test_s077_on_cancel_stop_ends_with_its_last_consumer() -> None:
    """Not with the first of two; and not while one that died is being started again."""
    stage = harness(range(9), on_cancel="stop")
    stage.subscribe(1, "one")
    stage.subscribe(2, "two")
    stage.unsubscribe(1)
    assert stage.exiting is None
    stage.down("two/0#1", "killed", restarting=True)
    assert stage.exiting is None
    stage.subscribe(3, "two/0#2")
    stage.unsubscribe(3)
    assert stage.exiting is not None
    assert stage.exiting.reason == "normal"


def test_s077_on_cancel_stop_ends_the_run() -> None:
    """An endless iterable, and a consumer that has had enough."""
    endless = (1 for _ in iter(int, 1))
    for seed in range(5):
        topology = (
            Topology("stop")
            .stage("items", from_iterable(endless, on_cancel="stop"))
            .stage("leave", Leave, subscribe_to=["items"])
        )
        assert simulate(topology, seed=seed).status == "done"
        endless = (1 for _ in iter(int, 1))
