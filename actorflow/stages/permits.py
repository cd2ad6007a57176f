"""A permit of the run, to be held by a stage, a call or a body: the side of those who want one."""

from __future__ import annotations

import asyncio
import os
import socket
from types import TracebackType

from actorflow.errors import Broken, CallTimeout, NotInStage, OptionError
from actorflow.protocol.arguments import check_text, check_timeout

__all__ = ["PERMITS_ADDRESS", "permit"]

PERMITS_ADDRESS = "ACTORFLOW_PERMITS"
"""The environment variable that says where a run's processes get their permits."""

GRANTED = b"+"
LONGEST = 4096


class permit:  # noqa: N801  (used like a function: ``with permit("connections"):``)
    """One of the permits of a name, held for the time of a ``with`` or ``async with`` block.

    A topology says how many there are (``permits={"connections": 2}``), and the host owns them. All
    processes of the run share them: stages, their calls, threads and worker processes. Whoever
    waits is served in order. A permit whose process dies comes back at once, whatever the process
    died of.

    Whoever waits for a permit while holding another must do so in one order everywhere, as with
    any lock. In a coroutine use ``async with``: ``with`` would hold up the event loop.

    Args:
        name: which.
        timeout: seconds to wait at most, from 0; None for no limit.

    Raises:
        OptionError: an argument breaks its rule, or the run has no permits of that name.
        NotInStage: this process is none of a run's that has permits.
        CallTimeout: there was none in time.
        Broken: the run is gone.

    Example:
        >>> async def select(item):
        ...     async with permit("connections"):
        ...         return await database.fetch(item)
        >>> with permit("connections"):
        ...     print("outside of any run there are none")
        Traceback (most recent call last):
        ...
        actorflow.errors.NotInStage: ...
    """

    __slots__ = ("_connection", "_name", "_timeout")

    def __init__(self, name: str, *, timeout: float | None = None) -> None:
        self._name = check_text("name", name)
        self._timeout = check_timeout(timeout)
        self._connection: socket.socket | None = None

    def __enter__(self) -> None:
        connection = self._begin()
        try:
            connection.settimeout(self._timeout)
            connection.connect(_address())
            connection.sendall(self._request())
            self._take(connection, connection.recv(LONGEST))
        except TimeoutError as error:
            connection.close()
            raise self._too_late() from error
        except OSError as error:
            connection.close()
            raise _broken(error) from error
        except BaseException:
            connection.close()
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._release()

    async def __aenter__(self) -> None:
        connection = self._begin()
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._timeout):
                await _connect(loop, connection)
                await loop.sock_sendall(connection, self._request())
                self._take(connection, await loop.sock_recv(connection, LONGEST))
        except TimeoutError as error:
            connection.close()
            raise self._too_late() from error
        except OSError as error:
            connection.close()
            raise _broken(error) from error
        except BaseException:
            # Also when it is cancelled: the host sees the end, and the permit passes on.
            connection.close()
            raise

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._release()

    # --- within -----------------------------------------------------------------------------------

    def _begin(self) -> socket.socket:
        if self._connection is not None:
            rule = "held once: make another one for another permit"
            raise OptionError("permit", rule, self._name)
        _address()
        return socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)

    def _request(self) -> bytes:
        return self._name.encode() + b"\n"

    def _take(self, connection: socket.socket, answer: bytes) -> None:
        if answer == GRANTED:
            self._connection = connection
            return
        if not answer:
            raise Broken("the run that gives permits is gone")
        known = answer[1:].decode("utf-8", "replace")
        raise OptionError("name", f"one of the run's permits, {known}", self._name)

    def _release(self) -> None:
        """Closing is giving back: the host sees the end."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _too_late(self) -> CallTimeout:
        return CallTimeout(f"there was no permit {self._name!r} within {self._timeout:g} s")


def _address() -> str:
    address = os.environ.get(PERMITS_ADDRESS)
    if not address:
        raise NotInStage(
            "permits are for the processes of a run whose topology has some: permits={'name': 2}"
        )
    return address.replace("@", "\0", 1) if address.startswith("@") else address


def _broken(error: OSError) -> Broken:
    return Broken(f"the run that gives permits is gone: {error}")


async def _connect(loop: asyncio.AbstractEventLoop, connection: socket.socket) -> None:
    """Connect, which is done at once unless thousands connect at the same time."""
    connection.setblocking(False)
    try:
        connection.connect(_address())
    except BlockingIOError:
        # The host's queue is full. The system has no event for its having room; a thread can wait.
        connection.setblocking(True)
        await loop.run_in_executor(None, connection.connect, _address())
        connection.setblocking(False)
