"""Children as fresh processes: each forked for its event, run once, gone.

The stage does not fork them itself: its fork server does (see `fork_server.py`), which is told what
to start by pipe, and reports each end by another.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import signal
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import field
from typing import Any, Literal

from actorflow.errors import ProtocolError
from actorflow.protocol.codec import dump
from actorflow.records import dataclass
from actorflow.runtime.local.descriptors import close_all
from actorflow.runtime.local.fork_server import (
    NOT_FORKED,
    REPORT,
    WORDS,
    ForkServer,
    order_retirement,
    order_signal,
    order_start,
)
from actorflow.runtime.local.offspring import CAN_DIE_WITH_PARENT, Loop, Offspring, Parenthood
from actorflow.runtime.local.pipes import CHUNK, WatchedLink
from actorflow.runtime.local.words import end_of_process, read_end
from actorflow.stage.children import (
    ChildEnd,
    ChildEnded,
    ChildRuntime,
    ChildTemplate,
    Observer,
    end_by,
    not_started,
)

__all__ = ["FreshProcesses"]

MOST = 1 << 16
"""How many children one stage may have at a time: the places in the table, of which only the pages
that are used take memory."""

_NUMBERS = {"terminate": signal.SIGTERM, "kill": signal.SIGKILL}


@dataclass(slots=True)
class _Server:
    """A fork server and the children that it has been told to start, each with its place."""

    link: WatchedLink
    process: Offspring | None = None
    places: dict[int, int] = field(default_factory=dict)


class FreshProcesses(ChildRuntime):
    """A process for each child.

    Its memory is that of the stage when the first child was started; the event comes as in any
    other process, pickled. A template that is new to the fork server has another one forked, and
    the old one ends with its last child.

    Args:
        name: the stage's.
        loop: its loop.
        observe: is told of ends.
        log: writes a log line: level, event, values.
    """

    def __init__(
        self,
        name: str,
        loop: Loop,
        observe: Observer,
        log: Callable[[str, str, dict[str, Any]], None],
    ) -> None:
        self._loop = loop
        self._observe = observe
        self._log = log
        self._parenthood = Parenthood(name, loop)
        self._memory = mmap.mmap(-1, MOST * 2 * 8)
        self._table = memoryview(self._memory).cast("q")
        self._used = 0
        """How many places of the table have had a child."""
        self._free: list[int] = []
        """Those among them that have none now."""
        self._templates: list[ChildTemplate] = []
        self._numbers: dict[int, int] = {}
        """The place of each template in that list, by its identity."""
        self._servers: list[_Server] = []
        self._forking: _Server | None = None
        """The one that gets orders; the others wait for the end of their children."""
        self._where: dict[int, _Server] = {}
        self._ends: list[ChildEnded] = []
        # What starts and ends a process for each event leaves no processor idle.
        loop.sleep_at_once()

    # --- the seam ---------------------------------------------------------------------------------

    def start(self, life: int, template: ChildTemplate, arguments: Sequence[Any]) -> None:
        """As `ChildRuntime.start`; arguments that cannot be pickled are a bad end."""
        try:
            body = dump(list(arguments))
        except Exception as error:  # noqa: BLE001  (pickling runs an event's own code)
            self._ends.append(ChildEnded(life, end_by(error, 0.0)))
            self._loop.after(0.0, self._tell)
            return
        server = self._server_for(template)
        place = server.places[life] = self._new_place()
        self._where[life] = server
        self._order(server, order_start(life, place, self._numbers[id(template)], body))

    def signal(self, life: int, signal: Literal["terminate", "kill"]) -> None:
        """As `ChildRuntime.signal`."""
        server = self._where.get(life)
        if server is not None:
            self._order(server, order_signal(life, server.places[life], _NUMBERS[signal]))

    def running_since(self, life: int) -> float | None:
        """As `ChildRuntime.running_since`."""
        server = self._where.get(life)
        began = 0 if server is None else self._table[2 * server.places[life] + 1]
        return began * 1e-9 if began else None

    def pid(self, life: int) -> int:
        """As `ChildRuntime.pid`."""
        server = self._where.get(life)
        return 0 if server is None else self._table[2 * server.places[life]]

    def close(self) -> None:
        """As `ChildRuntime.close`: a fork server whose orders end kills its children."""
        for server in self._servers:
            server.link.close_writer()

    def _new_place(self) -> int:
        if self._free:
            return self._free.pop()
        if self._used == MOST:
            raise OSError(errno.EAGAIN, f"there are {MOST} children, and no more can be watched")
        self._used += 1
        return self._used - 1

    # --- orders -----------------------------------------------------------------------------------

    def _order(self, server: _Server, data: bytes) -> None:
        if server.link.writer >= 0:
            server.link.queue(data)
            server.link.send()

    # --- reports ----------------------------------------------------------------------------------

    def _read(self, server: _Server) -> None:
        link = server.link
        while link.reader >= 0:
            data = link.read()
            if data is None:
                return
            try:
                for report in link.decoder.feed(data):
                    self._reported(server, report)
            except (ProtocolError, struct.error) as error:
                self._log("error", "a fork server wrote garbage", {"reason": str(error)})
                data = b""
            if not data:
                self._hang_up(server)
            elif len(data) < CHUNK:
                return

    def _hang_up(self, server: _Server) -> None:
        """A server that can tell nothing any more is ended; its end is seen by itself."""
        server.link.close_reader()
        if server.process is not None:
            server.process.signal(signal.SIGKILL)

    def _reported(self, server: _Server, report: bytes) -> None:
        what, life, status = REPORT.unpack_from(report)
        place = server.places.pop(life, None)
        if place is None:
            return
        words = report[WORDS:]
        if what == NOT_FORKED:
            end = not_started(words.decode(errors="replace"))
        else:
            end = self._end_of(words, status, self._seconds(place))
        self._over(life, place, end)

    def _end_of(self, words: bytes, status: int, seconds: float) -> ChildEnd:
        if not words:
            number = -status if status < 0 else None
            return end_of_process(None if number else status, number, seconds)
        try:
            return read_end(words, seconds)
        except ProtocolError as error:
            return end_by(error, seconds)

    def _seconds(self, place: int) -> float:
        return time.monotonic() - self._table[2 * place + 1] * 1e-9

    def _over(self, life: int, place: int, end: ChildEnd) -> None:
        del self._where[life]
        self._table[2 * place] = self._table[2 * place + 1] = 0
        self._free.append(place)
        self._ends.append(ChildEnded(life, end))

    def _tell(self) -> None:
        ends, self._ends = self._ends, []
        if ends:
            self._observe(ends)

    # --- servers ----------------------------------------------------------------------------------

    def _server_for(self, template: ChildTemplate) -> _Server:
        """The server that forks, with this template among those that it knows."""
        if id(template) not in self._numbers:
            _ = template.function  # imported here, or each child would import it anew
            self._numbers[id(template)] = len(self._templates)
            self._templates.append(template)
            self._retire()
        if self._forking is None:
            self._forking = self._fork()
        return self._forking

    def _retire(self) -> None:
        if self._forking is not None:
            self._order(self._forking, order_retirement())
            self._forking = None

    def _fork(self) -> _Server:
        orders_read, orders_write = os.pipe()
        try:
            reports_read, reports_write = os.pipe()
        except OSError:
            close_all((orders_read, orders_write))
            raise
        theirs, ours = (orders_read, reports_write), (orders_write, reports_read)
        server = _Server(WatchedLink(0, reports_read, orders_write, self._loop))

        def live() -> int:
            return ForkServer(orders_read, reports_write, self._table, self._templates).run()

        def gone(status: int | None, number: int | None) -> None:
            self._gone(server, status, number)

        try:
            server.process = self._parenthood.fork("fork server", sorted(theirs), live, gone)
        except OSError:
            close_all(ours)
            raise
        finally:
            close_all(theirs)
        server.link.hear(lambda _: self._readable(server))
        self._servers.append(server)
        return server

    def _readable(self, server: _Server) -> None:
        self._read(server)
        self._tell()

    def _gone(self, server: _Server, status: int | None, number: int | None) -> None:
        """A fork server has ended, and with it what it had forked."""
        self._read(server)
        server.link.close_reader()
        server.link.close_writer()
        self._servers.remove(server)
        if server is self._forking:
            self._forking = None
        if server.places:
            how = {"status": status, "signal": number, "children": len(server.places)}
            self._log("error", "the process that forks children died", how)
        for life, place in server.places.items():
            self._over(life, place, self._lost(place))
        self._tell()

    def _lost(self, place: int) -> ChildEnd:
        """How a child ended whose server died: it was killed with it, or has not begun."""
        pid, began = self._table[2 * place], self._table[2 * place + 1]
        if not began:
            return not_started("the process that forks children died")
        if pid and not CAN_DIE_WITH_PARENT:
            # Whoever reaps it now, its number is not given to another process so soon.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        return end_of_process(None, signal.SIGKILL, self._seconds(place))
