"""Events of one declared class travel without their names, and come back as what they were."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import NamedTuple

import msgspec
import pytest

from actorflow.errors import EventNotEncodable, OptionError, Undecodable
from actorflow.protocol.codec import Encoder, check_codec, decode_events
from actorflow.protocol.typed import RULE


@dataclass
class Reading:
    """An event that the standard library declares."""

    sensor: str
    degrees: float


class Job(msgspec.Struct):
    """An event that msgspec declares; it has no equality but its own."""

    number: int
    tags: tuple[str, ...] = ()


class Point(NamedTuple):
    """An event that is a tuple with names."""

    x: int
    y: int


@pytest.mark.parametrize("event", [Reading("attic", 21.5), Job(7, ("a", "b")), Point(1, 2)])
def test_events_of_a_class_come_back_as_they_were(event: object) -> None:
    """Whoever declared the class; by name or as itself it is the same codec."""
    kind = type(event)
    name = f"msgspec:{kind.__module__}:{kind.__qualname__}"
    for given in (kind, f"{kind.__module__}:{kind.__qualname__}"):
        encoded = Encoder("sensors", {"msgspec": given}).encode(1, [event, event])
        assert encoded.codec == name
        assert decode_events(name, encoded.body) == [event, event]
        assert type(decode_events(name, encoded.body)[0]) is kind


def test_an_event_of_another_class_is_refused() -> None:
    """In the first batch and in any other; the error names the stage, the type and why."""
    encoder = Encoder("sensors", {"msgspec": Reading})
    encoder.encode(1, [Reading("attic", 21.5)])
    with pytest.raises(EventNotEncodable, match=r"the codec is for Reading, got dict") as caught:
        encoder.encode(1, [Reading("attic", 20.0), {"sensor": "attic", "degrees": 21.5}])
    assert (caught.value.stage, caught.value.event_type) == ("sensors", "dict")


@pytest.mark.parametrize("wrong", [Reading("attic", 21), Reading("attic", "warm")])  # type: ignore[arg-type]
def test_a_field_that_is_not_what_it_says_is_found_where_it_is_emitted(wrong: Reading) -> None:
    """The first batch is read back: a consumer would get something else, or nothing."""
    with pytest.raises(EventNotEncodable, match=r"Reading"):
        Encoder("sensors", {"msgspec": Reading}).encode(1, [wrong])


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"msgspec": 5},
        {"msgspec": "Reading"},
        {"msgspec": ":Reading"},
        {"msgspec": "__main__:Reading"},
        {"msgspec": Reading, "json": Reading},
        {"json": "tests.protocol.test_typed_codec:Reading"},
        "msgspec",
        ["msgspec"],
        None,
    ],
)
def test_what_has_not_the_form_of_a_codec_is_refused(given: object) -> None:
    """Where the option is given, without importing anything."""
    with pytest.raises(OptionError) as caught:
        check_codec(given)
    assert (caught.value.option, caught.value.rule) == ("codec", RULE)


@pytest.mark.parametrize(
    ("place", "why"),
    [
        ("no.such.module:Reading", "no.such"),
        ("tests.protocol.test_typed_codec:Nothing", "Nothing"),
        ("tests.protocol.test_typed_codec:test_an_event_of_another_class_is_refused", "no class"),
        ("builtins:int", "no class of its own"),
        ("threading:Lock", "Lock"),
    ],
)
def test_a_class_that_is_none_is_refused(place: str, why: str) -> None:
    """With what is wrong with it, when it is looked for."""
    check_codec({"msgspec": place})
    with pytest.raises(OptionError, match=why):
        Encoder("sensors", {"msgspec": place})


def test_without_msgspec_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an extra, which most do not need."""
    monkeypatch.setitem(sys.modules, "msgspec", None)
    with pytest.raises(OptionError, match=r"pip install actorflow\[msgspec\]"):
        Encoder("sensors", {"msgspec": Reading})


READING = f"msgspec:{__name__}:Reading"


@pytest.mark.parametrize(
    ("codec", "body"),
    [
        (READING, b""),
        (READING, b"\xc1"),
        (READING, msgspec.msgpack.encode([])),
        (READING, msgspec.msgpack.encode({"sensor": "attic", "degrees": 1.5})),
        (READING, msgspec.msgpack.encode([{"sensor": "attic"}])),
        (READING, msgspec.msgpack.encode([{"sensor": 5, "degrees": 1.5}])),
        ("msgspec:", b"\x90"),
        ("msgspec:os:system", b"\x91\x01"),
        ("msgspec:no.such:Class", b"\x90"),
    ],
)
def test_a_body_that_does_not_fit_is_undecodable(codec: str, body: bytes) -> None:
    """Damaged, of another shape, or for a class that is not here: the stage goes on."""
    with pytest.raises(Undecodable) as caught:
        decode_events(codec, body)
    assert caught.value.reason == "undecodable_body"
