"""The conservation laws of the protocol, as functions over the stage machines and the wire.

Each function yields a sentence for every way in which its law is broken, and nothing when it holds.
The numbers are those of section 2.5 of the GenStage inventory; the others are of actorflow's own
delivery. `checker.Checker` asks them after every step of a simulated run.
"""

from __future__ import annotations

from collections.abc import Iterator

from actorflow.dispatch.base import Dispatcher
from actorflow.dispatch.broadcast import BroadcastDispatcher
from actorflow.dispatch.demand import DemandDispatcher
from actorflow.dispatch.partition import PartitionDispatcher
from actorflow.dispatch.ready import ReadyDispatcher
from actorflow.errors import ActorflowError
from actorflow.protocol.codec import decode_events
from actorflow.protocol.demand import AutoWindow
from actorflow.protocol.driven import Driven
from actorflow.protocol.held import HeldWindow
from actorflow.protocol.messages import Route, RouteEos
from actorflow.protocol.wire import decode
from actorflow.records import dataclass
from actorflow.runtime.simulated.process import SimulatedProcess
from actorflow.stage.buffer import Buffer, Chunk
from actorflow.stage.callbacks import HANDLE_EVENTS
from actorflow.stage.consuming import ConsumingHalf, _Message
from actorflow.stage.counters import Counter
from actorflow.stage.exact import ExactProducingHalf
from actorflow.stage.link_counters import LinkCounter
from actorflow.stage.machine import StageMachine
from actorflow.stage.outgoing import OutgoingState
from actorflow.stage.producing import ProducingHalf
from actorflow.testing.ledger import Flow, Ledger

__all__ = [
    "Base",
    "LawBroken",
    "acknowledged_is_finished",
    "buffer_is_consistent",
    "counters_agree",
    "credit_is_conserved",
    "demand_is_released",
    "dispatcher_is_consistent",
    "forwarded_is_asked",
    "never_more_than_asked",
    "no_event_evaporates",
    "store_is_contiguous",
    "window_holds",
]


class LawBroken(ActorflowError):
    """A conservation law does not hold; `law` names it."""

    def __init__(self, law: str, detail: str) -> None:
        super().__init__(f"{law}: {detail}")
        self.law = law
        self.detail = detail

    def __reduce__(self) -> tuple[type[LawBroken], tuple[str, str]]:
        return type(self), (self.law, self.detail)


@dataclass(frozen=True, slots=True)
class Base:
    """What a stage's counters stood at when an incarnation began: they run on over restarts."""

    acknowledged: int
    discarded: int


# --- a subscription -------------------------------------------------------------------------------


def never_more_than_asked(flow: Flow) -> Iterator[str]:
    """Law 1: at every moment a producer has sent no more than it was asked for."""
    if flow.sent > flow.asked_in:
        yield f"ref {flow.ref}: {flow.sent} events sent, {flow.asked_in} asked for"
    if not flow.handled <= flow.received <= flow.sent <= flow.asked:
        counts = (flow.handled, flow.received, flow.sent, flow.asked)
        yield f"ref {flow.ref}: handled, received, sent, asked must not fall: {counts}"


def credit_is_conserved(flow: Flow) -> Iterator[str]:
    """Credit + demand under way + events under way + events not handled = what is open.

    The right side is what the consumer asked for less what it has handled, from the ledger; the
    left is added up from the producer's dispatcher, what it holds back (``exactly_once``), the
    wire, and the consumer's queues.
    """
    if _end_is_held_back(flow):
        return
    open_here = flow.asked - flow.handled
    credit = _credit(flow)
    waiting = 0 if flow.consumer is None else _unhandled(flow.consumer, flow.ref)
    held = _held_back(flow)
    found = credit + flow.asks_on_wire + held + flow.events_on_wire + waiting
    if found != open_here:
        yield (
            f"ref {flow.ref}: {flow.asked} asked - {flow.handled} handled = {open_here}, but credit"
            f" {credit} + asks on the wire {flow.asks_on_wire} + held back {held} + events on the"
            f" wire {flow.events_on_wire} + not handled {waiting} = {found}"
        )


