"""A consumer's subscriptions as it sees them: records that the consuming half works on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from actorflow.protocol.delivery import Origin
from actorflow.protocol.demand import SubscriptionOptions, Window
from actorflow.protocol.held import FinishedInOrder
from actorflow.protocol.reasons import DONE
from actorflow.stage.behaviour import Subscription

__all__ = ["Ending", "Incoming", "Streams", "Taken"]


@dataclass(slots=True)
class Incoming:
    """One subscription to a producer.

    Args:
        handle: as the callbacks see it.
        link: what it travels on.
        options: its options.
        window: its demand, or None while it is manual.
        prefix: the constant part of its asks.
    """

    handle: Subscription
    link: int
    options: SubscriptionOptions
    window: Window | None
    prefix: bytes
    received: int = 0
    finished: int = 0
    acknowledged: int = 0
    open_batches: int = 0
    ended: bool = False
    over: bool = False
    """Whether `handle_cancel` was called for its end."""
    reason: Any = None
    """Why it is over."""
    broken: bool = False
    replaced: bool = False
    """Another subscription takes its place, so that its end is nobody's end."""
    in_order: FinishedInOrder = field(default_factory=FinishedInOrder)
    """Of a consumer that finishes batches later than they are handled: up to where all are."""
    ref: int = field(init=False)
    """The subscription's name."""

    def __post_init__(self) -> None:
        self.ref = self.handle.ref


@dataclass(slots=True)
class Taken:
    """A batch in hand: part of a message, and what follows when it has been handled.

    Not frozen: one is made per batch.

    Args:
        incoming: the subscription.
        events: the batch.
        ask: how much to ask for afterwards.
        seq: the message's sequence number when this is its last batch, else 0.
        origin: the message in the stage's lineage, for a producer-consumer.
    """

    incoming: Incoming
    events: list[Any]
    ask: int
    seq: int
    origin: Origin | None = None


@dataclass(frozen=True, slots=True)
class Ending:
    """The end of a subscription, to be handled in its turn.

    Args:
        incoming: the subscription.
        kind: ``"cancel"`` or ``"down"``.
        reason: why.
        restarting: whether a successor of the producer is coming.
    """

    incoming: Incoming
    kind: str
    reason: Any
    restarting: bool = False


@dataclass(slots=True)
class Streams:
    """Which producers' streams are still to end, by stage."""

    expected: set[str] = field(default_factory=set)
    ended: bool = False
    reason: Any = DONE
