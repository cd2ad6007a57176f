"""The stable hash: the same for equal values, in every process, whatever its hash seed is."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter, OrderedDict, namedtuple
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum, Flag, IntEnum, StrEnum
from fractions import Fraction
from typing import Any
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from actorflow import OptionError, PartitionDispatcher, PartitionError, stable_hash
from actorflow.dispatch.hashing import quick_partitions

ROOT = __file__.rpartition("/tests/")[0]


class Colour(Enum):
    RED = "red"
    GREEN = "green"


class Level(IntEnum):
    LOW = 1


class Word(StrEnum):
    YES = "yes"
    HALF = "\ud800"


class Access(Flag):
    READ = 1
    WRITE = 2


@dataclass(frozen=True)
class Key:
    user: str
    parts: tuple[int, ...]
    seen: int = field(default=0, compare=False)


Pair = namedtuple("Pair", "left right")

VALUES: list[Any] = [
    None,
    0,
    -1,
    2**63,
    2**64,
    -(2**70),
    0.5,
    1e300,
    float("inf"),
    float("nan"),
    Decimal("0.1"),
    Fraction(1, 3),
    "",
    "text",
    "\ud800",
    b"bytes",
    [1, [2, "three"], None],
    (1, 2),
    {"b": 1, "a": [2], 3: {"c", "d"}},
    {"x", "y", "z", 1, 2, None},
    frozenset({("a", 1), ("b", 2)}),
    Colour.RED,
    Access.READ | Access.WRITE,
    Key("ann", (1, 2)),
    Pair("a", "b"),
    date(2026, 1, 2),
    datetime(2026, 1, 2, 3, 4, 5, 6),
    datetime(2026, 1, 2, 3, 4, tzinfo=UTC),
    timedelta(days=1, microseconds=3),
    UUID(int=7),
]

EQUAL: list[list[Any]] = [
    [1, 1.0, True, Decimal(1), Decimal("1.00"), Fraction(1), Level.LOW],
    [0, 0.0, -0.0, False, Decimal("-0")],
    [0.5, Decimal("0.5"), Fraction(1, 2)],
    [2**70, float(2**70), Decimal(2**70)],
    ["yes", Word.YES],
    ["\ud800", Word.HALF],
    [b"a", bytearray(b"a"), memoryview(b"a")],
    [{"a": 1, "b": 2}, {"b": 2, "a": 1}, OrderedDict(b=2.0, a=1), Counter(a=1, b=2)],
    [{1, 2, 3}, frozenset({3.0, 2.0, 1.0})],
    [("a", 1), Pair("a", 1), Pair("a", True)],
    [Key("ann", (1, 2)), Key("ann", (1, 2), seen=5)],
    [
        datetime(2026, 1, 2, 12, tzinfo=UTC),
        datetime(2026, 1, 2, 14, tzinfo=timezone(timedelta(hours=2))),
    ],
]

DIFFERENT: list[Any] = [
    *("a", b"a", ["a"], {"a"}, {"a": 1}, None, 1, 2, 0.1, Decimal("0.1"), "", []),
    *("\ud800", "\ud801", b"\xed\xa0\x80"),
    *(Key("ann", (1, 2)), Key("bob", (1, 2)), Key("ann", (1, 3)), Pair("ann", (1, 2))),
    *(date(2026, 1, 2), datetime(2026, 1, 2), datetime(2026, 1, 2, tzinfo=UTC)),
    *(datetime(2026, 1, 3, tzinfo=UTC), datetime(2026, 1, 2, microsecond=1, tzinfo=UTC)),
    *(timedelta(days=1), timedelta(days=1, microseconds=1)),
]


@pytest.mark.parametrize("values", EQUAL, ids=lambda values: repr(values[0])[:20])
def test_equal_values_have_the_same_hash(values: list[Any]) -> None:
    """As with the built-in hash: whoever compares equal is of one partition."""
    assert all(value == values[0] for value in values)
    assert {stable_hash(value) for value in values} == {stable_hash(values[0])}


def test_a_list_and_a_tuple_have_the_same_hash() -> None:
    """One becomes the other on the way through JSON."""
    assert stable_hash((1, ("a", None))) == stable_hash([1, ["a", None]])


def test_different_values_differ() -> None:
    """No two of some that are easily confused have the same hash."""
    assert len({stable_hash(value) for value in DIFFERENT}) == len(DIFFERENT)
    assert stable_hash(Colour.RED) != stable_hash(Colour.GREEN) != stable_hash("GREEN")


def test_the_numbers_never_change() -> None:
    """Which partition an event goes to must not change with a restart, nor with a new version."""
    values = ["a", 1, b"a", None, 1.5, ["apple", 1]]
    assert [stable_hash(value) for value in values] == [
        *(3429944985, 2768625435, 1246332673, 1231433021, 3622288468),
        1645318576,
    ]
    moment, key = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC), Key("ann", (1, 2))
    assert [stable_hash(value) for value in (moment, key)] == [4003716178, 2317916206]


@given(
    values=st.lists(st.text(st.characters(), max_size=3) | st.integers() | st.binary(max_size=3)),
    partitions=st.integers(1, 9),
)
@example(values=["a", True], partitions=2)
def test_a_batch_is_hashed_at_once_to_the_same(values: list[Any], partitions: int) -> None:
    """Or not at all, when a value has a form of its own."""
    found = quick_partitions(values, partitions)
    assert found in (None, [stable_hash(value) % partitions for value in values])
    usual = all(
        (type(value) is int and abs(value) < 2**63)
        or type(value) is bytes
        or (type(value) is str and value.isascii())
        for value in values
    )
    assert found is not None or not usual


@pytest.mark.parametrize("seed", ["0", "1", "4242"])
def test_every_process_gives_the_same(seed: str) -> None:
    """Whatever the seed of Python's own hash, which orders its sets."""
    code = (
        "from actorflow import stable_hash; from tests.dispatch.test_hashing import VALUES;"
        "print([stable_hash(value) for value in VALUES])"
    )
    environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": ROOT}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == str([stable_hash(value) for value in VALUES])


