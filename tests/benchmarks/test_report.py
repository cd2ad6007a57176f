"""The report page, its plots, and the same for a terminal."""

from __future__ import annotations

import doctest
import re
from importlib import import_module
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from benchmarks._suite.compare import compare
from benchmarks._suite.plot import WIDTH, plot
from benchmarks._suite.records import Chart, Failure, Finding, SuiteReport
from benchmarks._suite.report import page
from benchmarks._suite.rounds import series
from benchmarks._suite.scales import scale_of
from benchmarks._suite.targets import TARGETS
from benchmarks._suite.text import render
from tests.benchmarks.helpers import EVERY_KIND, report, result, suite

SVG = "{http://www.w3.org/2000/svg}"


def parsed(suite_report: SuiteReport, *, old: SuiteReport | None = None) -> ElementTree.Element:
    """The page as a parser sees it."""
    comparison = compare(old, suite_report) if old is not None else None
    return ElementTree.fromstring(page(suite_report, comparison))


def text_of(element: ElementTree.Element) -> str:
    """What a reader sees of it, with a space between any two elements."""
    return " ".join(" ".join(element.itertext()).split())


def test_the_page_is_well_formed_and_stands_alone() -> None:
    """A parser takes it, whatever is in names; nothing is loaded from elsewhere."""
    html = page(suite(EVERY_KIND))
    root = ElementTree.fromstring(html)
    assert root.find(".//h1") is not None
    assert "A processor <fast> & cheap" in text_of(root)
    links = re.findall(r'(?:src|href)="([^"]*)"', html)
    assert links
    assert all(link.startswith("#") for link in links)
    assert "url(" not in html
    assert "@import" not in html


def test_every_target_is_on_the_page() -> None:
    """Also when nothing measured it; those that were have what they came to."""
    root = parsed(suite(EVERY_KIND))
    table = root.find(".//section")
    assert table is not None
    rows = [text_of(row) for row in table.iter("tr")]
    for target in TARGETS:
        assert any(target.what in row and str(target) in row for row in rows), target.key
    assert any("0.85 × 0.8–0.9 met the design" in row for row in rows)
    assert any("0.85 × 0.8–0.9 not met the suite's own goals" in row for row in rows)
    assert "measured: two copies & one wake-up" in rows


def test_every_chart_is_drawn_and_has_its_figures() -> None:
    """A plot and a table for each, and who was not measured."""
    root = parsed(suite(EVERY_KIND))
    plots = list(root.iter(f"{SVG}svg"))
    assert [each.get("aria-label") for each in plots] == ["Throughput", "Delay", "Memory", "Items"]
    lines = [len(list(each.iter(f"{SVG}polyline"))) for each in plots]
    assert lines == [2, 1, 1, 0]
    details = [text_of(each) for each in root.iter("details")]
    assert any("actorflow 1,000 9,000,000 8,000,000 9,500,000 3" in each for each in details)
    assert "ray: not installed" in text_of(root)


def test_what_failed_is_on_the_page_with_its_last_words() -> None:
    """It does not hide the others."""
    failed = SuiteReport(
        reports=(report(EVERY_KIND),),
        failures=(Failure(benchmark="spawn", reason="exit code 3", last_words="KeyError: <x>"),),
        not_run=("stalled",),
    )
    said = text_of(parsed(failed))
    assert "failed spawn exit code 3 KeyError: <x>" in said
    assert "Not run: stalled." in said
    assert "About pipeline" in said


def test_a_page_without_any_report() -> None:
    """Every benchmark failed."""
    assert "No benchmark gave a report." in text_of(parsed(SuiteReport(reports=())))


def test_the_page_says_what_changed() -> None:
    """Since the earlier run."""
    old, new = (
        suite(result(findings=[Finding(name="of bare pipes", rounds=(value,) * 3)]))
        for value in (0.8, 0.4)
    )
    said = text_of(parsed(new, old=old))
    assert "1 of 1 figures changed" in said
    assert "pipeline of bare pipes 0.8 × 0.4 × worse" in said


def test_a_busy_machine_and_a_quick_run_are_told() -> None:
    """Whoever reads the figures should know."""
    busy = report(EVERY_KIND, quick=True)
    root = parsed(SuiteReport(reports=(busy,)))
    assert "A quick run" in text_of(root)
    assert "The machine was busy" not in text_of(root)


