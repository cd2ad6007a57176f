"""The parts of the scans alone: combinators, options, refusals, the host, the pipe to it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from itertools import chain
from typing import Any

import pytest

from actorflow import NoSuchChild, OptionError, ScanFailed, ScanNotPicklable, Topology
from actorflow.errors import Closed
from actorflow.runtime.local.companion import encoded
from actorflow.runtime.local.companions import CompanionProcesses, _Beside
from actorflow.runtime.local.pipes import WatchedLink
from actorflow.stage.children import ChildEnd
from actorflow.stage.companions import CompanionObserver
from actorflow.stages.scans import (
    DemuxStage,
    DistributeStage,
    Done,
    Partial,
    Scan,
    ScanConfig,
    latest,
    length,
    lmap,
    par_tee_with,
    run_scan,
    scan_of,
    sum_of,
    take,
)
from actorflow.stages.scans.host import ScanHost
from actorflow.stages.scans.scan import pickled_scan
from actorflow.testing import StageHarness
from tests.systems.scans_rig import Rig

FINALS: list[str] = []


class Tracked(Scan[Any, Any]):
    """Counts what it opened and closed."""

    def __init__(
        self, name: str, *, fails_at: int = -1, begins: bool = True, takes: float = 0.0
    ) -> None:
        self.name, self.fails_at, self.begins, self.takes = name, fails_at, begins, takes

    def initial(self) -> Partial[Any]:
        if not self.begins:
            raise ValueError("no")
        return Partial([])

    def step(self, state: list[Any], item: Any) -> Partial[Any]:
        if item == self.fails_at:
            raise ValueError(f"not {item}")
        time.sleep(self.takes)
        return Partial([*state, item])

    def extract(self, state: list[Any]) -> Any:
        return state[-1] if state else None

    def final(self, state: Any) -> None:
        FINALS.append(self.name)


@pytest.fixture(autouse=True)
def _no_finals_yet() -> None:
    FINALS.clear()


def pair(left: Any, right: Any) -> list[Any]:
    """Both values."""
    return [left, right]


# --- tee ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("worker", ["inline", "thread"])
@pytest.mark.parametrize("slow", ["short", "long"])
def test_a_24_a_tee_ends_with_its_shorter_side(worker: Any, slow: str) -> None:
    """Five inputs, six pairs, whichever is slower; both sides are finalised once."""
    short, long = (Tracked(name, takes=0.001 * (name == slow)) for name in ("short", "long"))
    both = par_tee_with(pair, take(5, short), long, worker=worker)
    assert run_scan(both, range(100)) == [[None, None], *([n, n] for n in range(5))]
    assert sorted(FINALS) == ["long", "short"]


@pytest.mark.parametrize("worker", ["inline", "thread"])
@pytest.mark.parametrize("side", ["left", "right"])
def test_a_24_an_error_of_one_side_ends_the_other(worker: Any, side: str) -> None:
    """The scan fails with that error, and both sides are finalised once."""
    bad, good = Tracked("bad", fails_at=3), Tracked("good")
    sides = (bad, good) if side == "left" else (good, bad)
    rig = Rig(source=range(100))
    rig.add(par_tee_with(pair, *sides, worker=worker))
    with pytest.raises(ScanFailed, match="at its input 4: ValueError: not 3"):
        rig.finish()
    assert sorted(FINALS) == ["bad", "good"]


def test_a_24_a_side_that_does_not_begin_leaves_the_other_finalised() -> None:
    """Nobody else would: the whole has not begun."""
    with pytest.raises(ValueError, match="no"):
        run_scan(par_tee_with(pair, Tracked("left"), Tracked("right", begins=False)), [])
    assert FINALS == ["left"]


def test_a_24_sides_in_threads_run_at_the_same_time() -> None:
    """Each waits in its step for the other one to be in its own."""
    both_there = threading.Barrier(2)

    class Meets(Scan[Any, Any]):
        def initial(self) -> Partial[Any]:
            return Partial(0)

        def step(self, state: int, item: Any) -> Partial[Any]:
            both_there.wait(20)
            return Partial(state + 1)

    assert run_scan(par_tee_with(pair, Meets(), Meets()), "ab")[-1] == [2, 2]


# --- other scans ----------------------------------------------------------------------------------


def test_scans_of_scans() -> None:
    """Each combinator, one in another."""
    assert run_scan(take(0, length()), "abc") == [0]
    assert run_scan(take(2, lmap(int, sum_of())), ["1", "2", "3"]) == [0, 1, 3]
    assert run_scan(take(5, take(1, latest())), "ab") == [None, "a"]
    assert run_scan(take(1, Tracked("inner")), [1, 2]) == [None, 1]
    assert FINALS == ["inner"]


def test_a_scan_that_is_done_with_a_state_of_its_own() -> None:
    """`final` gets it, and otherwise the last one that was Partial."""
    states: list[Any] = []

    class Ends(Scan[Any, Any]):
        def __init__(self, done: Done[str]) -> None:
            self.done = done

        def initial(self) -> Partial[Any]:
            return Partial("first")

        def step(self, state: Any, item: Any) -> Done[str]:
            return self.done

        def final(self, state: Any) -> None:
            states.append(state)

    assert run_scan(Ends(Done("over")), [1, 2]) == ["first", "over"]
    assert run_scan(Ends(Done("over", "last")), [1]) == ["first", "over"]
    assert states == ["first", "last"]


@pytest.mark.parametrize(
    "given",
    [
        length(),
        "actorflow.stages.scans:length",
        {"use": "actorflow.stages.scans:length"},
        {"use": "actorflow.stages.scans:take", "args": {"count": 9, "scan": length()}},
    ],
)
def test_a_scan_by_name(given: Any) -> None:
    """As files name them."""
    assert run_scan(scan_of(given), "ab") == [0, 1, 2]


@pytest.mark.parametrize(
    "given",
    [3, None, "length", "nowhere:length", {"args": {}}, {"use": "actorflow.stages.scans:take"}],
)
def test_what_is_no_scan(given: Any) -> None:
    """It is refused by value."""
    with pytest.raises(OptionError, match="scan must be"):
        scan_of(given)


# --- refusals -------------------------------------------------------------------------------------


class Holds(Scan[Any, Any]):
    """Holds what cannot travel."""

    def __init__(self) -> None:
        self.lock = threading.Lock()


def test_a_scan_that_cannot_be_pickled_is_refused_where_it_is_given() -> None:
    """In the program that declares the stage, before anything is started."""
    with pytest.raises(ScanNotPicklable, match=r"class Holds cannot be pickled: .*lock"):
        Topology("no").stage("scans", DistributeStage, args={"scans": [Holds()]}).plan()
    with pytest.raises(ScanNotPicklable):
        DistributeStage([Holds()])


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"max_buffer": 1.5}, "max_buffer must be an integer"),
        ({"max_buffer_bytes": 0}, "max_buffer_bytes must be an integer of at least 1, or none"),
        ({"worker": "fibre"}, "worker must be one of process, pooled, thread, inline"),
        ({"processes": 0, "worker": "pooled"}, "processes must be an integer of at least 1"),
        ({"processes": 2}, "processes must be left out unless worker is pooled"),
        ({"on_error": "ignore"}, "on_error must be one of raise, drop, restart"),
        ({"max_restarts": -1}, "max_restarts must be an integer of at least 0"),
        ({"max_seconds": 0}, "max_seconds must be"),
        ({"empty": "wait"}, "empty must be one of discard, hold, stop"),
        ({"stop_when": "never"}, "stop_when must be one of source_end, all_done"),
        ({"emit": "lists"}, "emit must be one of values, tagged"),
        ({"finalize_timeout": 0}, "finalize_timeout must be a number of seconds above 0"),
        ({"inspect": 1}, "inspect must be true or false"),
        ({"buffer": 1}, "config must be a ScanConfig, or a map of"),
    ],
)
def test_options_out_of_range(options: dict[str, Any], rule: str) -> None:
    """Each is refused at once, by name, rule and value."""
    with pytest.raises(OptionError, match=rule):
        ScanConfig.of(options)


@pytest.mark.parametrize(
    ("behaviour", "arguments", "rule"),
    [
        (DistributeStage, {"scans": length()}, "scans must be a list of scans"),
        (DistributeStage, {"scans": "length"}, "scans must be a list of scans"),
        (DistributeStage, {"next_scans": "nowhere:f"}, "next_scans must be a function"),
        (DistributeStage, {"config": 3}, "config must be a ScanConfig"),
        (DemuxStage, {"key": 3, "make": len}, "key must be a function"),
        (DemuxStage, {"key": len, "make": "x"}, "make must be a function"),
        (DemuxStage, {"key": len, "make": len, "restart": "no"}, "restart must be one of fresh"),
    ],
)
def test_arguments_that_cannot_be_right(behaviour: Any, arguments: Any, rule: str) -> None:
    """Where the topology is declared, and by the constructor."""
    with pytest.raises(OptionError, match=rule):
        behaviour.check_arguments(arguments)
    with pytest.raises(OptionError, match=rule):
        behaviour(**arguments)


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        ((3, length(), length()), "combine must be a function"),
        ((pair, 3, length()), "scan must be a Scan"),
        ((pair, length(), None), "scan must be a Scan"),
    ],
)
def test_a_tee_of_something_else(arguments: Any, rule: str) -> None:
    """It is refused by name."""
    with pytest.raises(OptionError, match=rule):
        par_tee_with(*arguments)
    with pytest.raises(OptionError, match="worker must be one of inline, thread"):
        par_tee_with(pair, length(), length(), worker="process")  # type: ignore[arg-type]


def test_what_a_core_refuses() -> None:
    """Scans that are not there, names that are taken, and a stage that is about to end."""
    rig = Rig(source=range(3))
    rig.add(length(), name="a")
    with pytest.raises(OptionError, match="name must be one that no other scan"):
        rig.add(length(), name="a")
    with pytest.raises(NoSuchChild, match="no scan 9"):
        rig.core.remove(9)
    with pytest.raises(OptionError, match="mode must be drain or drop"):
        rig.core.remove(1, "now")  # type: ignore[arg-type]
    rig.finish()
    with pytest.raises(Closed):
        rig.add(length())


# --- limits ---------------------------------------------------------------------------------------


def test_bytes_are_limited_too() -> None:
    """As many inputs as fit, and a single one that does not fit alone."""
    rig = Rig(ScanConfig(max_buffer_bytes=100, emit="tagged"), ["x" * 30] * 9 + ["y" * 500, "z"])
    (scan,) = rig.add(latest())
    rig.shut(scan)
    rig.run()
    assert scan.queued == 3
    rig.open(scan)
    rig.run(until=lambda: scan.sizes and scan.sizes[0] > 400)
    assert scan.queued == 1
    assert len(rig.finish()) == 12


def test_a_scan_that_does_not_end_is_killed_and_named() -> None:
    """After `finalize_timeout`, though another one has many inputs left to work on."""
    rig = Rig(ScanConfig(max_buffer=-1, finalize_timeout=0.5, emit="tagged"))
    stuck, _ = rig.add(latest(), latest())
    rig.feed(range(50))
    rig.run(until=lambda: stuck.consumed == 50)
    rig.shut(stuck)
    rig.end_source()
    rig.finish()
    assert rig.core.report().killed == (1,)
    assert {row.id: row.state for row in rig.core.rows()} == {1: "killed", 2: "ended"}
    assert rig.tagged(2) == [None, *range(50)]


def test_a_value_that_cannot_be_sent_is_its_scans_failure() -> None:
    """The error names the value's type; it is no crash."""
    rig = Rig(source=range(3))
    rig.add(lmap(str, latest()))

    class Locks(Scan[Any, Any]):
        def initial(self) -> Partial[Any]:
            return Partial(None)

        def step(self, state: Any, item: Any) -> Partial[Any]:
            return Partial(threading.Lock())

    host = ScanHost()
    host.told(["add", 1, pickled_scan(Locks())])
    host.told(["feed", [1]])
    (message,) = host.work(float("inf"))
    did, over = host.cannot_say(message, TypeError("a lock cannot be sent"))
    assert did == ["did", 1, 1, []]
    assert over[:3] == ["over", 1, "failed"]
    assert not host.busy


