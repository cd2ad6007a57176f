"""What the closing report says of events that were not done."""

from __future__ import annotations

import json

import pytest

from actorflow.observe.report import Report
from actorflow.observe.statistics import RunStatistics
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
