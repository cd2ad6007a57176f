"""The commands and their options."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

__all__ = ["parse"]

_DESCRIPTION = """\
Run stages in processes of their own that hand each other events under back-pressure,
supervised so that a killed process loses nothing.
"""

_EXIT_CODES = """\
exit codes:
  0    the run came to its end
  1    it failed; the exception and its remote traceback are on standard error
  2    a mistake in the topology or the command; every mistake is listed with its place
  130  interrupted: Ctrl-C drains, a second Ctrl-C stops at once, a third one kills
"""

_CHECK_EXIT_CODES = """\
exit codes:
  0    the topology has no mistakes
  2    it has, or the command has; every mistake is listed with its place
"""

_RUN = """\
Run a topology until its sources end, or until Ctrl-C. Logs and progress go to standard error, the
report to standard output.

examples:
  actorflow run configs/wordcount.yaml
  actorflow run configs/wordcount.yaml --set stages.count.replicas=4 --json
"""

_CHECK = """\
Check a topology without running it: every mistake at once, as file:line:column, the key's path,
what was expected, what was given and the nearest valid name.
"""

_BENCH = """\
Run the benchmarks, all or those that are named, one after the other, each in a process of its own:
actorflow beside the same work on bare pipes, forks or memory, and beside what one would use
instead. Progress goes to standard error, the figures to standard output.

examples:
  actorflow bench --quick
  actorflow bench pipeline recovery --output report
  actorflow bench --compare report/results.json
"""

_BENCH_EXIT_CODES = """\
exit codes:
  0    every benchmark gave its figures, and with --compare nothing became worse
  1    one failed, or something became worse beyond the spread
  2    a mistake in the command; nothing was run
  130  interrupted: Ctrl-C ends the benchmark that runs, a second one kills it; those that are done
       are reported
"""


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line; exits with code 2 when it is wrong, with 0 for ``--help``."""
    parser = argparse.ArgumentParser(
        prog="actorflow",
        description=_DESCRIPTION,
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_run(commands)
    _add_check(commands)
    _add_bench(commands)
    return parser.parse_args(argv)


def _add_run(commands: Any) -> None:
    run = commands.add_parser(
        "run",
        help="run a topology",
        description=_RUN,
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_topology(run)
    run.add_argument(
        "--json",
        action="store_true",
        help="print the report as one JSON object, and nothing else, on standard output",
    )
    run.add_argument(
        "--drain-timeout",
        type=_seconds,
        default=30.0,
        metavar="SECONDS",
        help="within how long of Ctrl-C or SIGTERM all has ended; what is in flight is processed"
        " until shortly before, then what still runs is stopped (default: 30)",
    )
    run.add_argument(
        "--retry-dead-letters",
        metavar="FILE",
        help="instead of reading the sources, hand the dead letters of FILE to the stages that had"
        " given them up; what fails again is added to the topology's dead_letters",
    )
    run.add_argument(
        "--progress",
        choices=("auto", "always", "never"),
        default="auto",
        help="a live line per stage; auto: when standard error is a terminal",
    )
    run.add_argument(
        "--log-level",
        choices=("debug", "info", "warning", "error"),
        default="info",
        help="the least severe lines to show (default: info)",
    )
    run.add_argument(
        "--log-format",
        choices=("auto", "console", "json"),
        default="auto",
        help="how log lines look; auto: coloured on a terminal, JSON otherwise",
    )
    run.set_defaults(command=_run)


def _add_check(commands: Any) -> None:
    check = commands.add_parser(
        "check",
        help="check a topology without running it",
        description=_CHECK,
        epilog=_CHECK_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_topology(check)
    check.add_argument("--json", action="store_true", help="print the mistakes as a JSON list")
    check.set_defaults(command=_check)


def _add_bench(commands: Any) -> None:
    bench = commands.add_parser(
        "bench",
        help="run the benchmarks",
        description=_BENCH,
        epilog=_BENCH_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    bench.add_argument("names", metavar="NAME", nargs="*", help="a benchmark; all when none")
    bench.add_argument("--list", action="store_true", help="show which there are, and run none")
    bench.add_argument(
        "--quick", action="store_true", help="all of it within two minutes: rough figures"
    )
    bench.add_argument(
        "--rounds",
        type=_count,
        metavar="N",
        help="alternating turns of each side; a number of its own for each benchmark",
    )
    bench.add_argument(
        "--time-limit",
        type=_seconds,
        default=900.0,
        metavar="SECONDS",
        help="how long one benchmark may take before it is ended and counts as failed"
        " (default: 900)",
    )
    bench.add_argument(
        "--output",
        metavar="DIR",
        help="write results.json and report.html there, anew after each benchmark",
    )
    bench.add_argument(
        "--compare",
        metavar="OLD.json",
        help="say what became better and worse, beyond the spread, since these results",
    )
    bench.add_argument(
        "--directory",
        metavar="DIR",
        help="where the folder benchmarks is (default: beside the package, or here)",
    )
    bench.add_argument(
        "--json",
        action="store_true",
        help="print all results as one JSON object, and nothing else, on standard output",
    )
    bench.set_defaults(command=_bench)


def _add_topology(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="the topology, a YAML file")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="overrides",
        help="override a value, e.g. stages.count.replicas=4; may be repeated",
    )


def _run(options: argparse.Namespace) -> int:
    from actorflow.cli.run import run

    return run(options)


def _check(options: argparse.Namespace) -> int:
    from actorflow.cli.check import check

    return check(options)


def _bench(options: argparse.Namespace) -> int:
    from actorflow.cli.bench import bench

    return bench(options)


def _count(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1, got {text!r}")
    return value


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a number of seconds from 0, got {text!r}")
    return value


class _Version(argparse.Action):
    """Looks the version up only when it is asked for: reading the metadata takes a while."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        import actorflow
        from actorflow.compiled import core

        compiled = " (compiled)" if core() == "compiled" else ""
        print(f"actorflow {actorflow.__version__}{compiled}")
        parser.exit()
