"""Waiting on an event loop for what another thread does, without blocking the loop."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from contextlib import suppress
from typing import TypeVar

__all__ = ["is_done", "result_of"]

Result = TypeVar("Result")


async def is_done(future: Future[Result], timeout: float | None = None) -> bool:
    """Wait for a future of another thread; whether it was done in time.

    `asyncio.wrap_future` would cancel the future itself when who waits is cancelled, and others may
    wait for it too.

    Args:
        future: what to wait for.
        timeout: seconds to wait at most, or None for as long as it takes.
    """
    loop = asyncio.get_running_loop()
    news = asyncio.Event()

    def tell(_: Future[Result]) -> None:
        # Closed: then nobody waits any more.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(news.set)

    if not future.done():
        future.add_done_callback(tell)
        with suppress(TimeoutError):
            await asyncio.wait_for(news.wait(), timeout)
    return future.done()


async def result_of(future: Future[Result], timeout: float | None = None) -> Result:
    """The same, and its result.

    Raises:
        TimeoutError: it is not done in time.
        BaseException: what the future got.
    """
    if not await is_done(future, timeout):
        raise TimeoutError(f"not done within {timeout} s")
    return future.result()
