"""What the closing report says, to people and to programs."""

from __future__ import annotations

import json
from dataclasses import fields
from math import nan
from textwrap import dedent
from typing import Any

import pytest

from actorflow.observe.report import Report
from actorflow.observe.statistics import RunStatistics, StageStatistics
from actorflow.protocol.identity import Incarnation
from actorflow.stages.scans import ScanStageReport
from actorflow.supervision.events import Outcome
from actorflow.supervision.remains import Remains


@pytest.mark.parametrize(
    ("left", "said"),
    [
        (Remains("a/0", 1, 0, 0, False), "a/0: 1 event emitted, and not finished: handed back"),
        (
            Remains("a/0", 1200, 3, 0, True),
            "a/0: 1,200 events emitted, and not finished; 3 events taken, and not handled:"
            " kept in the checkpoint",
        ),
        (
            Remains("a/0", 0, 5, 5, True),
            "a/0: 5 events taken, and not handled: lost, under at_most_once",
        ),
        (
            Remains("a/0", 2, 3, 3, False),
            "a/0: 2 events emitted, and not finished; 3 events taken, and not handled:"
            " handed back, but for 3 that are lost, under at_most_once",
        ),
    ],
)
def test_the_report_says_what_remains_of_each_stage(left: Remains, said: str) -> None:
    """A line for each, with what becomes of the events; the same numbers in the JSON object."""
    report = Report(RunStatistics("r", 1.0, ()), Outcome("stopped", None, {}, (left,)))
    assert said in report.as_text().splitlines()
    (plain,) = report.as_dict()["remains"]
    assert plain == {
        "stage": left.stage,
        "unfinished": left.unfinished,
        "unhandled": left.unhandled,
        "lost": left.lost,
        "kept": left.kept,
    }


def test_a_record_among_the_results_is_an_object_of_its_fields() -> None:
    """So what a ready-made stage answers can be read by whoever reads the JSON object."""
    answer = ScanStageReport(elements=3, discarded=0, values=4, scans=(), killed=())
    report = Report(RunStatistics("r", 1.0, ()), Outcome("done", None, {"scans": answer}))
    assert json.loads(report.as_json())["results"] == {
        "scans": {"elements": 3, "discarded": 0, "values": 4, "scans": [], "killed": []}
    }


def stage(name: str, **counted: Any) -> StageStatistics:
    """A stage's counters, all 0 but these."""
    zeros = {each.name: 0 for each in fields(StageStatistics)}
    return StageStatistics(**{**zeros, "state": "ended", **counted, "stage": name})  # type: ignore[arg-type]


def test_the_report_as_a_person_reads_it() -> None:
    """Results line by line, pairs as a table, stages in columns, what was given up, and the end."""
    results = {"count": {"words": 12345, "top": [("a", 1200), ("bb", 3)], "mean": 0.5}, "one": [1]}
    stages = (
        stage("a/0", events_out=1500, busy=1.0, starved=2.0, blocked=1.0),
        stage("b/0", events_in=1500, events_out=3, skipped=1, lost=2000),
    )
    report = Report(RunStatistics("r", 1.5, stages), Outcome("done", None, results))
    assert report.as_text() == dedent(
        """\
        count:
          words: 12,345
          top:
            a   1,200
            bb      3
          mean: 0.5

        one: [1]

        stage     in    out  per second  busy  starved  blocked  restarts  redelivered  discarded
        a/0        0  1,500       1,000   25%      50%      25%         0            0          0
        b/0    1,500      3       1,000    0%       0%       0%         0            0          0

        b/0: 1 event given up, and skipped as on_error says
        b/0: 2,000 events lost with a consumer that is gone for good

        r: done in 1.50 s"""
    )


def test_the_report_as_a_program_reads_it() -> None:
    """The error's own words, rates and shares; a value that JSON has no word for is its repr."""
    results = {"s": {1: nan, "é": {"x"}}, "t": (1, 2.5, Incarnation), "u": None}
    stages = (stage("a/0", events_in=3, busy=1.0, starved=2.0),)
    outcome = Outcome("failed", ValueError("no"), results)
    text = Report(RunStatistics("r", 2.0, stages), outcome).as_json()
    assert '"é"' in text
    found = json.loads(text)
    assert (found["status"], found["error"], found["gave_up"]) == ("failed", "ValueError: no", None)
    assert found["results"] == {
        "s": {"1": "nan", "é": ["x"]},
        "t": [1, 2.5, repr(Incarnation)],
        "u": None,
    }
    (row,) = found["stages"]
    assert (row["rate_in"], row["rate_out"]) == (1.5, 0.0)
    assert (row["busy_share"], row["starved_share"], row["blocked_share"]) == (0.3333, 0.6667, 0.0)
