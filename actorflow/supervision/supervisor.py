"""The supervisor as a pykka actor: one thread that turns the core.

pykka is the control plane alone; no event passes through it. What pykka leaves open is settled
here: an exception in a `tell` would end the actor with a log line only, so everything is caught and
ends the run; a reply is never waited for inside the actor.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, InvalidStateError
from concurrent.futures import wait as wait_for
from contextlib import suppress
from typing import Any, Protocol, TypeVar, overload

import pykka

from actorflow.errors import Broken, CallTimeout, Closed, OptionError, Refused
from actorflow.protocol.arguments import check_timeout
from actorflow.protocol.reasons import DONE
from actorflow.records import dataclass
from actorflow.supervision import operations
from actorflow.supervision.checkpoint import CheckpointFile
from actorflow.supervision.checkpoint_writer import Checkpointing
from actorflow.supervision.children import ChildInfo
from actorflow.supervision.core import SupervisorCore
from actorflow.supervision.events import Outcome, RunDown, SupervisorEvent
from actorflow.supervision.letters import DeadLetterFile
from actorflow.supervision.monitors import MonitorTarget, OwnerTarget, teller
from actorflow.supervision.runtime import Observation, Runtime
from actorflow.supervision.specs import Plan

__all__ = ["Operation", "Runnable", "Supervisor", "SupervisorHandle"]

_logger = logging.getLogger("actorflow.supervisor")
_current = threading.local()

Listener = Callable[[SupervisorEvent], None]
Result = TypeVar("Result")


class Runnable(Protocol):
    """What `Supervisor.start` takes: a topology, or anything that can say these two things."""

    def plan(self) -> Plan:
        """What to run."""

    def runtime(self) -> Runtime:
        """A new runtime to run it in, not opened yet."""


@dataclass(frozen=True, slots=True)
class Operation:
    """A message to the supervisor: do this with the core, and resolve the future.

    Args:
        act: what to do; it may return a future of its own, whose result is passed on.
        future: gets the result or the exception.
    """

    act: Callable[[SupervisorCore], Any]
    future: Future[Any]


@dataclass(frozen=True, slots=True)
class _Observed:
    observation: Observation


class Supervisor(pykka.ThreadingActor):
    """Runs a topology's stages and keeps them running.

    Args:
        topology: what to run.
        listener: is told of every event, from the actor's thread; it must not block.
        outcome: a future that gets how the run ended.
        gone: a future that is done once the actor answers nobody any more.
        owner: gets one `RunDown` when the run is over, whichever way: a pykka actor's reference, a
            callback, or a queue.

    Raises:
        OptionError: `owner` is none of these.
        TopologyError: there are mistakes in the topology; it lists all of them.

    Example::

        class Owner(pykka.ThreadingActor):
            def on_start(self):
                self.supervisor = Supervisor.start(topology, owner=self.actor_ref)

            def on_receive(self, message):
                if isinstance(message, RunDown) and message.outcome.status == "failed":
                    raise message.outcome.error

    The actor stays when its run is over, and answers what can still be asked. It ends when it is
    stopped, by its reference or with ``pykka.ActorRegistry.stop_all()``, and so does the run.
    """

    def __init__(
        self,
        topology: Runnable,
        listener: Listener | None = None,
        outcome: Future[Outcome] | None = None,
        gone: Future[None] | None = None,
        owner: OwnerTarget | None = None,
    ) -> None:
        super().__init__()
        self._tell_owner = teller(owner, "owner") if owner is not None else None
        self._runtime = topology.runtime()
        self._listener = listener
        self._outcome: Future[Outcome] = outcome if outcome is not None else Future()
        self._gone: Future[None] = gone if gone is not None else Future()
        self._letters: DeadLetterFile | None = None
        self._checkpoint: Checkpointing | None = None
        try:
            self._core = self._made(topology.plan())
        except BaseException:
            self._runtime.close()
            self._close_files(finished=False)
            raise

    def _made(self, plan: Plan) -> SupervisorCore:
        """The core, with the files of the plan open, and gone on from its checkpoint.

        Raises:
            CheckpointError, DeadLetterError: a file cannot be used.
        """
        if plan.dead_letters is not None:
            self._letters = DeadLetterFile(plan.dead_letters)
        file = CheckpointFile(plan.checkpoint, plan) if plan.checkpoint is not None else None
        if file is not None:
            self._checkpoint = Checkpointing(file, self._later)
        core = SupervisorCore(plan, self._runtime, self._report, self._checkpoint, self._letters)
        if file is not None:
            core.resume(file.kept())
        return core

    # --- pykka's side -----------------------------------------------------------------------------

    def on_start(self) -> None:
        """Open the runtime and start the children."""
        _current.actor = self.actor_urn
        self._guarded(self._open)

    def on_receive(self, message: Any) -> Any:
        """Take an observation or an operation."""
        if isinstance(message, _Observed):
            self._guarded(lambda: self._core.observe(message.observation))
        elif isinstance(message, Operation):
            self._operate(message)
        else:
            _logger.warning("the supervisor ignores a message of type %s", type(message).__name__)
        return None

    def on_stop(self) -> None:
        """Whoever stops the actor ends the run: no process stays behind."""
        self._close(Closed("the supervisor was stopped"))

    def on_failure(self, *_: Any) -> None:
        """The same when the actor itself fails."""
        self._close(Broken("the supervisor failed"))

    # --- for proxies ------------------------------------------------------------------------------

    def which_children(self) -> list[ChildInfo]:
        """A row for each child, in start order."""
        return operations.which_children(self._core)

    def count_children(self) -> operations.ChildCounts:
        """How many children there are, live and restarting."""
        return operations.count_children(self._core)

    def monitor(self, stage: str, target: MonitorTarget) -> int:
        """Have a `DownMessage` go to a callback, a queue or an actor whenever a stage ends.

        Example::

            supervisor.proxy().monitor("count", self.actor_ref).get(timeout=5)
        """
        return operations.monitor(self._core, stage, target)

    def demonitor(self, monitor: int) -> bool:
        """End a monitor; returns whether there was one."""
        return self._core.monitors.remove(monitor)

    # --- within -----------------------------------------------------------------------------------

    def _open(self) -> None:
        reference = self.actor_ref

        def observe(observation: Observation) -> None:
            try:
                reference.tell(_Observed(observation))
            except pykka.ActorDeadError:
                # The runtime is being closed by `on_stop`; nobody is left who could act on it.
                _logger.debug("an observation after the supervisor's end: %r", observation)

        self._runtime.open(observe)
        self._core.start()

    def _operate(self, operation: Operation) -> None:
        future = operation.future
        if not future.set_running_or_notify_cancel():
            return
        try:
            result = operation.act(self._core)
        except Exception as error:  # noqa: BLE001  (it goes to whoever asked for the operation)
            future.set_exception(error)
            return
        if isinstance(result, Future):
            result.add_done_callback(lambda done: _pass_on(done, future))
        else:
            future.set_result(result)

    def _later(self, act: Callable[[], None]) -> None:
        """Have something done in the actor's thread, if it still lives then."""
        try:
            self.actor_ref.tell(Operation(lambda _: act(), Future()))
        except pykka.ActorDeadError:
            _logger.debug("a snapshot was kept after the supervisor's end")

    def _guarded(self, act: Callable[[], None]) -> None:
        """An actor whose `tell` raises would just end; here that ends the run, and says why."""
        try:
            act()
        except Exception as error:
            _logger.exception("the supervisor failed; the run ends")
            self._settle(Outcome("failed", error))
            self.stop()

    def _report(self, event: SupervisorEvent) -> None:
        if self._listener is not None:
            try:
                self._listener(event)
            except Exception:
                # The listener is the program's, or a log whose reader has gone: that must not stop
                # the supervisor in the middle of a decision.
                _logger.exception("the listener failed on %r", event)
        if isinstance(event, Outcome):
            # Every stage has ended: close first, so that whoever waits finds nothing left behind.
            self._runtime.close()
            # One that was drained, or failed, goes on where it stopped.
            self._close_files(finished=event.status == DONE and not self._core.draining)
            self._settle(event)

    def _close_files(self, *, finished: bool) -> None:
        if self._checkpoint is not None:
            self._checkpoint.close(finished=finished)
        if self._letters is not None:
            self._letters.close()

    def _close(self, error: Exception) -> None:
        self._runtime.close()
        self._close_files(finished=False)
        self._settle(Outcome("stopped", error, self._core.results()))
        self._core.abandon(error)
        self._gone.set_result(None)

    def _settle(self, outcome: Outcome) -> None:
        if self._outcome.done():
            return
        self._outcome.set_result(outcome)
        if self._tell_owner is None:
            return
        name = self._core.plan.name
        try:
            self._tell_owner(RunDown(name, self.actor_urn, outcome))
        except Exception:
            # It has stopped before its supervisor, or is a queue without room, or a callback that
            # raises: all of it the program's. The log is who is left to tell.
            _logger.exception("the owner of run %r was not told: it is %s", name, outcome.status)


