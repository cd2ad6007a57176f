"""Every way to die: stages, what they forked, the zygote, and the host itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from actorflow.runtime.local import nursery, processes, runtime
from actorflow.runtime.local.runtime import LocalRuntime
from actorflow.supervision.runtime import Exited, Received, RuntimeBroken, Started
from tests.runtime.local.watched import HERE, Make, Watched, alive, eventually, stage, stage_spec
from tests.stopwatch import within

pytestmark = pytest.mark.processes
ROOT = str(Path(HERE).parents[2])


def broken(one: Watched) -> RuntimeBroken:
    """Wait until the runtime has said that it is broken."""
    found: RuntimeBroken = one.wait(
        lambda seen: [o for o in seen if isinstance(o, RuntimeBroken)], "broken"
    )[0]
    return found


# --- stages --------------------------------------------------------------------------------------


def test_the_exit_of_a_killed_stage_comes_after_everything_it_sent(watched: Make) -> None:
    """A stage that is killed right after sending loses nothing of what it had written."""
    one = watched("kills_itself")
    children = [one.spawn(stage(index=index)) for index in range(8)]
    for child in children:
        end = one.exited(child)
        assert (end.status, end.signal) == (None, signal.SIGKILL)
        about = [o for o in one.seen if getattr(o, "child", None) == child]
        assert [type(o) for o in about] == [Started, *[Received] * 100, Exited]
        assert one.texts(child, 100) == [str(number) for number in range(100)]


def test_a_grandchild_that_ignores_signals_ends_with_its_stage(watched: Make) -> None:
    """The process group is killed; copies of descriptors in it do not hold up the exit."""
    one = watched("leaves_a_grandchild")
    child = one.spawn()
    end = one.exited(child, within=5.0)
    assert (end.status, end.signal) == (5, None)
    grandchild = int(one.texts(child, 1)[0])
    eventually(lambda: not alive(grandchild), "the grandchild is gone", 5.0)


def test_a_grandchild_outside_the_group_ends_with_the_run(watched: Make) -> None:
    """What left its session is adopted by the zygote, and killed when the runtime is closed."""
    one = watched("leaves_a_daemon")
    child = one.spawn()
    assert one.exited(child).status == 6
    daemon = int(one.texts(child, 1)[0])
    if sys.platform == "linux":
        assert psutil.Process(daemon).ppid() == one.zygote.pid
    one.runtime.close()
    assert not alive(daemon)


def test_orphans_are_reaped_without_a_word(watched: Make) -> None:
    """An adopted orphan that ends leaves no zombie and is no stage's exit."""
    one = watched("leaves_a_daemon")
    child = one.spawn()
    one.exited(child)
    daemon = int(one.texts(child, 1)[0])
    os.kill(daemon, signal.SIGKILL)
    eventually(lambda: not psutil.pid_exists(daemon), "reaped")
    assert [type(o) for o in one.seen] == [Started, Received, Exited]


def test_a_forked_copy_does_not_speak_for_its_stage(
    watched: Make, capfd: pytest.CaptureFixture[str]
) -> None:
    """The error of a process that a stage forked is printed, and is not the stage's last words."""
    one = watched("forks_and_falls_through")
    child = one.spawn()
    assert one.exited(child).status == 7
    assert [type(o) for o in one.seen] == [Started, Exited]
    assert "only the forked copy's" in capfd.readouterr().err


def test_a_stage_that_sends_garbage_is_killed(watched: Make) -> None:
    """What is no message ends the stage that sent it, with a detail, and nobody else."""
    one = watched("babbles")
    child = one.spawn()
    end = one.exited(child)
    assert end.signal == signal.SIGKILL
    assert "sent what is no message on its control link" in end.detail
    assert not [o for o in one.seen if isinstance(o, Received)]


