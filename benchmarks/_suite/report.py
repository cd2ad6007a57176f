"""The report page: one HTML file with everything in it, for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks._suite.compare import Change, Comparison
from benchmarks._suite.markup import Markup, element, joined
from benchmarks._suite.plot import legend, plot
from benchmarks._suite.records import Chart, Failure, Finding, Machine, Point, Report, SuiteReport
from benchmarks._suite.targets import target
from benchmarks._suite.text import bounds_of, number
from benchmarks._suite.verdicts import Verdict, verdicts

__all__ = ["page"]

BUSY = 0.5
"""A load average of so much for each core, before a benchmark, is worth a warning."""

HOW_TO_READ = (
    "Every benchmark runs its sides in turns, in one run on one machine: actorflow, the floor (the"
    " same work on bare pipes, forks or memory, with nothing in between) and the peers that are"
    " installed. A value is the median of the rounds; the thin line through it goes from the lowest"
    " to the highest. A ratio is taken within each round, between neighbours in time: it says more"
    " than the values themselves, which depend on the machine and on what else it does.",
    "A target is met when every ratio that measures it is within it at the median. What is not met"
    " is shown as such, with the measured reason where one is known.",
)


def page(suite: SuiteReport, comparison: Comparison | None = None) -> str:
    """The whole page, well-formed, with its style and its plots inside.

    Args:
        suite: the results.
        comparison: with an earlier run, or None.
    """
    css = Path(__file__).with_name("report.css").read_text(encoding="utf-8")
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", "actorflow benchmarks"),
        element("style", Markup(css)),
    )
    parts = [element("h1", "actorflow benchmarks"), *_where(suite.reports)]
    parts.append(_targets(verdicts(suite)))
    if suite.failures or suite.not_run:
        parts.append(_failures(suite))
    if comparison is not None:
        parts.append(_comparison(comparison))
    parts.append(_how_to_read())
    parts.append(_contents(suite.reports))
    parts += [_benchmark(report) for report in suite.reports]
    return f"<!DOCTYPE html>\n{element('html', head, element('body', *parts), lang='en')}\n"


# --- the page's beginning -------------------------------------------------------------------------


def _where(reports: Sequence[Report]) -> list[Markup]:
    if not reports:
        return [element("p", "No benchmark gave a report.", class_="soft")]
    first, last = reports[0], reports[-1]
    minutes = sum(report.seconds for report in reports) / 60
    parts = [
        element("p", _machine(first.machine), class_="soft"),
        element(
            "p",
            f"{first.began} to {last.began}, {minutes:.1f} minutes, load"
            f" {first.load_before:.1f} before and {last.load_after:.1f} after",
            class_="soft",
        ),
    ]
    if any(report.quick for report in reports):
        text = "A quick run: short rounds, rough figures. Decide by a full one."
        parts.append(element("p", text, class_="warning"))
    if first.load_before > BUSY * first.machine.cores:
        text = (
            f"The machine was busy when it began (load {first.load_before:.1f} on"
            f" {first.machine.cores} cores): look at ratios, and at wide spreads with doubt."
        )
        parts.append(element("p", text, class_="warning"))
    return parts


def _machine(machine: Machine) -> str:
    packages = ", ".join(f"{each.name} {each.version}" for each in machine.packages)
    memory = machine.memory / (1 << 30)
    return (
        f"{machine.cpu}, {machine.cores} cores, {memory:.0f} GiB · {machine.system} ·"
        f" {machine.python} · {packages}"
    )


def _targets(found: Iterable[Verdict]) -> Markup:
    found = list(found)
    met, missed = (sum(each.state == state for each in found) for state in ("met", "not met"))
    rows: list[Markup] = []
    for each in found:
        rows += _target_rows(each)
    head = ("what", "against", "#wanted", "#measured", "#spread", "", "from")
    counted = f"{met} met, {missed} not met, {len(found) - met - missed} not measured or not run."
    return element(
        "section",
        element("h2", "Targets"),
        element("p", counted, class_="soft"),
        _table(head, rows),
        class_="card",
    )


def _target_rows(verdict: Verdict) -> list[Markup]:
    bound, worst = verdict.target, verdict.worst
    measured = spread = ""
    if worst is not None:
        measured = f"{number(worst.median, [bound.bound])} {worst.unit}"
        spread = f"{number(worst.lowest)}–{number(worst.highest)}"
    what: str = bound.what
    if worst is not None:
        what = element("a", bound.what, href=f"#{bound.benchmark}")
    cells = (
        *(_cell(what), _cell(bound.against), _cell(str(bound), "number")),
        *(_cell(measured, "number"), _cell(spread, "number")),
        *(_cell(_badge(verdict.state)), _cell(bound.source, "from")),
    )
    if not verdict.why:
        return [element("tr", *cells)]
    why = element("tr", element("td", verdict.why, colspan="7"), class_="why")
    return [element("tr", *cells, class_="explained"), why]


def _failures(suite: SuiteReport) -> Markup:
    parts: list[Markup] = []
    for each in suite.failures:
        parts += _failure(each)
    if suite.not_run:
        parts.append(element("p", f"Not run: {', '.join(suite.not_run)}."))
    return element("section", element("h2", "Failed or not run"), *parts, class_="card")


def _failure(failure: Failure) -> list[Markup]:
    said = element(
        "p", _badge("failed"), " ", element("b", failure.benchmark), f" {failure.reason}"
    )
    return [said, element("pre", failure.last_words)] if failure.last_words else [said]


def _comparison(comparison: Comparison) -> Markup:
    changed = [each for each in comparison.changes if each.verdict != "same"]
    text = (
        f"{len(changed)} of {len(comparison.changes)} figures changed by more than both spreads"
        " together."
    )
    parts = [element("p", text, class_="soft")]
    if changed:
        rows = [_change(each) for each in changed]
        parts.append(_table(("benchmark", "figure", "#before", "#now", "", ""), rows))
    parts += [element("p", f"{each}.", class_="soft") for each in comparison.passed_over]
    return element("section", element("h2", "Since the earlier run"), *parts, class_="card")


def _change(change: Change) -> Markup:
    figure = change.figure
    return element(
        "tr",
        _cell(figure.benchmark),
        _cell(str(figure)),
        _cell(f"{number(change.old.median)} {figure.unit}", "number"),
        _cell(f"{number(change.new.median)} {figure.unit}", "number"),
        _cell(_badge(change.verdict)),
        _cell(change.excuse),
    )


def _how_to_read() -> Markup:
    texts = [element("p", text) for text in HOW_TO_READ]
    return element("details", element("summary", "How to read this"), *texts)


def _contents(reports: Sequence[Report]) -> Markup:
    names = [report.result.name for report in reports]
    return element("nav", *(element("a", name, href=f"#{name}") for name in names))


# --- a benchmark ----------------------------------------------------------------------------------


def _benchmark(report: Report) -> Markup:
    result = report.result
    parts = [
        element("h2", result.title),
        element("p", result.measures),
        *(element("p", _badge("failed"), " ", each) for each in result.broken),
        element("div", *map(_plotted, result.charts), class_="plots"),
    ]
    if result.findings:
        parts.append(_findings(result.findings))
    if result.missing:
        text = "; ".join(f"{each.side}: {each.why}" for each in result.missing)
        parts.append(element("p", f"Not measured: {text}.", class_="soft"))
    parts += [element("p", note) for note in result.notes]
    figures = [_figures(chart) for chart in result.charts]
    parts.append(element("details", element("summary", "All figures"), *figures))
    where = (
        f"python -m benchmarks.{result.name}{' --quick' if report.quick else ''}:"
        f" {report.began}, {report.seconds:.0f} s, load {report.load_before:.1f} before and"
        f" {report.load_after:.1f} after"
    )
    parts.append(element("p", where, class_="where"))
    return element("section", *parts, class_="card", id=result.name)


def _plotted(chart: Chart) -> Markup:
    title = element("h3", chart.title)
    if not chart.measured:
        return element("div", title, element("p", "Nothing was measured.", class_="soft"))
    return element("div", title, legend(chart), plot(chart))


def _findings(findings: Sequence[Finding]) -> Markup:
    rows = []
    for each in findings:
        bounds = [target(key) for key in each.targets]
        verdict = joined(
            *(
                joined(_badge("met" if bound.met_by(each.median) else "not met"), f" {bound} ")
                for bound in bounds
            )
        )
        rows.append(
            element(
                "tr",
                _cell(each.name),
                _cell(f"{number(each.median, bounds_of(each))} {each.unit}", "number"),
                _cell(f"{number(each.lowest)}–{number(each.highest)}", "number"),
                _cell(verdict),
            )
        )
    return _table(("finding", "#median", "#spread", "target"), rows)


def _figures(chart: Chart) -> Markup:
    rows = [
        element(
            "tr",
            _cell(each.side),
            _cell(_at(point.at)),
            *(_cell(number(value), "number") for value in _three(point)),
            _cell(str(len(point.rounds)), "number"),
        )
        for each in chart.measured
        for point in each.points
    ]
    head = ("side", chart.parameter, "#median", "#lowest", "#highest", "#rounds")
    return joined(element("h3", f"{chart.title}, {chart.unit}"), _table(head, rows))


def _three(point: Point) -> tuple[float, float, float]:
    return point.median, point.lowest, point.highest


def _at(at: float | str) -> str:
    return at if isinstance(at, str) else f"{at:,g}"


# --- pieces ---------------------------------------------------------------------------------------


def _table(head: Sequence[str], rows: Sequence[Markup]) -> Markup:
    """A table; a column whose name begins with ``#`` has numbers."""
    named = [
        element("th", name.removeprefix("#"), class_="number" if name.startswith("#") else "text")
        for name in head
    ]
    body = (element("thead", element("tr", *named)), element("tbody", *rows))
    return element("div", element("table", *body), class_="wide")


def _cell(text: str, class_: str = "text") -> Markup:
    return element("td", text, class_=class_)


def _badge(state: str) -> Markup:
    return element("span", state, class_=f"badge {state.replace(' ', '-')}")
