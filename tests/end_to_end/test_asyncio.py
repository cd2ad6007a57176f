"""Runs in an event loop: nothing blocks it, and nothing is left on it.

That the loop is not blocked is shown by events and not by clocks: what a test waits for can only
happen once the loop has gone round a number of times in the meantime. A blocked loop would wait
for itself, until the test's limit.
"""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from itertools import count
from typing import Any, TypeVar

import pykka
import pytest

from actorflow import (
    Closed,
    Consumer,
    NoSuchStage,
    OptionError,
    Refused,
    SubscribeTo,
    Topology,
    from_iterable,
)
from tests.end_to_end.helpers import Events, kill, wait_until
from tests.end_to_end.stages import Numbers, Pass, Sink

pytestmark = pytest.mark.processes

LIMIT = 50.0
ROUNDS = 50
"""How often the loop goes round while something is awaited."""

Result = TypeVar("Result")


def finite(limit: int) -> Topology:
    """So many numbers, passed on, and taken by nobody."""
    return (
        Topology("finite")
        .stage("numbers", Numbers, args={"limit": limit})
        .stage("pass", Pass, subscribe_to=["numbers"])
    )


class Gate:
    """Opens when the loop has gone round so often since something was begun to be awaited.

    Args:
        more: what comes behind the gate.
    """

    def __init__(self, more: Iterable[int] = (2,)) -> None:
        self.opened = threading.Event()
        self.more = more

    def items(self) -> Iterator[int]:
        """One item now, the others when the gate opens."""
        yield 1
        self.opened.wait(LIMIT)
        yield from self.more

    async def while_awaiting(self, awaited: Awaitable[Result]) -> Result:
        """Await something that needs the gate open, which the loop opens after some rounds."""
        task = asyncio.ensure_future(awaited)
        for _ in range(ROUNDS):
            await asyncio.sleep(0)
        assert not task.done()
        self.opened.set()
        return await asyncio.wait_for(task, LIMIT)

    @property
    def topology(self) -> Topology:
        """A source that waits for the gate."""
        return Topology("gate").stage("items", from_iterable(self.items()))


def run_async(main: Callable[[], Awaitable[Any]]) -> None:
    """Run a coroutine to its end; nothing may be left on its loop."""

    async def and_look() -> None:
        await main()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(and_look())


# --- running --------------------------------------------------------------------------------------


@pytest.mark.parametrize("start", ["start", "astart"])
def test_a_run_is_an_asynchronous_context_manager(start: str) -> None:
    """Entered, awaited and left."""

    async def main() -> None:
        topology = Topology("sum").stage("items", from_iterable(range(9)))
        topology = topology.stage("sum", Sum, subscribe_to=["items"])
        async with getattr(topology, start)() as run:
            assert await run.wait_async(LIMIT) == {"sum": 36}
        assert run.over

    run_async(main)


class Sum(Consumer):
    def __init__(self) -> None:
        self.total = 0

    def handle_events(self, events: list[int], subscription: object) -> None:
        self.total += sum(events)
        self.set_result(self.total)


def test_a_run_may_be_awaited_and_stopped_later() -> None:
    """Without a block; the second stop is none."""

    async def main() -> None:
        run = await finite(10).astart()
        assert (await run.stop_async()).status == "stopped"
        assert (await run.stop_async()).status == "stopped"

    run_async(main)


def test_a_start_that_is_cancelled_leaves_no_run() -> None:
    """What was being started is stopped before the cancellation goes on."""

    async def main() -> None:
        async def start() -> None:
            async with finite(10).astart():
                raise AssertionError("cancelled before")

        task = asyncio.ensure_future(start())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert pykka.ActorRegistry.get_all() == []

    run_async(main)


def test_leaving_the_block_stops_the_run() -> None:
    """With an exception or without."""

    async def main() -> None:
        with pytest.raises(LookupError):
            async with Topology("endless").stage("numbers", Numbers).astart() as run:
                raise LookupError
        assert run.outcome(0).status == "stopped"

    run_async(main)


