"""The fixture that fails a test which leaves something behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests import leaks
from tests.leaks import Census, end_processes, left_behind

ROOT = Path(__file__).parent.parent
SHORT = 0.05

LINUX = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs Linux's /proc")
SHARED = pytest.mark.skipif(not leaks.SHARED_MEMORY.is_dir(), reason="needs /dev/shm")


def sleeper() -> subprocess.Popen[bytes]:
    """A process that would stay."""
    return subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"])


def left_of(kind: str, before: Census) -> list[str]:
    """What is left of a kind; shared memory may be a test's that runs beside this one."""
    return [line for line in left_behind(before, SHORT) if line.startswith(kind)]


def test_nothing_is_left_behind_by_a_test_that_does_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The usual case: no line, and no wait either."""
    monkeypatch.setattr(leaks, "shared_memory", set)  # others make some at any moment
    monkeypatch.setattr(leaks, "looks", None)
    assert left_behind(Census.take()) == []


def test_a_census_of_a_process_without_children_is_cheap() -> None:
    """Two of them are made for every test there is; they cost less than 2 ms together."""
    costs = []
    for _ in range(20):
        begun = time.perf_counter()
        assert left_behind(Census.take()) == []
        costs.append(time.perf_counter() - begun)
    assert min(costs) < 0.002


def test_a_living_child_is_named_with_pid_and_command_line() -> None:
    """And ended, on demand."""
    before = Census.take()
    with sleeper() as child:
        (line,) = left_of("process", before)
        assert line.startswith(f"process {child.pid} of {os.getpid()}, ")
        assert line.endswith("import time; time.sleep(600)")
        end_processes(before)
        assert left_behind(before) == []


def test_a_zombie_is_named() -> None:
    """A child that ended and that nobody waited for is a leak, too."""
    before = Census.take()
    with subprocess.Popen([sys.executable, "-S", "-c", ""]) as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        (line,) = left_of("process", before)
        assert line.startswith(f"process {child.pid} of {os.getpid()}, zombie: ")
    assert left_behind(before) == []


def test_a_zombie_that_is_reaped_while_it_is_named_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its parent may do so at any moment."""
    with sleeper() as child:
        process = psutil.Process(child.pid)

        def reaped_behind_this() -> list[str]:
            child.kill()
            child.wait()
            raise psutil.ZombieProcess(child.pid)

        monkeypatch.setattr(process, "cmdline", reaped_behind_this)
        assert leaks.describe(process) == f"{child.pid}, gone meanwhile"


def test_a_child_that_ends_within_the_moment_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """The look after a test is repeated until a deadline, and ends as soon as nothing is left."""
    before = Census.take()
    child = sleeper()

    def child_ends_behind_the_first(seconds: float, **_: float) -> Iterator[None]:
        yield
        child.kill()
        child.wait()
        yield
        pytest.fail("it looked again though nothing was left")

    monkeypatch.setattr(leaks, "shared_memory", set)  # others make some at any moment
    monkeypatch.setattr(leaks, "looks", child_ends_behind_the_first)
    assert left_behind(before) == []
    assert child.returncode == -signal.SIGKILL


def test_a_child_that_was_there_before_is_none() -> None:
    """What a fixture of a wider scope started is its own business."""
    with sleeper() as child:
        before = Census.take()
        assert left_behind(before) == []
        child.kill()


@LINUX
@pytest.mark.processes
def test_an_orphan_is_found_by_its_mark() -> None:
    """A grandchild whose parent died is no descendant any more, but its environment tells."""
    program = (
        "import subprocess, sys;"
        "print(subprocess.Popen([sys.executable, '-S', '-c', 'import time; time.sleep(600)'],"
        " stdout=subprocess.DEVNULL).pid)"
    )
    mark = leaks.new_mark()
    before = Census.take(mark)
    environment = {**os.environ, leaks.MARK: mark}
    pid = int(subprocess.check_output([sys.executable, "-S", "-c", program], env=environment))
    try:
        left = left_of("process", before)
        assert [line.partition(" of ")[0] for line in left] == [f"process {pid}"], left
        end_processes(before)
        assert left_behind(before) == []
    finally:
        if left_behind(before, 0):
            os.kill(pid, signal.SIGKILL)


