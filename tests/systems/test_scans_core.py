"""Scans under virtual time: the scenarios of the original's three hangs, and of what is better."""

from __future__ import annotations

import itertools
import tracemalloc
from typing import Any

import pytest

from actorflow.errors import ScanCrashed, ScanFailed
from actorflow.stages.scans import Done, Partial, Scan, ScanConfig, of
from actorflow.stages.scans.scan import filtering, latest, length, pickled_scan, sum_of, take
from tests.seeds import seeds, size
from tests.systems.scans_rig import Rig

COUNT = size(10_000, 1000)
"""How many elements the long scenarios take; 10 000 in a thorough run, as specified."""

FINALS: list[Any] = []
"""The states that `final` was called with, in this process."""


class Kept(Scan[Any, Any]):
    """Says its inputs, and remembers its end."""

    def __init__(self, tag: str = "kept", last: int | None = None) -> None:
        self.tag, self.last = tag, last

    def initial(self) -> Partial[Any]:
        return Partial(None)

    def step(self, state: Any, item: Any) -> Partial[Any] | Done[Any]:
        return Done(item) if item == self.last else Partial(item)

    def final(self, state: Any) -> None:
        FINALS.append(self.tag)


class Picky(Scan[Any, Any]):
    """Raises at inputs above a limit."""

    def __init__(self, limit: int) -> None:
        self.limit = limit

    def initial(self) -> Partial[Any]:
        return Partial(0)

    def step(self, state: Any, item: Any) -> Partial[Any]:
        if item > self.limit:
            raise ValueError(f"{item} is too large")
        return Partial(item)

    def final(self, state: Any) -> None:
        FINALS.append("picky")


@pytest.fixture(autouse=True)
def _no_finals_yet() -> None:
    FINALS.clear()


def even(number: int) -> bool:
    """Whether a number is even."""
    return number % 2 == 0


def odd(number: int) -> bool:
    """Whether a number is odd."""
    return number % 2 == 1


def whole(values: list[Any]) -> list[Any]:
    """The values that are there, in order of size."""
    return sorted(value for value in values if value is not None)


# --- the three hangs ------------------------------------------------------------------------------


def test_a_01_a_full_buffer_is_waited_for() -> None:
    """One endless scan behind a gate, and room for one input: nothing raises, nothing is lost."""
    rig = Rig(ScanConfig(max_buffer=1), range(1, 101))
    (scan,) = rig.add(latest())
    rig.shut(scan)
    rig.run()
    assert scan.waiting_since is not None
    assert (scan.queued, rig.values) == (1, [])
    rig.open(scan)
    assert rig.finish() == [None, *range(1, 101)]
    assert rig.high_water <= 1


def test_a_02_endless_scans_end_with_their_input() -> None:
    """Each says a value more than there are inputs, lets go once, and its process ends in order."""
    rig = Rig(source=range(COUNT))
    rig.add(sum_of(), length(), Kept("a"), Kept("b"))
    values = rig.finish()
    assert len(values) == 4 * (COUNT + 1)
    assert sorted(FINALS) == ["a", "b"]
    rig.run()
    assert [end.reason for end in rig.companions.ends.values()] == ["normal"] * 4


@pytest.mark.parametrize("seed", range(3))
def test_a_03_a_finished_scan_is_nobodys_burden(seed: int) -> None:
    """The other one sees everything, and nothing is sent to it once its end has been read.

    10 000 elements in a thorough run, 400 otherwise.
    """
    count = size(10_000, 400)
    rig = Rig(ScanConfig(max_buffer=1, emit="tagged"), range(count), seed=seed)
    first, _ = rig.add(take(1, latest()), latest())
    told = rig.companions.tell

    def tell(lives: Any, message: Any) -> None:
        assert first.id in rig.core.members or first.host not in lives
        told(lives, message)

    rig.companions.tell = tell  # type: ignore[method-assign]
    rig.finish()
    assert rig.tagged(1) == [None, 0]
    assert rig.tagged(2) == [None, *range(count)]


