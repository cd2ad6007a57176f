"""A consumer's subscriptions from first to last: made, replaced, ended, and what an end means.

Pure, as all of the consuming half. What arrives on them in between is `consuming`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from actorflow.protocol.control import Link, ProducerFinished, SubscriptionEnded, encode_control
from actorflow.protocol.demand import SubscriptionOptions, Window
from actorflow.protocol.identity import Incarnation
from actorflow.protocol.messages import VERSION, RouteEos, RouteLast, Subscribe, Unsubscribe
from actorflow.protocol.reasons import DONE, NOT_REPLACED, ends_consumer, is_normal, plain
from actorflow.protocol.wire import ask_prefix, encode
from actorflow.records import dataclass
from actorflow.stage.behaviour import Subscription
from actorflow.stage.incoming import Ending, Incoming, Told
from actorflow.stage.link_counters import ConsumerMeter
from actorflow.stage.streams import Streams
from actorflow.stage.work import CONTROL_LINK, Port

if TYPE_CHECKING:
    from actorflow.stage.consuming import ConsumingHalf

__all__ = ["LOST_AFTER", "Relations", "Upstream"]

LOST_AFTER = 5.0
"""Seconds that the bad end of a subscription waits, and waits again, behind events that nobody
wants."""


@dataclass(frozen=True, slots=True)
class Relations:
    """What the subscriptions need from the machine around them.

    Args:
        subscribe: have `handle_subscribe` called, then `opened`.
        ending: have `handle_cancel` called, then `over`.
        exhausted: every stream has come to its end, with this reason.
        stop: a cancel mode ends the stage, with this reason.
        wanted: whether anybody takes the stage's output, or is expected to.
        closed: whether everybody who took it has been told that nothing more comes.
        progressed: a stream is nearer to its end; see `at_last`.
        wants_last: whether the stage is to be told when its producers emit nothing more.
        lost: events are dropped unhandled, so many, as their producer is gone and nobody wants
            what would be made of them; 0 while they still wait.
    """

    subscribe: Callable[[Incoming], None]
    ending: Callable[[Ending], None]
    exhausted: Callable[[Any], None]
    stop: Callable[[Any], None]
    wanted: Callable[[], bool]
    closed: Callable[[], bool]
    progressed: Callable[[], None]
    wants_last: bool
    lost: Callable[[int, Incoming], None]


class Upstream:
    """The life of every subscription of one consuming half.

    Args:
        half: whose they are.
        port: where frames go.
        relations: the machine around it.
    """

    def __init__(self, half: ConsumingHalf, port: Port, relations: Relations) -> None:
        self._half = half
        self._subscriptions = half.subscriptions
        self._asking = half.asking
        self._port = port
        self._relations = relations
        self._streams = Streams(relations.exhausted, relations.stop)

    @property
    def count(self) -> int:
        """How many subscriptions there are, and stages that are declared to get one."""
        subscriptions = self._subscriptions.values()
        live = sum(not each.ended for each in subscriptions)
        linked = {str(each.handle.peer.stage) for each in subscriptions}
        return live + len(self._streams.expected - linked)

    # --- subscribing ------------------------------------------------------------------------------

    def expect(self, producers: list[str]) -> None:
        """These stages' streams belong to this stage's input."""
        self._streams.expected = set(producers)

    def expect_no_more(self, producers: list[str]) -> None:
        """These stages' streams do not belong to this stage's input after all."""
        for producer in producers:
            self._streams.gone(producer, self._subscriptions.values())
        self._relations.progressed()

    @property
    def awaited(self) -> frozenset[str]:
        """The stages whose streams belong to this stage's input and have not ended."""
        return frozenset(self._streams.expected)

    def open(self, link: Link) -> None:
        """A link to a producer is there: subscribe."""
        if self._relations.closed():
            # Its producer is the successor of one that had finished; nobody would take what was
            # made of its events.
            self._port.close(link.ref)
            self._say_over(SubscriptionEnded(link.ref, DONE))
            return
        if self._half.reach is not None and not self._half.reach.may_open(link):
            return
        options = SubscriptionOptions.from_wire(link.options)
        peer = Incarnation.parse(link.peer)
        handle = Subscription(link.ref, "producer", peer, link.options)
        window = self._half.new_window(options)
        slot = self._port.link_counters(link.place, link.role)
        meter = self._half.tally if slot is None else ConsumerMeter(slot, self._asking.now)
        incoming = Incoming(handle, link.ref, options, window, ask_prefix(link.ref), meter)
        incoming.blobs = self._port.blobs(link.ref)
        self._asking.begin(incoming, paused=link.paused)
        told = self._replace(incoming, link.replaces)
        self._subscriptions[link.ref] = incoming
        self._streams.expected.add(str(peer.stage))
        said = {**link.options, "version": VERSION}
        if self._relations.wants_last:
            said["wants_last"] = True
        if self._half.reach is not None:
            said |= self._half.reach.opened(link)
        message = Subscribe(link.ref, said, told, plain(link.reason))
        self._port.send(link.ref, encode(message))
        self._relations.subscribe(incoming)

    def opened(self, incoming: Incoming, *, manual: bool) -> None:
        """The behaviour has been told; an automatic subscription asks at once."""
        self._asking.open(incoming, manual=manual)

    def cancel(self, ref: int, reason: Any, *, replaced: bool = False) -> None:
        """Ask the producer to end a subscription; its answer ends it here.

        Args:
            ref: the subscription.
            reason: why.
            replaced: whether another has its place by now, or it is taken away, so that no cancel
                mode applies.
        """
        incoming = self._subscriptions.get(ref)
        if incoming is None and self._half.reach is not None:
            self._half.reach.once_opened(ref, lambda: self.cancel(ref, reason, replaced=replaced))
        if incoming is not None and not incoming.ended:
            incoming.replaced = incoming.replaced or replaced
            incoming.unsubscribed = True
            self._port.send(incoming.link, encode(Unsubscribe(ref, plain(reason))))

    def producer_finished(self, record: ProducerFinished) -> None:
        """The producer has finished before a subscription could be made."""
        incoming = self._never_begun(record.ref, record.peer, record.options)
        self._end(Ending(incoming, "cancel", record.reason))

    # --- ends -------------------------------------------------------------------------------------

    def last(self, link: int, message: RouteLast) -> None:
        """The producer has sent all that it will ever emit; it waits for acknowledgements."""
        incoming = self._subscriptions.get(message.ref)
        if incoming is not None and incoming.link == link:
            incoming.last = incoming.received
            self._relations.progressed()

    @property
    def at_last(self) -> bool:
        """Whether nothing more comes: each stream has ended, or was said to be all sent.

        What a consumer beside this one gives back makes it untrue again.
        """
        live = [each for each in self._subscriptions.values() if not each.ended]
        linked = {str(each.handle.peer.stage) for each in live}
        told = all(each.last == each.received for each in live)
        return bool(live) and told and self._streams.expected <= linked

    def eos(self, link: int, message: RouteEos) -> None:
        """Take the end of a subscription; for an unknown one there is nothing to do."""
        incoming = self._subscriptions.get(message.ref)
        if incoming is None or incoming.link != link or incoming.ended:
            return
        reason, old = message.reason, incoming.follows
        if old is not None and isinstance(reason, list) and reason[:1] == [NOT_REPLACED]:
            # Refused: the one that it was to replace goes on as if nothing had been tried.
            old.exchanged, incoming.follows, reason = False, None, reason[-1]
        self._end(Ending(incoming, "cancel", reason))

    def travels(self, ref: int, link: int) -> bool:
        """Whether there is such a subscription, and it is one of that link."""
        incoming = self._subscriptions.get(ref)
        return incoming is not None and incoming.link == link

    def reject(self, ref: int, reason: Any) -> None:
        """What a producer sent broke a rule: end that subscription on both sides."""
        incoming = self._subscriptions.get(ref)
        if incoming is not None and not incoming.ended:
            self.cancel(incoming.ref, reason)
            incoming.follows = None
            self._end(Ending(incoming, "cancel", reason))

    def link_closed(self, link: int) -> None:
        """A link is at its end, drained to the last byte; without an eos a verdict will follow."""
        for incoming in list(self._subscriptions.values()):
            if incoming.link == link:
                incoming.broken = True
                self.forget_when_over(incoming)

    def links_to(self, peer: Incarnation) -> list[int]:
        """The links to a producer."""
        return [each.link for each in self._subscriptions.values() if each.handle.peer == peer]

    def peer_down(self, peer: Incarnation, reason: Any, *, restarting: bool) -> None:
        """The supervisor's verdict on a producer: gone, or to be succeeded."""
        if self._half.reach is not None:
            for waiting in self._half.reach.producer_gone(str(peer)):
                self._port.close(waiting.ref)
                incoming = self._never_begun(waiting.ref, waiting.peer, waiting.options)
                self._end(Ending(incoming, "down", reason, restarting))
        if not restarting:
            self._asking.forget_stage(str(peer.stage))
        for incoming in [i for i in self._subscriptions.values() if i.handle.peer == peer]:
            incoming.broken = True
            if incoming.ended:
                self.forget_when_over(incoming)
                continue
            self._end(Ending(incoming, "down", reason, restarting))

    def over(self, ending: Ending) -> None:
        """`handle_cancel` is over: the cancel mode decides (GenStage 1.4), then the link closes."""
        incoming = ending.incoming
        incoming.over = True
        incoming.reason = plain(ending.reason)
        if self._half.reach is None:
            self._tell_end(incoming)
        others = self._subscriptions.values()
        if incoming.replaced:
            self._streams.gone(str(incoming.handle.peer.stage), others)
        elif not ending.restarting:
            if incoming.exchanged or self._never_replaced(incoming, ending.reason):
                self._streams.gone(str(incoming.handle.peer.stage), others)
            else:
                self._streams.over(incoming, ending.reason, others)
        self.forget_when_over(incoming)
        self._relations.progressed()

    # --- within -----------------------------------------------------------------------------------

    def _replace(self, incoming: Incoming, ref: int | None) -> int | None:
        """Note whose place a subscription takes; returns what its producer is told of that.

        On the same producer the change is one message there. On another one the old subscription
        goes on until the new one is known to be established, and is then cancelled.
        """
        old = self._subscriptions.get(ref) if ref is not None else None
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
        if ending.restarting:
            self._asking.keep(incoming)
        else:
            self._asking.forget(incoming)
        if incoming.follows is not None:
            incoming.early.append(ending)
            return
        if self._half.inbound:
            self._half.inbound.append(ending)
            if not ending.restarting and self._is_fatal(ending):
                self._relations.lost(0, incoming)
                self._watch(ending)
        else:
            self._relations.ending(ending)
        for next_one in [i for i in self._subscriptions.values() if i.follows is incoming]:
            self._succeed(next_one)

    def _is_fatal(self, ending: Ending) -> bool:
        """Whether the stage ends badly because of it, as soon as its turn has come."""
        incoming, reason = ending.incoming, ending.reason
        exchanged = incoming.replaced or incoming.exchanged
        fatal = ends_consumer(incoming.options.cancel, reason) and not is_normal(reason)
        return fatal and not exchanged and not self._never_replaced(incoming, reason)

    def _watch(self, ending: Ending) -> None:
        """Its turn may never come: what is before it waits for demand. That has a limit (B20)."""
        self._half.asking.later(LOST_AFTER, lambda: self._overdue(ending))

    def _overdue(self, ending: Ending) -> None:
        """Nobody wants what the queue holds: the end is not kept waiting behind it any longer."""
        if ending not in self._half.inbound:
            return
        if self._relations.wanted():
            self._watch(ending)
            return
        self._half.inbound.remove(ending)
        self._relations.lost(self._half.drop(ending.incoming), ending.incoming)
        self._relations.ending(ending)

    def _succeed(self, incoming: Incoming) -> None:
        """The subscription that this one replaces has ended: its turn has come."""
        incoming.follows = None
        incoming.settle()
        early, incoming.early = incoming.early, []
        for each in early:
            if isinstance(each, Told):
                self._half.tell(each)
            else:
                self._end(each)
        self._asking.release(incoming)

    def forget_when_over(self, incoming: Incoming) -> None:
        """Close the link once its end was handled and everything taken from it is finished."""
        if not incoming.over or incoming.open_batches or incoming.ref not in self._subscriptions:
            return
        if incoming.finished > incoming.acknowledged and not incoming.broken:
            self._asking.ask(incoming, 0)
        del self._subscriptions[incoming.ref]
        if self._half.reach is not None:
            self._tell_end(incoming)
        self._port.close(incoming.link)

    def _tell_end(self, incoming: Incoming) -> None:
        """Tell the supervisor that a subscription is over.

        With snapshots only when they reflect all of it: until then the supervisor has to be able to
        say how far they reach.
        """
        finished = incoming.reason == DONE and not incoming.unsubscribed
        self._say_over(SubscriptionEnded(incoming.ref, incoming.reason, finished))

    def _say_over(self, record: SubscriptionEnded) -> None:
        self._port.send(CONTROL_LINK, encode(encode_control(record)))

    def _never_begun(self, ref: int, peer: str, options: Mapping[str, Any]) -> Incoming:
        """A subscription whose end is all there is of it."""
        handle = Subscription(ref, "producer", Incarnation.parse(peer), options)
        wanted = SubscriptionOptions.from_wire(options)
        return Incoming(handle, -1, wanted, Window(1, 0), b"", self._half.tally)