def counters_agree(flow: Flow, process: SimulatedProcess) -> Iterator[str]:
    """What the two ends of a link have counted is what was seen on the wire (A18)."""
    link = process.counted_link(flow.ref)
    if link is None:
        return
    if process is flow.producer:
        half = None if process.machine is None else process.machine.producing
        # What is counted may be held back, as the end may be, or meet a link that is at its end.
        ahead = flow.ended or isinstance(half, ExactProducingHalf)
        sent, asked = link.producing[LinkCounter.EVENTS], link.producing[LinkCounter.DEMAND]
        if sent < flow.sent or (sent > flow.sent and not ahead):
            yield f"ref {flow.ref}: {sent} events counted, {flow.sent} sent"
        if asked > flow.asked_in or (asked < flow.asked_in and not ahead):
            yield f"ref {flow.ref}: demand for {asked} counted, for {flow.asked_in} received"
    if process is flow.consumer:
        received, asked = link.consuming[LinkCounter.EVENTS], link.consuming[LinkCounter.DEMAND]
        if received > flow.received or (received < flow.received and not flow.ended):
            yield f"ref {flow.ref}: {received} events counted, {flow.received} received"
        # A producer that died before it read anything leaves a link on which nothing can be sent.
        reachable = not flow.ended and flow.producer is not None
        if asked < flow.asked or (asked > flow.asked and reachable):
            yield f"ref {flow.ref}: demand for {asked} counted, for {flow.asked} sent"


def window_holds(flow: Flow, consuming: ConsumingHalf) -> Iterator[str]:
    """Law 5: what is open stays within the window, and a refill brings it back to the top."""
    incoming = consuming.subscriptions.get(flow.ref)
    if incoming is None or incoming.broken:
        return  # what is asked on a link that is at its end nobody hears, and nobody counts
    if incoming.manual or not flow.asked:
        return
    window = incoming.automatic
    flow.widest = max(flow.widest, window.max_demand)
    if not 0 <= window.outstanding <= flow.widest:
        yield f"ref {flow.ref}: {window.outstanding} outstanding in a window of {flow.widest}"
    if isinstance(window, HeldWindow):
        return  # its credit returns with events that are finished, which nobody sees on the wire
    open_here = flow.asked - flow.handled + incoming.owed
    if isinstance(window, Driven) and not window.free:
        # It asks for what is wanted; whether that was asked for is a law of its own.
        if open_here > flow.widest:
            yield f"ref {flow.ref}: {open_here} open, must be at most {flow.widest}"
        return
    lowest = 0 if isinstance(window, AutoWindow) else window.min_demand
    if not lowest < open_here <= flow.widest:
        yield (
            f"ref {flow.ref}: {open_here} open, must be above {lowest} and at most {flow.widest}"
        )


def _credit(flow: Flow) -> int:
    machine = None if flow.producer is None else flow.producer.machine
    half = None if machine is None else machine.producing
    outgoing = None if half is None else half.subscriptions.get(flow.ref)
    if half is None or outgoing is None:
        return 0
    if outgoing.state is OutgoingState.ESTABLISHING:
        return outgoing.early_asks
    # What is held back until the consumer has finished more is still its credit.
    return half.dispatcher.outstanding(flow.ref) + outgoing.withheld


def _end_is_held_back(flow: Flow) -> bool:
    """Whether an `exactly_once` producer has ended it, and may not say so yet."""
    machine = None if flow.producer is None else flow.producer.machine
    half = None if machine is None else machine.producing
    if not isinstance(half, ExactProducingHalf):
        return False
    messages = [decode(frame[4:]) for frame in half.held.frames(flow.ref)]
    return any(isinstance(each, RouteEos) for each in messages)


def _held_back(flow: Flow) -> int:
    """Events that an `exactly_once` producer has numbered, and not in a snapshot yet."""
    machine = None if flow.producer is None else flow.producer.machine
    half = None if machine is None else machine.producing
    if not isinstance(half, ExactProducingHalf):
        return 0
    messages = [decode(frame[4:]) for frame in half.held.frames(flow.ref)]
    batches = [each for each in messages if isinstance(each, Route)]
    return sum(len(decode_events(batch.codec, batch.body)) for batch in batches)


