"""``actorflow check``: every mistake at once, each at its place, and exit code 2."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from contextlib import redirect_stderr
from pathlib import Path

import pytest

from actorflow.cli.output import print_out
from tests.cli.conftest import Command

GOOD = """\
name: good
stages:
  numbers: {use: "tests.end_to_end.stages:Numbers", args: {limit: 3}}
  sink: {use: "tests.end_to_end.stages:Sink", replicas: 2, subscribe_to: [numbers]}
"""

STAGES = "tests.end_to_end.stages"

BAD = {
    "no_yaml": ("stages: [", ["1:10: not YAML"]),
    "a_key_twice": (
        f"stages:\n  a: {{use: {STAGES}:Idle}}\n  a: {{use: {STAGES}:Idle}}\n",
        ["3:3: stages.a: two stages are named 'a'; the first is at line 2"],
    ),
    "an_unknown_key": (
        f"stages:\n  a:\n    use: {STAGES}:Idle\n    replica: 2\n",
        ["4:5: stages.a: unknown key 'replica'; did you mean 'replicas'?"],
    ),
    "a_wrong_type": (
        f"stages:\n  a:\n    use: {STAGES}:Idle\n    replicas: many\n",
        ["4:15: stages.a.replicas: "],
    ),
    "an_unknown_stage": (
        f"stages:\n  a: {{use: {STAGES}:Idle}}\n  b: {{use: {STAGES}:Sink, subscribe_to: [aa]}}\n",
        ["3:57: stages.b.subscribe_to.0: unknown stage 'aa'; did you mean 'a'?"],
    ),
    "a_cycle": (
        f"stages:\n  a: {{use: {STAGES}:Pass, subscribe_to: [b]}}\n"
        f"  b: {{use: {STAGES}:Pass, subscribe_to: [a]}}\n",
        [": a cycle"],
    ),
    "no_such_module": ("stages:\n  a: {use: nowhere:A}\n", ["2:12: stages.a.use: "]),
    "no_such_class": (
        f"stages:\n  a: {{use: {STAGES}:Numbrs}}\n",
        ["2:12: stages.a.use: "],
    ),
    "no_stage": (f"stages:\n  a: {{use: {STAGES}:append}}\n", ["2:12: stages.a.use: "]),
    "max_demand_0": (
        f"stages:\n  a: {{use: {STAGES}:Idle}}\n"
        f"  b:\n    use: {STAGES}:Sink\n    subscribe_to:\n      - {{to: a, max_demand: 0}}\n",
        ["6:29: stages.b.subscribe_to.0.max_demand: must be an integer of at least 1"],
    ),
    "max_demand_below_min_demand": (
        f"stages:\n  a: {{use: {STAGES}:Idle}}\n"
        f"  b:\n    use: {STAGES}:Sink\n"
        "    subscribe_to:\n      - {to: a, max_demand: 3, min_demand: 3}\n",
        ["6:44: stages.b.subscribe_to.0.min_demand: "],
    ),
    "an_argument_that_is_none": (
        f"stages:\n  a: {{use: {STAGES}:Numbers, args: {{limits: 3}}}}\n",
        ["2:52: stages.a.args: "],
    ),
    "several_at_once": (
        f"nme: x\nstages:\n  a: {{use: {STAGES}:Idle, replicas: 0}}\n  b: {{use: nowhere:B}}\n",
        ["1:1: ", "3:52: stages.a.replicas: ", "4:12: stages.b.use: "],
    ),
}


def test_a_good_file_is_told_to_be_good(topology: Callable[[str], Path], command: Command) -> None:
    """One line says how many stages and processes there are; as JSON there are no mistakes."""
    file = topology(GOOD)
    assert command("check", file) == (0, f"{file}: ok, 2 stages in 3 processes\n", "")
    assert command("check", file, "--json") == (0, "[]\n", "")
    assert command("check", file, "--set", "stages.sink.replicas=5")[1].endswith("6 processes\n")


def test_a_stage_that_nobody_takes_events_from_is_no_mistake_and_named(
    topology: Callable[[str], Path], command: Command
) -> None:
    """A program could take them; a run from the command line would stand still."""
    file = topology(
        f"stages:\n  numbers: {{use: {STAGES}:Numbers}}\n"
        f"  pass: {{use: {STAGES}:Pass, subscribe_to: [numbers]}}\n"
    )
    code, output, errors = command("check", file)
    assert (code, output) == (0, f"{file}: ok, 2 stages in 2 processes\n")
    assert errors.startswith("actorflow: stage 'pass' will stand still, as nobody takes its events")
    assert errors.count("\n") == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is full")
def test_a_result_that_cannot_be_written_is_told_and_no_success() -> None:
    """As when the disk is full: a line, and no traceback."""
    said = io.StringIO()
    with open("/dev/full", "w") as full, redirect_stderr(said):
        assert not print_out("a result", full)
        assert print_out("is flushed once more when the program ends", full)
    assert said.getvalue().startswith("actorflow: the result could not be written: [Errno 28]")


@pytest.mark.parametrize("name", BAD)
def test_every_mistake_of_a_file_is_shown_at_its_place(
    name: str, topology: Callable[[str], Path], command: Command
) -> None:
    """file:line:column, the key's path, what is wrong; all at once, on standard error, code 2."""
    text, mistakes = BAD[name]
    file = topology(text)
    code, output, errors = command("check", file)
    assert (code, output) == (2, "")
    shown = [line for line in errors.splitlines() if line.startswith(str(file))]
    assert len(shown) == len(mistakes), errors
    for line, mistake in zip(shown, mistakes, strict=True):
        assert re.match(re.escape(str(file)) + r":\d+:\d+: ", line)
        assert mistake in line
    count = len(mistakes)
    assert errors.splitlines()[-1] == f"{count} mistake{'s' * (count > 1)}"
    assert errors.count("^") == count  # each with its line and a caret below it
    code, output, _ = command("check", file, "--json")
    assert code == 2
    rows = json.loads(output)
    assert [(row["line"], row["column"]) for row in rows] == [
        tuple(map(int, line.removeprefix(f"{file}:").split(":")[:2])) for line in shown
    ]


