"""The stage machine: the two halves joined, the supervisor's messages, and what to do next.

It knows the protocol and the behaviour, and no I/O: frames go in through `receive`, work items come
out of `next_work`, a driver does them and hands their results to `complete`, frames leave through
the `Port`. The synchronous loop, the asyncio loop and the simulator all turn this one machine.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from actorflow.errors import OptionError, ProtocolError, Refused
from actorflow.protocol import control
from actorflow.protocol.codec import decode_value
from actorflow.protocol.failure import Failure
from actorflow.protocol.identity import Incarnation
from actorflow.protocol.messages import (
    Ask,
    Call,
    Cast,
    Down,
    Info,
    Message,
    Notify,
    Route,
    RouteEos,
    Subscribe,
    Unsubscribe,
    decode,
    encode,
)
from actorflow.protocol.reasons import DONE, plain, shown
from actorflow.stage import consuming, producing
from actorflow.stage.behaviour import Stage, kind_of
from actorflow.stage.callbacks import Callbacks
from actorflow.stage.calls import Sender, answer_system_call
from actorflow.stage.consuming import ConsumingHalf
from actorflow.stage.context import RunningStage
from actorflow.stage.counters import Counter
from actorflow.stage.incoming import Ending, Incoming, Taken
from actorflow.stage.outgoing import Outgoing
from actorflow.stage.producing import ProducingHalf
from actorflow.stage.spec import StageSpec
from actorflow.stage.timers import Timers
from actorflow.stage.work import CONTROL_LINK, Port, Work

__all__ = ["ACKNOWLEDGE_WITHIN", "StageMachine"]

ACKNOWLEDGE_WITHIN = 0.005
"""Seconds that an acknowledgement may wait for an ask to carry it: short against a person's
patience at the end of a run, long against the time between two asks of a busy subscription."""


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
        self._timers = Timers()
        self._peers: dict[int, Incarnation] = {}
        self._ready = False
        self._finish_reason: Any = None
        self._acknowledging = False
        self._polling = False
        self._callbacks = Callbacks(child)
        self.producing = self._make_producing() if self.kind != "consumer" else None
        self.consuming = self._make_consuming() if self.kind != "producer" else None
        if self.producing is not None:
            self._callbacks.emit = self.producing.emit
        self._pulls = self.kind == "producer_consumer"
        # Looked at before every work item, so without a call.
        self._queue = self._callbacks.queue
        self._inbound = self.consuming.inbound if self.consuming is not None else deque()
        self._accept = self._acceptors()

    # --- the driver's side ------------------------------------------------------------------------

    def start(self) -> None:
        """Construct the behaviour and call `on_start`; then the supervisor is told."""
        context = RunningStage(self, self._spec.replicas)
        self._callbacks.start(self._spec, context, self._started)

    def receive(self, link: int, data: bytes) -> None:
        """Take one frame from a link. Whatever is wrong with it, this stage goes on."""
        try:
            message = decode(data)
            accept = self._accept.get(type(message))
            if accept is not None:
                accept(link, message)
            elif link == CONTROL_LINK:
                self._from_supervisor(message)
            else:
                kind = type(message).__name__
                raise ProtocolError("unknown_message", f"{kind} belongs on the control link")
        except ProtocolError as error:
            self.refuse(link, error)

    def refuse(self, link: int, error: ProtocolError) -> None:
        """Tell the sender which rule its message broke; nobody else notices."""
        self._counters[Counter.PROTOCOL_ERRORS] += 1
        self.log("error", "a message was refused", {"link": link, "reason": str(error)})
        if link == CONTROL_LINK:
            return
        reason = [error.reason, error.detail]
        ref = error.ref if error.ref is not None else link
        if self.consuming is not None and ref in self.consuming.subscriptions:
            self.consuming.reject(ref, reason)
        elif self.producing is not None:
            self.producing.reject(link, ref, reason)
        else:
            self._port.send(link, encode(RouteEos(ref, reason)))

    def link_closed(self, link: int) -> None:
        """A link is at its end, drained to the last byte."""
        if link == CONTROL_LINK:
            self.stop("supervisor_gone")
            return
        self._peers.pop(link, None)
        if self.producing is not None:
            self.producing.link_closed(link)
        if self.consuming is not None:
            self.consuming.link_closed(link)

    def next_work(self) -> Work | None:
        """What to do next, or None while there is nothing."""
        queue = self._queue
        if queue:
            return queue.popleft()
        if self.stopping:
            return None
        if self._inbound and self._ready:
            self._pull()
            if queue:
                return queue.popleft()
        if self._finish_reason is not None:
            self._try_finish()
            if queue:
                return queue.popleft()
        return None

    def complete(self, work: Work, result: Any, seconds: float) -> None:
        """Take a callback's result. Raises what the result itself breaks, for `fail`."""
        work.done(result, seconds)

    def fail(self, error: BaseException) -> None:
        """A callback raised, or returned what it may not: the stage ends with that exception."""
        if self.ended:
            return
        failure = Failure.of(error)
        self._exit(["error", failure.summary], failure.to_wire(), 1)

    def next_due(self) -> float | None:
        """When `advance` is wanted next, on the driver's clock; None for never."""
        return self._timers.next_due

    def advance(self) -> None:
        """Fire the timers that are due."""
        self._timers.fire_due(self._now())

    @property
    def blocked(self) -> bool:
        """Whether it is demand that is missing, and not input."""
        if self.producing is None:
            return False
        return not self._pulls or bool(self._inbound)

    @property
    def behaviour(self) -> Stage | None:
        """The user's object, once it is constructed."""
        return self._callbacks.behaviour

    @property
    def queued(self) -> tuple[Work, ...]:
        """The work items that wait, for tests and stall reports."""
        return tuple(self._queue)

    def status(self) -> dict[str, Any]:
        """Everything a status page shows, as plain data (A30)."""
        incoming = self.consuming.subscriptions.values() if self.consuming is not None else ()
        return {
            "stage": str(self.child),
            "type": self.kind,
            "state": {key: shown(value) for key, value in _state_of(self.behaviour).items()},
            "producing": producing.describe(self.producing) if self.producing else None,
            "producers": [
                {"ref": each.ref, "stage": str(each.handle.peer), "finished": each.finished}
                for each in incoming
            ],
        }

    # --- what ends it, and other requests ---------------------------------------------------------

    def stop(self, reason: Any) -> None:
        """End after the callback in hand; what is not finished is delivered to somebody else."""
        if self.stopping:
            return
        self.stopping = True
        why = plain(reason)
        if self.behaviour is None:
            self._exit(why, None, 0)
        else:
            self._callbacks.stop(why, lambda: self._stopped(why))

    def begin_finish(self, reason: Any) -> None:
        """Hand over what is in hand and buffered, then end with this reason."""
        if self._finish_reason is None:
            self._finish_reason = reason
            if self.producing is not None:
                self.producing.finishing = True
                self._callbacks.drop_demand()

    def set_demand(self, mode: str) -> None:
        """Let a producer accumulate or forward.

        Raises:
            OptionError: an unknown mode.
            Refused: this stage is no producer.
        """
        if mode not in ("accumulate", "forward"):
            raise OptionError("mode", "accumulate or forward", mode)
        if self.kind != "producer" or self.producing is None:
            kind = self.kind.replace("_", "-")
            raise Refused("not_a_producer", f"{self.child.stage} is a {kind}: its mode is fixed")
        self.producing.set_mode(mode)

    def info_after(self, seconds: float, message: Any) -> None:
        """Have `handle_info` called in so many seconds."""
        self._timers.add(self._now() + seconds, lambda: self._callbacks.info(message))

    def log(self, level: str, event: str, values: dict[str, Any]) -> None:
        """Ship a log line to the host; when it does not keep up, count the line as dropped."""
        if self._port.congested:
            self._counters[Counter.LOG_DROPPED] += 1
            return
        safe = {str(key): plain(value) for key, value in values.items()}
        self._tell(control.LogRecord(level, event, safe))

    # --- the supervisor's messages ----------------------------------------------------------------

    def _from_supervisor(self, message: Message) -> None:
        if isinstance(message, Down):
            self._peer_down(message)
        elif isinstance(message, Cast) and message.scope == control.SYSTEM:
            self._obey(control.decode_control(message))
        elif isinstance(message, Call):
            self._called(message, Sender(message.ref, self._port))
        elif isinstance(message, Cast):
            self._callbacks.cast(decode_value(message.codec, message.body))
        elif isinstance(message, Info):
            self._info(decode_value(message.codec, message.body))
        else:
            raise ProtocolError("unknown_message", f"{type(message).__name__} from the supervisor")

    def _called(self, message: Call, sender: Sender) -> None:
        """A caller waits: whatever is wrong with the request, it gets an answer."""
        try:
            request = decode_value(message.codec, message.body)
            if message.scope == control.SYSTEM:
                answer_system_call(self, request, sender)
            else:
                self._callbacks.call(request, sender)
        except ProtocolError as error:
            sender.fail(error)
            raise

    def _obey(self, record: control.Control) -> None:
        if isinstance(record, control.Link):
            self._linked(record)
        elif isinstance(record, control.Expect):
            if self.consuming is not None:
                self.consuming.expect(record.producers)
            if self.producing is not None:
                self.producing.expect(record.consumers)
        elif isinstance(record, control.ProducerFinished):
            self._producer_finished(record)
        elif isinstance(record, control.CancelSubscription):
            self._consumer_half().cancel(record.ref, record.reason)
        elif isinstance(record, control.SetDemand):
            self._set_demand(record.mode)
        elif isinstance(record, control.Finish):
            self.begin_finish(DONE)
        elif isinstance(record, control.Stop):
            self.stop(record.reason)
        else:
            raise ProtocolError("unknown_message", f"{record!r} is not for a stage")

    def _linked(self, record: control.Link) -> None:
        self._port.open(record.ref)
        try:
            if record.role == "consumer":
                self._consumer_half().open(record)
            else:
                self._peers[record.ref] = Incarnation.parse(record.peer)
        except ValueError as error:
            self._port.close(record.ref)
            raise ProtocolError("bad_link", str(error)) from error

    def _producer_finished(self, record: control.ProducerFinished) -> None:
        try:
            self._consumer_half().producer_finished(record)
        except ValueError as error:
            raise ProtocolError("bad_link", str(error)) from error

    def _set_demand(self, mode: str) -> None:
        try:
            self.set_demand(mode)
        except (OptionError, Refused) as error:
            raise ProtocolError("bad_option", str(error)) from error

    def _peer_down(self, message: Down) -> None:
        try:
            peer = Incarnation.parse(message.who)
        except ValueError as error:
            raise ProtocolError("bad_name", f"{message.who!r} is no incarnation") from error
        links = [link for link, each in self._peers.items() if each == peer]
        if self.consuming is not None:
            links += self.consuming.links_to(peer)
        for link in links:
            self._port.drain(link)
        if self.producing is not None:
            self.producing.peer_down(peer, message.reason, restarting=message.restarting)
        if self.consuming is not None:
            self.consuming.peer_down(peer, message.reason, restarting=message.restarting)

    def _info(self, message: Any) -> None:
        """GenStage's async_info: behind the events that wait here, in and out."""
        if self.consuming is None or not self.consuming.info(message):
            self._info_in_turn(message)

    def _info_in_turn(self, message: Any) -> None:
        if self.producing is not None:
            self.producing.info(message)
        else:
            self._callbacks.info(message)

    # --- other stages' messages -------------------------------------------------------------------

    def _acceptors(self) -> dict[type, Callable[[int, Any], None]]:
        """Which half takes which message; what is for the half that is missing is answered."""
        accept: dict[type, Callable[[int, Any], None]] = {}
        consuming, producing = self.consuming, self.producing
        if consuming is not None:
            accept |= {
                Route: consuming.route,
                RouteEos: consuming.eos,
                Notify: consuming.notify,
            }
        else:
            accept |= dict.fromkeys((Route, RouteEos, Notify), self._not_a_consumer)
        if producing is not None:
            accept |= {
                Ask: producing.ask,
                Subscribe: lambda link, message: producing.subscribe(
                    link, self._peer(link), message
                ),
                Unsubscribe: producing.unsubscribe,
            }
        else:
            accept |= dict.fromkeys((Ask, Subscribe, Unsubscribe), self._not_a_producer)
        return accept

    def _not_a_consumer(self, link: int, message: Message) -> None:
        self.log("error", "an event message at a pure producer was ignored", {"link": link})

    def _not_a_producer(self, link: int, message: Message) -> None:
        self._port.send(link, encode(RouteEos(message.ref, "not_a_producer")))

    # --- the halves' owners -----------------------------------------------------------------------

    def _make_producing(self) -> ProducingHalf:
        owner = producing.Owner(
            subscribe=self._consumer_subscribes,
            cancelled=self._callbacks.cancelled,
            demand=self._demand if self.kind == "producer" else None,
            owed=self._poll_later,
            discarded=self._discarded,
            info=self._callbacks.info,
            progressed=self._progressed,
        )
        name = self.child.stage.name
        return ProducingHalf(name, self._spec.options, self._port, owner, self._counters)

    def _make_consuming(self) -> ConsumingHalf:
        owner = consuming.Owner(
            subscribe=self._subscribes_to_producer,
            take=lambda taken: self._callbacks.events(taken, self._handled),
            notified=lambda message, incoming: self._callbacks.notified(message, incoming.handle),
            ending=self._ending,
            info=self._info_in_turn,
            exhausted=self.begin_finish,
            stop=self.stop,
            dirty=self._acknowledge_soon,
        )
        queues = self.kind == "producer_consumer"
        return ConsumingHalf(self._port, owner, self._counters, queues=queues)

    def _consumer_subscribes(self, outgoing: Outgoing) -> None:
        half = self._producer_half()
        self._callbacks.subscribed(outgoing.handle, lambda _: half.established(outgoing))

    def _subscribes_to_producer(self, incoming: Incoming) -> None:
        half = self._consumer_half()
        self._callbacks.subscribed(
            incoming.handle, lambda manual: half.opened(incoming, manual=manual)
        )

    def _ending(self, ending: Ending) -> None:
        self._callbacks.ending(ending, self._consumer_half().over)

    def _discarded(self, events: list[Any]) -> None:
        detail = {"discarded": len(events), "buffer_size": self._spec.options.buffer_size}
        text = "the buffer is full, events were discarded"
        self._callbacks.discarded(events, lambda: self.log("warning", text, detail))

    # --- events and demand ------------------------------------------------------------------------

    def _pull(self) -> None:
        """A producer-consumer takes its next events while there is demand for its output.

        What costs no demand (an end, an info, a notification) is taken as soon as it is the oldest.
        """
        consuming, producing = self._consumer_half(), self._producer_half()
        while self._inbound and not self._queue:
            if not consuming.next_is_free and not (
                producing.buffer.empty and producing.dispatcher.capacity > 0
            ):
                return
            consuming.take_next()

    def _handled(self, taken: Taken, result: Any, seconds: float) -> None:
        if result is not None:
            self._callbacks.returned(result, "handle_events")
        half, consuming = self.producing, self._consumer_half()
        if half is None:
            consuming.handled(taken, seconds, 0)
            return
        consuming.handled(taken, seconds, half.emitted)
        if taken.seq and not (half.keeps and self._counters[Counter.UNACKNOWLEDGED]):
            # While outputs are under way, their acknowledgement is what finishes inputs; an empty
            # list of outputs, or a buffer that dropped them, brings none.
            consuming.outputs_finished(half.lowest_unfinished)

    def _demand(self, count: int) -> None:
        self._callbacks.demand(count, self._poll_later)

    def _poll_later(self) -> None:
        interval = self._spec.options.poll_interval
        if interval is not None and not self._polling and self._producer_half().unmet():
            self._polling = True
            self._timers.add(self._now() + interval, self._poll)

    def _poll(self) -> None:
        self._polling = False
        half = self._producer_half()
        if half.unmet() and not half.finishing:
            self._demand(half.unmet())

    def _progressed(self) -> None:
        """Outputs were acknowledged: their inputs may be finished now."""
        if self._pulls:
            self._consumer_half().outputs_finished(self._producer_half().lowest_unfinished)

    def _acknowledge_soon(self) -> None:
        if not self._acknowledging:
            self._acknowledging = True
            self._timers.add(self._now() + ACKNOWLEDGE_WITHIN, self._acknowledge)

    def _acknowledge(self) -> None:
        self._acknowledging = False
        self._consumer_half().acknowledge()

    # --- the beginning and the end ----------------------------------------------------------------

    def _started(self) -> None:
        self._ready = True
        if not self.stopping:
            self._tell(control.Ready(self.kind))

    def _try_finish(self) -> None:
        """End once nothing is waiting, in hand, or unacknowledged."""
        half = self.producing
        if self._inbound:
            return
        if half is not None:
            if not half.flushed:
                return
            half.close()
        self.stop(self._finish_reason)

    def _stopped(self, reason: Any) -> None:
        self._exit(reason, None, 0)

    def _exit(self, reason: Any, failure: dict[str, Any] | None, status: int) -> None:
        if self.consuming is not None:
            # What is finished is not to be delivered again, though no ask will carry the news.
            self.consuming.acknowledge()
        self._callbacks.close()
        self.stopping = True
        self.ended = True
        self.exit_status = status
        self._counters[Counter.ENDED] = 1
        self._tell(control.Exiting(reason, failure, self.result))

    # --- within -----------------------------------------------------------------------------------

    def _peer(self, link: int) -> Incarnation:
        peer = self._peers.get(link)
        if peer is None:
            raise ProtocolError("unknown_link", f"link {link} was never announced")
        return peer

    def _producer_half(self) -> ProducingHalf:
        if self.producing is None:
            raise ProtocolError("not_a_producer", f"{self.child.stage} is a consumer")
        return self.producing

    def _consumer_half(self) -> ConsumingHalf:
        if self.consuming is None:
            raise ProtocolError("not_a_consumer", f"{self.child.stage} is a producer")
        return self.consuming

    def _tell(self, record: control.Control) -> None:
        self._port.send(CONTROL_LINK, encode(control.encode_control(record)))


def _state_of(behaviour: Stage | None) -> dict[str, Any]:
    """A behaviour's own attributes."""
    attributes = {} if behaviour is None else vars(behaviour)
    return {key: value for key, value in attributes.items() if key != "_context"}
