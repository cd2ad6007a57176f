"""A running stage's events as an iterator of the calling program, plain and asynchronous."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import wait
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from actorflow.errors import Closed, NoSuchStage, Refused, StageDown
from actorflow.protocol.reasons import DONE, is_normal, shown
from actorflow.stages.outlets import Outlet, StreamEnd
from actorflow.supervision.awaiting import is_done
from actorflow.supervision.core import SupervisorCore
from actorflow.supervision.events import Outcome
from actorflow.supervision.handle import SupervisorHandle
from actorflow.topology.opening import ANSWER_WITHIN, Opening

if TYPE_CHECKING:
    from actorflow.topology.run import Run

__all__ = ["AsyncStream", "Stream"]


BREAKS_WITHIN = 0.5
"""Seconds within which a run is over whose runtime has broken, counted from a stage's bad end."""

CLOSE_WITHIN = 10.0
"""Seconds that `close` waits for the stream's stage, which ends as soon as it is told to."""


class _Stream:
    """What both kinds of stream have in common.

    Args:
        run: the run whose events they are.
        supervisor: its supervisor.
        stage: the stage's name, for errors.
        opening: where they come out.
        owns_run: whether the run was started for this stream, and ends with it.
    """

    def __init__(
        self,
        run: Run,
        supervisor: SupervisorHandle,
        stage: str,
        opening: Opening,
        *,
        owns_run: bool = False,
    ) -> None:
        self.run = run
        self.stage = stage
        self._supervisor = supervisor
        self._outlet = outlet = opening.outlet
        self._gone = opening.gone
        self._owns_run = owns_run
        self._batch: Iterator[Any] = iter(())
        self._over = False
        # A stream that nobody has any more is closed; what it is closed with must not refer to it.
        give_up = _give_up_run(run) if owns_run else None
        self._finalizer = weakref.finalize(self, _abandon, outlet, give_up)
        self._finalizer.atexit = False

    def _begin_close(self) -> None:
        self._over = True
        self._batch = iter(())
        self._finalizer.detach()
        self._outlet.abandon()

    def _error(self, end: StreamEnd, outcome: Outcome | None) -> BaseException | None:
        """What the end of a stream means for who reads it; None for an orderly end.

        Args:
            end: why nothing more comes.
            outcome: how the run ended, when that is why.
        """
        name = self.run.plan.name
        error: BaseException | None = None
        if outcome is not None and outcome.status == "failed":
            error = outcome.error
        elif outcome is not None and outcome.status == "stopped":
            error = Closed(f"the run {name!r} was stopped before its stream was at its end")
        elif outcome is not None:
            error = None if self._is_planned() else NoSuchStage(f"{name!r} had no {self.stage!r}")
        elif end.refusal is not None:
            error = end.refusal
        elif end.kind == "cancel" and not is_normal(end.reason):
            error = Refused(end.reason)
        elif not is_normal(end.reason):
            error = StageDown(f"stage {self.stage} ended: {shown(end.reason)}")
        return error

    def _is_planned(self) -> bool:
        name = self.stage.partition("/")[0]
        return any(name == child.stage.id.name for child in self.run.plan.children)


