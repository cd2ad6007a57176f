"""The tables of mutations are about code and tests that are there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.mutations.runner import ROOT, apply
from tests.mutations.table import Edit, Mutation, all_mutations

MUTATIONS = list(all_mutations())


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.id)
def test_what_a_mutation_changes_is_there_once(mutation: Mutation) -> None:
    """Otherwise it would change nothing, or the wrong place."""
    assert mutation.edits
    for edit in mutation.edits:
        assert (ROOT / edit.file).read_text().count(edit.text) == 1, edit
        assert edit.text != edit.replacement


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.id)
def test_the_test_that_has_to_catch_a_mutation_exists(mutation: Mutation) -> None:
    """A renamed test would otherwise catch nothing, and nobody would know."""
    assert mutation.tests
    for test in mutation.tests:
        file, _, name = test.partition("::")
        assert name.partition("[")[0] in _names((ROOT / file).read_text()), test


def _names(source: str) -> set[str]:
    """What may be named as a test in a file: functions, and the classes of rule machines."""
    found = set()
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign):
            found |= {each.id for each in node.targets if isinstance(each, ast.Name)}
    return found


def test_every_mutation_has_a_number_of_its_own() -> None:
    """So that one can be tried by its id."""
    ids = [mutation.id for mutation in MUTATIONS]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[FM]\d+[a-f]?", each) for each in ids)


def test_an_edit_that_does_not_apply_is_an_error(tmp_path: Path) -> None:
    """A text that is twice in a file could be either."""
    (tmp_path / "code.py").write_text("one\ntwo\none\n")
    apply([Edit("code.py", "two", "three")], tmp_path)
    assert (tmp_path / "code.py").read_text() == "one\nthree\none\n"
    with pytest.raises(ValueError, match="2 times"):
        apply([Edit("code.py", "one", "four")], tmp_path)
