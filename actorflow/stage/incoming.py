"""A consumer's subscriptions as it sees them: records that the consuming half works on."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Any

from actorflow.protocol.delivery import Attempt, Origin
from actorflow.protocol.demand import ManualWindow, SubscriptionOptions, Window
from actorflow.protocol.held import FinishedInOrder
from actorflow.protocol.limited import LimitedWindow
from actorflow.protocol.rate import RateLimit, TokenBucket
from actorflow.records import dataclass
from actorflow.stage.behaviour import Subscription
from actorflow.stage.link_counters import ConsumerMeter, ConsumerTally

if TYPE_CHECKING:
    from actorflow.protocol.blobs import BlobSource

__all__ = ["Ending", "Incoming", "Taken", "Told"]


@dataclass(slots=True)
class Incoming:
    """One subscription to a producer.

    Args:
        handle: as the callbacks see it.
        link: what it travels on.
        options: its options.
        automatic: its demand, as far as the runtime asks.
        prefix: the constant part of its asks.
    """

    handle: Subscription
    link: int
    options: SubscriptionOptions
    automatic: Window
    prefix: bytes
    meter: ConsumerMeter | ConsumerTally
    """Counts what is asked and received on its link."""
    blobs: BlobSource | None = None
    """Where large buffers are that its producer leaves out of its bodies."""
    received: int = 0
    finished: int = 0
    acknowledged: int = 0
    open_batches: int = 0
    last: int | None = None
    """The batch behind which the producer has said that it will emit nothing more."""
    ended: bool = False
    over: bool = False
    """Whether `handle_cancel` was called for its end."""
    reason: Any = None
    """Why it is over."""
    broken: bool = False
    unsubscribed: bool = False
    """Whether it is this side that ends it."""
    holds: bool = False
    """Whether asks are not simply sent. It is asked after every batch, so it is one flag for all
    reasons; `settle` keeps it."""
    owed: int = 0
    """Demand of the window that has not been sent."""
    paused_by: set[str] = field(default_factory=set)
    """Who has paused it and not resumed: ``"stage"``, ``"program"``."""
    bucket: TokenBucket | None = None
    """What limits its rate."""
    limit: RateLimit | None = None
    """The limit that the bucket keeps to."""
    set_by_stage: bool = False
    """Whether the stage itself has set the limit that holds now."""
    waits_for_tokens: bool = False
    """Whether a timer will look for tokens."""
    replaced: bool = False
    """Another subscription takes its place, so that its end is nobody's end."""
    in_order: FinishedInOrder = field(default_factory=FinishedInOrder)
    """Of a consumer that finishes batches later than they are handled: up to where all are."""
    exchanged: bool = False
    """Another one on the same producer takes its place, in one step there."""
    replaces: Incoming | None = None
    """Whose place it takes, and may not have yet."""
    follows: Incoming | None = None
    """The one before it on the same producer: nothing is asked for until that has ended, so that
    events stay in order."""
    early: list[Told | Ending] = field(default_factory=list)
    """What arrived before the one that it follows had ended."""
    window: Window | ManualWindow | LimitedWindow = field(init=False)
    """What takes its batches now."""
    ref: int = field(init=False)
    """The subscription's name."""

    def __post_init__(self) -> None:
        self.ref = self.handle.ref
        self.window = self.automatic

    @property
    def manual(self) -> bool:
        """Whether the stage asks by itself."""
        return isinstance(self.window, ManualWindow)

    def end(self) -> None:
        """Nothing more comes, and nothing more is asked for."""
        self.ended = True
        self.settle()

    def settle(self) -> None:
        """Say anew whether asks are held."""
        self.holds = bool(
            self.ended or self.follows is not None or self.paused_by or self.bucket or self.manual
        )


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
        message: the message's sequence number.
        attempt: which delivery it is, when a consumer has died of an earlier one.
    """

    incoming: Incoming
    events: list[Any]
    ask: int
    seq: int
    origin: Origin | None
    message: int
    attempt: Attempt | None = None


@dataclass(frozen=True, slots=True, eq=False)
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


@dataclass(frozen=True, slots=True)
class Told:
    """A producer's notification, to be handled in its turn."""

    incoming: Incoming
    message: Any
