"""The help, and what is no command at all."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

import actorflow
from actorflow.compiled import core
from tests.cli.conftest import Command


@pytest.mark.parametrize(
    "name", [[], ["run"], ["check"], ["bench"]], ids=lambda name: " ".join(name) or "-"
)
def test_the_help_of_each_command_teaches_it(name: list[str], command: Command) -> None:
    """`--help` says what the command does, each option, and what each exit code means."""
    code, output, errors = command(*name, "--help")
    assert (code, errors) == (0, "")
    codes = re.findall(r"^  (\d+)  +\w", output.partition("exit codes:")[2], re.MULTILINE)
    assert codes == (["0", "2"] if name == ["check"] else ["0", "1", "2", "130"])
    assert max(map(len, output.splitlines())) <= 100


def test_the_help_of_run_shows_examples(command: Command) -> None:
    """A reader can copy a whole command from it."""
    _, output, _ = command("run", "--help")
    assert "actorflow run configs/wordcount.yaml --set stages.count.replicas=4 --json" in output
    for option in ("--set", "--json", "--drain-timeout", "--progress", "--log-level"):
        assert option in output


def test_the_version_is_the_package_s(command: Command) -> None:
    """`--version` prints one line, which says when the hot modules are compiled."""
    compiled = " (compiled)" if core() == "compiled" else ""
    said = f"actorflow {actorflow.__version__}{compiled}\n"
    assert command("--version") == (0, said, "")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["fly"], "invalid choice: 'fly'"),
        (["run"], "the following arguments are required: FILE"),
        (["run", "x.yaml", "--frobnicate"], "unrecognized arguments: --frobnicate"),
        (["run", "x.yaml", "--progress", "yes"], "invalid choice: 'yes'"),
        (
            ["run", "x.yaml", "--drain-timeout", "soon"],
            "argument --drain-timeout: must be a number of seconds from 0, got 'soon'",
        ),
        (
            ["run", "x.yaml", "--drain-timeout", "-1"],
            "argument --drain-timeout: must be a number of seconds from 0, got '-1'",
        ),
        (["check"], "the following arguments are required: FILE"),
    ],
)
def test_a_mistake_in_the_command_is_told_with_its_usage(
    arguments: list[str], said: str, command: Command
) -> None:
    """Exit code 2, everything on standard error, with what is accepted."""
    code, output, errors = command(*arguments)
    assert (code, output) == (2, "")
    assert errors.startswith("usage: actorflow")
    assert said in errors


def test_python_m_actorflow_is_the_same_command() -> None:
    """Where the script is not on the PATH the module is."""
    done = subprocess.run(
        [sys.executable, "-m", "actorflow", "--help"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: actorflow [-h]")
