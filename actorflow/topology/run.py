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
    check_instance,
    check_integer,
    check_text,
    check_timeout,
)
from actorflow.protocol.control import SYSTEM
from actorflow.protocol.demand import SubscriptionOptions
from actorflow.supervision import operations, subscriptions, subtrees
from actorflow.supervision.children import ChildInfo
from actorflow.supervision.consumer_calls import ConsumerSupervisorHandle
from actorflow.supervision.core import SupervisorCore
from actorflow.supervision.events import Outcome, SupervisorEvent
from actorflow.supervision.monitors import MonitorTarget
from actorflow.supervision.runtime import Runtime
from actorflow.supervision.specs import ChildSpec, Plan
from actorflow.supervision.subtrees import SupervisorInfo
from actorflow.supervision.supervisor import SupervisorHandle
from actorflow.topology.changing import CALL_TIMEOUT, RunningChanges
from actorflow.topology.dynamic import DynamicSupervisor

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


class Run(RunningChanges):
    """A running topology. Use it as a context manager: leaving the block stops it.

    Every method may be called from any thread. None waits without a limit but `wait`, and that
    only when it is given none.

    Args:
        plan: what to run.
        runtime: where; it is opened here and closed at the end.
        listener: is told of every event of the supervisor, from its thread; it must not block. The
            default logs them with structlog.

    Example::

        with topology.start() as run:
            results = run.wait(timeout=60)
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
        """
        check_timeout(timeout)
        try:
            return self._outcome.result(timeout)
        except FutureTimeout:
            raise TimeoutError(
                f"the run {self.plan.name!r} is not over after {timeout} s"
            ) from None

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
        await is_done(self._outcome, timeout)
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
            timeout: seconds after which what still runs is stopped, or None for no limit.
        """
        check_timeout(timeout)
        if not self.over:
            with suppress(Closed):
                self._supervisor.act(SupervisorCore.drain, CALL_TIMEOUT)
        try:
            return self.outcome(timeout)
        except TimeoutError:
            return self.stop()

    def stop(self, reason: Any = "shutdown") -> Outcome:
        """End now: each stage is stopped after its callback in hand, killed when it takes too long.

        May be repeated. Returns how the run ended.
        """
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
        from actorflow.supervision.awaiting import is_done

        check_timeout(timeout)
        if not self.over:
            with suppress(Closed):
                await self._supervisor.act_async(SupervisorCore.drain, CALL_TIMEOUT)
        if await is_done(self._outcome, timeout):
            return self._outcome.result(0)
        return await self.stop_async()

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

    # --- children ---------------------------------------------------------------------------------

    def which_children(self) -> list[ChildInfo]:
        """A row for each child, in start order."""
        return self._supervisor.act(operations.which_children, CALL_TIMEOUT)

    def count_children(self) -> operations.ChildCounts:
        """How many children there are, live and restarting."""
        return self._supervisor.act(operations.count_children, CALL_TIMEOUT)

    def start_child(self, spec: ChildSpec, timeout: float = 30.0) -> ChildInfo:
        """Start a new child and wait until it is ready.

        Raises:
            Refused: ``already_started``.
            StartFailed: it did not come up; the cause says why.
        """
        check_instance("spec", spec, ChildSpec)
        return self._supervisor.act(lambda core: operations.start_child(core, spec), timeout)

    def terminate_child(self, stage: str, timeout: float = 30.0) -> None:
        """Stop a child and wait until its process is gone."""
        self._supervisor.act(lambda core: operations.terminate_child(core, stage), timeout)

    def restart_child(self, stage: str, timeout: float = 30.0) -> ChildInfo:
        """Start an ended child again; its declared subscriptions come back by themselves."""
        return self._supervisor.act(lambda core: operations.restart_child(core, stage), timeout)

    def delete_child(self, stage: str) -> None:
        """Forget an ended child."""
        self._supervisor.act(lambda core: operations.delete_child(core, stage), CALL_TIMEOUT)

    def consumer_supervisor(self, stage: str) -> ConsumerSupervisorHandle:
        """The operations of a `ConsumerSupervisor` in this run: its children, by hand.

        Args:
            stage: the stage's name, or ``"name/index"``.
        """
        check_text("stage", stage)
        return ConsumerSupervisorHandle(
            lambda request, timeout: self.call(stage, request, timeout=timeout)
        )

    # --- supervisors ------------------------------------------------------------------------------

    def which_supervisors(self) -> list[SupervisorInfo]:
        """A row for each supervisor, each before those inside it, the run's own first."""
        return self._supervisor.act(subtrees.which_supervisors, CALL_TIMEOUT)

    def terminate_supervisor(self, name: str, timeout: float = 30.0) -> None:
        """Stop a supervisor and every stage below it, and wait until their processes are gone.

        Raises:
            NoSuchStage: there is no such supervisor.
        """
        self._supervisor.act(lambda core: subtrees.terminate_supervisor(core, name), timeout)

    def restart_supervisor(self, name: str) -> None:
        """Start a supervisor that has ended, and every stage below it.

        Raises:
            Refused: ``running``: it has not ended.
        """
        self._supervisor.act(lambda core: subtrees.restart_supervisor(core, name), CALL_TIMEOUT)

    def kill_supervisor(self, name: str) -> None:
        """Kill every process below a supervisor; its parent decides, as if it had given up.

        Raises:
            Refused: ``noproc``: it has ended.
        """
        self._supervisor.act(lambda core: subtrees.kill_supervisor(core, name), CALL_TIMEOUT)

    def dynamic(self, name: str) -> DynamicSupervisor:
        """A dynamic supervisor of the topology, to start children with.

        Raises:
            NoSuchStage: there is no supervisor of that name.
            Refused: ``not_dynamic``: it is not a dynamic one.
        """
        return DynamicSupervisor(self._supervisor, name)

    # --- subscriptions ----------------------------------------------------------------------------

    def subscribe(
        self,
        consumer: str,
        *,
        to: str,
        options: SubscriptionOptions | None = None,
        shared_fate: bool | None = None,
        timeout: float = CALL_TIMEOUT,
    ) -> int:
        """Subscribe one running stage to another, and wait until the producer has accepted.

        Args:
            consumer: the stage that takes events.
            to: the stage that gives them.
            options: demand, cancel mode and what the dispatcher wants.
            shared_fate: for a stage with members, whose bad ends count (see `SubscribeTo`).
            timeout: seconds to wait for the producer's answer.

        Returns:
            the subscription's ref.

        Raises:
            Refused: with the reason, such as ``not_a_producer`` or ``already_subscribed``.
        """
        if shared_fate is not None:
            check_instance("shared_fate", shared_fate, bool)
        if options is not None:
            check_instance("options", options, SubscriptionOptions)
        chosen = options if options is not None else SubscriptionOptions()
        return self._supervisor.act(
            lambda core: operations.subscribe(core, consumer, to, chosen, shared_fate), timeout
        )

    def resubscribe(
        self,
        ref: int,
        *,
        to: str | None = None,
        options: SubscriptionOptions | None = None,
        reason: Any = "normal",
        consumer: str | None = None,
        timeout: float = CALL_TIMEOUT,
    ) -> int:
        """Replace a subscription by another one of the same consumer, and wait until that is done.

        No event is lost or repeated by it, and the old subscription's cancel mode does not apply.
        On the same producer the change is one step there, and events stay in order. Another
        producer has accepted before the old subscription is ended. When the new one is refused the
        old one goes on as it was.

        Args:
            ref: the subscription to replace.
            to: the stage that gives events from now on; None for the same as before.
            options: the new subscription's; None for the same as before.
            reason: what both sides' `handle_cancel` gets for the old subscription.
            consumer: whose subscription it is. When this is given, a ref that is not known (the
                subscription has ended, say) is no error: then this is a plain `subscribe`.
            timeout: seconds to wait for the producer's answer.

        Returns:
            the new subscription's ref.

        Raises:
            Refused: with the reason: ``unknown_subscription``, or as for `subscribe`.

        Source: GenStage's ``sync_resubscribe``.

        Example::

            ref = run.subscribe("sink", to="numbers")
            ref = run.resubscribe(ref, options=SubscriptionOptions(max_demand=100))
        """
        for option, name in (("to", to), ("consumer", consumer)):
            if name is not None:
                check_text(option, name, "a stage's name")
        check_integer("ref", ref)
        if options is not None:
            check_instance("options", options, SubscriptionOptions)
        return self._supervisor.act(
            lambda core: subscriptions.resubscribe(
                core, ref, to=to, options=options, reason=reason, consumer=consumer
            ),
            timeout,
        )

    def pause(self, ref: int) -> None:
        """Have a consumer ask for nothing more on a subscription until `resume`.

        What was asked for before still comes and is handled: at most ``max_demand`` events. The
        pause outlives restarts of both stages. A drain lifts it, so that what is under way can be
        processed. A pause by the stage itself (`actorflow.Consumer.pause`) is another one.

        Args:
            ref: the subscription, as `subscribe` or `which_subscriptions` gave it; it may have been
                made again since.

        Raises:
            Refused: ``unknown_subscription``, or ``draining``.

        Example::

            (row,) = run.which_subscriptions("sink")
            run.pause(row.ref)
        """
        self._supervisor.act(lambda core: subscriptions.pause(core, ref), CALL_TIMEOUT)

    def resume(self, ref: int) -> None:
        """Lift a pause that the program has made; nothing happens when there is none.

        Raises:
            Refused: ``unknown_subscription``.
        """
        self._supervisor.act(lambda core: subscriptions.resume(core, ref), CALL_TIMEOUT)

    def set_rate(self, ref: int, rate: float | None, burst: int | None = None) -> None:
        """Limit how many events a subscription takes in a time; it holds over restarts too.

        Args:
            ref: the subscription.
            rate: events per second, above 0; None for no limit.
            burst: how many may come at once after a quiet time, from 1; the default is what the
                rate gives in a tenth of a second.

        Raises:
            OptionError: a value breaks its rule.
            Refused: ``unknown_subscription``.

        Example::

            run.set_rate(ref, 100, burst=10)
        """
        self._supervisor.act(
            lambda core: subscriptions.set_rate(core, ref, rate, burst), CALL_TIMEOUT
        )

    def which_subscriptions(self, stage: str | None = None) -> list[subscriptions.SubscriptionInfo]:
        """A row for each subscription: ref, consumer, producer, state, options, paused.

        Args:
            stage: only those of this stage, on either side.
        """
        return self._supervisor.act(
            lambda core: subscriptions.which_subscriptions(core, stage), CALL_TIMEOUT
        )

    def cancel(self, ref: int, reason: Any = "normal") -> None:
        """End a subscription; its cancel mode decides what that does to its consumer."""
        self._supervisor.act(lambda core: operations.cancel(core, ref, reason), CALL_TIMEOUT)

    def set_demand(self, stage: str, mode: str) -> None:
        """Let a producer ``"accumulate"`` or ``"forward"`` demand."""
        self._supervisor.act(lambda core: operations.set_demand(core, stage, mode), CALL_TIMEOUT)

    def demand(self, stage: str) -> str:
        """A stage's demand mode; a stage that is no producer says ``"forward"`` (B7)."""
        mode = self._supervisor.act(
            lambda core: operations.call(core, stage, "demand", scope=SYSTEM), CALL_TIMEOUT
        )
        return str(mode)

    # --- messages ---------------------------------------------------------------------------------

    def call(self, stage: str, request: Any, timeout: float = CALL_TIMEOUT) -> Any:
        """Call a stage and wait for what its `handle_call` returns.

        Raises:
            CallTimeout: no reply within `timeout` seconds.
            StageDown: the stage ended before it replied.
            CallError: `handle_call` raised; the original exception is the cause.
        """
        return self._supervisor.act(lambda core: operations.call(core, stage, request), timeout)

    def cast(self, stage: str, message: Any) -> None:
        """Send a stage a message for `handle_cast`."""
        self._supervisor.act(lambda core: operations.cast(core, stage, message), CALL_TIMEOUT)

    def info(self, stage: str, message: Any) -> None:
        """Send a stage a message for `handle_info`, behind the events it has buffered."""
        self._supervisor.act(lambda core: operations.info(core, stage, message), CALL_TIMEOUT)

    def status(self, stage: str, timeout: float = CALL_TIMEOUT) -> dict[str, Any]:
        """What a stage says of itself: state, subscriptions, buffer. It must not be busy."""
        found = self._supervisor.act(
            lambda core: operations.call(core, stage, "status", scope=SYSTEM), timeout
        )
        return dict(found)

    def monitor(self, stage: str, target: MonitorTarget) -> int:
        """Have a `DownMessage` delivered whenever the stage ends, once for each of its processes.

        It comes after everything that the process had sent. Of a stage that has ended already it
        comes at once. A target that raises, is full or has ended costs a log line and nothing else.

        Args:
            stage: ``"count"``, or ``"count/1"`` for one replica.
            target: a callback, which is called on the supervisor's thread and must not wait; a
                queue with ``put_nowait``, such as `queue.SimpleQueue`; or the reference of a pykka
                actor, which is told.

        Returns:
            the monitor's number, for `demonitor`.

        Raises:
            NoSuchStage: there is no such stage.
            OptionError: the target is none of these.
        """
        return self._supervisor.act(
            lambda core: operations.monitor(core, stage, target), CALL_TIMEOUT
        )

    def demonitor(self, monitor: int) -> bool:
        """End a monitor; returns whether there was one."""
        check_integer("monitor", monitor, None)
        return self._supervisor.act(lambda core: core.monitors.remove(monitor), CALL_TIMEOUT)

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
