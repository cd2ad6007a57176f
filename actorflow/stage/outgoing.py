"""A producer's subscriptions as it sees them, and what is sent on them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import field
from enum import Enum, auto
from itertools import pairwise
from math import inf
from typing import TYPE_CHECKING, Any

from actorflow.dispatch.base import Delivery
from actorflow.protocol.codec import Encoded, Encoder
from actorflow.protocol.delivery import Attempt, Unfinished, UnfinishedBatch
from actorflow.protocol.edges import EdgeStore
from actorflow.protocol.messages import Notify, RouteAgain, RouteEos, RouteLast
from actorflow.protocol.reasons import plain
from actorflow.protocol.wire import encode, encode_route_head
from actorflow.records import dataclass
from actorflow.stage.behaviour import Subscription
from actorflow.stage.counters import Counter
from actorflow.stage.link_counters import Meter, ProducerMeter, ProducerTally
from actorflow.stage.work import Port

if TYPE_CHECKING:
    from actorflow.protocol.blobs import BlobSpace

__all__ = ["Notification", "Outgoing", "OutgoingState", "OutgoingSubscriptions", "Replaces"]

# Looking a member of an enumeration up takes longer than counting.
_UNACKNOWLEDGED = int(Counter.UNACKNOWLEDGED)


class OutgoingState(Enum):
    """Where a subscription stands, seen by its producer."""

    ESTABLISHING = auto()
    ACTIVE = auto()
    ENDED = auto()
    """An end was sent; the consumer may still acknowledge what it has in hand."""
    BROKEN = auto()
    """The link is at its end; whether the consumer comes back is not known yet."""
    AWAITED = auto()
    """The consumer's successor is expected."""


@dataclass(frozen=True, slots=True)
class Replaces:
    """Which subscription of the same consumer a new one replaces once it is admitted.

    Args:
        ref: the old one.
        reason: why it ends.
    """

    ref: int
    reason: Any


@dataclass(slots=True)
class Outgoing:
    """One consumer's subscription."""

    handle: Subscription
    link: int
    store: Unfinished
    prefix: bytes
    meter: Meter
    """Counts what is asked and sent on its link."""
    state: OutgoingState = OutgoingState.ESTABLISHING
    early_asks: int = 0
    limit: float = inf
    """How many events may be unfinished; more are sent when there are fewer."""
    withheld: int = 0
    """What it has asked for while as many were."""
    late: bool = False
    """Whether it takes nobody's place, so that a dispatcher may replay to it what it has missed."""
    inherits: int | None = None
    wants_last: bool = False
    """Whether the consumer is told when this stage will emit nothing more."""
    last: int | None = None
    """The batch behind which it was told so."""
    durable: bool = False
    """Whether the consumer takes snapshots: it has finished what they reflect, and no more."""
    replaces: Replaces | None = None
    placed: bool = False
    """Whether the dispatcher has admitted it, so that there is a place for a successor to take."""

    ref: int = field(init=False)
    """The subscription's name."""

    def __post_init__(self) -> None:
        self.ref = self.handle.ref


@dataclass(frozen=True, slots=True)
class Notification:
    """What `notify` was given, encoded once however many consumers get it."""

    encoded: Encoded


