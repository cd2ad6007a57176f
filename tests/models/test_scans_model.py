"""The original of the scans as a model: its driver and two workers, step by step.

The driver collects what the workers said, pulls an element, and pushes it to every scan that it
believes to run, waiting where a queue is full. A worker takes from its queue, and then finishes or
goes on. Four designs of the end:

* ``block``: the driver waits for room, and that is all.
* ``eof``: a worker whose input ends says so.
* ``swallow``: a finished worker goes on taking, until it is told to stop.
* ``closed``: a finished worker closes its queue, and the driver gives it up. It is what a
  cancelled subscription is to us.

Issues 2 and 3 are two of the original's known deadlocks, by the numbers of the specification.
The numbers of deadlocks and of trapped states are those of the specification's table, with six
elements and queues of one place; so are the numbers of states of issue 3 for ``swallow`` (157) and
``closed`` (145). The other numbers of states differ (126 for 131, 130 for 133, and twice as many in
issue 2): the table's model is not written down, and what it counts as a step of its own may not be
one here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

import pytest

from tests.models.explorer import Exploration, Step, explore

ELEMENTS = 6
ROOM = 1
ENDLESS = 0

Design = Literal["block", "eof", "swallow", "closed"]
Place = Literal["waiting", "holding", "swallowing", "gone"]


@dataclass(frozen=True, slots=True)
class Worker:
    """A scan's thread, its input queue, and what the driver knows of it."""

    takes: int
    """After how many elements it is finished; 0 is never."""
    place: Place = "waiting"
    queued: int = 0
    told_to_stop: bool = False
    said: bool = False
    """Whether its last event is in the output queue."""
    believed: bool = True
    """Whether the driver counts it among the running."""

    @property
    def finishes(self) -> bool:
        """Whether the element in its hand is its last."""
        return self.takes == 1


@dataclass(frozen=True, slots=True)
class State:
    """The driver and its workers."""

    source: int
    workers: tuple[Worker, ...]
    driver: Literal["collect", "push", "drain", "end"] = "collect"
    pushing_to: int = 0

    def with_worker(self, index: int, worker: Worker) -> State:
        """The same with another worker in that place."""
        workers = *self.workers[:index], worker, *self.workers[index + 1 :]
        return replace(self, workers=workers)


def collected(workers: Iterable[Worker]) -> tuple[Worker, ...]:
    """The workers after the driver has read what they said."""
    return tuple(
        replace(worker, believed=worker.believed and not worker.said, said=False)
        for worker in workers
    )


def next_push(state: State, first: int) -> State:
    """The driver goes on with the next worker that it believes to run, or to its next round."""
    for index in range(first, len(state.workers)):
        if state.workers[index].believed:
            return replace(state, driver="push", pushing_to=index)
    return replace(state, driver="collect", pushing_to=0)


@dataclass(frozen=True, slots=True)
class Original:
    """The rules of one design; `atomic` takes the last element and finishes in one step."""

    design: Design
    atomic: bool = False

    def steps(self, state: State) -> Iterator[Step[State]]:
        """What the driver or one of the workers may do next."""
        yield from self.driver(state)
        for index, worker in enumerate(state.workers):
            for step in self.worker(worker):
                yield Step(f"{index} {step.name}", state.with_worker(index, step.state))

    def driver(self, state: State) -> Iterator[Step[State]]:
        """The driver's next step, if it does not wait."""
        if state.driver == "collect":
            workers = collected(state.workers)
            if state.source:
                pulled = replace(state, source=state.source - 1, workers=workers)
                yield Step("pull", next_push(pulled, 0))
            else:
                told = tuple(replace(w, told_to_stop=w.told_to_stop or w.believed) for w in workers)
                yield Step("stop", replace(state, driver="drain", workers=told))
        elif state.driver == "push":
            yield from self.push(state, state.pushing_to)
        elif state.driver == "drain":
            if not any(worker.believed for worker in state.workers):
                yield Step("end", replace(state, driver="end"))
            elif any(worker.said for worker in state.workers):
                yield Step("drain", replace(state, workers=collected(state.workers)))

    def push(self, state: State, index: int) -> Iterator[Step[State]]:
        """Put the element into a worker's queue, or give up a closed one."""
        worker = state.workers[index]
        if self.design == "closed" and worker.place == "gone":
            yield Step("skip", next_push(state, index + 1))
        elif worker.queued < ROOM:
            pushed = state.with_worker(index, replace(worker, queued=worker.queued + 1))
            yield Step("push", next_push(pushed, index + 1))

    def worker(self, worker: Worker) -> Iterator[Step[Worker]]:
        """A worker's next step, if it does not wait for input."""
        if worker.place == "holding":
            yield Step("works", self.worked(worker))
        elif worker.place in ("waiting", "swallowing") and worker.queued:
            taken = replace(worker, queued=worker.queued - 1)
            if worker.place == "swallowing":
                yield Step("swallows", taken)
            else:
                held = replace(taken, place="holding")
                yield Step("takes", self.worked(held) if self.atomic else held)
        elif worker.place == "waiting" and worker.told_to_stop:
            yield Step("ends", replace(worker, place="gone", said=self.design != "block"))
        elif worker.place == "swallowing" and worker.told_to_stop:
            yield Step("leaves", replace(worker, place="gone"))

    def worked(self, worker: Worker) -> Worker:
        """The worker after the element in its hand."""
        if worker.finishes:
            after: Place = "swallowing" if self.design == "swallow" else "gone"
            return replace(worker, takes=0, place=after, said=True)
        return replace(worker, takes=max(0, worker.takes - 1), place="waiting")


def explored(takes: tuple[int, ...], design: Design, *, atomic: bool = False) -> Exploration[State]:
    """Every state of a driver with workers that finish after so many elements each."""
    workers = tuple(Worker(takes=count) for count in takes)
    rules = Original(design, atomic)
    return explore(State(ELEMENTS, workers), rules.steps, lambda state: state.driver == "end")


@pytest.mark.parametrize(
    ("design", "counts"),
    [("block", (268, 1, 268)), ("eof", (280, 0, 0)), ("closed", (280, 0, 0))],
)
def test_issue_2_endless_scans_and_a_finite_source(
    design: Design, counts: tuple[int, int, int]
) -> None:
    """Nobody rings when the input of an endless scan ends, unless the scan says so."""
    assert explored((ENDLESS, ENDLESS), design).counts == counts


@pytest.mark.parametrize(
    ("design", "counts"),
    [
        ("block", (126, 3, 126)),
        ("eof", (130, 1, 8)),
        ("swallow", (157, 0, 0)),
        ("closed", (145, 0, 0)),
    ],
)
def test_issue_3_a_scan_that_finishes_and_a_small_queue(
    design: Design, counts: tuple[int, int, int]
) -> None:
    """The driver waits for room in a queue that nobody reads any more."""
    assert explored((1, ENDLESS), design).counts == counts


def test_a_finish_in_one_step_hides_issue_3() -> None:
    """Why a test needs a gate between taking the last element and being finished."""
    assert explored((1, ENDLESS), "eof", atomic=True).free
    assert not explored((1, ENDLESS), "eof").free


def test_the_way_into_issue_3() -> None:
    """The driver waits for room behind a scan that has gone, and the other has nothing to do."""
    (stuck,) = explored((1, ENDLESS), "eof").deadlocks
    finished, endless = stuck.workers
    assert stuck.driver == "push"
    assert stuck.pushing_to == 0
    assert (finished.place, finished.queued) == ("gone", ROOM)
    assert (endless.place, endless.queued) == ("waiting", 0)
