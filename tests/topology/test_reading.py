"""Good topologies in YAML: what becomes of them."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from pathlib import Path

import pytest

from actorflow.errors import TopologyError
from actorflow.topology import SubscribeTo, SupervisorOptions, Topology, load, loads
from tests.topology.cases import ENVIRONMENT, PROJECT, mistakes_of

FULL = """\
name: everything
supervisor: {strategy: rest_for_one, order: one_by_one, max_restarts: 1, max_seconds: 2.5}
defaults:
  {delivery: at_most_once, codec: pickle, restart: permanent, shutdown: 1, start_within: 2,
   max_demand: 50, cancel: transient}
stages:
  numbers:
    use: sample:Numbers
    args: {start: 5, step: 2}
    replicas: 2
    restart: temporary
    shutdown: 0.5
    start_within: 9
    delivery: at_most_once
    codec: msgpack
    dispatcher: {demand: {shuffle_demands_on_first_dispatch: true, seed: 3}}
    buffer_size: null
    buffer_keep: first
    demand: accumulate
    poll_interval: 0.1
  print:
    use: sample:Print
    subscribe_to: [{to: numbers, max_demand: 10, min_demand: 0, cancel: temporary}]
"""


def read(text: str, *overrides: str, **environment: str) -> Topology:
    """A topology that uses the modules of the project."""
    return loads(
        text, folder=PROJECT, overrides=overrides, environment={**ENVIRONMENT, **environment}
    )


def args_of(value: str, *overrides: str, **environment: str) -> object:
    """What a constructor gets for an argument that is written so."""
    text = f"stages:\n  a:\n    use: sample:Anything\n    args:\n      it: {value}\n"
    text += "    subscribe_to: []\n"
    return read(text, *overrides, **environment).stages[0].args["it"]


def test_every_key_is_read() -> None:
    """Each key of a topology arrives where the model has it."""
    topology = read(FULL)
    numbers, printer = topology.stages
    assert topology.name == "everything"
    assert topology.supervisor == SupervisorOptions(
        strategy="rest_for_one", order="one_by_one", max_restarts=1, max_seconds=2.5
    )
    assert topology.defaults.cancel == "transient"
    assert topology.import_paths == (PROJECT,)
    assert (numbers.name, numbers.use.__name__, numbers.replicas) == ("numbers", "Numbers", 2)
    assert numbers.args == {"start": 5, "step": 2}
    assert (numbers.restart, numbers.shutdown, numbers.start_within) == ("temporary", 0.5, 9)
    assert numbers.options == {
        "buffer_size": None,
        "buffer_keep": "first",
        "dispatcher": {"demand": {"shuffle_demands_on_first_dispatch": True, "seed": 3}},
        "demand": "accumulate",
        "poll_interval": 0.1,
        "delivery": "at_most_once",
        "codec": "msgpack",
    }
    assert printer.subscribe_to == (
        SubscribeTo("numbers", max_demand=10, min_demand=0, cancel="temporary"),
    )


def test_what_is_read_is_what_python_declares() -> None:
    """A topology from YAML equals the same one built in Python."""
    read_one = read(
        "name: a\nstages: {n: {use: sample:Numbers}, p: {use: sample:Follows, subscribe_to: [n]}}"
    )
    numbers, follows = (stage.use for stage in read_one.stages)
    built = (
        Topology("a", import_paths=(PROJECT,))
        .stage("n", numbers)
        .stage("p", follows, subscribe_to=["n"])
    )
    assert read_one == built


def test_a_topology_without_a_name_has_its_files(tmp_path: Path) -> None:
    """The file's name, made fit, is the topology's."""
    text = "stages: {a: {use: 'inner.deeper:Deep'}}"
    for file, name in [
        ("words.yaml", "words"),
        ("my pipe.v2.yaml", "my-pipe"),
        ("2.yaml", "topology-2"),
        ("-.yaml", "topology"),
        ("<text>", "text"),
    ]:
        assert loads(text, file=file, folder=PROJECT).name == name


def test_the_files_folder_is_the_one_to_import_from(tmp_path: Path) -> None:
    """Modules beside the file are found, and the stages' processes are told where."""
    (tmp_path / "beside_the_file.py").write_text(
        "from actorflow.stage.behaviour import Producer\nclass Here(Producer): ...\n"
    )
    file = tmp_path / "t.yaml"
    file.write_text("﻿stages: {a: {use: 'beside_the_file:Here'}}", encoding="utf-8")
    topology = load(file)
    assert topology.import_paths == (str(tmp_path),)
    assert topology.plan().preload == ("beside_the_file",)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("5", 5),
        ("0x10", 16),
        ("5.0", 5.0),
        ("'5'", "5"),
        ("true", True),
        ("null", None),
        ("text", "text"),
        ("[1, two]", [1, "two"]),
        ("{a: {b: [1]}}", {"a": {"b": [1]}}),
        ("{1: one, 2: yes}", {1: "one", 2: True}),
        ("2001-02-03", datetime.date(2001, 2, 3)),
        ("!!binary aGVsbG8=", b"hello"),
        ("!!str 5", "5"),
        ("&x [1]", [1]),
        ("=", "="),
    ],
)
def test_arguments_are_what_yaml_says(written: str, value: object) -> None:
    """An argument is any plain value of YAML."""
    read_value = args_of(written)
    assert (type(value), value) == (type(read_value), read_value)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("${REPLICAS}", 2),
        ("'${REPLICAS}'", "2"),
        ('"${REPLICAS}"', "2"),
        ("${NOPE:-3}", 3),
        ("${EMPTY:-3}", 3),
        ("${EMPTY}", None),
        ("'${EMPTY}'", ""),
        ("${NOPE:-}", None),
        ("${NOPE:-a:b-c}", "a:b-c"),
        ("${WORD}-${REPLICAS}", "x-2"),
        ("1${REPLICAS}", "12"),
        ("$${WORD}", "${WORD}"),
        ("$$", "$"),
        ("$WORD costs 5$", "$WORD costs 5$"),
        ("$$$$", "$$"),
        ("'a ${NOPE:-b c} d'", "a b c d"),
        ("${YES}", True),
    ],
)
def test_the_environment_is_filled_in(written: str, value: object) -> None:
    """Substitutions are made in every value; alone and unquoted they are read as YAML."""
    read_value = args_of(written, YES="yes")
    assert (type(value), value) == (type(read_value), read_value)


