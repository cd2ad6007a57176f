"""What a pool keeps of admitted tasks: whole batches, split where they have to be."""

from __future__ import annotations

import random
from collections import Counter

from actorflow.stages.pool.admission import Admission, Admitted
from actorflow.stages.pool.roots import Roots
from actorflow.stages.pool.slices import decode_tasks, encode_admitted
from tests.seeds import seeds


class Told:
    """Roots, and beside them a counter for each."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.roots = Roots()
        self.told: Counter[tuple[int, str]] = Counter()
        """How many of each batch have ended in which way, as the roots say."""
        self.expected: Counter[tuple[int, str]] = Counter()
        self.left: dict[int, int] = {}
        self.batch_of: dict[int, int] = {}

    def add(self, batch: int) -> None:
        """Some more tasks are admitted."""
        count = self.dice.randint(1, 9)
        first = self.roots.add(count, lambda how, some: self.told.update({(batch, how): some}))
        for number in range(first, first + count):
            self.left[number], self.batch_of[number] = 1, batch

    def end_some(self) -> None:
        """A stretch of those that have made nothing, over the borders of batches too."""
        stretch = [first := self.dice.choice(list(self.left))]
        while self.left.get(stretch[-1] + 1) == 1 and len(stretch) < 12:
            stretch.append(stretch[-1] + 1)
        if self.left[first] == 1:
            self.roots.ended(first, len(stretch))
            for number in stretch:
                self._change(number, -1)

    def change_one(self) -> None:
        """One has made some, or some of what it has made has ended."""
        number, change = self.dice.choice(list(self.left)), self.dice.choice([-1, 1, 3])
        self.roots.changed(number, change)
        self._change(number, change)

    def drop(self) -> None:
        """The rest expires."""
        for done, count in self.roots.drop():
            done("expired", count)
        self.expected.update((self.batch_of[number], "expired") for number in self.left)

    def _change(self, number: int, change: int) -> None:
        self.left[number] += change
        if not self.left[number]:
            del self.left[number]
            self.expected[self.batch_of[number], "done"] += 1


def test_each_root_is_told_of_once_when_nothing_descends_from_it() -> None:
    """Batches, stretches and single ones at random."""
    for seed in seeds(100):
        both = Told(seed)
        for step in range(60):
            if not both.left or both.dice.random() < 0.2:
                both.add(step)
            else:
                both.dice.choice([both.end_some, both.change_one])()
            assert both.told == both.expected, seed
            assert len(both.roots) == len(both.left), seed
        both.drop()
        assert both.told == both.expected, seed
        assert len(both.roots) == 0


def test_what_a_stop_has_made_descends_from_nothing() -> None:
    """Its tasks come and go, and nobody is told."""
    roots, told = Roots(), Counter[str]()
    roots.add(1, lambda how, count: told.update({how: count}))
    roots.changed(0, 3)
    roots.changed(0, -3)
    assert not told


def test_tasks_that_follow_each_other_are_given_in_one_piece() -> None:
    """Oldest first, so many as are asked for; another pipeline, or a gap, is another piece."""
    admission = Admission(100)
    admission.open(1)
    for first, pipeline, items in ((1, 0, "ab"), (3, 0, "c"), (4, 1, "d"), (9, 1, "ef")):
        admission.add(1, Admitted(pipeline, first, list(items)))
    assert (admission.count, admission.room(1)) == (6, 94)
    found = [admission.take(1, 2), admission.take(1, 3), admission.take(1, 9)]
    assert [[(each.pipeline, each.first, each.items) for each in taken] for taken in found] == [
        [(0, 1, ["a", "b"])],
        [(0, 3, ["c"]), (1, 4, ["d"]), (1, 9, ["e"])],
        [(1, 10, ["f"])],
    ]
    assert (admission.count, admission.take(1, 1)) == (0, [])


def test_admitted_tasks_run_in_their_order_either_way() -> None:
    """Newest first is about what tasks have made."""
    chunk = encode_admitted(1, 2, 7, ["a", "b"])
    expected = [(2, 7, 0, "a"), (2, 8, 0, "b")]
    for fair in (False, True):
        tasks = decode_tasks(chunk.codec, chunk.body, fair=fair)
        assert (list(tasks.each), tasks.fresh) == (expected, True)
