"""A database on the loopback interface that drops clients that are idle before their query."""

from __future__ import annotations

import asyncio
import socket
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from queue import SimpleQueue

Address = tuple[str, int]

ROW = b"row\n"


class LoopbackServer(ABC):
    """Serves the clients that connect to a port of this machine."""

    async def serve(self, ready: Callable[[Address, Callable[[], None]], None]) -> None:
        """Serve until it is told to stop.

        Args:
            ready: is told where it is, and what to call, from any thread, to stop it.
        """
        loop, over = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self.client, "127.0.0.1", 0)
        async with server:
            host, port = server.sockets[0].getsockname()[:2]

            def stop() -> None:
                loop.call_soon_threadsafe(over.set)

            ready((host, port), stop)
            await over.wait()

    @abstractmethod
    async def client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one."""


class Database(LoopbackServer):
    """Counts the clients that it has dropped.

    Its greeting takes 10, 20 or 30 ms in turns, so clients do not move in step.

    Args:
        idle: seconds between its greeting and a query after which it drops a client.
    """

    def __init__(self, idle: float) -> None:
        self.dropped = 0
        self._clients = 0
        self._idle = idle

    async def client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one."""
        try:
            await reader.readline()
            self._clients += 1
            await asyncio.sleep(0.01 * (1 + self._clients % 3))
            writer.write(b"hello\n")
            try:
                await asyncio.wait_for(reader.readline(), self._idle)
                writer.write(ROW)
            except TimeoutError:
                self.dropped += 1
        except asyncio.CancelledError:
            """The measurement is over."""
        finally:
            writer.close()


@contextmanager
def served(server: LoopbackServer) -> Iterator[Address]:
    """Serve in a thread; gives the address."""
    known: SimpleQueue[tuple[Address, Callable[[], None]]] = SimpleQueue()
    thread = threading.Thread(
        target=lambda: asyncio.run(server.serve(lambda *found: known.put(found))), daemon=True
    )
    thread.start()
    address, stop = known.get(timeout=10)
    try:
        yield address
    finally:
        stop()
        thread.join(10)


async def select(address: Address, item: int) -> int:
    """Connect, hear the greeting, ask for the row; a client that is dropped tries no more."""
    reader, writer = await asyncio.open_connection(*address)
    # A client whose query crosses the database's good-bye is reset.
    with suppress(ConnectionError):
        for word in (b"connect\n", b"query\n"):
            writer.write(word)
            await reader.readline()
    writer.close()
    return item


def select_blocking(address: Address, item: int) -> int:
    """The same in a thread."""
    with socket.create_connection(address) as connection, suppress(ConnectionError):
        for word in (b"connect\n", b"query\n"):
            connection.sendall(word)
            connection.recv(64)
    return item
