"""The consuming half of a stage: subscriptions to producers, batches, asks, acknowledgements.

Pure: it is told what arrived and answers through a port. Two facts go back to a producer and are
kept apart: credit returns when a batch has been handled, the acknowledgement when it is finished,
which for a producer-consumer is when everything made from it is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from actorflow.errors import ProtocolError
from actorflow.protocol.codec import decode_events, decode_value
from actorflow.protocol.control import Link, ProducerFinished, SubscriptionEnded, encode_control
from actorflow.protocol.delivery import Lineage
from actorflow.protocol.demand import SubscriptionOptions, Window, window_for
from actorflow.protocol.held import HeldWindow
from actorflow.protocol.identity import Incarnation
from actorflow.protocol.messages import (
    VERSION,
    Notify,
    Route,
    RouteEos,
    Subscribe,
    Unsubscribe,
    ask_prefix,
    encode,
)
from actorflow.protocol.reasons import DONE, NOT_REPLACED, plain
from actorflow.stage.asking import Asking
from actorflow.stage.behaviour import Subscription
from actorflow.stage.counters import Counter
from actorflow.stage.incoming import Ending, Incoming, Taken, Told
from actorflow.stage.reach import Reach
from actorflow.stage.streams import Streams
from actorflow.stage.work import CONTROL_LINK, Port

# Looking a member of an enumeration up takes longer than counting.
_EVENTS_IN, _BATCHES_IN = int(Counter.EVENTS_IN), int(Counter.BATCHES_IN)

__all__ = ["ConsumingHalf", "Owner"]


@dataclass(slots=True)
class _Message:
    incoming: Incoming
    seq: int
    events: list[Any]


@dataclass(frozen=True, slots=True)
class _Info:
    message: Any


@dataclass(frozen=True, slots=True)
class Owner:
    """What the consuming half needs from the machine around it.

    Args:
        subscribe: have `handle_subscribe` called, then `opened`.
        take: have a batch handled, then `handled`.
        notified: have `handle_notification` called.
        ending: have `handle_cancel` called, then `over`.
        info: have `handle_info` called, in its turn.
        exhausted: every stream has come to its end, with this reason.
        stop: a cancel mode ends the stage, with this reason.
        dirty: an acknowledgement is due soon.
    """

    subscribe: Callable[[Incoming], None]
    take: Callable[[Taken], None]
    notified: Callable[[Any, Incoming], None]
    ending: Callable[[Ending], None]
    info: Callable[[Any], None]
    exhausted: Callable[[Any], None]
    stop: Callable[[Any], None]
    dirty: Callable[[], None]


class ConsumingHalf:
    """Everything a consumer or producer-consumer does towards its producers.

    Args:
        port: where frames go.
        owner: the machine around it.
        counters: the stage's scoreboard slot.
        queues: whether messages wait until `take_next` is called (a producer-consumer works when
            there is demand for its output) or are taken as they come.
    """

    def __init__(self, port: Port, owner: Owner, counters: Any, *, queues: bool) -> None:
        self.subscriptions: dict[int, Incoming] = {}
        self.lineage = Lineage()
        self.inbound: deque[_Message | Told | _Info | Ending] = deque()
        self.reach: Reach | None = None
        """How far snapshots reach, for a stage that takes any."""
        self.asking = Asking(port, counters, self.subscriptions, owner.dirty)
        self._streams = Streams(owner.exhausted, owner.stop)
        self._queues = queues
        self.new_window: Callable[[SubscriptionOptions], Window] = window_for
        """Makes the window of a new subscription; a stage that finishes later has its own."""
        self._port = port
        self._owner = owner
        self._counters = counters

    # --- subscribing ------------------------------------------------------------------------------

    def expect(self, producers: list[str]) -> None:
        """These stages' streams belong to this stage's input."""
        self._streams.expected = set(producers)

    def expect_no_more(self, producers: list[str]) -> None:
        """These stages' streams do not belong to this stage's input after all."""
        for producer in producers:
            self._streams.gone(producer, self.subscriptions.values())

    def open(self, link: Link) -> None:
        """A link to a producer is there: subscribe."""
        if self.reach is not None and not self.reach.may_open(link):
            return
        options = SubscriptionOptions.from_wire(link.options)
        peer = Incarnation.parse(link.peer)
        handle = Subscription(link.ref, "producer", peer, link.options)
        window = self.new_window(options)
        incoming = Incoming(handle, link.ref, options, window, ask_prefix(link.ref))
        told = self._replace(incoming, link.replaces)
        self.subscriptions[link.ref] = incoming
        self._streams.expected.add(str(peer.stage))
        said = {**link.options, "version": VERSION}
        if self.reach is not None:
            said |= self.reach.opened(link)
        message = Subscribe(link.ref, said, told, plain(link.reason))
        self._port.send(link.ref, encode(message))
        self._owner.subscribe(incoming)

    def opened(self, incoming: Incoming, *, manual: bool) -> None:
        """The behaviour has been told; an automatic subscription asks at once."""
        self.asking.open(incoming, manual=manual)

    def cancel(self, ref: int, reason: Any, *, replaced: bool = False) -> None:
        """Ask the producer to end a subscription; its answer ends it here.

        Args:
            ref: the subscription.
            reason: why.
            replaced: whether another has its place by now, or it is taken away, so that no cancel
                mode applies.
        """
        incoming = self.subscriptions.get(ref)
        if incoming is not None and not incoming.ended:
            incoming.replaced = incoming.replaced or replaced
            self._port.send(incoming.link, encode(Unsubscribe(ref, plain(reason))))

    def producer_finished(self, record: ProducerFinished) -> None:
        """The producer has finished before a subscription could be made."""
        incoming = _never_begun(record.ref, record.peer, record.options)
        self._end(Ending(incoming, "cancel", record.reason))

    # --- what producers send ----------------------------------------------------------------------

    def route(self, link: int, message: Route) -> None:
        """Take a batch of events."""
        incoming = self.subscriptions.get(message.ref)
        if incoming is None or incoming.link != link or incoming.ended:
            self._port.send(link, encode(Unsubscribe(message.ref, "unknown_subscription")))
            return
        if message.seq != incoming.received + 1:
            expected = incoming.received + 1
            raise ProtocolError("bad_sequence", f"{message.seq}, expected {expected}", message.ref)
        events = decode_events(message.codec, message.body)
        incoming.received = message.seq
        incoming.open_batches += 1
        counters = self._counters
        counters[_EVENTS_IN] += len(events)
        counters[_BATCHES_IN] += 1
        item = _Message(incoming, message.seq, events)
        if self._queues:
            self.inbound.append(item)
        else:
            self._take(item)

    def notify(self, link: int, message: Notify) -> None:
        """Take an in-band notification, in order with the events around it."""
        incoming = self.subscriptions.get(message.ref)
        if incoming is None or incoming.link != link or incoming.ended:
            self._port.send(link, encode(Unsubscribe(message.ref, "unknown_subscription")))
            return
        told = Told(incoming, decode_value(message.codec, message.body))
        if incoming.follows is not None:
            incoming.early.append(told)
        else:
            self._tell(told)

    def eos(self, link: int, message: RouteEos) -> None:
        """Take the end of a subscription; for an unknown one there is nothing to do."""
        incoming = self.subscriptions.get(message.ref)
        if incoming is None or incoming.link != link or incoming.ended:
            return
        reason, old = message.reason, incoming.follows
        if old is not None and isinstance(reason, list) and reason[:1] == [NOT_REPLACED]:
            # Refused: the one that it was to replace goes on as if nothing had been tried.
            old.exchanged, incoming.follows, reason = False, None, reason[-1]
        self._end(Ending(incoming, "cancel", reason))

    def travels(self, ref: int, link: int) -> bool:
        """Whether there is such a subscription, and it is one of that link."""
        incoming = self.subscriptions.get(ref)
        return incoming is not None and incoming.link == link

    def reject(self, ref: int, reason: Any) -> None:
        """What a producer sent broke a rule: end that subscription on both sides."""
        incoming = self.subscriptions.get(ref)
        if incoming is not None and not incoming.ended:
            self.cancel(incoming.ref, reason)
            incoming.follows = None
            self._end(Ending(incoming, "cancel", reason))

    # --- what happens to links and peers ----------------------------------------------------------

    def link_closed(self, link: int) -> None:
        """A link is at its end, drained to the last byte; without an eos a verdict will follow."""
        for incoming in list(self.subscriptions.values()):
            if incoming.link == link:
                incoming.broken = True
                self._forget_when_over(incoming)

    def links_to(self, peer: Incarnation) -> list[int]:
        """The links to a producer."""
        return [each.link for each in self.subscriptions.values() if each.handle.peer == peer]

    def peer_down(self, peer: Incarnation, reason: Any, *, restarting: bool) -> None:
        """The supervisor's verdict on a producer: gone, or to be succeeded."""
        if self.reach is not None:
            for waiting in self.reach.producer_gone(str(peer)):
                self._port.close(waiting.ref)
                incoming = _never_begun(waiting.ref, waiting.peer, waiting.options)
                self._end(Ending(incoming, "down", reason, restarting))
        for incoming in [i for i in self.subscriptions.values() if i.handle.peer == peer]:
            incoming.broken = True
            if incoming.ended:
                self._forget_when_over(incoming)
                continue
            self._end(Ending(incoming, "down", reason, restarting))

    # --- what the machine reports -----------------------------------------------------------------

    def info(self, message: Any) -> bool:
        """Queue a message behind what waits here; returns False when nothing does."""
        if not self.inbound:
            return False
        self.inbound.append(_Info(message))
        return True

    @property
    def next_is_free(self) -> bool:
        """Whether the oldest waiting message costs no demand: it is anything but events."""
        return not isinstance(self.inbound[0], _Message)

    def take_next(self) -> None:
        """Take the oldest waiting message in hand."""
        item = self.inbound.popleft()
        if isinstance(item, _Message):
            self._take(item)
        elif isinstance(item, Told):
            self._owner.notified(item.message, item.incoming)
        elif isinstance(item, Ending):
            self._owner.ending(item)
        else:
            self._owner.info(item.message)

    def handled(self, taken: Taken, seconds: float, emitted: int) -> None:
        """A batch has been handled: refill, and note what is finished.

        Args:
            taken: the batch.
            seconds: how long it took.
            emitted: how many events the stage has emitted so far in all.
        """
        incoming = taken.incoming
        count = taken.ask
        window = incoming.window
        if window.adapts:
            count += window.measured(len(taken.events), seconds)
        if self.reach is not None:
            self.reach.handled(taken)
        elif taken.seq:
            if taken.origin is None:
                incoming.finished = taken.seq
                incoming.open_batches -= 1
            else:
                self.lineage.handled(taken.origin, emitted)
        # As `Asking.want`, which would be a call for every batch.
        if incoming.holds:
            self.asking.owe(incoming, count)
        elif count:
            self.asking.ask(incoming, count)
        elif incoming.finished > incoming.acknowledged:
            self.asking.mark_dirty(incoming)
        if incoming.ended:
            self._forget_when_over(incoming)

    def finished_later(
        self, taken: Taken, count: int, seconds: float, *, emitted: int | None
    ) -> None:
        """Events of a batch whose callback returned before are finished: refill, acknowledge.

        Args:
            taken: the batch.
            count: how many of its events.
            seconds: how long they took, added up.
            emitted: when these were its last events, how many the stage has emitted in all.
        """
        incoming = taken.incoming
        window = incoming.window
        ask = window.finished(count, seconds) if isinstance(window, HeldWindow) else 0
        if emitted is not None and taken.origin is not None:
            self.lineage.handled(taken.origin, emitted)
        elif emitted is not None:
            incoming.finished = incoming.in_order.finish(taken.seq)
            incoming.open_batches -= 1
        self.asking.want(incoming, ask)
        if incoming.ended:
            self._forget_when_over(incoming)

    def outputs_finished(self, lowest_unfinished: int) -> None:
        """Everything emitted before this place is finished; so are the inputs it was made from."""
        for origin in self.lineage.finished(lowest_unfinished):
            incoming = self.subscriptions.get(origin.ref)
            if incoming is None:
                continue
            incoming.finished = max(incoming.finished, origin.seq)
            incoming.open_batches -= 1
            self.asking.mark_dirty(incoming)
            self._forget_when_over(incoming)

    def finish(self, ref: int, seq: int) -> None:
        """A snapshot reflects every batch of a subscription up to this one."""
        incoming = self.subscriptions.get(ref)
        if incoming is None or seq <= incoming.finished:
            return
        incoming.open_batches -= seq - incoming.finished
        incoming.finished = seq
        self.asking.mark_dirty(incoming)
        self._forget_when_over(incoming)

    def over(self, ending: Ending) -> None:
        """`handle_cancel` is over: the cancel mode decides (GenStage 1.4), then the link closes."""
        incoming = ending.incoming
        incoming.over = True
        incoming.reason = plain(ending.reason)
        if self.reach is None:
            self._tell_end(incoming)
        others = self.subscriptions.values()
        if incoming.replaced:
            self._streams.gone(str(incoming.handle.peer.stage), others)
        elif not ending.restarting:
            if incoming.exchanged or self._never_replaced(incoming, ending.reason):
                self._streams.gone(str(incoming.handle.peer.stage), others)
            else:
                self._streams.over(incoming, ending.reason, others)
        self._forget_when_over(incoming)

    @property
    def idle(self) -> bool:
        """Whether no message is waiting, in hand, or unfinished."""
        return not self.inbound and not any(i.open_batches for i in self.subscriptions.values())

    # --- within -----------------------------------------------------------------------------------

    def _take(self, item: _Message) -> None:
        incoming, events = item.incoming, item.events
        by_lineage = self._queues and self.reach is None
        origin = self.lineage.begin(incoming.ref, item.seq) if by_lineage else None
        if incoming.ended:
            # Nobody to ask any more: the whole message is one batch.
            self._owner.take(Taken(incoming, events, 0, item.seq, origin))
            return
        window = incoming.window
        ask = window.take(len(events))
        if ask is not None:
            self._owner.take(Taken(incoming, events, ask, item.seq, origin))
            return
        batches = window.split(len(events))
        last = len(batches) - 1
        start = 0
        for number, batch in enumerate(batches):
            if batch.excess:
                self._counters[Counter.EXCESS] += batch.excess
            end = start + batch.size
            part = events if not last else events[start:end]
            seq = item.seq if number == last else 0
            self._owner.take(Taken(incoming, part, batch.ask, seq, origin if seq else None))
            start = end

    def _replace(self, incoming: Incoming, ref: int | None) -> int | None:
        """Note whose place a subscription takes; returns what its producer is told of that.

        On the same producer the change is one message there. On another one the old subscription
        goes on until the new one is known to be established, and is then cancelled.
        """
        old = self.subscriptions.get(ref) if ref is not None else None
        if old is None or old.ended:
            return ref
        incoming.replaces = old
        if old.handle.peer != incoming.handle.peer:
            return None
        old.exchanged = True
        incoming.follows = old
        incoming.settle()
        return ref

    def _never_replaced(self, incoming: Incoming, reason: Any) -> bool:
        """Whether it ends before it took the place it was meant for: then the old one goes on."""
        old = incoming.replaces
        waits = old is not None and not old.ended and not old.replaced and not old.exchanged
        return waits and reason != DONE

    def _end(self, ending: Ending) -> None:
        """A subscription is over, as soon as what came before that is handled."""
        incoming = ending.incoming
        incoming.end()
        if incoming.follows is not None:
            incoming.early.append(ending)
            return
        if self.inbound:
            self.inbound.append(ending)
        else:
            self._owner.ending(ending)
        for next_one in [i for i in self.subscriptions.values() if i.follows is incoming]:
            self._succeed(next_one)

    def _succeed(self, incoming: Incoming) -> None:
        """The subscription that this one replaces has ended: its turn has come."""
        incoming.follows = None
        incoming.settle()
        early, incoming.early = incoming.early, []
        for each in early:
            if isinstance(each, Told):
                self._tell(each)
            else:
                self._end(each)
        self.asking.release(incoming)

    def _tell(self, told: Told) -> None:
        if self.inbound:
            self.inbound.append(told)
        else:
            self._owner.notified(told.message, told.incoming)

    def _forget_when_over(self, incoming: Incoming) -> None:
        """Close the link once its end was handled and everything taken from it is finished."""
        if not incoming.over or incoming.open_batches or incoming.ref not in self.subscriptions:
            return
        if incoming.finished > incoming.acknowledged and not incoming.broken:
            self.asking.ask(incoming, 0)
        del self.subscriptions[incoming.ref]
        if self.reach is not None:
            self._tell_end(incoming)
        self._port.close(incoming.link)

    def _tell_end(self, incoming: Incoming) -> None:
        """Tell the supervisor that a subscription is over.

        With snapshots only when they reflect all of it: until then the supervisor has to be able to
        say how far they reach.
        """
        record = SubscriptionEnded(incoming.ref, incoming.reason)
        self._port.send(CONTROL_LINK, encode(encode_control(record)))


def _never_begun(ref: int, peer: str, options: Mapping[str, Any]) -> Incoming:
    """A subscription whose end is all there is of it."""
    handle = Subscription(ref, "producer", Incarnation.parse(peer), options)
    return Incoming(handle, -1, SubscriptionOptions.from_wire(options), Window(1, 0), b"")
