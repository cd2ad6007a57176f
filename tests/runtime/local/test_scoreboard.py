"""The scoreboard's slots: given out, kept, recycled, read from outside."""

from __future__ import annotations

import mmap
import time

import pytest

from actorflow.errors import RunError
from actorflow.protocol.identity import StageId
from actorflow.runtime.local.scoreboard import SLOT_BYTES, Scoreboard, slot_view
from actorflow.stage.counters import SLOT_SIZE, Counter
from tests.runtime.local.watched import open_files

A, B, C = StageId("a"), StageId("b"), StageId("c")


def count(board: Scoreboard, place: int, value: int) -> None:
    """Write a counter as its stage would, through a mapping of its own."""
    memory = mmap.mmap(board.descriptor, board.slots * SLOT_BYTES)
    slot_view(memory, place)[Counter.EVENTS_IN] = value


def test_what_a_stage_writes_is_read_by_name() -> None:
    """A slot is found under its stage, and the others' are not touched."""
    board = Scoreboard(slots=3)
    first, second = board.allocate(A), board.allocate(B)
    count(board, first, 7)
    count(board, second, -1)
    assert board.counters(A)["events_in"] == 7
    assert board.counters(B)["events_in"] == -1
    assert board.counters(C)["events_in"] == 0
    board.close()


def test_the_callback_that_a_stage_died_in_is_time_that_it_was_busy() -> None:
    """Once, and its mark stays; who died between two callbacks was not busy."""
    board = Scoreboard(slots=2)
    board.allocate(A)
    board.allocate(B)
    slot = board.slot(A)
    second = 10**9
    slot[Counter.BUSY] = 5 * second
    slot[Counter.CALLBACK_SINCE] = since = time.monotonic_ns() - 20 * second
    board.release(A)
    board.release(B)
    assert 25 <= board.counters(A)["busy"] / second < 35
    assert board.counters(A)["callback_since"] == since
    assert board.counters(B)["busy"] == 0
    del slot
    board.close()
    board.release(A)


def test_a_slot_has_its_size_and_its_own_cache_lines() -> None:
    """64 counters in 512 bytes, a multiple of a cache line."""
    board = Scoreboard(slots=2)
    memory = mmap.mmap(board.descriptor, 2 * SLOT_BYTES)
    view = slot_view(memory, 1)
    assert (len(view), view.nbytes, view.format) == (SLOT_SIZE, 512, "q")
    board.close()


def test_a_stage_keeps_its_slot_over_restarts() -> None:
    """Released and allocated again, it finds its counters as they were."""
    board = Scoreboard(slots=2)
    place = board.allocate(A)
    count(board, place, 5)
    board.release(A)
    assert board.allocate(A) == place
    assert board.counters(A)["events_in"] == 5
    board.close()


def test_the_slot_of_the_one_that_ended_first_is_given_away() -> None:
    """Only when no other is left, and cleared; what runs keeps its own."""
    board = Scoreboard(slots=2)
    first, second = board.allocate(A), board.allocate(B)
    count(board, first, 5)
    count(board, second, 6)
    board.release(B)
    board.release(A)
    assert board.counters(B)["events_in"] == 6
    assert board.allocate(C) == second
    assert board.counters(C)["events_in"] == 0
    assert board.counters(B)["events_in"] == 0
    assert board.counters(A)["events_in"] == 5
    board.close()


def test_more_running_stages_than_slots_is_an_error() -> None:
    """It names the stage and the number."""
    board = Scoreboard(slots=1)
    board.allocate(A)
    with pytest.raises(RunError, match="stage b/0 has no place on the scoreboard: 1 stages"):
        board.allocate(B)
    board.release(A)
    board.allocate(B)
    board.close()


def test_counters_are_read_after_close() -> None:
    """The last state is kept, the memory and its descriptors are not; closing again is nothing."""
    before = open_files()
    board = Scoreboard()
    count(board, board.allocate(A), 9)
    board.close()
    board.close()
    assert board.counters(A)["events_in"] == 9
    assert board.counters(B)["events_in"] == 0
    assert open_files() == before
