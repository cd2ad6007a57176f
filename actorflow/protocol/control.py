"""What the supervisor and a stage say to each other on the stage's control link, and its form.

Each is a small frozen record: those to a stage are in `orders`, those from a stage in `reports`,
and all can be imported from here. On the wire a record is a ``$gen_cast`` of scope ``"system"``
whose body is a msgpack map: the record's fields and, under ``"do"``, its name.
"""

from __future__ import annotations

from dataclasses import fields
from types import UnionType
from typing import Any, get_args, get_origin

import msgpack

from actorflow.errors import ProtocolError, Undecodable
from actorflow.protocol.messages import MAX_REF, Cast
from actorflow.protocol.orders import (
    Acknowledged,
    Buried,
    CancelSubscription,
    DeadLetterKept,
    Draining,
    EdgeSettled,
    Expect,
    ExpectNoMore,
    Finish,
    Link,
    PauseSubscription,
    ProducerFinished,
    Replicas,
    Retire,
    SetDemand,
    SetRate,
    SnapshotStored,
    Stop,
    Suspect,
)
from actorflow.protocol.reports import (
    DeadLetter,
    Established,
    Exiting,
    LogRecord,
    Members,
    Ready,
    Redirected,
    Snapshot,
    SubscriptionEnded,
)

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

_RECORDS: dict[str, type[Control]] = {record.__name__: record for record in get_args(Control)}


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
