"""From what an option says to a dispatcher."""

from __future__ import annotations

import operator
from typing import Any

import pytest

from actorflow import (
    BroadcastDispatcher,
    DemandDispatcher,
    Dispatcher,
    OptionError,
    PartitionDispatcher,
    Refused,
)
from actorflow.dispatch.build import build_dispatcher
from actorflow.dispatch.functions import resolve_function


@pytest.mark.parametrize(
    ("description", "kind"),
    [
        ("demand", DemandDispatcher),
        ("broadcast", BroadcastDispatcher),
        ({"demand": None}, DemandDispatcher),
        ({"demand": {}}, DemandDispatcher),
        ({"demand": {"shuffle_demands_on_first_dispatch": True}}, DemandDispatcher),
        ({"partition": {"partitions": 2}}, PartitionDispatcher),
        ({"partition": {"partitions": ["a"], "by": "builtins:str"}}, PartitionDispatcher),
    ],
)
def test_a_description_makes_a_dispatcher(description: Any, kind: type[Dispatcher]) -> None:
    """A name, or a map from one name to the options."""
    assert type(build_dispatcher(description)) is kind


def test_a_dispatcher_of_ones_own() -> None:
    """An object is taken as it is."""
    mine = DemandDispatcher()
    assert build_dispatcher(mine) is mine


NAMES = (
    "one of demand, broadcast, partition, ready, or a class of your own, as it is or as"
    " 'module:Class'"
)
FORMS = "a name or a class, or a map of one of them to its options"


@pytest.mark.parametrize(
    ("description", "message"),
    [
        (
            "brodcast",
            f"{NAMES}, got 'brodcast'; did you mean broadcast?",
        ),
        (
            "zzz",
            f"{NAMES}, got 'zzz'",
        ),
        (0, f"{FORMS}, got 0"),
        (None, f"{FORMS}, got None"),
        ({}, f"{FORMS}, got {{}}"),
        (
            {"demand": 5},
            f"{FORMS}, got {{'demand': 5}}",
        ),
        (
            {"demand": {}, "broadcast": {}},
            FORMS,
        ),
        ({"demand": {"shufle": True}}, "demand with its options, got {'shufle': True}"),
        (
            {5: {}},
            f"{NAMES}, got 5",
        ),
    ],
)
def test_a_bad_description_is_refused(description: Any, message: str) -> None:
    """The error has the rule, the value, and the nearest name."""
    with pytest.raises(OptionError) as caught:
        build_dispatcher(description)
    assert caught.value.option == "dispatcher"
    assert message in str(caught.value)


def test_a_function_by_name() -> None:
    """A callable, or the text that names one, dotted or not."""
    assert resolve_function("by", operator.neg) is operator.neg
    assert resolve_function("by", "operator:neg") is operator.neg
    assert resolve_function("by", "builtins:str.upper") is str.upper


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "by must be a function or 'module:name', got None"),
        ("operator", "by must be a function or 'module:name', got 'operator'"),
        (5, "by must be a function or 'module:name', got 5"),
        ("no.such.module:name", "cannot be imported: No module named 'no'"),
        ("operator:nothing", "cannot be imported: module 'operator' has no attribute 'nothing'"),
        ("operator:", "cannot be imported"),
        (":neg", "cannot be imported"),
        (".operator:neg", "cannot be imported"),
        ("tests.dispatch.raises:name", "cannot be imported: division by zero"),
        ("math:pi", "'math:pi' is not a function"),
    ],
)
def test_a_function_that_is_none(value: Any, message: str) -> None:
    """The refusal names the option and says what is wrong."""
    with pytest.raises(Refused) as caught:
        resolve_function("by", value)
    assert caught.value.reason == "bad_option"
    assert message in caught.value.detail
