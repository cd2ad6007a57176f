"""The queues of the task pool as a model: sources, workers, and stops that wait, step by step.

A source puts its tasks into the way in; a worker takes a task, and one that is a parent makes
children, one step each. First the designs of the queues:

* ``single``: one bounded queue for all; who finds it full waits.
* ``two``: a bounded internal queue beside the bounded admission; a worker that finds it full waits.
* ``in_place``: as ``two``, but a worker that finds it full runs the child itself.
* ``unbounded``: the internal queue has no bound.

Then what becomes of a stop that a worker takes while tasks of its pipeline are left:

* ``repeat``: it looks again, in place.
* ``swap``: it goes to the end of the internal queue. New tasks come in only when that is empty
  (the seed's wording), or while it is shorter than three for each worker (its code).
* ``timer``: it lies aside, and comes back at some time.
* ``counter``: it lies aside until the number of tasks is zero. It is what our pool does.

Which designs have deadlocks, and which are trapped, is as in the specification's table. Its numbers
are met for two queues (24 deadlocks, 90 trapped states, with five tasks of three children each and
room for two) and where stops go round (4 states, all trapped). The others differ (84 and 251 for 34
and 72 with a single queue, other numbers of states where all is clean): the table's parameters are
not written down, and what it counts as a step of its own may not be one here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import pytest

from tests.models.explorer import Exploration, Step, explore

Queues = Literal["single", "two", "in_place", "unbounded"]
Stops = Literal["repeat", "swap", "timer", "counter"]

PARENT, CHILD, STOP = "parent", "child", "stop"


@dataclass(frozen=True, slots=True)
class Worker:
    """What a worker has in hand, and how many children it is still to make."""

    hand: str = ""
    left: int = 0


@dataclass(frozen=True, slots=True)
class State:
    """The queues, the workers, and the stops that lie aside."""

    source: int
    admission: tuple[str, ...]
    internal: tuple[str, ...]
    workers: tuple[Worker, ...]
    aside: int = 0
    stopped: int = 0

    @property
    def tasks(self) -> int:
        """How many tasks there are, wherever they are."""
        queued = sum(each != STOP for each in self.admission + self.internal)
        return self.source + queued + sum(w.hand not in ("", STOP) for w in self.workers)

    def put(self, worker: int, after: Worker) -> State:
        """The same, with a worker as it is after a step."""
        workers = (*self.workers[:worker], after, *self.workers[worker + 1 :])
        return replace(self, workers=workers)


@dataclass(frozen=True, slots=True)
class Design:
    """The rules, and how large everything is."""

    queues: Queues
    stops: Stops = "counter"
    room: int = 2
    fan: int = 3
    admits_below: int = 1
    """New tasks are taken in while the internal queue is shorter; 1 is only when it is empty."""

    def steps(self, state: State) -> Iterator[Step[State]]:
        """What may happen next."""
        yield from self._source(state)
        for index, worker in enumerate(state.workers):
            if worker.hand == "":
                yield from self._take(state, index)
            elif worker.hand == STOP:
                yield from self._stop(state, index)
            else:
                yield from self._work(state, index, worker)
        if state.aside and (self.stops == "timer" or not state.tasks):
            back = replace(state, aside=state.aside - 1, internal=(*state.internal, STOP))
            yield Step("wakes", back)

    def _source(self, state: State) -> Iterator[Step[State]]:
        if not state.source:
            return
        left = replace(state, source=state.source - 1)
        if self.queues == "single":
            if len(state.internal) < self.room:
                yield Step("puts", replace(left, internal=(*state.internal, PARENT)))
        elif len(state.admission) < self.room:
            yield Step("puts", replace(left, admission=(*state.admission, PARENT)))

    def _take(self, state: State, index: int) -> Iterator[Step[State]]:
        if state.admission and len(state.internal) < self.admits_below:
            first, *rest = state.admission
            taken = replace(state, admission=tuple(rest))
            # By the seed's code it goes through the internal queue, by its wording into a hand.
            if self.admits_below > 1:
                yield Step("lets in", replace(taken, internal=(*state.internal, first)))
            else:
                yield Step("takes new", taken.put(index, self._begun(first)))
        if state.internal:
            first, *rest = state.internal
            taken = replace(state, internal=tuple(rest))
            yield Step("takes", taken.put(index, self._begun(first)))

    def _begun(self, task: str) -> Worker:
        return Worker(task, self.fan if task == PARENT else 0)

    def _work(self, state: State, index: int, worker: Worker) -> Iterator[Step[State]]:
        if not worker.left:
            yield Step("is done", state.put(index, Worker()))
            return
        after = state.put(index, replace(worker, left=worker.left - 1))
        if self.queues == "unbounded" or len(state.internal) < self.room:
            yield Step("makes", replace(after, internal=(*state.internal, CHILD)))
        elif self.queues == "in_place":
            yield Step("makes and runs", after)

    def _stop(self, state: State, index: int) -> Iterator[Step[State]]:
        if not state.tasks:
            yield Step("stops", replace(state.put(index, Worker()), stopped=state.stopped + 1))
        elif self.stops == "repeat":
            yield Step("looks again", state)
        elif self.stops == "swap":
            back = state.put(index, Worker())
            yield Step("puts back", replace(back, internal=(*state.internal, STOP)))
        else:
            yield Step("lays aside", replace(state.put(index, Worker()), aside=state.aside + 1))


def done(state: State) -> bool:
    """Nothing is left."""
    idle = all(worker.hand == "" for worker in state.workers)
    return idle and not (state.source or state.admission or state.internal or state.aside)


def without_stops(queues: Queues) -> Exploration[State]:
    """Two workers, a source of five, and room for two."""
    design = Design(queues)
    return explore(State(5, (), (), (Worker(), Worker())), design.steps, done)


def with_stops(
    queues: Queues, stops: Stops, *, count: int = 1, workers: int = 1, admits_below: int = 1
) -> Exploration[State]:
    """Stops wait inside, and the task that they wait for is not in yet."""
    design = Design(queues, stops, room=3, admits_below=admits_below)
    inside = (STOP,) * count
    return explore(State(1, (), inside, (Worker(),) * workers), design.steps, done)


@pytest.mark.parametrize(("queues", "counts"), [("single", (778, 84, 251)), ("two", (909, 24, 90))])
def test_workers_that_wait_for_room_deadlock(queues: Queues, counts: tuple[int, int, int]) -> None:
    """P1 and P2: all of them hold children, and only they could make room."""
    found = without_stops(queues)
    assert found.counts == counts
    stuck = next(iter(found.deadlocks))
    assert all(worker.left for worker in stuck.workers)


@pytest.mark.parametrize("queues", ["in_place", "unbounded"])
def test_work_that_never_waits_for_room_does_not(queues: Queues) -> None:
    """Run in place, or kept: both are clean as long as nothing waits for tasks."""
    assert without_stops(queues).free


@pytest.mark.parametrize("queues", ["in_place", "unbounded"])
@pytest.mark.parametrize("stops", ["repeat", "swap"])
def test_a_stop_that_counts_as_work_starves_what_it_waits_for(queues: Queues, stops: Stops) -> None:
    """A lone stop is always the next to be taken, and its task never comes in."""
    assert with_stops(queues, stops).counts == (4, 0, 4)


def test_a_threshold_helps_until_stops_alone_reach_it() -> None:
    """Three for each worker: two stops are clean, three are trapped."""
    assert with_stops("in_place", "swap", count=2, admits_below=3).free
    assert with_stops("in_place", "swap", count=3, admits_below=3).counts == (4, 0, 4)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("count", [1, 3])
def test_a_stop_that_lies_aside_is_clean(count: int, workers: int) -> None:
    """By a timer or by the counter; the counter needs fewer states, as it never looks in vain."""
    timer = with_stops("unbounded", "timer", count=count, workers=workers)
    counter = with_stops("unbounded", "counter", count=count, workers=workers)
    assert timer.free
    assert counter.free
    assert len(counter.states) < len(timer.states)


def test_the_way_into_the_starvation() -> None:
    """The task is there, and the worker takes the stop and puts it back, and takes it."""
    found = with_stops("unbounded", "swap")
    ways = {tuple(found.path(state)) for state in found.states}
    assert ways == {(), ("puts",), ("takes",), ("puts", "takes")}
