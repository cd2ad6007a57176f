"""Children as asyncio tasks, in one event loop in a thread of its own."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Literal
from weakref import WeakKeyDictionary

from actorflow.stage.children import (
    ChildEnd,
    ChildEnded,
    ChildRuntime,
    ChildTemplate,
    Observer,
    outcome_of_coroutine,
)

__all__ = ["Tasks", "shielded"]

Post = Callable[[Callable[[], None]], None]

CLOSE_WITHIN = 1.0
"""Seconds in which the event loop's thread should end; one that is stuck ends with the process."""


class shielded:  # noqa: N801  (used like a function: ``async with shielded():``)
    """A part of a child's or a call's coroutine that is not torn: it is cancelled only after it.

    A timeout, a stop and `terminate_child` cancel a task wherever it waits. Inside this block they
    wait until it is left; then the task is cancelled. It may be nested, and costs nothing to those
    who do not use it. A process that is killed is gone all the same.

    Example:
        >>> async def move(account: list[int]) -> None:
        ...     async with shielded():
        ...         account[0] -= 5
        ...         await asyncio.sleep(0)
        ...         account[1] += 5
        >>> account = [5, 0]
        >>> asyncio.run(move(account)), account
        (None, [0, 5])
    """

    async def __aenter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        _shields.setdefault(task, _Shield()).depth += 1

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        task = asyncio.current_task()
        assert task is not None
        shield = _shields[task]
        shield.depth -= 1
        if shield.depth:
            return
        del _shields[task]
        if shield.cancelled:
            task.cancel()
            if error is None:
                await asyncio.sleep(0)  # where the cancellation arrives


class _Shield:
    """How deep in shielded blocks a task is, and whether it is to be cancelled after them."""

    __slots__ = ("cancelled", "depth")

    def __init__(self) -> None:
        self.depth = 0
        self.cancelled = False


_shields: WeakKeyDictionary[asyncio.Task[Any], _Shield] = WeakKeyDictionary()


class Tasks(ChildRuntime):
    """A task for each child.

    A task is asked to end by cancelling it, once it is not `shielded`. One that goes on in spite of
    that, or that blocks the event loop, ends with the stage's process.

    Children to start, and ends to tell of, cross between the two threads in heaps: whoever finds
    that the other has been woken and has not looked yet does not wake it again.

    Args:
        post: has a callback called on the stage's thread.
        observe: is told of ends.
    """

    def __init__(self, post: Post, observe: Observer) -> None:
        self._post = post
        self._observe = observe
        self._tasks: dict[int, asyncio.Task[ChildEnd]] = {}
        self._to_begin: deque[tuple[int, ChildTemplate, Sequence[Any]]] = deque()
        self._loop_woken = False
        self._ended: deque[ChildEnded] = deque()
        self._stage_woken = False
        self._since: dict[int, float] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="actorflow-tasks", daemon=True
        )
        self._thread.start()

    def start(self, life: int, template: ChildTemplate, arguments: Sequence[Any]) -> None:
        """As `ChildRuntime.start`."""
        self._since[life] = time.monotonic()
        self._to_begin.append((life, template, arguments))
        # Appended before looking; the loop's thread lowers the flag before it looks.
        if not self._loop_woken:
            self._loop_woken = True
            self._loop.call_soon_threadsafe(self._begin)

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

    # --- on the event loop's thread ---------------------------------------------------------------

    def _begin(self) -> None:
        self._loop_woken = False
        for _ in range(len(self._to_begin)):
            life, template, arguments = self._to_begin.popleft()
            outcome = outcome_of_coroutine(template.function, (*template.arguments, *arguments))
            task = self._tasks[life] = self._loop.create_task(outcome)
            task.add_done_callback(partial(self._done, life))

    def _done(self, life: int, task: asyncio.Task[ChildEnd]) -> None:
        del self._tasks[life]
        # One that is cancelled before its first step never comes to its own code.
        end = ChildEnd("shutdown", False) if task.cancelled() else task.result()
        self._ended.append(ChildEnded(life, end))
        if not self._stage_woken:
            self._stage_woken = True
            self._post(self._over)

    def _cancel(self, life: int) -> None:
        task = self._tasks.get(life)
        if task is None:
            return
        shield = _shields.get(task)
        if shield is not None:
            shield.cancelled = True
        else:
            task.cancel()

    # --- on the stage's thread --------------------------------------------------------------------

    def _over(self) -> None:
        self._stage_woken = False
        ended = [self._ended.popleft() for _ in range(len(self._ended))]
        for each in ended:
            del self._since[each.life]
        self._observe(ended)
