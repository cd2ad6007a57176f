"""D-20: a call that already owns data is not torn; with a real event loop, and no process."""

from __future__ import annotations

import asyncio
import queue
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from actorflow import shielded
from actorflow.stage.children import ChildEnd, ChildTemplate
from actorflow.supervision.tasks import Tasks

WAIT = 10.0


class Call:
    """A call that takes something in two steps; the test says when it goes on."""

    def __init__(self, *, nested: bool = False) -> None:
        self.begun: queue.SimpleQueue[asyncio.AbstractEventLoop] = queue.SimpleQueue()
        self.go_on = asyncio.Event()
        self.steps: list[str] = []
        self.nested = nested

    async def run(self) -> None:
        """Owns data between the two steps, and waits for ever after them."""
        async with shielded():
            self.steps.append("taken")
            self.begun.put(asyncio.get_running_loop())
            if self.nested:
                async with shielded():
                    await self.go_on.wait()
            await self.go_on.wait()
            await asyncio.sleep(0)
            self.steps.append("stored")
        await asyncio.Event().wait()


@contextmanager
def tasks() -> Iterator[tuple[Tasks, Callable[[], ChildEnd]]]:
    """An event loop in a thread; and the next end of a child."""
    posted: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
    ends: list[ChildEnd] = []
    running = Tasks(posted.put, lambda endings: ends.extend(each.end for each in endings))

    def next_end() -> ChildEnd:
        while not ends:
            posted.get(timeout=WAIT)()
        return ends.pop(0)

    try:
        yield running, next_end
    finally:
        running.close()


def start(running: Tasks, work: Any) -> None:
    """Run it as child 1."""
    running.start(1, ChildTemplate(run=work, kind="task"), ())


def test_d_20_a_shielded_part_is_cancelled_after_it() -> None:
    """What was taken is stored, though it was cancelled in between; also from nested parts."""
    for nested in (False, True):
        call = Call(nested=nested)
        with tasks() as (running, next_end):
            start(running, call.run)
            loop = call.begun.get(timeout=WAIT)
            running.signal(1, "kill")
            loop.call_soon_threadsafe(call.go_on.set)
            end = next_end()
        assert call.steps == ["taken", "stored"]
        assert (end.normal, end.reason) == (False, ["error", "CancelledError"])


def test_d_20_what_is_not_shielded_is_cancelled_where_it_waits() -> None:
    """At once."""
    with tasks() as (running, next_end):
        start(running, asyncio.Event().wait)
        running.signal(1, "kill")
        assert not next_end().normal


def test_d_20_an_exception_in_a_shielded_part_does_not_lose_the_cancellation() -> None:
    """The call has ended badly, and is not tried again by those who wanted it to end."""

    async def fails() -> None:
        async with shielded():
            begun.put(asyncio.get_running_loop())
            await go_on.wait()
            raise ValueError("no")

    begun: queue.SimpleQueue[asyncio.AbstractEventLoop] = queue.SimpleQueue()
    go_on = asyncio.Event()
    with tasks() as (running, next_end):
        start(running, fails)
        loop = begun.get(timeout=WAIT)
        running.signal(1, "kill")
        loop.call_soon_threadsafe(go_on.set)
        assert not next_end().normal


def test_children_that_end_together_are_told_of_together() -> None:
    """256 of them cross between the threads in heaps; none is forgotten."""
    posted: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
    ended: list[int] = []
    running = Tasks(posted.put, lambda endings: ended.extend(each.life for each in endings))
    template = ChildTemplate(run=asyncio.sleep, arguments=(0,), kind="task")
    crossings = 0
    for life in range(256):
        running.start(life, template, ())
    while len(ended) < 256:
        posted.get(timeout=WAIT)()
        crossings += 1
    running.close()
    assert sorted(ended) == list(range(256))
    assert posted.empty()
    assert crossings <= 256
