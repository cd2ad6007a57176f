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
import signal
import time
from collections.abc import Callable, Sequence
from struct import Struct

from actorflow.protocol.framing import LENGTH
from actorflow.records import dataclass
from actorflow.runtime.local.fresh_child import FreshChild
from actorflow.runtime.local.kernel import watch_process
from actorflow.runtime.local.offspring import CAN_DIE_WITH_PARENT, LOOK_AGAIN, kill_group
from actorflow.runtime.local.pipes import WatchedLink
from actorflow.runtime.local.poller import READABLE, new_poller
from actorflow.runtime.local.words import LastWords
from actorflow.stage.children import ChildTemplate

__all__ = [
    "ENDED",
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

_ORDER = Struct("<cQII")
"""What is wanted, of which child, its place in the table, and a number: its template's, or the
signal's. Where a child is to be started its pickled arguments follow."""
# Asked for once: each look at an object writes to its page.
_ARGUMENTS = _ORDER.size

_AT_ONCE = 16
"""Of how many descriptors one wait tells."""

ENDED = b"e"
NOT_FORKED = b"n"
REPORT = Struct("<cQi")
"""What has become of which child, and its exit status or the signal's number below 0."""
WORDS = REPORT.size
"""Where its last words follow, or why it could not be forked."""
_REPORT = Struct("<IcQi")
"""The same after its length."""


def order_start(life: int, place: int, template: int, arguments: bytes) -> bytes:
    """A frame that has a child started.

    Args:
        life: its number.
        place: its place in the table.
        template: its template's number.
        arguments: what follows the template's own, pickled.
    """
    size = _ARGUMENTS + len(arguments)
    return LENGTH.pack(size) + _ORDER.pack(START, life, place, template) + arguments


def order_signal(life: int, place: int, number: int) -> bytes:
    """A frame that has a child signalled."""
    return LENGTH.pack(_ORDER.size) + _ORDER.pack(SIGNAL, life, place, number)


def order_retirement() -> bytes:
    """A frame that has the server end when its last child has."""
    return LENGTH.pack(_ORDER.size) + _ORDER.pack(RETIRE, 0, 0, 0)


@dataclass(slots=True)
class _Child:
    """The child that has a place; what has it next gets the same record."""

    place: int
    life: int = 0
    pid: int = 0
    """0 when there is none."""
    watch: int | None = None
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
        self._link = WatchedLink(0, orders, reports, self)
        self._table = table
        self._words = LastWords(len(table) // 2)
        self._child = FreshChild(self._words, templates)
        self._records: list[_Child] = []
        """Of each place that was to have a child."""
        self._watched: dict[int, _Child] = {}
        """Those that a descriptor tells of, by that."""
        self._unwatched: set[int] = set()
        """The places of the others, which are looked at."""
        self._retires = False
        self._poller = new_poller(_AT_ONCE)
        self._link.hear(self._take_orders)

    def run(self) -> int:
        """Serve; returns the exit status."""
        # Ignored, as code of the stage's own may have had it, it would reap the children.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._child.rehearse()
        # Nothing that is here by now is garbage: a collection in a child need not look at it.
        gc.freeze()
        link, watched, wait = self._link, self._watched, self._poller.wait
        while link.reader >= 0 and not (self._retires and self._is_idle()):
            ordered = False
            for descriptor, _ in wait(LOOK_AGAIN if self._unwatched else None):
                child = watched.get(descriptor)
                if child is not None:
                    self._reap(child)
                elif descriptor == link.reader:
                    ordered = True
            if self._unwatched:
                self._look()
            # Ends first: the stage passes them on while this process forks.
            if link.outbox:
                link.send()
            if ordered:
                self._take_orders()
        for child in self._records:
            if child.pid:
                _signal(child.pid, signal.SIGKILL)
        return 0

    def _is_idle(self) -> bool:
        return not (self._watched or self._unwatched or self._link.outbox)

    # --- a loop for the link --------------------------------------------------------------------

    def watch(
        self, descriptor: int, callback: Callable[[int], None], events: int = READABLE
    ) -> None:
        """As `Watcher.watch`; what is to be done when one is ready, `run` knows."""
        self._poller.register(descriptor, events)

    def unwatch(self, descriptor: int) -> None:
        """As `Watcher.unwatch`."""
        self._poller.unregister(descriptor)

    # --- orders -----------------------------------------------------------------------------------

    def _take_orders(self, events: int = READABLE) -> None:
        link = self._link
        data = link.read()
        if data is None:
            return
        if not data:
            link.close_reader()
            return
        for order in link.decoder.feed(data):
            what, life, place, number = _ORDER.unpack_from(order)
            if what == START:
                self._start(life, place, number, order)
            elif what == SIGNAL:
                child = self._records[place]
                # Only this process reaps, so a child that it has is nobody else by now.
                if child.life == life and child.pid:
                    _signal(child.pid, number)
            else:
                self._retires = True
        if link.outbox:
            link.send()

    def _start(self, life: int, place: int, template: int, order: bytes) -> None:
        # Also of a child that cannot be forked: its stage may have ordered a signal for it by now.
        records = self._records
        while len(records) <= place:
            records.append(_Child(len(records)))
        # Before the fork: what has a time here may have begun.
        self._table[2 * place + 1] = time.monotonic_ns()
        try:
            pid = self._child.fork(place, template, order[_ARGUMENTS:])
        except OSError as error:
            self._report(NOT_FORKED, life, 0, str(error).encode())
            return
        self._table[2 * place] = pid
        child = records[place]
        child.life = life
        child.pid = pid
        watch = child.watch = watch_process(pid)
        if watch is None:
            self._unwatched.add(place)
        else:
            self._watched[watch] = child
            self._poller.register(watch, READABLE)

    # --- ends -------------------------------------------------------------------------------------

    def _look(self) -> None:
        """Where no descriptor tells: look which children have ended."""
        for place in tuple(self._unwatched):
            child = self._records[place]
            if hasattr(os, "waitid"):
                if os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                    self._unwatched.remove(place)
                    self._reap(child)
                continue
            pid, status = os.waitpid(child.pid, os.WNOHANG)
            if pid:
                self._unwatched.remove(place)
                self._over(child, status)

    def _reap(self, child: _Child) -> None:
        if CAN_DIE_WITH_PARENT:
            # Before it is reaped: till then its number, which is its group's, is not reused.
            kill_group(child.pid)
        watch = child.watch
        if watch is not None:
            del self._watched[watch]
            self._poller.unregister(watch)
            os.close(watch)
        self._over(child, os.waitpid(child.pid, 0)[1])

    def _over(self, child: _Child, status: int) -> None:
        child.pid = 0
        words = self._words.take(child.place)
        self._report(ENDED, child.life, os.waitstatus_to_exitcode(status), words)

    def _report(self, what: bytes, life: int, status: int, words: bytes) -> None:
        self._link.queue(_REPORT.pack(WORDS + len(words), what, life, status) + words)


def _signal(pid: int, number: int) -> None:
    """Signal a child; SIGKILL goes to what it has forked as well."""
    if number == signal.SIGKILL and CAN_DIE_WITH_PARENT:
        kill_group(pid)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)
