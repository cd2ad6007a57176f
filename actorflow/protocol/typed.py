"""A codec for events of one class that says what its fields are: msgspec's.

The bytes are msgpack, which has no classes; the class is named beside them, and what reads them
builds its objects from the start. That takes a fifth of the time that pickle takes for a dataclass.
msgspec is an extra: ``pip install actorflow[msgspec]``.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from functools import cache, reduce
from typing import Any

from actorflow.errors import OptionError, Undecodable
from actorflow.records import dataclass

__all__ = ["PREFIX", "RULE", "NotOfItsClass", "TypedCodec", "decode_typed", "place_of"]

PREFIX = "msgspec:"
"""What the name of such a codec on the wire begins with; the class follows."""

RULE = "one of auto, msgpack, pickle, or a map from msgspec to a class that it knows"


class NotOfItsClass(Exception):
    """An event that the codec would not give back as it was."""


@dataclass(frozen=True, slots=True)
class _Coder:
    """What msgspec makes of a class."""

    kind: type
    encoder: Any
    decoder: Any


class TypedCodec:
    """Encodes batches of one class.

    Args:
        given: the option's value: ``{"msgspec": Class}`` or ``{"msgspec": "module:Class"}``; a
            `msgspec.Struct`, a dataclass, a `NamedTuple` or an attrs class.

    Raises:
        OptionError: there is no such class, msgspec does not know what to do with it, another
            process could not import it, or msgspec is not installed.

    Example:
        >>> from actorflow.protocol.identity import StageId
        >>> codec = TypedCodec({"msgspec": "actorflow.protocol.identity:StageId"})
        >>> decode_typed(codec.name, codec.encode([StageId("words", 2)]))
        [StageId(name='words', index=2)]

    Ideas from: msgspec's typed decoding, https://jcristharif.com/msgspec.
    """

    __slots__ = ("_coder", "_tried", "name")

    def __init__(self, given: Mapping[Any, Any]) -> None:
        place = place_of(given)
        try:
            import msgspec  # noqa: F401
        except ImportError as error:
            hint = "it is not installed: pip install actorflow[msgspec]"
            raise OptionError("codec", RULE, dict(given), hint) from error
        try:
            self._coder = _coder(place)
        except Exception as error:  # whatever a module does when it is imported
            raise OptionError("codec", RULE, dict(given), str(error)) from error
        self.name = PREFIX + place
        """The codec's name on the wire."""
        self._tried = False

    def encode(self, events: list[Any]) -> bytes:
        """Encode a batch.

        The first one is decoded again, so that a class whose fields hold something else than it
        says is found where its events are made.

        Raises:
            NotOfItsClass: an event is of another class, or would come back changed.
            Exception: what msgspec raises for a value that it cannot encode.
        """
        coder = self._coder
        others = set(map(type, events)) - {coder.kind}
        if others:
            names = ", ".join(sorted(each.__qualname__ for each in others))
            raise NotOfItsClass(f"the codec is for {coder.kind.__qualname__}, got {names}")
        body: bytes = coder.encoder.encode(events)
        if not self._tried:
            if coder.encoder.encode(coder.decoder.decode(body)) != body:
                raise NotOfItsClass(f"a field of {coder.kind.__qualname__} is not what it says")
            self._tried = True
        return body


def place_of(given: Mapping[Any, Any]) -> str:
    """The ``module:Class`` that a typed codec is for; whether there is one is not asked.

    Raises:
        OptionError: it is no ``{"msgspec": Class}`` or ``{"msgspec": "module:Class"}``, or another
            process could not import that class.
    """
    target = given.get("msgspec") if len(given) == 1 else None
    place = f"{target.__module__}:{target.__qualname__}" if isinstance(target, type) else target
    if type(place) is not str or not all(place.partition(":")):
        raise OptionError("codec", RULE, dict(given), 'write it as {msgspec: "module:Class"}')
    if place.startswith("__main__:") or "<locals>" in place:
        hint = "another process imports it by name: put it in a module of its own"
        raise OptionError("codec", RULE, dict(given), hint)
    return place


def decode_typed(name: str, body: bytes) -> Any:
    """Decode what `TypedCodec.encode` made, by the codec's name.

    Raises:
        Undecodable: the class is not to be found here, or the bytes do not fit it.
    """
    try:
        return _coder(name.removeprefix(PREFIX)).decoder.decode(body)
    except Exception as error:
        detail = f"{name} cannot read {len(body)} bytes: {type(error).__name__}: {error}"
        raise Undecodable("undecodable_body", detail) from error


@cache
def _coder(place: str) -> _Coder:
    """The coder of a class, imported once.

    Raises:
        Exception: whatever an import raises; `TypeError` when it is no class that msgspec knows.
    """
    # Half as long as importing the rest of a stage, and few stages need it.
    import msgspec

    module, _, path = place.partition(":")
    kind = reduce(getattr, path.split("."), importlib.import_module(module))
    if not isinstance(kind, type) or kind.__module__ == "builtins":
        raise TypeError(f"{place} is no class of its own")
    decoder = msgspec.msgpack.Decoder(list[kind])  # type: ignore[valid-type]
    return _Coder(kind, msgspec.msgpack.Encoder(), decoder)
