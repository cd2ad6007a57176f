"""An iterable of the program as a source, with real processes behind it."""

from __future__ import annotations

import gc
import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from actorflow import EventNotEncodable, ProducerConsumer, Run, SubscribeTo, Topology, from_iterable
from actorflow.runtime.local import descriptors
from actorflow.runtime.local.links import CAN_SHARE
from tests.end_to_end.helpers import Events, how_many_in, kill, numbers_in, wait_until
from tests.end_to_end.stages import Collect, Count, Pass

pytestmark = pytest.mark.processes

LIMIT = 50.0


def collecting(iterable: Any, journal: Path, cancel: str = "permanent", **options: Any) -> Topology:
    """An iterable whose events are written to a file, one by one."""
    return (
        Topology("collecting")
        .stage("items", from_iterable(iterable, max_demand=4), **options)
        .stage(
            "collect",
            Collect,
            args={"path": str(journal)},
            subscribe_to=[SubscribeTo("items", max_demand=8, min_demand=7, cancel=cancel)],
        )
    )


def gated(gate: threading.Event, before: int, after: int) -> Iterator[int]:
    """Numbers, some of them only when the gate opens."""
    yield from range(before)
    gate.wait(LIMIT)
    yield from range(before, before + after)


class Lines(ProducerConsumer):
    def handle_events(self, events: list[str], subscription: object) -> list[int]:
        return [len(line) for line in events]


def test_a26_an_open_file_is_a_source(tmp_path: Path) -> None:
    """Its lines travel from the program to the stages, and its end is the run's."""
    path = tmp_path / "lines"
    path.write_text("".join(f"{'x' * number}\n" for number in range(300)))
    with path.open() as file:
        topology = (
            Topology("file")
            .stage("lines", from_iterable(file))
            .stage("length", Lines, subscribe_to=["lines"])
            .stage("count", Count, subscribe_to=["length"])
        )
        with topology.start() as run:
            assert run.wait(LIMIT)["count"]["events"] == 300
        assert not file.closed


def test_the_stage_lives_in_the_program(tmp_path: Path) -> None:
    """It has the program's process, counters, a status, and a result like any other."""
    gate = threading.Event()
    with collecting(gated(gate, 3, 2), tmp_path / "journal").start() as run:
        wait_until(lambda: numbers_in(tmp_path / "journal") == [0, 1, 2], "the first three")
        items, collect = run.which_children()
        assert (items.pid, items.kind, items.state) == (os.getpid(), "producer", "running")
        assert collect.pid != os.getpid()
        assert run.status("items")["stage"] == "items/0#1"  # it answers while the iterable blocks
        assert run.stats().stage("items").events_out == 3
        gate.set()
        assert run.wait(LIMIT) == {"collect": 5}
    assert numbers_in(tmp_path / "journal") == [0, 1, 2, 3, 4]


def test_pain_43_what_is_there_is_sent_while_the_iterable_blocks(tmp_path: Path) -> None:
    """Eight were asked for, two are there: they arrive, though the third does not come."""
    gate = threading.Event()
    with collecting(gated(gate, 2, 0), tmp_path / "journal").start() as run:
        wait_until(lambda: numbers_in(tmp_path / "journal") == [0, 1], "the first two")
        gate.set()
        run.wait(LIMIT)


class Unhappy(Exception):
    """Cannot travel: it holds a lock."""

    def __init__(self) -> None:
        super().__init__("unhappy")
        self.lock = threading.Lock()


def test_an_exception_in_the_iterable_is_the_runs_very_exception(tmp_path: Path) -> None:
    """The object itself, with the traceback of the iterable, after one attempt."""
    unhappy = Unhappy()

    def items() -> Iterator[int]:
        yield 1
        raise unhappy

    events = Events()
    with collecting(items(), tmp_path / "journal").start(events) as run:
        with pytest.raises(Unhappy) as caught:
            run.wait(LIMIT)
        assert run.outcome().status == "failed"
    assert caught.value is unhappy
    assert caught.traceback[-1].name == "items"
    assert any("raised in stage items/0" in note for note in caught.value.__notes__)


def test_an_item_that_cannot_travel_names_itself(tmp_path: Path) -> None:
    """It fails where it is emitted, like in any other stage."""
    topology = collecting([1, threading.Lock()], tmp_path / "journal")
    text = "'items' emitted an event of type _thread"
    with topology.start(Events()) as run, pytest.raises(EventNotEncodable, match=text):
        run.wait(LIMIT)


def test_a_consumer_that_is_killed_gets_everything_again(tmp_path: Path) -> None:
    """Also while the iterable blocks: the stage that keeps the events is not blocked by it."""
    journal = tmp_path / "journal"
    gate, events = threading.Event(), Events()
    topology = (
        Topology("killed")
        .stage("items", from_iterable(gated(gate, 6, 6), max_demand=20))
        .stage("pass", Pass, subscribe_to=["items"])
        .stage("collect", Collect, args={"path": str(journal)}, subscribe_to=["pass"])
    )
    with topology.start(events) as run:
        for stage in ("pass", "collect"):
            wait_until(lambda: set(numbers_in(journal)) == set(range(6)), "the first six")
            kill(run, stage)
            events.restarted(stage)
        gate.set()
        run.wait(LIMIT)
        assert run.stats().stage("items").restarts == 0
    assert set(numbers_in(journal)) == set(range(12))


