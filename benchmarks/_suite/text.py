"""Reports, verdicts and comparisons as text, for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from benchmarks._suite.compare import Change, Comparison
from benchmarks._suite.records import Chart, Failure, Finding, Point, Report, Series
from benchmarks._suite.targets import target
from benchmarks._suite.verdicts import Verdict

__all__ = [
    "bounds_of",
    "number",
    "render",
    "render_comparison",
    "render_failures",
    "render_verdicts",
    "table",
]

WIDE = 4
"""With more sides than these a table has a line for each side instead of a column."""


def number(value: float, bounds: Iterable[float] = ()) -> str:
    """Three digits that count, and commas where it is long.

    Args:
        value: the number.
        bounds: what is shown beside it; so many more digits are shown that the reader sees on which
            side of them it is.

    Example:
        >>> number(1234567.8), number(12.345), number(0.01234), number(0)
        ('1,234,568', '12.3', '0.0123', '0')
        >>> number(1.497, [1.5]), number(1.5, [1.5]), number(0.014997, [0.015])
        ('1.497', '1.5', '0.014997')
        >>> number(779.996, [780]), number(1200.4, [1200]), number(0.704, [0.8])
        ('779.996', '1,200.4', '0.704')
    """
    whole = abs(value) >= 100 or value == int(value)
    text = f"{value:,.0f}" if whole else f"{value:.3g}"
    sides = [(bound, _side(value, bound)) for bound in bounds]
    digits = max(3, len(f"{abs(value):.0f}"))
    while any(_side(float(text.replace(",", "")), bound) != side for bound, side in sides):
        digits += 1
        text = f"{value:,.{digits}g}"
    return text


def _side(value: float, bound: float) -> int:
    return (value > bound) - (value < bound)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Columns, each as wide as its longest cell; numbers stand to the right.

    Args:
        head: a name for each column; without any there is no line of names.
        rows: as many cells in each as there are names.
    """
    lines = list(rows)
    columns = [_aligned(name, [line[n] for line in lines]) for n, name in enumerate(head)]
    written = ["  ".join(cells).rstrip() for cells in zip(*columns, strict=True)]
    return "\n".join(written if any(head) else written[1:])


def _aligned(name: str, cells: Sequence[str]) -> list[str]:
    width = max(len(cell) for cell in [name, *cells])
    numbers = all(cell[:1].isdigit() or cell[:1] in {"", "-", "+", "≥", "≤"} for cell in cells)
    return [cell.rjust(width) if numbers else cell.ljust(width) for cell in [name, *cells]]


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
    remarks = [f"{each.side}: {each.why}" for each in result.missing]
    remarks += result.notes
    if remarks:
        parts.append("\n".join(remarks))
    parts += [f"BROKEN: {each}" for each in result.broken]
    return "\n\n".join(parts)


def _chart(chart: Chart) -> str:
    if not chart.measured:
        return "nothing was measured"
    if chart.kind == "timeline":
        rows = [_ends(each) for each in chart.measured]
        return table(["", "first", "last", "most"], rows)
    ats = list(dict.fromkeys(point.at for each in chart.measured for point in each.points))
    if len(chart.measured) > WIDE or len(ats) == 1:
        head = ["", *map(_at, ats)]
        return table(head, [[each.side, *_cells(each, ats)] for each in chart.measured])
    columns = [_cells(each, ats) for each in chart.measured]
    rows = [[_at(at), *cells] for at, *cells in zip(ats, *columns, strict=True)]
    return table([chart.parameter, *(each.side for each in chart.measured)], rows)


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
        median = f"{number(each.median, bounds_of(each))} {each.unit}"
        rows.append([each.name, median, spread, _verdicts(each)])
    lines = [table(["", "median", "spread", "wanted"], rows)]
    lines += [f"{each.name}: {each.why}" for each in findings if each.why and not _met(each)]
    return "\n".join(lines)


def bounds_of(finding: Finding) -> list[float]:
    """What is wanted of a finding, as numbers."""
    return [target(key).bound for key in finding.targets]


def _met(finding: Finding) -> bool:
    return all(target(key).met_by(finding.median) for key in finding.targets)


def _verdicts(finding: Finding) -> str:
    bounds = [target(key) for key in finding.targets]
    return ", ".join(
        f"{bound} {'met' if bound.met_by(finding.median) else 'NOT MET'}" for bound in bounds
    )


# --- the whole suite ------------------------------------------------------------------------------


def render_verdicts(verdicts: Iterable[Verdict]) -> str:
    """A line for each target of the benchmarks that were to run, and the reasons below."""
    rows, reasons = [], []
    not_run = 0
    for each in verdicts:
        if each.state == "not run":
            not_run += 1
            continue
        measured = ""
        if each.worst:
            measured = f"{number(each.worst.median, [each.target.bound])} {each.worst.unit}"
        against = f", against {each.target.against}" if each.target.against else ""
        name = f"{each.target.what}{against}"
        rows.append([each.state.upper(), str(each.target), measured, name])
        if each.why:
            reasons.append(f"{name}: {each.why}")
    lines = [table(["", "wanted", "measured", "target"], rows)] if rows else []
    lines += reasons
    if not_run:
        lines.append(f"{not_run} more targets are of benchmarks that were not run")
    return "\n".join(lines)


def render_failures(failures: Iterable[Failure]) -> str:
    """Each with its last words."""
    parts = []
    for each in failures:
        words = "".join(f"\n    {line}" for line in each.last_words.splitlines())
        parts.append(f"{each.benchmark} failed: {each.reason}{words}")
    return "\n".join(parts)


def render_comparison(comparison: Comparison) -> str:
    """What changed, and how much did not."""
    changed = [each for each in comparison.changes if each.verdict != "same"]
    same = len(comparison.changes) - len(changed)
    lines = [f"{len(changed)} figures changed beyond the spread, {same} did not"]
    if changed:
        head = ["", "old", "new", "by", ""]
        lines.append(table(head, [_change(each) for each in changed]))
    return "\n".join([*lines, *(f"not compared: {each}" for each in comparison.passed_over)])


def _change(change: Change) -> list[str]:
    figure = change.figure
    by = change.new.median / change.old.median - 1 if change.old.median else float("inf")
    excuse = f" ({change.excuse})" if change.excuse else ""
    return [
        f"{figure.benchmark}: {figure}",
        f"{number(change.old.median)} {figure.unit}",
        f"{number(change.new.median)} {figure.unit}",
        f"{by:+.0%}",
        f"{change.verdict}{excuse}",
    ]