def _unhandled(process: SimulatedProcess, ref: int) -> int:
    """Events that a consumer has received and whose callback has not returned."""
    machine = process.machine
    if machine is None or machine.consuming is None:
        return 0
    items = machine.queued if process.work is None else (process.work, *machine.queued)
    count = sum(
        len(work.args[0])
        for work in items
        if work.label == HANDLE_EVENTS and work.args[1].ref == ref
    )
    treated = machine.treated
    if treated is not None and treated.incoming.ref == ref:
        count += len(treated.events)
    return count + sum(
        len(item.events)
        for item in machine.consuming.inbound
        if isinstance(item, _Message) and item.incoming.ref == ref
    )


# --- a producer -----------------------------------------------------------------------------------


def dispatcher_is_consistent(dispatcher: Dispatcher) -> Iterator[str]:
    """Laws 2 to 4: every credit is at least 0, and the sum that is acted upon is their sum."""
    capacity = dispatcher.capacity
    if isinstance(dispatcher, DemandDispatcher):
        given = [entry.credit for entry in dispatcher._entries]
        if min(given, default=0) < 0 or sum(given) != capacity:
            yield f"demand: credits {given}, capacity {capacity}"
        if dispatcher._chunk is None and given != sorted(given, reverse=True):
            yield f"demand: credits are out of order: {given}"
    elif isinstance(dispatcher, ReadyDispatcher):
        given = [place.credit for place in dispatcher._places.values()]
        if max(given, default=0) != capacity or min(given, default=0) < 0:
            yield f"ready: credits {given}, capacity {capacity}"
    elif isinstance(dispatcher, BroadcastDispatcher):
        given = [place.credit for place in dispatcher._places.values()]
        lowest = 0 if dispatcher._expected else min(given, default=0)
        if lowest != capacity or min(given, default=0) < 0:
            yield f"broadcast: credits {given}, capacity {capacity}"
    elif isinstance(dispatcher, PartitionDispatcher):
        parts = dispatcher._partitions.values()
        credit, queued = sum(p.credit for p in parts), sum(p.events for p in parts)
        if (credit, queued) != (dispatcher._credit, dispatcher._queued):
            yield f"partitions: credit {credit}, {queued} wait, and other sums are kept"
        for name, part in dispatcher._partitions.items():
            waiting = len(part.held)
            if part.credit < 0 or (part.credit and part.queue):
                yield f"partition {name!r}: credit {part.credit} and {len(part.queue)} waiting"
            if waiting != part.events:
                yield f"partition {name!r}: {waiting} wait, {part.events} counted"


def buffer_is_consistent(buffer: Buffer) -> Iterator[str]:
    """The buffer counts what it holds, in the order of emission."""
    chunks = [entry for entry in buffer.entries if isinstance(entry, Chunk)]
    held = sum(len(chunk.events) for chunk in chunks)
    if held != buffer.count:
        yield f"the buffer holds {held} events and counts {buffer.count}"
    end = 0
    for chunk in chunks:
        if chunk.position < end:
            yield f"the buffer holds place {chunk.position} behind place {end - 1}"
        end = chunk.position + len(chunk.events)


def demand_is_released(machine: StageMachine) -> Iterator[str]:
    """Nothing waits that could go on.

    Buffered events leave while there is demand for them, and a source has been asked for all that
    its consumers want.
    """
    half = machine.producing
    if half is None or half._accumulating:
        return
    capacity = half.dispatcher.capacity
    if half.buffer.count and capacity:
        yield f"{half.buffer.count} events are buffered with demand for {capacity}"
    source = machine.consuming is None
    if source and not half.finishing and not half.buffer.count and half.requested < capacity:
        yield f"demand for {capacity}, of which only {half.requested} was passed on"
    if half.requested < 0:
        yield f"requested is {half.requested}"


