"""The handle of a batcher: items in, one answer for each, from any thread or event loop."""

from __future__ import annotations

import asyncio
import itertools
import threading
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from concurrent.futures import wait as wait_for
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar
from uuid import uuid4

from actorflow.errors import (
    BatcherClosed,
    BatcherGone,
    BatchError,
    BatchTimeout,
    CallError,
    Closed,
    NoSuchStage,
    OptionError,
    StageDown,
)
from actorflow.protocol.arguments import check_timeout
from actorflow.protocol.failure import remote_traceback
from actorflow.stages.batcher.closing import Mode, ShutDown
from actorflow.stages.batcher.commands import BatcherStatistics, ShutdownReport
from actorflow.stages.batcher.driver import Flush, Settings, Statistics
from actorflow.stages.batcher.server import AddItem, BatcherServer, CancelItem, Failed, WaitForEnd
from actorflow.supervision import operations
from actorflow.supervision.handle import SupervisorHandle
from actorflow.topology.part import CALL_TIMEOUT

if TYPE_CHECKING:
    from actorflow.topology.run import Run

__all__ = ["Batcher"]

Result = TypeVar("Result")

STAGE = "batcher"
"""The name of the stage of a batcher that has a run of its own."""


class Batcher:
    """Gives items to a batcher, and gets an answer for each: its output, or a `BatchError`.

    `Batcher.start` starts one with a run of its own; `Run.batcher` gives the handle of a stage in a
    run. Every method may be called from any thread. As a context manager it shuts the batcher down
    at the end of the block: what was accepted is processed, unless the block raised.

    Args:
        supervisor: of the run.
        stage: a `BatcherServer` in it.
        run: the batcher's own run, which ends with it; None when the run is somebody else's.
        shutdown: seconds that what runs has to finish when a ``with`` block raises.

    Example:
        >>> from actorflow import Batcher
        >>> from actorflow.stages.batcher import Size
        >>> def double(key, inputs):
        ...     return [2 * each for each in inputs]
        >>> with Batcher.start(double, policy=Size(linger=0.01)) as batcher:
        ...     batcher.add("key", 21)
        42
    """

    def __init__(
        self,
        supervisor: SupervisorHandle,
        stage: str,
        run: Run | None = None,
        shutdown: float = 5.0,
    ) -> None:
        self._supervisor = supervisor
        self._stage = stage
        self._run = run
        self._shutdown = shutdown
        self._name = uuid4().hex
        self._tickets = itertools.count(1)
        self._closing = False
        self._lock = threading.Lock()
        self._end: Future[ShutdownReport] | None = None

    @classmethod
    def start(
        cls,
        processor: Any,
        *,
        policy: Any,
        name: str = "batcher",
        limits: Any = None,
        workers: str | int | None = None,
        acquire_timeout: float | None = None,
        process_timeout: float | None = None,
        weigh: Any = None,
        shutdown: float = 5.0,
    ) -> Batcher:
        """Start a batcher in a process of its own, under a supervisor of its own.

        Args:
            processor: as the other arguments, see `actorflow.stages.batcher.BatcherServer`.
            policy: when a batch starts.
            name: of its run, for the log.
            limits: how large batches are, how many run, how many wait.
            workers: where the processor runs.
            acquire_timeout: seconds that `acquire_resources` may take.
            process_timeout: seconds that `process` may take.
            weigh: a function of an item that returns its bytes.
            shutdown: seconds that the process may take to end when the run is stopped.

        Raises:
            OptionError: an argument breaks its rule.
        """
        from actorflow.topology.model import Topology

        arguments = {
            "processor": processor,
            "policy": policy,
            "limits": limits,
            "workers": workers,
            "acquire_timeout": acquire_timeout,
            "process_timeout": process_timeout,
            "weigh": weigh,
        }
        if processor is None:
            raise OptionError("processor", "what is done with a batch", None)
        Settings(arguments, waits=False)
        topology = Topology(name).stage(STAGE, BatcherServer, args=arguments, shutdown=shutdown)
        run = topology.start()
        return cls(run.handle, STAGE, run, shutdown)

    @property
    def run(self) -> Run | None:
        """The batcher's own run, for its statistics; None when it is a stage of another."""
        return self._run

    # --- items ------------------------------------------------------------------------------------

    def submit(self, key: Any, item: Any) -> Future[Any]:
        """Give an item, and wait for nothing.

        Args:
            key: items of one key may share a batch; it must be hashable.
            item: the processor's input.

        Returns:
            a future of its output, or of a `BatchError`. Its `cancel` gives the item up: if its
            batch is not being processed yet, it is left out.
        """
        ticket = (self._name, next(self._tickets))
        future: Future[Any] = Future()

        def give_up(done: Future[Any]) -> None:
            if done.cancelled():
                self._cast(CancelItem(ticket))

        future.add_done_callback(give_up)
        self._call(AddItem(ticket, key, item)).add_done_callback(
            lambda done: self._settle(done, future)
        )
        return future

    def add(self, key: Any, item: Any, *, timeout: float | None = None) -> Any:
        """Give an item and wait for its output.

        Args:
            key: as in `submit`.
            item: the processor's input.
            timeout: seconds to wait at most; then the item is given up. None for no limit.

        Raises:
            BatchRejected: there is no room for it.
            BatcherClosed: the batcher takes no more items.
            BatchTimeout: no output in time; or a phase of its batch took too long.
            BatchError: another reason; see the subclasses.
            OptionError: an argument breaks its rule.
        """
        limit = check_timeout(timeout)
        future = self.submit(key, item)
        wait_for((future,), limit)
        if future.cancel():
            raise BatchTimeout("wait", limit or 0.0)
        return future.result()

    async def aadd(self, key: Any, item: Any) -> Any:
        """As `add`, for an event loop; a task that is cancelled gives its item up."""
        return await asyncio.wrap_future(self.submit(key, item))

    def flush(self, key: Any = None) -> None:
        """Start what is queued now as soon as capacity is free, whatever the policy.

        Args:
            key: of this key; None for all.
        """
        self._cast(Flush(key))

    def stats(self, timeout: float = CALL_TIMEOUT) -> BatcherStatistics:
        """What the batcher has at this moment, and has had."""
        found: BatcherStatistics = self._result(self._call(Statistics()), timeout)
        return found

    # --- the end ----------------------------------------------------------------------------------

    def shut_down(self, mode: Mode = "flush", *, deadline: float | None = None) -> None:
        """Have it come to an end, and wait for nothing. May be repeated; it only gets stricter.

        Every item that was accepted is answered, in every mode.

        Args:
            mode: ``"flush"`` takes no more and starts everything that waits, whatever the policy;
                ``"drain"`` lets the policy decide, unless it would wait for items; ``"close"``
                cancels what waits and lets finish what runs; ``"abort"`` cancels all;
                ``"upstream"`` goes on taking items and leaves when nothing is there.
            deadline: seconds after which it becomes an abort, from 0; None for no limit.

        Raises:
            OptionError: an argument breaks its rule.
        """
        request = ShutDown(mode, deadline)
        self._closing = True
        future = self._call(request)
        with self._lock:
            if self._end is None:
                self._end = future

    def wait_for_shutdown(self, timeout: float | None = None) -> ShutdownReport:
        """Wait until the batcher has ended, whoever asked it to, and however long ago.

        Args:
            timeout: seconds to wait at most, from 0; None for no limit.

        Raises:
            TimeoutError: it has not ended yet.
            BatcherGone: it ended otherwise.
        """
        limit = check_timeout(timeout)
        with self._lock:
            if self._end is None:
                self._end = self._call(WaitForEnd())
            end = self._end
        report: ShutdownReport = self._result(end, limit)
        if self._run is not None:
            self._run.outcome(limit)
            self._run.close()
        return report

    def close(self, timeout: float | None = None) -> ShutdownReport:
        """Let finish what is being processed, cancel the rest, and wait until it has ended.

        Args:
            timeout: seconds after which what still runs is cancelled too, from 0.
        """
        self.shut_down("close", deadline=check_timeout(timeout))
        return self.wait_for_shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._supervisor.elsewhere:  # a process that was forked within the block
            return
        if error is None:
            self.shut_down("flush")
        else:
            self.shut_down("close", deadline=self._shutdown)
        try:
            self.wait_for_shutdown()
        except BatchError:
            if error is None:  # what was raised in the block says more than that it has ended
                raise
        finally:
            if self._run is not None:
                self._run.stop()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await asyncio.to_thread(self.__exit__, kind, error, traceback)

    # --- within -----------------------------------------------------------------------------------

    def _call(self, request: Any) -> Future[Any]:
        return self._supervisor.begin(lambda core: operations.call(core, self._stage, request))

    def _cast(self, message: Any) -> None:
        self._supervisor.begin(lambda core: operations.cast(core, self._stage, message))

    def _settle(self, done: Future[Any], future: Future[Any]) -> None:
        if not future.set_running_or_notify_cancel():
            return
        error = done.exception()
        if error is None and isinstance(done.result(), Failed):
            error = done.result().error
        if error is None:
            future.set_result(done.result())
        else:
            future.set_exception(self._typed(error))

    def _result(self, future: Future[Any], timeout: float | None) -> Any:
        try:
            error = future.exception(timeout)
        except FutureTimeout:
            raise TimeoutError(f"no end within {timeout} s") from None
        if error is not None:
            raise self._typed(error)
        return future.result()

    def _failure(self) -> BaseException | None:
        """What ended the batcher's own run, as far as it is known; None when it did not fail."""
        if self._run is None or not self._run.over:
            return None
        outcome = self._run.outcome(0)
        return outcome.root_cause if outcome.status == "failed" else None

    def _typed(self, error: BaseException) -> BaseException:
        """The error as a caller knows it: the batcher's own, not the words of the call."""
        if isinstance(error, StageDown | NoSuchStage | Closed):
            failure = self._failure()
            if failure is not None:
                summary = f"{type(failure).__name__}: {failure}"
                gone = BatcherGone(f"the batcher has ended: {summary}")
                gone.__cause__ = failure
                return gone
            if self._closing:
                return BatcherClosed(f"the batcher has shut down: {error}")
            return BatcherGone(f"the batcher has ended: {error}")
        if isinstance(error, CallError) and error.__cause__ is not None:
            error = error.__cause__
        if isinstance(error, BatchError) and error.cause is not None:
            error.__cause__ = error.cause
            if error.remote_traceback:
                error.cause.__cause__ = remote_traceback(error.remote_traceback)
        if isinstance(error, TypeError):
            return OptionError("item", "something that can travel to another process", str(error))
        return error
