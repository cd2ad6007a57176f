"""The hand-over between a stream's stage and the program, without threads."""

from __future__ import annotations

from actorflow.stage.place import Pending
from actorflow.stages.outlets import Outlet, StreamEnd


class Rings:
    """A stage that counts how often it was rung."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> None:
        self.count += 1


def opened() -> tuple[Outlet, Rings]:
    """An outlet whose stage has begun."""
    outlet, rings = Outlet(), Rings()
    outlet.enter(rings)
    return outlet, rings


def test_a_batch_is_finished_when_the_program_asks_for_the_next() -> None:
    """Not when it is offered, and not when it is taken."""
    outlet, rings = opened()
    pending = outlet.offer([1, 2])
    assert outlet.wait(0)
    assert outlet.take() == [1, 2]
    assert (pending.finished, rings.count) == (False, 0)
    outlet.finish()
    assert (pending.finished, rings.count) == (True, 1)
    outlet.finish()
    assert rings.count == 1


def test_what_was_not_taken_is_not_finished() -> None:
    """The program asks for its first event when one is offered already."""
    outlet, rings = opened()
    pending = outlet.offer([1])
    outlet.finish()
    assert (pending.finished, rings.count) == (False, 0)
    assert outlet.take() == [1]
    assert outlet.take() is None


def test_an_end_takes_back_what_was_only_offered() -> None:
    """It is not acknowledged, so somebody else will get it; the first end counts."""
    outlet, _ = opened()
    outlet.offer([1])
    outlet.conclude(StreamEnd("shutdown"))
    outlet.conclude(StreamEnd("killed"))
    assert outlet.take() is None
    assert outlet.end == StreamEnd("shutdown")
    assert outlet.wait(0)


def test_a_stage_that_left_without_a_word_was_killed() -> None:
    """And says so to whoever asked to be told."""
    outlet, rings = opened()
    told = Rings()
    outlet.when_left = told
    outlet.leave()
    assert (outlet.end, told.count, rings.count) == (StreamEnd("killed"), 1, 0)


def test_a_program_may_leave_before_the_stage_has_begun() -> None:
    """Then the stage is rung as soon as it can be."""
    outlet, rings = Outlet(), Rings()
    outlet.abandon()
    outlet.enter(rings)
    assert (outlet.leaving, rings.count) == ("normal", 1)


def test_news_is_told_to_a_watcher() -> None:
    """For those who cannot wait in a thread."""
    outlet, _ = opened()
    news = Rings()
    outlet.watch(news)
    assert isinstance(outlet.offer([1]), Pending)
    outlet.conclude(StreamEnd("done"))
    assert news.count == 2
    outlet.watch(None)
    outlet.conclude(StreamEnd("done"))
    assert news.count == 2
