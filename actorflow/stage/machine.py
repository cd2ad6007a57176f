"""The stage machine: the two halves joined, the supervisor's messages, and what to do next.

It knows the protocol and the behaviour, and no I/O: frames go in through `receive`, work items come
out of `next_work`, a driver does them and hands their results to `complete`, frames leave through
the `Port`. The synchronous loop, the asyncio loop and the simulator all turn this one machine.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from actorflow.errors import NotInStage, OptionError, ProtocolError, Refused
from actorflow.protocol import control
from actorflow.protocol.failure import Failure
from actorflow.protocol.identity import Incarnation
from actorflow.protocol.messages import RouteEos
from actorflow.protocol.reasons import DONE, plain
from actorflow.protocol.wire import decode, encode
from actorflow.stage.behaviour import Stage, ends_with_events, kind_of
from actorflow.stage.children import ChildKind, ChildRuntime, Observer
from actorflow.stage.companions import CompanionObserver, CompanionRuntime
from actorflow.stage.consuming import ConsumingHalf
from actorflow.stage.context import RunningStage
from actorflow.stage.counters import Counter
from actorflow.stage.halves import Halves
from actorflow.stage.held import HeldBatch
from actorflow.stage.incoming import Taken
from actorflow.stage.keeping import SNAPSHOT, Keeping
from actorflow.stage.options import DEMAND_MODES
from actorflow.stage.orders import Orders
from actorflow.stage.producing import ProducingHalf
from actorflow.stage.reception import acceptors
from actorflow.stage.spec import StageSpec
from actorflow.stage.status import status_of
from actorflow.stage.timers import Timers
from actorflow.stage.work import CONTROL_LINK, Port, Work

__all__ = ["StageMachine"]


class StageMachine:
    """Drives one behaviour.

    Args:
        child: which incarnation of which stage this is.
        spec: what to run; the behaviour is constructed by `start`.
        port: where frames go.
        counters: the scoreboard slot, a mutable sequence of integers.
        now: the driver's clock, seconds, monotonic.
    """

    def __init__(
        self,
        child: Incarnation,
        spec: StageSpec,
        port: Port,
        counters: Any,
        now: Callable[[], float],
    ) -> None:
        self.child = child
        self.kind = kind_of(spec.behaviour)
        self.ended = False
        self.stopping = False
        self.exit_status = 0
        self.result: bytes | None = None
        """The stage's answer, pickled, for its last words."""
        self._spec = spec
        self._port = port
        self._now = now
        self._counters = counters
        self.timers = Timers()
        self.peers: dict[int, Incarnation] = {}
        self._takes_input = False
        self._finish_reason: Any = None
        self._near_end = False
        """Whether there is reason to look whether this is the end, when nothing else is to do."""
        self._leaving = self._succeeded = False
        self._has_last_events = ends_with_events(spec.behaviour)
        self._context = RunningStage(self, spec.replicas)
        self._stop_reason: Any = None
        self._unhandled: dict[str, int] = {}
        halves = Halves(self, spec, port, counters)
        self._callbacks = halves.callbacks
        self._orders = Orders(self, self._callbacks, port)
        self.producing, self.consuming = halves.producing, halves.consuming
        self.demand_hook = halves.demand_hook
        self._joint, self._keeping, self._holding = halves.joint, halves.keeping, halves.holding
        self._failing, self._flushing = halves.failing, halves.flushing
        self._info_in_turn = halves.info_in_turn
        # Looked at before every work item, so without a call.
        self._queue = self._callbacks.queue
        self._inbound = self.consuming.inbound if self.consuming is not None else deque()
        self._accept = acceptors(self, port)

    # --- the driver's side ------------------------------------------------------------------------

    def start(self) -> None:
        """Construct the behaviour and call `on_start`; then the supervisor is told."""
        self._callbacks.start(self._spec, self._context, self._started)

    def receive(self, link: int, data: bytes) -> None:
        """Take one frame from a link. Whatever is wrong with it, this stage goes on."""
        try:
            message = decode(data)
            accept = self._accept.get(type(message))
            if accept is not None:
                accept(link, message)
            elif link == CONTROL_LINK:
                self._orders.take(message)
            else:
                kind = type(message).__name__
                raise ProtocolError("unknown_message", f"{kind} belongs on the control link")
        except ProtocolError as error:
            self.refuse(link, error)

    def refuse(self, link: int, error: ProtocolError) -> None:
        """Tell the sender which rule its message broke; nobody else notices."""
        self.count_refusal(link, str(error))
        if link == CONTROL_LINK:
            return
        reason = [error.reason, error.detail]
        ref = error.ref if error.ref is not None else link
        if self.consuming is not None and self.consuming.upstream.travels(ref, link):
            self.consuming.upstream.reject(ref, reason)
        elif self.producing is not None:
            self.producing.subscribers.reject(link, ref, reason)
        else:
            self._port.send(link, encode(RouteEos(ref, reason)))

    def count_refusal(self, link: int, reason: str) -> None:
        """Note that a message broke a rule."""
        self._counters[Counter.PROTOCOL_ERRORS] += 1
        self.log("error", "a message was refused", {"link": link, "reason": reason})

    def link_closed(self, link: int) -> None:
        """A link is at its end, drained to the last byte."""
        if link == CONTROL_LINK:
            self.stop("supervisor_gone")
            return
        self.peers.pop(link, None)
        if self.producing is not None:
            self.producing.outgoing.meters.pop(link, None)
        if self.producing is not None:
            self.producing.subscribers.link_closed(link)
        if self.consuming is not None:
            self.consuming.upstream.link_closed(link)

    def next_work(self) -> Work | None:
        """What to do next, or None while there is nothing."""
        queue = self._queue
        if queue:
            return queue.popleft()
        if self.stopping:
            return None
        if self._inbound and self._takes_input and self._joint is not None:
            self._joint.pull()
            if queue:
                return queue.popleft()
        if self._near_end:
            self._approach_end()
            if queue:
                return queue.popleft()
        return self._keeping.next() if self._keeping is not None else None

    def complete(self, work: Work, result: Any, seconds: float) -> None:
        """Take a callback's result. Raises what the result itself breaks, for `fail`."""
        work.done(result, seconds)
        if self._keeping is not None and not self.stopping:
            self._keep(self._keeping, work)

    def fail(self, error: BaseException) -> None:
        """A callback raised, or returned what it may not: the stage ends with that exception."""
        if self.ended:
            return
        failure = Failure.of(error)
        self._exit(["error", failure.summary], failure.to_wire(), 1)

    def next_due(self) -> float | None:
        """When `advance` is wanted next, on the driver's clock; None for never."""
        return self.timers.next_due

    def advance(self) -> None:
        """Fire the timers that are due."""
        self.timers.fire_due(self._now())

    @property
    def blocked(self) -> bool:
        """Whether it is demand that is missing, and not input."""
        if self.producing is None:
            return False
        return self._joint is None or bool(self._inbound)

    @property
    def behaviour(self) -> Stage | None:
        """The user's object, once it is constructed."""
        return self._callbacks.behaviour

    @property
    def queued(self) -> tuple[Work, ...]:
        """The work items that wait, for tests and stall reports."""
        return self._callbacks.waiting

    def status(self) -> dict[str, Any]:
        """Everything a status page shows, as plain data (A30)."""
        return status_of(self)

    # --- what ends it, and other requests ---------------------------------------------------------

    def stop(self, reason: Any) -> None:
        """End after the callback in hand; what is not finished is delivered to somebody else."""
        if self.stopping:
            return
        self.stopping = True
        self._stop_reason = plain(reason)
        if self.consuming is not None:
            self._unhandled = self.consuming.unhandled()
        if self.behaviour is None:
            self._stopped()
        else:
            self._callbacks.stop(self._stop_reason, self._stopped)

    def stopped(self) -> None:
        """What `on_stop` left for later is done: the stage ends."""
        if self.stopping and not self.ended:
            self._stopped()

    def begin_finish(self, reason: Any) -> None:
        """Hand over what is in hand and buffered, then end with this reason."""
        if self._finish_reason is None:
            self._finish_reason, self._near_end = reason, True
            if self.producing is not None:
                self.producing.finishing = True
                self._callbacks.drop_demand()

    def retire(self, *, successor: bool) -> None:
        """Take no more, hand over what is in hand and buffered, then end.

        Args:
            successor: whether another one takes this one's place, for which its consumers wait.
        """
        self._leaving = True
        self._succeeded = successor
        self.begin_finish(["shutdown", "replaced"] if successor else DONE)

    def count_replicas(self, count: int) -> None:
        """There are so many stages of this name now.

        Raises:
            ProtocolError: that cannot be.
        """
        if count < 1:
            raise ProtocolError("bad_option", f"{count} replicas")
        self._context.replicas = count

    def finish(self) -> None:
        """The behaviour has no more to produce: a successor of it would have none either."""
        if self._keeping is not None:
            self._keeping.finishing = True
            self._keeping.changed()
        self.begin_finish(DONE)

    def set_demand(self, mode: Any) -> None:
        """Let a producer accumulate or forward.

        Raises:
            OptionError: an unknown mode.
            Refused: this stage is no producer.
        """
        if mode not in DEMAND_MODES:
            raise OptionError("mode", "accumulate or forward", mode)
        if self.kind != "producer" or self.producing is None:
            kind = self.kind.replace("_", "-")
            raise Refused("not_a_producer", f"{self.child.stage} is a {kind}: its mode is fixed")
        self.producing.set_mode(mode)

    def change_members(self, change: str, stages: list[str]) -> None:
        """Ask the supervisor for other members."""
        self.tell(control.Members(change, stages))

    def between_callbacks(self, label: str, act: Callable[[], None]) -> None:
        """Do something once the callback in hand is over, before any other is called."""
        self._callbacks.next(label, act)

    def info_after(self, seconds: float, message: Any) -> None:
        """Have `handle_info` called in so many seconds."""
        self.timers.add(self._now() + seconds, lambda: self._callbacks.info(message))

    def ring(self, message: Any) -> None:
        """Have `handle_info` called next: the program that this stage lives in has something.

        A stage that is still being constructed looks by itself when it has been.
        """
        if self.behaviour is not None:
            self._callbacks.info(message)

    def now(self) -> float:
        """Seconds on the driver's monotonic clock."""
        return self._now()

    def call_after(self, seconds: float, callback: Callable[[], None]) -> None:
        """Have `callback` called in so many seconds; what it raises ends the stage."""
        self.timers.add(self._now() + seconds, callback)

    def later(self) -> HeldBatch:
        """The handle on the batch in hand, to finish it later.

        Raises:
            NotInStage: the class of this stage does not say `finishes_later`, or none is in hand.
        """
        if self._holding is None:
            raise NotInStage(
                f"{self.child.stage} finishes a batch when handle_events returns; a class that"
                " finishes later says so: finishes_later = True"
            )
        return self._holding.later()

    def children(self, kind: ChildKind, observe: Observer) -> ChildRuntime:
        """Where children of this stage live, in the hands of whoever drives this machine."""
        return self._port.children(kind, observe)

    def companions(self, place: str, observer: CompanionObserver) -> CompanionRuntime:
        """Where companions of this stage live, in the hands of whoever drives this machine."""
        return self._port.companions(place, observer)

    def log(self, level: str, event: str, values: dict[str, Any]) -> None:
        """Ship a log line to the host; when it does not keep up, count the line as dropped."""
        if self._port.congested:
            self._counters[Counter.LOG_DROPPED] += 1
            return
        safe = {str(key): plain(value) for key, value in values.items()}
        self.tell(control.LogRecord(level, event, safe))

    def snapshot_stored(self, number: int) -> None:
        """A snapshot is kept: what it covers is finished.

        Raises:
            ProtocolError: this stage takes none.
        """
        if self._keeping is None:
            raise ProtocolError("unknown_message", f"{self.child.stage} takes no snapshots")
        self._keeping.stored(number)

    @property
    def treated(self) -> Taken | None:
        """The batch that has failed and is not over."""
        return self._failing.in_hand if self._failing is not None else None

    def rest(self, resting: bool) -> None:
        """Take no further input while a batch is treated that has failed, or take it again."""
        self._takes_input = not resting

    def dead_letter_kept(self, number: int) -> None:
        """The supervisor keeps an event that this stage has given up.

        Raises:
            ProtocolError: this stage takes no events.
        """
        if self._failing is None:
            raise ProtocolError("unknown_message", f"{self.child.stage} takes no events")
        self._failing.kept(number)

    def info(self, message: Any) -> None:
        """Have `handle_info` called behind the events that wait here, in and out (async_info)."""
        if self.consuming is None or not self.consuming.info(message):
            self._info_in_turn(message)

    # --- the beginning and the end ----------------------------------------------------------------

    def _started(self) -> None:
        self._takes_input = True
        if not self.stopping:
            self.tell(control.Ready(self.kind))
            if self._spec.restored is not None and self._spec.restored.finishing:
                self.begin_finish(DONE)

    def near_end(self) -> None:
        """A stream of this stage's input has ended, or was said to be all sent."""
        self._near_end = True

    def _approach_end(self) -> None:
        """Nothing is to do: see whether more can come, and end once nothing is waiting."""
        flushing, finishing = self._flushing, self._finish_reason is not None
        if self._inbound or self.treated is not None:
            return
        if not finishing and not flushing.at_last():
            self._near_end = False  # until there is news of a stream
            return
        if not flushing.behaviour_told() or (self._holding is not None and self._holding.open):
            return
        flushing.tell_consumers(finishing=finishing)
        if self._keeping is not None:
            self._keeping.nothing_comes()
        if self.consuming is not None:
            self.consuming.asking.acknowledge()  # the producers wait for nothing else
        if finishing:
            self._try_finish()

    def _try_finish(self) -> None:
        """End once everything is acknowledged, and the last events have been made."""
        half = self.producing
        if self._leaving and self.consuming is not None and self.consuming.subscriptions:
            return  # what was under way when it was told to leave still arrives
        if self._has_last_events:
            self._has_last_events = False
            self._callbacks.end(self._holding)
            return
        if half is not None:
            if not half.flushed:
                return
            if not self._succeeded:
                half.subscribers.close()
        if self._keeping is not None and not self._keeping.settled:
            return
        self.stop(self._finish_reason)

    def _stopped(self) -> None:
        self._exit(self._stop_reason, None, 0)

    def _exit(self, reason: Any, failure: dict[str, Any] | None, status: int) -> None:
        if self.consuming is not None:
            # What is finished is not to be delivered again, though no ask will carry the news.
            self.consuming.asking.acknowledge()
        if self.producing is not None and self._finish_reason is not None:
            self.producing.drop_late()
        self._callbacks.close()
        self.stopping = True
        self.ended = True
        self.exit_status = status
        self._counters[Counter.ENDED] = 1
        self.tell(control.Exiting(reason, failure, self.result, self._unhandled))

    # --- within -----------------------------------------------------------------------------------

    def _keep(self, keeping: Keeping, work: Work) -> None:
        """After a callback: there may be something new to keep, and now may be the time."""
        if work.label != SNAPSHOT:
            keeping.changed()
        if self._queue:
            next_ = keeping.next()
            if next_ is not None:
                self._queue.appendleft(next_)

    def producer_half(self) -> ProducingHalf:
        """The producing half.

        Raises:
            ProtocolError: this stage is a consumer.
        """
        if self.producing is None:
            raise ProtocolError("not_a_producer", f"{self.child.stage} is a consumer")
        return self.producing

    def consumer_half(self) -> ConsumingHalf:
        """The consuming half.

        Raises:
            ProtocolError: this stage is a producer.
        """
        if self.consuming is None:
            raise ProtocolError("not_a_consumer", f"{self.child.stage} is a producer")
        return self.consuming

    def tell(self, record: control.Control) -> None:
        """Tell the supervisor."""
        self._port.send(CONTROL_LINK, encode(control.encode_control(record)))
