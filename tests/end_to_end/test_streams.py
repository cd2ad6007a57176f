"""A run's events in the program: every way to leave a stream, and what the run does meanwhile."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from dataclasses import replace
from itertools import count, islice
from typing import Any

import psutil
import pytest

from actorflow import (
    Broken,
    Closed,
    Defaults,
    IntensityExceeded,
    NoSuchStage,
    Producer,
    ProducerConsumer,
    Refused,
    Run,
    StageDown,
    SubscribeTo,
    SupervisorOptions,
    Topology,
    from_iterable,
)
from actorflow.stages.broker import Broker
from tests.end_to_end.helpers import Events, kill, wait_until
from tests.end_to_end.stages import Numbers, Pass, Sink

pytestmark = pytest.mark.processes

LIMIT = 50.0


def endless() -> Topology:
    """Numbers without end, passed on by a process, and taken by nobody."""
    return (
        Topology("endless")
        .stage("numbers", Numbers)
        .stage("pass", Pass, subscribe_to=[SubscribeTo("numbers", max_demand=10)])
    )


def finite(limit: int, replicas: int = 1) -> Topology:
    """So many numbers, passed on, and taken by nobody."""
    return (
        Topology("finite")
        .stage("numbers", Numbers, args={"limit": limit})
        .stage("pass", Pass, replicas=replicas, subscribe_to=["numbers"])
    )


def no_stream_left(run: Run) -> None:
    """Wait until the run has no stage of a stream, and this program none of its threads."""
    wait_until(
        lambda: not [c.id for c in run.which_children() if c.id.startswith("stream")],
        "the stream's stage to be forgotten",
    )
    wait_until(
        lambda: not [t for t in threading.enumerate() if "stream-" in t.name], "its thread to end"
    )


# --- ways to leave --------------------------------------------------------------------------------


def left_by_break(run: Run) -> None:
    """Break out of the loop."""
    for event in run.stream("pass"):
        if event == 5:
            break


def left_by_an_exception(run: Run) -> None:
    """Raise in the loop."""

    def read() -> None:
        for _ in run.stream("pass"):
            raise LookupError

    with pytest.raises(LookupError):
        read()


def left_by_a_block(run: Run) -> None:
    """Leave a `with` block."""
    with run.stream("pass") as events:
        next(events)


def left_by_close(run: Run) -> None:
    """Close it, twice."""
    events = run.stream("pass")
    next(events)
    events.close()
    events.close()


def left_unread(run: Run) -> None:
    """Let go of it at once."""
    run.stream("pass")


def left_by_a_generator(run: Run) -> None:
    """Close a generator around it."""

    def evens() -> Iterator[int]:
        yield from (event for event in run.stream("pass") if event % 2 == 0)

    generator = evens()
    next(generator)
    generator.close()


def left_to_the_collector(run: Run) -> None:
    """Lose it in a circle of references."""
    events = run.stream("pass")
    circle: list[Any] = [events]
    circle.append(circle)
    next(events)
    del circle, events
    gc.collect()


@pytest.mark.parametrize(
    "leave",
    [
        left_by_break,
        left_by_an_exception,
        left_by_a_block,
        left_by_close,
        left_unread,
        left_by_a_generator,
        left_to_the_collector,
    ],
    ids=lambda leave: leave.__name__,
)
def test_a_stream_that_is_left_leaves_nothing(leave: Any) -> None:
    """Its subscription, its thread and its row are gone, and the run goes on."""
    with endless().start() as run:
        leave(run)
        no_stream_left(run)
        assert next(run.stream("pass")) is not None
        assert not run.over


def test_a_topologys_stream_that_is_left_ends_its_run() -> None:
    """There is nothing else to close."""
    for event in endless().stream("pass"):
        if event == 5:
            break
    wait_until(
        lambda: not [t for t in threading.enumerate() if "actorflow" in t.name], "its threads"
    )


def test_a_topologys_stream_is_closed_by_its_block() -> None:
    """When the block is left everything has ended."""
    with endless().stream("pass") as events:
        run = events.run
        assert list(islice(events, 5)) == [0, 1, 2, 3, 4]
        assert [child.id for child in run.which_children()] == ["numbers/0", "pass/0", "stream-1/0"]
    assert run.over
    assert list(events) == []


# --- what comes -----------------------------------------------------------------------------------


def test_everything_of_every_replica_comes_and_the_end_is_the_end() -> None:
    """Three replicas, one stream, and then the run is over as well."""
    with finite(3000, replicas=3).start() as run:
        assert sorted(run.stream("pass")) == list(range(3000))
        assert run.outcome(LIMIT).status == "done"
        assert list(run.stream("pass")) == []


def test_one_replica_can_be_named() -> None:
    """Then the other's events wait for somebody else."""
    with finite(100, replicas=2).start() as run:
        one = run.stream("pass/1")
        two = run.stream("pass/0")
        got: list[list[int]] = [[], []]
        reader = threading.Thread(target=lambda: got[0].extend(one))
        reader.start()
        got[1].extend(two)
        reader.join(LIMIT)
        assert sorted(got[0] + got[1]) == list(range(100))


