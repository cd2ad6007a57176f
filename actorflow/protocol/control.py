"""What the supervisor and a stage say to each other on the stage's control link.

Each is a small frozen record. On the wire it is a ``$gen_cast`` of scope ``"system"`` whose body is
a msgpack map: the record's fields and, under ``"do"``, its name.
"""

from __future__ import annotations

from dataclasses import field, fields
from types import UnionType
from typing import Any, get_args, get_origin

import msgpack

from actorflow.errors import ProtocolError, Undecodable
from actorflow.protocol.messages import MAX_REF, Cast
from actorflow.records import dataclass

__all__ = [
    "SYSTEM",
    "USER",
    "Acknowledged",
    "Buried",
    "CancelSubscription",
    "Control",
    "DeadLetter",
    "DeadLetterKept",
    "Draining",
    "EdgeSettled",
    "Established",
    "Exiting",
    "Expect",
    "ExpectNoMore",
    "Finish",
    "Link",
    "LogRecord",
    "Members",
    "PauseSubscription",
    "ProducerFinished",
    "Ready",
    "Redirected",
    "Replicas",
    "Retire",
    "SetDemand",
    "SetRate",
    "Snapshot",
    "SnapshotStored",
    "Stop",
    "SubscriptionEnded",
    "Suspect",
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
class Members:
    """From a manager: these stages are to be its members, or no more.

    Args:
        change: ``"set"``, ``"add"`` or ``"remove"``.
        stages: names, ``"numbers"`` or ``"numbers/1"``.
    """

    change: str
    stages: list[str]


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
class Ready:
    """From a stage: `on_start` is done; `kind` says what it is."""

    kind: str


@dataclass(frozen=True, slots=True)
class Established:
    """From a producer: this subscription is accepted."""

    ref: int


@dataclass(frozen=True, slots=True)
class SubscriptionEnded:
    """From a consumer: this subscription is over.

    Args:
        ref: which.
        reason: why.
        finished: whether the producer says so because it has finished.
    """

    ref: int
    reason: Any
    finished: bool = False


@dataclass(frozen=True, slots=True)
class Redirected:
    """From a producer: who subscribes with this ref is to subscribe to these stages instead.

    Args:
        ref: the subscription.
        stages: names, ``"numbers"`` or ``"numbers/1"``.
    """

    ref: int
    stages: list[str]


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
        unhandled: how many events it had taken and not begun to handle when it was made to stop, by
            the stage that had sent them.
    """

    reason: Any
    failure: dict[str, Any] | None = None
    result: bytes | None = None
    unhandled: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """From a stage: what a successor of it needs to go on from here.

    The supervisor keeps it, puts it into the checkpoint file if there is one, and answers with
    `SnapshotStored`. Only then does the stage acknowledge what the snapshot covers, and release
    what was made from it.

    Args:
        number: counts the snapshots of one incarnation, from 1.
        state: what the behaviour's `snapshot` returned, pickled; None when it keeps no state.
        inputs: for each subscription to a producer a map of ``ref``, ``seq`` (the last batch that
            is covered), ``edge`` and ``events`` (how many events of that edge are covered).
        outputs: for each edge to a consumer a map of ``edge``, ``consumer``, ``acked`` (how many of
            its events are acknowledged), ``sent`` (how many there are) and ``batches``, those made
            since the last snapshot: maps of ``first`` (the place of the first event on its edge),
            ``count`` and ``body``. With
            ``closed`` the edge is over, and what was not acknowledged on it was given to others.
        buffer: the events that nobody has asked for yet, pickled, or None.
        finishing: whether the stage has finished and only hands over what is left.
    """

    number: int
    state: bytes | None = None
    inputs: list[dict[str, Any]] = field(default_factory=list)
    outputs: list[dict[str, Any]] = field(default_factory=list)
    buffer: bytes | None = None
    finishing: bool = False


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
class DeadLetter:
    """From a consumer: an event that it has given up.

    The supervisor keeps it and answers with `DeadLetterKept`; only then is the event finished.
    Where there is nothing to keep it in, the run ends with the failure.

    Args:
        number: counts the dead letters of one incarnation, from 1.
        ref: the subscription that the event came by.
        seq: the batch that it came in.
        producer: the stage that the event came from.
        event: the event, pickled.
        shown: the event as text, for people.
        attempts: how often it was tried.
        failure: what came of the last time, as `Failure.to_wire` has it.
    """

    number: int
    ref: int
    seq: int
    producer: str
    event: bytes
    shown: str
    attempts: int
    failure: dict[str, Any]


@dataclass(frozen=True, slots=True)
class DeadLetterKept:
    """To a consumer: its dead letter of this number is kept."""

    number: int


Control = (
    Link
    | Expect
    | ExpectNoMore
    | ProducerFinished
    | CancelSubscription
    | PauseSubscription
    | SetRate
    | Draining
    | SetDemand
    | Finish
    | Retire
    | Replicas
    | Stop
    | Ready
    | Established
    | SubscriptionEnded
    | Members
    | Redirected
    | LogRecord
    | Exiting
    | Snapshot
    | SnapshotStored
    | Acknowledged
    | EdgeSettled
    | Suspect
    | Buried
    | DeadLetter
    | DeadLetterKept
)

_RECORDS: dict[str, type[Control]] = {
    record.__name__: record
    for record in (
        Link,
        Expect,
        ExpectNoMore,
        ProducerFinished,
        CancelSubscription,
        PauseSubscription,
        SetRate,
        Draining,
        SetDemand,
        Finish,
        Retire,
        Replicas,
        Stop,
        Ready,
        Established,
        SubscriptionEnded,
        Members,
        Redirected,
        LogRecord,
        Exiting,
        Snapshot,
        SnapshotStored,
        Acknowledged,
        EdgeSettled,
        Suspect,
        Buried,
        DeadLetter,
        DeadLetterKept,
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
    """Read a control record back, and check every field.

    Raises:
        Undecodable: the body is not a control record.
        ProtocolError: ``bad_message``: a field is of the wrong type.
    """
    try:
        body = msgpack.unpackb(message.body, strict_map_key=False)
        record = _RECORDS[body.pop("do")](**body)
    except Exception as error:
        raise Undecodable("undecodable", f"not a control record: {error!r}") from error
    kind = type(record).__name__
    for name, annotation in _ANNOTATIONS[kind].items():
        value = getattr(record, name)
        if not _fits(value, annotation) or (name in _REFS and not _is_ref(value)):
            wanted = getattr(annotation, "__name__", str(annotation))
            detail = f"{kind}.{name} must be {wanted}, got {value!r}"
            raise ProtocolError("bad_message", detail)
    return record


_REFS = ("ref", "replaces")
_KINDS: dict[Any, Any] = {
    "Any": Any,
    "bool": bool,
    "bytes": bytes,
    "bytes | None": bytes | None,
    "dict[str, Any]": dict[str, Any],
    "dict[str, Any] | None": dict[str, Any] | None,
    "dict[str, int]": dict[str, int],
    "float | int | None": float | int | None,
    "int": int,
    "int | None": int | None,
    "list[dict[str, Any]]": list[dict[str, Any]],
    "list[str]": list[str],
    "str": str,
}
"""What the fields of records are declared to be. `typing.get_type_hints` would find it out, and
compile each field's annotation at every start of a process."""
_ANNOTATIONS = {
    name: {item.name: _KINDS[item.type] for item in fields(record)}
    for name, record in _RECORDS.items()
}


def _is_ref(value: int | None) -> bool:
    return value is None or 0 <= value <= MAX_REF


def _fits(value: object, annotation: Any) -> bool:
    """Whether a value read from msgpack is what a record's field is declared to be."""
    if annotation is Any:
        return True
    if isinstance(annotation, UnionType):
        return any(_fits(value, each) for each in get_args(annotation))
    kind = get_origin(annotation) or annotation
    if type(value) is not kind:
        return False
    if kind is list:
        (inner,) = get_args(annotation)
        return all(_fits(each, inner) for each in value)  # type: ignore[attr-defined]
    if kind is dict:
        # Every map in a record is one by name.
        name, inner = get_args(annotation)
        return all(type(key) is name and _fits(each, inner) for key, each in value.items())  # type: ignore[attr-defined]
    return True
