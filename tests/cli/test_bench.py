"""The command: benchmarks in processes of their own, and what is wrong with a command."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from actorflow.cli import bench
from benchmarks._suite import runner
from benchmarks._suite.files import read_results
from benchmarks._suite.forms import to_plain
from benchmarks._suite.records import Finding
from tests.benchmarks.helpers import EVERY_KIND, report, result, suite
from tests.cli.conftest import Command

SUITE = Path(__file__).parents[2] / "benchmarks" / "_suite"

GOOD = "print(open(__file__ + '.json').read())"
FAILS = "import sys\nprint('half a rep')\nsys.exit('KeyError: nothing')"
BROKEN = GOOD + "\nraise SystemExit(1)"
HANGS = "import signal\nsignal.pause()"
LEAVES = GOOD + "\nimport subprocess\nsubprocess.Popen(['sleep', '60'], start_new_session=True)"
INTERRUPTS = "import os, signal\nos.kill(os.getppid(), signal.SIGINT)\nsignal.pause()"

STUBBORN = """
import os, signal, subprocess
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
subprocess.Popen(['sleep', '60'], start_new_session=True)
os.kill(os.getppid(), signal.SIGINT)
signal.sigwait({signal.SIGINT})  # the suite has heard, and asks for the end
os.kill(os.getppid(), signal.SIGINT)
signal.pause()
"""

Tree = Callable[..., Path]


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """Makes a directory with benchmarks of these sources, beside the suite's own modules."""

    def make(**sources: str) -> Path:
        folder = tmp_path / "benchmarks"
        folder.mkdir()
        (folder / "_suite").symlink_to(SUITE)
        for name in ("__init__", "_not_one"):
            (folder / f"{name}.py").write_text("")
        for name, source in sources.items():
            (folder / f"{name}.py").write_text(f'"""About {name}."""\n{source}\n')
            found = to_plain(report(result(*EVERY_KIND.charts, name=name)))
            (folder / f"{name}.py.json").write_text(json.dumps(found))
        return tmp_path

    return make


