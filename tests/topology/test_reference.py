"""The tables of keys, and the page that is written from them."""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from actorflow.dispatch.build import DISPATCHERS
from actorflow.errors import OptionError
from actorflow.protocol.demand import SubscriptionOptions
from actorflow.stage.options import StageOptions
from actorflow.supervision.specs import STRATEGIES, ChildSpec
from actorflow.topology import Defaults, SubscribeTo, SupervisorOptions, Topology, load
from actorflow.topology.declarations import StageDeclaration, StageKeywords
from actorflow.topology.description import describe_keys
from actorflow.topology.dispatchers import DISPATCHER_OPTIONS
from actorflow.topology.keys import (
    DEFAULTS,
    STAGE,
    SUBSCRIPTION,
    SUPERVISOR,
    stage_option_names,
)
from actorflow.topology.reference import main, rewritten
from actorflow.topology.tables import Table

PAGE = Path(__file__).parents[2] / "docs" / "topology.md"


def test_the_page_has_the_keys_of_today() -> None:
    """docs/topology.md is what ``python -m actorflow.topology.reference`` writes."""
    page = PAGE.read_text(encoding="utf-8")
    assert rewritten(page) == page


def test_the_page_is_written_again(tmp_path: Path) -> None:
    """The command replaces what is between the marks, and nothing else."""
    page = tmp_path / "page.md"
    text = PAGE.read_text(encoding="utf-8")
    page.write_text(text.replace("`max_restarts`", "`old_name`"), encoding="utf-8")
    assert main([str(page)]) == 0
    assert page.read_text(encoding="utf-8") == text
    with pytest.raises(ValueError, match="the page has no"):
        rewritten("# A page without marks")


def test_every_key_says_what_it_accepts_and_what_it_is_for() -> None:
    """A row has a rule and a sentence, and a default unless it is required."""
    for row in describe_keys():
        assert row.accepts
        assert row.doc.endswith(".")
        assert bool(row.default) != row.required, row


def fields(owner: Any) -> set[str]:
    """The names of a dataclass's fields."""
    return set(owner.__dataclass_fields__)


@pytest.mark.parametrize(
    ("table", "names"),
    [
        (SUPERVISOR, fields(SupervisorOptions)),
        (DEFAULTS, fields(Defaults)),
        (SUBSCRIPTION, fields(SubscribeTo)),
        (
            SUBSCRIPTION,
            fields(SubscriptionOptions) | {"to", "partition", "selector", "shared_fate"},
        ),
        (STAGE, fields(StageDeclaration) - {"name", "options", "source"} | fields(StageOptions)),
        (
            STAGE,
            fields(StageDeclaration) - {"name", "options", "source"}
            | set(StageKeywords.__annotations__),
        ),
    ],
)
def test_python_and_yaml_have_the_same_keys(table: Table, names: set[str]) -> None:
    """What one form can say, the other can; but a file names no object of a running program."""
    assert {key.name for key in table.keys} == names


def test_a_stages_method_has_the_keys_of_its_declaration() -> None:
    """`Topology.stage` takes what a declaration has, and the options as keywords."""
    parameters = set(inspect.signature(Topology.stage).parameters) - {"self"}
    assert parameters == fields(StageDeclaration) - {"source"}  # a source is what `use` is


def test_every_dispatcher_and_each_of_its_options_has_a_key() -> None:
    """The keys of a dispatcher are its constructor's arguments."""
    assert set(DISPATCHER_OPTIONS) == set(DISPATCHERS)
    for name, make in DISPATCHERS.items():
        arguments = set(inspect.signature(make).parameters)
        assert {key.name for key in DISPATCHER_OPTIONS[name].keys} == arguments


def test_the_defaults_shown_are_those_that_hold() -> None:
    """The defaults of the page are taken from what uses them."""
    shown = {(row.where, row.name): row.default for row in describe_keys()}
    assert shown["supervisor", "strategy"] == SupervisorOptions().strategy == STRATEGIES[0]
    assert shown["supervisor", "max_seconds"] == str(SupervisorOptions().max_seconds)
    restart = inspect.signature(ChildSpec).parameters["restart"].default
    assert shown["stages.NAME", "restart"] == shown["defaults", "restart"] == restart
    assert shown["stages.NAME", "dispatcher"] == StageOptions().dispatcher
    assert stage_option_names() == (
        "delivery",
        "codec",
        "shared_memory",
        "busy_poll",
        "scheduling",
        "dispatcher",
        "max_unfinished",
        "buffer_size",
        "buffer_keep",
        "when_no_consumers",
        "demand",
        "on_error",
        "max_deliveries",
        "poll_interval",
    )


def test_a_rule_of_the_page_is_the_rule_of_the_message() -> None:
    """What the page says a value must be is what the error says."""
    for row in describe_keys():
        if row.where == "supervisor":
            with pytest.raises(OptionError) as caught:
                SupervisorOptions(**{row.name: "wrong"})
            assert caught.value.rule == row.accepts


def blocks(language: str) -> list[tuple[str, str]]:
    """The page's examples in a language: the file's name in its first line, and the text."""
    found = re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    return [(text.splitlines()[0].removeprefix("# "), text) for text in found]


def test_the_examples_of_the_page_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The YAML and the Python of the page declare the same topology."""
    for name, text in blocks("yaml") + blocks("python"):
        (tmp_path / name).write_text(text)
    from_yaml = load(tmp_path / "wordcount.yaml", environment={}).plan()
    monkeypatch.syspath_prepend(tmp_path)
    build = __import__("build")
    from_python = build.topology.plan()
    for name in ("build", "wordcount"):
        del sys.modules[name]
    ids = [str(child.stage.id) for child in from_yaml.children]
    assert ids == ["files/0", "count/0", "count/1", "merge/0"]
    assert [str(child.stage.id) for child in from_python.children] == ids
    assert from_python.subscriptions == from_yaml.subscriptions
    assert from_python.strategy == from_yaml.strategy == "rest_for_one"
