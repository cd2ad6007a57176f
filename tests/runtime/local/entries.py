"""What the tests run instead of a stage's loop: each is a stage entry, named by its function."""

from __future__ import annotations

import contextlib
import os
import resource
import select
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from actorflow.protocol.identity import Incarnation
from actorflow.protocol.messages import Info
from actorflow.protocol.wire import decode, encode
from actorflow.runtime.local.control import ControlSocket
from actorflow.stage.counters import Counter


def say(control: ControlSocket, text: str, ref: int = 0) -> None:
    """Send one message and wait until it is written."""
    control.send(encode(Info(ref, "user", "text", text.encode())))
    control.flush_within(10.0)


def wait_readable(control: ControlSocket) -> None:
    """Wait until the control link has something to read."""
    poller = select.poll()
    poller.register(control, select.POLLIN)
    poller.poll()


def echo(child: Incarnation, spec: Any, control: ControlSocket, counters: memoryview) -> int:
    """Sends every frame back, until the host closes the link or says ``stop``."""
    counters[Counter.PID] = os.getpid()
    counters[Counter.GENERATION] = child.generation
    while not control.at_end:
        wait_readable(control)
        for frame in control.receive():
            message = decode(frame)
            if isinstance(message, Info) and message.body == b"stop":
                return 0
            counters[Counter.EVENTS_IN] += 1
            control.send(encode(message))
            control.flush_within(10.0)
    return 0


def exits_3(child: Incarnation, spec: Any, control: ControlSocket, counters: memoryview) -> int:
    """Says a word and exits with status 3."""
    print("a word on standard output")
    say(control, "last words")
    return 3


def quits(child: Incarnation, spec: Any, control: ControlSocket, counters: memoryview) -> int:
    """Calls sys.exit."""
    sys.exit(4)


def raises(child: Incarnation, spec: Any, control: ControlSocket, counters: memoryview) -> int:
    """Fails with an ordinary exception."""
    raise ValueError("no")


def kills_itself(
    child: Incarnation, spec: Any, control: ControlSocket, counters: memoryview
) -> int:
    """Dies of SIGKILL right after a hundred messages."""
    for number in range(100):
        say(control, str(number), number)
    os.kill(os.getpid(), signal.SIGKILL)
    return 0


def leaves_a_grandchild(
    child: Incarnation, spec: Any, control: ControlSocket, counters: memoryview
) -> int:
    """Forks a process that ignores signals and keeps every descriptor open; then exits with 5."""

    def hold_out() -> None:
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)

    say(control, str(_fork_one_that_stays(hold_out)))
    return 5


def leaves_a_daemon(
    child: Incarnation, spec: Any, control: ControlSocket, counters: memoryview
) -> int:
    """Forks a process that leaves the process group and the session; then exits with 6."""
    say(control, str(_fork_one_that_stays(os.setsid)))
    return 6


def _fork_one_that_stays(begin: Callable[[], object]) -> int:
    """Fork a process that does this and then nothing more; returns when it has."""
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        begin()
        os.write(write, b"!")
        while True:
            time.sleep(60)
    os.read(read, 1)
    return pid


def forks_and_falls_through(
    child: Incarnation, spec: Any, control: ControlSocket, counters: memoryview
) -> int:
    """Forks a process whose error is nobody else's; then exits with 7."""
    pid = os.fork()
    if not pid:
        raise RuntimeError("only the forked copy's")
    os.waitpid(pid, 0)
    return 7


