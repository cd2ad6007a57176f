"""A chart as an SVG: lines over a parameter, percentiles or seconds, or a row for each side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks._suite.markup import Markup, element, joined
from benchmarks._suite.records import Chart, Point, Series
from benchmarks._suite.scales import Scale, compact, linear_scale_of, scale_of
from benchmarks._suite.text import number

__all__ = ["legend", "plot"]

WIDTH, HEIGHT = 520.0, 280.0
LEFT, RIGHT, TOP, BOTTOM = 62.0, 20.0, 30.0, 44.0
ROW = 24.0
LETTER = 6.7
"""How wide a letter is, about, for labels beside an axis."""

LABELS_APART = 34.0
"""A label that is nearer to the one before is left away."""

TICK_LABEL = 16.0

STYLES = {"actorflow": "own", "floor": "floor", "peer": "peer"}
SHADES = {"own": 6, "floor": 2, "peer": 8}
"""How many colours there are of each; the page's style sheet has them."""


@dataclass(frozen=True, slots=True)
class _Drawn:
    """A series with the classes that give it its colour."""

    series: Series
    style: str


def legend(chart: Chart) -> Markup:
    """Who is who; nothing for a chart whose rows have names."""
    if _has_rows(chart):
        return Markup()
    swatches = [
        element("span", element("i", class_=f"swatch {each.style}"), each.series.side)
        for each in _styled(chart)
    ]
    return element("p", *swatches, class_="legend")


def plot(chart: Chart) -> Markup:
    """The chart; it takes its colours from the page's style sheet."""
    return _rows(chart) if _has_rows(chart) else _lines(chart)


def _styled(chart: Chart) -> list[_Drawn]:
    """Each series with a colour of its own among those of its role."""
    counts = dict.fromkeys(SHADES, 0)
    drawn = []
    for each in chart.measured:
        style = STYLES[each.role]
        drawn.append(_Drawn(each, f"{style} {style}{counts[style] % SHADES[style]}"))
        counts[style] += 1
    return drawn


def _points(chart: Chart) -> list[Point]:
    return [point for each in chart.measured for point in each.points]


def _has_rows(chart: Chart) -> bool:
    """Whether its parameter is a word, or there is one value of each side."""
    ats = {point.at for point in _points(chart)}
    return len(ats) < 2 or any(isinstance(at, str) for at in ats)


def _svg(height: float, title: str, *children: str) -> Markup:
    return element(
        "svg",
        *children,
        viewBox=f"0 0 {WIDTH:.0f} {height:.0f}",
        role="img",
        aria_label=title,
        xmlns="http://www.w3.org/2000/svg",
    )


def _label(x: float, y: float, text: str, anchor: str = "middle", class_: str = "tick") -> Markup:
    return element("text", text, x=x, y=y, text_anchor=anchor, class_=class_)


# --- lines ----------------------------------------------------------------------------------------