@pytest.mark.parametrize("seed", range(5))
def test_a_04_a_scan_that_finishes_while_its_buffer_fills(seed: int) -> None:
    """Its last input is in its hand, its buffer is full and the driver waits: then it is done."""
    rig = Rig(ScanConfig(max_buffer=1, emit="tagged"), range(100), seed=seed)
    first, other = rig.add(take(2, latest()), latest())
    rig.run(until=lambda: first.position == 1)
    rig.mute(first)
    rig.run()
    assert first.queued == 1
    assert other.room > 0
    assert rig.core.backlog
    before = rig.time
    rig.open(first)
    rig.run(until=lambda: len(rig.tagged(2)) > 5)
    assert rig.time - before < 1
    rig.finish()
    assert rig.tagged(2) == [None, *range(100)]


def test_a_05_two_filters_make_the_whole() -> None:
    """The upstream regression: even and odd numbers, with room for one.

    10 000 elements in a thorough run, 1000 otherwise; steps take virtual time.
    """
    rig = Rig(ScanConfig(max_buffer=1), range(1, COUNT + 1), delays=1)
    rig.add(filtering(even), filtering(odd))
    assert whole(rig.finish()) == list(range(1, COUNT + 1))


def test_a_06_one_of_two_filters_ends_early() -> None:
    """The numbers to 100, and the odd ones above.

    10 000 elements in a thorough run, 1000 otherwise.
    """
    rig = Rig(ScanConfig(max_buffer=1), range(1, COUNT + 1))
    rig.add(take(100, filtering(even)), filtering(odd))
    assert whole(rig.finish()) == [*range(1, 101), *range(101, COUNT + 1, 2)]


# --- demultiplexed --------------------------------------------------------------------------------


def by_parity(make: Any) -> dict[str, Any]:
    """A demultiplexer of even and odd numbers."""
    return {"key": even, "make": lambda key: pickled_scan(make(key))}


def test_a_07_each_key_has_its_inputs_in_order() -> None:
    """The latest of each parity, with room for one.

    10 000 elements in a thorough run, 1000 otherwise.
    """
    config = ScanConfig(max_buffer=1, emit="tagged")
    rig = Rig(config, range(1, COUNT + 1), demux=by_parity(lambda key: latest()))
    rig.finish()
    assert rig.tagged(True) == [None, *range(2, COUNT + 1, 2)]
    assert rig.tagged(False) == [None, *range(1, COUNT + 1, 2)]


@pytest.mark.parametrize("seed", range(size(200, 24)))
def test_a_08_no_input_of_a_key_is_lost_when_its_scan_is_done(seed: int) -> None:
    """A scan of the first even ones, one of the rest: the split is the same in every order.

    The first 100 of 10 000 elements, in 200 orders, in a thorough run; else 20 of 100, in 24. The
    buffer has room for one, for some, or for all.
    """
    count, first = size(10_000, 100), size(100, 20)
    lives = itertools.count()

    def make(key: bool) -> Scan[Any, Any]:
        return take(first, latest()) if key and not next(lives) else latest()

    config = ScanConfig(max_buffer=(1, 7, -1)[seed % 3], emit="tagged")
    rig = Rig(config, range(1, count + 1), seed=seed, demux=by_parity(make))
    rig.finish()
    evens = rig.tagged(True)
    assert evens[: first + 1] == [None, *range(2, 2 * first + 1, 2)]
    assert evens[first + 1 :] == [None, *range(2 * first + 2, count + 1, 2)]
    assert rig.tagged(False) == [None, *range(1, count + 1, 2)]


@pytest.mark.parametrize("restart", ["ignore", "error"])
def test_a_08_what_comes_after_a_done_scan_may_be_refused(restart: str) -> None:
    """Ignored, or an error; in both cases what was under way counts as what comes later."""
    demux = {**by_parity(lambda key: take(3, latest())), "restart": restart}
    rig = Rig(ScanConfig(max_buffer=5, emit="tagged"), range(1, 101), demux=demux)
    if restart == "error":
        with pytest.raises(ScanFailed, match="after it was done"):
            rig.finish()
        return
    rig.finish()
    assert rig.tagged(True) == [None, 2, 4, 6]
    assert rig.core.discarded == 94
    assert rig.finished == 100


