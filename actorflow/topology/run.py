"""A started topology, in the hands of a program."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import suppress
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, Unpack

from actorflow.errors import Closed
from actorflow.observe.logs import event_logger
from actorflow.observe.statistics import RunStatistics, gather
from actorflow.protocol.arguments import (
    check_callable,
    check_timeout,
)
from actorflow.supervision import operations
from actorflow.supervision.children import ChildInfo
from actorflow.supervision.events import Outcome, SupervisorEvent
from actorflow.supervision.handle import SupervisorHandle
from actorflow.supervision.runtime import Runtime
from actorflow.supervision.specs import Plan
from actorflow.topology.changing import RunningChanges
from actorflow.topology.governing import RunningChildren
from actorflow.topology.messaging import RunningMessages
from actorflow.topology.part import CALL_TIMEOUT
from actorflow.topology.subscribing import RunningSubscriptions

if TYPE_CHECKING:
    from actorflow.topology.opening import StreamKeywords
    from actorflow.topology.streams import AsyncStream, Stream

__all__ = ["Run"]


class _Started:
    """A plan and an already made runtime, as the supervisor wants them."""

    def __init__(self, plan: Plan, runtime: Runtime) -> None:
        self._plan = plan
        self._runtime = runtime

    def plan(self) -> Plan:
        return self._plan

    def runtime(self) -> Runtime:
        return self._runtime


class Run(RunningChildren, RunningSubscriptions, RunningMessages, RunningChanges):
    """A running topology. Use it as a context manager: leaving the block stops it.

    Every method may be called from any thread. None waits without a limit but `wait`, and that
    only when it is given none.

    Args:
        plan: what to run.
        runtime: where; it is opened here and closed at the end.
        listener: is told of every event of the supervisor, from its thread; it must not block. The
            default logs them with structlog.

    Example:
        >>> from actorflow import Topology
        >>> from actorflow.stages.sources import Range
        >>> from actorflow.testing.topologies import Sink
        >>> topology = Topology("example").stage("numbers", Range, args={"stop": 100})
        >>> topology = topology.stage("sink", Sink, subscribe_to=["numbers"])
        >>> with topology.start() as run:
        ...     results = run.wait(timeout=60)
        >>> run.stats().stage("sink").events_in
        100
    """

    def __init__(
        self,
        plan: Plan,
        runtime: Runtime,
        listener: Callable[[SupervisorEvent], None] | None = None,
    ) -> None:
        self.plan = plan
        self.started_at = time.monotonic()
        self._runtime = runtime
        super().__init__(
            SupervisorHandle(
                _Started(plan, runtime),
                listener if listener is not None else event_logger(plan.name),
            )
        )
        self._outcome = self._supervisor.outcome
        self._children: list[ChildInfo] | None = None
        self._ended_at: float | None = None
        self._outcome.add_done_callback(self._note_end)

    # --- the end ----------------------------------------------------------------------------------

    def wait(self, timeout: float | None = None) -> dict[str, Any]:
        """Wait until the run is over.

        Args:
            timeout: seconds to wait at most, or None for as long as it takes.

        Returns:
            what the stages passed to `set_result`, by stage name.

        Raises:
            TimeoutError: it is not over yet; it goes on.
            Exception: the exception that ended the run, as the stage raised it, with the remote
                traceback as its cause; `outcome` has the supervisor's words around it.
        """
        outcome = self.outcome(timeout)
        if outcome.root_cause is not None and outcome.status == "failed":
            raise outcome.root_cause
        return outcome.results

    def outcome(self, timeout: float | None = None) -> Outcome:
        """Wait until the run is over and tell how, without raising what ended it.

        Raises:
            TimeoutError: it is not over yet.
            Closed: this process was forked from the one of the run.
        """
        check_timeout(timeout)
        self._supervisor.check_home()
        try:
            return self._outcome.result(timeout)
        except FutureTimeout:
            raise self._not_over(timeout) from None

    def _not_over(self, timeout: float | None) -> TimeoutError:
        """What whoever waits is told, with a cause that can be seen from outside."""
        from actorflow.topology.untaken import untaken

        idle = " and ".join(map(repr, untaken(self.plan)))
        hint = f"; no stage of the topology takes the events of {idle}" if idle else ""
        return TimeoutError(f"the run {self.plan.name!r} is not over after {timeout} s{hint}")

    async def wait_async(self, timeout: float | None = None) -> dict[str, Any]:
        """As `wait`, for an event loop, which is not blocked."""
        outcome = await self.outcome_async(timeout)
        if outcome.root_cause is not None and outcome.status == "failed":
            raise outcome.root_cause
        return outcome.results

    async def outcome_async(self, timeout: float | None = None) -> Outcome:
        """As `outcome`, for an event loop, which is not blocked."""
        from actorflow.supervision.awaiting import is_done

        check_timeout(timeout)
        self._supervisor.check_home()
        if not await is_done(self._outcome, timeout):
            raise self._not_over(timeout)
        return self.outcome(0)

    @property
    def over(self) -> bool:
        """Whether the run has ended."""
        return self._outcome.done()

    def on_over(self, callback: Callable[[], None]) -> None:
        """Have `callback` called, from whatever thread, when the run is over; at once if it is."""
        check_callable("callback", callback)
        self._outcome.add_done_callback(lambda _: callback())

    def drain(self, timeout: float | None = None) -> Outcome:
        """End in order: sources stop, what is in flight is processed, then every process ends.

        Args:
            timeout: seconds until no process is left, whatever they do, or None for no limit. What
                still runs when the last quarter begins, or the longest `shutdown` before the end
                when that is less, is stopped; what is not handled then is in the outcome's
                `remains`.
        """
        check_timeout(timeout)
        self._supervisor.check_home()
        if not self.over:
            with suppress(Closed):
                self._supervisor.act(lambda core: core.drain(timeout), CALL_TIMEOUT)
        try:
            return self.outcome(None if timeout is None else timeout + CALL_TIMEOUT)
        except TimeoutError:
            # The supervisor has its own deadline, so it does not come to it.
            self.close()
            return self._outcome.result(CALL_TIMEOUT)

    def stop(self, reason: Any = "shutdown") -> Outcome:
        """End now: each stage is stopped after its callback in hand, killed when it takes too long.

        May be repeated. Returns how the run ended.

        Raises:
            Closed: this process was forked from the one of the run.
        """
        self._supervisor.check_home()
        if not self._outcome.done():
            try:
                within = self._supervisor.act(
                    lambda core: operations.stop(core, reason), CALL_TIMEOUT
                )
                self._outcome.result(within + CALL_TIMEOUT if within < math.inf else None)
            except (Closed, FutureTimeout):
                # The supervisor is gone or does not come to an end; closing ends every process.
                self.close()
        self.close()
        return self._outcome.result(CALL_TIMEOUT)

    def close(self) -> None:
        """Release everything; a run that is not over is stopped at once."""
        self._supervisor.close(timeout=4 * CALL_TIMEOUT)

    async def drain_async(self, timeout: float | None = None) -> Outcome:
        """As `drain`, for an event loop, which is not blocked."""
        from asyncio import to_thread

        from actorflow.supervision.awaiting import is_done

        check_timeout(timeout)
        self._supervisor.check_home()
        if not self.over:
            with suppress(Closed):
                await self._supervisor.act_async(lambda core: core.drain(timeout), CALL_TIMEOUT)
        if not await is_done(self._outcome, None if timeout is None else timeout + CALL_TIMEOUT):
            await to_thread(self.close)
        return self._outcome.result(0)

    async def stop_async(self, reason: Any = "shutdown") -> Outcome:
        """As `stop`, for an event loop, which is not blocked."""
        from asyncio import to_thread

        return await to_thread(self.stop, reason)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # A process that was forked within the block leaves it too, and the run to its parent.
        if self._supervisor.elsewhere:
            return
        if self._outcome.done():
            self.close()
        else:
            self.stop()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if not self._supervisor.elsewhere:
            await self.stop_async()

    # --- streams ----------------------------------------------------------------------------------

    def stream(self, stage: str, **options: Unpack[StreamKeywords]) -> Stream:
        """A running stage's events as an iterator of this program.

        The program becomes one more consumer of the stage: it subscribes at once, to every replica,
        and takes its share of the events as the stage's dispatcher deals them. A slow program slows
        the stage down. An event is finished when the program has asked for the one after its batch;
        until then it is delivered again should the program go away. The iteration ends when the
        stage does; a run that fails raises its error in it.

        A stage that nobody else subscribes to waits for the stream, so that no event is missed. One
        that broadcasts to others does not wait: for that there is `Topology.stream`.

        Args:
            stage: ``"count"``, all its replicas; or ``"count/1"``.
            options: those of `StreamKeywords`, such as ``max_demand``.

        Returns:
            the stream; to end the subscription close it, leave its ``with`` block, or let go of it.

        Raises:
            OptionError: an option breaks its rule.
            NoSuchStage: there is no stage of that name.
            Refused: ``not_a_producer``.

        Example::

            with topology.start() as run:
                for event in run.stream("double"):
                    print(event)
        """
        from actorflow.topology.opening import open_stream, stream_options
        from actorflow.topology.streams import Stream

        opening = open_stream(self._supervisor, stage, stream_options(stage, options))
        opening.check()
        return Stream(self, self._supervisor, stage, opening)

    def astream(self, stage: str, **options: Unpack[StreamKeywords]) -> AsyncStream:
        """As `stream`, for ``async for``; nothing blocks the event loop.

        What `stream` refuses when it is called is raised by the first step.

        Example::

            async with topology.start() as run:
                async for event in run.astream("double"):
                    print(event)
        """
        from actorflow.topology.opening import open_stream, stream_options
        from actorflow.topology.streams import AsyncStream

        opening = open_stream(self._supervisor, stage, stream_options(stage, options))
        return AsyncStream(self, self._supervisor, stage, opening)

    # --- looking ----------------------------------------------------------------------------------

    def stats(self) -> RunStatistics:
        """Every stage's counters now: read from shared memory, also while a stage is busy.

        Once the run is over they stay as they were at its end.
        """
        try:
            self._children = self._supervisor.act(operations.which_children, CALL_TIMEOUT)
        except Closed:
            known = self._children or ()
            self._children = [replace(child, state="ended", pid=0) for child in known] or None
        until = self._ended_at if self._ended_at is not None else time.monotonic()
        return gather(self.plan, self._runtime, until - self.started_at, self._children)

    def _note_end(self, outcome: Future[Outcome]) -> None:
        self._ended_at = time.monotonic()

    @property
    def supervisor(self) -> Any:
        """The supervisor's pykka actor reference, for a host's own actor system."""
        return self._supervisor.reference

    @property
    def handle(self) -> SupervisorHandle:
        """The supervisor, for parts of actorflow that have operations of their own."""
        return self._supervisor