def test_the_first_events_are_not_missed() -> None:
    """A stage that nobody takes from waits; the stream may come any time later."""
    with finite(50).start() as run:
        wait_until(lambda: run.which_children()[1].state == "running", "it to run")
        assert list(run.stream("pass")) == list(range(50))


def test_a_broadcast_waits_for_a_topologys_stream() -> None:
    """The stream is declared with the others, so it has every event from the first on."""
    topology = (
        Topology("broadcast")
        .stage("numbers", Numbers, args={"limit": 200}, dispatcher="broadcast")
        .stage("sink", Sink, subscribe_to=["numbers"])
    )
    assert list(topology.stream("numbers")) == list(range(200))


def test_streams_of_one_stage_share_its_events() -> None:
    """Each event goes to one of them, as with any consumers."""
    with finite(400).start() as run:
        streams = [run.stream("pass", max_demand=2) for _ in range(3)]
        got: list[int] = []
        readers = [threading.Thread(target=lambda s=stream: got.extend(s)) for stream in streams]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join(LIMIT)
        assert sorted(got) == list(range(400))


@pytest.mark.parametrize("own_run", [False, True])
def test_a_stream_from_a_broker_has_its_members_events(own_run: bool) -> None:
    """Each member is linked with the program directly, as with any consumer of the broker."""
    topology = (
        Topology("members")
        .stage("low", from_iterable(range(50)))
        .stage("high", from_iterable(range(50, 100)))
        .stage("broker", Broker, members=["low", "high"])
    )
    if own_run:
        assert sorted(topology.stream("broker")) == list(range(100))
        return
    with topology.start() as run:
        assert sorted(run.stream("broker")) == list(range(100))
        assert run.outcome(LIMIT).status == "done"


@pytest.mark.parametrize("delivery", ["at_least_once", "at_most_once", "exactly_once"])
def test_a_stream_delivers_as_its_stage_does(delivery: str) -> None:
    """Both sides of a subscription agree about delivery, whichever it is."""
    topology = replace(finite(300), defaults=Defaults(delivery=delivery))
    assert list(topology.stream("pass")) == list(range(300))
    with topology.start() as run:
        assert list(run.stream("pass", max_demand=10)) == list(range(300))


def test_events_may_be_anything() -> None:
    """What msgpack cannot carry comes as what it was."""
    items = [(1, 2), {3}, "text", None, 2**80]
    assert list(Topology("any").stage("items", from_iterable(items)).stream("items")) == items


# --- back-pressure and delivery -------------------------------------------------------------------


def test_a_slow_program_bounds_what_is_under_way() -> None:
    """No more is taken than the program has had, two windows, and a message between them."""
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in count():
            taken.append(number)
            yield number

    topology = (
        Topology("slow")
        .stage("items", from_iterable(items()))
        .stage("pass", Pass, subscribe_to=[SubscribeTo("items", max_demand=10)])
    )
    with topology.start() as run, run.stream("pass", max_demand=4) as events:
        for had in islice(events, 200):
            assert len(taken) <= had + 4 + 10 + 10