def test_a_key_without_a_scan_is_discarded() -> None:
    """`make` says None."""
    demux = {"key": even, "make": lambda key: pickled_scan(length()) if key else None}
    rig = Rig(ScanConfig(emit="tagged"), range(10), demux=demux)
    assert rig.finish() == [(True, count) for count in range(6)]
    assert rig.core.discarded == 5


# --- failures -------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_a_09_a_scan_that_raises_is_named(seed: int) -> None:
    """The driver waits for room in it; the error says which scan and which of its inputs."""
    rig = Rig(ScanConfig(max_buffer=1), itertools.count(1), seed=seed)
    rig.add(Kept(), Picky(3), Kept())
    rig.run()
    assert isinstance(rig.failure, ScanFailed)
    assert (rig.failure.scan, rig.failure.item) == ("2", 4)
    assert rig.time < 2
    assert repr(rig.failure.cause) == repr(ValueError("4 is too large"))
    assert sorted(FINALS) == ["kept", "kept", "picky"]


def test_a_10_the_error_counts_and_not_the_end_behind_it() -> None:
    """A scan that raises and whose process is gone at once: its own exception is told."""
    for seed in seeds(30):
        rig = Rig(ScanConfig(max_buffer=2), range(10), seed=seed)
        (scan,) = rig.add(Picky(3))
        host = scan.host
        rig.after_each = lambda rig=rig, host=host: (
            rig.companions.kill(host) if any_error_said(rig, host) else None
        )
        rig.run()
        assert isinstance(rig.failure, ScanFailed), seed


def any_error_said(rig: Rig, host: int) -> bool:
    """Whether a host's last word is on its way."""
    life = rig.companions._lives.get(host)
    said = [each for each in life.said if isinstance(each, list)] if life is not None else []
    return any(message[0] == "over" for messages in said for message in messages)


@pytest.mark.parametrize("on_error", ["raise", "drop", "restart"])
def test_a_11_a_killed_process_while_the_driver_waits_for_it(on_error: Any) -> None:
    """An error with its exit status; or the others go on; or it begins anew and says its gap."""
    rig = Rig(ScanConfig(max_buffer=4, emit="tagged", on_error=on_error), range(200))
    first, _ = rig.add(latest(), latest())
    rig.run(until=lambda: len(rig.tagged(1)) > 10)
    rig.shut(first)
    rig.run()
    assert first.waiting_since is not None
    lost = first.queued
    rig.companions.kill(first.host)
    if on_error == "raise":
        with pytest.raises(ScanCrashed) as caught:
            rig.finish()
        assert (caught.value.scan, caught.value.exitcode) == ("1", -9)
        return
    rig.finish()
    assert rig.tagged(2) == [None, *range(200)]
    rows = {row.id: row for row in rig.core.rows()}
    assert rows[first.id].lost == lost
    if on_error == "drop":
        assert rows[first.id].state == "crashed"
        return
    values = rig.tagged(1)
    again = values.index(None, 1)
    assert values[again + 1] == values[again - 1] + lost + 1
    assert values[-1] == 199
    assert (rows[first.id].restarts, rows[first.id].state) == (1, "ended")


def test_a_scan_that_always_fails_is_not_restarted_for_ever() -> None:
    """More than `max_restarts` in `max_seconds` is the stage's end."""
    rig = Rig(ScanConfig(on_error="restart", max_restarts=2, max_seconds=1000), itertools.count())
    rig.add(Picky(-1))
    with pytest.raises(ScanFailed):
        rig.finish()
    assert FINALS == ["picky"] * 3


# --- who is there when ----------------------------------------------------------------------------


def test_a_12_a_scan_that_joins_sees_what_comes_from_then_on() -> None:
    """Added just before the fifth input, it says its initial value and sees the fifth first."""
    calls = itertools.count(1)

    def next_scans() -> list[bytes]:
        return [pickled_scan(latest())] if next(calls) in (1, 5) else []

    rig = Rig(ScanConfig(emit="tagged"), range(1, 11), next_scans=next_scans)
    rig.finish()
    assert rig.tagged(1) == [None, *range(1, 11)]
    assert rig.tagged(2) == [None, *range(5, 11)]
    assert next(calls) == 11


