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
from actorflow.protocol.demand import SubscriptionOptions, Window
from actorflow.protocol.failure import Failure
from actorflow.protocol.held import held_window_for
from actorflow.protocol.identity import Incarnation
from actorflow.protocol.messages import RouteEos, decode, encode
from actorflow.protocol.reasons import DONE, plain
from actorflow.stage import consuming, producing, subscribers
from actorflow.stage.acknowledging import Acknowledging
from actorflow.stage.asking import Time
from actorflow.stage.behaviour import Stage, Subscription, kind_of, takes_snapshots
from actorflow.stage.callbacks import Callbacks
from actorflow.stage.children import ChildKind, ChildRuntime, Observer
from actorflow.stage.consuming import ConsumingHalf
from actorflow.stage.context import RunningStage
from actorflow.stage.counters import Counter
from actorflow.stage.demand_hook import DecidingExactHalf, DecidingHalf, DemandHook, decides
from actorflow.stage.discarding import Discarding
from actorflow.stage.exact import ExactProducingHalf
from actorflow.stage.held import HeldBatch, Holding
from actorflow.stage.incoming import Ending, Incoming, Taken
from actorflow.stage.joint import Joint
from actorflow.stage.keeping import SNAPSHOT, Keeping, Outputs
from actorflow.stage.options import DEMAND_MODES, EXACTLY_ONCE
from actorflow.stage.orders import Orders
from actorflow.stage.outgoing import Outgoing
from actorflow.stage.polling import Polling
from actorflow.stage.producing import ProducingHalf
from actorflow.stage.reach import Reach
from actorflow.stage.reception import acceptors
from actorflow.stage.spec import StageSpec
from actorflow.stage.status import status_of
from actorflow.stage.timers import Timers
from actorflow.stage.upstream import Relations
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
        self._timers = Timers()
        self.peers: dict[int, Incarnation] = {}
        self._ready = False
        self._finish_reason: Any = None
        self._leaving = self._succeeded = False
        self._context = RunningStage(self, spec.replicas)
        self._exact = spec.options.delivery == EXACTLY_ONCE
        self._stop_reason: Any = None
        self._callbacks = Callbacks(child)
        self.demand_hook = (
            DemandHook(self._callbacks, counters) if decides(spec.behaviour) else None
        )
        self._orders = Orders(self, self._callbacks, port)
        interval = spec.options.poll_interval
        self._discarding = Discarding(self._callbacks, self.log, spec.options.buffer_size)
        self._polling = Polling(interval, self._timers, now, self._unmet, self._demand)
        self.producing = self._make_producing() if self.kind != "consumer" else None
        self.consuming = self._make_consuming() if self.kind != "producer" else None
        self._joint = self._make_joint()
        self._keeping = self._make_keeping()
        self._handled = self._handler()
        self._holding = self._make_holding() if spec.behaviour.finishes_later else None
        if self.producing is not None:
            self._callbacks.emit = self.producing.emit
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
        if self._inbound and self._ready and self._joint is not None:
            self._joint.pull()
            if queue:
                return queue.popleft()
        if self._finish_reason is not None:
            self._try_finish()
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
        return self._timers.next_due

    def advance(self) -> None:
        """Fire the timers that are due."""
        self._timers.fire_due(self._now())

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
        return tuple(self._queue)

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
            self._finish_reason = reason
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

    def set_demand(self, mode: str) -> None:
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
        self._tell(control.Members(change, stages))

    def between_callbacks(self, label: str, act: Callable[[], None]) -> None:
        """Do something once the callback in hand is over, before any other is called."""
        self._callbacks.next(label, act)

    def info_after(self, seconds: float, message: Any) -> None:
        """Have `handle_info` called in so many seconds."""
        self._timers.add(self._now() + seconds, lambda: self._callbacks.info(message))

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
        self._timers.add(self._now() + seconds, callback)

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

    def log(self, level: str, event: str, values: dict[str, Any]) -> None:
        """Ship a log line to the host; when it does not keep up, count the line as dropped."""
        if self._port.congested:
            self._counters[Counter.LOG_DROPPED] += 1
            return
        safe = {str(key): plain(value) for key, value in values.items()}
        self._tell(control.LogRecord(level, event, safe))

    def snapshot_stored(self, number: int) -> None:
        """A snapshot is kept: what it covers is finished.

        Raises:
            ProtocolError: this stage takes none.
        """
        if self._keeping is None:
            raise ProtocolError("unknown_message", f"{self.child.stage} takes no snapshots")
        self._keeping.stored(number)

    def info(self, message: Any) -> None:
        """Have `handle_info` called behind the events that wait here, in and out (async_info)."""
        if self.consuming is None or not self.consuming.info(message):
            self._info_in_turn(message)

    # --- the halves' owners -----------------------------------------------------------------------

    def _make_producing(self) -> ProducingHalf:
        hook = self.demand_hook
        demand = self._demand if self.kind == "producer" else None
        owner = producing.Owner(
            demand=demand if hook is None else hook.demand,
            owed=self._polling.wanted if hook is None else hook.refill,
            discarded=self._discarding.full,
            unheard=self._discarding.unheard,
            unassigned=self._discarding.unassigned,
            too_late=self._discarding.too_late,
            info=self._callbacks.info,
            progressed=self._progressed,
        )
        relations = subscribers.Owner(
            subscribe=self._consumer_subscribes,
            cancelled=self._callbacks.cancelled,
            lost=self._lost,
            progressed=self._progressed,
        )
        kind: type[ProducingHalf] = ExactProducingHalf if self._exact else ProducingHalf
        if hook is not None:
            kind = DecidingExactHalf if self._exact else DecidingHalf
        return kind(self._spec, self._port, self._counters, owner, relations)

    def _make_consuming(self) -> ConsumingHalf:
        relations = Relations(
            subscribe=self._subscribes_to_producer,
            ending=self._ending,
            exhausted=self.begin_finish,
            stop=self.stop,
            wanted=lambda: self.producing is None or self.producing.subscribers.present,
            lost=self._upstream_lost,
        )
        time = Time(
            now=self._now,
            after=lambda seconds, act: self._timers.add(self._now() + seconds, act),
            soon=Acknowledging(self._timers, self._now, self._acknowledge).wanted,
        )
        owner = consuming.Owner(
            take=self._take_held
            if self._spec.behaviour.finishes_later
            else lambda taken: self._callbacks.events(taken, self._handled),
            in_hand=self._callbacks.in_hand,
            notified=lambda message, incoming: self._callbacks.notified(message, incoming.handle),
            info=self._info_in_turn,
            time=time,
            relations=relations,
        )
        queues = self.kind == "producer_consumer"
        return ConsumingHalf(self._port, owner, self._counters, queues=queues)

    def _make_holding(self) -> Holding | None:
        if self.consuming is None:
            return None
        if self.demand_hook is not None:
            rule = "False for a class with a handle_demand: each has windows of its own"
            raise OptionError("finishes_later", rule, True)
        if self._keeping is not None:
            # A snapshot covers batches in order and whole; these are finished in any order.
            rule = "one that keeps no snapshots: a stage that finishes batches later has none"
            raise OptionError("delivery", rule, self._spec.options.delivery)
        self.consuming.new_window = self._held_window
        return Holding(self.consuming, self.producing, self._callbacks.returned)

    def _held_window(self, options: SubscriptionOptions) -> Window:
        at_once = self.behaviour.at_once if self.behaviour is not None else 1
        return held_window_for(options, at_once)

    def _take_held(self, taken: Taken) -> None:
        assert self._holding is not None
        self._callbacks.held_events(taken, self._holding)

    def _make_joint(self) -> Joint | None:
        if self.producing is None or self.consuming is None:
            return None
        callbacks = self._callbacks
        return Joint(
            self.consuming, self.producing, callbacks.returned, callbacks.queue, self._counters
        )

    def _make_keeping(self) -> Keeping | None:
        """The snapshots of a stage that keeps a state, or whose every event counts once."""
        keeps_state = takes_snapshots(self._spec.behaviour)
        if not keeps_state and not self._exact:
            return None
        if self.consuming is not None:
            restored = self._spec.restored
            covered = restored.covered if restored is not None else {}
            self.consuming.reach = Reach(self.consuming, covered, exact=self._exact)
        keeping = Keeping(
            self._snapshot if keeps_state else None,
            self.consuming.reach if self.consuming is not None else None,
            self.producing.outputs() if self.producing is not None else Outputs(),
            exact=self._exact,
            send=self._tell,
            now=self._now,
            timers=self._timers,
        )
        if isinstance(self.producing, ExactProducingHalf):
            self.producing.held.held_back = keeping.changed
        return keeping

    def _snapshot(self) -> Any:
        return self._callbacks.live.snapshot()

    def _keep(self, keeping: Keeping, work: Work) -> None:
        """After a callback: there may be something new to keep, and now may be the time."""
        if work.label != SNAPSHOT:
            keeping.changed()
        if self._queue:
            next_ = keeping.next()
            if next_ is not None:
                self._queue.appendleft(next_)

    def _handler(self) -> Callable[[Taken, Any, float], None]:
        """What takes the result of `handle_events`."""
        hook, half = self.demand_hook, self.producing
        if self._joint is None or self.consuming is None:
            return self._consumed
        if hook is None or not isinstance(half, DecidingHalf):
            return self._joint.handled
        hook.join(half, self.consuming, self._joint)
        return hook.handled

    def _consumer_subscribes(self, outgoing: Outgoing) -> None:
        self._discarding.somebody_came()
        subscribers = self.producer_half().subscribers
        self._callbacks.subscribed(outgoing.handle, lambda _: subscribers.established(outgoing))

    def _subscribes_to_producer(self, incoming: Incoming) -> None:
        half, hook = self.consumer_half(), self.demand_hook

        def agreed(manual: bool) -> None:
            half.upstream.opened(incoming, manual=manual)
            if hook is not None:
                hook.refill()

        self._callbacks.subscribed(incoming.handle, agreed)

    def _upstream_lost(self, count: int, incoming: Incoming) -> None:
        """A producer is gone while what it sent waits for demand; or that is given up (B20)."""
        peer = str(incoming.handle.peer)
        if not count:
            said = "upstream lost: what it sent waits for demand, and this stage ends after that"
            self.log("warning", said, {"producer": peer})
            return
        self._counters[Counter.LOST] += count
        said = "upstream lost: dropped what it sent, since nobody takes this stage's output"
        self.log("error", said, {"producer": peer, "events": count})

    def _ending(self, ending: Ending) -> None:
        self._callbacks.ending(ending, self.consumer_half().upstream.over)

    def _lost(self, count: int, consumer: Subscription) -> None:
        detail = {"lost": count, "consumer": str(consumer.peer)}
        self.log("warning", "a consumer has left with events that nobody else gets", detail)

    def _info_in_turn(self, message: Any) -> None:
        if self.producing is not None:
            self.producing.info(message)
        else:
            self._callbacks.info(message)

    def _consumed(self, taken: Taken, result: Any, seconds: float) -> None:
        """A consumer's batch is finished when it is handled."""
        if result is not None:
            self._callbacks.returned(result, "handle_events")
        self.consumer_half().handled(taken, seconds, 0)

    def _demand(self, count: int) -> None:
        self._callbacks.demand(count, self._polling.wanted)

    def _unmet(self) -> int:
        return self.producer_half().unmet()

    def _acknowledge(self) -> None:
        self.consumer_half().asking.acknowledge()

    def _progressed(self) -> None:
        """Outputs were finished: their inputs may be finished now."""
        if self._keeping is not None:
            self._keeping.progressed()
        if self.producing is not None and self.consuming is not None:
            self.consuming.outputs_finished(self.producing.lowest_unfinished)

    # --- the beginning and the end ----------------------------------------------------------------

    def _started(self) -> None:
        self._ready = True
        if not self.stopping:
            self._tell(control.Ready(self.kind))
            if self._spec.restored is not None and self._spec.restored.finishing:
                self.begin_finish(DONE)

    def _try_finish(self) -> None:
        """End once nothing is waiting, in hand, or unacknowledged."""
        half = self.producing
        if self._inbound or (self._holding is not None and self._holding.open):
            return
        if self._leaving and self.consuming is not None and self.consuming.subscriptions:
            return  # what was under way when it was told to leave still arrives
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
        self._tell(control.Exiting(reason, failure, self.result))

    # --- within -----------------------------------------------------------------------------------

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

    def _tell(self, record: control.Control) -> None:
        self._port.send(CONTROL_LINK, encode(control.encode_control(record)))
