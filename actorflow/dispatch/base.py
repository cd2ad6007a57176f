"""What a dispatcher is: a pure state machine that decides which consumer gets which event.

A dispatcher owns the credit of its producer's subscriptions. It never calls out: the stage asks it
and sends what it answers. How much has been asked of the producer itself is not its business; the
stage compares `capacity` with what it has already requested (see `stage.producing`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from actorflow.dispatch.memory import Memory
from actorflow.protocol.delivery import Attempt, UnfinishedBatch
from actorflow.records import dataclass

__all__ = ["Delivery", "Dispatched", "Dispatcher", "Told"]


@dataclass(slots=True)
class Delivery:
    """Events for one subscription, in one message. Not frozen: one is made per batch.

    Args:
        ref: the subscription.
        events: what it gets; consumers that get the same events share one list.
        position: the place of the first event in the order of emission.
        attempt: which delivery of a single event this is, when a consumer has died of an earlier
            one; a dispatcher that keeps such a batch inside passes it on.

    Example:
        >>> Delivery(ref=3, events=["a", "b"], position=10)
        Delivery(ref=3, events=['a', 'b'], position=10, attempt=None)
    """

    ref: int
    events: list[Any]
    position: int
    attempt: Attempt | None = None


@dataclass(slots=True)
class Dispatched:
    """What became of a batch: who gets what, and how many at its end found no demand.

    Not frozen: one is made per batch.

    Example:
        >>> Dispatched([Delivery(3, ["a"], 10)], leftover=1).leftover
        1
    """

    deliveries: list[Delivery]
    leftover: int = 0


@dataclass(frozen=True, slots=True)
class Told:
    """A message for one subscription, in its place among the events that waited for it.

    Args:
        ref: the subscription.
        token: the message, as `Dispatcher.tell` got it.

    Example:
        >>> Told(ref=3, token="reload")
        Told(ref=3, token='reload')
    """

    ref: int
    token: object


class Dispatcher(ABC):
    """The rule of a producer for who gets which event; subclass it for a rule of your own.

    The interface is GenStage's dispatcher behaviour with three changes: credit is kept here and the
    debt to the producer in the stage, a refusal is an exception that ends that subscription only,
    and what a dead consumer had not finished comes back through `give_back`.

    A stage checks what a dispatcher that is not one of actorflow's own answers (see
    `dispatch.guard`), and ends with a `DispatcherError` when it breaks a rule.
    `actorflow.testing.check_dispatcher` asks all rules beforehand.

    Example:
        >>> from actorflow import BroadcastDispatcher
        >>> dispatcher = BroadcastDispatcher()
        >>> dispatcher.subscribe(1, "left", {})
        >>> dispatcher.ask(1, 10)
        >>> dispatcher.capacity, dispatcher.dispatch(["event"], 1).deliveries[0].ref
        (10, 1)
    """

    holds = True
    """Whether events or marks may wait inside; a dispatcher that never holds any says False, and is
    not asked for what is `ready` or `passed_marks` after each ask."""

    may_drop = False
    """Whether an event that was dispatched may reach nobody, and is then as good as finished."""

    may_copy = False
    """Whether more than one consumer may get the same event."""

    memory: Memory | None = None
    """The last events, where the dispatcher replays them to a late subscriber (see `catch_up`)."""

    discards = False
    """Whether it drops events that were meant for somebody: they come out of `take_discarded`."""

    @property
    @abstractmethod
    def capacity(self) -> int:
        """How many events it would take now, in whatever way it may."""

    @property
    def queued(self) -> int:
        """How many events wait inside the dispatcher for one particular consumer."""
        return 0

    @property
    def first_position(self) -> int | None:
        """The place of the oldest event that waits inside, or None."""
        return None

    @property
    def stranded(self) -> bool:
        """Whether events wait inside for somebody who is not there, and whom nobody expects.

        The stage warns of it once, until somebody subscribes: without one the events wait for ever.
        """
        return False

    def held_events(self) -> list[Any]:
        """The events that wait inside, in the order of emission, for a snapshot.

        A dispatcher that holds events has to say which, or they are lost when an `exactly_once`
        producer is restarted.
        """
        return []

    def expect(self, consumer: str) -> None:
        """A stage is declared to subscribe and has not yet.

        The base class does nothing: where anyone may have an event, nobody need be waited for.
        """

    def expect_no_more(self, consumer: str) -> None:
        """That stage will not subscribe after all."""

    @abstractmethod
    def subscribe(self, ref: int, consumer: str, options: Mapping[str, Any]) -> None:
        """Admit a subscription, with no credit yet.

        Args:
            ref: the subscription.
            consumer: the consumer's stage, for rules about the same consumer twice.
            options: the subscription's own options for this dispatcher.

        Raises:
            Refused: only this subscription ends, with the error's reason.
        """

    def replace(self, old: int, ref: int, consumer: str, options: Mapping[str, Any]) -> None:
        """Admit a subscription in the place of another one of the same consumer, which is over.

        The base class admits the new one beside the old one. A dispatcher that has one place for
        each consumer overrides it.

        Args:
            old: the subscription that is replaced; what its consumer has in hand may still come
                back through `give_back`.
            ref: the new subscription.
            consumer: the consumer's stage.
            options: the new subscription's own options for this dispatcher.

        Raises:
            Refused: nothing has changed: the old one goes on.
        """
        self.subscribe(ref, consumer, options)
        self.leave(old)

    def catch_up(self, ref: int, position: int) -> int:
        """A subscription has come late: let it have what is in `memory`, before anything newer.

        It is asked only of a dispatcher with a `memory`, and not for the successor of a consumer.

        Args:
            ref: the subscription, admitted, and with no credit yet.
            position: the place that those events are to have.

        Returns:
            how many events those are.

        Raises:
            CannotServe: only this subscription ends, with the error's reason.
        """
        return 0

    @abstractmethod
    def ask(self, ref: int, count: int) -> None:
        """Credit a subscription; an unknown or suspended one gets nothing."""

    @abstractmethod
    def dispatch(self, events: list[Any], position: int) -> Dispatched:
        """Give events to consumers, in order, as far as credit goes.

        While `capacity` is above 0 it takes at least one. The list is not to be changed; what is
        left over is its end.

        Args:
            events: at least one.
            position: the place of the first in the order of emission.

        Raises:
            CannotServe: one subscription cannot be served any more; nothing has changed. The stage
                ends that one, and dispatches the same events again.
            PartitionError: an event cannot be given to anybody; nothing has changed, and the
                producer fails.
        """

    def ready(self) -> Sequence[Delivery | Told]:
        """What waits inside for a particular consumer and can leave now, in order."""
        return ()

    @abstractmethod
    def suspend(self, ref: int) -> None:
        """The consumer is unreachable; it gets nothing more, whether it comes back is not known."""

    @abstractmethod
    def leave(self, ref: int, *, successor: bool = False) -> None:
        """A subscription is over, suspended or not; it constrains nobody from here on.

        Args:
            ref: the subscription.
            successor: a successor of this consumer is expected (see `succeed`), so its place, where
                places mean something, is kept.
        """

    @abstractmethod
    def give_back(self, ref: int, batches: list[UnfinishedBatch]) -> list[UnfinishedBatch]:
        """Take what a consumer that left had not finished, oldest first.

        A batch with an `attempt` holds one event that is to be delivered alone. Whoever keeps it
        inside makes a `Delivery` of its own of it, with that attempt.

        Returns:
            the batches that anyone may have; the rest waits inside for a particular consumer, or
            belongs to nobody any more.
        """

    def forget(self, ref: int) -> None:
        """Nothing more comes from this subscription, `give_back` included."""

    def succeed(self, old: int, ref: int) -> None:
        """The successor of a consumer that left subscribed as `ref`: it takes over its place.

        The base class does nothing: in a dispatcher without places nobody has anything to inherit.
        """

    def outstanding(self, ref: int) -> int:
        """The credit of one subscription, for statistics and tests; 0 for an unknown one."""
        return 0

    def mark(self, token: object) -> bool:
        """Put a mark behind everything that waits inside.

        Returns:
            True when nothing waits, so that the mark is passed already; else the token comes out
            of `passed_marks` once everything before it has left.
        """
        return True

    def tell(self, token: object, refs: Sequence[int]) -> Sequence[int]:
        """Tell every consumer something, each behind the events that wait inside for it.

        Args:
            token: the message.
            refs: who can be told.

        Returns:
            those for whom nothing waits; for the others it comes out of `ready`, in its place. The
            base class holds nothing back from anybody.
        """
        return refs

    def passed_marks(self) -> list[object]:
        """The tokens whose marks have been passed since the last call."""
        return []

    def take_discarded(self) -> list[Any]:
        """The events dropped since the last call, when it `discards`."""
        return []

    def waiting_for(self, ref: int) -> int:
        """How many events wait inside for one subscription, for statistics."""
        return 0

    def waiting_changed(self) -> bool:
        """Whether other events, or another number of them, wait inside than at the last call.

        The base class always says so; it is asked only of a dispatcher that `holds`.
        """
        return True

    @property
    def name(self) -> str:
        """What a status page calls it."""
        return type(self).__name__

    def describe(self) -> Mapping[str, Any]:
        """What a status page shows of it besides, as plain data."""
        return {}
