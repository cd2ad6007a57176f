"""Pumps: items are taken beside the stage, no more than are wanted, each is told of at once."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import ContextVar, copy_context
from typing import Any

import pytest

from actorflow import Broken
from actorflow.stages.pumps import Pump, TaskPump, ThreadPump

LIMIT = 20.0


class Bell:
    """Counts how often it was rung, and lets a test wait for that."""

    def __init__(self) -> None:
        self.count = 0
        self._news = threading.Condition()

    def __call__(self) -> None:
        with self._news:
            self.count += 1
            self._news.notify_all()

    def wait(self, condition: Callable[[], Any]) -> None:
        """Wait until a condition holds that only becomes true with a ring."""
        with self._news:
            assert self._news.wait_for(condition, LIMIT)


def ended(pump: Pump) -> None:
    """Stop a pump and wait for its end."""
    pump.stop(LIMIT)
    pump.join()


def gated(gate: threading.Event) -> Iterator[int]:
    """Two items at once, and a third when the gate opens."""
    yield 1
    yield 2
    gate.wait(LIMIT)
    yield 3


def test_pain_43_what_is_ready_is_told_while_the_next_item_is_awaited() -> None:
    """Five are wanted, two are there, and the third blocks: the two are to be had at once."""
    gate, bell = threading.Event(), Bell()
    pump = ThreadPump(gated(gate), bell, "pump", copy_context())
    pump.want(5)
    got: list[int] = []
    bell.wait(lambda: got.extend(pump.fetch()) or got == [1, 2])
    assert not pump.over
    gate.set()
    bell.wait(lambda: pump.over)
    assert pump.fetch() == [3]
    assert pump.error is None
    ended(pump)


def test_no_more_is_taken_than_is_wanted() -> None:
    """Wants add up, and the end is noticed when more is wanted."""
    taken: list[int] = []
    bell = Bell()
    pump = ThreadPump(iter(range(4)), bell, "pump", copy_context())
    pump.want(1)
    bell.wait(lambda: taken.extend(pump.fetch()) or taken == [0])
    pump.want(1)
    pump.want(2)
    bell.wait(lambda: taken.extend(pump.fetch()) or taken == [0, 1, 2, 3])
    assert not pump.over
    pump.want(1)
    bell.wait(lambda: pump.over)
    ended(pump)


def test_a_ring_is_not_repeated_until_it_is_answered() -> None:
    """A thousand fast items are one ring, or a few, and not a thousand."""
    bell = Bell()
    pump = ThreadPump(range(1000), bell, "pump", copy_context())
    pump.want(1001)
    bell.wait(lambda: pump.over)
    assert bell.count == 2  # something is there; it is over
    assert pump.fetch() == list(range(1000))
    ended(pump)


def test_an_error_comes_after_the_items_before_it() -> None:
    """The object itself, for the stage to raise."""
    error = LookupError("no more")

    def items() -> Iterator[int]:
        yield 1
        raise error

    bell = Bell()
    pump = ThreadPump(items(), bell, "pump", copy_context())
    pump.want(3)
    bell.wait(lambda: pump.over)
    assert pump.fetch() == [1]
    assert pump.error is error
    ended(pump)


WHO: ContextVar[str] = ContextVar("WHO", default="nobody")


def test_the_iterable_sees_the_context_variables_that_it_is_given() -> None:
    """A thread would begin without any, and a loop's task with those of another thread."""

    def items() -> Iterator[str]:
        yield WHO.get()

    async def later() -> AsyncIterator[str]:
        yield WHO.get()

    token = WHO.set("the program")
    context = copy_context()
    WHO.reset(token)
    bell = Bell()
    pumps = [
        ThreadPump(items(), bell, "pump", context),
        TaskPump(later(), bell, "pump", context.copy(), None),
    ]
    for pump in pumps:
        pump.want(2)
        bell.wait(lambda pump=pump: pump.over)
        assert pump.fetch() == ["the program"]
        ended(pump)


def test_an_iterable_that_cannot_even_begin_is_an_error() -> None:
    """``iter()`` runs on the pump's thread as well, and may raise."""

    class Cannot:
        def __iter__(self) -> Iterator[int]:
            raise LookupError("cannot")

    bell = Bell()
    pump = ThreadPump(Cannot(), bell, "pump", copy_context())
    bell.wait(lambda: pump.over)
    assert isinstance(pump.error, LookupError)
    ended(pump)


def test_a_generator_is_closed_when_the_pump_stops() -> None:
    """Its ``finally`` has run when the run is over."""
    closed = []

    def items() -> Iterator[int]:
        try:
            while True:
                yield 1
        finally:
            closed.append(True)

    bell = Bell()
    pump = ThreadPump(items(), bell, "pump", copy_context())
    pump.want(1)
    bell.wait(lambda: pump.ready)
    ended(pump)
    assert closed == [True]
    assert pump.error is None