class _DaemonSupervisor(Supervisor):
    """One that does not keep a program alive which has come to its end and forgotten its run."""

    use_daemon_thread = True


class SupervisorHandle:
    """A started supervisor, from outside: operations with a deadline, and its outcome.

    pykka's `ask` may wait for ever when it races a stop; here every wait has a limit.

    Args:
        topology: what to run.
        listener: is told of every event, from the supervisor's thread.
    """

    def __init__(self, topology: Runnable, listener: Listener | None = None) -> None:
        self.outcome: Future[Outcome] = Future()
        self._gone: Future[None] = Future()
        self._home = os.getpid()
        self.reference: pykka.ActorRef[_DaemonSupervisor] = _DaemonSupervisor.start(
            topology, listener, self.outcome, self._gone
        )

    @property
    def elsewhere(self) -> bool:
        """Whether this process was forked from the one that the supervisor's thread is in.

        A fork has a copy of everything but the thread, so whoever waits for it waits for ever. What
        the copy is told would reach nobody, and the run is not the fork's to end.
        """
        return os.getpid() != self._home

    def check_home(self) -> None:
        """Refuse what a forked process asks of a run that is not its own.

        Raises:
            Closed: it was forked from the process of the run.
        """
        if self.elsewhere:
            raise Closed(
                f"the run belongs to process {self._home}, of which this one is a fork;"
                " start a run of its own in it"
            )

    @overload
    def act(self, act: Callable[[SupervisorCore], Future[Result]], timeout: float) -> Result: ...

    @overload
    def act(self, act: Callable[[SupervisorCore], Result], timeout: float) -> Result: ...

    def act(self, act: Callable[[SupervisorCore], Any], timeout: float) -> Any:
        """Do something with the core, in the supervisor's thread, and wait for its result.

        Args:
            act: what to do; when it returns a future, that one's result is waited for.
            timeout: seconds to wait at most, from 0.

        Raises:
            Closed: the supervisor is gone.
            CallTimeout: no result in time; what was begun may still happen.
            Refused: ``own_thread``: a listener's or monitor's callback would wait for itself.
        """
        future = self._begin(act, timeout)
        # pykka drops what it had not read when it was stopped; so its end is waited for as well.
        wait_for((future, self._gone), timeout, FIRST_COMPLETED)
        return self._answer(future, timeout)

    @overload
    async def act_async(
        self, act: Callable[[SupervisorCore], Future[Result]], timeout: float
    ) -> Result: ...

    @overload
    async def act_async(
        self, act: Callable[[SupervisorCore], Result], timeout: float
    ) -> Result: ...

    async def act_async(self, act: Callable[[SupervisorCore], Any], timeout: float) -> Any:
        """As `act`, waiting on the running event loop without blocking it."""
        from actorflow.supervision.awaiting import is_done

        future = self._begin(act, timeout)
        either: Future[None] = Future()
        for each in (future, self._gone):
            each.add_done_callback(lambda _: _finish(either))
        try:
            await is_done(either, timeout)
        finally:
            if not future.done() and not self._gone.done():
                future.cancel()
        return self._answer(future, timeout)

    def begin(self, act: Callable[[SupervisorCore], Result]) -> Future[Result]:
        """Have something done, and wait for nothing.

        Returns:
            a future of its result; of `Closed` when the supervisor goes before it has done it.
        """
        either: Future[Result] = Future()
        try:
            future = self._begin(act, 0)
        except Closed as closed:
            either.set_exception(closed)
            return either
        self._gone.add_done_callback(lambda _: _close(either))
        future.add_done_callback(lambda done: _pass_on_first(done, either))
        return either

    def _begin(self, act: Callable[[SupervisorCore], Any], timeout: float) -> Future[Any]:
        if check_timeout(timeout) is None:
            raise OptionError("timeout", "a number of seconds from 0", timeout)
        self.check_home()
        if getattr(_current, "actor", None) == self.reference.actor_urn:
            raise Refused(
                "own_thread",
                "a listener or monitor is called by the supervisor itself, which cannot answer"
                " meanwhile; do it from another thread",
            )
        future: Future[Any] = Future()
        try:
            self.reference.tell(Operation(act, future))
        except pykka.ActorDeadError:
            raise Closed("the supervisor is gone") from None
        return future

    def _answer(self, future: Future[Any], timeout: float) -> Any:
        if future.done() and not future.cancelled():
            return future.result()
        future.cancel()
        if self._gone.done():
            raise Closed("the supervisor is gone")
        raise CallTimeout(f"no answer within {timeout} s")

    def close(self, timeout: float) -> None:
        """Stop the actor, and with it whatever still runs. May be repeated; nothing in a fork."""
        if not self.elsewhere and self.reference.is_alive():
            # A listener or monitor is called by the actor itself, which ends when it returns.
            within = getattr(_current, "actor", None) == self.reference.actor_urn
            self.reference.stop(block=not within, timeout=timeout)


def _finish(either: Future[None]) -> None:
    with suppress(InvalidStateError):  # the other one was done before
        either.set_result(None)


def _close(either: Future[Any]) -> None:
    with suppress(InvalidStateError):
        either.set_exception(Closed("the supervisor is gone"))


def _pass_on_first(done: Future[Any], either: Future[Any]) -> None:
    with suppress(InvalidStateError):
        _pass_on(done, either)


def _pass_on(done: Future[Any], future: Future[Any]) -> None:
    if done.cancelled():
        future.cancel()
        return
    error = done.exception()
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(done.result())
