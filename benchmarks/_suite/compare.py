"""What became better or worse between two runs of the suite, beyond the spread of their rounds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from benchmarks._suite.records import Better, Report, Role, Rounds, SuiteReport

__all__ = ["Change", "Comparison", "compare"]

FEWEST_ROUNDS = 3
"""With fewer there is no spread to speak of."""

SMALLEST = 0.05
"""A change by less than this part is none, however small the spreads are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A number of a report, with its name.

    Args:
        benchmark: whose it is.
        chart: the title of its chart; nothing for a finding.
        side: who, or the finding's name.
        at: the parameter; nothing for a finding.
        role: whose figure it is; a finding is ours.
        unit: of the number.
        better: which way is better.
    """

    benchmark: str
    chart: str
    side: str
    at: str
    role: Role
    unit: str
    better: Better

    def __str__(self) -> str:
        """Its name, as a person reads it."""
        return ", ".join(part for part in (self.chart, self.side, self.at) if part)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A number that is in both runs.

    Args:
        figure: which.
        old: what the old run found.
        new: what the new run found.
        verdict: ``"worse"`` and ``"better"`` when the medians differ by more than both spreads
            together, and by five in a hundred.
        excuse: why something that is worse does not count.
    """

    figure: Figure
    old: Rounds
    new: Rounds
    verdict: Literal["same", "better", "worse"]
    excuse: str = ""

    @property
    def counts(self) -> bool:
        """Whether the command fails for it."""
        return self.verdict == "worse" and self.figure.role == "actorflow" and not self.excuse


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two runs.

    Args:
        changes: every number that could be compared.
        passed_over: what could not be, a sentence each.
    """

    changes: tuple[Change, ...]
    passed_over: tuple[str, ...]

    @property
    def worse(self) -> bool:
        """Whether anything of ours became worse."""
        return any(change.counts for change in self.changes)


def compare(old: SuiteReport, new: SuiteReport) -> Comparison:
    """Compare number by number.

    Ratios are compared wherever they were measured, plain figures only when it was on the same
    machine.

    Args:
        old: the earlier run.
        new: the later one.
    """
    before = {report.result.name: report for report in old.reports}
    changes: list[Change] = []
    passed_over: list[str] = []
    for report in new.reports:
        name, earlier = report.result.name, before.get(report.result.name)
        if earlier is None:
            passed_over.append(f"{name} is not in the old results")
        elif earlier.quick != report.quick:
            passed_over.append(f"{name} was a quick run in one of the two alone")
        else:
            same = _place(earlier) == _place(report)
            if not same:
                passed_over.append(f"{name} ran on another machine or Python: its ratios alone")
            changes += _excused(_changes(earlier, report, ratios_alone=not same))
    return Comparison(changes=tuple(changes), passed_over=tuple(passed_over))


def _place(report: Report) -> tuple[str, int, str]:
    return report.machine.cpu, report.machine.cores, report.machine.python


def _changes(old: Report, new: Report, *, ratios_alone: bool) -> list[Change]:
    before = dict(_figures(old))
    found = []
    for figure, rounds in _figures(new):
        earlier = before.get(figure)
        if earlier is None or (ratios_alone and figure.unit != "×"):
            continue
        verdict = _verdict(figure.better, earlier, rounds)
        found.append(Change(figure=figure, old=earlier, new=rounds, verdict=verdict))
    return found


def _figures(report: Report) -> Iterator[tuple[Figure, Rounds]]:
    name = report.result.name
    for finding in report.result.findings:
        figure = Figure(
            benchmark=name,
            chart="",
            side=finding.name,
            at="",
            role="actorflow",
            unit=finding.unit,
            better=finding.better,
        )
        yield figure, finding
    for chart in report.result.charts:
        if chart.kind == "timeline":
            continue  # one value at each moment: what matters in it is a finding
        for side in chart.series:
            for point in side.points:
                figure = Figure(
                    benchmark=name,
                    chart=chart.title,
                    side=side.side,
                    at=f"{chart.parameter} {point.at}",
                    role=side.role,
                    unit=chart.unit,
                    better=chart.better,
                )
                yield figure, point


def _verdict(better: Better, old: Rounds, new: Rounds) -> Literal["same", "better", "worse"]:
    if min(len(old.rounds), len(new.rounds)) < FEWEST_ROUNDS:
        return "same"
    spreads = (old.highest - old.lowest) + (new.highest - new.lowest)
    by = new.median - old.median
    if abs(by) <= max(spreads, SMALLEST * abs(old.median)):
        return "same"
    return "better" if (by > 0) == (better == "more") else "worse"


def _excused(changes: Sequence[Change]) -> list[Change]:
    """Excuse what is worse where the floor is worse as well: the machine was."""
    worse_floors = {
        (change.figure.chart, change.figure.at)
        for change in changes
        if change.figure.role == "floor" and change.verdict == "worse"
    }
    return [
        replace(change, excuse="so is the floor beside it")
        if change.verdict == "worse" and (change.figure.chart, change.figure.at) in worse_floors
        else change
        for change in changes
    ]
