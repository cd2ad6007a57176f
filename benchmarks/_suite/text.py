"""A report as text, for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from benchmarks._suite.records import Chart, Finding, Point, Report, Series
from benchmarks._suite.targets import target

__all__ = ["number", "render", "table"]

WIDE = 4
"""With more sides than these a table has a line for each side instead of a column."""


def number(value: float) -> str:
    """Three digits that count, and commas where it is long.

    Example:
        >>> number(1234567.8), number(12.345), number(0.01234), number(0)
        ('1,234,568', '12.3', '0.0123', '0')
    """
    if abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.3g}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Columns, each as wide as its longest cell; the first to the left, the others to the right."""
    lines = [list(head), *map(list, rows)]
    widths = [max(len(line[n]) for line in lines) for n in range(len(head))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if n == 0 else cell.rjust(width)
            for n, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def render(report: Report) -> str:
    """Everything that a report says."""
    result = report.result
    where = report.machine
    parts = [
        f"{result.title}{' (quick)' if report.quick else ''}\n"
        f"{where.python}, {where.cores} cores, load {report.load_before:.1f} before,"
        f" {report.load_after:.1f} after, {report.seconds:.0f} s"
    ]
    parts += [f"{chart.title}, {chart.unit}\n{_chart(chart)}" for chart in result.charts]
    if result.findings:
        parts.append(_findings(result.findings))
    parts += [f"{each.side}: {each.why}" for each in result.missing]
    parts += [f"BROKEN: {each}" for each in result.broken]
    return "\n\n".join(parts)


def _chart(chart: Chart) -> str:
    if chart.kind == "timeline":
        rows = [_ends(each) for each in chart.series]
        return table(["", "first", "last", "most"], rows)
    ats = list(dict.fromkeys(point.at for each in chart.series for point in each.points))
    if len(chart.series) > WIDE or len(ats) == 1:
        head = ["", *map(_at, ats)]
        return table(head, [[each.side, *_cells(each, ats)] for each in chart.series])
    columns = [_cells(each, ats) for each in chart.series]
    rows = [[_at(at), *cells] for at, *cells in zip(ats, *columns, strict=True)]
    return table([chart.parameter, *(each.side for each in chart.series)], rows)


def _cells(one: Series, ats: Sequence[float | str]) -> list[str]:
    points = {point.at: point for point in one.points}
    return [_cell(points[at]) if at in points else "" for at in ats]


def _cell(point: Point) -> str:
    return number(point.median)


def _ends(one: Series) -> list[str]:
    values = [point.median for point in one.points]
    return [one.side, number(values[0]), number(values[-1]), number(max(values))]


def _at(at: float | str) -> str:
    return at if isinstance(at, str) else f"{at:,g}"


def _findings(findings: Sequence[Finding]) -> str:
    rows = []
    for each in findings:
        spread = f"{number(each.lowest)}–{number(each.highest)}"
        rows.append([each.name, f"{number(each.median)} {each.unit}", spread, _verdicts(each)])
    lines = [table(["", "median", "spread", "wanted"], rows)]
    lines += [f"{each.name}: {each.why}" for each in findings if each.why]
    return "\n".join(lines)


def _verdicts(finding: Finding) -> str:
    bounds = [target(key) for key in finding.targets]
    return ", ".join(
        f"{bound} {'met' if bound.met_by(finding.median) else 'NOT MET'}" for bound in bounds
    )
