"""What users subclass: Producer, ProducerConsumer and Consumer, and the verbs of a stage."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from actorflow.stage.answers import FORWARD, Answer

if TYPE_CHECKING:
    from actorflow.stage.held import HeldBatch

from actorflow.stage.base import Stage, StageContext, Subscription

__all__ = [
    "Consumer",
    "Producer",
    "ProducerConsumer",
    "Stage",
    "StageContext",
    "Subscription",
    "ends_with_events",
    "flushes",
    "kind_of",
    "takes_snapshots",
]


class _Producing(Stage):
    """What producers and producer-consumers share."""

    buffer_size: int | None = 10_000
    max_unfinished: int | None = 100_000
    buffer_keep: str = "last"
    when_no_consumers: str = "buffer"
    dispatcher: Any = "demand"

    def handle_discarded(self, events: list[Any]) -> bool | None:
        """These events were dropped: the buffer was full, or there was no consumer.

        The second happens with ``when_no_consumers: discard`` alone.

        Returns:
            False to keep the warning about a full buffer out of the log.
        """
        return True

    @property
    def outstanding(self) -> Mapping[Subscription, int]:
        """How many events each consumer has asked for and not got, at this moment.

        A picture and no live view: what is emitted after it was taken is not in it. It is made when
        it is asked for, so it costs nothing otherwise.

        Example:
            >>> from actorflow.testing import StageHarness
            >>> class Letters(Producer):
            ...     def handle_demand(self, demand):
            ...         return [f"for {each.stage}" for each in self.outstanding]
            >>> harness = StageHarness(Letters)
            >>> harness.subscribe(1, "reader")
            >>> harness.ask(1, 5)
            >>> harness.events(1)
            [['for reader']]
        """
        return self._running().outstanding()

    def demand_of(self, subscription: Subscription) -> int:
        """How many events this consumer has asked for and not got; 0 when it has left."""
        return self._running().outstanding().get(subscription, 0)

    def emit(self, events: Iterable[Any]) -> None:
        """Send events: to whoever has demand, the rest to the buffer.

        Raises:
            EventNotEncodable: an event cannot leave the process.
        """
        self._running().emit(events)

    def notify(self, message: Any) -> None:
        """Tell every consumer something, in order with the events and without demand."""
        self._running().notify(message)

    def send_behind(self, message: Any) -> None:
        """Have `handle_info(message)` called once all that was emitted so far has left."""
        self._running().send_behind(message)

    # --- a manager of other producers -------------------------------------------------------------

    def add_members(self, stages: Iterable[str]) -> None:
        """Have everyone who subscribes to this stage joined directly with these producers too.

        What cannot be, such as an unknown stage, comes back to `handle_info` as a `MembersRefused`.

        Args:
            stages: names, ``"numbers"`` (every replica) or ``"numbers/1"``.

        Raises:
            OptionError: one of them is no name.
        """
        self._running().change_members("add", stages)

    def remove_members(self, stages: Iterable[str]) -> None:
        """Have those who subscribe to this stage ask these producers no more."""
        self._running().change_members("remove", stages)

    def set_members(self, stages: Iterable[str]) -> None:
        """Have these producers, and no others, as members; as `add_members` otherwise."""
        self._running().change_members("set", stages)


class Producer(_Producing):
    """A source of events.

    Example:
        >>> class Counter(Producer):
        ...     def __init__(self, start: int = 0) -> None:
        ...         self.next = start
        ...     def handle_demand(self, demand: int) -> range:
        ...         events = range(self.next, self.next + demand)
        ...         self.next += demand
        ...         return events
    """

    demand: str = "forward"
    poll_interval: float | None = None

    def handle_demand(self, demand: int) -> Iterable[Any] | None:
        """Make up to `demand` events (at least 1 is asked for).

        It may return fewer, or none: the rest stays owed, and goes out with a later `emit`, or
        when `poll_interval` asks again.
        """
        raise NotImplementedError(f"{type(self).__name__} must define handle_demand")

    def finish(self) -> None:
        """This source is done: what is buffered goes out, then its consumers are told."""
        self._running().finish()

    def set_demand(self, mode: str) -> None:
        """Hold demand and events (``"accumulate"``) or let them flow (``"forward"``)."""
        self._running().set_demand(mode)


class Consumer(Stage):
    """A sink of events.

    Example:
        >>> class Print(Consumer):
        ...     def handle_events(self, events: list[int], subscription: Subscription) -> None:
        ...         print(events)
    """

    on_error: Any = "restart"
    max_deliveries: int | None = None

    def handle_events(self, events: list[Any], subscription: Subscription) -> Any:
        """Take a batch, at least one event. It must return None."""
        raise NotImplementedError(f"{type(self).__name__} must define handle_events")

    def on_end(self) -> Any:
        """The input is at its end, and every batch is finished: the place for last events.

        Called once, before consumers are told the end and before `on_stop`; not when the stage is
        stopped. A producer-consumer may return events, or `emit` them: unlike those of `on_stop`
        they always leave. A class with `finishes_later` may take a handle with `later`, return
        `actorflow.LATER`, and call the handle's ``finished()`` when its last events are emitted.

        Example:
            >>> from actorflow.testing import run
            >>> class Longest(ProducerConsumer):
            ...     words = ()
            ...     def handle_events(self, events, subscription):
            ...         self.words = [*self.words, *events]
            ...     def on_end(self):
            ...         return [max(self.words, key=len)]
            >>> list(run(Longest, ["a", "abc", "ab"]))
            ['abc']
        """

    def on_flush(self) -> Any:
        """Nothing more comes, and the producers wait for what this stage holds: let go of it.

        For a stage that holds events back to put them together, and has not finished them: it is
        called when all that the producers will ever emit is here, before they end, and before
        `on_end`. It is called again in the rare case that more comes all the same, such as what
        another consumer had in hand when it died. A producer-consumer may return events.

        Example:
            >>> from actorflow import LATER
            >>> from actorflow.testing import run
            >>> class Pairs(ProducerConsumer):
            ...     finishes_later, at_once = True, 10
            ...     def on_start(self):
            ...         self.held = []
            ...     def handle_events(self, events, subscription):
            ...         batch = self.later()
            ...         self.held += [(batch, event) for event in events]
            ...         while len(self.held) > 1:
            ...             self.leave(2)
            ...         return LATER
            ...     def leave(self, count):
            ...         pair, self.held = self.held[:count], self.held[count:]
            ...         self.emit([[event for _, event in pair]])
            ...         for batch, _ in pair:
            ...             batch.finished(1)
            ...     def on_flush(self):
            ...         if self.held:
            ...             self.leave(1)
            >>> list(run(Pairs, [1, 2, 3]))
            [[1, 2], [3]]
        """

    def later(self) -> HeldBatch:
        """Finish the batch in hand later; to be called in `handle_events`, which returns LATER.

        It is for a class that says ``finishes_later = True``. Such a class gets each message as one
        batch, of at most `max_demand` events. Credit returns for each event that is finished, and
        the batch is acknowledged when all of them are; until then the stage does not end by itself.

        Returns:
            a handle; call its ``finished()``, or ``finished(count)``.

        Raises:
            NotInStage: no `handle_events` is running, or the class does not finish later.
        """
        return self._running().later()

    def ask(self, subscription: Subscription, count: int) -> None:
        """Ask for `count` more events on a manual subscription."""
        self._running().ask(subscription, count)

    def pause(self, subscription: Subscription) -> None:
        """Ask for nothing more on a subscription until `resume`.

        What was asked for before still comes and is handled: at most ``max_demand`` events. A pause
        outlives a restart of the producer. It does not hold up a drain, which lifts it.

        Args:
            subscription: one to a producer, as callbacks get it; nothing happens when it has ended.

        Raises:
            OptionError: it is none.

        Example::

            def handle_events(self, events, subscription):
                if not self.database.answers():
                    self.pause(subscription)
                    self.send_after(5, subscription)

            def handle_info(self, subscription):
                self.resume(subscription)
        """
        self._running().pause(subscription)

    def resume(self, subscription: Subscription) -> None:
        """Ask again on a subscription that this stage has paused, for what its window lacks.

        A pause of the program (`actorflow.Run.pause`) is lifted by the program.

        Args:
            subscription: one to a producer; nothing happens when it is not paused.

        Raises:
            OptionError: it is none.
        """
        self._running().resume(subscription)

    def set_mode(self, subscription: Subscription, mode: str) -> None:
        """Ask by hand from now on (``"manual"``), or let the runtime ask (``"automatic"``).

        It holds from the end of this callback. What is under way stays under way: switched back, a
        subscription asks for what its window lacks beside that. In `handle_subscribe` return the
        mode instead; it is what a subscription begins with, also after a restart of the producer.

        Args:
            subscription: one to a producer; nothing happens when it has ended.
            mode: ``"automatic"`` or ``"manual"``.

        Raises:
            OptionError: another mode, no subscription to a producer, or a class that says
                `finishes_later` or has a `handle_demand`, whose mode is fixed.
        """
        self._running().set_mode(subscription, mode)

    def set_rate(
        self, subscription: Subscription, rate: float | None, burst: int | None = None
    ) -> None:
        """Take at most so many events per second from now on; None for no limit.

        It holds from the end of this callback, and means nothing while the subscription is manual.

        Args:
            subscription: one to a producer; nothing happens when it has ended.
            rate: events per second, above 0, or None.
            burst: how many may come at once after a quiet time, from 1; the default is what the
                rate gives in a tenth of a second.

        Raises:
            OptionError: a value breaks its rule.

        Example::

            def handle_events(self, events, subscription):
                if self.service.said_too_many_requests:
                    self.set_rate(subscription, 10, burst=1)
        """
        self._running().set_rate(subscription, rate, burst)


class ProducerConsumer(_Producing, Consumer):
    """Takes events and emits others.

    Example:
        >>> class Double(ProducerConsumer):
        ...     def handle_events(self, events: list[int], subscription: Subscription) -> list[int]:
        ...         return [2 * event for event in events]
    """

    buffer_size = None

    def handle_events(self, events: list[Any], subscription: Subscription) -> Iterable[Any] | None:
        """Take a batch; returns the events made from it, or None."""
        raise NotImplementedError(f"{type(self).__name__} must define handle_events")

    def handle_demand(self, demand: int) -> Iterable[Any] | Answer | None:
        """Decide about demand: override it to answer, hold or pass on what consumers want.

        Without it the stage keeps its own windows full, whatever its consumers want. With it, its
        producers are asked for what this callback leaves unanswered: nothing while there is no
        demand, never more than a subscription's `max_demand`, and every producer for all of it.

        Args:
            demand: how many events consumers want beyond what is buffered and what was put to this
                callback before, at least 1.

        Returns:
            events, which go to the consumers, or None: the rest is asked of the producers; or
            `actorflow.HOLD`: it is not, until `forward` is called, or events emitted later meet it;
            or `actorflow.FORWARD`: the subscriptions go by their own windows, as without this
            callback, until it answers something else.

        Example:
            >>> from actorflow.testing import StageHarness
            >>> class Cache(ProducerConsumer):
            ...     def __init__(self):
            ...         self.known = ["a", "b", "c"]
            ...     def handle_demand(self, demand):
            ...         answers, self.known = self.known[:demand], self.known[demand:]
            ...         return answers
            ...     def handle_events(self, events, subscription):
            ...         return events
            >>> cache = StageHarness(Cache)
            >>> cache.link_to_producer(1, max_demand=10)
            >>> cache.subscribe(2)
            >>> cache.ask(2, 4)
            >>> cache.events(2), cache.asks(1)
            ([['a', 'b', 'c']], [1])
        """
        return FORWARD

    def forward(self, count: int | None = None) -> int:
        """Ask the producers for demand that `handle_demand` holds.

        Args:
            count: how much, from 0; None for all of it.

        Returns:
            how much it was: no more than is held.

        Raises:
            OptionError: `count` is no such number.
            NotInStage: the stage has no `handle_demand` of its own, so it holds none.
        """
        return self._running().forward(count)


def takes_snapshots(behaviour: type[Stage]) -> bool:
    """Whether a class defines `snapshot`.

    Example:
        >>> takes_snapshots(Consumer)
        False
    """
    return behaviour.snapshot is not Stage.snapshot


def ends_with_events(behaviour: type[Stage]) -> bool:
    """Whether a class has an `on_end` of its own.

    Example:
        >>> ends_with_events(Consumer)
        False
    """
    return issubclass(behaviour, Consumer) and behaviour.on_end is not Consumer.on_end


def flushes(behaviour: type[Stage]) -> bool:
    """Whether a class has an `on_flush` of its own.

    Example:
        >>> flushes(Consumer)
        False
    """
    return issubclass(behaviour, Consumer) and behaviour.on_flush is not Consumer.on_flush


def kind_of(behaviour: type[Stage]) -> str:
    """What a class is: ``"producer"``, ``"producer_consumer"`` or ``"consumer"``.

    Raises:
        TypeError: it is none of them.

    Example:
        >>> kind_of(ProducerConsumer)
        'producer_consumer'
    """
    if isinstance(behaviour, type):
        if issubclass(behaviour, ProducerConsumer):
            return "producer_consumer"
        if issubclass(behaviour, Producer):
            return "producer"
        if issubclass(behaviour, Consumer):
            return "consumer"
    raise TypeError(f"{behaviour!r} is no subclass of Producer, ProducerConsumer or Consumer")
