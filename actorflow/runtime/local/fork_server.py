"""The inside of a stage's fork server: take an order, fork, reap, report; nothing else.

A fork copies a page when one of its two processes writes to it, and between two forks a stage
writes to two hundred: all that it needs to take events in and to pass results on. So a stage that
has fresh children forks this process once, when its first child is started, and has it fork the
children. It runs no code of the user's but in children, never waits for anybody to read, and does
the same few things again and again, so that little is written between two of its forks.
"""

from __future__ import annotations

import contextlib
import gc
import os
import pickle
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from struct import Struct
from typing import Any

from actorflow.protocol.framing import LENGTH
from actorflow.records import dataclass
from actorflow.runtime.local.descriptors import FIRST_FREE, drop_private
from actorflow.runtime.local.kernel import exit_now, watch_process
from actorflow.runtime.local.offspring import (
    CAN_DIE_WITH_PARENT,
    CANNOT_REPORT,
    DESCRIPTORS,
    LOOK_AGAIN,
    REHEARSALS,
    flush_stdio,
    kill_group,
    seed_anew,
    separate,
)
from actorflow.runtime.local.pipes import PipeLink
from actorflow.runtime.local.poller import READABLE, WRITABLE, new_poller
from actorflow.runtime.local.words import (
    end_as_bytes,
    leave_words,
    new_words_file,
    read_words,
    result_as_bytes,
)
from actorflow.stage.children import ChildTemplate, end_by

__all__ = [
    "NOT_FORKED",
    "REPORT",
    "WORDS",
    "ForkServer",
    "order_retirement",
    "order_signal",
    "order_start",
]

START = b"s"
SIGNAL = b"k"
RETIRE = b"r"

_ORDER = Struct("<cQI")
"""What is wanted, of which child, and a number: its template's, or the signal's."""
_START = Struct("<I")
"""The child's place in the table; its pickled arguments follow."""
# Asked for once: in a child each look at an object is a page to be copied.
_PLACE = _ORDER.size
_ARGUMENTS = _ORDER.size + _START.size

ENDED = b"e"
NOT_FORKED = b"n"
REPORT = Struct("<cQi")
"""What has become of which child, and its exit status or the signal's number below 0."""
WORDS = REPORT.size
"""Where its last words follow, or why it could not be forked."""
_REPORT = Struct("<IcQi")
"""The same after its length."""


def order_start(life: int, template: int, place: int, arguments: bytes) -> bytes:
    """A frame that has a child started.

    Args:
        life: its number.
        template: its template's number.
        place: its place in the table.
        arguments: what follows the template's own, pickled.
    """
    size = _ARGUMENTS + len(arguments)
    head = LENGTH.pack(size) + _ORDER.pack(START, life, template) + _START.pack(place)
    return head + arguments


def order_signal(life: int, number: int) -> bytes:
    """A frame that has a child signalled."""
    return LENGTH.pack(_ORDER.size) + _ORDER.pack(SIGNAL, life, number)


def order_retirement() -> bytes:
    """A frame that has the server end when its last child has."""
    return LENGTH.pack(_ORDER.size) + _ORDER.pack(RETIRE, 0, 0)


@dataclass(slots=True)
class _Child:
    life: int
    pid: int
    file: int
    """Where it says how it ended."""
    watch: int | None
    """Tells of its end, where the system has such a descriptor."""


