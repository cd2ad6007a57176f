"""What flows through the pipelines, and how it is changed there.

Integers are doubled, or grow by a step at each stage; records and dataclasses are made anew.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from benchmarks._pipes import MSGPACK, PICKLE, Coding

__all__ = ["KINDS", "Kind"]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of event.

    Args:
        name: what it is called.
        make: the events of the numbers from one to another, without the last.
        change: what the stage in the middle does with a batch.
        value: what the last stage adds up.
        coding: how bare pipes carry it.
    """

    name: str
    make: Callable[[int, int], Sequence[Any]]
    change: Callable[[Sequence[Any]], list[Any]]
    value: Callable[[Sequence[Any]], int]
    coding: Coding


@dataclass(frozen=True, slots=True)
class Reading:
    """A measured value, as a dataclass."""

    number: int
    sensor: str
    value: float
    valid: bool
    note: str | None


def _double(events: Sequence[int]) -> list[int]:
    return [2 * event for event in events]


def _plus_one(events: Sequence[int]) -> list[int]:
    return [event + 1 for event in events]


def _record(number: int) -> dict[str, Any]:
    return {
        "number": number,
        "sensor": "hall 3, north",
        "value": number / 8,
        "valid": True,
        "note": None,
        "tags": ["raw", "kelvin"],
    }


def _records(start: int, end: int) -> list[dict[str, Any]]:
    return [_record(number) for number in range(start, end)]


def _change_records(events: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**event, "number": 2 * event["number"]} for event in events]


def _value_of_records(events: Sequence[dict[str, Any]]) -> int:
    return sum(event["number"] for event in events)


def _readings(start: int, end: int) -> list[Reading]:
    return [
        Reading(number, "hall 3, north", number / 8, True, None) for number in range(start, end)
    ]


def _change_readings(events: Sequence[Reading]) -> list[Reading]:
    return [replace(event, number=2 * event.number) for event in events]


def _value_of_readings(events: Sequence[Reading]) -> int:
    return sum(event.number for event in events)


KINDS = {
    kind.name: kind
    for kind in (
        Kind("integers", range, _double, sum, MSGPACK),
        Kind("steps", range, _plus_one, sum, MSGPACK),
        Kind("dicts", _records, _change_records, _value_of_records, MSGPACK),
        Kind("dataclasses", _readings, _change_readings, _value_of_readings, PICKLE),
    )
}