def test_an_iterable_that_blocks_is_abandoned_with_a_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Nobody waits longer than was said; the thread ends when the iterable lets it."""
    gate, bell = threading.Event(), Bell()
    pump = ThreadPump(gated(gate), bell, "actorflow: items of slow", copy_context())
    pump.want(5)
    bell.wait(lambda: len(pump.ready) == 2)
    with caplog.at_level(logging.WARNING):
        pump.stop(0.0)
        pump.join()
    assert "items of slow: the iterable neither gives an item nor ends" in caplog.text
    gate.set()
    bell.wait(lambda: pump.over)
    ended(pump)


# --- asynchronous ---------------------------------------------------------------------------------


class Numbers:
    """Numbers up to a limit; notes what happens to it."""

    def __init__(self, limit: int, waits: bool = False) -> None:
        self.limit, self.waits = limit, waits
        self.taken: list[int] = []
        self.closed = False
        self.loop: asyncio.AbstractEventLoop | None = None

    async def items(self) -> AsyncIterator[int]:
        self.loop = asyncio.get_running_loop()
        try:
            for number in range(self.limit):
                self.taken.append(number)
                yield number
            if self.waits:
                await asyncio.Event().wait()
        finally:
            self.closed = True


def test_an_asynchronous_iterable_gets_a_loop_of_its_own() -> None:
    """Where no loop runs: on a thread of its own, no more than is wanted, and closed at the end."""
    numbers, bell = Numbers(5), Bell()
    pump = TaskPump(numbers.items(), bell, "pump", copy_context(), None)
    pump.want(2)
    bell.wait(lambda: len(pump.ready) == 2)
    assert numbers.taken == [0, 1]
    pump.want(9)
    bell.wait(lambda: pump.over)
    assert pump.fetch() == [0, 1, 2, 3, 4]
    assert (pump.error, numbers.closed) == (None, True)
    ended(pump)


def test_one_that_waits_for_ever_is_cancelled() -> None:
    """Unlike a thread, a task can be: nothing is abandoned."""
    numbers, bell = Numbers(1, waits=True), Bell()
    pump = TaskPump(numbers.items(), bell, "pump", copy_context(), None)
    pump.want(9)
    bell.wait(lambda: len(pump.ready) == 1)
    ended(pump)
    assert numbers.closed


def test_an_error_of_an_asynchronous_iterable_is_kept() -> None:
    """The object itself."""
    error = LookupError("no more")

    async def items() -> AsyncIterator[int]:
        yield 1
        raise error

    bell = Bell()
    pump = TaskPump(items(), bell, "pump", copy_context(), None)
    pump.want(2)
    bell.wait(lambda: pump.over)
    assert (pump.fetch(), pump.error) == ([1], error)
    ended(pump)


def test_it_is_read_on_the_loop_that_is_given() -> None:
    """The loop goes on meanwhile, and nothing of the pump is left on it."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        numbers = Numbers(3)
        news = asyncio.Event()
        pump = TaskPump(
            numbers.items(),
            lambda: loop.call_soon_threadsafe(news.set) and None,
            "pump",
            copy_context(),
            loop,
        )
        pump.want(9)
        while not pump.over:
            await asyncio.wait_for(news.wait(), LIMIT)
            news.clear()
        assert pump.fetch() == [0, 1, 2]
        assert numbers.loop is loop
        pump.stop(LIMIT)
        await asyncio.to_thread(pump.join)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())


def test_a_loop_that_ends_is_the_end_of_the_source() -> None:
    """The items of a loop that is gone will never come: that is said, and not waited for."""
    bell = Bell()
    numbers = Numbers(1, waits=True)

    async def main() -> TaskPump:
        pump = TaskPump(numbers.items(), bell, "pump", copy_context(), asyncio.get_running_loop())
        pump.want(5)
        while not numbers.taken:
            await asyncio.sleep(0)
        return pump

    pump = asyncio.run(main())
    bell.wait(lambda: pump.over)
    assert isinstance(pump.error, Broken)
    assert "the event loop that the asynchronous iterable was read on has ended" in str(pump.error)
    pump.want(1)
    ended(pump)


def test_a_loop_that_is_closed_already_is_the_same() -> None:
    """Nobody is left who could even begin."""
    loop = asyncio.new_event_loop()
    loop.close()
    numbers, bell = Numbers(1), Bell()
    pump = TaskPump(numbers.items(), bell, "pump", copy_context(), loop)
    bell.wait(lambda: pump.over)
    assert isinstance(pump.error, Broken)
    ended(pump)
