"""``actorflow run``: its report, its exit codes, and what goes to which stream."""

from __future__ import annotations

import json
import os
import re
import signal
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Command
from tests.end_to_end.helpers import finish, how_many_in, numbers_in, start_actorflow, wait_until

pytestmark = pytest.mark.processes

CHAIN = """\
name: chain
supervisor: {max_restarts: 1}
stages:
  numbers: {use: "tests.end_to_end.stages:Numbers", args: {limit: 1500}}
  pass: {use: "tests.end_to_end.stages:Pass", subscribe_to: [numbers]}
  count: {use: "tests.end_to_end.stages:Count", subscribe_to: [pass]}
"""

FAILS = """\
name: fails
supervisor: {max_restarts: 1}
stages:
  fails: {use: "tests.end_to_end.stages:Fails", args: {where: WHERE, what: WHAT}}
  sink: {use: "tests.end_to_end.stages:Sink", subscribe_to: [fails]}
"""

PRINTS = """\
name: prints
stages:
  numbers: {use: "tests.end_to_end.stages:Numbers", args: {limit: 1}}
  prints: {use: "tests.end_to_end.stages:Prints", subscribe_to: [numbers]}
"""

Write = Callable[..., Path]


def normal(text: str) -> str:
    """A report with its times and rates replaced."""
    text = re.sub(r"in \d+\.\d\d s", "in 0.00 s", text)
    text = re.sub(r" +\d+%", "  %", text)
    text = re.sub(r"(?m)^(.* → \S+ +[\d,]+) .* ms$", r"\1  …", text)
    text = re.sub(r"(?m)^edge .*$", "edge", text)
    return re.sub(r"(?m)^(\w+/\d +[\d,]+ +[\d,]+) +[\d,]+", r"\1  RATE", text)


def test_the_report_is_a_table_for_a_person(topology: Write, command: Command) -> None:
    """Results first, then a row for each stage with all columns, then how it ended."""
    code, output, errors = command("run", topology(CHAIN))
    assert (code, errors) == (0, "")
    assert normal(output) == textwrap.dedent("""\
        numbers: 1500

        count:
          events: 1,500
          bytes: 0

        stage         in    out  per second  busy  starved  blocked  restarts  redelivered  discarded
        numbers/0      0  1,500  RATE  %  %  %         0            0          0
        pass/0     1,500  1,500  RATE  %  %  %         0            0          0
        count/0    1,500      0  RATE  %  %  %         0            0          0

        edge
        numbers/0 → pass/0   1,500  …
        pass/0 → count/0     1,500  …

        chain: done in 0.00 s
    """)  # noqa: E501


def test_the_report_is_one_json_object_for_a_program(topology: Write, command: Command) -> None:
    """`--json` prints one line; every key of every stage is there, and `--set` counts."""
    file = topology(CHAIN)
    code, output, errors = command("run", file, "--json", "--set", "stages.numbers.args.limit=7")
    assert (code, errors) == (0, "")
    assert output.count("\n") == 1
    report = json.loads(output)
    assert list(report) == [
        "name",
        "status",
        "error",
        "gave_up",
        "seconds",
        "stages",
        "edges",
        "remains",
        "results",
    ]
    assert report["results"] == {"numbers": 7, "count": {"events": 7, "bytes": 0}}
    assert [stage["stage"] for stage in report["stages"]] == ["numbers/0", "pass/0", "count/0"]
    assert {stage["state"] for stage in report["stages"]} == {"ended"}
    for key in ("rate_in", "busy_share", "starved", "restarts", "redelivered", "discarded"):
        assert all(key in stage for stage in report["stages"])


@pytest.mark.parametrize("where", ["init", "on_start", "handle_demand"])
@pytest.mark.parametrize("form", ["text", "json"])
def test_a_failed_run_shows_the_exception_once(
    where: str, form: str, topology: Write, command: Command
) -> None:
    """The original exception, one traceback, from the other process; exit code 1; the report."""
    text = FAILS.replace("WHERE", where).replace("WHAT", "plain")
    code, output, errors = command("run", topology(text), *(["--json"] * (form == "json")))
    assert code == 1
    assert errors.count("Traceback (most recent call last)") == 1
    assert len(re.findall(r"(?m)^ValueError: a plain mistake$", errors)) == 2  # there, and here
    assert errors.count("The above exception was the direct cause") == 1
    assert errors.count("stages.py") == 2  # the callback and what it called
    assert "raised in stage fails/0 (process " in errors
    assert "actorflow/cli" not in errors
    if form == "json":
        report = json.loads(output)
        assert (report["status"], report["error"]) == ("failed", "ValueError: a plain mistake")
    else:
        assert re.search(r"(?m)^fails: failed in \d", output)


