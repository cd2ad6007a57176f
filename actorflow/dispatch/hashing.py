"""A hash of Python values that is the same in every process, for choosing partitions."""

from __future__ import annotations

import dataclasses
import math
import numbers
import zlib
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum, Flag
from fractions import Fraction
from typing import Any
from uuid import UUID

from actorflow.errors import OptionError
from actorflow.protocol.codec import encode_value
from actorflow.protocol.plain import CHANGED, plain_packer

__all__ = ["quick_partitions", "stable_hash"]

_RULE = (
    "made of None, numbers, text, bytes, lists, tuples, dicts, sets, enumerations, dataclasses,"
    " dates, times or UUIDs"
)
_HINT = "give the partition dispatcher a function as by, which returns the partition of an event"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_INTEGERS = range(-(1 << 63), 1 << 64)
"""What msgpack has a form for."""

_QUICK = frozenset((str, int, bytes))
"""The types of values that are their own form, as far as msgpack takes them."""


class _NoForm(Exception):
    """Internal: this value has no form that is the same in every process."""


def stable_hash(value: Any) -> int:
    """A hash that is the same in every process and on every machine, unlike the built-in `hash`.

    Values that are equal have the same hash, as with the built-in one: 1, 1.0 and True; a dict or
    a set in whatever order; an aware time in whatever zone; a member of an `IntEnum` and its
    number. A list and a tuple of the same items have the same hash, too, since one becomes the
    other on the way through JSON. Text and bytes differ.

    An enumeration's member is told by its class's name and its own, a dataclass by its class's
    name and the fields that it is compared by. Any other object is refused: neither its address nor
    its pickle is the same in two processes.

    Args:
        value: what to hash.

    Returns:
        an integer from 0 to 2**32 - 1: the CRC-32 of the value's form in msgpack.

    Raises:
        OptionError: the value, or one inside it, has no such form; or it contains itself.

    Example:
        >>> stable_hash("a") == stable_hash("a"), stable_hash("a") == stable_hash(b"a")
        (True, False)
        >>> stable_hash({"x": 1, "y": 2}) == stable_hash({"y": 2.0, "x": True})
        True
    """
    kind = type(value)
    if kind in _QUICK:
        try:
            return zlib.crc32(plain_packer()(value))
        except CHANGED:
            pass  # it has a form of its own
    try:
        form = _form(value)
    except (_NoForm, RecursionError) as error:
        why = error.args[0] if isinstance(error, _NoForm) else "it is nested too deeply"
        raise OptionError("value", _RULE, kind, f"{why}; {_HINT}") from None
    return zlib.crc32(_encoded(form))


def quick_partitions(values: list[Any], partitions: int) -> list[int] | None:
    """`stable_hash` of each value modulo a number, where all are text, bytes or usual integers.

    Args:
        values: what to hash.
        partitions: the number.

    Returns:
        None when one of them is anything else: then each is to be hashed by itself.

    Example:
        >>> quick_partitions(["a", 7, b""], 4) == [stable_hash(each) % 4 for each in ("a", 7, b"")]
        True
        >>> quick_partitions(["a", None], 4)
    """
    if not _QUICK.issuperset(map(type, values)):
        return None
    pack, crc32 = plain_packer(), zlib.crc32
    try:
        return [crc32(pack(value)) % partitions for value in values]
    except CHANGED:
        return None


def _encoded(form: Any) -> bytes:
    return encode_value(form).body


def _form(value: Any) -> Any:
    """A value as lists, text, bytes and numbers, the same for equal values."""
    find = _FORMS.get(type(value))
    if find is None:
        find = next((form for kind, form in _KINDS if isinstance(value, kind)), _object)
    return find(value)


def _integer(value: int) -> Any:
    number = int(value)
    return number if number in _INTEGERS else ["integer", format(number, "x")]


def _real(value: float) -> Any:
    if math.isfinite(value):
        number = float(value)
        return _integer(int(number)) if number.is_integer() else number
    return "nan" if math.isnan(value) else float(value)


def _rational(value: Decimal | Fraction) -> Any:
    """A number that may equal an integer or a float, and then has the same form."""
    if isinstance(value, Decimal) and not value.is_finite():
        return "nan" if value.is_nan() else float(value)
    above, below = value.as_integer_ratio()
    if below == 1:
        return _integer(above)
    try:
        if Fraction(*(near := above / below).as_integer_ratio()) == Fraction(above, below):
            return near
    except OverflowError:
        pass  # past what a float holds, so no float equals it
    return ["ratio", _integer(above), _integer(below)]


def _text(value: str) -> Any:
    text = str.__str__(value)
    try:
        text.encode()
    except UnicodeEncodeError:
        return ["text", text.encode("utf-8", "surrogatepass")]
    return text


def _items(value: Iterable[Any]) -> Any:
    return [_form(item) for item in value]


def _mapping(value: Mapping[Any, Any]) -> Any:
    pairs = [[_form(key), _form(item)] for key, item in value.items()]
    return ["dict", *sorted(pairs, key=lambda pair: _encoded(pair[0]))]


def _set(value: Iterable[Any]) -> Any:
    return ["set", *sorted(_items(value), key=_encoded)]


def _moment(value: datetime) -> Any:
    if value.utcoffset() is None:
        return ["local", value.isoformat()]
    return ["instant", *_span(value - _EPOCH)[1:]]


def _span(value: timedelta) -> list[Any]:
    return ["span", value.days, value.seconds, value.microseconds]


def _member(value: Enum) -> Any:
    if isinstance(value, Flag):
        return [type(value).__qualname__, _form(value.value)]
    return [type(value).__qualname__, value.name]


def _object(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        own = [field.name for field in dataclasses.fields(value) if field.compare]
        return [type(value).__qualname__, *(_form(getattr(value, name)) for name in own)]
    kind = type(value)
    name = kind.__qualname__ if kind.__module__ == "builtins" else _qualified(kind)
    raise _NoForm(f"a {name} is none of them")


def _qualified(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


_FORMS: dict[type, Callable[[Any], Any]] = {
    str: _text,
    int: _integer,
    float: _real,
    type(None): lambda value: None,
    list: _items,
    tuple: _items,
    dict: _mapping,
}
"""The usual types, found at once."""

_KINDS: tuple[tuple[Any, Callable[[Any], Any]], ...] = (
    # A member of an IntEnum or a StrEnum equals its value, so these come before Enum.
    (int, _integer),
    (float, _real),
    (str, _text),
    ((bytes, bytearray, memoryview), bytes),
    (Enum, _member),
    ((Decimal, Fraction), _rational),
    ((list, tuple), _items),
    (dict, _mapping),
    ((set, frozenset), _set),
    (datetime, _moment),
    (date, lambda value: ["date", value.isoformat()]),
    (timedelta, _span),
    (UUID, lambda value: ["uuid", value.bytes]),
    # Numbers of other libraries, which equal Python's own.
    (numbers.Integral, _integer),
    (numbers.Real, _real),
)
"""Everything else, subclasses included, in the order in which it is looked at."""