# --- the pipe to a host ---------------------------------------------------------------------------


class Idle:
    """A loop in which nothing happens by itself."""

    def watch(self, descriptor: int, callback: Callable[[int], None], events: int = 0) -> None:
        """Nothing is watched."""

    def unwatch(self, descriptor: int) -> None:
        """Nothing is watched."""

    def after(self, seconds: float, callback: Callable[[], None]) -> None:
        """No time passes."""

    def post(self, callback: Callable[[], None]) -> None:
        """Nobody posts."""


@pytest.mark.parametrize("end_is_seen_first", [False, True])
def test_a_10_last_words_and_the_end_in_every_order_and_cut(end_is_seen_first: bool) -> None:
    """Wherever the words are cut, and whoever tells first of the end: the words come first."""
    words = encoded([["did", 1, 4, []], ["over", 1, "failed", {"summary": "no"}]])
    for cut in range(len(words) + 1):
        heard: list[Any] = []
        observer = CompanionObserver(
            said=lambda life, messages, heard=heard: heard.extend(messages),
            ended=lambda life, end, heard=heard: heard.append(end),
        )
        companions = CompanionProcesses("scans", Idle(), observer)
        told_read, told_write = os.pipe()
        said_read, said_write = os.pipe()
        os.set_blocking(said_read, False)
        beside = _Beside(1, WatchedLink(1, said_read, told_write, Idle()), 0.0)
        companions._beside[1] = beside
        os.write(said_write, words[:cut])
        companions._read(beside)
        os.write(said_write, words[cut:])
        os.close(said_write)
        if end_is_seen_first:
            companions._read(beside)
        companions._gone(beside, None, 9)
        os.close(told_read)
        assert [each[0] for each in heard[:2]] == ["did", "over"]
        assert isinstance(heard[2], ChildEnd)


