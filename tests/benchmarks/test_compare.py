"""What is said to have changed between two runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from benchmarks._suite.compare import Comparison, compare
from benchmarks._suite.records import Finding, SuiteReport
from benchmarks._suite.text import render_comparison
from tests.benchmarks.helpers import EVERY_KIND, MACHINE, report, result, suite, throughput


def ratios(*rounds: float) -> SuiteReport:
    """A run that found one ratio."""
    return suite(result(findings=[Finding(name="of bare pipes", rounds=rounds)]))


def between(old: SuiteReport, new: SuiteReport) -> list[str]:
    """What is said of each figure."""
    return [change.verdict for change in compare(old, new).changes]


@pytest.mark.parametrize(
    ("old", "new", "verdict"),
    [
        ((0.8, 0.81, 0.82), (0.6, 0.61, 0.62), "worse"),
        ((0.6, 0.61, 0.62), (0.8, 0.81, 0.82), "better"),
        ((0.6, 0.8, 0.9), (0.5, 0.6, 0.7), "same"),  # the spreads are wider than the change
        ((0.80, 0.80, 0.80), (0.77, 0.77, 0.77), "same"),  # by less than five in a hundred
        ((0.8, 0.8), (0.4, 0.4), "same"),  # two rounds have no spread
    ],
)
def test_a_change_is_one_beyond_both_spreads(
    old: Sequence[float], new: Sequence[float], verdict: str
) -> None:
    """And by more than a little."""
    assert between(ratios(*old), ratios(*new)) == [verdict]
    assert compare(ratios(*old), ratios(*new)).worse is (verdict == "worse")


def test_less_is_better_where_the_finding_says_so() -> None:
    """A delay that grows is worse."""
    old, new = (
        suite(result(findings=[Finding(name="delay", rounds=rounds, better="less")]))
        for rounds in ((1.0, 1.0, 1.0), (2.0, 2.0, 2.0))
    )
    assert between(old, new) == ["worse"]
    assert between(new, old) == ["better"]


def test_what_is_slower_with_its_floor_does_not_count() -> None:
    """The machine was slower, and the command does not fail for it."""
    old = suite(result(throughput({10: [90] * 3}, {10: [100] * 3})))
    new = suite(result(throughput({10: [40] * 3}, {10: [50] * 3})))
    found = compare(old, new)
    assert [change.verdict for change in found.changes] == ["worse", "worse"]
    assert not found.worse
    alone = suite(result(throughput({10: [40] * 3}, {10: [100] * 3})))
    assert compare(old, alone).worse


def test_plain_figures_are_compared_on_one_machine_alone() -> None:
    """Ratios everywhere."""
    elsewhere = replace(MACHINE, cores=64)
    fast, slow = (
        result(
            throughput({10: [rate] * 3}), findings=[Finding(name="of bare pipes", rounds=(1,) * 3)]
        )
        for rate in (1000.0, 10.0)
    )
    found = compare(suite(fast), SuiteReport(reports=(report(slow, machine=elsewhere),)))
    assert [str(change.figure) for change in found.changes] == ["of bare pipes"]
    assert found.passed_over == ("pipeline ran on another machine or Python: its ratios alone",)


def test_what_cannot_be_compared_is_said() -> None:
    """A benchmark that is new, and one that was quick in one run alone."""
    old = SuiteReport(reports=(report(EVERY_KIND, quick=True),))
    new = SuiteReport(reports=(report(EVERY_KIND), report(result(name="spawn"))))
    assert compare(old, new) == Comparison(
        changes=(),
        passed_over=(
            "pipeline was a quick run in one of the two alone",
            "spawn is not in the old results",
        ),
    )


def test_a_run_is_the_same_as_itself() -> None:
    """Every figure is compared, those of timelines excepted."""
    found = compare(suite(EVERY_KIND), suite(EVERY_KIND))
    assert {change.verdict for change in found.changes} == {"same"}
    assert "Memory" not in {change.figure.chart for change in found.changes}
    assert len(found.changes) == 1 + 4 + 5 + 4


def test_the_terminal_shows_each_change() -> None:
    """Old, new, by how much, and which way that is."""
    shown = render_comparison(compare(ratios(0.8, 0.8, 0.8), ratios(0.6, 0.6, 0.6)))
    assert shown.splitlines()[0] == "1 figures changed beyond the spread, 0 did not"
    assert shown.splitlines()[2].split() == (
        ["pipeline:", "of", "bare", "pipes", "0.8", "×", "0.6", "×", "-25%", "worse"]
    )