class OutgoingSubscriptions:
    """The subscriptions of one producer.

    Args:
        port: where frames go.
        encoder: makes bodies of events.
        counters: the stage's scoreboard slot.
        space: where the encoder leaves large buffers, or None.
        keep: whether what was sent is kept until it is acknowledged.
    """

    def __init__(
        self,
        port: Port,
        encoder: Encoder,
        counters: Any,
        space: BlobSpace | None = None,
        *,
        keep: bool,
    ) -> None:
        self.by_ref: dict[int, Outgoing] = {}
        self.meters: dict[int, ProducerMeter] = {}
        """Of the links that have been announced, and have a place."""
        self.tally = ProducerTally(counters)
        """Counts all others."""
        self.keep = keep
        self.send_batch: Callable[[int, bytes, bytes], None] = port.send
        """Where batches go; other frames go through the port."""
        self._port = port
        self._encoder = encoder
        self._counters = counters
        self._space = space

    def send(self, deliveries: Sequence[Delivery]) -> None:
        """Send each its events; nothing at all when any of them cannot be encoded.

        Raises:
            EventNotEncodable: an event cannot leave the process.
        """
        first = deliveries[0]
        encoded = self._encoder.encode(first.ref, first.events)
        if len(deliveries) == 1 and not encoded.places:
            self._route(first, encoded)
            return
        bodies = [encoded]
        try:
            for previous, delivery in pairwise(deliveries):
                # A broadcast shares one list between consumers: it is encoded once.
                if delivery.events is not previous.events or not self._reads(delivery.ref, encoded):
                    encoded = self._encoder.encode(delivery.ref, delivery.events)
                bodies.append(encoded)
            for delivery, body in zip(deliveries, bodies, strict=True):
                self._lend(delivery.ref, body)
                self._route(delivery, body)
        finally:
            self._settle(bodies)

    def send_again(self, delivery: Delivery) -> None:
        """Send a subscription events that it owes its consumer from before (`exactly_once`).

        Raises:
            EventNotEncodable: an event cannot leave the process.
        """
        outgoing = self.by_ref[delivery.ref]
        store = outgoing.store
        assert isinstance(store, EdgeStore)
        encoded = self._encoder.encode(delivery.ref, delivery.events)
        batch = UnfinishedBatch(0, delivery.events, delivery.position, delivery.attempt)
        seq = store.sent_again(batch)
        self._lend(delivery.ref, encoded)
        self._write(outgoing, seq, encoded, delivery.attempt)
        self._settle([encoded])
        outgoing.meter.sent(len(delivery.events), seq)

    def tell(self, ref: int, token: Any) -> None:
        """Send a consumer a `Notification`."""
        encoded = token.encoded
        message = Notify(ref, encoded.codec, encoded.body)
        self._port.send(self.by_ref[ref].link, encode(message))

    def send_eos(self, link: int, ref: int, reason: Any) -> None:
        """Tell that no more events come on a ref, known or not."""
        self._port.send(link, encode(RouteEos(ref, plain(reason))))

    def send_last(self) -> None:
        """Tell those who want to know it that nothing more is emitted, unless they know."""
        for outgoing in self.by_ref.values():
            seq = outgoing.store.seq
            told = outgoing.last == seq or not outgoing.wants_last
            if outgoing.state is OutgoingState.ACTIVE and not told:
                outgoing.last = seq
                self._port.send(outgoing.link, encode(RouteLast(outgoing.ref)))

    def awaited(self, new: Subscription, store: Unfinished, replaces: int | None) -> int | None:
        """Whose place a new subscription of a stage takes: one that no other is about to take.

        Of several the one with the same options, as each of them is made again as it was. Under
        ``exactly_once`` only the one on the same edge: what was sent on another is not its own.
        """
        claimed = {outgoing.inherits for outgoing in self.by_ref.values()}
        free = [
            outgoing
            for outgoing in self.by_ref.values()
            if outgoing.state is OutgoingState.AWAITED
            and outgoing.ref not in claimed
            and _on_one_edge(outgoing.store, store)
            and (
                outgoing.ref == replaces
                or (replaces is None and outgoing.handle.peer.stage == new.peer.stage)
            )
        ]
        same = [outgoing for outgoing in free if outgoing.handle.options == new.options]
        return next((outgoing.ref for outgoing in (*same, *free)), None)

    def on_link(self, link: int) -> list[Outgoing]:
        """Those that travel on a link."""
        return [outgoing for outgoing in self.by_ref.values() if outgoing.link == link]

    def forget(self, ref: int) -> None:
        """Drop what is remembered of a subscription that is over."""
        self.by_ref.pop(ref, None)
        self._encoder.forget(ref)

    def _reads(self, ref: int, encoded: Encoded) -> bool:
        """Whether the consumer of a subscription can reach the blobs of a body."""
        return not encoded.places or (self._space is not None and self._space.reaches(ref))

    def _lend(self, ref: int, encoded: Encoded) -> None:
        """The consumer of a subscription, whose link has the same number, has these blobs."""
        if encoded.places and self._space is not None:
            self._space.lend(ref, encoded.places)

    def _settle(self, bodies: Sequence[Encoded]) -> None:
        """Those who are to have the blobs of these bodies have them."""
        if self._space is None:
            return
        # One body may be there several times, as several consumers get it.
        for encoded in {id(each): each for each in bodies}.values():
            self._space.settle(encoded.places)

    def _route(self, delivery: Delivery, encoded: Encoded) -> None:
        outgoing = self.by_ref[delivery.ref]
        count = len(delivery.events)
        seq = outgoing.store.sent(delivery.events, delivery.position)
        if delivery.attempt is None:
            body = encoded.body
            head = encode_route_head(outgoing.prefix, seq, encoded.codec, len(body))
            self.send_batch(outgoing.link, head, body)
        else:
            outgoing.store.attempted(delivery.attempt)
            self._write(outgoing, seq, encoded, delivery.attempt)
        outgoing.meter.sent(count, seq)
        if self.keep:
            self._counters[_UNACKNOWLEDGED] += count

    def _write(
        self, outgoing: Outgoing, seq: int, encoded: Encoded, attempt: Attempt | None
    ) -> None:
        """Send a batch that may be another attempt at its event."""
        codec, body = encoded.codec, encoded.body
        if attempt is None:
            self.send_batch(
                outgoing.link, encode_route_head(outgoing.prefix, seq, codec, len(body)), body
            )
            return
        message = RouteAgain(
            outgoing.ref,
            seq,
            codec,
            body,
            attempt.number,
            attempt.alone,
            attempt.failure,
            attempt.buried,
        )
        self.send_batch(outgoing.link, encode(message), b"")


def _on_one_edge(before: Unfinished, store: Unfinished) -> bool:
    """Whether the one may be the other's continuation, as far as edges are kept apart at all."""
    if isinstance(before, EdgeStore) and isinstance(store, EdgeStore):
        return before.edge == store.edge
    return True
