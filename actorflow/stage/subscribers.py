"""A producer's subscribers: who is admitted, refused or replaced, and what becomes of their places.

Whoever leaves stops constraining the others in the same step. What it had not finished goes to its
successor or, when the supervisor's verdict is that none will come, to the others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from actorflow.errors import CannotServe, ProtocolError, Refused
from actorflow.protocol.control import Established, encode_control
from actorflow.protocol.identity import Incarnation
from actorflow.protocol.messages import Subscribe, Unsubscribe
from actorflow.protocol.reasons import DONE, NOT_REPLACED
from actorflow.protocol.wire import encode, route_prefix
from actorflow.records import dataclass
from actorflow.stage.behaviour import Subscription
from actorflow.stage.claim import Claim, read_options
from actorflow.stage.counters import Counter
from actorflow.stage.link_counters import LinkCounter
from actorflow.stage.outgoing import Outgoing, OutgoingState, Replaces
from actorflow.stage.work import CONTROL_LINK, Port

if TYPE_CHECKING:
    from actorflow.stage.producing import ProducingHalf

__all__ = ["Owner", "Subscribers"]


@dataclass(frozen=True, slots=True)
class Owner:
    """What the subscribers need from the machine around them.

    Args:
        subscribe: have the behaviour's `handle_subscribe` called, then `established` or a failure.
        cancelled: have the behaviour's `handle_cancel` called.
        lost: a consumer is gone for good with so many events that nobody else is to have.
        progressed: something is finished, or nobody is waited for any more.
    """

    subscribe: Callable[[Outgoing], None]
    cancelled: Callable[[Any, Subscription], None]
    lost: Callable[[int, Subscription], None]
    progressed: Callable[[], None]


class Subscribers:
    """The life of every subscription of one producing half.

    Args:
        half: whose they are.
        port: where frames go.
        owner: the machine around it.
        counters: the stage's scoreboard slot.
    """

    def __init__(self, half: ProducingHalf, port: Port, owner: Owner, counters: Any) -> None:
        self._half = half
        self._outgoing = half.outgoing
        self._dispatcher = half.dispatcher
        self._port = port
        self._owner = owner
        self._counters = counters
        self._expected: set[str] = set()
        self.closed = False
        """Whether every consumer has been told that nothing more comes."""

    @property
    def present(self) -> bool:
        """Whether anybody is subscribed, being restarted, or declared and still to come."""
        ended = OutgoingState.ENDED
        return bool(self._expected) or any(
            outgoing.state is not ended for outgoing in self._outgoing.by_ref.values()
        )

    def watch_progress(self, progressed: Callable[[], None]) -> None:
        """Call this instead when something is finished, or nobody is waited for any more."""
        self._owner = replace(self._owner, progressed=progressed)

    # --- what consumers and the supervisor say ----------------------------------------------------

    def expect(self, consumers: list[str]) -> None:
        """These stages are declared to subscribe."""
        for consumer in consumers:
            self._expected.add(consumer)
            self._dispatcher.expect(consumer)

    def subscribe(self, link: int, peer: Incarnation, message: Subscribe) -> None:
        """Admit, refuse or replace a subscription (GenStage 2.3).

        Raises:
            ProtocolError: an option breaks a rule.
        """
        ref = message.ref
        if ref in self._outgoing.by_ref:
            self._outgoing.send_eos(link, ref, "duplicated_subscription")
            return
        replaces = self._replaceable(peer, message)
        options = dict(message.options)
        claim = Claim.taken_from(options, peer)
        try:
            wanted = read_options(options)
            store = self._half.new_store(claim)
        except ProtocolError as error:
            if replaces is not None:
                detail = f"{error.reason}: {error.detail}"
                raise ProtocolError(NOT_REPLACED, detail, ref) from error
            self._expect_no_more(peer)
            raise ProtocolError(error.reason, error.detail, ref) from error
        handle = Subscription(ref, "consumer", peer, options)
        meter = self._outgoing.meters.get(link, self._outgoing.tally)
        outgoing = Outgoing(handle, link, store, route_prefix(ref), meter, durable=claim.durable)
        outgoing.limit = self._half.limit_for(wanted)
        outgoing.wants_last = claim.wants_last
        outgoing.replaces = replaces
        outgoing.inherits = self._outgoing.awaited(handle, store, message.replaces)
        outgoing.late = outgoing.inherits is None and message.replaces is None
        self._outgoing.by_ref[ref] = outgoing
        self._owner.subscribe(outgoing)

    def established(self, outgoing: Outgoing) -> None:
        """The behaviour has agreed; now the dispatcher decides, and early asks count."""
        if outgoing.state is not OutgoingState.ESTABLISHING:
            return
        try:
            old = self._admit(outgoing)
        except Refused as error:
            reason = [error.reason, error.detail] if error.detail else error.reason
            self._refuse(outgoing, reason)
            return
        self._half.take_discarded()
        replaces, outgoing.replaces = outgoing.replaces, None
        if old is not None and replaces is not None:
            self._replaced(old, replaces.reason)
        outgoing.state = OutgoingState.ACTIVE
        outgoing.placed = True
        self._expected.discard(str(outgoing.handle.peer.stage))
        if outgoing.inherits is not None:
            self._dispatcher.succeed(outgoing.inherits, outgoing.ref)
            self._dispatcher.leave(outgoing.inherits)
            self._forget(outgoing.inherits)
            outgoing.inherits = None
        self._half.show_waiting()
        self._port.send(CONTROL_LINK, encode(encode_control(Established(outgoing.ref))))
        if outgoing.late and self._dispatcher.memory is not None:
            self._catch_up(outgoing)
        if outgoing.state is not OutgoingState.ACTIVE:
            return
        if outgoing.early_asks:
            self._half.credit(outgoing, outgoing.early_asks)
        elif self._half.finishing:
            self._owner.progressed()
        if old is not None and self._half.buffer.count:
            # What the one before had not finished was taken back: others may want it.
            self._half.pump()

    def unsubscribe(self, link: int, message: Unsubscribe) -> None:
        """End a subscription; always answered (B15)."""
        outgoing = self._outgoing.by_ref.get(message.ref)
        if outgoing is None or outgoing.link != link:
            self._outgoing.send_eos(link, message.ref, "unknown_subscription")
            return
        self.end(outgoing, message.reason)

    def end(self, outgoing: Outgoing, reason: Any) -> None:
        """End a subscription from this side: tell the consumer, free the others, call back."""
        if outgoing.state in (OutgoingState.ACTIVE, OutgoingState.ESTABLISHING):
            if outgoing.replaces is not None:
                reason = [NOT_REPLACED, reason]
            self._end(outgoing, reason)
            inherits, outgoing.inherits = outgoing.inherits, None
            if inherits in self._outgoing.by_ref:
                # It left before it could take its predecessor's place; nobody else will.
                self._give_up(self._outgoing.by_ref[inherits])
            self._expect_no_more(outgoing.handle.peer)

    def end_alone(self, refused: CannotServe) -> None:
        """The dispatcher cannot serve one subscription: end it, in the middle of a dispatch.

        So nothing is dispatched here; whoever dispatches goes on without this subscription.
        """
        outgoing = self._outgoing.by_ref[refused.ref]
        self._end(outgoing, [refused.reason, refused.detail])
        self._dispatcher.expect_no_more(str(outgoing.handle.peer.stage))

    def reject(self, link: int, ref: int, reason: Any) -> None:
        """A message broke a rule: say which, and end the subscription if it is one of that link."""
        outgoing = self._outgoing.by_ref.get(ref)
        if outgoing is not None and outgoing.link == link:
            self.end(outgoing, reason)
        else:
            self._outgoing.send_eos(link, ref, reason)

    def close(self, reason: Any = DONE) -> None:
        """Tell every consumer that nothing more comes."""
        self.closed = True
        for outgoing in self._outgoing.by_ref.values():
            if outgoing.state in (OutgoingState.ACTIVE, OutgoingState.ESTABLISHING):
                self._outgoing.send_eos(outgoing.link, outgoing.ref, reason)
                outgoing.state = OutgoingState.ENDED
                # What `on_stop` may still emit finds no demand.
                self._dispatcher.leave(outgoing.ref)

    # --- what happens to links and peers ----------------------------------------------------------

    def link_closed(self, link: int) -> None:
        """A link is at its end, drained to the last byte."""
        for outgoing in self._outgoing.on_link(link):
            if outgoing.state is OutgoingState.ENDED:
                if outgoing.durable and outgoing.store.count:
                    # It has died with more in hand than its snapshots reflect; how far they reach
                    # comes with the verdict.
                    continue
                self.take_back(outgoing)
                self._forget(outgoing.ref)
            elif outgoing.state is not OutgoingState.AWAITED:
                self._dispatcher.suspend(outgoing.ref)
                outgoing.state = OutgoingState.BROKEN
        self._half.pump()
        self._owner.progressed()

    def peer_down(self, peer: Incarnation, reason: Any, *, restarting: bool) -> None:
        """The supervisor's verdict on a consumer: gone, or to be succeeded."""
        for outgoing in list(self._outgoing.by_ref.values()):
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
            if not keeps and restarting and outgoing.state is not OutgoingState.ENDED:
                self._half.return_edge(outgoing)
            if not keeps:
                self._give_up(outgoing)
                continue
            self._dispatcher.leave(outgoing.ref, successor=True)
            self._half.keep_for_successor(outgoing)
            outgoing.state = OutgoingState.AWAITED
        if restarting:
            self._half.pump()
        else:
            self._half.consumer_gone(peer)
            self._expect_no_more(peer)
        self._owner.progressed()

    def acknowledged(self, ref: int, seq: int) -> None:
        """The supervisor says how far the snapshots of a consumer reach that has died.

        Raises:
            ProtocolError: a batch that was never sent.
        """
        outgoing = self._outgoing.by_ref.get(ref)
        if outgoing is None:
            return
        finished = outgoing.store.acknowledge(seq)
        self._counters[Counter.UNACKNOWLEDGED] -= finished
        self._counters[Counter.ACKNOWLEDGED] += finished

    def suspect(self, ref: int, seq: int, failure: dict[str, Any]) -> None:
        """The supervisor says what a consumer that has died had in hand."""
        outgoing = self._outgoing.by_ref.get(ref)
        if outgoing is not None:
            outgoing.store.suspect(seq, failure)

    def buried(self, ref: int, seq: int) -> None:
        """The supervisor says that a consumer that has died had given an event up."""
        outgoing = self._outgoing.by_ref.get(ref)
        if outgoing is not None:
            outgoing.store.bury(seq)

    # --- within -----------------------------------------------------------------------------------

    def _catch_up(self, outgoing: Outgoing) -> None:
        """Give a late subscriber what it has missed, as far as that is remembered."""
        try:
            count = self._dispatcher.catch_up(outgoing.ref, self._half.emitted)
        except CannotServe as refused:
            self.end(outgoing, [refused.reason, refused.detail])
        else:
            self._counters[Counter.REPLAYED] += count

    def _replaceable(self, peer: Incarnation, message: Subscribe) -> Replaces | None:
        """What a new subscription replaces: one that is in place, of the same consumer.

        Raises:
            ProtocolError: it is another consumer's.
        """
        ref = message.replaces
        old = self._outgoing.by_ref.get(ref) if ref is not None else None
        if old is None:
            return None
        owner = old.handle.peer.stage
        if owner != peer.stage:
            detail = f"replaces must be a subscription of {peer.stage}, {old.ref} is {owner}'s"
            raise ProtocolError("bad_option", detail, message.ref)
        gone = (OutgoingState.ENDED, OutgoingState.AWAITED)
        if old.state in gone or old.handle.peer != peer:
            return None
        return Replaces(old.ref, message.replaces_reason)

    def _admit(self, outgoing: Outgoing) -> Outgoing | None:
        """Have the dispatcher admit a subscription; returns the one whose place it has taken.

        Raises:
            Refused: by the dispatcher; what was to be replaced goes on.
        """
        consumer, options = str(outgoing.handle.peer.stage), outgoing.handle.options
        replaces = outgoing.replaces
        old = None if replaces is None else self._outgoing.by_ref.get(replaces.ref)
        # The consumer may have died since: then the ends of its links are seen one by one.
        in_place = (OutgoingState.ACTIVE, OutgoingState.BROKEN)
        if old is None or old.state not in in_place:
            outgoing.replaces = None
            self._dispatcher.subscribe(outgoing.ref, consumer, options)
            return None
        self._dispatcher.replace(old.ref, outgoing.ref, consumer, options)
        return old

    def _replaced(self, old: Outgoing, reason: Any) -> None:
        """Another subscription has its place; what its consumer has in hand may yet come back."""
        broken = old.state is OutgoingState.BROKEN
        self._over(old, reason)
        if broken:
            self.take_back(old)
            self._forget(old.ref)

    def _over(self, outgoing: Outgoing, reason: Any) -> None:
        """Tell both sides that a subscription, which has left the dispatcher, is over."""
        self._outgoing.send_eos(outgoing.link, outgoing.ref, reason)
        outgoing.state = OutgoingState.ENDED
        self._owner.cancelled(("cancel", reason), outgoing.handle)

    def _refuse(self, outgoing: Outgoing, reason: Any) -> None:
        replaces = outgoing.replaces is not None
        said = [NOT_REPLACED, reason] if replaces else reason
        self._outgoing.send_eos(outgoing.link, outgoing.ref, said)
        self.take_back(outgoing)
        self._forget(outgoing.ref)
        if outgoing.inherits is not None:
            self._give_up(self._outgoing.by_ref[outgoing.inherits])
        self._owner.cancelled(("cancel", reason), outgoing.handle)
        if not replaces:
            self._expect_no_more(outgoing.handle.peer)

    def _give_up(self, outgoing: Outgoing) -> None:
        """Nobody will take this place; what its consumer had not finished is for others."""
        self._leave_for_good(outgoing)
        self.take_back(outgoing)
        self._forget(outgoing.ref)

    def take_back(self, outgoing: Outgoing) -> None:
        """What the consumer had not finished is dispatched again, or kept for its successor.

        What neither happens to, since only this consumer was to have it and none succeeds it, is
        lost; so is everything under ``at_most_once``.
        """
        self._half.given_back(outgoing)
        self._lose(outgoing.store.lose(), outgoing)
        batches = outgoing.store.give_back()
        count = sum(len(batch.events) for batch in batches)
        if not count:
            return
        self._counters[Counter.UNACKNOWLEDGED] -= count
        before = self._dispatcher.queued
        returned = self._dispatcher.give_back(outgoing.ref, batches)
        again = self._dispatcher.queued - before + sum(len(batch.events) for batch in returned)
        self._counters[Counter.REDELIVERED] += again
        outgoing.meter.add(LinkCounter.REDELIVERED, again)
        self._lose(count - again, outgoing)
        # The newest first: then each goes to the front of the buffer, and nothing is passed over.
        for batch in reversed(returned):
            self._half.put_back(batch)

    def _end(self, outgoing: Outgoing, reason: Any) -> None:
        self._leave_for_good(outgoing)
        self._over(outgoing, reason)

    def _leave_for_good(self, outgoing: Outgoing) -> None:
        """Nobody waits for this consumer; what waited for it alone may be nobody's now."""
        before = self._dispatcher.queued
        self._dispatcher.leave(outgoing.ref)
        gone = before - self._dispatcher.queued
        self._lose(gone - self._half.take_discarded(), outgoing)

    def _lose(self, count: int, outgoing: Outgoing) -> None:
        if count > 0:
            self._counters[Counter.LOST] += count
            outgoing.meter.add(LinkCounter.LOST, count)
            self._owner.lost(count, outgoing.handle)

    def _expect_no_more(self, peer: Incarnation) -> None:
        """That stage does not subscribe, or no longer; whoever waited for it need not."""
        self._expected.discard(str(peer.stage))
        self._dispatcher.expect_no_more(str(peer.stage))
        self._half.take_discarded()
        self._half.pump()

    def _forget(self, ref: int) -> None:
        self._outgoing.forget(ref)
        self._dispatcher.forget(ref)
