"""A stage's two halves, what joins them, and what each needs of the other and of the machine.

Which halves there are, and of which kinds, is decided here, once, from the class and its options:
so nothing of what a stage does not use is on the path of its batches.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from actorflow.errors import OptionError
from actorflow.protocol import control
from actorflow.protocol.demand import SubscriptionOptions, Window
from actorflow.protocol.held import held_window_for
from actorflow.protocol.wire import encode
from actorflow.stage import consuming, failing, producing, subscribers
from actorflow.stage.acknowledging import Acknowledging
from actorflow.stage.asking import Time
from actorflow.stage.behaviour import Subscription, flushes, takes_snapshots
from actorflow.stage.callbacks import Callbacks
from actorflow.stage.consuming import ConsumingHalf
from actorflow.stage.counters import Counter
from actorflow.stage.demand_hook import DecidingExactHalf, DecidingHalf, DemandHook, decides
from actorflow.stage.discarding import Discarding
from actorflow.stage.exact import ExactProducingHalf
from actorflow.stage.failing import Failing
from actorflow.stage.flushing import Flushing
from actorflow.stage.held import Holding
from actorflow.stage.incoming import Ending, Incoming, Taken
from actorflow.stage.joint import AheadJoint, Joint
from actorflow.stage.keeping import Keeping, Outputs
from actorflow.stage.on_error import OnError
from actorflow.stage.options import EXACTLY_ONCE
from actorflow.stage.outgoing import Outgoing
from actorflow.stage.polling import Polling
from actorflow.stage.producing import ProducingHalf
from actorflow.stage.reach import Reach
from actorflow.stage.routing import Redirect
from actorflow.stage.spec import StageSpec
from actorflow.stage.upstream import Relations
from actorflow.stage.work import CONTROL_LINK, Port

if TYPE_CHECKING:
    from actorflow.stage.machine import StageMachine

__all__ = ["Halves"]


class Halves:
    """Makes and connects the parts of a machine that events pass through.

    Args:
        machine: whose they are; its clock and timers are there already.
        spec: what it runs.
        port: where frames go.
        counters: the scoreboard slot.
    """

    def __init__(self, machine: StageMachine, spec: StageSpec, port: Port, counters: Any) -> None:
        self._machine = machine
        self._spec = spec
        self._port = port
        self._counters = counters
        self._exact = spec.options.delivery == EXACTLY_ONCE
        self._keeps = self._exact or takes_snapshots(spec.behaviour)
        self.callbacks = Callbacks(machine.child)
        self.demand_hook = DemandHook(self.callbacks, counters) if decides(spec.behaviour) else None
        options = spec.options
        self._discarding = Discarding(self.callbacks, machine.log, options.buffer_size)
        polls = options.poll_interval is not None
        self._demand = self.callbacks.demander(
            self._answered_and_polled if polls else self._answered
        )
        self._polling = Polling(
            options.poll_interval, machine.timers, machine.now, self._unmet, self._demand
        )
        self.producing = self._make_producing() if machine.kind != "consumer" else None
        self.consuming = self._make_consuming() if machine.kind != "producer" else None
        self.joint = self._make_joint()
        self.keeping = self._make_keeping()
        self.handled = self._handler()
        self.failing = self._make_failing() if self.consuming is not None else None
        call = self.callbacks.flush if flushes(spec.behaviour) else None
        self.flushing = Flushing(self.consuming, self.producing, call)
        self.holding = self._make_holding() if spec.behaviour.finishes_later else None
        if self.producing is not None:
            self.callbacks.emit = self.producing.emit

    # --- what there is ----------------------------------------------------------------------------

    def _make_producing(self) -> ProducingHalf:
        hook = self.demand_hook
        demand = self._demand if self._machine.kind == "producer" else None
        owner = producing.Owner(
            demand=demand if hook is None else hook.demand,
            owed=self._polling.wanted if hook is None else hook.refill,
            discarded=self._discarding.full,
            unheard=self._discarding.unheard,
            unassigned=self._discarding.unassigned,
            stranded=self._discarding.stranded,
            too_late=self._discarding.too_late,
            info=self.callbacks.info,
            progressed=self._progressed,
        )
        relations = subscribers.Owner(
            subscribe=self._consumer_subscribes,
            cancelled=self.callbacks.cancelled,
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
            exhausted=self._machine.begin_finish,
            stop=self._machine.stop,
            wanted=lambda: self.producing is None or self.producing.subscribers.present,
            closed=lambda: self.producing is not None and self.producing.subscribers.closed,
            progressed=self._machine.near_end,
            wants_last=self.producing is not None or self._keeps or flushes(self._spec.behaviour),
            lost=self._upstream_lost,
        )
        time = Time(
            now=self._machine.now,
            after=lambda seconds, act: self._machine.timers.add(self._machine.now() + seconds, act),
            soon=Acknowledging(self._machine.timers, self._machine.now, self._acknowledge).wanted,
        )
        owner = consuming.Owner(
            take=self._taker(),
            in_hand=self.callbacks.in_hand,
            notified=lambda message, incoming: self.callbacks.notified(message, incoming.handle),
            info=self.info_in_turn,
            time=time,
            relations=relations,
        )
        queues = self._machine.kind == "producer_consumer"
        return ConsumingHalf(self._port, owner, self._counters, queues=queues)

    def _make_failing(self) -> Failing:
        machine, options = self._machine, self._spec.options
        owner = failing.Owner(
            who=str(machine.child.stage),
            handled=self.handled,
            after=machine.call_after,
            send=machine.tell,
            log=machine.log,
            rest=machine.rest,
        )
        rule = OnError.of(options.on_error)
        return Failing(rule, options.max_deliveries, self.callbacks, self._counters, owner)

    def _taker(self) -> Callable[[Taken], None]:
        """What has a batch handled.

        A stage that takes snapshots ends with every failure, whatever its rule: what the batch has
        changed by then is undone by going on from the last one.
        """
        if self._spec.behaviour.finishes_later:
            return self._take_held
        if self._keeps or OnError.of(self._spec.options.on_error).restarts:
            return self._take
        return self._take_guarded

    def _take(self, taken: Taken) -> None:
        if taken.attempt is None:
            self.callbacks.events(taken, self.handled)
        else:
            assert self.failing is not None
            self.failing.take_again(taken, lambda t: self.callbacks.events(t, self.handled))

    def _take_guarded(self, taken: Taken) -> None:
        assert self.failing is not None
        if taken.attempt is None:
            self.failing.take(taken)
        else:
            self.failing.take_again(taken, self.failing.take)

    def _make_holding(self) -> Holding | None:
        if self.consuming is None:
            return None
        if self.demand_hook is not None:
            rule = "False for a class with a handle_demand: each has windows of its own"
            raise OptionError("finishes_later", rule, True)
        if self.keeping is not None:
            # A snapshot covers batches in order and whole; these are finished in any order.
            rule = "one that keeps no snapshots: a stage that finishes batches later has none"
            raise OptionError("delivery", rule, self._spec.options.delivery)
        self.consuming.new_window = self._held_window
        return Holding(self.consuming, self.producing, self.callbacks.returned)

    def _held_window(self, options: SubscriptionOptions) -> Window:
        at_once = self.callbacks.behaviour.at_once if self.callbacks.behaviour is not None else 1
        return held_window_for(options, at_once)

    def _take_held(self, taken: Taken) -> None:
        assert self.holding is not None
        self.callbacks.held_events(taken, self.holding)

    def _make_joint(self) -> Joint | None:
        if self.producing is None or self.consuming is None:
            return None
        callbacks = self.callbacks
        kind = AheadJoint if self._spec.behaviour.works_ahead else Joint
        return kind(
            self.consuming, self.producing, callbacks.returned, callbacks.queue, self._counters
        )

    def _make_keeping(self) -> Keeping | None:
        """The snapshots of a stage that keeps a state, or whose every event counts once."""
        if not self._keeps:
            return None
        restored = self._spec.restored
        if self.consuming is not None:
            covered = restored.covered if restored is not None else {}
            self.consuming.reach = Reach(self.consuming, covered, exact=self._exact)
        keeping = Keeping(
            self._snapshot if takes_snapshots(self._spec.behaviour) else None,
            self.consuming.reach if self.consuming is not None else None,
            self.producing.outputs() if self.producing is not None else Outputs(),
            exact=self._exact,
            send=self._machine.tell,
            now=self._machine.now,
            timers=self._machine.timers,
        )
        keeping.finishing = restored is not None and restored.finishing
        if isinstance(self.producing, ExactProducingHalf):
            self.producing.held.held_back = keeping.changed
        return keeping

    def _snapshot(self) -> Any:
        return self.callbacks.live.snapshot()

    def _handler(self) -> Callable[[Taken, Any, float], None]:
        """What takes the result of `handle_events`."""
        hook, half = self.demand_hook, self.producing
        if self.joint is None or self.consuming is None:
            return self._consumed
        if hook is None or not isinstance(half, DecidingHalf):
            return self.joint.handled
        hook.join(half, self.consuming, self.joint)
        return hook.handled

    def _consumer_subscribes(self, outgoing: Outgoing) -> None:
        self._discarding.somebody_came()
        subscribers = self._produces().subscribers
        self.callbacks.subscribed(
            outgoing.handle,
            lambda _: subscribers.established(outgoing),
            lambda to: self._redirected(outgoing, to),
        )

    def _redirected(self, outgoing: Outgoing, to: Redirect) -> None:
        """It stays half open: the supervisor makes the others, and then this one ends."""
        record = control.Redirected(outgoing.ref, list(to.stages))
        self._port.send(CONTROL_LINK, encode(control.encode_control(record)))

    def _subscribes_to_producer(self, incoming: Incoming) -> None:
        half, hook = self._consumes(), self.demand_hook

        def agreed(manual: bool) -> None:
            half.upstream.opened(incoming, manual=manual)
            if hook is not None:
                hook.refill()

        self.callbacks.subscribed(incoming.handle, agreed)

    def _upstream_lost(self, count: int, incoming: Incoming) -> None:
        """A producer is gone while what it sent waits for demand; or that is given up (B20)."""
        peer = str(incoming.handle.peer)
        if not count:
            said = "upstream lost: what it sent waits for demand, and this stage ends after that"
            self._machine.log("warning", said, {"producer": peer})
            return
        self._counters[Counter.LOST] += count
        said = "upstream lost: dropped what it sent, since nobody takes this stage's output"
        self._machine.log("error", said, {"producer": peer, "events": count})

    def _ending(self, ending: Ending) -> None:
        self.callbacks.ending(ending, self._consumes().upstream.over)

    def _lost(self, count: int, consumer: Subscription) -> None:
        detail = {"lost": count, "consumer": str(consumer.peer)}
        text = "a consumer has left with events that nobody else gets"
        self._machine.log("warning", text, detail)

    def info_in_turn(self, message: Any) -> None:
        """Have `handle_info` called, behind what is buffered."""
        if self.producing is not None:
            self.producing.info(message)
        else:
            self.callbacks.info(message)

    def _consumed(self, taken: Taken, result: Any, seconds: float) -> None:
        """A consumer's batch is finished when it is handled."""
        if result is not None:
            self.callbacks.returned(result, "handle_events")
        self._consumes().handled(taken, seconds, 0)

    def _answered(self, result: Any, seconds: float) -> None:
        """A producer has answered demand."""
        self.callbacks.returned(result, "handle_demand")

    def _answered_and_polled(self, result: Any, seconds: float) -> None:
        """A producer has answered demand; what it has not met is asked for again."""
        self.callbacks.returned(result, "handle_demand")
        self._polling.wanted()

    def _unmet(self) -> int:
        return self._produces().unmet()

    def _acknowledge(self) -> None:
        self._consumes().asking.acknowledge()

    def _progressed(self) -> None:
        """Outputs were finished: their inputs may be finished now."""
        if self.keeping is not None:
            self.keeping.progressed()
        if self.consuming is not None and self.producing is not None:
            self.consuming.outputs_finished(self.producing.lowest_unfinished)

    def _produces(self) -> ProducingHalf:
        assert self.producing is not None
        return self.producing

    def _consumes(self) -> ConsumingHalf:
        assert self.consuming is not None
        return self.consuming
