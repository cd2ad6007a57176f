"""The producing half of a stage: subscriptions, demand and credit, the buffer, redelivery.

Pure: it is told what arrived and answers through a port. The accounting is one comparison: what the
dispatcher could take now (`capacity`) against what the behaviour has already been asked for and not
emitted (`requested`). GenStage's "pending debt" is their difference, so that a buffered event can
never be hidden by a debt (its B1 and B2), and an event that vanishes on the way to consumers is
asked for again (its B4).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from actorflow.dispatch.base import Told
from actorflow.dispatch.build import build_dispatcher
from actorflow.errors import EventNotEncodable, OptionError, Refused
from actorflow.protocol.codec import Encoder, encode_value
from actorflow.protocol.control import Established, encode_control
from actorflow.protocol.delivery import Unfinished, UnfinishedBatch
from actorflow.protocol.demand import SubscriptionOptions
from actorflow.protocol.identity import Incarnation
from actorflow.protocol.messages import (
    VERSION,
    Ask,
    Subscribe,
    Unsubscribe,
    encode,
    route_prefix,
)
from actorflow.protocol.reasons import DONE
from actorflow.stage.behaviour import Subscription
from actorflow.stage.buffer import Buffer
from actorflow.stage.counters import Counter
from actorflow.stage.options import StageOptions
from actorflow.stage.outgoing import (
    Notification,
    Outgoing,
    OutgoingState,
    OutgoingSubscriptions,
)
from actorflow.stage.work import CONTROL_LINK, Port

# Looking a member of an enumeration up takes longer than counting.
_ASKS_IN, _DEMAND_IN = int(Counter.ASKS_IN), int(Counter.DEMAND_IN)
_UNACKNOWLEDGED, _ACKNOWLEDGED = int(Counter.UNACKNOWLEDGED), int(Counter.ACKNOWLEDGED)
_BUFFERED = int(Counter.BUFFERED)

__all__ = ["Owner", "ProducingHalf", "describe"]


@dataclass(frozen=True, slots=True)
class Owner:
    """What the producing half needs from the machine around it.

    Args:
        subscribe: have the behaviour's `handle_subscribe` called, then `established` or a failure.
        cancelled: have the behaviour's `handle_cancel` called.
        demand: have the behaviour asked for so many events; None for a producer-consumer.
        owed: consumers want what the behaviour was asked for before and has not emitted.
        discarded: have the behaviour told of events that the buffer dropped.
        info: have the behaviour's `handle_info` called, its turn having come.
        progressed: something was acknowledged or delivered.
    """

    subscribe: Callable[[Outgoing], None]
    cancelled: Callable[[Any, Subscription], None]
    demand: Callable[[int], None] | None
    owed: Callable[[], None]
    discarded: Callable[[list[Any]], None]
    info: Callable[[Any], None]
    progressed: Callable[[], None]


@dataclass(frozen=True, slots=True)
class _Info:
    message: Any


@dataclass(slots=True)
class _Held:
    """Demand held back while accumulating, ask by ask: sums would make slow sources slower."""

    asks: list[int] = field(default_factory=list)


class ProducingHalf:
    """Everything a producer or producer-consumer does towards its consumers.

    Args:
        name: the stage's name, for errors.
        options: how it produces.
        port: where frames go.
        owner: the machine around it.
        counters: the stage's scoreboard slot.
    """

    def __init__(
        self, name: str, options: StageOptions, port: Port, owner: Owner, counters: Any
    ) -> None:
        self.dispatcher = build_dispatcher(options.dispatcher)
        self.buffer = Buffer(options.buffer_size, options.buffer_keep)
        self.outgoing = OutgoingSubscriptions(
            port,
            Encoder(name, options.codec),
            counters,
            keep=options.delivery != "at_most_once",
        )
        self.subscriptions = self.outgoing.by_ref
        self.requested = 0
        self.emitted = 0
        self.finishing = False
        self._accumulating = options.demand == "accumulate"
        self._held = _Held()
        self._port = port
        self._owner = owner
        self._counters = counters

    @property
    def keeps(self) -> bool:
        """Whether what was sent is kept until it is acknowledged."""
        return self.outgoing.keep

    # --- what consumers send ----------------------------------------------------------------------

    def expect(self, consumers: list[str]) -> None:
        """These stages are declared to subscribe."""
        for consumer in consumers:
            self.dispatcher.expect(consumer)

    def subscribe(self, link: int, peer: Incarnation, message: Subscribe) -> None:
        """Admit, refuse or replace a subscription (GenStage 2.3)."""
        ref = message.ref
        if message.replaces is not None:
            self._replace(message.replaces, message.replaces_reason)
        if ref in self.subscriptions:
            self.outgoing.send_eos(link, ref, "duplicated_subscription")
            return
        options = dict(message.options)
        version = options.pop("version", VERSION)
        if version != VERSION:
            detail = f"this stage speaks version {VERSION}, got {version!r}"
            self.outgoing.send_eos(link, ref, ["unsupported_version", detail])
            self._expect_no_more(peer)
            return
        try:
            SubscriptionOptions.from_wire(options)
        except OptionError as error:
            self.outgoing.send_eos(link, ref, ["bad_option", str(error)])
            self._expect_no_more(peer)
            return
        handle = Subscription(ref, "consumer", peer, options)
        outgoing = Outgoing(handle, link, Unfinished(keep=self.outgoing.keep), route_prefix(ref))
        outgoing.inherits = self.outgoing.awaited(handle, message.replaces)
        self.subscriptions[ref] = outgoing
        self._owner.subscribe(outgoing)

    def established(self, outgoing: Outgoing) -> None:
        """The behaviour has agreed; now the dispatcher decides, and early asks count."""
        if outgoing.state is not OutgoingState.ESTABLISHING:
            return
        try:
            self.dispatcher.subscribe(
                outgoing.ref, str(outgoing.handle.peer.stage), outgoing.handle.options
            )
        except Refused as error:
            reason = [error.reason, error.detail] if error.detail else error.reason
            self._refuse(outgoing, reason)
            return
        outgoing.state = OutgoingState.ACTIVE
        outgoing.placed = True
        if outgoing.inherits is not None:
            self.dispatcher.succeed(outgoing.inherits, outgoing.ref)
            self._forget(outgoing.inherits)
            outgoing.inherits = None
        self._port.send(CONTROL_LINK, encode(encode_control(Established(outgoing.ref))))
        if outgoing.early_asks:
            self._credit(outgoing, outgoing.early_asks)
        elif self.finishing:
            self._owner.progressed()

    def ask(self, link: int, message: Ask) -> None:
        """Credit and acknowledgement; either may be the only news."""
        outgoing = self.subscriptions.get(message.ref)
        if outgoing is None or outgoing.link != link:
            self.outgoing.send_eos(link, message.ref, "unknown_subscription")
            return
        counters = self._counters
        if message.acked:
            finished = outgoing.store.acknowledge(message.acked)
            if finished:
                counters[_UNACKNOWLEDGED] -= finished
                counters[_ACKNOWLEDGED] += finished
                self._owner.progressed()
        if message.count:
            counters[_ASKS_IN] += 1
            counters[_DEMAND_IN] += message.count
            if outgoing.state is OutgoingState.ACTIVE:
                self._credit(outgoing, message.count)
            elif outgoing.state is OutgoingState.ESTABLISHING:
                outgoing.early_asks += message.count

    def unsubscribe(self, link: int, message: Unsubscribe) -> None:
        """End a subscription; always answered (B15)."""
        outgoing = self.subscriptions.get(message.ref)
        if outgoing is None or outgoing.link != link:
            self.outgoing.send_eos(link, message.ref, "unknown_subscription")
            return
        self.end(outgoing, message.reason)

    def end(self, outgoing: Outgoing, reason: Any) -> None:
        """End a subscription from this side: tell the consumer, free the others, call back."""
        if outgoing.state not in (OutgoingState.ACTIVE, OutgoingState.ESTABLISHING):
            return
        self.outgoing.send_eos(outgoing.link, outgoing.ref, reason)
        outgoing.state = OutgoingState.ENDED
        self.dispatcher.leave(outgoing.ref)
        self._owner.cancelled(("cancel", reason), outgoing.handle)
        self._expect_no_more(outgoing.handle.peer)

    def reject(self, link: int, ref: int, reason: Any) -> None:
        """A message broke a rule: say which, and end the subscription if it is one of that link."""
        outgoing = self.subscriptions.get(ref)
        if outgoing is not None and outgoing.link == link:
            self.end(outgoing, reason)
        else:
            self.outgoing.send_eos(link, ref, reason)

    # --- what happens to links and peers ----------------------------------------------------------

    def link_closed(self, link: int) -> None:
        """A link is at its end, drained to the last byte."""
        for outgoing in self.outgoing.on_link(link):
            if outgoing.state is OutgoingState.ENDED:
                self._take_back(outgoing)
                self._forget(outgoing.ref)
            elif outgoing.state is not OutgoingState.AWAITED:
                self.dispatcher.suspend(outgoing.ref)
                outgoing.state = OutgoingState.BROKEN
        self.pump()
        self._owner.progressed()

    def peer_down(self, peer: Incarnation, reason: Any, *, restarting: bool) -> None:
        """The supervisor's verdict on a consumer: gone, or to be succeeded."""
        for outgoing in list(self.subscriptions.values()):
            who = outgoing.handle.peer
            # An awaited one was told of before; that no successor comes ends it for good.
            awaited = outgoing.state is OutgoingState.AWAITED
            if who != peer and not (awaited and who.stage == peer.stage):
                continue
            if awaited and restarting:
                continue
            if not awaited and outgoing.state is not OutgoingState.ENDED:
                self._owner.cancelled(("down", reason), outgoing.handle)
            # One that died before it had a place leaves none; its predecessor's is for the next.
            keeps = restarting and outgoing.placed and outgoing.state is not OutgoingState.ENDED
            if not keeps:
                self._give_up(outgoing)
                continue
            self.dispatcher.leave(outgoing.ref, successor=True)
            self._take_back(outgoing)
            outgoing.state = OutgoingState.AWAITED
        if restarting:
            self.pump()
        else:
            self._expect_no_more(peer)
        self._owner.progressed()

    # --- what the behaviour does ------------------------------------------------------------------

    def emit(self, events: list[Any]) -> None:
        """Dispatch events, or buffer them behind what is buffered already."""
        count = len(events)
        if not count:
            return
        position, requested = self.emitted, self.requested
        self.emitted = position + count
        self.requested = requested - count if requested > count else 0
        buffer = self.buffer
        if self._accumulating or not buffer.empty:
            self._store(events, position)
            self._drain()
        else:
            try:
                left = self._dispatch(events, position)
            except EventNotEncodable:
                # Nothing has left: whoever catches this can go on as if it had not emitted.
                self.emitted, self.requested = position, requested
                raise
            while left and self.dispatcher.capacity:
                # Selectors turned events down, which cost no demand: it goes on with the rest.
                left = self._dispatch(events[count - left :], self.emitted - left)
            if left:
                self._store(events[count - left :] if left < count else events, self.emitted - left)
        if self._owner.demand is not None:
            self.release()

    def notify(self, message: Any) -> None:
        """Tell every consumer, behind the events emitted so far."""
        self._mark(Notification(encode_value(message)))

    def info(self, message: Any) -> None:
        """Have `handle_info` called behind the events buffered so far."""
        self._mark(_Info(message))

    def set_mode(self, mode: str) -> None:
        """Hold demand and events, or let them flow again, held asks one by one."""
        if mode == "accumulate":
            self._accumulating = True
            return
        if not self._accumulating:
            return
        self._accumulating = False
        self._drain()
        asks, self._held.asks = self._held.asks, []
        for count in asks:
            self.release(count)
        self.release()

    @property
    def mode(self) -> str:
        """``"accumulate"`` or ``"forward"``."""
        return "accumulate" if self._accumulating else "forward"

    @property
    def capacity(self) -> int:
        """How many events could leave now."""
        return 0 if self._accumulating else self.dispatcher.capacity

    def pump(self) -> None:
        """Serve what waits, then ask the behaviour for what is still wanted."""
        self._serve_ready()
        self._drain()
        if self._owner.demand is not None:
            self.release()

    def release(self, at_most: int | None = None) -> None:
        """Ask the behaviour for what consumers want and it has not been asked for."""
        demand = self._owner.demand
        if demand is None or self.finishing or self._accumulating or self.buffer.count:
            return
        wanted = self.dispatcher.capacity - self.requested
        if at_most is not None:
            wanted = min(wanted, at_most)
        if wanted > 0:
            self.requested += wanted
            demand(wanted)
        elif self.requested:
            self._owner.owed()

    def unmet(self) -> int:
        """How much of what was asked of the behaviour is wanted by somebody now."""
        return min(self.requested, self.capacity)

    # --- the end ----------------------------------------------------------------------------------

    @property
    def flushed(self) -> bool:
        """Whether everything emitted has left and, where that is promised, is acknowledged."""
        return (
            self.buffer.empty
            and not self.dispatcher.queued
            and not any(
                o.store.count or o.state in (OutgoingState.BROKEN, OutgoingState.AWAITED)
                for o in self.subscriptions.values()
            )
        )

    def close(self, reason: Any = DONE) -> None:
        """Tell every consumer that nothing more comes."""
        for outgoing in self.subscriptions.values():
            if outgoing.state in (OutgoingState.ACTIVE, OutgoingState.ESTABLISHING):
                self.outgoing.send_eos(outgoing.link, outgoing.ref, reason)
                outgoing.state = OutgoingState.ENDED

    @property
    def lowest_unfinished(self) -> int:
        """The place of the oldest event that is not finished; all are before it when none is."""
        lowest = self.emitted
        buffered = self.buffer.first_position if self.buffer.count else None
        queued = self.dispatcher.first_position if self.dispatcher.queued else None
        for first in (buffered, queued):
            if first is not None and first < lowest:
                lowest = first
        for outgoing in self.subscriptions.values():
            first = outgoing.store.first_position
            if first is not None and first < lowest:
                lowest = first
        return lowest

    # --- within -----------------------------------------------------------------------------------

    def _credit(self, outgoing: Outgoing, count: int) -> None:
        self.dispatcher.ask(outgoing.ref, count)
        if self.dispatcher.holds:
            self._serve_ready()
        if self._accumulating:
            self._held.asks.append(count)
            return
        if not self.buffer.empty:
            self._drain()
        if self._owner.demand is not None:
            self.release()

    def _serve_ready(self) -> None:
        for each in self.dispatcher.ready():
            if isinstance(each, Told):
                self.outgoing.tell(each.ref, each.token)
            else:
                self.outgoing.send([each])
        for token in self.dispatcher.passed_marks():
            self._fire(token)

    def _drain(self) -> None:
        buffer = self.buffer
        moved = False
        while not buffer.empty:
            for token in buffer.due_marks():
                self._leave(token)
            chunk = buffer.take(self.capacity)
            if chunk is None:
                break
            moved = True
            try:
                left = self._dispatch(chunk.events, chunk.position)
            except EventNotEncodable:
                buffer.put_back(chunk.events, chunk.position)
                raise
            if left:
                taken = len(chunk.events) - left
                buffer.put_back(chunk.events[taken:], chunk.position + taken)
                break
        self._counters[_BUFFERED] = buffer.count
        if moved and buffer.empty:
            # What no consumer's selector took is finished now, and nobody will acknowledge it.
            self._owner.progressed()

    def _dispatch(self, events: list[Any], position: int) -> int:
        dispatched = self.dispatcher.dispatch(events, position)
        deliveries = dispatched.deliveries
        if not deliveries:
            return dispatched.leftover
        try:
            self.outgoing.send(deliveries)
        except EventNotEncodable:
            for delivery in deliveries:
                self.dispatcher.ask(delivery.ref, len(delivery.events))
            raise
        return dispatched.leftover

    def _store(self, events: list[Any], position: int) -> None:
        dropped = self.buffer.put(events, position)
        self._counters[_BUFFERED] = self.buffer.count
        if dropped:
            self._counters[Counter.DISCARDED] += len(dropped)
            self._owner.discarded(dropped)

    def _mark(self, token: Notification | _Info) -> None:
        if self.buffer.mark(token):
            self._leave(token)
        else:
            self._drain()

    def _leave(self, token: Any) -> None:
        """Nothing is before it in the buffer any more; something may be in the dispatcher."""
        if isinstance(token, _Info):
            if self.dispatcher.mark(token):
                self._fire(token)
            return
        active = OutgoingState.ACTIVE
        refs = [o.ref for o in self.subscriptions.values() if o.state is active]
        for ref in self.dispatcher.tell(token, refs):
            self.outgoing.tell(ref, token)

    def _fire(self, token: Any) -> None:
        self._owner.info(token.message)

    def _take_back(self, outgoing: Outgoing) -> None:
        """What the consumer had not finished is dispatched again, or kept for its successor."""
        batches = outgoing.store.give_back()
        count = sum(len(batch.events) for batch in batches)
        if not count:
            return
        self._counters[_UNACKNOWLEDGED] -= count
        self._counters[Counter.REDELIVERED] += count
        # The newest first: then each goes to the front of the buffer, and nothing is passed over.
        for batch in reversed(self.dispatcher.give_back(outgoing.ref, batches)):
            self._put_back(batch)

    def _put_back(self, batch: UnfinishedBatch) -> None:
        self.buffer.put_back(batch.events, batch.position)
        self._counters[_BUFFERED] = self.buffer.count

    def _replace(self, ref: int, reason: Any) -> None:
        outgoing = self.subscriptions.get(ref)
        if outgoing is not None:
            self.end(outgoing, reason)

    def _refuse(self, outgoing: Outgoing, reason: Any) -> None:
        self.outgoing.send_eos(outgoing.link, outgoing.ref, reason)
        self._forget(outgoing.ref)
        if outgoing.inherits is not None:
            self._give_up(self.subscriptions[outgoing.inherits])
        self._owner.cancelled(("cancel", reason), outgoing.handle)
        self._expect_no_more(outgoing.handle.peer)

    def _give_up(self, outgoing: Outgoing) -> None:
        """Nobody will take this place; what its consumer had not finished is for others."""
        self.dispatcher.leave(outgoing.ref)
        self._take_back(outgoing)
        self._forget(outgoing.ref)

    def _expect_no_more(self, peer: Incarnation) -> None:
        """That stage does not subscribe, or no longer; whoever waited for it need not."""
        self.dispatcher.expect_no_more(str(peer.stage))
        self.pump()

    def _forget(self, ref: int) -> None:
        self.outgoing.forget(ref)
        self.dispatcher.forget(ref)


def describe(half: ProducingHalf) -> Mapping[str, Any]:
    """The producing half as plain data, for a status page."""
    return {
        "dispatcher": type(half.dispatcher).__name__,
        "demand": half.mode,
        "buffered": half.buffer.count + half.dispatcher.queued,
        "requested": half.requested,
        "consumers": [
            {
                "ref": outgoing.ref,
                "stage": str(outgoing.handle.peer),
                "state": outgoing.state.name.lower(),
                "outstanding": half.dispatcher.outstanding(outgoing.ref),
                "unfinished": outgoing.store.count,
            }
            for outgoing in half.subscriptions.values()
        ],
    }
