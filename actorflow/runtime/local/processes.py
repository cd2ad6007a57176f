"""The host's table of stages: what is ordered, what is observed, in which order.

Everything here runs on the reactor's thread, or, before it starts and after it ended, on the one
thread that has the runtime.
"""

from __future__ import annotations

import errno
import logging
import os
import resource
import selectors
import signal
import socket
import time
from collections.abc import Callable
from functools import partial

from actorflow.errors import ProtocolError, RunError
from actorflow.protocol.control import SubscriptionEnded, encode_control
from actorflow.protocol.identity import Incarnation
from actorflow.protocol.wire import decode
from actorflow.runtime.local.control import ControlSocket, control_pair
from actorflow.runtime.local.descriptors import close_all
from actorflow.runtime.local.hosted import HostedStage
from actorflow.runtime.local.kernel import out_of_memory_kills
from actorflow.runtime.local.launcher import ZygoteProcess
from actorflow.runtime.local.links import WideningBudget, make_link
from actorflow.runtime.local.nursery import Nursery, Process
from actorflow.runtime.local.orders import Birth, Gone, encode_record
from actorflow.runtime.local.reactor import Reactor
from actorflow.runtime.local.scoreboard import Scoreboard
from actorflow.stage.place import Place
from actorflow.stage.spec import StageSpec
from actorflow.supervision.runtime import (
    Exited,
    Observation,
    Received,
    RuntimeBroken,
    Started,
)

__all__ = ["Processes"]

_log = logging.getLogger(__name__)

BY_VALUE = "cloudpickle"
"""What reads a specification whose class or function cannot be imported, and is named in it."""

DEAF = 5.0
"""Seconds a process may live on after it closed its control link, as an exiting one does shortly.
One that stays can be neither asked to stop nor heard."""

DISOWNED = 2.0
"""Seconds until a stage in the program that was told to end at once counts as stuck."""


