"""The producing half under `exactly_once`: what leaves is in a snapshot first.

A batch is dispatched and numbered as always, and held back until the snapshot that contains it, and
the state that goes with it, is kept. So a successor sends the same events, at the same places of
the same edges, as this stage did or would have; and a consumer's successor says from which place.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from actorflow.compiled import mypyc_attr
from actorflow.dispatch.base import Delivery
from actorflow.errors import ProtocolError
from actorflow.protocol.codec import dump
from actorflow.protocol.delivery import UnfinishedBatch
from actorflow.protocol.edges import EdgeStore
from actorflow.protocol.identity import Incarnation
from actorflow.records import dataclass
from actorflow.stage import producing, subscribers
from actorflow.stage.children import ChildKind, ChildRuntime, Observer
from actorflow.stage.claim import Claim
from actorflow.stage.companions import CompanionObserver, CompanionRuntime
from actorflow.stage.counters import Counter
from actorflow.stage.keeping import Outputs
from actorflow.stage.link_counters import LinkSlot
from actorflow.stage.outgoing import Outgoing
from actorflow.stage.producing import ProducingHalf
from actorflow.stage.restored import KeptEdge, Restored
from actorflow.stage.spec import StageSpec
from actorflow.stage.work import CONTROL_LINK, Port

if TYPE_CHECKING:
    from actorflow.protocol.blobs import BlobSource, BlobSpace

__all__ = ["ExactProducingHalf", "HeldPort"]


@dataclass(frozen=True, slots=True)
class _Told:
    """How an edge stood in the last snapshot."""

    acked: int
    sent: int

    @classmethod
    def of(cls, store: EdgeStore) -> _Told:
        """How it stands now."""
        return cls(store.acked_events, store.next)


@dataclass(frozen=True, slots=True)
class _Frame:
    link: int
    head: bytes
    body: bytes


class HeldPort:
    """A port that keeps batches, and whatever follows them, until they are released.

    Args:
        port: the driver's.
    """

    def __init__(self, port: Port) -> None:
        self.held_back: Callable[[], None] = lambda: None
        """Is called when something is held back that was not before."""
        self._port = port
        self._fresh: list[_Frame] = []
        self._taken: list[_Frame] = []

    def hold(self, link: int, head: bytes, body: bytes) -> None:
        """Keep a batch back."""
        self._fresh.append(_Frame(link, head, body))
        self.held_back()

    def send(self, link: int, head: bytes, body: bytes = b"") -> None:
        """Send a frame, behind what is held back."""
        if link != CONTROL_LINK and self.holding:
            self.hold(link, head, body)
        else:
            self._port.send(link, head, body)

    def take(self) -> None:
        """What is held back now belongs to the snapshot that is being taken."""
        self._taken, self._fresh = [*self._taken, *self._fresh], []

    def release(self) -> None:
        """That snapshot is kept: what belongs to it leaves."""
        frames, self._taken = self._taken, []
        for frame in frames:
            self._port.send(frame.link, frame.head, frame.body)

    def frames(self, link: int) -> list[bytes]:
        """What is held back on a link, in order."""
        held = (*self._taken, *self._fresh)
        return [frame.head + frame.body for frame in held if frame.link == link]

    @property
    def holding(self) -> bool:
        """Whether anything is held back."""
        return bool(self._fresh or self._taken)

    @property
    def congested(self) -> bool:
        """As the driver's."""
        return self._port.congested

    def open(self, link: int) -> None:
        """As the driver's."""
        self._port.open(link)

    def link_counters(self, place: int, role: str) -> LinkSlot:
        """As the driver's."""
        return self._port.link_counters(place, role)

    def blob_space(self, size: int) -> BlobSpace | None:
        """As the driver's."""
        return self._port.blob_space(size)

    def blobs(self, link: int) -> BlobSource | None:
        """As the driver's."""
        return self._port.blobs(link)

    def close(self, link: int) -> None:
        """As the driver's."""
        self._port.close(link)

    def children(self, kind: ChildKind, observe: Observer) -> ChildRuntime:
        """As the driver's."""
        return self._port.children(kind, observe)

    def companions(self, place: str, observer: CompanionObserver) -> CompanionRuntime:
        """As the driver's."""
        return self._port.companions(place, observer)

    def drain(self, link: int) -> None:
        """As the driver's."""
        self._port.drain(link)


