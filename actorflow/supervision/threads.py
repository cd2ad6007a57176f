"""Children as threads: each a pykka actor that lives one child and stops."""

from __future__ import annotations

import ctypes
import os
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Literal

import pykka

from actorflow.stage.children import (
    ChildEnd,
    ChildEnded,
    ChildRuntime,
    ChildTemplate,
    Observer,
    outcome_of,
)

__all__ = ["Threads"]

Post = Callable[[Callable[[], None]], None]


class _Ended(BaseException):
    """Raised inside a child's thread that is to end."""


class _ChildActor(pykka.ThreadingActor):
    """Lives one child in its thread, reports, and stops itself."""

    use_daemon_thread = True

    def __init__(self, live: Callable[[], None]) -> None:
        super().__init__()
        self._live = live

    def on_start(self) -> None:
        self._live()
        self.stop()


class Threads(ChildRuntime):
    """A thread for each child.

    A thread cannot be ended from outside. One that is asked to has an exception raised in it, at
    its next step of Python code; one that sits in C code does not notice, and ends with the
    stage's process.

    Args:
        post: has a callback called on the stage's thread.
        observe: is told of ends.
    """

    def __init__(self, post: Post, observe: Observer) -> None:
        self._post = post
        self._observe = observe
        self._since: dict[int, float] = {}
        self._idents: dict[int, int] = {}
        """The threads of the children that are in their own code now."""

    def start(self, life: int, template: ChildTemplate, arguments: Sequence[Any]) -> None:
        """As `ChildRuntime.start`."""

        def live() -> None:
            self._idents[life] = threading.get_ident()
            try:
                end = outcome_of(template.function, (*template.arguments, *arguments))
            except _Ended:
                # The request came in the moment after the child's own end.
                end = ChildEnd("shutdown", False)
            finally:
                del self._idents[life]
            self._post(lambda: self._over(life, end))

        self._since[life] = time.monotonic()
        try:
            _ChildActor.start(live)
        except RuntimeError as error:
            del self._since[life]
            raise OSError(str(error)) from error

    def signal(self, life: int, signal: Literal["terminate", "kill"]) -> None:
        """As `ChildRuntime.signal`: both raise an exception in the thread."""
        ident = self._idents.get(life)
        if ident is not None:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(ident), ctypes.py_object(_Ended)
            )

    def running_since(self, life: int) -> float | None:
        """As `ChildRuntime.running_since`."""
        return self._since.get(life)

    def pid(self, life: int) -> int:
        """The stage's own."""
        return os.getpid() if life in self._since else 0

    def close(self) -> None:
        """Nothing to let go of: threads that still run end with the process."""

    def _over(self, life: int, end: ChildEnd) -> None:
        if self._since.pop(life, None) is not None:
            self._observe((ChildEnded(life, end),))