@pytest.mark.parametrize("name", ["a_cycle", "several_at_once", "no_yaml"])
def test_run_refuses_what_check_refuses(
    name: str, topology: Callable[[str], Path], command: Command
) -> None:
    """`run` says the same, with the same exit code, and starts nothing."""
    file = topology(BAD[name][0])
    assert command("run", file) == command("check", file)


@pytest.mark.parametrize("verb", ["check", "run"])
def test_a_file_that_does_not_exist_is_a_mistake(
    verb: str, tmp_path: Path, command: Command
) -> None:
    """A missing file, a folder, or one that is not text: code 2 and one sentence."""
    missing = tmp_path / "missing.yaml"
    code, output, errors = command(verb, missing)
    assert (code, output) == (2, "")
    assert errors.startswith(f"{missing}: no such file")
    assert command(verb, tmp_path)[0] == 2
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00")
    assert command(verb, binary)[0] == 2


def test_a_mistake_in_an_override_is_shown_in_it(
    topology: Callable[[str], Path], command: Command
) -> None:
    """`--set` has places of its own."""
    code, _, errors = command("check", topology(GOOD), "--set", "stages.sink.replica=4")
    assert code == 2
    assert errors.startswith("--set:1:13: stages.sink: unknown key 'replica'; did you mean")


def test_what_a_module_prints_is_not_in_the_list(
    topology: Callable[..., Path], command: Command
) -> None:
    """With --json standard output is one list, whatever importing the stages prints."""
    topology(
        "from tests.end_to_end.stages import Idle\nprint('imported')\nclass Mine(Idle): pass\n",
        "prints_when_checked.py",
    )
    file = topology("stages: {a: {use: 'prints_when_checked:Mine'}}")
    code, output, errors = command("check", file, "--json")
    assert (code, output) == (0, "[]\n")
    assert errors.splitlines()[0] == "imported"