@mypyc_attr(allow_interpreted_subclasses=True)
class ExactProducingHalf(ProducingHalf):
    """A producing half whose events are numbered over restarts, and held until they are kept.

    Args:
        spec: the stage's name, how it produces, and what it goes on from.
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
        owner: producing.Owner,
        relations: subscribers.Owner,
    ) -> None:
        self.held = HeldPort(port)
        super().__init__(spec, self.held, counters, owner, relations)
        self.outgoing.send_batch = self.held.hold
        self._left: dict[str, EdgeStore] = {}
        """What a predecessor sent on edges that nobody has subscribed on yet."""
        self._closed: dict[str, EdgeStore] = {}
        """Edges that are over, which no snapshot has said yet."""
        self._told: dict[str, _Told] = {}
        if spec.restored is not None:
            self._restore(spec.restored)

    # --- subscriptions ----------------------------------------------------------------------------

    def new_store(self, claim: Claim) -> EdgeStore:
        """The store of a subscription: its edge's, from where the consumer's snapshots reach.

        Raises:
            ProtocolError: ``bad_resume``: the consumer names no edge, or no place on it.
        """
        edge, resume = claim.edge, claim.resume
        if not isinstance(edge, str) or type(resume) is not int or resume < 0:
            raise ProtocolError("bad_resume", f"edge {edge!r} from event {resume!r}")
        store = self._left.pop(edge, None)
        for outgoing in self.subscriptions.values():
            if isinstance(outgoing.store, EdgeStore) and outgoing.store.edge == edge:
                store = outgoing.store.successor()
        if store is None:
            # Nothing is known of it: it is new, or is over, and then all it took is finished.
            return EdgeStore(edge, str(claim.peer.stage), resume)
        self._resume(store, resume)
        self._counters[Counter.REDELIVERED] += store.owing
        return store

    def credit(self, outgoing: Outgoing, count: int) -> None:
        """Count an ask: first comes what this consumer has to get again."""
        store = outgoing.store
        assert isinstance(store, EdgeStore)
        while (batch := store.take_owed(count)) is not None:
            self.outgoing.send_again(
                Delivery(outgoing.ref, batch.events, batch.position, batch.attempt)
            )
            count -= len(batch.events)
        if count:
            super().credit(outgoing, count)

    def keep_for_successor(self, outgoing: Outgoing) -> None:
        """What the consumer had not finished stays on its edge; its successor takes it."""

    def return_edge(self, outgoing: Outgoing) -> None:
        """A consumer has died before it had a place: its edge is as it was before it came."""
        store = outgoing.store
        assert isinstance(store, EdgeStore)
        before = self.subscriptions.get(outgoing.inherits or 0)
        if before is not None:
            before.store = store.successor()
        else:
            self._left[store.edge] = store.successor()

    def given_back(self, outgoing: Outgoing) -> None:
        """An edge is over, and what was unfinished on it is others'."""
        store = outgoing.store
        assert isinstance(store, EdgeStore)
        if all(each is outgoing.store or each.edge != store.edge for each in self._stores()):
            self._closed[store.edge] = store

    def expect_edges(self, edges: list[str]) -> None:
        """Subscriptions will be made on these edges; what was sent on others is others'."""
        for edge in [edge for edge in self._left if edge not in edges]:
            self._give_up(self._left.pop(edge))

    def edge_settled(self, edge: str, events: int) -> None:
        """So many events of an edge that nobody will subscribe on count already.

        Raises:
            ProtocolError: ``bad_resume``: that cannot be.
        """
        if edge in self._left:
            self._resume(self._left[edge], events)

    def consumer_gone(self, peer: Incarnation) -> None:
        """A consumer will not subscribe after all."""
        for edge, store in list(self._left.items()):
            if store.consumer == str(peer.stage):
                self._give_up(self._left.pop(edge))

    @property
    def flushed(self) -> bool:
        """Whether everything emitted has left, and is in its consumers' snapshots."""
        owing = any(
            isinstance(o.store, EdgeStore) and o.store.owed for o in self.subscriptions.values()
        )
        return not (owing or self._left or self.held.holding) and super().flushed

    # --- snapshots --------------------------------------------------------------------------------

    def outputs(self) -> Outputs:
        """What a snapshot has to know of the output."""
        return Outputs(taken=self._take, kept=self.held.release, holding=lambda: self.held.holding)

    def _take(self) -> dict[str, Any]:
        """What a snapshot holds of the output, as fields of `control.Snapshot`."""
        self.held.take()
        stores = {store.edge: store for store in self._stores()}
        closed, self._closed = self._closed, {}
        # First those that are over: one of them may have been made again.
        outputs = [_over(store) for store in closed.values()]
        outputs += [
            _said(store)
            for edge, store in stores.items()
            if edge in closed or self._told.get(edge) != _Told.of(store)
        ]
        self._told = {edge: _Told.of(store) for edge, store in stores.items()}
        waiting = [*self.dispatcher.held_events(), *self.buffer.events()]
        return {"outputs": outputs, "buffer": dump(waiting) if waiting else None}

    def _stores(self) -> list[EdgeStore]:
        subscribed = [outgoing.store for outgoing in self.subscriptions.values()]
        return [*self._left.values(), *(s for s in subscribed if isinstance(s, EdgeStore))]

    def _restore(self, restored: Restored) -> None:
        for name, kept in restored.outputs.items():
            store = EdgeStore(name, kept.consumer, kept.sent)
            self._left[name] = store
            self._owe(store, kept)
        if restored.buffer is not None:
            events = pickle.loads(restored.buffer)
            self.buffer.put_back(events, self.emitted)
            self.emitted += len(events)
            self._counters[Counter.BUFFERED] = self.buffer.count

    def _owe(self, store: EdgeStore, kept: KeptEdge) -> None:
        for batch in kept.batches:
            events = pickle.loads(batch.body)
            store.owed.append(UnfinishedBatch(0, events, self.emitted))
            self.emitted += len(events)
            self._counters[Counter.UNACKNOWLEDGED] += len(events)
        store.acked_events = store.next - store.owing
        self._told[store.edge] = _Told.of(store)

    def _resume(self, store: EdgeStore, events: int) -> None:
        before = store.owing
        store.resume(events)
        self._counters[Counter.UNACKNOWLEDGED] -= before - store.owing

    def _give_up(self, store: EdgeStore) -> None:
        """Nobody comes for what a predecessor had sent: it is dispatched to others, as new."""
        self._closed[store.edge] = store
        batches = store.give_back()
        count = sum(len(batch.events) for batch in batches)
        self._counters[Counter.UNACKNOWLEDGED] -= count
        before = self.dispatcher.queued
        back = self.dispatcher.give_back(-1, batches)
        kept = self.dispatcher.queued - before + sum(len(batch.events) for batch in back)
        self._counters[Counter.REDELIVERED] += kept
        self._counters[Counter.LOST] += count - kept
        for batch in reversed(back):
            self.put_back(batch)


def _said(store: EdgeStore) -> dict[str, Any]:
    batches = [
        {"first": fresh.first, "count": len(fresh.events), "body": dump(fresh.events)}
        for fresh in store.fresh
    ]
    store.fresh = []
    return {
        "edge": store.edge,
        "consumer": store.consumer,
        "acked": store.acked_events,
        "sent": store.next,
        "batches": batches,
    }


def _over(store: EdgeStore) -> dict[str, Any]:
    return {"edge": store.edge, "consumer": store.consumer, "closed": True}
