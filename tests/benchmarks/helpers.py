"""Reports with made-up figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks._suite.records import (
    Chart,
    Finding,
    Machine,
    Missing,
    Package,
    Report,
    Result,
    SuiteReport,
)
from benchmarks._suite.rounds import distribution, series, timeline

MACHINE = Machine(
    python="CPython 3.11.7",
    system="Linux 6.1 x86_64",
    cpu="A processor <fast> & cheap",
    cores=2,
    memory=1 << 33,
    packages=(Package(name="msgpack", version="1.1"),),
)


def throughput(
    ours: Mapping[int, Sequence[float]], floor: Mapping[int, Sequence[float]] | None = None
) -> Chart:
    """Events per second over `max_demand`."""
    sides = [series("actorflow", "actorflow", ours)]
    if floor is not None:
        sides.insert(0, series("bare pipes", "floor", floor))
    return Chart(title="Throughput", unit="events/s", parameter="max_demand", series=tuple(sides))


def result(*charts: Chart, findings: Sequence[Finding] = (), name: str = "pipeline") -> Result:
    """What a benchmark found."""
    return Result(
        name=name,
        title=f"About {name}",
        measures="Something & something else.",
        charts=charts,
        findings=tuple(findings),
        missing=(Missing(side="ray", why="not installed"),),
    )


def report(found: Result, *, quick: bool = False, machine: Machine = MACHINE) -> Report:
    """The same, with where and when."""
    return Report(
        result=found,
        quick=quick,
        machine=machine,
        began="2026-11-21T18:00:00+00:00",
        seconds=12.5,
        load_before=0.3,
        load_after=1.5,
    )


def suite(*results: Result) -> SuiteReport:
    """A run of several."""
    return SuiteReport(reports=tuple(report(each) for each in results))


EVERY_KIND = result(
    throughput({1: [10, 11, 12], 1000: [9e6, 8e6, 9.5e6]}, {1: [20, 21, 22], 1000: [1e7] * 3}),
    Chart(
        title="Delay",
        unit="ms",
        parameter="percentile",
        kind="distribution",
        better="less",
        series=(distribution("actorflow", "actorflow", [range(1, 1001), range(1, 501)]),),
    ),
    Chart(
        title="Memory",
        unit="MiB",
        parameter="seconds",
        kind="timeline",
        better="less",
        series=(timeline("a queue", "peer", {0.0: 3, 0.5: 90}),),
    ),
    Chart(
        title="Items",
        unit="items/s",
        parameter="keys",
        series=(
            series("a loop", "floor", {"few": [200, 200], "many": [0, 0]}),
            series("<ours>", "actorflow", {"few": [780, 790], "many": [5, 6]}),
        ),
    ),
    findings=[
        Finding(
            name="of bare pipes, max_demand 1,000",
            rounds=(0.9, 0.8, 0.85),
            targets=("pipeline_batches", "pipeline_fast"),
            why="measured: two copies & one wake-up",
        )
    ],
)
"""A result with a chart of every kind."""