@pytest.mark.parametrize(("empty", "seen"), [("discard", range(5, 10)), ("hold", range(10))])
def test_a_13_inputs_that_no_scan_is_there_for(empty: Any, seen: range) -> None:
    """Discarded, or held; held ones are not finished, so no more are pulled than fit."""
    rig = Rig(ScanConfig(empty=empty, max_buffer=5), window=5)
    rig.feed(range(5) if empty == "discard" else range(10))
    rig.run()
    assert rig.pulled == 5
    assert rig.core.discarded == (5 if empty == "discard" else 0)
    rig.add(latest())
    rig.feed(range(5, 10) if empty == "discard" else ())
    rig.end_source()
    assert rig.finish() == [None, *seen]


def test_a_13_an_input_without_a_scan_may_stop_the_stage() -> None:
    """It leaves its source, and what it has is finished."""
    rig = Rig(ScanConfig(empty="stop"), itertools.count())
    rig.add(take(3, latest()))
    assert rig.finish() == [None, 0, 1, 2]
    assert rig.left_early
    assert rig.pulled == rig.finished


def test_a_14_when_all_scans_are_done() -> None:
    """An endless source is left, or its inputs are pulled and discarded."""
    rig = Rig(ScanConfig(stop_when="all_done"), itertools.count())
    rig.add(take(2, latest()), take(5, latest()))
    assert len(rig.finish()) == 9
    assert rig.left_early
    rig = Rig(ScanConfig(stop_when="source_end"), range(1000))
    rig.add(take(2, latest()), take(5, latest()))
    assert len(rig.finish()) == 9
    assert rig.core.discarded + max(row.consumed for row in rig.core.rows()) <= 1000
    assert rig.pulled == 1000


@pytest.mark.parametrize("max_buffer", [1, 8])
def test_a_15_a_fast_scan_is_ahead_by_no_more_than_the_buffer(max_buffer: int) -> None:
    """The slow one stands still; the fast one has what fits into the slow one's buffer."""
    rig = Rig(ScanConfig(max_buffer=max_buffer, emit="tagged"), itertools.count(1))
    fast, slow = rig.add(latest(), latest())
    rig.run(until=lambda: slow.consumed == 20)
    rig.shut(slow)
    rig.run()
    assert slow.waiting_since is not None
    assert fast.consumed - slow.consumed <= max_buffer + 1


def test_a_16_values_leave_while_the_driver_waits() -> None:
    """What the fast one has said is with the consumer, though the slow one stands still."""
    rig = Rig(ScanConfig(max_buffer=8, emit="tagged"), itertools.count())
    fast, slow = rig.add(latest(), latest())
    rig.shut(slow)
    rig.run()
    assert slow.waiting_since is not None
    assert rig.tagged(1) == [None, *range(8)]
    assert rig.time < 0.2
    assert fast.emitted == 9


def test_a_17_each_scan_in_order_whatever_the_delays() -> None:
    """Three scans: no gap, no repetition, nothing empty (the rig looks), everything there.

    5000 elements in a thorough run, 500 otherwise.
    """
    count = size(5000, 500)
    rig = Rig(ScanConfig(max_buffer=16, emit="tagged"), range(count), seed=7, delays=9)
    rig.add(latest(), latest(), latest())
    assert len(rig.finish()) == 3 * (count + 1)
    assert all(rig.tagged(scan) == [None, *range(count)] for scan in (1, 2, 3))