def test_the_environment_is_the_processes_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an environment given, the process's own is read."""
    monkeypatch.setenv("ACTORFLOW_TEST_START", "7")
    text = "stages: {a: {use: sample:Numbers, args: {start: '${ACTORFLOW_TEST_START}'}}}"
    assert loads(text, folder=PROJECT).stages[0].args == {"start": "7"}


def test_keys_are_not_substituted() -> None:
    """A substitution in a key is part of the key."""
    assert args_of("{'${WORD}': 1}") == {"${WORD}": 1}


def test_anchors_and_merges() -> None:
    """Aliases share values; merged keys give way to explicit ones, and to those merged earlier."""
    topology = read("""\
stages:
  a: &a {use: sample:Numbers, args: &args {start: 1}, replicas: 2, shutdown: 1}
  b: {<<: *a, replicas: 3}
  c: &c {args: *args, <<: {use: sample:Numbers, shutdown: 4}}
  d: {<<: [*c, *a]}
""")
    a, b, c, d = topology.stages
    assert (a.replicas, b.replicas, c.replicas, d.replicas) == (2, 3, 1, 2)
    assert (a.shutdown, b.shutdown, c.shutdown, d.shutdown) == (1, 1, 4, 4)
    assert a.args == b.args == c.args == d.args == {"start": 1}


def test_a_mistake_in_a_shared_value_is_reported_once() -> None:
    """A value with several aliases that cannot be read is one mistake, at its anchor."""
    text = """\
stages:
  a: {use: sample:Numbers, args: &args {start: !oops 1}}
  b: {use: sample:Numbers, args: *args}
"""
    assert mistakes_of(text) == [
        "2:48 stages.a.args.start: unknown tag !oops; a topology has maps, lists, text, numbers,"
        " true, false and null"
    ]


def test_a_merged_mistake_is_shown_where_it_is_written() -> None:
    """A bad value that came by a merge points into the map that was merged."""
    text = """\
stages:
  a: &a {use: sample:Numbers, replicas: 0}
  b: {<<: *a}
"""
    assert mistakes_of(text) == [
        "2:41 stages.a.replicas: must be an integer from 1 to 10000, got 0",
        "2:41 stages.b.replicas: must be an integer from 1 to 10000, got 0",
    ]


def test_an_empty_list_of_subscriptions_is_meant_so() -> None:
    """A consumer that a program subscribes later says so with an empty list."""
    (stage,) = read("stages: {a: {use: sample:Print, subscribe_to: []}}").stages
    assert stage.subscribe_to == ()


def test_the_class_says_whom_to_follow() -> None:
    """Without subscribe_to in the topology the class's own holds; with it, it does not."""
    text = """\
stages:
  numbers: {use: sample:Numbers}
  paths: {use: sample:Paths, args: {root: .}}
  a: {use: sample:FollowsMany}
  b: {use: sample:FollowsMany, subscribe_to: [paths]}
"""
    subscriptions = read(text).plan().subscriptions
    assert [(each.consumer, each.producer) for each in subscriptions] == [
        ("a", "numbers"),
        ("a", "paths"),
        ("b", "paths"),
    ]
    assert subscriptions[0].options.max_demand == 4
    assert subscriptions[1].options.cancel == "temporary"


@pytest.mark.parametrize(
    ("dispatcher", "given"),
    [
        ("broadcast", "broadcast"),
        ("{broadcast: }", "broadcast"),
        ("{partition: {partitions: 4}}", {"partition": {"partitions": 4}}),
        (
            "{partition: {partitions: [odd, even], by: sample:parity}}",
            {"partition": {"partitions": ["odd", "even"], "by": "sample:parity"}},
        ),
    ],
)
def test_dispatchers(dispatcher: str, given: Mapping[str, object] | str) -> None:
    """A dispatcher is a name, or a name with its options; a function in them stays a name."""
    (stage,) = read(f"stages: {{a: {{use: sample:Numbers, dispatcher: {dispatcher}}}}}").stages
    assert stage.options["dispatcher"] == given


def test_bytes_are_read_as_utf_8() -> None:
    """A text may come as bytes."""
    topology = loads(
        "stages: {a: {use: 'sample:Anything', args: {x: é}, subscribe_to: []}}".encode(),
        folder=PROJECT,
    )
    assert topology.stages[0].args == {"x": "é"}


def test_without_a_folder_only_the_import_path_counts() -> None:
    """A text has no folder unless it is given one."""
    assert loads("stages: {a: {use: 'tests.topology.project.sample:Numbers'}}").import_paths == ()
    with pytest.raises(TopologyError, match="no module named 'sample_elsewhere'"):
        loads("stages: {a: {use: 'sample_elsewhere:Numbers'}}")