# --- the stage alone ------------------------------------------------------------------------------


def test_credit_returns_when_scans_have_consumed() -> None:
    """Not when an event arrives: with a window of two, and one scan behind a buffer of one."""
    stage = StageHarness(
        DistributeStage, {"scans": [latest()], "config": {"max_buffer": 1, "worker": "process"}}
    )
    stage.link_to_producer(1, "numbers", max_demand=2, min_demand=1)
    stage.subscribe(2, "sink")
    stage.ask(2, 100)
    stage.route(1, [7, 8])
    assert stage.asks(1) == [2]
    stage.advance(0)
    assert stage.asks(1)[0] == 2
    assert sum(stage.asks(1)) == 4
    assert [value for events in stage.events(2) for value in events] == [None, 7, 8]


def test_an_empty_source_leaves_the_initial_values() -> None:
    """They are there before the stage ends."""
    stage = StageHarness(DistributeStage, {"scans": [length(), latest()]})
    stage.link_to_producer(1, "numbers", max_demand=2)
    stage.subscribe(2, "sink")
    stage.ask(2, 100)
    stage.eos(1)
    assert stage.exiting is None
    stage.advance(0)
    stage.acknowledge(2)
    assert sorted(map(str, chain.from_iterable(stage.events(2)))) == ["0", "None"]
    assert stage.exiting is not None
