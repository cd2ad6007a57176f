"""Children as threads: how many there are, when they end, and what a request to end can hit."""

from __future__ import annotations

import queue
import random
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pykka
import pytest

from actorflow.stage.children import ChildEnd, ChildEnded, ChildTemplate
from actorflow.supervision import threads as module
from actorflow.supervision.threads import Threads
from tests.end_to_end.helpers import wait_until
from tests.seeds import size
from tests.stopwatch import looks

WITHIN = 30.0


class Rig:
    """The stage's side of some threads."""

    def __init__(self) -> None:
        self.posted: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self.ends: dict[int, ChildEnd] = {}
        self.threads = Threads(self.posted.put, self._observe)
        self.before = set(threading.enumerate())

    def start(self, life: int, run: Callable[..., Any], *arguments: Any) -> None:
        """Start a child."""
        template = ChildTemplate(run=run, kind="thread", restart="temporary")
        self.threads.start(life, template, arguments)

    def end_of(self, life: int) -> ChildEnd:
        """Wait for a child's end."""
        while life not in self.ends:
            self.posted.get(timeout=WITHIN)()
        return self.ends[life]

    @property
    def alive(self) -> set[threading.Thread]:
        """The children's threads that there are."""
        return set(threading.enumerate()) - self.before

    def _observe(self, endings: Any) -> None:
        for each in endings:
            assert isinstance(each, ChildEnded)
            assert each.life not in self.ends
            self.ends[each.life] = each.end


@pytest.fixture
def rig() -> Iterator[Rig]:
    """Some threads, which are gone afterwards."""
    rig = Rig()
    yield rig
    alive = rig.alive
    rig.threads.close()
    for thread in alive:
        thread.join(WITHIN)
        assert not thread.is_alive()


def test_the_next_child_gets_a_thread_that_is_free(rig: Rig) -> None:
    """A hundred children one after the other: one thread lives all of them."""
    for life in range(1, 101):
        rig.start(life, threading.get_ident)
        assert rig.end_of(life).normal
    assert len({end.result for end in rig.ends.values()}) == 1
    assert len(rig.alive) == 1


def test_there_are_as_many_threads_as_children_at_the_same_time(rig: Rig) -> None:
    """Three meet at a barrier, ten times over."""
    barrier = threading.Barrier(3)
    for first in range(1, 31, 3):
        for life in range(first, first + 3):
            rig.start(life, barrier.wait, WITHIN)
        ends = [rig.end_of(life) for life in range(first, first + 3)]
        assert sorted(end.result for end in ends) == [0, 1, 2]
    assert len(rig.alive) == 3


def test_a_thread_whose_child_runs_while_it_is_closed_ends_after_that(rig: Rig) -> None:
    """The end of the child is told all the same, and the fixture waits for the thread."""
    gate = threading.Event()
    rig.start(1, gate.wait, WITHIN)
    rig.threads.close()
    gate.set()
    assert rig.end_of(1).result is True


def test_an_actor_that_somebody_stopped_is_not_used_again(rig: Rig) -> None:
    """Somebody stopped every actor of the process; the next child has a thread of its own."""
    rig.start(1, threading.get_ident)
    rig.end_of(1)
    (gone,) = rig.alive
    (actor,) = pykka.ActorRegistry.get_by_class(module._ChildActor)
    actor.stop()
    gone.join(WITHIN)
    rig.start(2, threading.get_ident)
    assert rig.end_of(2).normal


def test_a_request_in_the_moment_after_a_childs_own_end_does_not_hit_the_next(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is raised in the same thread, behind the child's own code: that child is told as ended."""
    outcome_of = module.outcome_of

    def signalled_at_its_end(run: Any, arguments: Any) -> ChildEnd:
        end = outcome_of(run, arguments)
        rig.threads.signal(1, "kill")
        return end

    monkeypatch.setattr(module, "outcome_of", signalled_at_its_end)
    rig.start(1, threading.get_ident)
    assert rig.end_of(1) == ChildEnd("shutdown", False)
    for life in range(2, 10):
        rig.start(life, threading.get_ident)
        assert rig.end_of(life).normal
    assert len(rig.alive) == 1


def test_a_child_cannot_leave_while_a_request_is_made(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits at the lock until what is raised has been raised in its thread, and in no other."""
    gate = threading.Event()
    raise_in = module._raise_in

    def when_the_child_waits(ident: int, error: Any) -> None:
        if threading.current_thread() is threading.main_thread():
            gate.set()
            wait_until(lambda: in_function(ident, "_leave"), "the child at the lock")
            for _ in looks(0.05):
                assert in_function(ident, "_leave"), "it has left without the lock"
        raise_in(ident, error)

    monkeypatch.setattr(module, "_raise_in", when_the_child_waits)
    rig.start(1, gate.wait, WITHIN)
    wait_until(lambda: rig.threads._idents, "the child's own code")
    rig.threads.signal(1, "kill")
    assert rig.end_of(1) == ChildEnd("shutdown", False)
    rig.start(2, threading.get_ident)
    assert rig.end_of(2).normal


def in_function(ident: int, name: str) -> bool:
    """Whether a thread's innermost Python function is this one."""
    return sys._current_frames()[ident].f_code.co_name == name


def test_a_profiler_works_after_children_as_threads(rig: Rig) -> None:
    """An exception that was taken back left CPython 3.11 looking for it: traced, it stood still."""
    rig.start(1, threading.get_ident)
    assert rig.end_of(1).normal
    calls: list[str] = []
    sys.setprofile(lambda frame, event, argument: calls.append(event))
    try:
        in_function(threading.get_ident(), "any function written in Python")
    finally:
        sys.setprofile(None)
    assert "call" in calls


def test_every_end_is_told_whenever_the_request_comes(rig: Rig) -> None:
    """The two threads take turns as often as they can, and requests come at any time, twice too."""
    choose = random.Random(1)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for life in range(1, size(20_000, 1_000)):
            rig.start(life, sum, range(choose.randrange(50)))
            for _ in range(choose.randrange(3)):
                sum(range(choose.randrange(300)))
                rig.threads.signal(life, "kill")
            rig.end_of(life)
    finally:
        sys.setswitchinterval(interval)
    assert len(rig.alive) == 1
