"""The host's side of permits: a socket that the run's processes connect to, one for each permit.

A permit is held as long as its connection is open. So it comes back when it is released, when the
one who waits for it gives up, and when its process dies, whatever it dies of: the system closes the
connection, and the host reads its end.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
import struct
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

from actorflow.runtime.local.reactor import Reactor
from actorflow.supervision.permits import PermitTable

__all__ = ["PermitOffice"]

_log = logging.getLogger(__name__)

BACKLOG = 4096
"""How many may connect before the host looks; beyond that their connecting waits."""

LONGEST = 1024
"""Bytes that a request may have."""

LOOK_AGAIN = 0.1
"""Seconds until connections are taken again after the host was out of descriptors."""

GRANTED = b"+"
REFUSED = b"-"


class PermitOffice:
    """Gives the permits of one run to whoever connects and says a name.

    Args:
        counts: how many permits there are of each name.
        reactor: calls back when something is to be read; everything happens on its thread.

    Raises:
        OSError: there is no socket to be had.
    """

    def __init__(self, counts: Mapping[str, int], reactor: Reactor) -> None:
        self._table: PermitTable[socket.socket] = PermitTable(counts)
        self._reactor = reactor
        self._connections: set[socket.socket] = set()
        self._folder: Path | None = None
        self.address = self._new_address()
        """Where to connect; a first ``@`` stands for a zero byte, as Linux's tools write it."""
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._listener.setblocking(False)
            self._listener.bind(self.address.replace("@", "\0", 1))
            self._listener.listen(BACKLOG)
        except OSError:
            self.close()
            raise
        reactor.watch(self._listener, self._accept)

    def close(self) -> None:
        """Give nothing more; those who wait see the end. May be repeated."""
        self._reactor.forget(self._listener)
        self._listener.close()
        for connection in list(self._connections):
            self._drop(connection)
        if self._folder is not None:
            with suppress(FileNotFoundError):
                (self._folder / "permits").unlink()
            self._folder.rmdir()
            self._folder = None

    # --- on the reactor's thread ------------------------------------------------------------------

    def _accept(self, events: int) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                # Out of descriptors: those who wait to be accepted stay where they are.
                _log.warning("no permit can be given: %s", error)
                self._reactor.forget(self._listener)
                self._reactor.call_at(time.monotonic() + LOOK_AGAIN, self._listen_again)
                return
            if not _is_ours(connection):
                connection.close()
                continue
            connection.setblocking(False)
            self._connections.add(connection)
            self._reactor.watch(connection, partial(self._ready, connection))

    def _listen_again(self) -> None:
        if self._listener.fileno() >= 0:
            self._reactor.watch(self._listener, self._accept)

    def _ready(self, connection: socket.socket, events: int) -> None:
        try:
            said = connection.recv(LONGEST)
        except BlockingIOError:
            return
        except OSError:
            said = b""
        name = said.removesuffix(b"\n").decode("utf-8", "replace")
        if said and name in self._table.names and connection not in self._table:
            if self._table.ask(connection, name):
                self._say(connection, GRANTED)
            return
        if said:
            self._say(connection, REFUSED + ", ".join(self._table.names).encode())
        self._drop(connection)
        successor = self._table.gone(connection)
        if successor is not None:
            self._say(successor, GRANTED)

    def _say(self, connection: socket.socket, what: bytes) -> None:
        """Say something short. Who is gone by now is read to its end shortly."""
        with suppress(OSError):
            connection.send(what)

    def _drop(self, connection: socket.socket) -> None:
        self._connections.discard(connection)
        self._reactor.forget(connection)
        connection.close()

    def _new_address(self) -> str:
        """A name in no file system where there are such names, so that no file can stay behind."""
        if sys.platform == "linux":
            return f"@actorflow-permits-{os.getpid()}-{secrets.token_hex(8)}"
        self._folder = Path(tempfile.mkdtemp(prefix="actorflow-"))
        return str(self._folder / "permits")


def _is_ours(connection: socket.socket) -> bool:
    """Whether it comes from this user: a name in no file system has no permissions."""
    if not hasattr(socket, "SO_PEERCRED"):
        return True
    form = "3i"
    size = struct.calcsize(form)
    said = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
    return bool(struct.unpack(form, said)[1] == os.getuid())