def test_a_stage_that_closes_its_control_link_is_killed(
    watched: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that can no longer be asked to stop is not left alone."""
    monkeypatch.setattr(processes, "DEAF", 0.05)
    one = watched("closes_everything")
    child = one.spawn()
    end = one.exited(child)
    assert (end.signal, end.detail) == (signal.SIGKILL, "closed its control link and lived on")


def test_a_kill_for_want_of_memory_is_named(watched: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the kernel's count of such kills has risen, the exit says so; otherwise it does not."""
    monkeypatch.setattr(processes, "out_of_memory_kills", iter([3, 4, 4]).__next__)
    one = watched("kills_itself")
    first = one.exited(one.spawn(stage("first")))
    assert first.detail == "the kernel ran out of memory and killed 1 process(es)"
    assert one.exited(one.spawn(stage("second"))).detail == ""


def test_a_killed_spare_is_replaced(watched: Make) -> None:
    """Nobody notices when the process in reserve dies."""
    one = watched("echo")
    for generation in range(1, 4):
        eventually(lambda: one.spares() == 1, "a spare")
        for process in one.zygote.children():
            if process.name() == "spare":
                process.kill()
        child = one.spawn(stage(generation=generation))
        one.tell(child, "stop")
        end = one.exited(child)
        # Killed a moment before it was taken, its death is the stage's; otherwise nothing happened.
        assert (end.status, end.signal) in [(0, None), (None, signal.SIGKILL)]
    child = one.spawn(stage("last"))
    one.tell(child, "stop")
    assert one.exited(child).status == 0


# --- the zygote ----------------------------------------------------------------------------------


def test_a_killed_zygote_takes_every_stage_with_it(watched: Make) -> None:
    """Each stage's exit is observed, then that the runtime is broken; no process is left."""
    one = watched("echo")
    children = [one.spawn(stage(index=index)) for index in range(5)]
    pids = [one.started(child) for child in children]
    family = [one.zygote, *one.zygote.children(recursive=True)]
    one.zygote.kill()
    detail = broken(one).detail
    assert "died: signal 9" in detail
    assert not [pid for pid in pids if alive(pid)]
    assert not [process for process in family if alive(process.pid)]
    exits = [o for o in one.seen if isinstance(o, Exited)]
    assert {end.child for end in exits} == set(children)
    assert {(end.status, end.signal, end.detail) for end in exits} == {(None, 9, detail)}
    assert isinstance(one.seen[-1], RuntimeBroken)


def test_a_killed_zygote_takes_what_the_stages_forked(watched: Make) -> None:
    """The process groups are killed by the host, as grandchildren have no parent-death signal."""
    one = watched("keeps_a_grandchild")
    child = one.spawn()
    grandchild = int(one.texts(child, 1)[0])
    one.zygote.kill()
    broken(one)
    eventually(lambda: not alive(grandchild), "the grandchild is gone", 2.0)


def test_nothing_starts_on_a_broken_runtime(watched: Make) -> None:
    """A spawn after the zygote's death is an exit that says why; the rest is dropped."""
    one = watched("echo")
    one.zygote.kill()
    broken(one)
    child = one.spawn()
    end = one.exited(child)
    assert end.pid == 0
    assert "died: signal 9" in end.detail
    one.tell(child, "hello")
    one.runtime.signal(child, "kill")
    one.runtime.timer(0, 7)
    one.wait(lambda seen: getattr(seen[-1], "token", 0) == 7, "a timer still fires")


def test_a_stopped_zygote_does_not_hold_up_close(
    watched: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A zygote that does not answer is killed after its time, and its stages with it."""
    monkeypatch.setattr(nursery, "DISMISSAL", 0.2)
    one = watched("echo")
    pid = one.started(one.spawn())
    zygote = one.zygote
    zygote.suspend()
    one.runtime.close()
    assert not alive(pid)
    assert not alive(zygote.pid)


def test_an_observer_that_does_not_return_keeps_no_process_alive(
    watched: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Close gives up on the thread after its time, and ends the processes without it."""
    monkeypatch.setattr(runtime, "CLOSE_WITHIN", 0.2)
    one = watched("keeps_a_grandchild")
    child = one.spawn()
    pids = [one.zygote.pid, one.started(child), int(one.texts(child, 1)[0])]
    stuck, go_on = threading.Event(), threading.Event()

    def observe(seen: object) -> None:
        stuck.set()
        go_on.wait()

    one.runtime._observe = observe
    one.runtime.timer(0, 1)
    assert stuck.wait(10)
    one.runtime.close()
    assert "the runtime's thread does not end" in caplog.text
    assert not [pid for pid in pids[:2] if alive(pid)]
    eventually(lambda: not alive(pids[2]), "the grandchild is gone", 2.0)
    go_on.set()


def test_a_stage_that_is_started_twice_stays_as_it_is(
    watched: Make, caplog: pytest.LogCaptureFixture
) -> None:
    """The mistake is logged, and the running process is not lost."""
    one = watched("echo")
    child = one.spawn()
    one.spawn()
    one.tell(child, "stop")
    assert one.exited(child).status == 0
    assert "stage/0#1 was to be started, and is running already" in caplog.text
    assert [type(o) for o in one.seen] == [Started, Exited]


def test_signals_to_the_zygote_do_nothing(watched: Make) -> None:
    """A terminal and a service manager signal every process; the zygote leaves it to the host."""
    one = watched("echo")
    child = one.spawn()
    one.started(child)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        one.zygote.send_signal(number)
    one.tell(child, "hello")
    assert one.texts(child, 1) == ["hello"]
    again = one.spawn(stage(generation=2))
    one.tell(again, "hello")
    assert one.texts(again, 1) == ["hello"]


def test_an_entry_that_cannot_be_imported_breaks_the_runtime(watched: Make) -> None:
    """The zygote's own error reaches the host with its traceback."""
    one = watched("no_such_entry")
    child = one.spawn()
    assert "no attribute 'no_such_entry'" in broken(one).detail
    assert one.exited(child).pid == 0


def test_an_import_that_never_ends_breaks_the_runtime(watched: Make) -> None:
    """A zygote that is not up in time is killed."""
    one = watched("echo", preload=["hangs"], boot_within=0.5)
    child = one.spawn()
    assert "not imported within 0.5 s" in broken(one).detail
    assert "could not be started" in one.exited(child).detail


def test_close_does_not_wait_for_an_import_that_never_ends(watched: Make) -> None:
    """Close ends a zygote at once also while it imports."""
    one = watched("echo", preload=["hangs"])
    zygote = one.zygote
    with within(2.0):
        one.runtime.close()
    assert not alive(zygote.pid)


def test_close_in_the_middle_of_a_storm_of_starts(watched: Make) -> None:
    """Whatever has been forked when the runtime is closed is ended, wherever it has got to."""
    for count in (1, 2, 5, 20):
        one = watched("echo")
        for index in range(count):
            one.spawn(stage("storm", index))
        if count == 20:
            one.started(stage("storm", 3))
        one.runtime.close()


# --- the host ------------------------------------------------------------------------------------


@contextmanager
def host(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """A host program and the process ids that it printed."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.runtime.local.host", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            yield process, [int(pid) for pid in process.stdout.readline().split()]
        finally:
            process.kill()


@pytest.mark.parametrize("entry", ["echo", "keeps_a_grandchild", "keeps_a_daemon"])
def test_nothing_survives_a_killed_host(entry: str) -> None:
    """Within a second of the host's death by SIGKILL, zygote, stages and grandchildren are gone."""
    with host(entry, "entries") as (process, pids):
        assert len(pids) == (4 if entry == "echo" else 7)
        process.kill()
        process.wait()
        eventually(lambda: not [pid for pid in pids if alive(pid)], "all gone", within=1.0)


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs a pidfd of the host")
def test_a_forked_copy_of_the_host_keeps_nothing_alive() -> None:
    """The host's own death counts, although a copy of it still holds the zygote's socket open."""
    with host("echo", "entries", "fork") as (process, pids):
        copy = -pids.pop()
        try:
            process.kill()
            process.wait()
            eventually(lambda: not [pid for pid in pids if alive(pid)], "all gone", within=1.0)
            assert alive(copy)
        finally:
            os.kill(copy, signal.SIGKILL)


def test_nothing_survives_a_host_that_is_killed_while_the_zygote_imports() -> None:
    """The zygote watches its host also while it imports."""
    with host("echo", "hangs") as (process, pids):
        assert alive(pids[0])
        process.kill()
        process.wait()
        eventually(lambda: not alive(pids[0]), "the zygote is gone", within=1.0)


def test_a_host_that_ends_without_close_leaves_nothing() -> None:
    """A program that forgets to close its runtime ends it by ending."""
    program = (
        "from tests.runtime.local.watched import Watched\n"
        "one = Watched('echo').open()\n"
        "child = one.spawn()\n"
        "print(one.runtime.describe()['zygote'], one.started(child))\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    pids = [int(pid) for pid in done.stdout.split()]
    assert len(pids) == 2
    eventually(lambda: not [pid for pid in pids if alive(pid)], "all gone", within=1.0)


def test_a_forked_copy_of_the_host_cannot_close_the_runtime(watched: Make) -> None:
    """Closing it in a forked process does nothing to the processes of the original."""
    one = watched("echo")
    child = one.spawn()
    one.started(child)
    pid = os.fork()
    if not pid:
        one.runtime.close()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    one.tell(child, "hello")
    assert one.texts(child, 1) == ["hello"]


@pytest.mark.parametrize("closed", [(0,), (0, 1, 2)])
def test_a_host_without_standard_streams(closed: tuple[int, ...], tmp_path: Path) -> None:
    """Descriptors 0, 1 and 2 are never a transport, also when the host was started without them."""
    report = tmp_path / "report"
    program = (
        "import os, sys\n"
        f"for number in {closed}: os.close(number)\n"
        "from tests.runtime.local.watched import Watched\n"
        "one = Watched('describes_itself').open()\n"
        "text = one.texts(one.spawn(), 1)[0]\n"
        "one.runtime.close()\n"
        f"open({str(report)!r}, 'w').write(text)\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, timeout=50)
    assert "'fds': [0, 1, 2, " in report.read_text()


def test_standard_output_goes_where_it_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    """What a stage prints goes to standard output, or with the option to standard error."""
    for to_stderr in (False, True):
        one = Watched("exits_3", stdout_to_stderr=to_stderr).open()
        one.exited(one.spawn())
        one.runtime.close()
        out, err = capfd.readouterr()
        assert ((err if to_stderr else out), (out if to_stderr else err)) == (
            "a word on standard output\n",
            "",
        )


def test_open_reports_that_the_zygote_cannot_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """An interpreter that is not there is an error of open, and close still cleans up."""
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    runtime = LocalRuntime()
    with pytest.raises(FileNotFoundError):
        runtime.open(print)
    runtime.spawn(stage(), stage_spec())
    runtime.close()
