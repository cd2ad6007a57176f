"""Taking items out of an iterable beside the stage that emits them, so that the stage never waits.

An iterable may block for as long as it likes: a socket, a terminal, a slow query. So its items are
taken on a thread of their own, or by a task of an event loop, never more than were asked for, and
the stage is rung as soon as there is one. Under the interpreter's lock that is also how batches
form: while items come fast the stage hardly gets a turn and then finds many; when they come slowly
it gets each at once. No time to linger has to be chosen.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncIterable, Callable, Iterable
from contextvars import Context
from itertools import islice
from typing import Any

from actorflow.errors import Broken

__all__ = ["Pump", "TaskPump", "ThreadPump"]

_log = logging.getLogger(__name__)

LONGEST = 10.0
"""Seconds that the end of a run waits for an iterable at most, also with ``shutdown: infinity``: it
is the end of everything, for which the runtime has a limit of its own."""


class Pump(ABC):
    """Takes as many items as are wanted, and rings when there are some.

    Args:
        ring: called when something has become ready, or it is over; from the pump's side.

    Attributes:
        ready: the items that were taken and not yet fetched.
        over: whether nothing more will be taken; `ready` may still hold the last items.
        error: what the iterable raised, or None.
    """

    def __init__(self, ring: Callable[[], None]) -> None:
        self.ready: deque[Any] = deque()
        self.over = False
        self.error: BaseException | None = None
        self._ring = ring
        self._rung = False
        self._stopping = False
        self._stop_by = 0.0

    def fetch(self) -> list[Any]:
        """Take out what is ready; from the stage's side."""
        # Lowered before the items are looked at, so that one added since then rings again.
        self._rung = False
        ready = self.ready
        return [ready.popleft() for _ in range(len(ready))]

    @abstractmethod
    def want(self, count: int) -> None:
        """So many more items are wanted; from the stage's side."""

    @abstractmethod
    def stop(self, within: float) -> None:
        """Take nothing more, and end in so many seconds; from any thread, does not block."""

    @abstractmethod
    def join(self) -> None:
        """Wait for that; one that does not end in its time is abandoned, with a line in the log."""

    def _tell(self) -> None:
        if not self._rung:
            self._rung = True
            self._ring()

    def _end(self, error: BaseException | None) -> None:
        self.error = error
        self.over = True
        self._rung = True
        self._ring()


class ThreadPump(Pump):
    """Takes items of an iterable on a thread.

    Args:
        iterable: what to take from.
        ring: as in `Pump`.
        name: the thread's name.
        context: the context variables that the iterable sees.
    """

    def __init__(
        self, iterable: Iterable[Any], ring: Callable[[], None], name: str, context: Context
    ) -> None:
        super().__init__(ring)
        self._iterable = iterable
        self._wanted = 0
        self._news = threading.Condition()
        self._thread = threading.Thread(
            target=context.run, args=(self._run,), name=name, daemon=True
        )
        self._thread.start()

    def want(self, count: int) -> None:
        """So many more items are wanted."""
        with self._news:
            self._wanted += count
            self._news.notify()

    def stop(self, within: float) -> None:
        """Take nothing more; an item that is being made is waited for so many seconds."""
        self._stop_by = time.monotonic() + min(within, LONGEST)
        with self._news:
            self._stopping = True
            self._news.notify()

    def join(self) -> None:
        """Wait for the thread's end."""
        if threading.current_thread() is self._thread:
            return
        self._thread.join(max(0.0, self._stop_by - time.monotonic()))
        if self._thread.is_alive():
            said = "%s: the iterable neither gives an item nor ends, its thread is abandoned"
            _log.warning(said, self._thread.name)

    def _run(self) -> None:
        error: BaseException | None = None
        try:
            self._pump()
        except BaseException as raised:  # noqa: BLE001  (the stage raises it, on its own thread)
            error = raised
        self._end(error)

    def _pump(self) -> None:
        iterator = iter(self._iterable)
        try:
            while wanted := self._wait_until_wanted():
                if not self._take(iterator, wanted):
                    return
        finally:
            if inspect.isgenerator(iterator):
                # The run has taken it over, so nobody else will; its `finally` blocks run here.
                iterator.close()

    def _take(self, iterator: Any, wanted: int) -> bool:
        """Take so many items; False when there is no more, or no more is to be taken."""
        ready = self.ready
        taken = 0
        for taken, item in enumerate(islice(iterator, wanted), 1):  # noqa: B007
            ready.append(item)
            if not self._rung:
                self._tell()
            if self._stopping:
                return False
        return taken == wanted

    def _wait_until_wanted(self) -> int:
        with self._news:
            self._news.wait_for(lambda: self._wanted or self._stopping)
            wanted, self._wanted = self._wanted, 0
        return 0 if self._stopping else wanted


