"""The messages of the protocol, as records. `wire.py` makes bytes of them, and reads them."""

from __future__ import annotations

from typing import Any

from actorflow.records import dataclass

__all__ = [
    "VERSION",
    "Ask",
    "Call",
    "Cast",
    "Down",
    "Info",
    "Message",
    "Notify",
    "Reply",
    "Route",
    "RouteAgain",
    "RouteEos",
    "RouteLast",
    "Subscribe",
    "Unsubscribe",
]

MAX_COUNT = 1 << 40
"""The largest demand one ask may carry; more is a mistake, and would overflow a counter."""

VERSION = 1
"""The version of this protocol; a consumer says it when it subscribes."""

MAX_REF = (1 << 63) - 1
"""The largest ref."""


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Consumer to producer: a new subscription.

    Args:
        ref: the subscription's name, unique in the run.
        options: the subscription's options as plain data.
        replaces: the subscription that this one replaces, applied first and atomically, or None.
        replaces_reason: why the old one ends.
    """

    ref: int
    options: dict[str, Any]
    replaces: int | None = None
    replaces_reason: Any = None


@dataclass(slots=True)
class Ask:
    """Consumer to producer: `count` more events may come; batches up to `acked` are finished.

    Not frozen, like `Route`: one is made per batch, and freezing takes four times as long.
    """

    ref: int
    count: int
    acked: int = 0


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    """Consumer to producer: end the subscription; always answered with a `RouteEos`."""

    ref: int
    reason: Any


@dataclass(slots=True)
class Route:
    """Producer to consumer: a batch of events, encoded once by `codec`; `seq` counts from 1."""

    ref: int
    seq: int
    codec: str
    body: bytes


@dataclass(slots=True)
class RouteAgain(Route):
    """Producer to consumer: one event that a consumer had in hand when it died.

    Args:
        attempt: which delivery this is, from 2.
        alone: whether it was alone in hand at the last death.
        failure: how that consumer died, as `Failure.to_wire` has it; empty when it was not alone.
        buried: whether its dead letter is kept, so that it only has to be finished.
    """

    attempt: int
    alone: bool
    failure: dict[str, Any]
    buried: bool = False


@dataclass(frozen=True, slots=True)
class RouteEos:
    """Producer to consumer: no more events on this ref, and why."""

    ref: int
    reason: Any


@dataclass(frozen=True, slots=True)
class RouteLast:
    """Producer to consumer: all that it will ever emit is sent, and waits to be acknowledged.

    For a consumer that has asked to be told. What another consumer gives back may still come.
    """

    ref: int


@dataclass(frozen=True, slots=True)
class Notify:
    """Producer to consumer: a message in order with the events around it; costs no demand."""

    ref: int
    codec: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Call:
    """A request that is answered by a `Reply` with the same `ref`."""

    ref: int
    scope: str
    codec: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Cast:
    """A request without an answer, of scope ``"system"`` (the runtime's own) or ``"user"``."""

    ref: int
    scope: str
    codec: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Info:
    """A message for `handle_info`, taken behind what the stage has buffered."""

    ref: int
    scope: str
    codec: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to a `Call`: its result, or with ``outcome`` ``"error"`` a failure."""

    ref: int
    outcome: str
    codec: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Down:
    """The watched process is gone; delivered after everything it sent.

    Args:
        ref: the monitor.
        who: the incarnation that ended, as text.
        reason: why it ended.
        restarting: whether a successor is coming, so that its place is kept.
    """

    ref: int
    who: str
    reason: Any
    restarting: bool = False


Message = (
    Subscribe
    | Ask
    | Unsubscribe
    | Route
    | RouteAgain
    | RouteEos
    | RouteLast
    | Notify
    | Call
    | Cast
    | Info
    | Reply
    | Down
)