def test_what_the_program_was_not_through_with_comes_again() -> None:
    """At least once: an event is finished when the program has asked for the next batch."""
    with Topology("again").stage("items", from_iterable(range(10))).start() as run:
        with run.stream("items", max_demand=1) as events:
            assert [next(events), next(events), next(events)] == [0, 1, 2]
        no_stream_left(run)
        # Whether what has been finished is known is a matter of milliseconds; 2 was not finished.
        rest = list(run.stream("items"))
        assert rest[-8:] == list(range(2, 10))
        assert len(rest) <= 10


def test_a_stage_that_is_killed_is_waited_for() -> None:
    """Its successor goes on, and the stream does not notice, but for what comes twice."""
    events = Events()
    with finite(2000).start(events) as run:
        got = []
        for event in run.stream("pass", max_demand=10):
            got.append(event)
            if len(got) == 500:
                kill(run, "pass")
        assert set(got) == set(range(2000))
        assert run.stats().stage("pass").restarts == 1


@pytest.mark.parametrize("strategy", ["one_for_all", "rest_for_one"])
def test_a_stream_is_not_stopped_with_a_group(strategy: str) -> None:
    """It is the program's, and waits for the successors: its end must not look like theirs."""
    options = SupervisorOptions(strategy=strategy)
    with replace(finite(2000), supervisor=options).start(Events()) as run:
        got = []
        for event in run.stream("pass", max_demand=10):
            got.append(event)
            if len(got) == 500:
                kill(run, "pass")
        assert set(got) == set(range(2000))
        assert run.outcome(LIMIT).status == "done"


# --- errors ---------------------------------------------------------------------------------------


class Fails(ProducerConsumer):
    """Passes on ten events and fails at the next."""

    def __init__(self, at: int) -> None:
        self.at = at

    def handle_events(self, events: list[int], subscription: object) -> list[int]:
        if self.at in events:
            raise LookupError(self.at)
        return events


def failing() -> Topology:
    """A stage that fails, and is not started again."""
    return (
        Topology("failing", supervisor=SupervisorOptions(max_restarts=0))
        .stage("numbers", Numbers)
        .stage("fails", Fails, args={"at": 10}, subscribe_to=[SubscribeTo("numbers", max_demand=1)])
    )


def test_a_run_that_fails_raises_its_error_in_the_stream() -> None:
    """After the events before it; a stream of the failed run raises it again."""
    got = []
    with failing().start(Events()) as run:
        with pytest.raises(IntensityExceeded, match="LookupError: 10"):
            got.extend(run.stream("fails"))
        with pytest.raises(IntensityExceeded, match="LookupError: 10"):
            next(run.stream("fails"))
    with pytest.raises(IntensityExceeded, match="LookupError: 10"):
        got.extend(failing().stream("fails"))


def test_an_error_elsewhere_in_the_run_is_raised_in_the_stream() -> None:
    """Also by a stage that the stream has nothing to do with."""
    topology = finite(5).stage("broken", from_iterable(Fails(0).missing for _ in (1,)))  # type: ignore[attr-defined]
    topology = topology.stage("sink", Sink, subscribe_to=["broken"])
    with pytest.raises(AttributeError, match="missing"):
        list(topology.stream("pass"))


def test_a_stage_that_dies_for_good_is_an_error_of_the_stream_alone() -> None:
    """A temporary stage may die without ending the run; its stream says so."""
    topology = (
        Topology("temporary")
        .stage("numbers", Numbers, restart="temporary")
        .stage("other", from_iterable(count()))
    )
    with topology.start(Events()) as run:
        stream = run.stream("numbers")
        next(stream)
        kill(run, "numbers")
        with pytest.raises(StageDown, match="stage numbers ended: 'killed'"):
            list(stream)
        assert not run.over


