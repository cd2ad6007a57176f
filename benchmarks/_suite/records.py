"""What a benchmark returns: frozen records that become JSON and come back from it.

A `Report` is one benchmark's answer: its charts (what was measured), its findings (the few numbers
that decide something, each with its targets if it has any), and where and when it was measured.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

__all__ = [
    "Better",
    "Chart",
    "Failure",
    "Finding",
    "Kind",
    "Machine",
    "Missing",
    "Package",
    "Part",
    "Point",
    "Report",
    "Result",
    "Role",
    "Rounds",
    "Series",
    "SuiteReport",
]

Role = Literal["actorflow", "floor", "peer"]
"""Whose figures they are: ours, those of the same work on bare pipes, forks or memory, or those of
another library."""

Kind = Literal["series", "distribution", "timeline"]
"""What a chart shows: values over a parameter, percentiles, or values over seconds."""

Better = Literal["more", "less"]
"""Which way is better."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rounds:
    """One number, measured in several rounds.

    Args:
        rounds: what each round found, in the order of the rounds; at least one, all finite.
    """

    rounds: tuple[float, ...]

    def __post_init__(self) -> None:
        """Refuse what no table or plot could show."""
        if not self.rounds or not all(math.isfinite(value) for value in self.rounds):
            raise ValueError(f"rounds must be one or more finite numbers, got {self.rounds!r}")

    @property
    def median(self) -> float:
        """The middle of the rounds."""
        return statistics.median(self.rounds)

    @property
    def lowest(self) -> float:
        """The smallest of them."""
        return min(self.rounds)

    @property
    def highest(self) -> float:
        """The largest of them."""
        return max(self.rounds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Point(Rounds):
    """A value of a series.

    Args:
        at: the parameter; in a distribution the percentile (50, 99, 99.9; 100 is the largest), in a
            timeline the seconds since it began.
    """

    at: float | str


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """What one side did.

    Args:
        side: who, for the legend: ``"actorflow"``, ``"bare pipes"``, ``"mpire"``.
        role: whose figures these are.
        points: its values, in the order of the parameter.
    """

    side: str
    role: Role
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """Figures that belong in one plot and one table.

    Args:
        title: what is seen, in a few words.
        unit: of the values: ``"events/s"``, ``"ms"``, ``"MiB"``.
        parameter: what the values are plotted over: ``"max_demand"``, ``"percentile"``.
        series: the sides.
        kind: how it is plotted.
        better: which way is better.
    """

    title: str
    unit: str
    parameter: str
    series: tuple[Series, ...]
    kind: Kind = "series"
    better: Better = "more"

    @property
    def measured(self) -> tuple[Series, ...]:
        """The sides that have a value; a peer that hangs has none."""
        return tuple(each for each in self.series if each.points)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding(Rounds):
    """A number that decides something: mostly a ratio of two sides in the same round.

    Args:
        name: what it is: ``"of bare pipes, max_demand 1000"``.
        unit: of the value; ``"×"`` for a ratio.
        better: which way is better.
        targets: the keys of its targets in `benchmarks._suite.targets`.
        why: the measured reason, for when a target is not met.
    """

    name: str
    unit: str = "×"
    better: Better = "more"
    targets: tuple[str, ...] = ()
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Some of a benchmark's figures, for one that measures several things.

    Args:
        charts: its charts.
        findings: what they say.
    """

    charts: tuple[Chart, ...]
    findings: tuple[Finding, ...] = ()

    @classmethod
    def joined(cls, parts: Iterable[Part]) -> Part:
        """All of them as one."""
        every = list(parts)
        return cls(
            charts=tuple(chart for part in every for chart in part.charts),
            findings=tuple(finding for part in every for finding in part.findings),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """A side that was not measured.

    Args:
        side: who.
        why: ``"not installed"``, ``"hangs"``.
    """

    side: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a benchmark's `measure` returns.

    Args:
        name: the module's name.
        title: what it is about, in a few words.
        measures: what is measured, in a sentence or two, for who reads the report.
        charts: the figures.
        findings: what they say, with targets.
        missing: sides that were not measured.
        notes: what else there is to say, a sentence each.
        broken: what is wrong and not merely slow (an event lost, a process left behind), a sentence
            each. With any of them the benchmark fails.
    """

    name: str
    title: str
    measures: str
    charts: tuple[Chart, ...]
    findings: tuple[Finding, ...] = ()
    missing: tuple[Missing, ...] = ()
    notes: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()

    @classmethod
    def of_parts(cls, parts: Iterable[Part], *, name: str, title: str, measures: str) -> Result:
        """The result of a benchmark that measures several things."""
        whole = Part.joined(parts)
        return cls(
            name=name,
            title=title,
            measures=measures,
            charts=whole.charts,
            findings=whole.findings,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """The version of a package that took part."""

    name: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Where it was measured.

    Args:
        python: the version of the interpreter, and which one.
        system: the kernel and its version.
        cpu: the processor's name.
        cores: how many of them this process may use.
        memory: bytes of the machine's memory.
        packages: the versions of actorflow, of what it stands on, and of the peers that are
            installed.
    """

    python: str
    system: str
    cpu: str
    cores: int
    memory: int
    packages: tuple[Package, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A benchmark's answer: what ``python -m benchmarks.NAME --json`` prints.

    Args:
        result: what was measured.
        quick: whether it was a quick run, whose figures are rough.
        machine: where.
        began: when, in UTC, as ISO 8601.
        seconds: how long it took.
        load_before: the system's load average (one minute) when it began.
        load_after: the same when it ended.
    """

    result: Result
    quick: bool
    machine: Machine
    began: str
    seconds: float
    load_before: float
    load_after: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A benchmark that gave no report, or one that says that something is broken.

    Args:
        benchmark: which.
        reason: an exit code, a signal, a time limit, an interrupt.
        last_words: the last lines of its standard error.
    """

    benchmark: str
    reason: str
    last_words: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteReport:
    """All of them: the file ``results.json``.

    Args:
        reports: of the benchmarks that gave one, in the order in which they ran.
        failures: those that failed.
        not_run: those that were still to come when the suite was interrupted.
        format: the version of this file's form.
    """

    reports: tuple[Report, ...]
    failures: tuple[Failure, ...] = ()
    not_run: tuple[str, ...] = ()
    format: Literal[1] = 1
