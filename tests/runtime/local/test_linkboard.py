"""The scoreboard's part for links: places given out, written by two ends, read, given again."""

from __future__ import annotations

import mmap
from typing import Any

from actorflow.protocol.identity import StageId
from actorflow.runtime.local.linkboard import LINK_BYTES, LinkBoard, half_view
from actorflow.runtime.local.scoreboard import Scoreboard, slot_view
from actorflow.stage.link_counters import HALF_SIZE, LinkCounter
from tests.runtime.local.watched import open_files

A, B, C = StageId("a"), StageId("b"), StageId("c")


class Board:
    """A board of two links, and a hand at each end."""

    def __init__(self) -> None:
        self.memory = mmap.mmap(-1, 4096 + 2 * LINK_BYTES)
        self.board = LinkBoard(self.memory, links=2)
        self.slot = memoryview(self.memory)[:512].cast("q")

    def count(self, place: int, role: str, events: int) -> None:
        """An end counts."""
        half_view(self.slot, place, role, links=2)[LinkCounter.EVENTS] += events

    def rows(self) -> list[tuple[str, str, int, bool, int, int]]:
        """What is read."""
        return [
            (
                str(each.producer),
                str(each.consumer),
                each.links,
                each.live,
                each.producing["events"],
                each.consuming["events"],
            )
            for each in self.board.read()
        ]


def test_each_end_has_its_half() -> None:
    """What one writes the other does not touch, nor another link, nor a stage's slot."""
    board = Board()
    first = board.board.add(1, A, B, None, 0.0)
    second = board.board.add(2, B, C, None, 1.0)
    board.count(first, "producer", 7)
    board.count(first, "consumer", 5)
    board.count(second, "producer", 3)
    assert board.rows() == [("a/0", "b/0", 1, True, 7, 5), ("b/0", "c/0", 1, True, 3, 0)]
    assert not any(board.slot)
    half = half_view(board.slot, 0, "producer", links=2)
    assert (len(half), half.nbytes) == (HALF_SIZE, 128)


def test_a_place_is_given_away_only_when_all_are_taken() -> None:
    """The link that was over first goes; what it counted stays with its edge."""
    board = Board()
    first = board.board.add(1, A, B, None, 0.0)
    board.count(first, "producer", 7)
    board.count(first, "consumer", 4)
    board.board.over(1)
    second = board.board.add(2, A, B, None, 5.0)
    assert second != first
    board.board.over(2)
    board.board.over(2)
    board.board.over(99)
    third = board.board.add(3, A, B, None, 9.0)
    assert third == first
    assert board.rows() == [
        ("a/0", "b/0", 1, False, 7, 4),
        ("a/0", "b/0", 1, False, 0, 0),
        ("a/0", "b/0", 1, True, 0, 0),
    ]
    board.count(third, "producer", 1)
    assert board.board.add(4, A, C, None, 9.0) == second
    assert board.rows()[0] == ("a/0", "b/0", 2, False, 7, 4)
    assert [each.began for each in board.board.read()] == [0.0, 9.0, 9.0]


def test_a_link_too_many_is_not_counted() -> None:
    """With every place taken by a live link there is none; the others go on."""
    board = Board()
    assert [board.board.add(ref, A, B, None, 0.0) for ref in (1, 2, 3)] == [0, 1, -1]
    board.board.over(3)
    assert len(board.rows()) == 2


def test_what_is_no_place_has_no_half() -> None:
    """Nor has a slot that is no shared memory."""
    board = Board()
    for place, role in ((-1, "producer"), (2, "producer"), (0, "spectator")):
        assert half_view(board.slot, place, role, links=2) is None
    not_shared: Any = [0] * 64
    assert half_view(not_shared, 0, "producer") is None


def test_counters_are_read_after_close() -> None:
    """The last state is kept, the memory and its descriptors are not; nothing more is given out."""
    before = open_files()
    board = Scoreboard(slots=3)
    slot = slot_view(mmap.mmap(board.descriptor, 0), board.allocate(A))
    place = board.links.add(1, A, B, "odd", 0.5)
    half_view(slot, place, "consumer")[LinkCounter.BATCHES] = 9
    del slot
    board.close()
    board.close()
    (link,) = board.links.read()
    assert (link.consuming["batches"], link.partition, link.live) == (9, "odd", True)
    board.links.over(1)
    assert board.links.add(2, A, B, None, 0.0) == -1
    assert open_files() == before