def test_waiting_for_the_end_does_not_block_the_loop() -> None:
    """The run ends only after the loop has gone round many times since it was awaited."""

    async def main() -> None:
        gate = Gate()
        topology = gate.topology.stage("sink", Sink, subscribe_to=["items"])
        async with topology.astart() as run:
            assert await gate.while_awaiting(run.wait_async()) == {}

    run_async(main)


def test_waiting_has_a_limit() -> None:
    """A `TimeoutError`, which says what can be seen from outside; and the run goes on."""

    async def main() -> None:
        async with Topology("endless").stage("numbers", Numbers).astart() as run:
            said = r"'endless' is not over after 0\.001 s; no stage .* the events of 'numbers'"
            with pytest.raises(TimeoutError, match=said):
                await run.wait_async(0.001)
            assert not run.over

    run_async(main)


def test_draining_does_not_block_the_loop() -> None:
    """The source is in the making of an item, which is waited for."""

    async def main() -> None:
        gate = Gate()
        topology = gate.topology.stage("sink", Sink, subscribe_to=["items"])
        events = Events()
        async with topology.astart(events) as run:
            await asyncio.to_thread(events.started, "items", "sink")
            await asyncio.to_thread(
                wait_until, lambda: run.stats().stage("sink").events_in == 1, "the first"
            )
            outcome = await gate.while_awaiting(run.drain_async())
            assert outcome.status == "done"

    run_async(main)


def test_stopping_does_not_block_the_loop() -> None:
    """An item in the making is waited for, for the stage's `shutdown` time."""

    async def main() -> None:
        # Without an end, so that it is the stop that ends the run, however late it gets there.
        gate = Gate(count(2))
        topology = gate.topology.stage("sink", Sink, subscribe_to=["items"])
        async with topology.astart(Events()) as run:
            await asyncio.to_thread(
                wait_until, lambda: run.stats().stage("sink").events_in == 1, "the first"
            )
            outcome = await gate.while_awaiting(run.stop_async())
            assert outcome.status == "stopped"

    run_async(main)


def test_a_failing_run_raises_where_it_is_awaited() -> None:
    """The very exception of the iterable."""
    error = LookupError("broken")

    def items() -> Iterator[int]:
        yield 1
        raise error

    async def main() -> None:
        topology = Topology("broken").stage("items", from_iterable(items()))
        topology = topology.stage("sink", Sink, subscribe_to=["items"])
        async with topology.astart(Events()) as run:
            with pytest.raises(LookupError) as caught:
                await run.wait_async(LIMIT)
            assert caught.value is error

    run_async(main)


# --- streams --------------------------------------------------------------------------------------


def test_async_for_gives_everything() -> None:
    """From a run, and from a topology."""

    async def main() -> None:
        async with finite(1000).astart() as run:
            assert [event async for event in run.astream("pass")] == list(range(1000))
            assert [event async for event in run.astream("pass")] == []
        assert [event async for event in finite(1000).astream("pass")] == list(range(1000))

    run_async(main)


def test_waiting_for_an_event_does_not_block_the_loop() -> None:
    """The second event comes only after the loop has gone round many times."""

    async def main() -> None:
        gate = Gate()
        async with gate.topology.astart() as run:
            stream = run.astream("items")
            assert await anext(stream) == 1
            assert await gate.while_awaiting(anext(stream)) == 2
            assert [event async for event in stream] == []

    run_async(main)


def test_two_streams_are_read_at_the_same_time() -> None:
    """Each gets its share while the other one waits."""

    async def main() -> None:
        async with finite(300).astart() as run:
            got: list[int] = []

            async def read() -> None:
                async for event in run.astream("pass", max_demand=2):
                    got.append(event)
                    await asyncio.sleep(0)

            await asyncio.gather(read(), read())
            assert sorted(got) == list(range(300))

    run_async(main)


def test_a_stream_that_is_left_leaves_nothing() -> None:
    """By break, by its block, by cancellation, and by being forgotten."""

    async def main() -> None:
        topology = Topology("endless").stage("numbers", Numbers)
        async with topology.astart() as run:
            async for event in run.astream("numbers"):
                if event == 5:
                    break
            async with run.astream("numbers") as stream:
                await anext(stream)

            async def read() -> None:
                async for _ in run.astream("numbers"):
                    pass

            task = asyncio.ensure_future(read())
            for _ in range(ROUNDS):
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            del task
            gc.collect()
            await asyncio.to_thread(
                wait_until,
                lambda: [child.id for child in run.which_children()] == ["numbers/0"],
                "the streams to be forgotten",
            )
            assert not run.over

    run_async(main)