def test_a_descriptor_is_named_with_what_it_leads_to(tmp_path: Path) -> None:
    """Whether it has a name or is a pipe."""
    before = Census.take()
    reader, writer = os.pipe()
    opened = os.open(tmp_path / "some-file", os.O_CREAT | os.O_WRONLY)
    left = left_of("descriptor", before)
    os.close(opened)
    os.close(reader)
    os.close(writer)
    assert [line.split()[1] for line in left] == [str(reader), str(writer), str(opened)]
    if Path("/proc/self/fd").is_dir():
        assert left[0].startswith(f"descriptor {reader} -> pipe:[")
        assert left[2] == f"descriptor {opened} -> {tmp_path / 'some-file'}"
    assert left_behind(before) == []


def test_a_descriptor_that_leads_elsewhere_now_is_named(tmp_path: Path) -> None:
    """The same number is not the same descriptor."""
    number = os.open(os.devnull, os.O_RDONLY)
    before = Census.take()
    other = os.open(tmp_path / "other", os.O_CREAT | os.O_WRONLY)
    os.dup2(other, number)
    os.close(other)
    left = left_of("descriptor", before)
    os.close(number)
    assert [line.split()[:2] for line in left] == [["descriptor", str(number)]]


def test_a_thread_is_named() -> None:
    """A daemon is one as well: it goes on while the next test runs."""
    before = Census.take()
    enough = threading.Event()
    one = threading.Thread(target=enough.wait, name="forgotten", daemon=True)
    one.start()
    left = left_of("thread", before)
    enough.set()
    one.join()
    assert left == ["thread 'forgotten' (daemon)"]
    assert left_behind(before) == []


@SHARED
def test_shared_memory_is_named() -> None:
    """A file in shared memory outlives the machine's memory of who made it."""
    before = Census.take()
    with tempfile.NamedTemporaryFile(dir=leaks.SHARED_MEMORY, prefix="actorflow-test-") as file:
        left = left_behind(before, SHORT)
        assert f"shared memory {file.name}" in left
    assert left_behind(before) == []


@SHARED
@LINUX
def test_shared_memory_in_use_by_a_stranger_is_none() -> None:
    """Other workers of the same run test with shared memory at the same time."""
    program = (
        "import os, sys, tempfile, time\n"
        "file = tempfile.NamedTemporaryFile(dir=sys.argv[1], prefix='actorflow-test-')\n"
        "if pid := os.fork(): print(pid, flush=True); os._exit(0)\n"
        "sys.stdout.close(); os.close(1); sys.stdin.read(); file.close()"
    )
    before = Census.take()
    reader, writer = os.pipe()
    with os.fdopen(writer, "wb"):
        stranger = subprocess.check_output(
            [sys.executable, "-S", "-c", program, str(leaks.SHARED_MEMORY)], stdin=reader
        )
        os.close(reader)
        fresh = leaks.shared_memory() - before.shared
        assert fresh, f"the stranger {stranger!r} made no file"
        assert not [line for line in left_behind(before, SHORT) if "shared memory" in line]
    assert left_behind(before) == []


def run_pytest(pytester: pytest.Pytester, text: str, *arguments: str) -> pytest.RunResult:
    """Run a file of tests under this project's conftest, in a pytest of its own."""
    pytester.makepyprojecttoml("[tool.pytest.ini_options]\nmarkers = ['processes']")
    pytester.makeconftest(
        "from tests.conftest import *\nfrom tests import leaks\nleaks.GRACE = 0.3"
    )
    pytester.makepyfile(text)
    pytester.syspathinsert(ROOT)
    return pytester.runpytest_subprocess("-p", "no:randomly", "-p", "no:cacheprovider", *arguments)


@pytest.mark.processes
def test_the_fixture_fails_the_test_that_leaks_and_no_other(pytester: pytest.Pytester) -> None:
    """The message has one line for each thing, and the leaked process is gone afterwards."""
    result = run_pytest(
        pytester,
        """
        import os, subprocess, threading, time

        def test_leaks():
            subprocess.Popen(["sleep", "612"])
            os.pipe()

        def test_behaves():
            subprocess.run(["true"])
            thread = threading.Thread(target=time.sleep, args=(0.1,))
            thread.start()
        """,
    )
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(
        ["the test left behind:", "  process * of *: sleep 612", "  descriptor * -> *"]
    )
    result.stdout.no_fnmatch_line("*test_behaves*")


@pytest.mark.processes
def test_a_test_that_times_out_shows_its_processes(pytester: pytest.Pytester) -> None:
    """As they were before its own clean-up ended them."""
    result = run_pytest(
        pytester,
        """
        import signal, subprocess

        def test_hangs():
            with subprocess.Popen(["sleep", "612"]) as child:
                try:
                    signal.raise_signal(signal.SIGALRM)  # as if its time were up
                finally:
                    child.kill()
        """,
        "--timeout=600",
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*- Captured processes *-*", "* of *: sleep 612"])