class Plain:
    """Has no form that is the same in two processes."""


def recursive() -> list[Any]:
    """A list that contains itself."""
    value: list[Any] = []
    value.append(value)
    return value


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (Plain(), "a tests.dispatch.test_hashing.Plain is none of them"),
        ([1, {"a": Plain()}], "a tests.dispatch.test_hashing.Plain is none of them"),
        (object(), "a object is none of them"),
        (len, "a builtin_function_or_method is none of them"),
        (Plain, "a type is none of them"),
        (Key, "a type is none of them"),
        (1j, "a complex is none of them"),
        (recursive(), "it is nested too deeply"),
    ],
)
def test_what_has_no_stable_form_is_refused(value: Any, why: str) -> None:
    """The error says what is accepted, and that `by` is the way out."""
    with pytest.raises(OptionError) as caught:
        stable_hash(value)
    assert caught.value.option == "value"
    assert why in str(caught.value)
    assert "give the partition dispatcher a function as by" in str(caught.value)


def test_a_partition_dispatcher_names_the_event() -> None:
    """Without `by`, an event that cannot be hashed is refused with what would help."""
    dispatcher = PartitionDispatcher(partitions=2)
    dispatcher.subscribe(1, "one/0", {"partition": 0})
    dispatcher.ask(1, 5)
    with pytest.raises(PartitionError, match=r"the event <.*Plain object.* as by") as caught:
        dispatcher.dispatch(["fine", Plain()], 0)
    assert isinstance(caught.value.__cause__, OptionError)
    assert dispatcher.outstanding(1) == 5


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=20,
)


@given(plain)
def test_any_plain_value_has_a_hash(value: Any) -> None:
    """Anything that an event of plain data may be, and twice the same."""
    assert 0 <= stable_hash(value) < 2**32
    assert stable_hash(value) == stable_hash(value)


@given(st.dictionaries(st.text() | st.integers() | st.floats(allow_nan=False), plain))
def test_the_order_of_a_dict_does_not_matter(value: dict[Any, Any]) -> None:
    """A dict is told by its items."""
    assert stable_hash(dict(reversed(value.items()))) == stable_hash(value)


@pytest.mark.parametrize("partitions", [2, 3, 8, 10, 64])
@pytest.mark.parametrize(
    "keys",
    [
        range(10_000),
        range(0, 640_000, 64),
        [f"user-{number}" for number in range(10_000)],
        [(number, "x") for number in range(10_000)],
    ],
    ids=["integers", "multiples", "texts", "tuples"],
)
def test_usual_keys_are_spread_evenly(partitions: int, keys: list[Any]) -> None:
    """No partition gets more than a third more, or less, than its share."""
    counts = Counter(stable_hash(key) % partitions for key in keys)
    share = len(keys) / partitions
    assert 0.67 * share < min(counts.values()) <= max(counts.values()) < 1.33 * share
    assert len(counts) == partitions