@pytest.mark.processes
def test_a_benchmark_that_fails_hides_no_other(
    tree: Tree, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it raises, hangs or leaves a process behind; each is told with its last words."""
    monkeypatch.setattr(runner, "GRACE", 0.1)
    root = tree(a_fails=FAILS, b_hangs=HANGS, c_leaves=LEAVES, d_broken=BROKEN, e_good=GOOD)
    output = tmp_path / "out"
    for limit in (2, 8, 32):
        code, said, errors = command(
            "bench", "--directory", root, "--output", output, "--time-limit", str(limit)
        )
        found = read_results(str(output / "results.json"))
        reasons = {failure.benchmark: failure.reason for failure in found.failures}
        late = f"took longer than {limit} s"
        if list(reasons.values()).count(late) == 1:
            break  # otherwise the machine stood still, and the limit says nothing
    assert code == 1
    assert [each.result.name for each in found.reports] == ["c_leaves", "d_broken", "e_good"]
    assert reasons == {
        "a_fails": "exit code 1",
        "b_hangs": late,
        "c_leaves": "left behind 1 processes: sleep",
        "d_broken": "exit code 1",
    }
    assert found.failures[0].last_words == "KeyError: nothing"
    assert "signal.pause()" in found.failures[1].last_words
    assert "a_fails failed: exit code 1\n    KeyError: nothing" in said
    assert "== e_good: About e_good" in said
    assert "[ 5/5] e_good … done" in errors
    assert "About e_good" in (output / "report.html").read_text()
    assert not list(output.glob(".*"))


@pytest.mark.processes
def test_ctrl_c_ends_the_suite_and_what_is_done_is_written(
    tree: Tree, command: Command, tmp_path: Path
) -> None:
    """The benchmark that runs is ended, those to come are not begun."""
    root = tree(a_good=GOOD, b_interrupts=INTERRUPTS, c_good=GOOD)
    code, said, _ = command("bench", "--directory", root, "--output", tmp_path / "out", "--json")
    found = read_results(str(tmp_path / "out" / "results.json"))
    assert code == 130
    assert [each.result.name for each in found.reports] == ["a_good"]
    assert [(each.benchmark, each.reason) for each in found.failures] == [
        ("b_interrupts", "interrupted")
    ]
    assert found.not_run == ("c_good",)
    assert json.loads(said) == to_plain(found)


@pytest.mark.processes
def test_a_second_ctrl_c_kills_a_benchmark_that_goes_on(
    tree: Tree, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what it started, in a session of its own as well; nothing is waited for."""
    monkeypatch.setattr(runner, "GOODBYE", 1000.0)
    code, _, errors = command("bench", "--directory", tree(stubborn=STUBBORN))
    assert (code, "stubborn … failed: interrupted" in errors) == (130, True)


@pytest.mark.processes
def test_the_suite_runs_a_real_benchmark(command: Command, tmp_path: Path) -> None:
    """One that is quick, by its name, from the tree that this test is in."""
    code, said, errors = command(
        "bench", "start_up", "--quick", "--rounds", "1", "--output", tmp_path
    )
    assert (code, errors.startswith("[ 1/1] start_up … done")) == (0, True)
    (found,) = read_results(str(tmp_path / "results.json")).reports
    assert (found.quick, found.result.name) == (True, "start_up")
    assert {key for each in found.result.findings for key in each.targets} == {
        "import_time",
        "check_time",
    }
    assert "more targets are of benchmarks that were not run" in said


@pytest.mark.processes
@pytest.mark.parametrize(("old", "code"), [(3.0, 1), (1.0, 0)])
def test_a_change_for_the_worse_is_an_exit_code(
    old: float, code: int, tree: Tree, command: Command, tmp_path: Path
) -> None:
    """1 when something became worse beyond the spread."""
    root = tree(good=GOOD)
    found = result(findings=[Finding(name="ratio", rounds=(1.0,) * 3)], name="good")
    (root / "benchmarks" / "good.py.json").write_text(json.dumps(to_plain(report(found))))
    before = result(findings=[Finding(name="ratio", rounds=(old,) * 3)], name="good")
    file = tmp_path / "old.json"
    file.write_text(json.dumps(to_plain(suite(before))))
    ended, said, _ = command("bench", "--directory", root, "--compare", file)
    assert ended == code
    assert f"{code} figures changed beyond the spread" in said


def test_the_list(tree: Tree, command: Command) -> None:
    """Each with the first line of its docstring; nothing is run."""
    root = tree(one=FAILS, two=FAILS, spawn=FAILS)
    listed = command("bench", "--list", "--directory", root)
    # First what measures a target.
    shown = "spawn  About spawn.\none    About one.\ntwo    About two.\n"
    assert listed == (0, shown, "")
    code, said, _ = command("bench", "--list", "--json", "two", "--directory", root)
    assert (code, json.loads(said)) == (0, {"two": "About two."})


def test_a_name_that_is_none_is_refused(tree: Tree, command: Command) -> None:
    """With what there is, and the nearest."""
    said = command("bench", "--directory", tree(pipeline=GOOD, spawn=GOOD), "pipelin")
    assert said == (
        2,
        "",
        "actorflow bench: NAME must be one of pipeline, spawn, got 'pipelin';"
        " did you mean 'pipeline'?\n",
    )


def test_a_directory_without_benchmarks_is_refused(command: Command, tmp_path: Path) -> None:
    """The error says where they are to be had."""
    code, _, errors = command("bench", "--directory", tmp_path)
    assert code == 2
    assert errors.startswith(
        "actorflow bench: --directory must be a directory that holds actorflow's benchmarks"
        f" (benchmarks/_suite/suite.py), got '{tmp_path}'; the benchmarks are in the source tree"
    )


def test_they_are_found_beside_the_package_or_here(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this order; without either the error names both."""
    assert bench.find_suite(None) == SUITE.parents[1]
    here = tree()
    monkeypatch.chdir(here)
    assert bench.find_suite(None) == SUITE.parents[1]
    monkeypatch.setattr(bench, "__file__", "/elsewhere/actorflow/cli/bench.py")
    assert bench.find_suite(None) == here
    monkeypatch.chdir("/")
    with pytest.raises(ValueError, match="got '/elsewhere or /'"):
        bench.find_suite(None)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--rounds", "0"], "argument --rounds: must be a whole number from 1, got '0'"),
        (["--time-limit", "soon"], "argument --time-limit: must be a number of seconds from 0"),
        (["--compare", "nothing.json"], "--compare must be a results.json of an earlier run"),
        (["--compare", "{file}"], "the whole: expected an object (SuiteReport), got []"),
        (["--output", "{file}"], "--output must be a directory that can be written to"),
    ],
)
def test_an_option_that_is_wrong_runs_nothing(
    options: list[str], said: str, tree: Tree, command: Command, tmp_path: Path
) -> None:
    """Exit code 2 and the mistake on standard error."""
    file = tmp_path / "file"
    file.write_text("[]")
    given = [option.format(file=file) for option in options]
    code, output, errors = command("bench", "--directory", tree(good=FAILS), *given)
    assert (code, output) == (2, "")
    assert said in errors


def test_a_disk_that_is_full_costs_no_benchmark(
    tree: Tree, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The figures are still printed, the mistake is told, and the exit code is 1."""
    from benchmarks._suite import files

    def full(*_: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "page", full)
    root = tree(good=GOOD)
    code, said, errors = command("bench", "--directory", root, "--output", tmp_path / "out")
    assert code == 1
    assert "No space left on device" in errors
    assert "== good: About good" in said


def test_python_m_benchmarks_is_the_same_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """For the benchmarks of its own folder."""
    import runpy

    monkeypatch.setattr(sys, "argv", ["benchmarks", "--list", "pipeline"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("benchmarks", run_name="__main__")
    assert (ended.value.code, capsys.readouterr().out.split()[0]) == (0, "pipeline")
