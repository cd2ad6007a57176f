"""The parts of the pages that are written from the code."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

import actorflow
from actorflow import testing
from actorflow.compiled import core
from actorflow.protocol import control, wire
from tests.docs import generated
from tests.docs.pages import ROOT

DOCS = ROOT / "docs"


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.name)
def test_a_page_is_what_the_code_says_today(page: Path) -> None:
    """``python -m tests.docs.generated`` would change nothing."""
    if page.name == "reference.md" and core() == "compiled":
        pytest.skip("a compiled class has lost its docstring")
    text = page.read_text(encoding="utf-8")
    assert generated.rewritten(text) == text


def test_the_parts_are_written_again(tmp_path: Path) -> None:
    """The command replaces what is generated, and nothing else."""
    text = (DOCS / "protocol.md").read_text(encoding="utf-8")
    page = tmp_path / "protocol.md"
    page.write_text(text.replace("0000  ", "9999  ").replace("| `Stop` |", "| `Halt` |"), "utf-8")
    assert page.read_text(encoding="utf-8") != text
    assert generated.main([str(page)]) == 0
    assert page.read_text(encoding="utf-8") == text


def test_every_message_of_the_protocol_is_shown() -> None:
    """docs/protocol.md has each tag, each as bytes."""
    text = (DOCS / "protocol.md").read_text(encoding="utf-8")
    shown = {expression.partition("(")[0] for _, expression, _ in generated._FRAME.findall(text)}
    for tag in wire._READERS:
        assert f"`{tag}`" in text
    kinds = {kind.__name__ for kind in wire._FIELDS}
    assert kinds - shown == {"Cast"}
    assert "encode_control" in shown


def test_every_reason_for_a_refusal_is_explained() -> None:
    """What `decode` and the stage machine refuse with is in the table of docs/protocol.md."""
    text = (DOCS / "protocol.md").read_text(encoding="utf-8")
    rooms = [ROOT / "actorflow" / room for room in ("protocol", "stage", "dispatch")]
    reasons = {
        reason
        for room in rooms
        for path in room.glob("*.py")
        for reason in generated.reasons(path.read_text(encoding="utf-8"))
    }
    assert len(reasons) > 10
    assert {reason for reason in reasons if f"`{reason}`" not in text} == set()


def test_every_public_name_is_in_the_reference() -> None:
    """docs/reference.md has a row for each, with a sentence."""
    text = (DOCS / "reference.md").read_text(encoding="utf-8")
    rows = set(re.findall(r"^\| `(\w+)` \| \S", text, re.MULTILINE))
    assert {*actorflow.__all__, *testing.__all__} - rows == set()


def test_every_control_record_is_in_the_table() -> None:
    """The table has a line for each."""
    assert generated.records().count("\n") == len(control._RECORDS) + 2


def test_the_examples_of_the_generator() -> None:
    """Its docstrings are right."""
    assert doctest.testmod(generated).failed == 0
