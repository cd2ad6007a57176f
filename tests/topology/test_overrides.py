"""Overrides: values that are set beside the file."""

from __future__ import annotations

import pytest

from actorflow.topology import Topology, loads
from tests.topology.cases import ENVIRONMENT, PROJECT, mistakes_of

TEXT = """\
stages:
  numbers: &numbers
    use: sample:Numbers
    args: &args {start: 1}
  more: {<<: *numbers, args: *args}
  print:
    use: sample:Print
    subscribe_to: [{to: numbers, max_demand: 10}, more]
"""


def read(*overrides: str) -> Topology:
    """The topology with overrides."""
    return loads(TEXT, folder=PROJECT, overrides=overrides, environment=ENVIRONMENT)


def test_a_value_is_replaced() -> None:
    """An override goes before what the file says, the last override before the others."""
    topology = read(
        "stages.numbers.args.start=7", "stages.print.replicas=4", "stages.print.replicas=5"
    )
    assert topology.stages[0].args == {"start": 7}
    assert topology.stages[2].replicas == 5


def test_a_value_is_added_with_the_maps_around_it() -> None:
    """What the file does not have is put in, maps on the way included."""
    topology = read(
        "name=other",
        "supervisor.max_restarts=9",
        "defaults.delivery=at_most_once",
        "stages.more.args.step=2",
    )
    assert topology.name == "other"
    assert topology.supervisor.max_restarts == 9
    assert topology.defaults.delivery == "at_most_once"
    assert topology.stages[1].args == {"start": 1, "step": 2}


def test_what_an_alias_shares_is_not_changed_elsewhere() -> None:
    """Setting a value in one stage leaves the stages alone that share it by an alias or a merge."""
    numbers, more, _ = read("stages.more.args.start=8", "stages.more.replicas=2").stages
    assert (numbers.args, more.args) == ({"start": 1}, {"start": 8})
    assert (numbers.replicas, more.replicas) == (1, 2)


def test_a_merged_value_is_changed_from_what_it_was() -> None:
    """Setting a part of a value that was merged in keeps its other parts."""
    text = "stages:\n  a: &a {use: sample:Numbers, args: {start: 1}}\n  b: {<<: *a}\n"
    a, b = loads(text, folder=PROJECT, overrides=["stages.b.args.step=2"]).stages
    assert (a.args, b.args) == ({"start": 1}, {"start": 1, "step": 2})


def test_a_place_in_a_list_is_a_number() -> None:
    """In a list the key is the place, from 0."""
    subscriptions = (
        read("stages.print.subscribe_to.0.max_demand=20", "stages.print.subscribe_to.1={to: more}")
        .stages[2]
        .subscribe_to
    )
    assert subscriptions is not None
    assert [(each.to, each.max_demand) for each in subscriptions] == [
        ("numbers", 20),
        ("more", None),
    ]


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("5", 5),
        ("'5'", "5"),
        ("a=b", "a=b"),
        ("[1, {a: 2}]", [1, {"a": 2}]),
        ("", None),
        ("${REPLICAS}", 2),
        ("a\n  b", "a b"),
    ],
)
def test_the_value_is_yaml(written: str, value: object) -> None:
    """The part after the first = is read as YAML, the environment included."""
    assert read(f"stages.numbers.args.start={written}").stages[0].args["start"] == value


def test_an_override_may_build_on_another() -> None:
    """A later override may set a part of what an earlier one put in."""
    numbers = read("stages.numbers.args={start: 3}", "stages.numbers.args.step=4").stages[0]
    assert numbers.args == {"start": 3, "step": 4}


@pytest.mark.parametrize(
    ("override", "mistake"),
    [
        (
            "stages.print.replicas=0",
            "--set 1:23 stages.print.replicas: must be an integer from 1 to 10000, got 0",
        ),
        (
            "stages.print.replica=2",
            "--set 1:14 stages.print: unknown key 'replica'; did you mean 'replicas'?",
        ),
        ("stage.print.replicas=2", "--set 1:1 : unknown key 'stage'; did you mean 'stages'?"),
        (
            "stages.prnt.replicas=2",
            "--set 1:8 stages: unknown stage 'prnt'; did you mean 'print'?",
        ),
        (
            "stages.print.subscribe_to.2=more",
            "--set 1:27 stages.print.subscribe_to: no item '2' in the list; its places: 0 to 1",
        ),
        (
            "stages.print.subscribe_to.last=more",
            "--set 1:27 stages.print.subscribe_to: no item 'last' in the list; its places: 0 to 1",
        ),
        (
            "stages.print.subscribe_to.1.max_demand=3",
            "--set 1:29 stages.print.subscribe_to.1: is no map or"
            " list, so nothing can be set in it",
        ),
        (
            "stages.print.subscribe_to.0.to=nmbers",
            "--set 1:32 stages.print.subscribe_to.0.to: unknown stage 'nmbers';"
            " did you mean 'numbers'?",
        ),
        (
            "replicas",
            "--set 1:1 : must be KEY=VALUE, the key with its path: stages.NAME.replicas=4",
        ),
        (
            "=4",
            "--set 1:1 : must be KEY=VALUE, the key with its path: stages.NAME.replicas=4",
        ),
        (
            "stages..replicas=4",
            "--set 1:1 : must be KEY=VALUE, the key with its path: stages.NAME.replicas=4",
        ),
        (
            "a." * 5000 + "a=4",
            "--set 1:1 : must be KEY=VALUE, the key with its path: stages.NAME.replicas=4",
        ),
        (
            "stages.print.replicas=[1",
            "--set 1:25 : not YAML: did not find expected ',' or ']', while parsing a flow"
            " sequence",
        ),
        (
            "stages.print.replicas=${NOPE}",
            "--set 1:23 stages.print.replicas: environment variable 'NOPE' is not set;"
            " give ${NOPE:-a default}",
        ),
        (
            "stages.print.use=sample:Prnt",
            "--set 1:18 stages.print.use: module 'sample' has no 'Prnt'; did you mean 'Print'?",
        ),
    ],
)
def test_a_mistake_in_an_override_is_shown_in_the_override(override: str, mistake: str) -> None:
    """The place is that in the override's text, and the path is the key's."""
    assert mistakes_of(TEXT, override) == [mistake]


def test_mistakes_of_the_file_come_first_then_those_of_the_overrides_in_order() -> None:
    """All are listed together."""
    text = TEXT.replace("start: 1", "strt: 1")
    assert [
        mistake.partition(": ")[0]
        for mistake in mistakes_of(text, "stages.print.replicas=0", "stages.prnt.replicas=2")
    ] == [
        "4:18 stages.numbers.args",
        "4:18 stages.more.args",
        "--set 1:23 stages.print.replicas",
        "--set 1:8 stages",
    ]


def test_nothing_can_be_set_in_a_list_or_an_empty_file() -> None:
    """A file that is no map is reported, and so is the override that finds nothing in it."""
    assert mistakes_of("- a", "name=b")[1] == (
        "--set 1:1 : no item 'name' in the list; its places: 0 to 0"
    )
    assert mistakes_of("", "name=b")[1] == (
        "--set 1:1 : is no map or list, so nothing can be set in it"
    )


def test_a_map_merged_into_itself_is_reported_and_not_followed_forever() -> None:
    """An override that looks for a merged value does not hang on a merge that is a circle."""
    text = "stages:\n  a: &a\n    <<: *a\n    use: sample:Numbers\n"
    assert mistakes_of(text, "stages.a.args.start=1")[0].endswith(
        "an alias to a value that contains it"
    )
