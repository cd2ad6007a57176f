"""Records to plain data that becomes JSON, and back, with errors that name the place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from types import UnionType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from benchmarks._suite.records import Rounds

__all__ = ["BadForm", "from_plain", "to_plain"]

Record = TypeVar("Record")


class BadForm(ValueError):
    """The data are not what a record is made of.

    Args:
        path: where in the data: ``.reports[2].result.charts``.
        expected: what was expected there.
        given: what was found, or that nothing was.
    """

    def __init__(self, path: str, expected: str, given: str) -> None:
        super().__init__(f"{path or 'the whole'}: expected {expected}, got {given}")


def to_plain(record: Any) -> Any:
    """A record as dictionaries and lists.

    A number of several rounds comes with its median, its lowest and its highest: whoever reads the
    JSON with another program has not to compute them.
    """
    if is_dataclass(record):
        plain = {field.name: to_plain(getattr(record, field.name)) for field in fields(record)}
        if isinstance(record, Rounds):
            plain |= {"median": record.median, "lowest": record.lowest, "highest": record.highest}
        return plain
    if isinstance(record, tuple):
        return [to_plain(each) for each in record]
    return record


def from_plain(kind: type[Record], data: Any) -> Record:
    """The record that `to_plain` made these data of.

    Args:
        kind: its class.
        data: what was read from JSON. Keys that the class does not know are passed over.

    Raises:
        BadForm: the data are something else; the error says where.
    """
    record: Record = _decode(kind, data, "")
    return record


def _decode(kind: Any, data: Any, path: str) -> Any:
    if is_dataclass(kind):
        return _decode_record(kind, data, path)
    origin = get_origin(kind)
    if origin is tuple:
        if not isinstance(data, list):
            raise BadForm(path, "a list", _named(data))
        (element, *_) = get_args(kind)
        return tuple(_decode(element, each, f"{path}[{n}]") for n, each in enumerate(data))
    if origin is Literal:
        if data not in get_args(kind):
            raise BadForm(path, " or ".join(map(repr, get_args(kind))), _named(data))
        return data
    accepted = get_args(kind) if isinstance(kind, UnionType) else (kind,)
    wider = (*accepted, int) if float in accepted else accepted
    if not isinstance(data, wider) or (isinstance(data, bool) and bool not in accepted):
        raise BadForm(path, " or ".join(each.__name__ for each in accepted), _named(data))
    return data


def _decode_record(kind: Any, data: Any, path: str) -> Any:
    if not isinstance(data, Mapping):
        raise BadForm(path, f"an object ({kind.__name__})", _named(data))
    hints = get_type_hints(kind)
    found = {}
    for field in fields(kind):
        place = f"{path}.{field.name}"
        if field.name in data:
            found[field.name] = _decode(hints[field.name], data[field.name], place)
        elif field.default is MISSING:
            raise BadForm(place, "a value", "nothing")
    try:
        return kind(**found)
    except ValueError as error:
        raise BadForm(path, f"a {kind.__name__}", str(error)) from error


def _named(data: Any) -> str:
    text = repr(data)
    return text if len(text) <= 60 else f"{text[:57]}…"