def test_an_event_that_cannot_be_sent_is_explained(topology: Write, command: Command) -> None:
    """The stage, the event's type, and what to do instead."""
    code, _, errors = command("run", topology(FAILS.replace("WHERE", "codec")))
    assert code == 1
    assert "stage 'fails' emitted an event of type _thread.lock that cannot be sent" in errors
    assert "emit plain data or an object that pickle accepts" in errors


def test_a_killed_stage_is_named_with_its_signal(topology: Write, command: Command) -> None:
    """Exit code 1, and which stage, process and status it was."""
    text = FAILS.replace("WHERE", "handle_demand").replace("WHAT", "exit")
    code, _, errors = command("run", topology(text))
    assert code == 1
    assert re.search(r"StageKilled: stage fails/0 died: process \d+, exit status 3", errors)
    assert "max_restarts=1" in errors


def test_nothing_but_the_report_is_on_standard_output(topology: Write) -> None:
    """With --json what stages print, in whatever way, goes to standard error."""
    file = topology(PRINTS)
    code, output, errors = finish(start_actorflow("run", str(file), "--json"))
    assert code == 0
    assert output.count("\n") == 1
    assert json.loads(output)["status"] == "done"
    for line in ("printed by print", "written to sys.stdout", "written to descriptor 1"):
        assert errors.splitlines().count(line) == 1
    (logged,) = [json.loads(line) for line in errors.splitlines() if line.startswith("{")]
    assert logged["event"] == "logged by a stage"


def test_without_json_stages_print_to_standard_output(topology: Write) -> None:
    """A stage's print is the user's own; log lines still go to standard error."""
    code, output, errors = finish(start_actorflow("run", str(topology(PRINTS))))
    assert code == 0
    assert "printed by print" in output
    assert "written to descriptor 1" in output
    assert "prints: done" in output
    assert '"logged by a stage"' in errors
    assert len(errors.splitlines()) == 1


ODD = """\
import math
from tests.end_to_end.stages import Numbers
print("imported")
class Odd(Numbers):
    def on_stop(self, reason):
        self.set_result({"nan": math.nan, "path": "\\udcff.py", (1, 2): {3}, "bytes": b"x"})
"""


def test_any_result_can_be_printed(topology: Write) -> None:
    """What JSON does not know is its repr; a name that is no text costs nobody the report."""
    topology(ODD, "odd.py")
    file = topology(
        "stages: {a: {use: 'odd:Odd', args: {limit: 0}},"
        " b: {use: 'tests.end_to_end.stages:Sink', subscribe_to: [a]}}"
    )
    environment = {"LC_ALL": "C.UTF-8", "PYTHONUTF8": "0"}
    code, output, errors = finish(start_actorflow("run", str(file), "--json", env=environment))
    assert code == 0, errors
    report = json.loads(output, parse_constant=pytest.fail)
    assert report["results"]["a"] == {
        "nan": "nan",
        "path": "\udcff.py",
        "(1, 2)": [3],
        "bytes": "b'x'",
    }
    assert set(errors.split()) == {"imported"}
    code, output, errors = finish(start_actorflow("run", str(file), env=environment))
    assert code == 0, errors
    assert "  path: \\udcff.py\n" in output


def test_a_reader_that_goes_away_is_no_error(topology: Write) -> None:
    """`actorflow run … | head -0` ends quietly."""
    read, write = os.pipe()
    program = start_actorflow("run", str(topology(CHAIN)), stdout=write)
    os.close(write)
    os.close(read)
    code, _, errors = finish(program)
    assert (code, errors) == (0, "")


def test_a_drain_does_not_depend_on_who_reads_the_log(topology: Write, tmp_path: Path) -> None:
    """In `… 2>&1 | tee` Ctrl-C ends tee as well; everything emitted arrives all the same."""
    journal = tmp_path / "journal"
    file = topology(
        f"stages:\n  numbers: {{use: 'tests.end_to_end.stages:Numbers'}}\n"
        f"  sink: {{use: 'tests.end_to_end.stages:Collect', args: {{path: '{journal}'}},"
        " subscribe_to: [{to: numbers, max_demand: 10}]}\n"
    )
    read, write = os.pipe()
    # What was not written must not be tried again when the interpreter ends, and end it with 120.
    buffered = {"PYTHONUNBUFFERED": ""}
    program = start_actorflow("run", str(file), "--json", stderr=write, env=buffered)
    os.close(write)
    wait_until(lambda: how_many_in(journal) > 50, "events to flow")
    os.close(read)
    program.send_signal(signal.SIGINT)
    code, output, _ = finish(program)
    assert code == 130
    report = json.loads(output)
    assert report["status"] == "done"
    assert numbers_in(journal) == list(range(report["results"]["numbers"]))


