"""Subscriptions between children: linked as both ends run, and the verdict when one has ended."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from actorflow.errors import ProtocolError, Refused
from actorflow.protocol import control
from actorflow.protocol.backoff import Backoff
from actorflow.protocol.identity import StageId
from actorflow.protocol.messages import Down
from actorflow.protocol.reasons import DONE, plain
from actorflow.stage.options import EXACTLY_ONCE
from actorflow.supervision.children import Child, ChildState
from actorflow.supervision.state import SupervisorState
from actorflow.supervision.wiring import Edge, EdgeState, Exchange

__all__ = ["Linking"]

LINK_AGAIN = Backoff(initial=0.2, factor=2, max=5.0)
"""When a declared subscription is linked again that there was no link for. Each attempt is a line
in the log, and a host that lacks descriptors for long lacks them for all subscriptions."""


class Linking:
    """Links the edges of a supervisor's wiring, and says what becomes of them.

    Args:
        state: the supervisor's.
    """

    def __init__(self, state: SupervisorState) -> None:
        self._state = state

    def expect(self, child: Child) -> None:
        """Tell a child that is ready whom it will be linked with, and link it."""
        wiring = self._state.wiring
        producers = sorted({str(edge.producer) for edge in wiring.upstream(child.id)})
        coming = self._coming(child)
        consumers = sorted({str(edge.consumer) for edge in coming if edge.declared})
        if producers or coming or not child.journal.empty:
            names = [edge.name for edge in coming]
            self._settle_others(child, names)
            self._state.tell(child, control.Expect(producers, consumers, names))
        for edge in wiring.of(child.id):
            self.connect(edge)

    def _settle_others(self, producer: Child, coming: list[str]) -> None:
        """Settle the edges of a producer's last snapshot that nobody will subscribe on."""
        for edge, name in producer.journal.outputs.items():
            found = (each for each in self._state.children.values() if str(each.id) == name)
            consumer = next(found, None)
            if consumer is not None and edge not in coming:
                self._settle(producer, edge, consumer)

    def _settle(self, producer: Child, edge: str, consumer: Child) -> None:
        """Tell a producer how far a consumer has got that will not subscribe again.

        The producer goes on from a snapshot that may be older than the consumer's last, and would
        give to others what counts already.
        """
        events = consumer.journal.reaches(edge)
        if events is not None and producer.spec.stage.options.delivery == EXACTLY_ONCE:
            self._state.tell(producer, control.EdgeSettled(edge, events))

    def _coming(self, producer: Child) -> list[Edge]:
        """The subscriptions to a stage whose consumers live, or will again."""
        return [
            edge
            for edge in self._state.wiring.downstream(producer.id)
            if edge.state is not EdgeState.OVER
            and self._state.children[edge.consumer].state is not ChildState.ENDED
        ]

    def connect(self, edge: Edge) -> None:
        """Link an edge when both ends run, or say that its producer has finished."""
        children = self._state.children
        consumer, producer = children[edge.consumer], children[edge.producer]
        if edge.state is not EdgeState.WANTED or consumer.state is not ChildState.RUNNING:
            return
        if _waits_for_the_old_one(edge) or self._waits_for_an_earlier_one(edge):
            return
        if producer.state is ChildState.ENDED and edge.replaces is not None:
            # The one that was to be replaced goes on; only whoever asked for this is told.
            self.over(edge, "noproc")
        elif producer.state is ChildState.ENDED:
            reason = producer.end.reason if producer.end else DONE
            self._say_finished(edge, producer, consumer, reason)
        elif producer.state is ChildState.RUNNING:
            self._link(edge, producer, consumer)

    def _link(self, edge: Edge, producer: Child, consumer: Child) -> None:
        ref = self._state.wiring.linking(edge)
        options = edge.options.to_wire()
        ends = producer.incarnation, consumer.incarnation
        producer.served = True
        name = edge.name
        runtime = self._state.runtime
        place = runtime.count_link(
            ref, edge.producer, edge.consumer, edge.options.extra.get("partition")
        )
        to_producer = control.Link(ref, "producer", str(ends[1]), options, edge=name, place=place)
        paused = (edge.paused or consumer.paused) and not self._state.draining
        to_consumer = replace(to_producer, role="consumer", peer=str(ends[0]), paused=paused)
        exchange = edge.replaces
        if exchange is not None and exchange.old.live:
            to_consumer = replace(to_consumer, replaces=exchange.old.ref, reason=exchange.reason)
        runtime.link(
            ref,
            *ends,
            control.encode_control(to_producer),
            control.encode_control(to_consumer),
        )
        if edge.leaving:
            self._cancel(edge, consumer)

    def _say_finished(self, edge: Edge, producer: Child, consumer: Child, reason: Any) -> None:
        """Tell a consumer that a subscription which it waits for has come to its end before."""
        ref = self._state.wiring.linking(edge)
        peer = str(producer.incarnation)
        record = control.ProducerFinished(ref, peer, edge.options.to_wire(), reason)
        self._state.tell(consumer, record)
        self.over(edge, reason)

    def established(self, producer: Child, ref: int) -> None:
        """The producer has accepted.

        Raises:
            ProtocolError: ``bad_ref``: it is another's subscription.
        """
        edge = self._state.wiring.by_ref(ref)
        if edge is None:
            return
        _check_owner(producer, edge.producer, ref)
        edge.state, edge.unlinked = EdgeState.ESTABLISHED, 0
        if edge.replaces is not None:
            self._succeed(edge, edge.replaces)
        self._connect_who_waits(edge)
        self._state.established.resolve(edge, ref)

    def _succeed(self, edge: Edge, exchange: Exchange) -> None:
        """An edge takes the place of another one."""
        old = exchange.old
        edge.declared, edge.replaces = old.declared, None
        if old.state is EdgeState.OVER:
            self._state.wiring.forget(old)
        elif old.producer == edge.producer:
            # The producer has ended it by itself, in the same step.
            old.leaving, old.declared = True, False
        else:
            self.drop(old, exchange.reason)

    def _waits_for_an_earlier_one(self, edge: Edge) -> bool:
        """Whether the same two stages have an older subscription that is not settled.

        Of two that a producer takes only one of, a broadcast say, the older one is to be that one,
        after every restart: what is kept for a successor is kept under its name.
        """
        between = self._state.wiring.between(edge.consumer, edge.producer)
        older = (each for each in between if each.ordinal < edge.ordinal)
        return any(each.state in (EdgeState.WANTED, EdgeState.LINKED) for each in older)

    def _connect_who_waits(self, edge: Edge) -> None:
        """Others of the same consumer may have waited for an edge to be established, or over."""
        for each in self._state.wiring.upstream(edge.consumer):
            replaces = each.replaces is not None and each.replaces.old is edge
            if replaces or (each is not edge and each.producer == edge.producer):
                self.connect(each)

    def ended(self, consumer: Child, record: control.SubscriptionEnded) -> None:
        """The consumer has seen the end of a subscription.

        Raises:
            ProtocolError: ``bad_ref``: it is another's subscription.
        """
        known = self._state.wiring.known(record.ref)
        if known is None:
            return
        _check_owner(consumer, known.consumer, record.ref)
        if record.finished:
            self._finished(self._state.children[known.producer])
        edge = self._state.wiring.by_ref(record.ref)
        if edge is None:
            return
        if edge.declared and edge.state is EdgeState.LINKED and _had_no_link(record.reason):
            self._try_again(edge)
        else:
            self.over(edge, record.reason)

    def _finished(self, producer: Child) -> None:
        """It says so when everything is; so there is nothing for a successor to do.

        That one may go on from a snapshot of before, and what it emits from there may be for those
        who have ended.
        """
        producer.finished = True
        if producer.generation > 1 and producer.state is ChildState.RUNNING:
            self._state.tell(producer, control.Stop(DONE))

    def _try_again(self, edge: Edge) -> None:
        """The host had no descriptors for a link; both ends wait, until it has some."""
        self._state.runtime.link_over(edge.ref)
        self._state.wiring.lost(edge)
        edge.unlinked += 1
        pause = LINK_AGAIN.pause(edge.unlinked, edge.name)
        self._state.after(pause, lambda: self.connect(edge))

    def verdict(self, child: Child, reason: Any, *, restarting: bool) -> None:
        """An incarnation has ended: tell everyone linked with it.

        In a run that stops each of them ends too. It is not told, so that what it had unfinished
        stays as it is, and is not taken for lost.
        """
        for edge in self._state.wiring.of(child.id):
            is_producer = edge.producer == child.id
            if not self._state.stopping:
                self._tell_peer(edge, child, reason, restarting=restarting)
            if edge.live and not (restarting and edge.replaces):
                self._state.established.reject(edge, Refused(reason))
            if edge.leaving and not (restarting and self._must_leave_again(edge, child)):
                self._left(edge, child, reason)
            elif restarting and edge.state is not EdgeState.OVER:
                self._state.runtime.link_over(edge.ref)
                self._state.wiring.lost(edge)
            elif edge.live:
                self.over(edge, reason)
            elif is_producer and child.leaving:
                self.withdraw(edge, reason)
            elif is_producer:
                # Whoever was to subscribe is told that it has finished, now or when it is ready.
                self.connect(edge)
            elif edge.state is EdgeState.WANTED and not edge.declared:
                self.over(edge, reason)

    def _tell_peer(self, edge: Edge, child: Child, reason: Any, *, restarting: bool) -> None:
        is_producer = edge.producer == child.id
        peer = self._state.children[edge.consumer if is_producer else edge.producer]
        if edge.live and not is_producer:
            self._say_what_is_over(child, edge, peer)
        if not is_producer and not restarting:
            self._settle(peer, edge.name, child)
        if edge.live and is_producer and child.leaving and self._has_another_replica(edge):
            # Its end, however bad, is not its consumer's.
            order = control.CancelSubscription(edge.ref, plain(reason), replaced=True)
            self._state.tell(peer, order)
        # A producer keeps the place of a consumer whose successor it awaits: it needs to know.
        if edge.live or (edge.state is EdgeState.WANTED and not is_producer):
            who = str(child.incarnation)
            self._state.send(peer, Down(0, who, reason, restarting))

    def _must_leave_again(self, edge: Edge, child: Child) -> bool:
        """Whether a subscription is to be left with its producer's successor.

        Under `exactly_once` that one may have what this consumer, which lives, is still to handle.
        Only where the two meet again is it known what counts, and what is others'.
        """
        is_exact = child.spec.stage.options.delivery == EXACTLY_ONCE
        return is_exact and edge.producer == child.id and edge.live

    def _comes_back_exact(self, producer: Child, consumer: Child) -> bool:
        is_exact = producer.spec.stage.options.delivery == EXACTLY_ONCE
        gone = producer.state is ChildState.ENDED or consumer.state is not ChildState.RUNNING
        return is_exact and not gone

    def _say_what_is_over(self, consumer: Child, edge: Edge, producer: Child) -> None:
        """Before the verdict: what is not to be delivered again, or only to be finished."""
        covered = consumer.journal.covers(edge.ref)
        if covered:
            self._state.tell(producer, control.Acknowledged(edge.ref, covered))
        for batch in consumer.buried:
            if batch.ref == edge.ref:
                self._state.tell(producer, control.Buried(batch.ref, batch.seq))

    def drop(self, edge: Edge, reason: Any) -> None:
        """Take a subscription away: for its consumer that is nobody's end, it only asks no more."""
        self._part(edge, reason, replaced=True)

    def leave(self, edge: Edge, reason: Any) -> None:
        """End a subscription; its cancel mode decides what that does to the consumer."""
        self._part(edge, reason, replaced=False)

    def withdraw(self, edge: Edge, reason: Any) -> None:
        """End a subscription to a replica that leaves.

        For a consumer that the others of its name go on to feed that is nobody's end; the cancel
        mode of one that has no other decides what it does.
        """
        self._part(edge, reason, replaced=self._has_another_replica(edge))

    def _has_another_replica(self, edge: Edge) -> bool:
        """Whether a consumer is, or was until its end, fed by another replica of a producer."""
        return any(
            each.producer.name == edge.producer.name and each.producer != edge.producer
            for each in self._state.wiring.upstream(edge.consumer)
        )

    def _part(self, edge: Edge, reason: Any, *, replaced: bool) -> None:
        consumer = self._state.children[edge.consumer]
        producer = self._state.children[edge.producer]
        edge.leaving, edge.declared = True, False
        edge.reason, edge.replaced = plain(reason), replaced
        if edge.live:
            self._cancel(edge, consumer)
            return
        wanted = edge.state is EdgeState.WANTED
        if wanted and edge.refs and self._comes_back_exact(producer, consumer):
            return  # it is left where the two meet again, see `verdict`
        if wanted and not replaced and consumer.state is ChildState.RUNNING:
            self._say_finished(edge, producer, consumer, plain(reason))
            return
        self.over(edge, reason)
        if not wanted or self._still_joined(edge):
            return
        if consumer.state is ChildState.RUNNING:
            self._state.tell(consumer, control.ExpectNoMore([str(edge.producer)]))
        else:
            self._keep_no_place(edge, consumer, plain(reason))

    def _cancel(self, edge: Edge, consumer: Child) -> None:
        order = control.CancelSubscription(edge.ref, edge.reason, edge.replaced)
        self._state.tell(consumer, order)

    def _left(self, edge: Edge, child: Child, reason: Any) -> None:
        """One end of a subscription that is being taken away has ended before it was."""
        self.over(edge, reason)
        if edge.consumer == child.id and not self._still_joined(edge):
            self._keep_no_place(edge, child, reason)

    def _keep_no_place(self, edge: Edge, consumer: Child, reason: Any) -> None:
        """A producer keeps the place of a consumer that is being restarted: not any more."""
        producer = self._state.children[edge.producer]
        self._settle(producer, edge.name, consumer)
        self._state.send(producer, Down(0, str(consumer.incarnation), reason, False))

    def _still_joined(self, edge: Edge) -> bool:
        """Whether the two stages have another subscription that is to stay."""
        others = self._state.wiring.between(edge.consumer, edge.producer)
        return any(not each.leaving and each.state is not EdgeState.OVER for each in others)

    def over(self, edge: Edge, reason: Any) -> None:
        """A subscription has ended, or will never begin."""
        self._state.established.reject(edge, Refused(reason))
        self._state.runtime.link_over(edge.ref)
        self._state.wiring.over(edge, reason)
        self._connect_who_waits(edge)
        consumer = self._state.children.get(edge.consumer)
        place = consumer.spec.stage.place if consumer is not None else None
        if consumer is not None and place is not None and place.guest:
            left = self._state.wiring.upstream(consumer.id)
            if all(each.state is EdgeState.OVER for each in left):
                self._state.tell(consumer, control.Finish())


def _had_no_link(reason: Any) -> bool:
    """Whether a subscription ended before it began, as the runtime could make no link."""
    return isinstance(reason, list) and reason[:1] == ["no_link"]


def _waits_for_the_old_one(edge: Edge) -> bool:
    """Whether an edge replaces one that its producer may not know yet.

    Each subscription has a link of its own, so the new one could be read before the old one.
    """
    old = None if edge.replaces is None else edge.replaces.old
    if old is None or old.producer != edge.producer:
        return False
    return old.state in (EdgeState.WANTED, EdgeState.LINKED)


def _check_owner(sender: Child, owner: StageId, ref: int) -> None:
    if sender.id != owner:
        raise ProtocolError("bad_ref", f"subscription {ref} is {owner}'s, not {sender.id}'s", ref)
