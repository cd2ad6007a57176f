"""The supervisor as a pykka actor: one thread that turns the core.

pykka is the control plane alone; no event passes through it. What pykka leaves open is settled
here: an exception in a `tell` would end the actor with a log line only, so everything is caught and
ends the run; a reply is never waited for inside the actor.
"""

from __future__ import annotations

import logging
import math
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, Protocol

import pykka

from actorflow.errors import Broken, Closed
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

__all__ = ["AtOnce", "Listener", "Operation", "Runnable", "Supervisor", "is_own_thread", "pass_on"]

_logger = logging.getLogger("actorflow.supervisor")
_current = threading.local()

Listener = Callable[[SupervisorEvent], None]


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
    """There is one observation more to be taken."""


@dataclass(frozen=True, slots=True)
class AtOnce:
    """The stop that follows is to kill the children."""


OVERTIME = 5.0
"""Seconds for which a stop may last longer than the children's own times, before what is left of
them is killed: for a machine that is busy."""


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

    Example:
        >>> import queue
        >>> from actorflow import Topology
        >>> from actorflow.stages.sources import Range
        >>> from actorflow.testing.topologies import Sink
        >>> topology = Topology("example").stage("numbers", Range, args={"stop": 3})
        >>> owner = queue.Queue()
        >>> topology = topology.stage("sink", Sink, subscribe_to=["numbers"])
        >>> supervisor = Supervisor.start(topology, owner=owner)
        >>> owner.get(timeout=60).outcome.status
        'done'
        >>> supervisor.stop()
        True

    The actor stays when its run is over, and answers what can still be asked. It ends when it is
    stopped, by its reference or with ``pykka.ActorRegistry.stop_all()``, and so does the run: every
    child is asked to stop, the last started first, and has its `shutdown` for it. The actor is gone
    when all of them are.
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
        # What was seen is not in the inbox itself: pykka reads that no more when the actor stops.
        self._observations: queue.SimpleQueue[Observation] = queue.SimpleQueue()
        self._at_once = False
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
            self._guarded(lambda: self._core.observe(self._observations.get_nowait()))
        elif isinstance(message, Operation):
            self._operate(message)
        elif isinstance(message, AtOnce):
            self._at_once = True
        else:
            _logger.warning("the supervisor ignores a message of type %s", type(message).__name__)
        return None

    def on_stop(self) -> None:
        """Whoever stops the actor ends the run: its children stop, and no process stays behind."""
        self._stop_children()
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
            self._observations.put(observation)
            # An actor that has been stopped takes it in `on_stop`, or is through with it.
            with suppress(pykka.ActorDeadError):
                reference.tell(_Observed())

        self._runtime.open(observe)
        self._core.start()

    def _stop_children(self) -> None:
        """Have every child stop in its turn and its time; the inbox is not read any more."""
        core = self._core
        if self._at_once or core.outcome is not None:
            return
        within = core.tree.root.stops_within + OVERTIME
        deadline = time.monotonic() + within
        try:
            core.stop()
            while core.outcome is None:
                left = max(0.0, deadline - time.monotonic())
                core.observe(self._observations.get(timeout=left if left < math.inf else None))
        except queue.Empty:
            _logger.warning("run %r did not stop within %g s; it is killed", core.plan.name, within)
        except Exception:
            _logger.exception("the supervisor failed while it stopped; what lives is killed")

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
            result.add_done_callback(lambda done: pass_on(done, future))
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
            self._at_once = True
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


def is_own_thread(actor_urn: str) -> bool:
    """Whether this is the thread of that supervisor, which would wait for itself."""
    return getattr(_current, "actor", None) == actor_urn


def pass_on(done: Future[Any], future: Future[Any]) -> None:
    """Give one future's result, exception or cancellation to another."""
    if done.cancelled():
        future.cancel()
        return
    error = done.exception()
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(done.result())
