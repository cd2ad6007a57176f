"""Starting a run from a coroutine."""

from __future__ import annotations

from asyncio import CancelledError, ensure_future, shield, to_thread
from collections.abc import Callable, Generator
from types import TracebackType
from typing import Any

from actorflow.topology.run import Run

__all__ = ["Starting"]


class Starting:
    """A run that is being started: ``await`` it, or use it with ``async with``.

    Args:
        start: starts it; called once, in a thread of its own.
    """

    def __init__(self, start: Callable[[], Run]) -> None:
        self._start = start
        self._run: Run | None = None

    def __await__(self) -> Generator[Any, None, Run]:
        return self._begin().__await__()

    async def _begin(self) -> Run:
        starting = ensure_future(to_thread(self._start))
        try:
            return await shield(starting)
        except CancelledError:
            # The thread goes on all the same, and what it starts would be nobody's.
            await (await starting).stop_async()
            raise

    async def __aenter__(self) -> Run:
        self._run = await self
        return self._run

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._run is not None:
            await self._run.stop_async()
