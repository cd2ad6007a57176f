"""The consuming half of a stage: the batches that producers send, and what goes back for them.

Pure: it is told what arrived and answers through a port. Two facts go back to a producer and are
kept apart: credit returns when a batch has been handled, the acknowledgement when it is finished,
which for a producer-consumer is when everything made from it is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from actorflow.errors import ProtocolError
from actorflow.protocol.codec import BLOBS, decode_events, decode_value, weight_of
from actorflow.protocol.delivery import Attempt, Lineage
from actorflow.protocol.demand import SubscriptionOptions, Window, window_for
from actorflow.protocol.framing import LARGE
from actorflow.protocol.held import HeldWindow
from actorflow.protocol.messages import Notify, Route, RouteAgain, Unsubscribe
from actorflow.protocol.wire import encode
from actorflow.records import dataclass
from actorflow.stage.asking import Asking, Time
from actorflow.stage.counters import Counter
from actorflow.stage.incoming import Ending, Incoming, Taken, Told
from actorflow.stage.link_counters import ConsumerTally
from actorflow.stage.reach import Reach
from actorflow.stage.upstream import Relations, Upstream
from actorflow.stage.work import Port

__all__ = ["ConsumingHalf", "Owner"]


@dataclass(slots=True, eq=False)
class _Message:
    incoming: Incoming
    seq: int
    events: list[Any]
    attempt: Attempt | None = None


@dataclass(frozen=True, slots=True)
class _Info:
    message: Any


@dataclass(frozen=True, slots=True)
class Owner:
    """What the consuming half needs from the machine around it.

    Args:
        take: have a batch handled, then `handled`.
        in_hand: the batches that are waiting to be handled.
        notified: have `handle_notification` called.
        info: have `handle_info` called, in its turn.
        time: the clock.
        relations: what the subscriptions need.
    """

    take: Callable[[Taken], None]
    in_hand: Callable[[], Iterable[Taken]]
    notified: Callable[[Any, Incoming], None]
    info: Callable[[Any], None]
    time: Time
    relations: Relations


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
        self.asking = Asking(port, self.subscriptions, owner.in_hand, owner.time)
        self._queues = queues
        self.new_window: Callable[[SubscriptionOptions], Window] = window_for
        """Makes the window of a new subscription; a stage that finishes later has its own."""
        self._port = port
        self._owner = owner
        self._counters = counters
        self.tally = ConsumerTally(counters)
        """Counts what is asked and received on links without a place."""
        self.upstream = Upstream(self, port, owner.relations)

    # --- what producers send ----------------------------------------------------------------------

    def route_again(self, link: int, message: RouteAgain) -> None:
        """Take an event that a consumer had in hand when it died."""
        attempt = Attempt(message.attempt, message.alone, message.failure, message.buried)
        self.route(link, message, attempt)

    def route(self, link: int, message: Route, attempt: Attempt | None = None) -> None:
        """Take a batch of events."""
        incoming = self.subscriptions.get(message.ref)
        if incoming is None or incoming.link != link or incoming.ended:
            self._port.send(link, encode(Unsubscribe(message.ref, "unknown_subscription")))
            return
        if message.seq != incoming.received + 1:
            expected = incoming.received + 1
            raise ProtocolError("bad_sequence", f"{message.seq}, expected {expected}", message.ref)
        events = decode_events(message.codec, message.body, incoming.blobs)
        incoming.received = message.seq
        incoming.open_batches += 1
        incoming.meter.received(len(events), message.seq)
        size = len(message.body)
        if size >= LARGE or incoming.automatic.heavy or message.codec == BLOBS:
            incoming.automatic.weigh(len(events), weight_of(message.codec, message.body))
        if self._queues:
            self.inbound.append(_Message(incoming, message.seq, events, attempt))
        else:
            self._take(incoming, message.seq, events, attempt)

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
            self.tell(told)

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
            self._take(item.incoming, item.seq, item.events, item.attempt)
        elif isinstance(item, Told):
            self._owner.notified(item.message, item.incoming)
        elif isinstance(item, Ending):
            self._owner.relations.ending(item)
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
            self.upstream.forget_when_over(incoming)

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
        window = incoming.automatic
        ask = 0
        if isinstance(window, HeldWindow) and not incoming.manual:
            ask = window.finished(count, seconds)
        if emitted is not None and taken.origin is not None:
            self.lineage.handled(taken.origin, emitted)
        elif emitted is not None:
            incoming.finished = incoming.in_order.finish(taken.seq)
            incoming.open_batches -= 1
        self.asking.want(incoming, ask)
        if incoming.ended:
            self.upstream.forget_when_over(incoming)

    def outputs_finished(self, lowest_unfinished: int) -> None:
        """Everything emitted before this place is finished; so are the inputs it was made from."""
        for origin in self.lineage.finished(lowest_unfinished):
            incoming = self.subscriptions.get(origin.ref)
            if incoming is None:
                continue
            incoming.finished = max(incoming.finished, origin.seq)
            incoming.open_batches -= 1
            self.asking.mark_dirty(incoming)
            self.upstream.forget_when_over(incoming)

    def finish(self, ref: int, seq: int) -> None:
        """A snapshot reflects every batch of a subscription up to this one."""
        incoming = self.subscriptions.get(ref)
        if incoming is None or seq <= incoming.finished:
            return
        incoming.open_batches -= seq - incoming.finished
        incoming.finished = seq
        self.asking.mark_dirty(incoming)
        self.upstream.forget_when_over(incoming)

    def drop(self, incoming: Incoming) -> int:
        """Drop what waits here of a subscription; returns how many events that were."""
        mine = [i for i in self.inbound if isinstance(i, _Message) and i.incoming is incoming]
        for item in mine:
            self.inbound.remove(item)
            incoming.open_batches -= 1
        return sum(len(item.events) for item in mine)

    def unhandled(self) -> dict[str, int]:
        """How many events wait here to be handled, by the stage that sent them."""
        counts: dict[str, int] = {}
        waiting: list[_Message | Taken] = [i for i in self.inbound if isinstance(i, _Message)]
        for item in (*waiting, *self._owner.in_hand()):
            peer = str(item.incoming.handle.peer.stage)
            counts[peer] = counts.get(peer, 0) + len(item.events)
        return counts

    @property
    def idle(self) -> bool:
        """Whether no message is waiting, in hand, or unfinished."""
        return not self.inbound and not any(i.open_batches for i in self.subscriptions.values())

    # --- within -----------------------------------------------------------------------------------

    def _take(
        self, incoming: Incoming, seq: int, events: list[Any], attempt: Attempt | None
    ) -> None:
        by_lineage = self._queues and self.reach is None
        origin = self.lineage.begin(incoming.ref, seq) if by_lineage else None
        if incoming.ended:
            # Nobody to ask any more: the whole message is one batch.
            self._owner.take(Taken(incoming, events, 0, seq, origin, seq, attempt))
            return
        window = incoming.window
        ask = window.take(len(events))
        if ask is not None:
            self._owner.take(Taken(incoming, events, ask, seq, origin, seq, attempt))
            return
        batches = window.split(len(events))
        last = len(batches) - 1
        start = 0
        for number, batch in enumerate(batches):
            if batch.excess:
                self._counters[Counter.EXCESS] += batch.excess
            end = start + batch.size
            part = events if not last else events[start:end]
            whole = number == last
            done = (seq, origin) if whole else (0, None)
            self._owner.take(Taken(incoming, part, batch.ask, *done, seq, attempt))
            start = end

    def tell(self, told: Told) -> None:
        """Have a notification handled in its turn."""
        if self.inbound:
            self.inbound.append(told)
        else:
            self._owner.notified(told.message, told.incoming)