class Processes:
    """Every stage of a run that has a process.

    Args:
        reactor: calls back when something is to be read.
        zygote: forks, signals and reaps.
        scoreboard: where stages count.
        observe: told what happens, always from the reactor's thread.
    """

    def __init__(
        self,
        reactor: Reactor,
        zygote: ZygoteProcess,
        scoreboard: Scoreboard,
        observe: Callable[[Observation], None],
    ) -> None:
        self._reactor = reactor
        self._scoreboard = scoreboard
        self._tell = observe
        self._stages: dict[Incarnation, Process] = {}
        self._places: dict[int, Place] = {}
        self._budget = WideningBudget()
        self._out_of_memory = out_of_memory_kills()
        self._over = ""
        self._by_value = False
        """Whether the zygote has been told that specifications travel by value."""
        self._nursery = Nursery(
            reactor,
            zygote,
            forked=self._started,
            ended=self._ended,
            broken=self.break_down,
        )

    def start(self, boot_within: float) -> None:
        """Begin to listen; the zygote must come up in so many seconds."""
        self._nursery.start(boot_within)

    @property
    def booted(self) -> bool:
        """Whether stages are forked as soon as they are spawned."""
        return self._nursery.booted

    def __len__(self) -> int:
        return len(self._stages)

    # --- what the supervisor wants ---------------------------------------------------------------

    def spawn(self, child: Incarnation, spec: bytes) -> None:
        """Have a process become this stage; `Started` or `Exited` follows."""
        if self._is_running(child):
            return
        try:
            slot = self._admit(child)
            self._prepare_for(spec)
            process = self._nursery.take()
        except (OSError, RunError) as error:
            self.refuse(child, _with_limit(error))
            return
        process.child = child
        self._stages[child] = process
        # It waits in the control link, should the process not have been forked yet.
        process.control.send(encode_record(Birth(str(child), slot, spec)))
        if process.pid:
            self._started(process)

    def _prepare_for(self, spec: bytes) -> None:
        """Have the zygote import what reads a class that travels by value, once one does."""
        if not self._by_value and BY_VALUE.encode() in spec:
            self._by_value = True
            self._nursery.preload(BY_VALUE)

    def host(self, child: Incarnation, spec: StageSpec) -> None:
        """Have a thread of this program become this stage; `Started` or `Exited` follows."""
        if self._is_running(child):
            return
        try:
            self._admit(child)
            control, theirs = control_pair()
            stage = HostedStage(
                child,
                spec,
                ControlSocket(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, theirs)),
                self._scoreboard.slot(child.stage),
                self._hosted_ended,
            )
            self._places[id(stage.place)] = stage.place
            process = Process(0, control, child, os.getpid(), hosted=stage)
            stage.start()
        except (OSError, RuntimeError, RunError) as error:
            self.refuse(child, _with_limit(error))
            return
        self._stages[child] = process
        self._started(process)

    def _is_running(self, child: Incarnation) -> bool:
        if child in self._stages:
            _log.error("%s was to be started, and is running already", child)
        return child in self._stages

    def _admit(self, child: Incarnation) -> int:
        """The scoreboard slot of a stage that is about to start.

        Raises:
            RunError: it cannot.
        """
        if self._over:
            raise RunError(self._over)
        return self._scoreboard.allocate(child.stage)

    def refuse(self, child: Incarnation, detail: str) -> None:
        """Observe that a child's process could not be made."""
        self._observe(Exited(child, 0, None, detail=_not_started(detail)))

    def send(self, child: Incarnation, frame: bytes) -> None:
        """Send a frame to a stage; dropped when it is gone."""
        self._give(self._stages.get(child), frame, ())

    def link(
        self,
        ref: int,
        producer: Incarnation,
        consumer: Incarnation,
        to_producer: bytes,
        to_consumer: bytes,
        *,
        lane: bool,
    ) -> None:
        """Make a link and give each side its ends; those of a side that has died are closed."""
        sides = self._stages.get(producer), self._stages.get(consumer)
        if sides == (None, None):
            return
        try:
            ends = make_link(wide=self._budget.take(ref, producer, consumer), lane=lane)
        except OSError as error:
            self._unlinkable(ref, consumer, error)
            return
        self._give(sides[0], to_producer, ends.producer)
        self._give(sides[1], to_consumer, ends.consumer)

    def signal(self, child: Incarnation, number: int, *, group: bool) -> None:
        """Signal a stage; nothing when it is gone."""
        process = self._stages.get(child)
        if process is not None:
            self._signal(process, number, group=group)

    def _signal(self, process: Process, number: int, *, group: bool) -> None:
        if process.hosted is None:
            self._nursery.signal(process, number, group=group)
        elif number == signal.SIGKILL and not process.killed:
            # Nothing is done at SIGTERM: the program is not to be signalled for one of its stages.
            process.killed = True
            process.hosted.kill()
            self._reactor.call_at(time.monotonic() + DISOWNED, partial(self._disown, process))

    # --- the end of it all -----------------------------------------------------------------------

    def shut_down(self) -> None:
        """End every process, within a bounded time, and close every descriptor. May be repeated.

        Nothing is observed any more: whoever closes a runtime has heard what it wanted to hear.
        """
        self._over = self._over or "the runtime is closed"
        hosted = [process.hosted for process in self._stages.values() if process.hosted is not None]
        places, self._places = list(self._places.values()), {}
        for stage in hosted:
            stage.kill()
        for place in places:
            place.close()
        self._nursery.close()
        for process in self._stages.values():
            self._reactor.forget(process.control)
            process.control.close()
        self._stages.clear()
        for stage in hosted:
            if not stage.join(DISOWNED):
                _log.error("the thread of stage %s does not end and is abandoned", stage.child)
        for place in places:
            place.wait_closed()
        self._scoreboard.close()

    def abandon(self) -> None:
        """End every process from another thread, when the reactor's does not come back."""
        _log.error("the runtime's thread does not end; its processes are killed")
        for process in list(self._stages.values()):
            if process.hosted is not None:
                process.hosted.kill()
        self._nursery.abandon()

    def break_down(self, detail: str) -> None:
        """The zygote, or the reactor, cannot go on: end every process and say so."""
        if self._over:
            return
        self._over = detail
        _log.error("%s", detail)
        for process in self._stages.values():
            if process.hosted is not None:
                process.hosted.kill()
        self._nursery.fail()
        self._observe(RuntimeBroken(detail))

    # --- a process's life ------------------------------------------------------------------------

    def _started(self, process: Process) -> None:
        assert process.child is not None
        self._observe(Started(process.child, process.pid))
        # Not watched before: what it sends must be observed after its start.
        self._reactor.watch(process.control, partial(self._ready, process))
        self._mind_writes(process)

    def _ready(self, process: Process, events: int) -> None:
        if events & selectors.EVENT_WRITE:
            process.control.flush()
            self._mind_writes(process)
        if events & selectors.EVENT_READ:
            self._deliver(process, process.control.receive)
            if process.control.at_end:
                self._reactor.forget(process.control)
                moment = time.monotonic() + DEAF
                self._reactor.call_at(moment, partial(self._still_there, process))
            # It is up, so its successor's process may be prepared.
            self._nursery.reserve()

    def _deliver(self, process: Process, read: Callable[[], list[bytes]]) -> None:
        assert process.child is not None
        try:
            for frame in read():
                self._observe(Received(process.child, decode(frame)))
        except ProtocolError as error:
            self._condemn(process, f"sent what is no message on its control link: {error}")

    def _still_there(self, process: Process) -> None:
        if process.child is not None and self._stages.get(process.child) is process:
            self._condemn(process, "closed its control link and lived on")

    def _condemn(self, process: Process, detail: str) -> None:
        """Listen to it no more and kill it; its exit says why."""
        if process.detail:
            return
        process.detail = detail
        _log.error("stage %s (process %s) is killed: %s", process.child, process.pid, detail)
        self._reactor.forget(process.control)
        self._signal(process, signal.SIGKILL, group=True)

    def _hosted_ended(self, stage: HostedStage, status: int | None) -> None:
        """On the stage's own thread: it is over."""
        gone = Gone(0, status, signal.SIGKILL if status is None else None, 0)
        self._reactor.post(lambda: self._bury_hosted(stage, gone))

    def _bury_hosted(self, stage: HostedStage, gone: Gone) -> None:
        process = self._stages.get(stage.child)
        # One that was disowned is forgotten by now, and its successor may be there.
        if process is not None and process.hosted is stage:
            self._ended(process, gone)

    def _disown(self, process: Process) -> None:
        """A thread that was to end sits in a callback: the others go on without it."""
        stage = process.hosted
        assert stage is not None
        if self._stages.get(stage.child) is process:
            _log.error("the thread of stage %s does not end and is abandoned", stage.child)
            self._ended(process, Gone(0, None, signal.SIGKILL, 0))

    def _ended(self, process: Process, gone: Gone) -> None:
        """Observe a process's end, after everything that it had sent."""
        assert process.child is not None
        self._reactor.forget(process.control)
        if process.pid and not process.detail:
            self._deliver(process, process.control.drain)
        process.control.close()
        del self._stages[process.child]
        self._scoreboard.release(process.child.stage)
        self._budget.ended(process.child)
        detail = process.detail if process.pid else _not_started(process.detail or self._over)
        if gone.signal == signal.SIGKILL and process.hosted is None:
            detail = detail or (self._over if process.killed else self._why_killed())
        self._observe(
            Exited(process.child, process.pid, gone.status, gone.signal, gone.max_rss, detail)
        )
        self._nursery.reserve()

    def _why_killed(self) -> str:
        """Whether the kernel killed for want of memory since the last look."""
        before, self._out_of_memory = self._out_of_memory, out_of_memory_kills()
        if before is None or self._out_of_memory is None or self._out_of_memory <= before:
            return ""
        return f"the kernel ran out of memory and killed {self._out_of_memory - before} process(es)"

    # --- what goes to it -------------------------------------------------------------------------

    def _give(self, process: Process | None, frame: bytes, descriptors: tuple[int, ...]) -> None:
        if process is None:
            close_all(descriptors)
            return
        process.control.send(frame, descriptors)
        self._mind_writes(process)

    def _mind_writes(self, process: Process) -> None:
        if process.control.failure is not None:
            self._condemn(process, f"its control link failed: {process.control.failure}")
        else:
            self._reactor.watch_writes(process.control, process.control.wants_write)

    def _unlinkable(self, ref: int, consumer: Incarnation, error: OSError) -> None:
        """The host has no descriptors for a link.

        To the supervisor that is a subscription which ended before it began, on the consumer's
        side, where every refusal is reported.
        """
        detail = f"no link could be made: {_with_limit(error)}"
        _log.error("subscription %s of %s: %s", ref, consumer, detail)
        record = SubscriptionEnded(ref, ["no_link", detail])
        self._observe(Received(consumer, encode_control(record)))

    def _observe(self, observation: Observation) -> None:
        try:
            self._tell(observation)
        except Exception:  # noqa: BLE001
            # The others' processes still have to be seen to, so the thread goes on.
            _log.exception("the observer failed on %r", observation)


def _not_started(detail: str) -> str:
    return f"could not be started: {detail}"


def _with_limit(error: Exception) -> str:
    """An error's text, with the limit that was hit when it is about descriptors."""
    if isinstance(error, OSError) and error.errno == errno.EMFILE:
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        return f"{error} (the host may have {limit} files open; raise the limit: ulimit -n)"
    return str(error)
