"""What a benchmark returns, as JSON and back, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from benchmarks._suite.forms import BadForm, from_plain, to_plain
from benchmarks._suite.records import Point, SuiteReport
from benchmarks._suite.rounds import alternate, percentiles, quotients
from tests.benchmarks.helpers import EVERY_KIND, suite


def test_a_report_comes_back_from_json_as_it_was() -> None:
    """Every record of it, and nothing is lost on the way."""
    whole = suite(EVERY_KIND)
    assert from_plain(SuiteReport, json.loads(json.dumps(to_plain(whole)))) == whole


def test_the_json_has_medians_for_other_programs() -> None:
    """Beside all rounds: the median, the lowest and the highest."""
    plain = to_plain(Point(at=1, rounds=(3.0, 1.0, 2.0)))
    assert plain == {"at": 1, "rounds": [3, 1, 2], "median": 2, "lowest": 1, "highest": 3}


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (["reports"], {}, ".reports: expected a list, got {}"),
        (["reports", 0], 5, ".reports[0]: expected an object (Report), got 5"),
        (["reports", 0, "quick"], "no", ".reports[0].quick: expected bool, got 'no'"),
        (["reports", 0, "seconds"], True, ".reports[0].seconds: expected float, got True"),
        (
            ["reports", 0, "result", "charts", 0, "kind"],
            "pie",
            ".reports[0].result.charts[0].kind: expected 'series' or 'distribution' or 'timeline',"
            " got 'pie'",
        ),
        (
            ["reports", 0, "result", "findings", 0, "rounds"],
            [],
            ".reports[0].result.findings[0]: expected a Finding, got rounds must be one or more"
            " finite numbers, got ()",
        ),
        (["format"], 2, ".format: expected 1, got 2"),
    ],
)
def test_what_is_no_report_is_refused_with_its_place(
    path: list[Any], value: Any, said: str
) -> None:
    """The error names the path, what was expected and what was there."""
    plain = to_plain(suite(EVERY_KIND))
    inner = plain
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    with pytest.raises(BadForm) as caught:
        from_plain(SuiteReport, plain)
    assert str(caught.value) == said


def test_a_missing_key_is_named() -> None:
    """And nothing is made up for it."""
    with pytest.raises(BadForm, match=r"^\.reports: expected a value, got nothing$"):
        from_plain(SuiteReport, {"format": 1})


@pytest.mark.parametrize("rounds", [(), (1.0, float("nan")), (float("inf"),)])
def test_a_number_that_no_plot_could_show_is_refused(rounds: tuple[float, ...]) -> None:
    """No rounds, and no numbers."""
    with pytest.raises(ValueError, match="rounds must be one or more finite numbers"):
        Point(at=1, rounds=rounds)


def test_sides_take_turns_and_each_is_first_as_often_as_last() -> None:
    """Every other round goes backwards; what they return stands in the order of the rounds."""
    turns: list[str] = []

    def side(name: str) -> int:
        turns.append(name)
        return len(turns)

    found = alternate({"a": lambda: side("a"), "b": lambda: side("b")}, 3)
    assert turns == ["a", "b", "b", "a", "a", "b"]
    assert found == {"a": (1, 4, 5), "b": (2, 3, 6)}


def test_ratios_are_those_of_neighbours() -> None:
    """Round by round, not of the medians."""
    assert quotients([1, 9], [2, 3]) == (0.5, 3.0)


def test_percentiles_are_values_that_were_measured() -> None:
    """Also of few."""
    assert percentiles([5]) == dict.fromkeys((50, 90, 99, 99.9, 100), 5)
    assert percentiles([4, 1, 3, 2]) == {50: 2, 90: 4, 99: 4, 99.9: 4, 100: 4}
