"""What still works where Linux's own means are missing, as on macOS."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from actorflow.runtime.local import control, descriptors, kernel
from tests.runtime.local.test_links import announce
from tests.runtime.local.watched import Make, Watched, alive, eventually, open_files, stage

pytestmark = pytest.mark.processes


@pytest.fixture
def like_macos(monkeypatch: pytest.MonkeyPatch, watched: Make) -> Make:
    """Makes runtimes whose host and zygote have only what macOS has."""
    monkeypatch.delattr(os, "pidfd_open", raising=False)
    monkeypatch.delattr(os, "memfd_create", raising=False)
    monkeypatch.delattr(fcntl, "F_SETPIPE_SZ", raising=False)
    monkeypatch.setattr(kernel, "_libc", None)
    monkeypatch.setattr(kernel, "control_process", kernel.no_such_call)
    monkeypatch.setattr(control, "_CLOEXEC", 0)

    def make(entry: str, **options: object) -> Watched:
        return watched(entry, preload=["like_macos"], **options)

    return make


def test_stages_live_and_die(like_macos: Make) -> None:
    """Starts, messages, counters, signals and exits."""
    one = like_macos("echo")
    children = [one.spawn(stage(index=index)) for index in range(5)]
    for child in children:
        one.tell(child, "hello")
        assert one.texts(child, 1) == ["hello"]
        assert one.runtime.counters(child.stage)["events_in"] == 1
    one.runtime.signal(children[0], "kill")
    assert one.exited(children[0]).signal == signal.SIGKILL
    for child in children[1:]:
        one.tell(child, "stop")
        assert one.exited(child).status == 0


def test_links_carry(like_macos: Make) -> None:
    """Descriptors are passed, and not inherited."""
    one = like_macos("takes_links")
    producer, consumer = one.spawn(stage("producer")), one.spawn(stage("consumer"))
    one.started(producer)
    one.runtime.link(1, producer, consumer, announce(1), announce(1))
    assert one.texts(producer, 1) == one.texts(consumer, 1) == ["read 1"]


def test_the_end_of_a_stage_is_the_end_of_its_group(like_macos: Make) -> None:
    """What it forked is killed a moment after it was reaped."""
    one = like_macos("leaves_a_grandchild")
    child = one.spawn()
    assert one.exited(child).status == 5
    grandchild = int(one.texts(child, 1)[0])
    eventually(lambda: not alive(grandchild), "the grandchild is gone", 5.0)


def test_close_finds_what_left_its_group(like_macos: Make) -> None:
    """Descendants are looked for before their parents die, as no orphan is adopted."""
    one = like_macos("keeps_a_daemon")
    child = one.spawn()
    daemon = int(one.texts(child, 1)[0])
    one.runtime.close()
    eventually(lambda: not alive(daemon), "the daemon is gone", 5.0)


def test_a_killed_zygote_takes_every_stage_with_it(like_macos: Make) -> None:
    """Without the parent-death signal, the host's kill is what ends them."""
    one = like_macos("echo")
    pids = [one.started(one.spawn(stage(index=index))) for index in range(3)]
    one.zygote.kill()
    one.wait(lambda seen: [o for o in seen if type(o).__name__ == "RuntimeBroken"], "broken")
    eventually(lambda: not [pid for pid in pids if alive(pid)], "all gone", 2.0)


def test_waiting_for_a_process_without_a_pidfd(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is looked for again and again until it is gone, or the time is up."""
    # The child is waited for first: what waits may itself remember that the call was there.
    child = subprocess.Popen(["true"])
    child.wait()
    monkeypatch.delattr(os, "pidfd_open", raising=False)
    assert kernel.wait_gone([os.getpid()], 0.03) == {os.getpid()}
    assert kernel.wait_gone([child.pid], 5.0) == set()


def test_descriptors_are_listed_without_a_directory_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where there is neither /proc nor /dev/fd, the numbers are tried."""
    listed = descriptors.open_descriptors()

    def refuse(path: str) -> list[str]:
        raise FileNotFoundError(path)

    monkeypatch.setattr(os, "listdir", refuse)
    assert descriptors.open_descriptors() == {number for number in listed if number < 256}


def test_a_low_descriptor_is_moved_above_the_standard_streams() -> None:
    """The same file under a higher number; one that is high enough stays as it is."""
    before = open_files()
    ours, theirs = socket.socketpair()
    number = theirs.detach()
    assert descriptors.above_stdio(number) == number
    spare = os.dup(0)
    try:
        os.dup2(number, 0)
        moved = descriptors.above_stdio(0)
        assert moved >= 3
        os.write(moved, b"x")
        assert ours.recv(1) == b"x"
    finally:
        os.dup2(spare, 0)
    for each in (spare, number, moved):
        os.close(each)
    ours.close()
    assert open_files() == before


def test_kills_for_want_of_memory_are_counted_where_the_system_counts_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The first file that has the count decides; without any there is none."""
    events = tmp_path / "memory.events"
    events.write_text("low 0\noom 5\noom_kill 3\noom_group_kill 0\n")
    places = [(str(tmp_path / "missing"), "oom_kill"), (str(events), "oom_kill")]
    monkeypatch.setattr(kernel, "_memory_events", lambda: places)
    assert kernel.out_of_memory_kills() == 3
    monkeypatch.setattr(kernel, "_memory_events", list)
    assert kernel.out_of_memory_kills() is None
