"""A database on the loopback interface that drops clients that are idle for too long."""

from __future__ import annotations

import asyncio

from benchmarks._database import LoopbackServer


class Database(LoopbackServer):
    """Counts clients that it has dropped, and how many bodies run at a time.

    A client says ``connect``, gets a greeting, and has to say ``query`` soon after. A body says
    ``body``, and is let go when every other call of the window has got as far as its query while
    that body ran: so it takes as long as the others need, and for ever when they need its end.

    Args:
        beside: how many queries must come while the first body runs.
        idle: seconds between greeting and query after which a client is dropped.
    """

    def __init__(self, beside: int, *, idle: float = 5.0) -> None:
        self.dropped: list[str] = []
        self.queries = 0
        self.bodies = 0
        self.most_bodies = 0
        self._running = 0
        self._beside = beside
        self._idle = idle
        self._news = asyncio.Condition()

    async def client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a call, or a body."""
        word, _, item = (await reader.readline()).decode().strip().partition(" ")
        try:
            if word == "body":
                await self._body(writer)
            else:
                await self._select(item, reader, writer)
        except asyncio.CancelledError:
            """The test is over."""
        finally:
            writer.close()

    async def _select(
        self, item: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        writer.write(b"hello\n")
        try:
            asked = await asyncio.wait_for(reader.readline(), self._idle)
        except TimeoutError:
            asked = b""
        if not asked:
            self.dropped.append(item)
            return
        async with self._news:
            self.queries += 1
            self._news.notify_all()
        writer.write(b"row\n")
        await writer.drain()

    async def _body(self, writer: asyncio.StreamWriter) -> None:
        self.bodies += 1
        self._running += 1
        self.most_bodies = max(self.most_bodies, self._running)
        async with self._news:
            await self._news.wait_for(lambda: self.queries >= self._beside)
        self._running -= 1
        writer.write(b"!")
        await writer.drain()
