"""The ledger: what each subscription was asked for and sent, kept apart from what its ends believe.

It watches every frame go out and come in, so it knows what is on the wire; the laws compare it with
the stage machines' own books.
"""

from __future__ import annotations

from collections import deque
from dataclasses import field

from actorflow.protocol.codec import decode_events
from actorflow.protocol.messages import (
    Ask,
    Message,
    Notify,
    Route,
    RouteEos,
    RouteLast,
    Subscribe,
    Unsubscribe,
)
from actorflow.protocol.wire import decode
from actorflow.records import dataclass
from actorflow.runtime.simulated.process import SimulatedProcess

__all__ = ["Flow", "Frame", "Ledger"]


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame on its way.

    Args:
        data: its bytes, without the length.
        message: decoded.
        events: how many events it carries.
    """

    data: bytes
    message: Message
    events: int = 0


@dataclass(slots=True)
class Batch:
    """A batch that a consumer has received and not handled to its end."""

    seq: int
    left: int


@dataclass(slots=True)
class Flow:
    """One subscription's account.

    Args:
        ref: the subscription.
        asked: events that the consumer has asked for.
        asked_in: those of them that the producer knows of.
        sent: events that the producer has sent.
        received: events that the consumer has received.
        handled: events whose callback has returned.
        handled_seq: the last batch of which that holds to the end.
        acked: the last batch that the consumer has called finished.
        widest: the widest window that the consumer has had.
        ended: an end was sent or asked for, or an end of the link died: credit means nothing now.
        end_sent: the producer has said that nothing more comes.
        to_consumer: frames on their way to the consumer.
        to_producer: frames on their way to the producer.
        batches: received and not handled to the end.
        outputs: for a producer-consumer, the place after the last output of each handled batch that
            is not acknowledged.
    """

    ref: int
    producer: SimulatedProcess | None = None
    consumer: SimulatedProcess | None = None
    asked: int = 0
    asked_in: int = 0
    sent: int = 0
    received: int = 0
    handled: int = 0
    handled_seq: int = 0
    acked: int = 0
    widest: int = 0
    ended: bool = False
    end_sent: bool = False
    to_consumer: deque[Frame] = field(default_factory=deque)
    to_producer: deque[Frame] = field(default_factory=deque)
    batches: deque[Batch] = field(default_factory=deque)
    outputs: dict[int, int] = field(default_factory=dict)

    @property
    def events_on_wire(self) -> int:
        """Events sent and not received."""
        return self.sent - self.received

    @property
    def asks_on_wire(self) -> int:
        """Demand sent and not received."""
        return self.asked - self.asked_in


class Ledger:
    """The accounts of all subscriptions of a run."""

    def __init__(self) -> None:
        self.flows: dict[int, Flow] = {}
        self._by_process: dict[SimulatedProcess, list[Flow]] = {}

    def flow(self, ref: int) -> Flow:
        """The account of a subscription, opened when it is first heard of."""
        flow = self.flows.get(ref)
        if flow is None:
            flow = self.flows[ref] = Flow(ref)
        return flow

    def of(self, process: SimulatedProcess) -> list[Flow]:
        """The accounts that a process is a party of."""
        return self._by_process.get(process, [])

    def sent(self, process: SimulatedProcess, data: bytes) -> tuple[Flow, Frame]:
        """Enter a frame, without its length, that was put into an outbox."""
        message = decode(data)
        flow = self.flow(message.ref)
        if isinstance(message, Route | RouteEos | RouteLast | Notify):
            if flow.producer is not process:
                flow.producer = self._party(process, flow)
            events = 0
            if isinstance(message, Route):
                events = len(decode_events(message.codec, message.body))
                flow.sent += events
            elif isinstance(message, RouteEos):
                flow.ended = flow.end_sent = True
            frame = Frame(data, message, events)
            flow.to_consumer.append(frame)
            return flow, frame
        if flow.consumer is not process:
            flow.consumer = self._party(process, flow)
        if isinstance(message, Ask):
            flow.asked += message.count
            flow.acked = max(flow.acked, message.acked)
        elif isinstance(message, Unsubscribe):
            flow.ended = True
        frame = Frame(data, message)
        flow.to_producer.append(frame)
        return flow, frame

    def received(self, process: SimulatedProcess, link: int, data: bytes) -> Frame | None:
        """Enter a frame that has arrived; None when it is not the one that was to come."""
        flow = self.flow(link)
        coming = flow.to_producer if process is not flow.consumer else flow.to_consumer
        if not coming or coming[0].data != data:
            return None
        frame = coming.popleft()
        if isinstance(frame.message, Route):
            flow.received += frame.events
            flow.batches.append(Batch(frame.message.seq, frame.events))
        elif isinstance(frame.message, Ask):
            flow.asked_in += frame.message.count
        elif flow.producer is None and isinstance(frame.message, Subscribe):
            flow.producer = self._party(process, flow)
        return frame

    def handled(self, ref: int, count: int) -> list[int]:
        """Enter events whose callback has returned; the batches that this completes."""
        flow = self.flow(ref)
        flow.handled += count
        complete = []
        while count and flow.batches:
            batch = flow.batches[0]
            share = min(count, batch.left)
            batch.left -= share
            count -= share
            if not batch.left:
                flow.batches.popleft()
                flow.handled_seq = batch.seq
                complete.append(batch.seq)
        return complete

    def died(self, process: SimulatedProcess) -> None:
        """A party of these accounts is gone: what is under way may be lost, credit is void."""
        for flow in self.of(process):
            flow.ended = True

    def _party(self, process: SimulatedProcess, flow: Flow) -> SimulatedProcess:
        self._by_process.setdefault(process, []).append(flow)
        return process