def _lines(chart: Chart) -> Markup:
    points = _points(chart)
    values = [value for point in points for value in (point.lowest, point.median, point.highest)]
    up = scale_of(values)
    ats = sorted({float(point.at) for point in points})
    along = _Along.of(chart, ats)
    drawn = [_line(each, along, up, chart) for each in _styled(chart)]
    return _svg(
        HEIGHT,
        chart.title,
        _label(4, 14, _axis_title(chart, up), "start", "axis"),
        *(_grid_line(up, tick) for tick in up.ticks),
        *along.labels(chart.kind),
        _label((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, along.title, "middle", "axis"),
        *drawn,
    )


def _axis_title(chart: Chart, scale: Scale) -> str:
    logarithmic = ", logarithmic" if scale.logarithmic else ""
    return f"{chart.unit}{logarithmic} ({chart.better} is better)"


def _height_of(scale: Scale, value: float) -> float:
    return HEIGHT - BOTTOM - scale.share(value) * (HEIGHT - TOP - BOTTOM)


def _grid_line(scale: Scale, tick: float) -> Markup:
    y = _height_of(scale, tick)
    return joined(
        element("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y, class_="grid"),
        _label(LEFT - 8, y + 4, compact(tick), "end"),
    )


@dataclass(frozen=True, slots=True)
class _Along:
    """The horizontal axis: places and names of the parameter's values.

    Args:
        places: where each value is.
        ticks: the values that are named.
        title: below the axis.
    """

    places: dict[float, float]
    ticks: tuple[float, ...]
    title: str

    @classmethod
    def of(cls, chart: Chart, ats: Sequence[float]) -> _Along:
        """The axis for these values, in ascending order."""
        room = WIDTH - LEFT - RIGHT - 24
        start = LEFT + 12
        if chart.kind == "distribution":
            # Percentiles stand at equal distances: what matters is the upper end.
            step = room / max(1, len(ats) - 1)
            places = {at: start + n * step for n, at in enumerate(ats)}
            return cls(places, tuple(ats), chart.parameter)
        scale = linear_scale_of(ats)
        if chart.kind == "series":
            # From the first value to the last: these are what is named.
            scale = Scale(ats[0], ats[-1], tuple(ats), scale_of(ats).logarithmic)
        places = {at: start + scale.share(at) * room for at in {*ats, *scale.ticks}}
        title = f"{chart.parameter}{', logarithmic' if scale.logarithmic else ''}"
        return cls(places, scale.ticks, title)

    def labels(self, kind: str) -> list[Markup]:
        """The names of the values, as many as there is room for."""
        return _below(
            HEIGHT - BOTTOM + TICK_LABEL + 2,
            {
                self.places[tick]: _percentile(tick) if kind == "distribution" else compact(tick)
                for tick in self.ticks
            },
        )


def _below(y: float, names: Mapping[float, str]) -> list[Markup]:
    """Names below an axis, by their places from the left to the right; as many as have room."""
    found = []
    free = 0.0
    for x, name in names.items():
        if x >= free:
            found.append(_label(x, y, name))
            free = x + LABELS_APART
    return found


def _percentile(at: float) -> str:
    return "max" if at == 100 else f"p{at:g}"


def _line(drawn: _Drawn, along: _Along, up: Scale, chart: Chart) -> Markup:
    points = sorted(drawn.series.points, key=lambda point: float(point.at))
    places = [(along.places[float(point.at)], _height_of(up, point.median)) for point in points]
    path = element(
        "polyline", points=" ".join(f"{x:.1f},{y:.1f}" for x, y in places), class_="line"
    )
    marks: list[Markup] = []
    if chart.kind != "timeline":
        for point, (x, y) in zip(points, places, strict=True):
            low, high = _height_of(up, point.lowest), _height_of(up, point.highest)
            marks.append(element("line", x1=x, x2=x, y1=low, y2=high, class_="spread"))
            marks.append(element("circle", _hint(drawn, point, chart), cx=x, cy=y, r=3.6))
    return element("g", path, *marks, class_=drawn.style)


def _hint(drawn: _Drawn, point: Point, chart: Chart) -> Markup:
    spread = f"{number(point.lowest)}–{number(point.highest)}"
    at = point.at if isinstance(point.at, str) else f"{point.at:g}"
    text = f"{drawn.series.side}, {chart.parameter} {at}: {number(point.median)} {chart.unit}"
    return element("title", f"{text} ({spread})")


# --- rows -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Row:
    """A line of the chart: a heading, or a side's value."""

    name: str
    drawn: _Drawn | None = None
    point: Point | None = None


def _rows(chart: Chart) -> Markup:
    rows = _rows_of(chart)
    points = _points(chart)
    scale = scale_of([value for each in points for value in (each.lowest, each.highest)])
    longest = max(len(row.name) for row in rows)
    left = min(220.0, 16 + LETTER * longest)
    room = WIDTH - left - 84
    height = TOP + ROW * len(rows) + TICK_LABEL + 12
    bottom = TOP + ROW * len(rows)

    def place(value: float) -> float:
        return left + scale.share(value) * room

    grid = [
        element("line", x1=place(t), x2=place(t), y1=TOP, y2=bottom, class_="grid")
        for t in scale.ticks
    ]
    grid += _below(bottom + TICK_LABEL, {place(t): compact(t) for t in scale.ticks})
    drawn = []
    for n, row in enumerate(rows):
        y = TOP + ROW * (n + 0.5)
        if row.point is None or row.drawn is None:
            drawn.append(_label(4, y + 4, row.name, "start", "group"))
            continue
        point = row.point
        x, low, high = place(point.median), place(point.lowest), place(point.highest)
        mark = element("circle", _hint(row.drawn, point, chart), cx=x, cy=y, r=4.6)
        if not scale.logarithmic:
            # From 0: a length that can be compared, which on a logarithmic axis it could not.
            bar = element("rect", x=place(0), y=y - 7, width=max(0.5, x - place(0)), height=14)
            mark = joined(bar, mark)
        drawn += [
            _label(left - 10, y + 4, row.name, "end"),
            element(
                "g",
                mark,
                element("line", x1=low, x2=high, y1=y, y2=y, class_="spread"),
                class_=row.drawn.style,
            ),
            _label(WIDTH - 4, y + 4, number(point.median), "end", "value"),
        ]
    title = _label(4, 14, _axis_title(chart, scale), "start", "axis")
    return _svg(height, chart.title, title, *grid, *drawn)


def _rows_of(chart: Chart) -> list[_Row]:
    """A row for each value; the values of one parameter together, under its name."""
    styled = _styled(chart)
    ats = list(dict.fromkeys(point.at for point in _points(chart)))
    if len(styled) == 1:
        (only,) = styled
        points = only.series.points
        return [_Row(_at_text(point.at) or only.series.side, only, point) for point in points]
    rows = []
    for at in ats:
        if len(ats) > 1:
            rows.append(_Row(f"{chart.parameter} {_at_text(at)}".strip()))
        rows += [
            _Row(each.series.side, each, point)
            for each in styled
            for point in each.series.points
            if point.at == at
        ]
    return rows


def _at_text(at: float | str) -> str:
    return at if isinstance(at, str) else f"{at:,g}"