def blocked(tmp_path: Path, gate: threading.Event, shutdown: float) -> Run:
    """A run whose source blocks after the first item."""
    journal = tmp_path / "journal"
    run = collecting(gated(gate, 1, 1), journal, shutdown=shutdown).start(Events())
    wait_until(lambda: numbers_in(journal) == [0], "the first")
    return run


def test_an_iterable_that_blocks_does_not_hang_the_end(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its thread is waited for until the stage's `shutdown`, then abandoned with a log line."""
    gate = threading.Event()
    run = blocked(tmp_path, gate, shutdown=0.05)
    with caplog.at_level(logging.WARNING):
        assert run.stop().status == "stopped"
    assert "items of items: the iterable neither gives an item nor ends" in caplog.text
    gate.set()  # the thread ends, or the test would leave it behind


class Sticky:
    """An item that blocks where it is encoded: on the stage's own thread."""

    gate = threading.Event()
    entered = threading.Event()

    def __reduce__(self) -> Any:
        self.entered.set()
        self.gate.wait(LIMIT)
        return str, ("unstuck",)


def test_a_stage_whose_thread_is_stuck_is_abandoned(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The item's own code blocks the stage; the run ends without it, and says so."""
    Sticky.gate.clear()
    Sticky.entered.clear()
    run = collecting([Sticky()], tmp_path / "journal", shutdown=0.05).start(Events())
    assert Sticky.entered.wait(LIMIT)
    with caplog.at_level(logging.ERROR):
        assert run.stop().status == "stopped"
    assert "the thread of stage items/0#1 does not end and is abandoned" in caplog.text
    Sticky.gate.set()  # the thread ends, or the test would leave it behind


def test_an_iterable_that_comes_back_in_time_is_waited_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The thread has ended when the run is over: nothing is abandoned."""
    gate = threading.Event()
    run = blocked(tmp_path, gate, shutdown=LIMIT)
    threads = [each for each in threading.enumerate() if each.name.endswith("items of items")]
    run.monitor("items", lambda message: gate.set())
    assert run.stop().status == "stopped"
    assert [each.is_alive() for each in threads] == [False]
    assert "abandoned" not in caplog.text


def test_a_drain_ends_an_endless_iterable(tmp_path: Path) -> None:
    """What was taken is delivered, and no more is taken."""
    taken: list[int] = []

    def endless() -> Iterator[int]:
        number = 0
        while True:
            taken.append(number)
            yield number
            number += 1

    journal = tmp_path / "journal"
    with collecting(endless(), journal).start() as run:
        wait_until(lambda: how_many_in(journal) > 20, "events to flow")
        assert run.drain(LIMIT).status == "done"
    assert numbers_in(journal) == list(range(how_many_in(journal)))
    assert 0 <= len(taken) - how_many_in(journal) <= 20


def test_a_stage_is_stopped_and_started_again(tmp_path: Path) -> None:
    """`restart_child` goes on with what was not finished and then with the rest."""
    journal = tmp_path / "journal"
    gate = threading.Event()
    with collecting(gated(gate, 5, 5), journal, cancel="temporary").start(Events()) as run:
        wait_until(lambda: numbers_in(journal) == list(range(5)), "the first five")
        run.terminate_child("items")
        run.restart_child("items")
        gate.set()
        wait_until(lambda: set(numbers_in(journal)) == set(range(10)), "all ten")
        assert run.stats().stage("items").restarts == 0  # it was asked for


def test_a_process_that_the_program_forks_holds_no_link(tmp_path: Path) -> None:
    """A copy of a link's end there would hide a stage's death from the source."""
    gate, events = threading.Event(), Events()
    journal = tmp_path / "journal"
    reader, writer = os.pipe()
    with collecting(gated(gate, 3, 3), journal).start(events) as run:
        wait_until(lambda: numbers_in(journal) == [0, 1, 2], "the first three")
        ends = set(descriptors._private)
        assert len(ends) == (3 if CAN_SHARE else 2)
        child = os.fork()
        if not child:
            kept = ends & descriptors.open_descriptors()
            os.close(writer)
            os.read(reader, 1)
            os._exit(len(kept))
        os.close(reader)
        kill(run, "collect")
        events.restarted("collect")
        gate.set()
        run.wait(LIMIT)
        os.close(writer)
        assert os.waitpid(child, 0)[1] == 0
    assert set(numbers_in(journal)) == set(range(6))


def test_nothing_waits_for_the_garbage_collector() -> None:
    """The stage's loop is a circle of references: what it had open is closed all the same."""
    gc.disable()
    try:
        before = sorted(os.listdir("/dev/fd"))
        for _ in range(3):
            topology = Topology("sum").stage("items", from_iterable(range(5)))
            assert list(topology.stream("items")) == list(range(5))
        assert sorted(os.listdir("/dev/fd")) == before
    finally:
        gc.enable()
