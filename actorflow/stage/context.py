"""The verbs of a running stage, as `self.emit`, `self.ask` and the others reach the machine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from actorflow.errors import NotInStage, OptionError
from actorflow.protocol.arguments import check_events, check_instance, check_integer, check_seconds
from actorflow.protocol.codec import dump
from actorflow.protocol.messages import MAX_COUNT
from actorflow.protocol.rate import RateLimit
from actorflow.protocol.reasons import plain
from actorflow.stage.asking import STAGE, Asking
from actorflow.stage.behaviour import StageContext, Subscription
from actorflow.stage.outgoing import OutgoingState
from actorflow.stage.routing import member_names

if TYPE_CHECKING:
    from actorflow.stage.children import ChildKind, ChildRuntime, Observer
    from actorflow.stage.companions import CompanionObserver, CompanionRuntime
    from actorflow.stage.consuming import ConsumingHalf
    from actorflow.stage.held import HeldBatch
    from actorflow.stage.machine import StageMachine
    from actorflow.stage.producing import ProducingHalf

__all__ = ["RunningStage"]


class RunningStage(StageContext):
    """What one behaviour can do while its machine runs.

    Args:
        machine: the machine.
        replicas: how many stages of this name there are.
    """

    def __init__(self, machine: StageMachine, replicas: int) -> None:
        self._machine = machine
        self.name = machine.child.stage.name
        self.index = machine.child.stage.index
        self.replicas = replicas

    @property
    def consumers(self) -> int:
        """How many consumers it has, those that are being restarted included."""
        subscriptions = self._producing("count its consumers").subscriptions.values()
        return sum(each.state is not OutgoingState.ENDED for each in subscriptions)

    @property
    def lowest_unfinished(self) -> int:
        """The place, in the order of emission, of the oldest event that is not finished."""
        return self._producing("emit").lowest_unfinished

    @property
    def producers(self) -> int:
        """How many producers it has, or is declared to have."""
        return self._consuming("count its producers").upstream.count

    @property
    def capacity(self) -> int:
        """How many events could leave now."""
        return self._producing("emit").capacity

    @property
    def finished(self) -> int:
        """How many of the events emitted are finished, at least; 0 under `at_most_once`."""
        return self._producing("emit").finished

    @property
    def keeps(self) -> bool:
        """Whether events are kept until they are finished: not under `at_most_once`."""
        return self._producing("emit").keeps

    def watch_finished(self, observe: Callable[[], None]) -> None:
        """Have a callback called when events are finished, or a consumer has left."""
        self._producing("emit").watch_finished(observe)

    def emit(self, events: Iterable[Any]) -> None:
        """Emit events now."""
        self._producing("emit").emit(list(check_events("events", events)))

    def notify(self, message: Any) -> None:
        """Tell every consumer, in order with the events."""
        self._producing("notify").notify(message)

    def ask(self, subscription: Subscription, count: int) -> None:
        """Ask on a manual subscription; nothing when it has ended."""
        check_instance("subscription", subscription, Subscription)
        check_integer("count", count)
        if count > MAX_COUNT:
            raise OptionError("count", f"at most {MAX_COUNT}", count)
        half = self._consuming("ask")
        incoming = half.subscriptions.get(subscription.ref)
        # A subscription may end while the behaviour has its last batch in hand: no mistake of its.
        if count and incoming is not None:
            half.asking.by_hand(incoming, count)

    def pause(self, subscription: Subscription) -> None:
        """Ask for nothing more until it is resumed."""
        self._asking("pause", subscription).pause(subscription.ref, STAGE)

    def resume(self, subscription: Subscription) -> None:
        """Ask again."""
        self._asking("resume", subscription).resume(subscription.ref, STAGE)

    def set_mode(self, subscription: Subscription, mode: str) -> None:
        """Ask automatically, or as the stage says."""
        if mode not in ("automatic", "manual"):
            raise OptionError("mode", "automatic or manual", mode)
        asking, ref = self._asking("set the mode", subscription), subscription.ref
        incoming = asking.find(ref)
        if incoming is not None and not incoming.automatic.switchable:
            rule = "left as it is in a class with finishes_later or a handle_demand of its own"
            raise OptionError("mode", rule, mode)
        act = asking.set_manual if mode == "manual" else asking.set_automatic
        self._machine.between_callbacks("set_mode", lambda: act(ref))

    def set_rate(
        self, subscription: Subscription, rate: float | None, burst: int | None = None
    ) -> None:
        """Limit how many events come in a time, or no more."""
        limit = RateLimit.of(rate, burst)
        asking, ref = self._asking("set the rate", subscription), subscription.ref
        self._machine.between_callbacks("set_rate", lambda: asking.set_rate(ref, limit, by=STAGE))

    def cancel(self, subscription: Subscription, reason: Any) -> None:
        """End a subscription, whichever side this stage is."""
        check_instance("subscription", subscription, Subscription)
        if subscription.side == "producer":
            self._consuming("cancel").upstream.cancel(subscription.ref, reason)
            return
        half = self._producing("cancel")
        outgoing = half.subscriptions.get(subscription.ref)
        if outgoing is not None:
            half.subscribers.end(outgoing, plain(reason))

    def send_after(self, seconds: float, message: Any) -> None:
        """Have `handle_info(message)` called later."""
        check_seconds("seconds", seconds)
        self._machine.info_after(seconds, message)

    def later(self) -> HeldBatch:
        """The handle on the batch in hand."""
        return self._machine.later()

    def after(self, seconds: float, callback: Callable[[], None]) -> None:
        """Have `callback` called later."""
        self._machine.call_after(seconds, callback)

    def children(self, kind: ChildKind, observe: Observer) -> ChildRuntime:
        """Where this stage's own children live."""
        return self._machine.children(kind, observe)

    def companions(self, place: str, observer: CompanionObserver) -> CompanionRuntime:
        """Where this stage's companions live."""
        return self._machine.companions(place, observer)

    def now(self) -> float:
        """Seconds on the driver's monotonic clock."""
        return self._machine.now()

    def forward(self, count: int | None) -> int:
        """Ask the producers for demand that is held."""
        hook = self._machine.demand_hook
        if hook is None:
            raise NotInStage(f"{self.name} has no handle_demand, so it holds no demand to forward")
        return hook.forward(count)

    def finish(self) -> None:
        """Hand over what is buffered, then end."""
        self._machine.finish()

    def stop(self, reason: Any) -> None:
        """End after the callback in hand."""
        self._machine.stop(reason)

    def stopped(self) -> None:
        """What `on_stop` left for later is done."""
        self._machine.stopped()

    def set_result(self, value: Any) -> None:
        """Keep the stage's answer for its last words; raises here what cannot be pickled."""
        self._machine.result = dump(value)

    def set_demand(self, mode: str) -> None:
        """Accumulate or forward."""
        self._machine.set_demand(mode)

    def outstanding(self) -> Mapping[Subscription, int]:
        """What each consumer has asked for and not got."""
        return self._producing("see demand").outstanding()

    def coming(self) -> int:
        """How many events are still to come without anything here being finished first."""
        return self._consuming("ask").asking.coming

    def send_behind(self, message: Any) -> None:
        """Have `handle_info` called when what was emitted so far has left."""
        self._producing("send behind events").info(message)

    def change_members(self, change: str, stages: Iterable[str]) -> None:
        """Ask the supervisor for other members."""
        self._producing("have members")
        self._machine.change_members(change, member_names("stages", stages))

    def awaits(self, stage: str, besides: Subscription) -> bool:
        """Whether more is to come from a producer of that name."""
        streams = self._consuming("await producers").upstream.awaited
        others = streams - {str(besides.peer.stage)}
        return any(each.rpartition("/")[0] == stage for each in others)

    def log_record(self, level: str, event: str, values: dict[str, Any]) -> None:
        """Ship a log line to the host."""
        self._machine.log(level, event, values)

    def _asking(self, verb: str, subscription: Subscription) -> Asking:
        """What decides about the asks of a subscription to a producer."""
        if getattr(subscription, "side", None) != "producer":
            rule = "a subscription to a producer, as callbacks get it"
            raise OptionError("subscription", rule, subscription)
        return self._consuming(verb).asking

    def _producing(self, verb: str) -> ProducingHalf:
        if self._machine.producing is None:
            raise NotInStage(f"{self.name} is a consumer, it cannot {verb}")
        return self._machine.producing

    def _consuming(self, verb: str) -> ConsumingHalf:
        if self._machine.consuming is None:
            raise NotInStage(f"{self.name} is a producer, it cannot {verb}")
        return self._machine.consuming