CROWDED = (
    Chart(
        title="Many places",
        unit="x",
        parameter="at",
        series=(series("a", "floor", {at: [at] for at in (1, 2, 3, 4, 5, 100, 101, 1000)}),),
    ),
    Chart(
        title="Three decades",
        unit="x",
        parameter="",
        series=tuple(series(f"side {n}", "peer", {"": [n]}) for n in (2, 30, 900, 1900)),
    ),
)
"""Axes with more values than there is room for."""


@pytest.mark.parametrize("chart", [*EVERY_KIND.charts, *CROWDED], ids=lambda chart: chart.title)
def test_nothing_is_drawn_outside_of_a_plot(chart: Chart) -> None:
    """Every place is within the box, and no two labels of the lower axis touch."""
    root = ElementTree.fromstring(plot(chart))
    _, _, width, height = map(float, str(root.get("viewBox")).split())
    assert width == WIDTH
    for each in root.iter():
        for key, most in (("x", width), ("cx", width), ("x2", width), ("y", height)):
            place = float(each.get(key, 0))
            assert -0.1 <= place <= most + 0.1, (each.tag, each.attrib)
    lowest = sorted(
        float(label.get("x", 0))
        for label in root.iter(f"{SVG}text")
        if label.get("class") == "tick" and float(label.get("y", 0)) > height - 28
    )
    assert lowest
    assert all(b - a >= 34 for a, b in pairwise(lowest))


def test_a_side_without_values_is_left_away() -> None:
    """A peer that hangs has none; a chart of nobody says so."""
    hangs = series("a peer", "peer", {})
    some, none = (
        Chart(title="Rate", unit="x", parameter="at", series=sides)
        for sides in ((hangs, series("ours", "actorflow", {1: [2]})), (hangs,))
    )
    found = report(result(some, none))
    said = text_of(parsed(SuiteReport(reports=(found,))))
    assert "Nothing was measured." in said
    assert "a peer" not in said
    assert "nothing was measured" in render(found)
    assert "a peer" not in render(found)


def test_equal_values_and_zeros_have_an_axis() -> None:
    """Nothing is divided by nothing."""
    assert scale_of([0, 0]).share(0) == 0
    assert 0 < scale_of([5, 5]).share(5) <= 1
    assert scale_of([-2, 3]).low <= -2
    flat = Chart(
        title="Flat",
        unit="x",
        parameter="at",
        series=(series("a", "peer", {1: [0, 0], 2: [0, 0]}),),
    )
    ElementTree.fromstring(plot(flat))


def test_the_terminal_has_all_of_it_too() -> None:
    """Values over the parameter, findings with what is wanted, reasons, and who is missing."""
    shown = render(report(EVERY_KIND))
    lines = [" ".join(line.split()) for line in shown.splitlines()]
    assert "max_demand bare pipes actorflow" in lines
    assert "1,000 10,000,000 9,000,000" in lines
    assert "of bare pipes, max_demand 1,000 0.85 × 0.8–0.9 ≥ 0.8 × met, ≥ 0.9 × NOT MET" in lines
    assert "ray: not installed" in lines
    assert "of bare pipes, max_demand 1,000: measured: two copies & one wake-up" in lines


@pytest.mark.parametrize(
    ("value", "said"),
    [(0.7996, "0.7996 × 0.8–0.8 ≥ 0.8 × NOT MET"), (0.8, "0.8 × 0.8–0.8 ≥ 0.8 × met")],
)
def test_a_number_beside_its_target_shows_on_which_side_it_is(value: float, said: str) -> None:
    """0.7996 is not shown as 0.8: with three digits it would read 0.8, not met, at least 0.8."""
    finding = Finding(name="near", rounds=(value,), targets=("pipeline_batches",))
    found = report(result(findings=[finding]))
    shown = render(found)
    assert said in " ".join(shown.split())
    page = text_of(parsed(SuiteReport(reports=(found,))))
    assert page.count(f"{value:g} ×") >= 2


def test_a_reason_is_not_told_of_what_is_met() -> None:
    """It would be read as an excuse."""
    met = Finding(name="fast", rounds=(0.99,), targets=("pipeline_fast",), why="two copies")
    assert "two copies" not in render(report(result(findings=[met])))


@pytest.mark.parametrize("name", ["markup", "rounds", "scales", "text"])
def test_the_examples_of_docstrings(name: str) -> None:
    """They give what they show."""
    tried = doctest.testmod(import_module(f"benchmarks._suite.{name}"))
    assert (tried.failed, tried.attempted > 0) == (0, True)
