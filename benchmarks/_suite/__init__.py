"""What every benchmark shares: records, rounds, the command line, targets, the report.

docs/benchmarks.md shows a whole benchmark and how to read the report. In short:

A benchmark is a module of `benchmarks` whose name does not begin with an underscore, and whose
docstring's first line says what it is about. It has a function ``measure(options) -> Result`` and::

    def main(argv: list[str] | None = None) -> int:
        options = parser(__doc__, rounds=5)              # --json, --quick, --rounds
        options.add_argument("--size", type=at_least(1), default=4096)
        return publish(measure, options.parse_args(argv))

    if __name__ == "__main__":
        raise SystemExit(main())

`measure` lets its sides take turns, checks that each did the work, and returns what they did::

    def measure(options: argparse.Namespace) -> Result:
        rates = alternate({"bare pipes": run_floor, "actorflow": run_actorflow}, options.rounds)
        return Result(
            name="copies",
            title="Copies of a buffer",
            measures="A sends …, B … . The floor is … .",
            charts=(
                Chart(
                    title="Throughput",
                    unit="MiB/s",
                    parameter="size",
                    series=(
                        series("bare pipes", "floor", {options.size: rates["bare pipes"]}),
                        series("actorflow", "actorflow", {options.size: rates["actorflow"]}),
                    ),
                ),
            ),
            findings=(
                Finding(
                    name=f"of bare pipes, {options.size} bytes",
                    rounds=quotients(rates["actorflow"], rates["bare pipes"]),
                    targets=("copies",),                 # a key of benchmarks._suite.targets
                    why="",                              # the measured reason, if it is not met
                ),
            ),
            missing=(Missing(side="ray", why="not installed"),),
        )

* A chart's kind is ``"series"`` (values over a parameter: numbers make a line, words make bars),
  ``"distribution"`` (its series are made by `distribution`, of every round's values) or
  ``"timeline"`` (made by `timeline`, of values by seconds).
* Each benchmark has a floor, the same work on bare pipes, forks or memory, and the peers that a
  user would pick instead, those of them that are installed.
* `Result.broken` is for what is wrong and not merely slow: an event lost, a process left behind.
* A target is written once, in `benchmarks._suite.targets`; a finding names it.
* ``--quick`` takes about five seconds. Nothing but `publish` prints to standard output; what
  goes wrong is raised, and the last lines of standard error are in the suite's report.
"""

from __future__ import annotations

from benchmarks._suite.command import at_least, parser, publish
from benchmarks._suite.records import Chart, Finding, Missing, Part, Point, Result, Role, Series
from benchmarks._suite.rounds import (
    alternate,
    as_many_as_take,
    distribution,
    percentiles,
    quotients,
    series,
    timeline,
)

__all__ = [
    "Chart",
    "Finding",
    "Missing",
    "Part",
    "Point",
    "Result",
    "Role",
    "Series",
    "alternate",
    "as_many_as_take",
    "at_least",
    "distribution",
    "parser",
    "percentiles",
    "publish",
    "quotients",
    "series",
    "timeline",
]
