"""The main job: the words of the standard library, counted by four processes."""

from __future__ import annotations

import json
import re
from collections import Counter

import pytest

from tests.end_to_end.helpers import ROOT, finish, start_actorflow

pytestmark = pytest.mark.processes

CONFIG = str(ROOT / "configs" / "wordcount.yaml")
SOME = "stages.files.args.pattern='[a-h]*/**/*.py'"
"""What `expected_of_some` has counted."""


def test_every_word_has_the_count_of_one_process(expected: Counter[str]) -> None:
    """All totals are exact, and standard output is one JSON object and nothing else."""
    program = start_actorflow("run", CONFIG, "--json", "--set", "stages.merge.args.top=1000000")
    code, output, errors = finish(program, 50)
    assert (code, errors) == (0, "")
    assert output.count("\n") == 1
    report = json.loads(output)
    merged = report["results"]["merge"]
    assert merged["words"] == expected.total()
    assert merged["distinct"] == len(expected)
    assert dict(merged["commonest"]) == dict(expected)
    assert (report["name"], report["status"], report["error"]) == ("wordcount", "done", None)
    stages = {stage["stage"]: stage for stage in report["stages"]}
    assert list(stages) == ["files/0", "count/0", "count/1", "merge/0"]
    files = stages["files/0"]["events_out"]
    assert files > 1000
    assert stages["count/0"]["events_in"] + stages["count/1"]["events_in"] == files
    made = stages["count/0"]["events_out"] + stages["count/1"]["events_out"]
    assert stages["merge/0"]["events_in"] == made


def test_the_twenty_commonest_words_are_shown_with_the_report(
    expected_of_some: Counter[str],
) -> None:
    """The text for a person has the words with their counts, a table of the stages, and the end."""
    code, output, errors = finish(start_actorflow("run", CONFIG, "--set", SOME), 50)
    assert (code, errors) == (0, "")
    result, table, edges, end = output.rstrip("\n").split("\n\n")
    lines = result.splitlines()
    assert lines[0] == "merge:"
    assert lines[1] == f"  words: {expected_of_some.total():,}"
    assert lines[2] == f"  distinct: {len(expected_of_some):,}"
    assert lines[3] == "  commonest:"
    shown = [(word, int(count.replace(",", ""))) for word, count in map(str.split, lines[4:])]
    assert sorted(shown) == sorted(expected_of_some.most_common(20))
    head, *rows = table.splitlines()
    assert head.split()[:4] == ["stage", "in", "out", "per"]
    assert [row.split()[0] for row in rows] == ["files/0", "count/0", "count/1", "merge/0"]
    assert [line.split()[:3] for line in edges.splitlines()[1:3]] == [
        ["files/0", "→", "count/0"],
        ["files/0", "→", "count/1"],
    ]
    assert re.fullmatch(r"wordcount: done in \d+\.\d\d s", end)