class Stream(_Stream):
    """A stage's events, in the calling program: an iterator, and a context manager.

    `Run.stream` and `Topology.stream` make one. It is closed when the ``with`` block is left, when
    `close` is called, when the garbage collector finds it, or when the run is over: then its
    subscription is gone, and its thread. What it had taken and the program was not through with is
    delivered to the stage's next consumer. One thread may read it at a time.

    Example:
        >>> from actorflow import Topology
        >>> from actorflow.stages.sources import Range
        >>> topology = Topology("example").stage("numbers", Range, args={"stop": 5})
        >>> with topology.stream("numbers") as numbers:
        ...     list(numbers)
        [0, 1, 2, 3, 4]
    """

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        """The next event; waits for it.

        Raises:
            StopIteration: the stage has come to its end, or the stream was closed.
            Closed: the run was stopped.
            Refused: the stage refused the subscription, or ended it for no orderly reason.
            StageDown: the stage died and is not started again.
            Exception: the one that ended the run.
        """
        for event in self._batch:
            return event
        return self._next_batch()

    def _next_batch(self) -> Any:
        outlet = self._outlet
        outlet.finish()
        while not self._over:
            outlet.wait()
            events = outlet.take()
            if events is not None:
                self._batch = iter(events)
                return next(self._batch)
            if outlet.end is not None:
                self._conclude(outlet.end)
        raise StopIteration

    def _conclude(self, end: StreamEnd) -> None:
        run = self.run
        try:
            if self._over:
                return
            outcome = run.outcome() if self._run_ends(end) else None
            error = self._error(end, outcome)
            if error is not None:
                raise error
        finally:
            self.close()

    def _run_ends(self, end: StreamEnd) -> bool:
        """Whether the run's end is to be waited for: it ends by itself, or this is why."""
        if end.reason == DONE:
            return self._owns_run
        if end.refusal is not None:
            return isinstance(end.refusal, Closed)
        try:
            if self._supervisor.act(_is_stopping, ANSWER_WITHIN):
                return True
        except Closed:
            return True
        if is_normal(end.reason):
            return False
        # A runtime that breaks takes the stages with it, and is heard of a moment later.
        over = threading.Event()
        self.run.on_over(over.set)
        return over.wait(BREAKS_WITHIN)

    def close(self) -> None:
        """End the subscription and wait until nothing of it is left. May be repeated.

        A stream that has the run for itself stops it.
        """
        if self._supervisor.elsewhere:  # the copy of a fork; the stream is its parent's
            self._finalizer.detach()
            return
        self._begin_close()
        if self._owns_run:
            self.run.stop()
        else:
            # Its stage may have a callback of ours in hand: never for long, so this has a limit.
            wait([self._gone], CLOSE_WITHIN)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class AsyncStream(_Stream):
    """A stage's events for ``async for``: as `Stream`, and nothing blocks the event loop.

    `Run.astream` and `Topology.astream` make one. It belongs to the loop that runs when it is first
    read.

    Example:
        >>> from actorflow import Topology
        >>> from actorflow.stages.sources import Range
        >>> topology = Topology("example").stage("numbers", Range, args={"stop": 5})
        >>> async def total():
        ...     async with topology.astream("numbers") as numbers:
        ...         return sum([number async for number in numbers])
        >>> asyncio.run(total())
        10
    """

    _event: asyncio.Event | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        """The next event; raises what `Stream.__next__` raises, and StopAsyncIteration."""
        for event in self._batch:
            return event
        outlet = self._outlet
        news = self._listen()
        outlet.finish()
        while not self._over:
            news.clear()
            events = outlet.take()
            if events is not None:
                self._batch = iter(events)
                return next(self._batch)
            if outlet.end is not None:
                await self._conclude(outlet.end)
            else:
                await news.wait()
        raise StopAsyncIteration

    def _listen(self) -> asyncio.Event:
        if self._event is None:
            loop = asyncio.get_running_loop()
            self._event = event = asyncio.Event()
            self._outlet.watch(lambda: _call_soon(loop, event.set))
        return self._event

    async def _conclude(self, end: StreamEnd) -> None:
        run = self.run
        try:
            ends = await self._run_ends(end)
            error = self._error(end, await run.outcome_async() if ends else None)
            if error is not None:
                raise error
        finally:
            await self.aclose()

    async def _run_ends(self, end: StreamEnd) -> bool:
        """Whether the run's end is to be waited for: it ends by itself, or this is why."""
        if end.reason == DONE:
            return self._owns_run
        if end.refusal is not None:
            return isinstance(end.refusal, Closed)
        try:
            return await self._supervisor.act_async(_is_stopping, ANSWER_WITHIN)
        except Closed:
            return True

    async def aclose(self) -> None:
        """End the subscription and wait until nothing of it is left. May be repeated."""
        if self._supervisor.elsewhere:  # the copy of a fork; the stream is its parent's
            self._finalizer.detach()
            return
        self._begin_close()
        if self._event is not None:
            self._event.set()
        self._outlet.watch(None)
        if self._owns_run:
            await self.run.stop_async()
        else:
            await is_done(self._gone, CLOSE_WITHIN)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()


def _is_stopping(core: SupervisorCore) -> bool:
    return core.stopping or core.outcome is not None


def _call_soon(loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
    try:
        loop.call_soon_threadsafe(callback)
    except RuntimeError:
        # The loop is closed, and with it whoever waited.
        return


def _give_up_run(run: Run) -> Callable[[], None]:
    """What ends a run whose stream nobody has any more; it is called from the stage's thread."""
    reference = run.supervisor

    def give_up() -> None:
        if reference.is_alive():
            reference.stop(block=False)

    return give_up


def _abandon(outlet: Outlet, give_up: Callable[[], None] | None) -> None:
    """Close a stream that was forgotten; from the garbage collector, so it must not wait."""
    if give_up is not None:
        outlet.when_left = give_up
    outlet.abandon()