def forwarded_is_asked(machine: StageMachine) -> Iterator[str]:
    """What a demand hook forwards is under way from each producer, as far as its window allows."""
    hook, half, consuming = machine.demand_hook, machine.producing, machine.consuming
    if hook is None or half is None or consuming is None:
        return
    if half.finishing or hook.free or hook.deciding:
        return
    if hook.held < 0 or hook.held > half.requested:
        yield f"{hook.held} held of {half.requested} requested"
    wanted = min(hook.forwarded, half.dispatcher.capacity)
    for incoming in consuming.subscriptions.values():
        window = incoming.automatic
        if not isinstance(window, Driven) or not window.opened or incoming.manual:
            continue
        if incoming.ended or incoming.broken:
            continue
        under_way = window.outstanding + window.taken
        if under_way < min(wanted, window.max_demand):
            yield (
                f"ref {incoming.ref}: {wanted} forwarded, {under_way} under way in a window of"
                f" {window.max_demand}"
            )


def store_is_contiguous(half: ProducingHalf) -> Iterator[str]:
    """Every batch that was sent and not acknowledged is kept."""
    if not half.keeps:
        return
    for outgoing in half.subscriptions.values():
        store = outgoing.store
        if outgoing.state not in (OutgoingState.ACTIVE, OutgoingState.ESTABLISHING):
            continue
        kept = [batch.seq for batch in store.kept]
        if kept != list(range(store.acked + 1, store.seq + 1)):
            yield (f"ref {outgoing.ref}: sent {store.seq}, acknowledged {store.acked}, kept {kept}")
        if store.count != sum(len(batch.events) for batch in store.kept):
            yield f"ref {outgoing.ref}: the store counts {store.count}"


def no_event_evaporates(process: SimulatedProcess, ledger: Ledger, base: Base) -> Iterator[str]:
    """Every event emitted is acknowledged, unacknowledged, waiting or discarded: nothing else.

    Under ``at_most_once`` what was sent takes the place of what is and is not acknowledged. A
    broadcast, which copies, and a partition function, which may drop, are left out; so is
    ``exactly_once``, where what a predecessor had sent is others' until somebody comes for it.
    """
    machine = process.machine
    half = None if machine is None else machine.producing
    if half is None or not isinstance(half.dispatcher, DemandDispatcher):
        return
    if isinstance(half, ExactProducingHalf):
        return
    counters = process.counters
    discarded = counters[Counter.DISCARDED] - base.discarded
    if half.keeps:
        acknowledged = counters[Counter.ACKNOWLEDGED] - base.acknowledged
        gone = acknowledged + sum(o.store.count for o in half.subscriptions.values())
    else:
        gone = sum(flow.sent for flow in ledger.of(process) if flow.producer is process)
    if half.emitted != gone + half.buffer.count + discarded:
        yield (
            f"{half.emitted} events emitted, {gone} sent, {half.buffer.count} buffered,"
            f" {discarded} discarded"
        )


def acknowledged_is_finished(flow: Flow, acked: int, half: ProducingHalf | None) -> Iterator[str]:
    """A batch is acknowledged once it is handled, and once everything made from it is finished.

    Or, under ``exactly_once``, is kept.
    """
    if acked > flow.handled_seq:
        yield f"ref {flow.ref}: batch {acked} acknowledged, {flow.handled_seq} handled"
    if half is None or not half.keeps or isinstance(half, ExactProducingHalf):
        return
    first = _first_unfinished(half)
    for seq in [seq for seq in flow.outputs if seq <= acked]:
        end = flow.outputs.pop(seq)
        if first < end:
            yield (
                f"ref {flow.ref}: batch {seq} acknowledged, whose outputs end at place {end}, and"
                f" place {first} is unfinished"
            )


def _first_unfinished(half: ProducingHalf) -> int:
    places = [chunk.position for chunk in half.buffer.entries if isinstance(chunk, Chunk)]
    for outgoing in half.subscriptions.values():
        places += [batch.position for batch in outgoing.store.kept]
    dispatcher = half.dispatcher
    if isinstance(dispatcher, PartitionDispatcher):
        for part in dispatcher._partitions.values():
            places += [place for place, _ in part.held]
    elif isinstance(dispatcher, BroadcastDispatcher):
        for place in dispatcher._places.values():
            places += [batch.position for batch in place.batches]
    return min(places, default=half.emitted)
