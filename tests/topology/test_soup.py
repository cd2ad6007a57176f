"""Whatever a text contains, reading it gives a topology or a TopologyError."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from actorflow.errors import OptionError, Problem, TopologyError
from actorflow.topology import loads
from actorflow.topology.description import describe_keys
from actorflow.topology.keys import SUBSCRIPTION
from tests.seeds import examples
from tests.topology.cases import ENVIRONMENT, PROJECT

WORDS = sorted({row.name for row in describe_keys()} | {"a", "b", "numbers", "print"})
CLASSES = [f"sample:{name}" for name in ("Numbers", "Double", "Print", "Follows", "BadDispatcher")]
SYNTAX = [
    "&x",
    "*x",
    "<<: *x",
    "!!int",
    "!!binary",
    "!!set",
    "!x",
    "${WORD}",
    "${",
    "$$",
    "---",
    "%YAML",
    "? ",
    ": ",
    "- ",
    "[",
    "]",
    "{",
    "}",
    ",",
    "|",
    ">",
    "'",
    '"',
    "#",
    "\t",
    "\n",
    "  ",
    "\r",
    "\x85",
]

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from([*WORDS, *CLASSES, "auto", "demand", "partition", "broadcast", "${WORD}"])
    | st.text(max_size=8)
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=5)
    ),
    max_leaves=20,
)


def stage_maps(inner: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    """Maps that look like a stage, so that most of the checks are reached."""
    options = st.dictionaries(st.sampled_from(WORDS), inner, max_size=4)
    subscriptions = st.lists(
        st.sampled_from(["a", "b", "numbers"])
        | st.fixed_dictionaries(
            {"to": st.sampled_from(["a", "b", "numbers"])},
            optional={key.name: inner for key in SUBSCRIPTION.keys if not key.required},
        ),
        max_size=3,
    )
    return st.builds(
        lambda base, more: {**more, **base},
        st.fixed_dictionaries(
            {"use": st.sampled_from(CLASSES)},
            optional={"subscribe_to": subscriptions, "args": options},
        ),
        options,
    )


topologies = st.fixed_dictionaries(
    {
        "stages": st.dictionaries(
            st.sampled_from(["a", "b", "numbers", "print"]), stage_maps(values)
        )
    },
    optional={"name": values, "supervisor": values, "defaults": values},
)


def problems_of(text: str | bytes, *overrides: str) -> list[Problem]:
    """What is wrong with a text; whatever else is raised fails the test."""
    try:
        loads(text, folder=PROJECT, overrides=overrides, environment=ENVIRONMENT).plan()
    except TopologyError as error:
        return error.problems or [Problem("")]
    return []


def read(text: str | bytes, *overrides: str) -> None:
    """Read a text; what is wrong with it must be said, in a few lines."""
    for problem in problems_of(text, *overrides):
        assert problem.message
        assert len(str(problem)) < 5000


@given(st.binary(max_size=200))
def test_bytes(data: bytes) -> None:
    """No bytes raise anything else."""
    read(data)


@given(st.text(max_size=200))
@example("a: !!timestamp x")
@example("a: !!bool maybe")
@example("a: !!int ''")
@example("a: !!float ''")
@example("? {a: b}\n: c")
@example("a: 0x" + "f" * 5000)
@example("a: " + "9" * 5000)
def test_text(text: str) -> None:
    """No text raises anything else."""
    read(text)


@given(st.lists(st.sampled_from([*SYNTAX, *WORDS, *CLASSES]), max_size=40))
def test_pieces_of_yaml(pieces: list[str]) -> None:
    """No jumble of YAML's signs and a topology's words raises anything else."""
    read("".join(pieces))
    read("stages:\n  a:\n    " + " ".join(pieces))


@given(values)
def test_any_data(value: object) -> None:
    """No well-formed YAML raises anything else; JSON is YAML."""
    read(json.dumps(value))


@settings(max_examples=examples(150))
@given(topologies)
def test_data_that_looks_like_a_topology(value: object) -> None:
    """Nothing that has nearly the form of a topology raises anything else."""
    read(json.dumps(value))


@given(st.lists(st.sampled_from([*WORDS, ".", "=", "0", "1", "[", "{", "&x", "*x"]), max_size=12))
def test_overrides(pieces: list[str]) -> None:
    """No override raises anything else."""
    text = "stages: {a: {use: sample:Numbers}, b: {use: sample:Print, subscribe_to: [a]}}"
    read(text, "".join(pieces))
    read(text, "stages.a." + "".join(pieces))


@pytest.mark.parametrize("value", [3, None, ["a"]])
def test_what_is_no_text(value: object) -> None:
    """Something else than text or bytes is refused as an argument."""
    with pytest.raises(OptionError, match="text must be text or bytes"):
        loads(value)  # type: ignore[arg-type]
