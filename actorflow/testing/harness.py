"""A harness for one stage: the real stage machine, with the test as its peers and its supervisor.

There is no process, pipe, thread or waiting. The test says what arrives, message by message, and
reads what the stage answered; time passes when the test says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from actorflow.errors import NotInStage
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
from actorflow.protocol.wire import encode
from actorflow.runtime.simulated.clock import FakeClock
from actorflow.runtime.simulated.companions import SimulatedCompanions
from actorflow.stage.behaviour import Stage
from actorflow.stage.children import ChildEnded, ChildKind, ChildRuntime, Observer
from actorflow.stage.companions import CompanionObserver, CompanionRuntime
from actorflow.stage.machine import StageMachine
from actorflow.stage.options import StageOptions
from actorflow.stage.spec import StageSpec
from actorflow.stage.work import CONTROL_LINK, Work
from actorflow.testing.offspring import PlayedChildren
from actorflow.testing.recording import Called, Recording
from actorflow.topology.planning import class_options

__all__ = ["StageHarness"]

ENDLESS = 100_000
"""After so many callbacks in one `StageHarness.run` a stage is taken to go round in circles."""


class StageHarness(Recording):
    """One stage, alone, with the test in the place of everybody it talks to.

    After each message the stage does all its work, unless `autorun` is off; then `run` or `step`.
    A subscription and the link that it travels on have the same number, its `ref`.

    Args:
        behaviour: the stage's class.
        arguments: its constructor's keyword arguments.
        name: the stage's name.
        index: which of its replicas it is.
        replicas: how many there are.
        generation: which life of the stage this is, from 1.
        autorun: whether the stage works as soon as something arrives.
        seconds_per_event: how long each callback takes on the harness's clock, per event in hand.
        options: the fields of `actorflow.StageOptions`; the class's own attributes count first.

    Example:
        A producer-consumer between a producer and a consumer that the test plays:

        >>> import actorflow
        >>> class Double(actorflow.ProducerConsumer):
        ...     def handle_events(self, events, subscription):
        ...         return [2 * event for event in events]
        >>> harness = StageHarness(Double)
        >>> harness.link_to_producer(1, "numbers", max_demand=4, min_demand=2)
        >>> harness.asks(1)
        [4]
        >>> harness.route(1, [10, 20, 30])
        >>> harness.subscribe(2, "sink")
        >>> harness.ask(2, 9)
        >>> harness.events(2)
        [[20, 40], [60]]
        >>> harness.asks(1)
        [4, 2]
    """

    def __init__(
        self,
        behaviour: type[Stage],
        arguments: Mapping[str, Any] | None = None,
        *,
        name: str = "stage",
        index: int = 0,
        replicas: int = 1,
        generation: int = 1,
        autorun: bool = True,
        seconds_per_event: float = 0.0,
        **options: Any,
    ) -> None:
        super().__init__()
        self.child = Incarnation(StageId(name, index), generation)
        self.clock = FakeClock()
        self.autorun = autorun
        self.seconds_per_event = seconds_per_event
        self.error: BaseException | None = None
        """The exception that ended the stage."""
        self.offspring: PlayedChildren | None = None
        """The children of a stage that has some; the test says when and how each ends."""
        self._seq: dict[int, int] = {}
        self._calls = 0
        self._encoder = Encoder("harness")
        spec = StageSpec(
            id=self.child.stage,
            behaviour=behaviour,
            arguments=dict(arguments or {}),
            options=StageOptions(**{**class_options(behaviour), **options}),
            replicas=replicas,
        )
        self.machine = StageMachine(self.child, spec, self, self.slot, self.clock)
        self.machine.start()
        self._settle()

    # --- work ------------------------------------------------------------------------------------

    def step(self) -> str | None:
        """Call one callback; returns its name, or None when there is nothing to do."""
        work = None if self.machine.ended else self.machine.next_work()
        if work is None:
            return None
        self._perform(work)
        return work.label

    def run(self) -> None:
        """Do all the work there is.

        Raises:
            RuntimeError: the stage does not come to rest.
        """
        for _ in range(ENDLESS):
            if self.step() is None:
                return
        raise RuntimeError(f"{self.child} does not come to rest within {ENDLESS} callbacks")

    def advance(self, seconds: float) -> None:
        """Let time pass; timers fire in order, each at its own time, and their work is done.

        Example:
            >>> import actorflow
            >>> class Clock(actorflow.Producer):
            ...     def on_start(self):
            ...         self.send_after(2, "tick")
            ...     def handle_info(self, message):
            ...         self.log.info(message)
            >>> harness = StageHarness(Clock)
            >>> harness.advance(1.9), len(harness.log)
            (None, 0)
            >>> harness.advance(0.1), len(harness.log)
            (None, 1)
        """
        until = self.clock() + seconds
        while (due := self.machine.next_due()) is not None and due <= until:
            self.clock.advance_to(due)
            self._guarded(self.machine.advance)
            self._settle()
            if self.machine.ended:
                break
        self.clock.advance_to(until)

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

    # --- the test as the supervisor --------------------------------------------------------------

    def last(self, ref: int) -> None:
        """As its producer, say that all that it will ever emit is sent."""
        self.receive(ref, RouteLast(ref))

    def down(self, peer: str, reason: Any = "killed", *, restarting: bool = False) -> None:
        """Tell the stage that a peer is gone, and whether a successor is coming.

        Example:
            >>> import actorflow
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

    # --- the wire --------------------------------------------------------------------------------

    def receive(self, link: int, message: Message | bytes) -> None:
        """Have a message, or a frame without its length, arrive on a link.

        What arrives on a link that the stage has closed is not read by anyone.
        """
        if link in self.closed:
            return
        data = message if isinstance(message, bytes) else encode(message)[4:]
        self._guarded(lambda: self.machine.receive(link, data))
        self._settle()

    def hang_up(self, link: int) -> None:
        """A link comes to its end, as when the process on its other side is gone."""
        if link not in self.closed:
            self._cut(link)
            self._settle()

    @property
    def behaviour(self) -> Any:
        """The stage's own object.

        Raises:
            NotInStage: its constructor has not returned.
        """
        found = self.machine.behaviour
        if found is None:
            raise NotInStage(f"{self.child} has not started")
        return found

    def children(self, kind: ChildKind, observe: Observer) -> ChildRuntime:
        """The stage opens the place where its children live: in the test's hands."""

        def tell(endings: Sequence[ChildEnded]) -> None:
            self._guarded(lambda: observe(endings))
            self._settle()

        self.offspring = PlayedChildren(kind, self.clock, tell)
        return self.offspring

    def companions(self, place: str, observer: CompanionObserver) -> CompanionRuntime:
        """Where the stage's companions live: they work in `advance`, also of 0 seconds."""
        return SimulatedCompanions(self.machine.call_after, observer, lambda: 0.0, lambda: False)

    def drain(self, link: int) -> None:
        """The stage reads a dead peer's link to its end."""
        if link in self.opened:
            self._cut(link)

    # --- within ----------------------------------------------------------------------------------

    def _perform(self, work: Work) -> None:
        self.trace.append(Called(work.label, work.args))
        before = self.clock()
        try:
            result = work.call(*work.args)
            self.clock.advance(work.events * self.seconds_per_event)
            self.machine.complete(work, result, self.clock() - before)
        except Exception as error:  # noqa: BLE001  (whatever a stage raises ends the stage)
            self._fail(error)

    def _cut(self, link: int) -> None:
        self.opened.discard(link)
        self._guarded(lambda: self.machine.link_closed(link))

    def _guarded(self, act: Callable[[], None]) -> None:
        try:
            act()
        except Exception as error:  # noqa: BLE001  (as every driver does)
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        if self.error is None:
            self.error = error
        self.machine.fail(error)

    def _settle(self) -> None:
        if self.autorun:
            self.run()


def _incarnation(text: str) -> Incarnation:
    """An incarnation from as much of its text as the test gave."""
    stage, _, generation = text.partition("#")
    name, _, index = stage.partition("/")
    return Incarnation(StageId(name, int(index or 0)), int(generation or 1))
