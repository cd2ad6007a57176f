"""Children as asyncio tasks, in one event loop in a thread of its own."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Literal

from actorflow.stage.children import (
    ChildEnd,
    ChildEnded,
    ChildRuntime,
    ChildTemplate,
    Observer,
    outcome_of_coroutine,
)

__all__ = ["Tasks"]

Post = Callable[[Callable[[], None]], None]

CLOSE_WITHIN = 1.0
"""Seconds in which the event loop's thread should end; one that is stuck ends with the process."""


class Tasks(ChildRuntime):
    """A task for each child.

    A task is asked to end by cancelling it. One that goes on in spite of that, or that blocks the
    event loop, ends with the stage's process.

    Args:
        post: has a callback called on the stage's thread.
        observe: is told of ends.
    """

    def __init__(self, post: Post, observe: Observer) -> None:
        self._post = post
        self._observe = observe
        self._tasks: dict[int, asyncio.Task[ChildEnd]] = {}
        self._since: dict[int, float] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="actorflow-tasks", daemon=True
        )
        self._thread.start()

    def start(self, life: int, template: ChildTemplate, arguments: Sequence[Any]) -> None:
        """As `ChildRuntime.start`."""
        self._since[life] = time.monotonic()

        def begin() -> None:
            arguments_ = (*template.arguments, *arguments)
            task = self._loop.create_task(outcome_of_coroutine(template.function, arguments_))
            self._tasks[life] = task
            task.add_done_callback(lambda _: self._done(life, task))

        self._loop.call_soon_threadsafe(begin)

    def signal(self, life: int, signal: Literal["terminate", "kill"]) -> None:
        """As `ChildRuntime.signal`: both cancel the task."""
        self._loop.call_soon_threadsafe(self._cancel, life)

    def running_since(self, life: int) -> float | None:
        """As `ChildRuntime.running_since`."""
        return self._since.get(life)

    def pid(self, life: int) -> int:
        """The stage's own."""
        return os.getpid() if life in self._since else 0

    def close(self) -> None:
        """As `ChildRuntime.close`."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(CLOSE_WITHIN)
            if not self._thread.is_alive():
                self._loop.close()

    def _done(self, life: int, task: asyncio.Task[ChildEnd]) -> None:
        del self._tasks[life]
        # One that is cancelled before its first step never comes to its own code.
        end = ChildEnd("shutdown", False) if task.cancelled() else task.result()
        self._post(lambda: self._over(life, end))

    def _cancel(self, life: int) -> None:
        task = self._tasks.get(life)
        if task is not None:
            task.cancel()

    def _over(self, life: int, end: ChildEnd) -> None:
        if self._since.pop(life, None) is not None:
            self._observe((ChildEnded(life, end),))
