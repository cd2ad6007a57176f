"""What the supervisor and a stage say to each other on the stage's control link.

Each is a small frozen record. On the wire it is a ``$gen_cast`` of scope ``"system"`` whose body is
a msgpack map: the record's fields and, under ``"do"``, its name.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

import msgpack

from actorflow.errors import Undecodable
from actorflow.protocol.messages import Cast

__all__ = [
    "SYSTEM",
    "USER",
    "CancelSubscription",
    "Control",
    "Established",
    "Exiting",
    "Expect",
    "Finish",
    "Link",
    "LogRecord",
    "ProducerFinished",
    "Ready",
    "SetDemand",
    "Stop",
    "SubscriptionEnded",
    "decode_control",
    "encode_control",
]

SYSTEM = "system"
"""The scope of the runtime's own calls and casts."""

USER = "user"
"""The scope of a program's calls, casts and infos."""


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
    """

    ref: int
    role: str
    peer: str
    options: dict[str, Any] = field(default_factory=dict)
    replaces: int | None = None
    reason: Any = None


@dataclass(frozen=True, slots=True)
class Expect:
    """To a stage, before its first link: who it is declared to be linked with.

    Args:
        producers: the stages whose streams it waits for: a consumer is at its end when each of them
            has ended, not when those linked so far have.
        consumers: the stages that will subscribe to it: a broadcast does not begin without them.
    """

    producers: list[str]
    consumers: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ProducerFinished:
    """To a consumer: the producer it is declared to subscribe to has already finished."""

    ref: int
    peer: str
    options: dict[str, Any] = field(default_factory=dict)
    reason: Any = "done"


@dataclass(frozen=True, slots=True)
class CancelSubscription:
    """To a consumer: end this subscription with this reason."""

    ref: int
    reason: Any = "normal"


@dataclass(frozen=True, slots=True)
class SetDemand:
    """To a producer: hold (``"accumulate"``) or meet (``"forward"``) its consumers' demand."""

    mode: str


@dataclass(frozen=True, slots=True)
class Finish:
    """To a source: produce no more; hand over what is buffered, then end."""


@dataclass(frozen=True, slots=True)
class Stop:
    """To a stage: end now, after the callback in hand, with `on_stop(reason)`."""

    reason: Any = "shutdown"


@dataclass(frozen=True, slots=True)
class Ready:
    """From a stage: `on_start` is done; `kind` says what it is."""

    kind: str


@dataclass(frozen=True, slots=True)
class Established:
    """From a producer: this subscription is accepted."""

    ref: int


@dataclass(frozen=True, slots=True)
class SubscriptionEnded:
    """From a consumer: this subscription is over."""

    ref: int
    reason: Any


@dataclass(frozen=True, slots=True)
class LogRecord:
    """From a stage: one log line, to be written by the host."""

    level: str
    event: str
    values: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Exiting:
    """From a stage: its last words.

    Args:
        reason: why it ends.
        failure: the encoded exception (see `protocol.failure`) when it ends badly, else None.
        result: what `set_result` was given, pickled, else None.
    """

    reason: Any
    failure: dict[str, Any] | None = None
    result: bytes | None = None


Control = (
    Link
    | Expect
    | ProducerFinished
    | CancelSubscription
    | SetDemand
    | Finish
    | Stop
    | Ready
    | Established
    | SubscriptionEnded
    | LogRecord
    | Exiting
)

_RECORDS: dict[str, type[Control]] = {
    record.__name__: record
    for record in (
        Link,
        Expect,
        ProducerFinished,
        CancelSubscription,
        SetDemand,
        Finish,
        Stop,
        Ready,
        Established,
        SubscriptionEnded,
        LogRecord,
        Exiting,
    )
}


def encode_control(record: Control) -> Cast:
    """Wrap a control record in the message that carries it.

    Example:
        >>> decode_control(encode_control(SetDemand("forward")))
        SetDemand(mode='forward')
    """
    body = {item.name: getattr(record, item.name) for item in fields(record)}
    body["do"] = type(record).__name__
    # As in messages: what is no Unicode is escaped.
    return Cast(0, SYSTEM, "msgpack", msgpack.packb(body, unicode_errors="backslashreplace"))


def decode_control(message: Cast) -> Control:
    """Read a control record back.

    Raises:
        Undecodable: the body is not a control record.
    """
    try:
        body = msgpack.unpackb(message.body, strict_map_key=False)
        return _RECORDS[body.pop("do")](**body)
    except Exception as error:
        raise Undecodable("undecodable", f"not a control record: {error!r}") from error
