"""How events become bytes: ``pickle`` or ``msgpack``, whichever is faster and keeps every type.

Pickle gives everything back as it was; msgpack has no tuples, classes or bytearrays, and to find
out that a batch has none takes longer than to pickle it. So ``auto`` asks msgpack only where it is
the faster one in spite of that: for text, and for integers past 32 bits. ``benchmarks/codecs.py``
measures it. Where producer and consumer share memory, pickles leave their large buffers there
(``blobs``, see `large.py`).
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any

import msgpack

from actorflow.errors import EventNotEncodable, OptionError, Undecodable
from actorflow.protocol.framing import LARGE
from actorflow.protocol.plain import (
    CHANGED,
    has_long_text,
    has_no_bytearray,
    may_hold_bytes,
    new_packer,
    plain_packer,
)
from actorflow.records import dataclass

__all__ = [
    "CODECS",
    "CodecOption",
    "Encoded",
    "Encoder",
    "check_codec",
    "decode_events",
    "decode_value",
    "dump",
    "encode_value",
    "weight_of",
]


@dataclass(slots=True)
class Encoded:
    """A body and the name of the codec that made it. Not frozen: one is made per batch.

    Args:
        codec: its name.
        body: the bytes.
        places: the blobs that the body refers to, to be lent to whom it is sent, and settled.
    """

    codec: str
    body: bytes
    places: tuple[int, ...] = ()


if TYPE_CHECKING:
    from actorflow.protocol.blobs import BlobSource, BlobSpace
    from actorflow.protocol.typed import TypedCodec

BLOBS = "blobs"
"""What a pickle is called that has its large buffers in shared memory."""

CODECS = ("auto", "msgpack", "pickle")
"""The codecs by name."""

CodecOption = str | Mapping[str, Any]
"""One of `CODECS`, or what `TypedCodec` is made of."""


def check_codec(given: object) -> None:
    """Refuse what is no codec by its form; whether a class that it names is there is not asked.

    Raises:
        OptionError: it is none.
    """
    if not isinstance(given, Mapping) and given in CODECS:
        return
    from actorflow.protocol.typed import RULE, place_of

    if not isinstance(given, Mapping):
        raise OptionError("codec", RULE, given)
    place_of(given)


_SMALL = 1 << 31
"""Integers below this, either side of 0, take five bytes in a pickle and are written at once."""


class Encoder:
    """Encodes the events of one producer, batch by batch.

    Args:
        stage: the stage's name, for the error that names it.
        codec: ``"auto"``, ``"msgpack"``, ``"pickle"``, or what `TypedCodec` is made of.
        space: where large buffers of pickled events go; None for into the body.

    Raises:
        OptionError: there is no such codec.

    Example:
        >>> encoder = Encoder("numbers")
        >>> encoder.encode(1, ["a", "b"]).codec, encoder.encode(1, [(1, 2)]).codec
        ('msgpack', 'pickle')
    """

    def __init__(
        self, stage: str, codec: CodecOption = "auto", space: BlobSpace | None = None
    ) -> None:
        self._stage = stage
        self._codec = codec
        self._space = space
        self._typed = _typed(codec) if isinstance(codec, Mapping) else None
        self._pickled: set[int] = set()
        self._large: set[int] = set()
        """The subscriptions on which a large pickle was sent; on others no large buffer is looked
        for."""
        self._pack = new_packer()

    def encode(self, ref: int, events: list[Any]) -> Encoded:
        """Encode a batch for the subscription `ref`.

        Raises:
            EventNotEncodable: neither codec can; it names the stage and the event's type.
        """
        if self._codec == "auto":
            first = events[0]
            kind = type(first)
            plain = kind is str or (kind is int and not -_SMALL <= first < _SMALL)
            if plain and ref not in self._pickled:
                return self._packed_or_pickled(ref, events)
        elif self._codec == "msgpack":
            return self._packed(events)
        elif self._typed is not None:
            return self._encoded(self._typed, events)
        try:
            if ref in self._large:
                return self._pickle_large(ref, events)
            body = dump(events)
            if self._space is None or len(body) < LARGE:
                return Encoded("pickle", body)
            self._large.add(ref)
            return self._pickle_large(ref, events)
        except Exception as error:
            raise self._not_encodable(events, dump, error) from error

    def forget(self, ref: int) -> None:
        """Drop what is remembered of a subscription that ended."""
        self._pickled.discard(ref)
        self._large.discard(ref)

    def _packed_or_pickled(self, ref: int, events: list[Any]) -> Encoded:
        """As msgpack; a subscription that has had what msgpack would change stays with pickle."""
        try:
            body = self._pack(events)
            large = self._space is not None and len(body) > LARGE
            if not (large and has_long_text(body, len(events))) and (
                not may_hold_bytes(body) or has_no_bytearray(events, nor_large=large)
            ):
                return Encoded("msgpack", body)
        except CHANGED:
            pass  # not plain data throughout
        self._pickled.add(ref)
        return self.encode(ref, events)

    def _packed(self, events: list[Any]) -> Encoded:
        try:
            return Encoded("msgpack", self._pack(events))
        except CHANGED as error:
            raise self._not_encodable(events, self._pack, error) from error

    def _encoded(self, typed: TypedCodec, events: list[Any]) -> Encoded:
        try:
            return Encoded(typed.name, typed.encode(events))
        except Exception as error:
            raise self._not_encodable(events, lambda event: typed.encode([event]), error) from error

    def _pickle_large(self, ref: int, events: list[Any]) -> Encoded:
        """As `dump`, with large buffers in the space."""
        from actorflow.protocol.large import Large, dump_large  # few streams have any

        assert self._space is not None
        made: Large | None = None
        with suppress(pickle.PicklingError, AttributeError, TypeError):
            made = dump_large(events, ref, self._space, _dump_into)
        if made is None or b"__main__" in made.body:
            if made is not None:
                self._space.settle(made.places)
            made = dump_large(events, ref, self._space, _dump_by_value_into)
        return Encoded(BLOBS if made.places else "pickle", made.body, made.places)

    def _not_encodable(
        self, events: list[Any], attempt: Callable[[Any], Any], error: Exception
    ) -> EventNotEncodable:
        culprit = next((event for event in events if not _works(attempt, event)), events[0])
        cause = str(error) or type(error).__name__
        return EventNotEncodable(self._stage, _qualified(type(culprit)), cause)


def decode_events(codec: str, body: bytes, source: BlobSource | None = None) -> list[Any]:
    """Decode a batch.

    Args:
        codec: what encoded it.
        body: the bytes.
        source: where the blobs are that the body refers to; None when there are none.

    Raises:
        Undecodable: an unknown codec, damaged bytes, an event whose class cannot be imported here,
            or a body that is not a non-empty list.
    """
    # The two usual ones without another call.
    if codec == "pickle":
        try:
            events = pickle.loads(body)
        except Exception as error:
            raise _unreadable(codec, body, error) from error
    elif codec == "msgpack":
        try:
            events = msgpack.unpackb(body, strict_map_key=False)
        except Exception as error:
            raise _unreadable(codec, body, error) from error
    elif source is not None and codec == BLOBS:
        events = _decode_large(body, source)
    else:
        events = decode_value(codec, body)
    if type(events) is not list or not events:
        raise Undecodable("undecodable_body", "a batch is a list of at least one event")
    return events


def weight_of(codec: str, body: bytes) -> int:
    """How many bytes a batch had on its way, with what its body refers to.

    Args:
        codec: what encoded it.
        body: one that `decode_events` has decoded.
    """
    if codec != BLOBS:
        return len(body)
    from actorflow.protocol.large import shared_size

    return len(body) + shared_size(body)


def _decode_large(body: bytes, source: BlobSource) -> Any:
    from actorflow.protocol.large import load_large

    try:
        return load_large(body, source)
    except Undecodable:
        raise
    except Exception as error:
        raise _unreadable(BLOBS, body, error) from error


def _unreadable(codec: str, body: bytes, error: Exception) -> Undecodable:
    detail = f"{codec} cannot read {len(body)} bytes: {type(error).__name__}: {error}"
    return Undecodable("undecodable_body", detail)


def encode_value(value: Any) -> Encoded:
    """Encode one value that is not part of an event stream: a call, a reply, a notification.

    Raises:
        TypeError: it cannot be pickled.
    """
    try:
        body = plain_packer()(value)
        if not may_hold_bytes(body) or has_no_bytearray([value]):
            return Encoded("msgpack", body)
    except CHANGED:
        pass  # not plain data, so the other codec's turn
    try:
        return Encoded("pickle", dump(value))
    except Exception as error:
        kind = _qualified(type(value))
        raise TypeError(f"a {kind} cannot be sent to another process: {error}") from error


def decode_value(codec: str, body: bytes) -> Any:
    """Decode what `encode_value` or `Encoder.encode` made.

    Raises:
        Undecodable: as `decode_events`.
    """
    try:
        if codec == "msgpack":
            return msgpack.unpackb(body, strict_map_key=False)
        if codec == "pickle":
            return pickle.loads(body)
    except Exception as error:
        raise _unreadable(codec, body, error) from error
    if codec.startswith("msgspec:"):
        from actorflow.protocol.typed import decode_typed

        return decode_typed(codec, body)
    raise Undecodable("unknown_codec", f"codec {codec!r} is none of msgpack, pickle, msgspec:…")


def _typed(given: Mapping[str, Any]) -> TypedCodec:
    from actorflow.protocol.typed import TypedCodec  # few stages have one

    return TypedCodec(given)


def dump(value: Any) -> bytes:
    """Pickle; a class or function that lives in ``__main__`` or a notebook goes by value.

    Raises:
        Exception: whatever pickling the value raises.
    """
    try:
        data = pickle.dumps(value, protocol=5)
    except (pickle.PicklingError, AttributeError, TypeError):
        data = b""
    # A reference to this process's ``__main__`` would mean another module in the other process.
    if not data or b"__main__" in data:
        return _dump_by_value(value)
    return data


def _refuse_file(file: io.TextIOWrapper) -> Any:
    raise TypeError(f"an open file cannot be pickled: {file.name!r}")


@cache
def _pickler_by_value() -> Any:
    """cloudpickle, but an open file stays an error: a copy of what it held is not that file."""
    import cloudpickle  # a tenth of what a process of a run imports, and few need it

    table = cloudpickle.Pickler.dispatch_table.new_child({io.TextIOWrapper: _refuse_file})
    return type("PicklerByValue", (cloudpickle.Pickler,), {"dispatch_table": table})


def _dump_by_value(value: Any) -> bytes:
    with io.BytesIO() as data:
        _pickler_by_value()(data, protocol=5).dump(value)
        return data.getvalue()


def _dump_into(value: Any, file: Any, offer: Callable[[pickle.PickleBuffer], bool]) -> None:
    pickle.Pickler(file, protocol=5, buffer_callback=offer).dump(value)


def _dump_by_value_into(
    value: Any, file: Any, offer: Callable[[pickle.PickleBuffer], bool]
) -> None:
    _pickler_by_value()(file, protocol=5, buffer_callback=offer).dump(value)


def _works(attempt: Callable[[Any], Any], event: Any) -> bool:
    try:
        attempt(event)
    except Exception:  # noqa: BLE001  (pickling runs the event's own code; it is asked whether)
        return False
    return True


def _qualified(kind: type) -> str:
    module = kind.__module__
    return kind.__qualname__ if module == "builtins" else f"{module}.{kind.__qualname__}"