class ForkServer:
    """Serves until the pipe of orders ends, then kills what is left.

    Args:
        orders: where orders come from.
        reports: where reports go.
        table: shared with the stage: for each place the process id of the child that has it, 0
            until it has been forked, and when it was begun to be, in nanoseconds.
        templates: what children run, by number.
    """

    def __init__(
        self, orders: int, reports: int, table: memoryview, templates: Sequence[ChildTemplate]
    ) -> None:
        for descriptor in (orders, reports):
            os.set_blocking(descriptor, False)
        self._link = PipeLink(0, orders, reports)
        self._table = table
        self._runs = [(_callable(each.function), tuple(each.arguments)) for each in templates]
        self._reseeds = "numpy.random" in sys.modules
        self._children: dict[int, _Child] = {}
        self._watched: dict[int, _Child] = {}
        """Those that a descriptor tells of, by that; the others are looked at."""
        self._retires = False
        self._poller = new_poller()
        self._poller.register(orders, READABLE)
        self._parent = os.getppid()
        # In a rehearsal no descriptor is between these.
        self._first, self._beyond = DESCRIPTORS, FIRST_FREE

    def run(self) -> int:
        """Serve; returns the exit status."""
        # Ignored, as code of the stage's own may have had it, it would reap the children.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._rehearse()
        self._parent = os.getpid()
        self._first, self._beyond = FIRST_FREE, DESCRIPTORS
        # Nothing that is here by now is garbage: a collection in a child need not look at it.
        gc.freeze()
        link = self._link
        while link.reader >= 0 and not self._has_retired():
            ready = self._poller.wait(self._patience())
            for descriptor, _ in ready:
                child = self._watched.get(descriptor)
                if child is not None:
                    self._reap(child)
                elif descriptor == link.reader:
                    self._take_orders()
            if len(self._watched) < len(self._children):
                self._look()
            if link.outbox:
                self._flush()
        for child in self._children.values():
            _signal(child.pid, signal.SIGKILL)
        return 0

    def _has_retired(self) -> bool:
        return self._retires and not self._children and not self._link.outbox

    def _patience(self) -> float | None:
        return LOOK_AGAIN if len(self._watched) < len(self._children) else None

    # --- orders -----------------------------------------------------------------------------------

    def _take_orders(self) -> None:
        link = self._link
        data = link.read()
        if data is None:
            return
        if not data:
            self._poller.unregister(link.reader)
            link.close_reader()
            return
        for order in link.decoder.feed(data):
            what, life, number = _ORDER.unpack_from(order)
            if what == START:
                self._start(life, number, order)
            elif what == SIGNAL:
                # Only this process reaps, so a child that it has is nobody else by now.
                if life in self._children:
                    _signal(self._children[life].pid, number)
            else:
                self._retires = True

    def _start(self, life: int, template: int, order: bytes) -> None:
        place = 2 * _START.unpack_from(order, _PLACE)[0]
        try:
            file = new_words_file()
        except OSError as error:
            self._report(NOT_FORKED, life, 0, str(error).encode())
            return
        # Before the fork: what has a time here may have begun.
        self._table[place + 1] = time.monotonic_ns()
        try:
            pid = os.fork()
        except OSError as error:
            os.close(file)
            self._report(NOT_FORKED, life, 0, str(error).encode())
            return
        if not pid:
            status = 1
            try:
                status = self._live(file, template, order)
            except BaseException:  # noqa: BLE001  (a child must not return into this loop)
                traceback.print_exc()
            finally:
                try:
                    flush_stdio()
                finally:
                    exit_now(status)
        self._table[place] = pid
        watch = watch_process(pid)
        child = self._children[life] = _Child(life, pid, file, watch)
        if watch is not None:
            self._watched[watch] = child
            self._poller.register(watch, READABLE)

    # --- a child ----------------------------------------------------------------------------------

    def _live(self, file: int, template: int, order: bytes) -> int:
        """Be the child; returns the exit status. Every object that is used here costs a page."""
        separate(self._parent, (file,), self._first, self._beyond)
        if self._reseeds:
            seed_anew()
        run, first = self._runs[template]
        try:
            # Reading an event may run its class's own code, so it is not done before the fork.
            result = run(*first, *pickle.loads(order[_ARGUMENTS:]))
        except BaseException as error:  # noqa: BLE001  (whatever a child raises is how it ended)
            end = end_by(error, 0.0)
            status, words = 0 if end.normal else 1, end_as_bytes(end)
        else:
            if result is None:
                return 0
            status, words = 0, result_as_bytes(result)
        if os.getppid() != self._parent:
            return 0  # forked by the child's own code, which fell through to here
        try:
            leave_words(file, words)
        except OSError:
            return CANNOT_REPORT
        return status

    def _rehearse(self) -> None:
        """Do what every child will do, so that its first time writes to fewer pages."""
        self._runs.append((abs, ()))
        order = order_start(0, 0, 0, pickle.dumps([1]))[LENGTH.size :]
        for _ in range(REHEARSALS):
            drop_private()
            file = new_words_file()
            self._live(file, -1, order)
            flush_stdio()
            read_words(file)
            os.close(file)
        self._runs.pop()

    # --- ends -------------------------------------------------------------------------------------

    def _look(self) -> None:
        """Where no descriptor tells: look which children have ended."""
        for child in tuple(self._children.values()):
            if child.watch is not None:
                continue
            if hasattr(os, "waitid"):
                if os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                    self._reap(child)
                continue
            pid, status = os.waitpid(child.pid, os.WNOHANG)
            if pid:
                self._over(child, status)

    def _reap(self, child: _Child) -> None:
        if CAN_DIE_WITH_PARENT:
            # Before it is reaped: till then its number, which is its group's, is not reused.
            kill_group(child.pid)
        _, status = os.waitpid(child.pid, 0)
        self._over(child, status)

    def _over(self, child: _Child, status: int) -> None:
        if child.watch is not None:
            del self._watched[child.watch]
            self._poller.unregister(child.watch)
            os.close(child.watch)
        del self._children[child.life]
        words = read_words(child.file)
        os.close(child.file)
        self._report(ENDED, child.life, os.waitstatus_to_exitcode(status), words or b"")

    # --- reports ----------------------------------------------------------------------------------

    def _report(self, what: bytes, life: int, status: int, words: bytes) -> None:
        report = _REPORT.pack(WORDS + len(words), what, life, status) + words
        link = self._link
        link.outbox.append(report)
        link.backlog += len(report)

    def _flush(self) -> None:
        link = self._link
        if link.flush():
            if link.waits:
                link.waits = False
                self._poller.unregister(link.writer)
        elif not link.waits:
            link.waits = True
            self._poller.register(link.writer, WRITABLE)


def _callable(run: Callable[..., Any]) -> Callable[..., Any]:
    """What lives the life of a child, for a function or a class with a method `run`."""
    return (lambda *arguments: run(*arguments).run()) if isinstance(run, type) else run


def _signal(pid: int, number: int) -> None:
    """Signal a child; SIGKILL goes to what it has forked as well."""
    if number == signal.SIGKILL and CAN_DIE_WITH_PARENT:
        kill_group(pid)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)