def test_a_topologys_stream_whose_stage_dies_for_good_ends_its_run() -> None:
    """Nobody would ever end it otherwise: its source waits for a consumer."""
    topology = (
        Topology("temporary")
        .stage("other", from_iterable(count()))
        .stage("fails", Fails, args={"at": 5}, restart="temporary", subscribe_to=["other"])
    )
    stream = topology.stream("fails")
    with pytest.raises(StageDown, match=r"stage fails ended.*LookupError: 5"):
        list(stream)
    assert stream.run.outcome(0).status == "stopped"


def test_a_killed_run_is_an_error_of_its_streams() -> None:
    """With no restart left the kill is the run's error, and the stream's."""
    topology = Topology("killed", supervisor=SupervisorOptions(max_restarts=0))
    with topology.stage("numbers", Numbers).start(Events()) as run:
        stream = run.stream("numbers")
        next(stream)
        kill(run, "numbers")
        with pytest.raises(IntensityExceeded, match="SIGKILL"):
            list(stream)


def test_a_run_that_is_stopped_says_so_in_the_stream() -> None:
    """The events are not all there: that must not look like their end."""
    with endless().start() as run:
        stream = run.stream("pass")
        assert next(stream) == 0
        run.stop()
        with pytest.raises(Closed, match="stopped before its stream was at its end"):
            list(stream)
        with pytest.raises(Closed, match="stopped before its stream was at its end"):
            next(run.stream("pass"))


def test_a_runtime_that_breaks_is_the_error_of_a_stream() -> None:
    """The process that forks the stages is killed: the stages in the program end, too."""
    with Topology("breaks").stage("items", from_iterable(count())).start(Events()) as run:
        stream = run.stream("items")
        next(stream)
        for process in psutil.Process().children():
            process.kill()
        with pytest.raises(Broken, match="forks the stages"):
            list(stream)


def test_a_stop_wakes_a_stream_that_waits() -> None:
    """Another thread waits for an event that will not come."""
    gate = threading.Event()

    def items() -> Iterator[int]:
        yield 1
        gate.wait(LIMIT)

    with Topology("waits").stage("items", from_iterable(items())).start() as run:
        stream = run.stream("items")
        assert next(stream) == 1
        raised: list[BaseException] = []

        def read() -> None:
            try:
                next(stream)
            except Closed as closed:
                raised.append(closed)

        reader = threading.Thread(target=read)
        reader.start()
        run.monitor("items", lambda message: gate.set())
        run.stop()
        reader.join(LIMIT)
        assert len(raised) == 1


def test_a_drain_is_the_end_of_a_stream() -> None:
    """What is under way still comes, without a gap, and no error."""
    with endless().start() as run:
        stream = run.stream("pass")
        got = [next(stream)]
        drain = threading.Thread(target=lambda: run.drain(LIMIT))
        drain.start()
        got.extend(stream)
        drain.join(LIMIT)
        assert got == list(range(len(got)))
        assert run.outcome(0).status == "done"


def test_a_consumer_has_no_events_and_a_run_that_is_over_no_unknown_stage() -> None:
    """Refused at the call, or at the first step when only then it can be known."""
    topology = finite(1).stage("sink", Sink, subscribe_to=["pass"])
    with topology.start() as run:
        with pytest.raises(Refused, match="not_a_producer"):
            run.stream("sink")
        run.wait(LIMIT)
        with pytest.raises(NoSuchStage, match="had no 'pas'"):
            next(run.stream("pas"))


class Announces(Producer):
    """Tells its consumers something before its only event."""

    def handle_demand(self, demand: int) -> list[int]:
        self.notify("soon")
        self.finish()
        return [1]


def test_a_notification_is_no_event() -> None:
    """It is logged as for any stage that does not handle it."""
    events = Events()
    with Topology("announces").stage("announces", Announces).start(events) as run:
        assert list(run.stream("announces")) == [1]
    assert any("without a handle_info" in line for line in events.errors("stream-1"))
