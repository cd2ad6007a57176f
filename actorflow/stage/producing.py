"""The producing half of a stage: demand and credit, the buffer, and what leaves.

Pure: it is told what arrived and answers through a port. The accounting is one comparison: what the
dispatcher could take now (`capacity`) against what the behaviour has already been asked for and not
emitted (`requested`). GenStage's "pending debt" is their difference, so that a buffered event can
never be hidden by a debt (its B1 and B2), and an event that vanishes on the way to consumers is
asked for again (its B4).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field, replace
from math import inf
from typing import Any

from actorflow.compiled import mypyc_attr
from actorflow.dispatch.base import Dispatched, Told
from actorflow.dispatch.build import build_dispatcher
from actorflow.dispatch.guard import guarded
from actorflow.errors import CannotServe, EventNotEncodable, PartitionError
from actorflow.protocol.codec import Encoder, encode_value
from actorflow.protocol.delivery import Attempt, Unfinished, UnfinishedBatch, Unkept
from actorflow.protocol.demand import SubscriptionOptions
from actorflow.protocol.identity import Incarnation
from actorflow.protocol.messages import Ask
from actorflow.protocol.pace import MAX_AUTO
from actorflow.records import dataclass
from actorflow.stage import subscribers
from actorflow.stage.behaviour import Subscription
from actorflow.stage.buffer import Buffer
from actorflow.stage.claim import Claim
from actorflow.stage.counters import Counter
from actorflow.stage.keeping import Outputs
from actorflow.stage.outgoing import (
    Notification,
    Outgoing,
    OutgoingState,
    OutgoingSubscriptions,
)
from actorflow.stage.spec import StageSpec
from actorflow.stage.work import Port

# Looking a member of an enumeration up takes longer than counting.
_UNACKNOWLEDGED, _ACKNOWLEDGED = int(Counter.UNACKNOWLEDGED), int(Counter.ACKNOWLEDGED)
_HELD = int(Counter.HELD)
_QUEUED = int(Counter.QUEUED)
_BUFFERED, _DISCARDED = int(Counter.BUFFERED), int(Counter.DISCARDED)

__all__ = ["Owner", "ProducingHalf"]


@dataclass(frozen=True, slots=True)
class Owner:
    """What the producing half needs from the machine around it, besides `subscribers.Owner`.

    Args:
        demand: have the behaviour asked for so many events; None for a producer-consumer.
        owed: consumers want what the behaviour was asked for before and has not emitted.
        discarded: have the behaviour told of events that the buffer dropped.
        unheard: have it told of events that were dropped because there was no consumer.
        unassigned: have it told of events that were dropped because nobody has their partition.
        stranded: say that events wait for somebody whom nobody expects.
        too_late: say that so many events were emitted after the end.
        info: have the behaviour's `handle_info` called, its turn having come.
        progressed: something was acknowledged or delivered.
    """

    demand: Callable[[int], None] | None
    owed: Callable[[], None]
    discarded: Callable[[list[Any]], None]
    unheard: Callable[[list[Any]], None]
    unassigned: Callable[[list[Any]], None]
    stranded: Callable[[], None]
    too_late: Callable[[int], None]
    info: Callable[[Any], None]
    progressed: Callable[[], None]


@dataclass(frozen=True, slots=True)
class _Info:
    message: Any


@dataclass(slots=True)
class _Held:
    """Demand held back while accumulating, ask by ask: sums would make slow sources slower."""

    asks: list[int] = field(default_factory=list)


@mypyc_attr(allow_interpreted_subclasses=True)
class ProducingHalf:
    """Everything a producer or producer-consumer does towards its consumers.

    Args:
        spec: the stage's name and how it produces.
        port: where frames go.
        counters: the stage's scoreboard slot.
        owner: the machine around it.
        relations: the machine around its subscribers.
    """

    def __init__(
        self,
        spec: StageSpec,
        port: Port,
        counters: Any,
        owner: Owner,
        relations: subscribers.Owner,
    ) -> None:
        options = spec.options
        self.dispatcher = guarded(build_dispatcher(options.dispatcher))
        self.buffer = Buffer(options.buffer_size, options.buffer_keep)
        space = port.blob_space(options.shared_bytes)
        self.outgoing = OutgoingSubscriptions(
            port,
            Encoder(spec.id.name, options.codec, space),
            counters,
            space,
            keep=options.delivery != "at_most_once",
        )
        self.subscriptions = self.outgoing.by_ref
        self.requested = 0
        self.emitted = 0
        self.finishing = False
        self._discards = options.when_no_consumers == "discard"
        self._max_unfinished = options.max_unfinished
        self._accumulating = options.demand == "accumulate"
        self._held = _Held()
        self._owner = owner
        self._counters = counters
        self.subscribers = subscribers.Subscribers(self, port, relations, counters)
        plain = not (self.dispatcher.holds or self.dispatcher.discards)
        self._deal = self.dispatcher.dispatch if plain else self._deal_and_look

    def limit_for(self, wanted: SubscriptionOptions) -> float:
        """How many events of one subscription may be unfinished: a window full, at least."""
        if self._max_unfinished is None:
            return inf
        window = MAX_AUTO if wanted.max_demand == "auto" else wanted.max_demand
        return max(self._max_unfinished, window)

    # --- what `exactly_once` does otherwise -------------------------------------------------------

    def new_store(self, claim: Claim) -> Unfinished:
        """What is unfinished of a new subscription: nothing.

        Raises:
            ProtocolError: what the consumer says of its last snapshot cannot be.
        """
        return Unfinished() if self.outgoing.keep else Unkept()

    def keep_for_successor(self, outgoing: Outgoing) -> None:
        """A consumer will have a successor: what it had not finished may go to others as well."""
        self.subscribers.take_back(outgoing)

    def return_edge(self, outgoing: Outgoing) -> None:
        """A consumer has died before it had a place: its successor gets what was kept for it."""

    def given_back(self, outgoing: Outgoing) -> None:
        """What a consumer had not finished is being given to others."""

    def expect_edges(self, edges: list[str]) -> None:
        """Subscriptions will be made on these edges."""

    def edge_settled(self, edge: str, events: int) -> None:
        """So many events of an edge count, whoever gets the rest."""

    def consumer_gone(self, peer: Incarnation) -> None:
        """A consumer will not subscribe after all."""

    def outputs(self) -> Outputs:
        """What a snapshot has to know of the output."""
        return Outputs(
            emitted=lambda: self.emitted, lowest_unfinished=lambda: self.lowest_unfinished
        )

    @property
    def keeps(self) -> bool:
        """Whether what was sent is kept until it is acknowledged."""
        return self.outgoing.keep

    # --- what consumers ask ----------------------------------------------------------------------

    def ask(self, link: int, message: Ask) -> None:
        """Credit and acknowledgement; either may be the only news."""
        outgoing = self.subscriptions.get(message.ref)
        if outgoing is None or outgoing.link != link:
            self.outgoing.send_eos(link, message.ref, "unknown_subscription")
            return
        if message.acked:
            finished = outgoing.store.acknowledge(message.acked)
            if finished:
                counters = self._counters
                counters[_UNACKNOWLEDGED] -= finished
                counters[_ACKNOWLEDGED] += finished
                self._owner.progressed()
                if outgoing.withheld and outgoing.store.count < outgoing.limit:
                    withheld, outgoing.withheld = outgoing.withheld, 0
                    self.credit(outgoing, withheld)
        if message.count:
            outgoing.meter.asked(message.count)
            if outgoing.store.count >= outgoing.limit:
                # What it wants waits until it has finished some of what it has.
                outgoing.withheld += message.count
            elif outgoing.state is OutgoingState.ACTIVE:
                self.credit(outgoing, message.count)
            elif outgoing.state is OutgoingState.ESTABLISHING:
                outgoing.early_asks += message.count

    def credit(self, outgoing: Outgoing, count: int) -> None:
        """Count an ask: serve it from what waits, then have the behaviour asked for the rest."""
        self.dispatcher.ask(outgoing.ref, count)
        if self.dispatcher.holds:
            self._serve_ready()
        if self._accumulating:
            self._held.asks.append(count)
            self._counters[_HELD] += count
            return
        if self.buffer.entries:
            self._drain()
        if self._owner.demand is not None:
            self.release()

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
        if self._accumulating or buffer.entries:
            self._store(events, position)
            self._drain()
        else:
            try:
                left = self._dispatch(events, position)
            except (EventNotEncodable, PartitionError):
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

    def put_back(self, batch: UnfinishedBatch) -> None:
        """Buffer again what a consumer had not finished, in its place; it is never dropped."""
        self.buffer.put_back(batch.events, batch.position, batch.attempt)
        self._counters[_BUFFERED] = self.buffer.count

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
        self._counters[_HELD] = 0
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

    def outstanding(self) -> dict[Subscription, int]:
        """What each consumer has asked for and not got."""
        found = {}
        for each in self.subscriptions.values():
            if each.state is OutgoingState.ACTIVE:
                found[each.handle] = self.dispatcher.outstanding(each.ref) + each.withheld
            elif each.state is OutgoingState.ESTABLISHING:
                found[each.handle] = each.early_asks
        return found

    def take_discarded(self) -> int:
        """Account for what the dispatcher has dropped; returns how many events that is."""
        dropped = self.dispatcher.take_discarded()
        if dropped:
            self._counters[_DISCARDED] += len(dropped)
            self._owner.unassigned(dropped)
            self._owner.progressed()
        return len(dropped)

    def drop_late(self) -> None:
        """What `on_stop` emitted after every consumer was told the end can go to nobody."""
        count = self.buffer.count if self.subscribers.closed else 0
        if count:
            self._counters[_DISCARDED] += count
            self._counters[_BUFFERED] = 0
            self._owner.too_late(count)

    def show_waiting(self) -> None:
        """Show how much waits in the dispatcher, in all and for each consumer."""
        if self.dispatcher.waiting_changed():
            self._counters[_QUEUED] = self.dispatcher.queued
            for outgoing in self.subscriptions.values():
                outgoing.meter.waiting(self.dispatcher.waiting_for(outgoing.ref))
        if self.dispatcher.stranded:
            self._owner.stranded()

    def watch_finished(self, observe: Callable[[], None]) -> None:
        """Have `observe` called too when events are finished, or a consumer has left."""
        told = self._owner.progressed

        def progressed() -> None:
            told()
            observe()

        self._owner = replace(self._owner, progressed=progressed)
        self.subscribers.watch_progress(progressed)

    @property
    def finished(self) -> int:
        """How many of the events emitted are finished, at least; 0 under `at_most_once`.

        Exact where each event goes to one consumer. Where each goes to several, those are counted
        before which none is unfinished.
        """
        if not self.keeps:
            return 0
        unacknowledged: int = self._counters[_UNACKNOWLEDGED]
        unfinished = self.buffer.count + self.dispatcher.queued + unacknowledged
        return max(self.lowest_unfinished, self.emitted - unfinished)

    def unmet(self) -> int:
        """How much of what was asked of the behaviour is wanted by somebody now."""
        return 0 if self.finishing else min(self.requested, self.capacity)

    # --- the end ----------------------------------------------------------------------------------

    @property
    def all_sent(self) -> bool:
        """Whether everything emitted has left."""
        return self.buffer.empty and not self.dispatcher.queued

    @property
    def flushed(self) -> bool:
        """Whether everything emitted has left and, where that is promised, is acknowledged."""
        return self.all_sent and not any(
            o.store.count or o.state in (OutgoingState.BROKEN, OutgoingState.AWAITED)
            for o in self.subscriptions.values()
        )

    @property
    def lowest_unfinished(self) -> int:
        """The place of the oldest event that is not finished; all are before it when none is."""
        lowest = self.emitted
        if self.buffer.count:
            first = self.buffer.first_position
            if first is not None and first < lowest:
                lowest = first
        dispatcher = self.dispatcher
        if dispatcher.holds and dispatcher.queued:
            first = dispatcher.first_position
            if first is not None and first < lowest:
                lowest = first
        for outgoing in self.subscriptions.values():
            first = outgoing.store.first_position
            if first is not None and first < lowest:
                lowest = first
        return lowest

    # --- within -----------------------------------------------------------------------------------

    def _serve_ready(self) -> None:
        sent = False
        for each in self.dispatcher.ready():
            if isinstance(each, Told):
                self.outgoing.tell(each.ref, each.token)
            else:
                self.outgoing.send([each])
                sent = True
        for token in self.dispatcher.passed_marks():
            self._fire(token)
        if self.dispatcher.holds:
            self.show_waiting()
        if sent and not self.keeps:
            # What has left is finished, and nobody will acknowledge it.
            self._owner.progressed()

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
                left = self._dispatch(chunk.events, chunk.position, chunk.attempt)
            except (EventNotEncodable, PartitionError):
                buffer.put_back(chunk.events, chunk.position, chunk.attempt)
                raise
            if left:
                taken = len(chunk.events) - left
                buffer.put_back(chunk.events[taken:], chunk.position + taken, chunk.attempt)
                break
        self._counters[_BUFFERED] = buffer.count
        if moved and buffer.empty:
            # What no consumer's selector took is finished now, and nobody will acknowledge it.
            self._owner.progressed()

    def _dispatch(self, events: list[Any], position: int, attempt: Attempt | None = None) -> int:
        try:
            dispatched = self._deal(events, position)
        except CannotServe as refused:
            self.subscribers.end_alone(refused)
            return self._dispatch(events, position, attempt)
        deliveries = dispatched.deliveries
        if attempt is not None:
            for delivery in deliveries:
                delivery.attempt = attempt
        if not deliveries:
            return dispatched.leftover
        try:
            self.outgoing.send(deliveries)
        except EventNotEncodable:
            for delivery in deliveries:
                self.dispatcher.ask(delivery.ref, len(delivery.events))
            if self.dispatcher.memory is not None:
                self.dispatcher.memory.forget(len(events) - dispatched.leftover)
            raise
        return dispatched.leftover

    def _store(self, events: list[Any], position: int) -> None:
        if self._discards and not self.subscribers.present:
            self._counters[_DISCARDED] += len(events)
            self._owner.unheard(events)
            if self.dispatcher.memory is not None:
                # Nobody was there, but whoever comes is to know the last of it.
                self.dispatcher.memory.remember(events)
            return
        dropped = self.buffer.put(events, position)
        self._counters[_BUFFERED] = self.buffer.count
        if dropped:
            self._counters[_DISCARDED] += len(dropped)
            self._owner.discarded(dropped)

    def _deal_and_look(self, events: list[Any], position: int) -> Dispatched:
        dispatched = self.dispatcher.dispatch(events, position)
        if self.dispatcher.discards:
            self.take_discarded()
        self.show_waiting()
        return dispatched

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
