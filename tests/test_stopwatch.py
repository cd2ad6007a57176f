"""The time that a machine serves: what counts against the code, and what does not."""

from __future__ import annotations

import pytest

from tests import stopwatch
from tests.stopwatch import LOOK, SERVED, Stopwatch, looks, within


class FakeTime:
    """A clock and a processor; a pause takes as long as it should, and what the machine adds."""

    def __init__(self) -> None:
        self.clock = 0.0
        self.work = 0.0
        self.stands_still = 0.0

    def monotonic(self) -> float:
        return self.clock

    def process_time(self) -> float:
        return self.work

    def sleep(self, seconds: float) -> None:
        self.clock += seconds + self.stands_still

    def use(self, seconds: float) -> None:
        self.clock += seconds
        self.work += seconds


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> FakeTime:
    """What the stopwatch takes for the time; the test looks, and no witness."""
    monkeypatch.setattr(stopwatch, "PAUSE", 1000.0)
    fake = FakeTime()
    monkeypatch.setattr(stopwatch, "time", fake)
    return fake


def test_what_blocks_another_thread_counts(time: FakeTime) -> None:
    """The witness is served all the while."""
    watch = Stopwatch()
    for _ in range(100):
        time.clock += SERVED / 2
        watch.look()
    assert watch.seconds == pytest.approx(100 * SERVED / 2)
    assert watch.stood_still == 0


def test_a_stand_still_counts_as_one_turn(time: FakeTime) -> None:
    """However long it lasts, and whoever looks first afterwards."""
    watch = Stopwatch()
    time.clock += 7.0
    assert watch.seconds == pytest.approx(SERVED)
    watch.look()
    assert watch.seconds == pytest.approx(SERVED)
    assert watch.stood_still == pytest.approx(7.0 - SERVED)


def test_what_keeps_the_interpreter_counts_by_its_work(time: FakeTime) -> None:
    """The witness does not get a turn, but somebody uses the processor."""
    watch = Stopwatch()
    time.clock += 3.0
    time.work += 2.0
    watch.look()
    assert watch.seconds == pytest.approx(2.0 + SERVED)


def test_a_limit_is_kept_by_what_the_machine_held_up(time: FakeTime) -> None:
    """And broken by what was served."""
    with within(0.5):
        time.clock += 30.0
    with pytest.raises(AssertionError, match=r"longer than 0\.5 s, .*: 1\.000 s"), within(0.5):
        time.use(1.0)


@pytest.mark.parametrize(("stands_still", "counted"), [(0.0, 0.0), (100.0, LOOK)])
def test_a_look_that_was_held_up_counts_little(
    stands_still: float, counted: float, time: FakeTime
) -> None:
    """A second of looks, each 10 ms apart; and where each is held up by 100 s."""
    time.stands_still = stands_still
    # The first pauses are shorter.
    assert sum(1 for _ in looks(1.0)) == pytest.approx(1.0 / (0.01 + counted), abs=6)


def test_an_error_in_the_block_is_not_hidden_by_its_time(time: FakeTime) -> None:
    """It is what is wrong."""

    def fails() -> None:
        time.use(1.0)
        raise KeyError

    with pytest.raises(KeyError), within(0.5):
        fails()