def test_what_is_wrong_is_raised_by_the_first_step() -> None:
    """Options at the call, names when the supervisor has been asked."""

    async def main() -> None:
        topology = finite(10).stage("sink", Sink, subscribe_to=["pass"])
        async with topology.astart() as run:
            with pytest.raises(OptionError, match="max_demand must be"):
                run.astream("pass", max_demand=0)
            with pytest.raises(NoSuchStage, match="did you mean 'pass'"):
                await anext(run.astream("pas"))
            with pytest.raises(Refused, match="not_a_producer"):
                await anext(run.astream("sink"))
            await run.stop_async()
            with pytest.raises(Closed, match="was stopped before its stream was at its end"):
                await anext(run.astream("pass"))

    run_async(main)


def test_a_slow_coroutine_slows_the_source_down() -> None:
    """What is taken is what was had, two windows, and a message."""
    taken: list[int] = []

    async def items() -> AsyncIterator[int]:
        for number in count():
            taken.append(number)
            yield number

    async def main() -> None:
        topology = (
            Topology("slow")
            .stage("items", from_iterable(items()))
            .stage("pass", Pass, subscribe_to=[SubscribeTo("items", max_demand=10)])
        )
        async with topology.astart() as run:
            async for had in run.astream("pass", max_demand=4):
                assert len(taken) <= had + 4 + 10 + 10
                await asyncio.sleep(0)
                if had == 100:
                    break

    run_async(main)


# --- asynchronous iterables -----------------------------------------------------------------------


def test_an_asynchronous_iterable_is_read_on_the_callers_loop() -> None:
    """It shares the loop with the rest of the program, and is closed with the run."""
    seen: dict[str, Any] = {}

    async def main() -> None:
        queue: asyncio.Queue[int | None] = asyncio.Queue()

        async def items() -> AsyncIterator[int]:
            seen["loop"] = asyncio.get_running_loop()
            try:
                while (item := await queue.get()) is not None:
                    yield item
            finally:
                seen["closed"] = True

        async with Topology("queue").stage("items", from_iterable(items())).astart() as run:
            stream = run.astream("items")
            for number in range(20):
                queue.put_nowait(number)
                assert await anext(stream) == number
            queue.put_nowait(None)
            assert [event async for event in stream] == []
        assert seen == {"loop": asyncio.get_running_loop(), "closed": True}

    run_async(main)


def test_one_that_waits_is_cancelled_when_the_run_stops() -> None:
    """Nothing is waited for, nothing abandoned: a task can be cancelled."""
    closed = []

    async def items() -> AsyncIterator[int]:
        try:
            yield 1
            await asyncio.Event().wait()
        finally:
            closed.append(True)

    async def main() -> None:
        async with Topology("waits").stage("items", from_iterable(items())).astart() as run:
            assert await anext(run.astream("items")) == 1
        assert closed == [True]

    run_async(main)


def test_a_consumer_of_an_asynchronous_iterable_may_be_killed() -> None:
    """What it had not finished comes again, while the iterable goes on."""
    events = Events()

    async def items() -> AsyncIterator[int]:
        for number in range(500):
            await asyncio.sleep(0)
            yield number

    async def main() -> None:
        topology = (
            Topology("killed")
            .stage("items", from_iterable(items()))
            .stage("pass", Pass, subscribe_to=["items"])
        )
        async with topology.astart(events) as run:
            got = []
            async for event in run.astream("pass", max_demand=10):
                got.append(event)
                if len(got) == 100:
                    await asyncio.to_thread(kill, run, "pass")
            assert set(got) == set(range(500))

    run_async(main)


def test_a_program_without_a_loop_reads_it_on_one_of_its_own() -> None:
    """`start` outside of any event loop."""

    async def items() -> AsyncIterator[int]:
        for number in range(50):
            await asyncio.sleep(0)
            yield number

    topology = Topology("plain").stage("items", from_iterable(items()))
    with topology.start() as run:
        assert list(run.stream("items")) == list(range(50))