@pytest.mark.parametrize("closed", [1, 2])
def test_standard_streams_may_be_closed(closed: int, topology: Write) -> None:
    """A service may start it without standard output or error; stages print all the same."""
    command = f'exec "$0" -m actorflow run "$1" {closed}>&-'
    import subprocess
    import sys

    done = subprocess.run(
        ["sh", "-c", command, sys.executable, str(topology(PRINTS))],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    if closed == 2:
        assert "prints: done" in done.stdout
    else:
        assert "logged by a stage" in done.stderr


def test_an_interrupt_while_modules_are_imported_is_quiet(topology: Write, tmp_path: Path) -> None:
    """Ctrl-C before anything was started: exit code 130, and no traceback."""
    told = tmp_path / "importing"
    topology(
        f"import pathlib, time\npathlib.Path({str(told)!r}).touch()\ntime.sleep(30)\n", "slow.py"
    )
    program = start_actorflow("run", str(topology("stages: {a: {use: 'slow:A'}}")))
    wait_until(told.exists, "the import")
    program.send_signal(signal.SIGINT)
    assert finish(program) == (130, "", "")


def lines_of(errors: str) -> list[dict[str, Any]]:
    """The log lines of a run whose standard error is no terminal."""
    return [json.loads(line) for line in errors.splitlines()]


def test_log_lines_are_json_and_name_run_stage_index_and_pid(
    topology: Write, command: Command
) -> None:
    """Where no person looks each line is one object that says where it comes from."""
    code, _, errors = command(
        "run", topology(CHAIN.replace('Pass"', 'Pass", replicas: 2')), "--log-level", "debug"
    )
    assert code == 0
    lines = lines_of(errors)
    started = [line for line in lines if line["event"] == "started"]
    assert {(line["stage"], line["index"]) for line in started} == {
        ("numbers", 0),
        ("pass", 0),
        ("pass", 1),
        ("count", 0),
    }
    ended = [line for line in lines if line["event"] == "ended"]
    assert {line["pid"] for line in started} == {line["pid"] for line in ended}
    assert len({line["pid"] for line in started}) == 4
    assert {line["run"] for line in lines} == {"chain"}
    assert {line["level"] for line in lines} == {"debug"}
    assert all(re.match(r"\d{4}-\d\d-\d\dT", line["timestamp"]) for line in lines)
    assert lines[-1]["event"] == "over"


LOGS = """\
from tests.end_to_end.stages import Sink
class Logs(Sink):
    def on_start(self):
        self.log.warning("mine", stage="other", pid=-1, run="x", event_="e", level_="l")
        self.log.bind(path="a").error("bound", size=3)
        try:
            raise KeyError("gone")
        except KeyError:
            self.log.exception("caught")
        self.log.debug("too quiet")
        self.log.info("%s per cent", 5)
"""


def test_what_a_stage_logs_arrives_as_it_was_said(topology: Write, command: Command) -> None:
    """Values keep their names; those that would hide where the line is from get an underscore."""
    topology(LOGS, "logs.py")
    file = topology(
        "name: talk\nstages: {n: {use: 'tests.end_to_end.stages:Numbers', args: {limit: 0}},"
        " logs: {use: 'logs:Logs', subscribe_to: [n]}}"
    )
    code, _, errors = command("run", file)
    assert code == 0
    mine, bound, caught, formatted = lines_of(errors)
    assert (mine["event"], mine["level"], mine["stage"], mine["run"], mine["index"]) == (
        "mine",
        "warning",
        "logs",
        "talk",
        0,
    )
    assert (mine["stage_"], mine["run_"], mine["pid_"], mine["event_"]) == ("other", "x", -1, "e")
    assert (bound["event"], bound["path"], bound["size"]) == ("bound", "a", 3)
    assert "KeyError: 'gone'" in caught["exception"]
    assert formatted["event"] == "5 per cent"
