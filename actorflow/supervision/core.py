"""The supervisor's decisions: pure, turned by observations, acting through the runtime seam.

The pykka actor and the simulator drive this one object. It has no thread, clock, process or I/O of
its own; whatever takes time is a later observation.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from actorflow.errors import Broken, Closed, IntensityExceeded, Refused, StartFailed
from actorflow.protocol import control
from actorflow.protocol.codec import encode_value
from actorflow.protocol.identity import Incarnation, StageId
from actorflow.protocol.messages import Cast, Down, Info, Message, Reply
from actorflow.protocol.reasons import DONE, plain
from actorflow.supervision.calls import PendingCalls
from actorflow.supervision.children import Child, ChildInfo, ChildState, End, end_of
from actorflow.supervision.draining import Drain
from actorflow.supervision.events import (
    ChildEnded,
    ChildReady,
    ChildRestarting,
    Outcome,
    StageLogged,
    SupervisorEvent,
)
from actorflow.supervision.monitors import Monitors
from actorflow.supervision.runtime import (
    Exited,
    Observation,
    Received,
    Runtime,
    RuntimeBroken,
    Started,
    TimerFired,
)
from actorflow.supervision.specs import ChildSpec, Plan
from actorflow.supervision.strategy import RestartLog, restart_group, wants_restart
from actorflow.supervision.waiting import Waiters
from actorflow.supervision.wiring import Edge, EdgeState, Wiring

__all__ = ["SupervisorCore"]


class SupervisorCore:
    """Starts, links, watches and restarts the children of a plan.

    Args:
        plan: what to run.
        runtime: where to run it; it must be open and observe into `observe`.
        report: is told of every `SupervisorEvent`, the `Outcome` last.
    """

    def __init__(
        self, plan: Plan, runtime: Runtime, report: Callable[[SupervisorEvent], None]
    ) -> None:
        self.plan = plan
        self.children: dict[StageId, Child] = {}
        self.wiring = Wiring()
        self.calls = PendingCalls()
        self.outcome: Outcome | None = None
        self.stopping = False
        self.draining = False
        self.established: Waiters[int] = Waiters()
        self.ready: Waiters[ChildInfo] = Waiters()
        self.gone: Waiters[None] = Waiters()
        self.monitors = Monitors()
        self._before_ready: dict[Incarnation, list[Message]] = {}
        self._runtime = runtime
        self._report = report
        self._failure: BaseException | None = None
        self._stop_status = "stopped"
        self._restart_log = RestartLog(plan.intensity)
        self._timers: dict[int, Callable[[], None]] = {}
        self._tokens = itertools.count(1)
        self._drain = Drain(self.children, self.wiring)
        for spec in plan.children:
            self.children[spec.stage.id] = Child(spec)
        self.wiring.declare(plan)

    # --- life -------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start every child; they are linked as they become ready."""
        for child in list(self.children.values()):
            self.spawn(child)
        self._check_end()

    def spawn(self, child: Child) -> None:
        """Start a child's next incarnation."""
        child.generation += 1
        child.state = ChildState.STARTING
        child.exiting = None
        child.served = False
        child.pid = 0
        child.overdue = False
        incarnation = child.incarnation
        self._runtime.spawn(incarnation, child.spec.stage)
        self.after(child.spec.start_within, lambda: self._start_overdue(incarnation))

    def stop(self, reason: Any = "shutdown", *, status: str = "stopped") -> None:
        """Stop every child, the last started first; then the run is over."""
        if self.stopping:
            return
        self.stopping = True
        self._stop_status = status
        for child in reversed(list(self.children.values())):
            self.give_up(child, reason)
        self._check_end()

    def drain(self) -> None:
        """Let the sources finish; everything in flight is processed, then the run is over."""
        self.draining = True
        self._drain_on()

    def _drain_on(self) -> None:
        """Have those end whose turn it is."""
        if self.draining:
            for child in self._drain.finishing():
                self.tell(child, control.Finish())
            for child in self._drain.stranded():
                self._stop_stranded(child)

    def _stop_stranded(self, child: Child) -> None:
        counters = self._runtime.counters(child.id)
        left = counters["buffered"] + counters["unacknowledged"]
        if left:
            said = "dropped what nobody is left to take"
            record = control.LogRecord("warning", said, {"events": left})
            self._report(StageLogged(child.incarnation, child.pid, record))
        # No deadline comes with it: one that is at its end already may take its time over that.
        self.tell(child, control.Stop("shutdown"))

    def give_up(self, child: Child, reason: Any = "shutdown") -> None:
        """Stop a child for good, also one that was to be started again."""
        child.comes_back = False
        if child.state is ChildState.RESTARTING:
            child.state = ChildState.ENDED
            self._tell_peers(child, child.end.reason if child.end else reason, restarting=False)
        self.terminate(child, reason)

    def terminate(self, child: Child, reason: Any = "shutdown") -> None:
        """Ask a child to stop; SIGTERM at half of its `shutdown` time, SIGKILL at its end."""
        if child.state not in (ChildState.STARTING, ChildState.RUNNING):
            return
        child.state = ChildState.STOPPING
        incarnation = child.incarnation
        seconds = child.spec.shutdown
        if seconds > 0:
            self.tell(child, control.Stop(plain(reason)))
            self.after(seconds / 2, lambda: self._escalate(incarnation, "terminate"))
            self.after(seconds, lambda: self._escalate(incarnation, "kill"))
        else:
            self._runtime.signal(incarnation, "kill")

    # --- observations -----------------------------------------------------------------------------

    def observe(self, observation: Observation) -> None:
        """Take what the runtime saw."""
        if isinstance(observation, Received):
            self._received(observation.child, observation.message)
        elif isinstance(observation, Started):
            child = self._current(observation.child)
            if child is not None:
                child.pid = observation.pid
        elif isinstance(observation, Exited):
            self._exited(observation)
        elif isinstance(observation, TimerFired):
            fire = self._timers.pop(observation.token, None)
            if fire is not None:
                fire()
        elif isinstance(observation, RuntimeBroken):
            self._broken(observation)

    def _received(self, who: Incarnation, message: Message) -> None:
        child = self._current(who)
        if child is None:
            return
        if isinstance(message, Reply):
            self.calls.reply(message)
        elif isinstance(message, Cast) and message.scope == control.SYSTEM:
            self._told(child, control.decode_control(message))

    def _told(self, child: Child, record: control.Control) -> None:
        if isinstance(record, control.Ready):
            self._ready(child, record.kind)
        elif isinstance(record, control.LogRecord):
            self._report(StageLogged(child.incarnation, child.pid, record))
        elif isinstance(record, control.Exiting):
            child.exiting = record
            self._take_result(child, record)
        elif isinstance(record, control.Established):
            self._established(record.ref)
        elif isinstance(record, control.SubscriptionEnded):
            edge = self.wiring.by_ref(record.ref)
            if edge is not None:
                self._edge_over(edge, record.reason)
                self._drain_on()

    def _ready(self, child: Child, kind: str) -> None:
        child.kind = kind
        if child.state is not ChildState.STARTING:
            return
        child.state = ChildState.RUNNING
        child.was_ready = True
        self._report(ChildReady(child.incarnation, child.pid))
        producers = sorted({str(edge.producer) for edge in self.wiring.upstream(child.id)})
        consumers = sorted({str(edge.consumer) for edge in self._coming(child)})
        if producers or consumers:
            self.tell(child, control.Expect(producers, consumers))
        for edge in self.wiring.of(child.id):
            self.connect(edge)
        self._drain_on()
        for message in self._before_ready.pop(child.incarnation, ()):
            self.send(child, message)
        self.ready.resolve(child, ChildInfo.of(child))

    def _coming(self, producer: Child) -> list[Edge]:
        """The declared subscriptions to a stage whose consumers live, or will again."""
        return [
            edge
            for edge in self.wiring.downstream(producer.id)
            if edge.declared
            and edge.state is not EdgeState.OVER
            and self.children[edge.consumer].state is not ChildState.ENDED
        ]

    # --- links ------------------------------------------------------------------------------------

    def connect(self, edge: Edge) -> None:
        """Link an edge when both ends run, or say that its producer has finished."""
        consumer, producer = self.children[edge.consumer], self.children[edge.producer]
        if edge.live or consumer.state is not ChildState.RUNNING:
            return
        if producer.state is ChildState.ENDED:
            ref = self.wiring.linking(edge)
            reason = producer.end.reason if producer.end else DONE
            peer = str(producer.incarnation)
            record = control.ProducerFinished(ref, peer, edge.options.to_wire(), reason)
            self.tell(consumer, record)
            self._edge_over(edge, reason)
        elif producer.state is ChildState.RUNNING:
            ref = self.wiring.linking(edge)
            options = edge.options.to_wire()
            ends = producer.incarnation, consumer.incarnation
            producer.served = True
            to_producer = control.Link(ref, "producer", str(ends[1]), options)
            to_consumer = control.Link(ref, "consumer", str(ends[0]), options)
            self._runtime.link(
                ref,
                *ends,
                control.encode_control(to_producer),
                control.encode_control(to_consumer),
            )

    def _established(self, ref: int) -> None:
        edge = self.wiring.by_ref(ref)
        if edge is None:
            return
        edge.state = EdgeState.ESTABLISHED
        self.established.resolve(edge, ref)

    # --- ends -------------------------------------------------------------------------------------

    def _exited(self, exited: Exited) -> None:
        child = self._current(exited.child)
        if child is None or not child.alive:
            return
        if not child.pid:
            child.pid = exited.pid
        asked = child.state is ChildState.STOPPING
        started = child.was_ready
        end = end_of(child, exited, self._runtime.counters(child.id))
        child.end = end
        child.state = ChildState.ENDED
        who = child.incarnation
        self._report(ChildEnded(who, child.pid, end.reason, end.normal, end.error, end.detail))
        self.calls.down(who, end.reason)
        self._before_ready.pop(who, None)
        comes_back = child.comes_back
        child.in_group = child.comes_back = False
        if comes_back:
            child.state = ChildState.RESTARTING
            self._down(child, end.reason, restarting=True)
        elif asked or self.stopping:
            self._down(child, end.reason, restarting=False)
        elif not started and child.dynamic:
            self._down(child, end.reason, restarting=False)
            if child.generation == 1:
                self.remove(child)
        elif not started and child.generation == 1 and (exited.signal is None or child.overdue):
            self._down(child, end.reason, restarting=False)
            self._start_failed(child, end)
        else:
            self._ended_by_itself(child, end)
            if child.ended_for_good and end.normal:
                self._release_producers(child)
        failed = StartFailed(f"stage {child.id} did not start: {end.reason} ({end.detail})")
        failed.__cause__ = end.error
        self.ready.reject(child, failed)
        self.gone.resolve(child, None)
        self._restart_when_all_gone()
        self._drain_on()
        self._check_end()

    def _ended_by_itself(self, child: Child, end: End) -> None:
        if (
            not wants_restart(child.spec.restart, normal=end.normal)
            or (self.draining and end.normal)
            or self._is_needless(child)
        ):
            self._down(child, end.reason, restarting=False)
        elif self._restart_log.allows(self._runtime.now()):
            self._restart(child, end)
        else:
            self._down(child, end.reason, restarting=False)
            self._fail(self._intensity_error(child, end))

    def _release_producers(self, consumer: Child) -> None:
        """Let a successor end that nobody has subscribed to, and nobody will any more."""
        for edge in self.wiring.upstream(consumer.id):
            producer = self.children[edge.producer]
            unused = producer.generation > 1 and not producer.served
            if producer.alive and unused and self._is_needless(producer):
                self.tell(producer, control.Stop(DONE))

    def _is_needless(self, child: Child) -> bool:
        """Whether all that a producer was for has come to its end.

        Its consumers have ended in order, so everything they took is finished; it, or a successor
        when it died on its way out, would wait for subscriptions that nobody makes.
        """
        if restart_group(self.plan.strategy, list(self.children), child.id) != [child.id]:
            return False
        consumers = [
            self.children[edge.consumer] for edge in self.wiring.edges if edge.producer == child.id
        ]
        return bool(consumers) and all(
            each.ended_for_good and each.end is not None and each.end.normal for each in consumers
        )

    def _restart(self, failed: Child, end: End) -> None:
        """Begin to start a child's group again: whoever of it lives has to stop first.

        A temporary child stops with its group and is not started again (OTP).
        """
        failed.state = ChildState.RESTARTING
        self._down(failed, end.reason, restarting=True)
        for stage in reversed(restart_group(self.plan.strategy, list(self.children), failed.id)):
            child = self.children[stage]
            lasting = child.spec.restart != "temporary"
            if child.alive:
                child.in_group = True
                child.comes_back = lasting
                self.terminate(child)
            elif child.ended_for_good and lasting:
                child.state = ChildState.RESTARTING

    def _restart_when_all_gone(self) -> None:
        """Start the group again, in start order, once all of it has stopped."""
        if self.stopping or any(child.in_group for child in self.children.values()):
            return
        for child in list(self.children.values()):
            if child.state is ChildState.RESTARTING:
                child.restarts += 1
                self.rewire(child)
                self.spawn(child)
                self._report(ChildRestarting(child.incarnation, child.restarts))

    def _down(self, child: Child, reason: Any, *, restarting: bool) -> None:
        """An incarnation has ended: tell everyone linked with it and everyone who monitors it."""
        self._tell_peers(child, reason, restarting=restarting)
        self.monitors.down(child, restarting=restarting)

    def _tell_peers(self, child: Child, reason: Any, *, restarting: bool) -> None:
        """The verdict, to everyone linked with it."""
        who = str(child.incarnation)
        for edge in self.wiring.of(child.id):
            is_producer = edge.producer == child.id
            peer = self.children[edge.consumer if is_producer else edge.producer]
            # A producer keeps the place of a consumer whose successor it awaits: it needs to know.
            if edge.live or (edge.state is EdgeState.WANTED and not is_producer):
                self.send(peer, Down(0, who, reason, restarting))
            if edge.live:
                self.established.reject(edge, Refused(reason))
            if restarting and edge.state is not EdgeState.OVER:
                self.wiring.lost(edge)
            elif edge.live or (edge.state is EdgeState.WANTED and not edge.declared):
                self._edge_over(edge, reason)
            elif is_producer:
                self.connect(edge)

    def _edge_over(self, edge: Edge, reason: Any) -> None:
        """A subscription has ended, or will never begin."""
        self.established.reject(edge, Refused(reason))
        self.wiring.over(edge, reason)

    def _start_failed(self, child: Child, end: End) -> None:
        if end.reason == "ignore":
            return
        if end.error is not None:
            self._fail(end.error)
        else:
            self._fail(StartFailed(f"stage {child.id} stopped in its start: {end.reason}"))

    def _intensity_error(self, child: Child, end: End) -> BaseException:
        """The error of the run: the original exception, with a note of what was tried."""
        allowed = self.plan.intensity
        note = (
            f"stage {child.id} ended more often than the supervisor allows: more than"
            f" max_restarts={allowed.max_restarts} restarts in max_seconds={allowed.max_seconds:g}"
        )
        if end.error is not None:
            end.error.add_note(note)
            return end.error
        return IntensityExceeded(f"{note}; it last ended with {end.reason!r}")

    def _fail(self, error: BaseException) -> None:
        if self._failure is None:
            self._failure = error
        self.stop("shutdown", status="failed")

    def _broken(self, observation: RuntimeBroken) -> None:
        for child in self.children.values():
            if child.alive:
                end = End("killed", False, None, observation.detail)
                child.end, child.state = end, ChildState.ENDED
                self.calls.down(child.incarnation, end.reason)
                self.monitors.down(child, restarting=False)
            elif child.state is ChildState.RESTARTING:
                child.state = ChildState.ENDED
        self.stopping = True
        self._stop_status = "failed"
        if self._failure is None:
            self._failure = Broken(observation.detail)
        self._check_end()

    def _check_end(self) -> None:
        if self.outcome is not None:
            return
        busy = (
            child.alive or child.state is ChildState.RESTARTING for child in self.children.values()
        )
        if any(busy):
            return
        status = self._stop_status if self.stopping else DONE
        error = self._failure if status == "failed" else None
        self.outcome = Outcome(status, error, self.results())
        self.abandon(Closed(f"the run {self.plan.name!r} is over"))
        self._report(self.outcome)

    # --- for operations and tests -----------------------------------------------------------------

    def results(self) -> dict[str, Any]:
        """What stages passed to `set_result`, by name; a list by index where there are replicas."""
        found: dict[str, Any] = {}
        for child in self.children.values():
            replicas = child.spec.stage.replicas
            if child.has_result and replicas == 1:
                found[child.id.name] = child.result
            elif child.has_result:
                found.setdefault(child.id.name, [None] * replicas)[child.id.index] = child.result
        return found

    def _take_result(self, child: Child, exiting: control.Exiting) -> None:
        try:
            child.take_result(exiting)
        except Exception as error:  # noqa: BLE001
            # The user's class cannot be made again here; that must not end the others.
            detail = {"error": f"{type(error).__name__}: {error}"}
            record = control.LogRecord("error", "the stage's result cannot be read here", detail)
            self._report(StageLogged(child.incarnation, child.pid, record))

    def abandon(self, error: BaseException) -> None:
        """Nobody need wait any more for what will not happen."""
        for waiters in (self.calls, self.established, self.ready, self.gone):
            waiters.reject_all(error)

    def add(self, spec: ChildSpec) -> Child:
        """Make room for a new child; `spawn` starts it."""
        child = Child(spec)
        self.children[spec.stage.id] = child
        return child

    def remove(self, child: Child) -> None:
        """Forget a child and its subscriptions."""
        for edge in self.wiring.of(child.id):
            self.established.reject(edge, Refused("noproc", f"{child.id} has ended"))
        self.wiring.remove(child.id)
        self.children.pop(child.id, None)

    def rewire(self, child: Child) -> None:
        """Its declared subscriptions are to be in place again."""
        for edge in self.wiring.of(child.id):
            if edge.state is EdgeState.OVER:
                edge.state = EdgeState.WANTED

    def when_ready(self, child: Child, message: Message) -> None:
        """Send a message now, or as soon as the child has started."""
        if child.state is ChildState.STARTING:
            self._before_ready.setdefault(child.incarnation, []).append(message)
        else:
            self.send(child, message)

    def tell(self, child: Child, record: control.Control) -> None:
        """Send a child a control record."""
        self.send(child, control.encode_control(record))

    def send(self, child: Child, message: Message) -> None:
        """Send a child a message on its control link, if it lives."""
        if child.alive:
            self._runtime.send(child.incarnation, message)

    def cast(self, child: Child, message: Any) -> None:
        """Have `handle_cast` called."""
        body = encode_value(message)
        self.when_ready(child, Cast(0, control.USER, body.codec, body.body))

    def info(self, child: Child, message: Any) -> None:
        """Have `handle_info` called, behind what is buffered."""
        body = encode_value(message)
        self.when_ready(child, Info(0, control.USER, body.codec, body.body))

    def after(self, seconds: float, fire: Callable[[], None]) -> None:
        """Call `fire` later."""
        token = next(self._tokens)
        self._timers[token] = fire
        self._runtime.timer(seconds, token)

    def _escalate(self, incarnation: Incarnation, signal: str) -> None:
        child = self._current(incarnation)
        if child is not None and child.state is ChildState.STOPPING:
            self._runtime.signal(incarnation, signal)

    def _start_overdue(self, incarnation: Incarnation) -> None:
        child = self._current(incarnation)
        if child is not None and child.state is ChildState.STARTING:
            child.overdue = True
            self._runtime.signal(incarnation, "kill")

    def _current(self, incarnation: Incarnation) -> Child | None:
        child = self.children.get(incarnation.stage)
        return child if child is not None and child.generation == incarnation.generation else None
