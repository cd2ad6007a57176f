"""The parts that a test plays for a stage alone: its consumers, its producers, its supervisor."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any

from actorflow.protocol import control
from actorflow.protocol.codec import Encoder, decode_value, encode_value
from actorflow.protocol.delivery import Attempt
from actorflow.protocol.failure import Failure
from actorflow.protocol.identity import Incarnation, StageId
from actorflow.protocol.messages import (
    Ask,
    Call,
    Cast,
    Down,
    Info,
    Message,
    Notify,
    Route,
    RouteAgain,
    RouteEos,
    RouteLast,
    Subscribe,
    Unsubscribe,
)
from actorflow.stage.work import CONTROL_LINK
from actorflow.testing.recording import Recording

__all__ = ["PlayedPeers"]


class PlayedPeers(Recording, ABC):
    """What a test says to a stage, message by message, in the place of everybody it talks to.

    Args:
        child: the stage.
    """

    def __init__(self, child: Incarnation) -> None:
        super().__init__()
        self.child = child
        self._seq: dict[int, int] = {}
        self._calls = 0
        self._encoder = Encoder("harness")

    @abstractmethod
    def receive(self, link: int, message: Message | bytes) -> None:
        """Have a message, or a frame without its length, arrive on a link."""

    # --- the test as a consumer ------------------------------------------------------------------

    def subscribe(
        self,
        ref: int,
        consumer: str = "consumer",
        *,
        replaces: int | None = None,
        reason: Any = None,
        **options: Any,
    ) -> None:
        """Link a consumer to the stage and subscribe it; it asks for nothing by itself.

        Args:
            ref: the subscription.
            consumer: who: ``"c"``, ``"c/1"`` or ``"c/1#2"``.
            replaces: the subscription that this one replaces.
            reason: why the replaced one ends.
            options: the subscription's options, sent as they are, right or wrong.
        """
        who = str(_incarnation(consumer))
        self.order(control.Link(ref, "producer", who, options, place=ref))
        self.receive(ref, Subscribe(ref, options, replaces, reason))

    def ask(self, ref: int, count: int, acked: int = 0) -> None:
        """Ask as a consumer, for so many events, acknowledging every batch up to `acked`."""
        self.receive(ref, Ask(ref, count, acked))

    def acknowledge(self, ref: int, seq: int | None = None) -> None:
        """Acknowledge as a consumer every batch up to `seq`, or all that have come."""
        last = self.batches(ref)[-1].seq if seq is None else seq
        self.receive(ref, Ask(ref, 0, last))

    def unsubscribe(self, ref: int, reason: Any = "normal") -> None:
        """Cancel as a consumer."""
        self.receive(ref, Unsubscribe(ref, reason))

    # --- the test as a producer ------------------------------------------------------------------

    def link_to_producer(
        self,
        ref: int,
        producer: str = "producer",
        *,
        replaces: int | None = None,
        reason: Any = None,
        **options: Any,
    ) -> None:
        """Link the stage to a producer; it subscribes and asks.

        Args:
            ref: the subscription.
            producer: who: ``"p"``, ``"p/1"`` or ``"p/1#2"``.
            replaces: the subscription that the stage is to replace by this one.
            reason: why the replaced one ends.
            options: the fields of `actorflow.SubscriptionOptions`, and its dispatcher's.
        """
        who = str(_incarnation(producer))
        self.order(control.Link(ref, "consumer", who, options, replaces, reason, place=ref))

    def route(self, ref: int, events: Iterable[Any], seq: int | None = None) -> None:
        """Send the stage a batch of events, under the next sequence number or under `seq`."""
        encoded = self._encoder.encode(ref, list(events))
        number = self._seq.get(ref, 0) + 1 if seq is None else seq
        self._seq[ref] = number
        self.receive(ref, Route(ref, number, encoded.codec, encoded.body))

    def route_again(self, ref: int, event: Any, attempt: Attempt) -> None:
        """Send the stage an event that a consumer had in hand when it died, under the next number.

        Args:
            ref: the subscription.
            event: the event.
            attempt: which delivery this is, and what came of the last one.
        """
        encoded = self._encoder.encode(ref, [event])
        number = self._seq[ref] = self._seq.get(ref, 0) + 1
        self.receive(
            ref,
            RouteAgain(
                ref,
                number,
                encoded.codec,
                encoded.body,
                attempt.number,
                attempt.alone,
                attempt.failure,
                attempt.buried,
            ),
        )

    def notify(self, ref: int, message: Any) -> None:
        """Send the stage an in-band notification."""
        encoded = encode_value(message)
        self.receive(ref, Notify(ref, encoded.codec, encoded.body))

    def eos(self, ref: int, reason: Any = "done") -> None:
        """Tell the stage that no more events come, and why."""
        self.receive(ref, RouteEos(ref, reason))

    def last(self, ref: int) -> None:
        """Tell the stage that all that its producer will ever emit is sent."""
        self.receive(ref, RouteLast(ref))

    # --- the test as the supervisor --------------------------------------------------------------

    def down(self, peer: str, reason: Any = "killed", *, restarting: bool = False) -> None:
        """Tell the stage that a peer is gone, and whether a successor is coming.

        Example:
            >>> import actorflow
            >>> from actorflow.testing import StageHarness
            >>> class Idle(actorflow.Producer):
            ...     def handle_demand(self, demand):
            ...         return None
            >>> harness = StageHarness(Idle)
            >>> harness.subscribe(1, "sink")
            >>> harness.down("sink")
            >>> harness.calls("handle_cancel")[0][0]
            ('down', 'killed')
        """
        who = str(_incarnation(peer))
        self.receive(CONTROL_LINK, Down(0, who, reason, restarting))

    def order(self, record: control.Control) -> None:
        """Give the stage an order: any of the records of `actorflow.protocol.control`."""
        self.receive(CONTROL_LINK, control.encode_control(record))

    def expect(self, *producers: str, consumers: Iterable[str] = ()) -> None:
        """Tell the stage who is declared to be linked with it.

        Args:
            producers: whose streams it waits for, such as ``"numbers/0"``.
            consumers: who will subscribe to it.
        """
        self.order(control.Expect(list(producers), list(consumers)))

    def set_demand(self, mode: str) -> None:
        """Have the stage accumulate or forward demand."""
        self.order(control.SetDemand(mode))

    def cancel(self, ref: int, reason: Any = "normal") -> None:
        """Have the stage cancel a subscription to a producer."""
        self.order(control.CancelSubscription(ref, reason))

    def move(self, ref: int, reason: Any = "normal") -> None:
        """Tell the stage that a subscription to another producer has taken this one's place."""
        self.order(control.CancelSubscription(ref, reason, replaced=True))

    def finish(self) -> None:
        """Have the stage finish."""
        self.order(control.Finish())

    def stop(self, reason: Any = "shutdown") -> None:
        """Have the stage stop."""
        self.order(control.Stop(reason))

    def cast(self, message: Any) -> None:
        """Send the stage a message for `handle_cast`."""
        encoded = encode_value(message)
        self.receive(CONTROL_LINK, Cast(0, control.USER, encoded.codec, encoded.body))

    def info(self, message: Any) -> None:
        """Send the stage a message for `handle_info`, behind what it has buffered."""
        encoded = encode_value(message)
        self.receive(CONTROL_LINK, Info(0, control.USER, encoded.codec, encoded.body))

    def call(self, request: Any, scope: str = control.USER) -> Any:
        """Call the stage and return its reply.

        Raises:
            LookupError: it has not replied; see `send_call` and `reply_to`.
            Exception: what the stage's `handle_call` raised.

        Example:
            >>> import actorflow
            >>> from actorflow.testing import StageHarness
            >>> class Answer(actorflow.Producer):
            ...     def handle_call(self, request, sender):
            ...         return request + 1
            >>> StageHarness(Answer).call(41)
            42
        """
        return self.reply_to(self.send_call(request, scope))

    def send_call(self, request: Any, scope: str = control.USER) -> int:
        """Call the stage; returns the number by which `reply_to` knows the call."""
        self._calls += 1
        encoded = encode_value(request)
        self.receive(CONTROL_LINK, Call(self._calls, scope, encoded.codec, encoded.body))
        return self._calls

    def reply_to(self, call: int) -> Any:
        """The reply to a call; raises as `call` does."""
        reply = self._replies.get(call)
        if reply is None:
            raise LookupError(f"{self.child} has not replied to call {call}")
        value = decode_value(reply.codec, reply.body)
        if reply.outcome != "ok":
            raise Failure.from_wire(value).exception()
        return value

    def status(self) -> dict[str, Any]:
        """What the stage says of itself."""
        found: dict[str, Any] = self.call("status", control.SYSTEM)
        return found


def _incarnation(text: str) -> Incarnation:
    """An incarnation from as much of its text as the test gave."""
    stage, _, generation = text.partition("#")
    name, _, index = stage.partition("/")
    return Incarnation(StageId(name, int(index or 0)), int(generation or 1))
