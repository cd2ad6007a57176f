"""What becomes of each target."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from benchmarks._suite.records import Failure, Finding, Missing, SuiteReport
from benchmarks._suite.targets import TARGETS, Target, target
from benchmarks._suite.text import render_verdicts
from benchmarks._suite.verdicts import verdicts
from tests.benchmarks.helpers import result, suite

LEAST = Target(key="fast", what="speed", benchmark="pipeline", source="here", at_least=0.8)
MOST = Target(key="late", what="delay", benchmark="pipeline", source="here", at_most=50, unit="ms")


def found(*rounds: float, key: str = "fast", why: str = "") -> Finding:
    """What measures a target."""
    return Finding(name=f"{key} {rounds[0]}", rounds=rounds, targets=(key,), why=why)


def test_a_target_is_met_when_all_that_measures_it_is_within() -> None:
    """At the median, the bound itself included; the finding that decides is the worst."""
    findings = [found(0.1, 0.8, 0.9), found(1.0)]
    (verdict,) = verdicts(suite(result(findings=findings)), [LEAST])
    assert verdict.state == "met"
    assert verdict.worst == findings[0]


def test_one_finding_on_the_wrong_side_is_enough() -> None:
    """Its reason is told, those of the others are not."""
    findings = [found(0.9, why="unused"), found(0.7, why="two copies")]
    (verdict,) = verdicts(suite(result(findings=findings)), [LEAST])
    assert (verdict.state, verdict.why) == ("not met", "two copies")


def test_a_targets_own_reason_is_told_where_no_finding_has_one() -> None:
    """It is not told of a target that is met."""
    known = replace(LEAST, reason="pipes are copied twice")
    (verdict,) = verdicts(suite(result(findings=[found(0.7)])), [known])
    assert verdict.why == "pipes are copied twice"
    (verdict,) = verdicts(suite(result(findings=[found(0.7, why="measured")])), [known])
    assert verdict.why == "measured"
    (verdict,) = verdicts(suite(result(findings=[found(0.9)])), [known])
    assert verdict.why == ""


def test_at_most_is_the_other_way_round() -> None:
    """The worst is the highest."""
    findings = [found(20, key="late"), found(51, key="late")]
    (verdict,) = verdicts(suite(result(findings=findings)), [MOST])
    assert (verdict.state, verdict.worst) == ("not met", findings[1])
    (verdict,) = verdicts(suite(result(findings=findings[:1])), [MOST])
    assert verdict.state == "met"


@pytest.mark.parametrize(
    ("run", "state", "why"),
    [
        (SuiteReport(reports=()), "not run", ""),
        (suite(result()), "not measured", "ray: not installed"),
        (
            SuiteReport(
                reports=(), failures=(Failure(benchmark="pipeline", reason="exit code 3"),)
            ),
            "not measured",
            "pipeline failed: exit code 3",
        ),
    ],
    ids=["not run", "without the peer", "failed"],
)
def test_what_was_not_measured_is_said_to_be(run: SuiteReport, state: str, why: str) -> None:
    """With the reason."""
    (verdict,) = verdicts(run, [LEAST])
    assert (verdict.state, verdict.why, verdict.worst) == (state, why, None)


def test_the_peer_that_a_target_is_about_is_the_reason() -> None:
    """And not the others that are missing, too."""
    missing = (Missing(side="ray", why="not installed"), Missing(side="mpire", why="hangs"))
    run = suite(replace(result(), missing=missing))
    (verdict,) = verdicts(run, [replace(LEAST, against="mpire imap")])
    assert verdict.why == "mpire: hangs"


def test_the_terminal_shows_the_targets_of_what_was_run() -> None:
    """Each with its bound and its reason; the others are counted."""
    other = Target(key="x", what="x", benchmark="spawn", source="here", at_least=1)
    findings = [found(0.7, why="two copies")]
    shown = render_verdicts(verdicts(suite(result(findings=findings)), [LEAST, other]))
    assert re.search(r"NOT MET +≥ 0\.8 × +0\.7 × +speed\nspeed: two copies\n1 more", shown)


def test_every_target_has_a_key_of_its_own() -> None:
    """Findings name them by it."""
    assert len({each.key for each in TARGETS}) == len(TARGETS)
    assert target("pipeline_single").at_least == 0.6
    with pytest.raises(ValueError, match="there is no target 'nothing'; there are pipeline_batche"):
        target("nothing")
    with pytest.raises(ValueError, match="give either at_least or at_most"):
        Target(key="both", what="", benchmark="", source="", at_least=1, at_most=2)