class TaskPump(Pump):
    """Takes items of an asynchronous iterable in a task of an event loop.

    Args:
        iterable: what to take from.
        ring: as in `Pump`.
        name: the task's name, and that of the thread.
        context: the context variables that the iterable sees.
        loop: the running loop to take them in; None for one of its own, on a thread of its own.
    """

    def __init__(
        self,
        iterable: AsyncIterable[Any],
        ring: Callable[[], None],
        name: str,
        context: Context,
        loop: asyncio.AbstractEventLoop | None,
    ) -> None:
        super().__init__(ring)
        self._context = context
        self._iterable = iterable
        self._name = name
        self._wanted = 0
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._gone = threading.Event()
        self._thread: threading.Thread | None = None
        if loop is None:
            runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
            loop = runner.get_loop()
            self._thread = threading.Thread(
                target=self._run_loop, args=(runner,), name=name, daemon=True
            )
            self._thread.start()
        self._loop = loop
        if self._thread is None:
            self._post(self._begin)

    def want(self, count: int) -> None:
        """So many more items are wanted."""

        def more() -> None:
            self._wanted += count
            self._news.set()

        self._post(more)

    def stop(self, within: float) -> None:
        """Cancel what is awaited."""
        self._stop_by = time.monotonic() + min(within, LONGEST)
        self._stopping = True
        self._post(self._cancel)

    def join(self) -> None:
        """Wait until the task is over."""
        if not self._gone.wait(max(0.0, self._stop_by - time.monotonic())):
            _log.warning("%s: the asynchronous iterable does not end and is abandoned", self._name)
        elif self._thread is not None and threading.current_thread() is not self._thread:
            self._thread.join(max(0.0, self._stop_by - time.monotonic()))

    def _post(self, callback: Callable[[], None]) -> None:
        """Have the loop call this; that the loop is no more is the end of the stage."""
        try:
            self._loop.call_soon_threadsafe(callback)
        except RuntimeError:
            self._over()

    # --- on the loop ------------------------------------------------------------------------------

    def _run_loop(self, runner: asyncio.Runner) -> None:
        async def main() -> None:
            self._begin()
            assert self._task is not None
            await asyncio.wait([self._task])

        try:
            with runner:
                runner.run(main())
        finally:
            self._over()

    def _begin(self) -> None:
        running = asyncio.get_running_loop()
        self._task = running.create_task(self._run(), name=self._name, context=self._context)
        if self._thread is None:
            self._task.add_done_callback(lambda _: self._over())
        if self._stopping:
            self._task.cancel()

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _over(self) -> None:
        """It ends, one way or another."""
        self._gone.set()
        if not self.over:
            said = "the event loop that the asynchronous iterable was read on has ended"
            self._end(Broken(said))

    async def _run(self) -> None:
        try:
            await self._pump()
        except asyncio.CancelledError:
            # Either the run stops, or the loop is being shut down, and `_over` says so.
            return
        except BaseException as raised:  # noqa: BLE001  (the stage raises it, on its own thread)
            self._end(raised)
            return
        self._end(None)

    async def _pump(self) -> None:
        iterator = aiter(self._iterable)
        try:
            while True:
                await self._news.wait()
                self._news.clear()
                wanted, self._wanted = self._wanted, 0
                for _ in range(wanted):
                    try:
                        item = await anext(iterator)
                    except StopAsyncIteration:
                        return
                    self.ready.append(item)
                    self._tell()
        finally:
            if inspect.isasyncgen(iterator):
                await iterator.aclose()