def test_a_18_a_consumer_that_takes_nothing_stops_the_source() -> None:
    """Values that nobody took keep their places: what is pulled is bounded, and so is memory.

    It does not grow by more than the elements that may be under way, in the driver and in the host,
    take, however long the consumer stays away; and it falls back when it comes again.
    """
    room, element = 10, 10_000
    elements = (b"%012d" % number + bytes(element) for number in itertools.count())
    rig = Rig(ScanConfig(max_buffer=room), elements, window=room)
    (scan,) = rig.add(latest())
    rig.run(until=lambda: len(rig.values) > 100)
    rig.take(taking=False)
    rig.values.clear()
    before = rig.pulled
    tracemalloc.start()
    try:
        rig.run(seconds=1.0)
        after_a_second = tracemalloc.get_traced_memory()[0]
        rig.run()
        for_ever = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert rig.pulled - before <= 2 * room + 1
    assert scan.held <= room + 1
    assert after_a_second == pytest.approx(for_ever, abs=element)
    assert for_ever < 2 * (2 * room + 1) * element
    rig.take()
    rig.run(until=lambda: rig.pulled > before + 1000)
    assert len(set(rig.values)) == len(rig.values)


def test_a_21_without_a_limit_the_driver_never_waits() -> None:
    """Everything is handed over while the scan stands still; what waits is in its host's inbox.

    100 000 elements in a thorough run, 3000 otherwise.
    """
    count = size(100_000, 3000)
    rig = Rig(ScanConfig(max_buffer=-1), range(count), window=100)
    (scan,) = rig.add(sum_of())
    rig.shut(scan)
    rig.run(until=lambda: rig.pulled == count)
    assert scan.waiting_since is None
    assert scan.queued == count
    rig.open(scan)
    assert rig.finish()[-1] == sum(range(count))


def test_a_22_a_buffer_of_zero_is_the_default() -> None:
    """As in the original."""
    assert ScanConfig(max_buffer=0).max_buffer == 1500


def test_a_23_the_end_waits_behind_no_buffer() -> None:
    """All buffers are full when the source ends: what is in them is processed, then all is over."""
    rig = Rig(ScanConfig(max_buffer=3, emit="tagged"), window=3)
    scans = rig.add(latest(), latest())
    for scan in scans:
        rig.shut(scan)
    rig.feed(range(3))
    rig.run()
    assert [scan.queued for scan in scans] == [3, 3]
    rig.core.end(rig.ended)
    for scan in scans:
        rig.open(scan)
    rig.run(until=lambda: rig.over)
    assert rig.over
    assert rig.tagged(1) == rig.tagged(2) == [None, 0, 1, 2]


@pytest.mark.parametrize("seed", range(1))
def test_a_25_two_hundred_scans_come_and_go(seed: int) -> None:
    """On four processes; each sees exactly the inputs between its coming and its going.

    20 000 elements in a thorough run, 1000 otherwise.
    """
    count = size(20_000, 1000)
    rig = Rig(ScanConfig(max_buffer=50, emit="tagged"), range(count), seed=seed, workers=4)
    chance = rig.random
    joined: dict[int, int] = {}
    gone: dict[int, tuple[str, int]] = {}

    def sometimes() -> None:
        if chance.random() < 0.3 and len(joined) < 200 and not rig._ending:
            (member,) = rig.add(latest())
            joined[member.id] = rig.core._distributed  # type: ignore[attr-defined]
        here = [member for member in rig.core.members.values() if member.id in joined]
        here = [member for member in here if member.running]
        if chance.random() < 0.1 and here and not rig._ending:
            member = chance.choice(here)
            mode = chance.choice(["drain", "drop"])
            gone[member.id] = mode, member.reach
            rig.core.remove(member.id, mode)  # type: ignore[arg-type]

    rig.after_each = sometimes
    rig.add(latest(), name="always")
    rig.finish()
    assert len(joined) == 200
    for number, start in joined.items():
        mode, end = gone.get(number, ("", count))
        values = rig.tagged(number)
        seen = values[1:]
        if mode == "drop":
            assert seen == list(range(start, start + len(seen)))
            assert start + len(seen) <= end
        else:
            assert values == [None, *range(start, end)]


def test_values_of_any_state_are_extracted() -> None:
    """`of` with an `extract`."""
    rig = Rig(source=range(3))
    rig.add(of(0, lambda total, item: total + item, extract=str))
    assert rig.finish() == ["0", "0", "1", "3"]
