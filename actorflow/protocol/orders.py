"""What the supervisor tells a stage, on the stage's control link (see `control`)."""

from __future__ import annotations

from dataclasses import field
from typing import Any

from actorflow.records import dataclass

__all__ = [
    "Acknowledged",
    "Buried",
    "CancelSubscription",
    "DeadLetterKept",
    "Draining",
    "EdgeSettled",
    "Expect",
    "ExpectNoMore",
    "Finish",
    "Link",
    "PauseSubscription",
    "ProducerFinished",
    "Replicas",
    "Retire",
    "SetDemand",
    "SetRate",
    "SnapshotStored",
    "Stop",
    "Suspect",
]


@dataclass(frozen=True, slots=True)
class Link:
    """To a stage: here is a link; its descriptors travel beside this message.

    Args:
        ref: the subscription and the link that carries it.
        role: ``"producer"`` or ``"consumer"``: which side this stage is.
        peer: the other side's incarnation, as text.
        options: the subscription's options (the consumer sends them on).
        replaces: the ref of the subscription that this one replaces, or None.
        reason: why the replaced one ends.
        edge: the name under which this subscription is known over all restarts of its two stages,
            each of which makes a new ref; empty when there is none.
        paused: whether the program has paused it (see `PauseSubscription`).
        place: where on the runtime's scoreboard the link is counted; -1 for nowhere.
    """

    ref: int
    role: str
    peer: str
    options: dict[str, Any] = field(default_factory=dict)
    replaces: int | None = None
    reason: Any = None
    edge: str = ""
    paused: bool = False
    place: int = -1


@dataclass(frozen=True, slots=True)
class Expect:
    """To a stage, before its first link: who it is declared to be linked with.

    Args:
        producers: the stages whose streams it waits for: a consumer is at its end when each of them
            has ended, not when those linked so far have.
        consumers: the stages that will subscribe to it: a broadcast does not begin without them.
        edges: the names of the edges on which they will (see `Link`). What a predecessor had sent
            on others is for somebody else.
    """

    producers: list[str]
    consumers: list[str] = field(default_factory=list)
    edges: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ExpectNoMore:
    """To a consumer: these stages, which it waits for, will not be linked with it after all."""

    producers: list[str]


@dataclass(frozen=True, slots=True)
class ProducerFinished:
    """To a consumer: the producer it is declared to subscribe to has already finished."""

    ref: int
    peer: str
    options: dict[str, Any] = field(default_factory=dict)
    reason: Any = "done"


@dataclass(frozen=True, slots=True)
class CancelSubscription:
    """To a consumer: end this subscription with this reason.

    Args:
        ref: the subscription.
        reason: why it ends.
        replaced: whether another has taken its place, or it is taken away by the supervisor, so
            that no cancel mode applies.
    """

    ref: int
    reason: Any = "normal"
    replaced: bool = False


@dataclass(frozen=True, slots=True)
class PauseSubscription:
    """To a consumer: ask for nothing more on this subscription, or ask again."""

    ref: int
    paused: bool


@dataclass(frozen=True, slots=True)
class SetRate:
    """To a consumer: limit the rate of this subscription, or with no rate, do so no more.

    Args:
        ref: the subscription.
        rate: events per second.
        burst: how many may come at once.
    """

    ref: int
    rate: float | int | None
    burst: int | None = None


@dataclass(frozen=True, slots=True)
class Draining:
    """To a consumer: the run is coming to its end, so from now on nothing is paused."""


@dataclass(frozen=True, slots=True)
class SetDemand:
    """To a producer: hold (``"accumulate"``) or meet (``"forward"``) its consumers' demand."""

    mode: str


@dataclass(frozen=True, slots=True)
class Finish:
    """To a source: produce no more; hand over what is buffered, then end."""


@dataclass(frozen=True, slots=True)
class Retire:
    """To a stage: take no more, hand over what is in hand and buffered, then end.

    Its subscriptions to producers are cancelled besides, unless it has none.

    Args:
        successor: whether another one takes its place: then its consumers are not told that it is
            done, and wait for that one.
    """

    successor: bool = False


@dataclass(frozen=True, slots=True)
class Replicas:
    """To a stage: there are so many of its name now."""

    count: int


@dataclass(frozen=True, slots=True)
class Stop:
    """To a stage: end now, after the callback in hand, with `on_stop(reason)`."""

    reason: Any = "shutdown"


@dataclass(frozen=True, slots=True)
class SnapshotStored:
    """To a stage: its snapshot of this number is kept, and so are all before it."""

    number: int


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """To a producer, before it is told that a consumer is gone: how far that consumer got.

    The consumer's last snapshot covers every batch up to `seq`, which its own acknowledgement may
    not have lived to say.
    """

    ref: int
    seq: int


@dataclass(frozen=True, slots=True)
class EdgeSettled:
    """To a producer under `exactly_once`, before it gives what it sent on an edge to others.

    The last snapshot of the edge's consumer, which is gone for good, holds this many of its events.
    """

    edge: str
    events: int


@dataclass(frozen=True, slots=True)
class Suspect:
    """To a producer, before it is told that a consumer is gone: what that one had in hand.

    Each event of the batch is to be delivered alone, as a `RouteAgain`.

    Args:
        ref: the subscription.
        seq: the batch.
        failure: how the consumer died, as `Failure.to_wire` has it.
    """

    ref: int
    seq: int
    failure: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Buried:
    """To a producer, before it is told that a consumer is gone: which event that one gave up.

    Its dead letter is kept, and perhaps nothing yet that says it is finished.

    Args:
        ref: the subscription.
        seq: the batch, of one event.
    """

    ref: int
    seq: int


@dataclass(frozen=True, slots=True)
class DeadLetterKept:
    """To a consumer: its dead letter of this number is kept."""

    number: int
