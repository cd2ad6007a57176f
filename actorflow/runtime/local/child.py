"""From the fork to the stage: what a new process does before its stage's own code runs.

Every microsecond here is paid by each start and restart; what can be done once is done in the
zygote, before the fork, and what can be done before the stage is known, in a spare process.
"""

from __future__ import annotations

import gc
import mmap
import os
import pickle
import select
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from typing import Any

from actorflow.protocol.control import Exiting, Ready, encode_control
from actorflow.protocol.failure import Failure
from actorflow.protocol.framing import LENGTH
from actorflow.protocol.identity import Incarnation, StageId
from actorflow.protocol.wire import decode, encode
from actorflow.records import dataclass
from actorflow.runtime.local.control import ControlSocket, control_pair
from actorflow.runtime.local.descriptors import close_others, share_with_forks
from actorflow.runtime.local.kernel import die_with_parent, rename
from actorflow.runtime.local.orders import Birth, decode_record, encode_record
from actorflow.runtime.local.scoreboard import slot_view
from actorflow.stage.behaviour import Consumer
from actorflow.supervision.specs import StageSpec

__all__ = ["FAILED", "REHEARSALS", "Cradle", "StageEntry", "rehearse", "run_child"]

StageEntry = Callable[[Incarnation, Any, ControlSocket, memoryview], int]
"""Runs a stage to its end: who it is, its `StageSpec`, its control link, its counters. Returns the
exit status."""

FAILED = 1
"""The exit status of a stage that ended with an error."""

LAST_WORDS = 5.0
"""Seconds that a failed start may wait for the host to read why. The host reads all the time, so
this passes only when it is stopped."""

REHEARSALS = 20
"""More than the interpreter's own threshold for adapting a piece of code."""


@dataclass(frozen=True, slots=True)
class Cradle:
    """What the zygote prepared once and every stage starts with.

    Args:
        zygote: the zygote's process id.
        entry: runs the stage.
        memory: the scoreboard.
        keep: descriptors that preloaded modules had opened; their owners refer to them by number.
        title: where the process title goes, see `kernel.find_title`.
    """

    zygote: int
    entry: StageEntry
    memory: mmap.mmap
    keep: frozenset[int]
    title: tuple[int, int]


def run_child(cradle: Cradle, descriptor: int) -> int:
    """Live the life of a freshly forked process; returns the exit status, never raises.

    It settles in, waits for the host to say which stage to become, and becomes it. It may have been
    forked ahead of time, as a spare, and then waits long; if nobody needs it, it exits with 0.

    Args:
        cradle: what the zygote prepared.
        descriptor: this process's end of its control link; owned from now on.
    """
    pid = os.getpid()
    try:
        _settle(cradle, descriptor)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, descriptor)
        birth = _wait_for_birth(sock, cradle)
        if birth is None:
            return 0
        rename(birth.child, cradle.title)
        control = ControlSocket(sock)
    except Exception:  # noqa: BLE001
        # Without a control link only standard error is left to say it; the host sees the status.
        traceback.print_exc()
        return FAILED
    try:
        spec = pickle.loads(birth.spec)
        counters = slot_view(cradle.memory, birth.slot)
        return cradle.entry(Incarnation.parse(birth.child), spec, control, counters)
    except SystemExit as request:
        return _exit_status(request)
    except BaseException as error:  # noqa: BLE001  (whatever the stage raises ends here)
        if os.getpid() != pid:
            # A process that the stage's own code forked fell through to here; the last words on
            # the control link, of which it has a copy, are not its to say.
            traceback.print_exc()
            return FAILED
        failure = Failure.of(error)
        words = Exiting(["error", failure.summary], failure.to_wire())
        control.send(encode(encode_control(words)))
        control.flush_within(LAST_WORDS)
        return FAILED
    finally:
        _flush_stdio()


def _wait_for_birth(sock: socket.socket, cradle: Cradle) -> Birth | None:
    """The first frame on the control link; None when the host has closed it."""
    poller = select.poll()
    poller.register(sock, select.POLLIN)
    if not poller.poll(0):
        # Nobody waits for this process yet, so what its stage will need is made its own now.
        rename("spare", cradle.title)
        rehearse(1)
    # Not a byte more than this frame: what follows, and the descriptors beside it, is the stage's.
    head = _read_exactly(sock, LENGTH.size)
    body = _read_exactly(sock, LENGTH.unpack(head)[0]) if head else b""
    if not body:
        return None
    birth = decode_record(body)
    assert isinstance(birth, Birth)
    return birth


def _read_exactly(sock: socket.socket, size: int) -> bytes:
    """So many bytes, waiting for them; nothing when the end of file comes first."""
    parts: list[bytes] = []
    while size:
        part = sock.recv(size, socket.MSG_WAITALL)
        if not part:
            return b""
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def rehearse(times: int) -> None:
    """Do what every child will do, so that its first time is not the first time.

    The interpreter adapts the code that it runs, fills caches and resolves symbols, all by writing
    to memory. Done in the zygote before the first fork, that memory stays shared; done in a child,
    each such page is copied, at two microseconds a page. What is left, the pages of counted
    references, a spare copies while nobody waits for it.

    Args:
        times: how often; `REHEARSALS` makes the interpreter adapt.
    """
    sample = pickle.dumps(StageSpec(id=StageId("rehearsal"), behaviour=Consumer), protocol=5)
    record = encode_record(Birth("rehearsal/0#1", 0, sample))
    for _ in range(times):
        ours, theirs = control_pair()
        ours.send(record)
        child = ControlSocket(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, theirs))
        for body in child.receive():
            birth = decode_record(body)
            if isinstance(birth, Birth):
                pickle.loads(birth.spec)
                Incarnation.parse(birth.child)
        child.send(encode(encode_control(Ready("consumer"))))
        for body in ours.receive():
            decode(body)
        ours.close()
        child.close()


def _settle(cradle: Cradle, descriptor: int) -> None:
    # Its own process group, so that Ctrl-C in the host's terminal is the host's to handle, and so
    # that what the stage forks can be killed with it. The zygote does the same from its side:
    # whoever needs the group first finds it made.
    os.setpgid(0, 0)
    die_with_parent()
    if os.getppid() != cradle.zygote:
        # The zygote died between the fork and the line above, so its death will not be signalled.
        os._exit(FAILED)
    # Other stages' control links, the zygote's own socket: a copy kept here would hide their end
    # of file from the others for as long as this stage lives.
    close_others({descriptor, *cradle.keep})
    # The zygote kills this process's group with it.
    share_with_forks()
    # The descriptor behind it has just been closed; its number may soon be a link's.
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    # SIGTERM and SIGHUP have their default action and were only held back by the zygote's mask: one
    # that has come since the fork ends this process here. SIGINT stays ignored, as it is in the
    # zygote: Ctrl-C drains, and the host does the draining.
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    # The random module seeds itself anew after a fork; numpy's global generator does not.
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()
    # It was off in the zygote, so that a collection there could not touch the pages shared with
    # every stage; what had been imported by then is frozen and is not looked at again.
    gc.enable()


def _exit_status(request: SystemExit) -> int:
    """What Python itself would exit with."""
    if request.code is None:
        return 0
    if isinstance(request.code, int):
        return request.code & 0xFF
    print(request.code, file=sys.stderr)
    return FAILED


def _flush_stdio() -> None:
    """`os._exit` follows, which would throw away what is buffered."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):
            # None, closed by the stage, or a reader that has gone: nobody is left to tell.
            continue