def ignores_sigterm(
    child: Incarnation, spec: Any, control: ControlSocket, counters: memoryview
) -> int:
    """Cannot be asked to end."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    say(control, "deaf")
    while True:
        time.sleep(60)


def babbles(child: Incarnation, spec: Any, control: ControlSocket, counters: memoryview) -> int:
    """Sends a frame that is no message."""
    control.send(b"\x03\x00\x00\x00abc")
    control.flush_within(10.0)
    while True:
        time.sleep(60)


def closes_everything(
    child: Incarnation, spec: Any, control: ControlSocket, counters: memoryview
) -> int:
    """Closes its control link and stays."""
    control.close()
    while True:
        time.sleep(60)


def takes_links(child: Incarnation, spec: Any, control: ControlSocket, counters: memoryview) -> int:
    """For each message: takes two descriptors, writes its ref to one, reports what it reads."""
    writes: list[int] = []
    while not control.at_end:
        wait_readable(control)
        for frame in control.receive():
            message = decode(frame)
            try:
                read, write, *_ = control.take_descriptors(2, 3)
            except OSError as error:
                say(control, f"lost {error.errno}", message.ref)
                continue
            os.write(write, str(message.ref).encode())
            os.set_blocking(read, True)
            say(control, f"read {os.read(read, 100).decode()}", message.ref)
            os.close(read)
            writes.append(write)
    return 0


def describes_itself(
    child: Incarnation, spec: Any, control: ControlSocket, counters: memoryview
) -> int:
    """Reports what the set-up made of this process."""
    open_files = []
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            os.fstat(int(name))
            open_files.append(int(name))
    facts = {
        "fds": sorted(open_files),
        "control": control.fileno(),
        "group": os.getpgid(0) == os.getpid(),
        "int": signal.getsignal(signal.SIGINT) == signal.SIG_IGN,
        "term": signal.getsignal(signal.SIGTERM) == signal.SIG_DFL,
        "chld": signal.getsignal(signal.SIGCHLD) == signal.SIG_DFL,
        "mask": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
        "title": Path("/proc/self/cmdline").read_text().rstrip("\0"),
        "comm": Path("/proc/self/comm").read_text().strip(),
        "argv": sys.argv,
        "spec": {name: v() if callable(v) else v for name, v in spec.arguments.items()},
    }
    kept = sys.modules.get("keeps_a_file")
    if kept is not None:
        kept.file.seek(0)
        facts["kept"] = kept.file.fileno()
        facts["kept_text"] = kept.file.read()
    say(control, repr(facts))
    return 0


def short_of_descriptors(
    child: Incarnation, spec: Any, control: ControlSocket, counters: memoryview
) -> int:
    """Like `takes_links`, but its first links come when it may open no more files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.dup(0)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
    say(control, "poor")
    lost = 0
    while lost < 2:
        wait_readable(control)
        for frame in control.receive():
            try:
                control.take_descriptors(2, 3)
            except OSError as error:
                say(control, f"lost {error.errno}", decode(frame).ref)
                lost += 1
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    say(control, "rich")
    return takes_links(child, spec, control, counters)


def reads_a_link(
    child: Incarnation, spec: Any, control: ControlSocket, counters: memoryview
) -> int:
    """Takes one link, says so, and reads it to its end."""
    wait_readable(control)
    control.receive()
    read, *_ = control.take_descriptors(2, 3)
    say(control, "linked")
    os.set_blocking(read, True)
    while os.read(read, 100):
        pass
    say(control, "end of the link")
    return 0


def keeps_a_grandchild(
    child: Incarnation, spec: Any, control: ControlSocket, counters: memoryview
) -> int:
    """Forks a process in its own group, says its id, and serves on."""
    return _serves_beside(os.getpgid(0), child, spec, control, counters)


def keeps_a_daemon(
    child: Incarnation, spec: Any, control: ControlSocket, counters: memoryview
) -> int:
    """Forks a process that leaves the group, says its id, and serves on."""
    return _serves_beside(0, child, spec, control, counters)


def _serves_beside(
    group: int, child: Incarnation, spec: Any, control: ControlSocket, counters: memoryview
) -> int:
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        if not group:
            os.setsid()
        os.write(write, b"!")
        while True:
            time.sleep(60)
    os.read(read, 1)
    say(control, str(pid))
    return echo(child, spec, control, counters)
