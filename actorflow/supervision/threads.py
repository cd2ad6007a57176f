"""Children as threads: pykka actors, each of which lives one child after another."""

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
    """Lives children in its thread, each from a message."""

    use_daemon_thread = True

    def on_receive(self, live: Callable[[], None]) -> None:
        live()


ChildThread = pykka.ActorRef[_ChildActor]


class Threads(ChildRuntime):
    """A thread for each child that runs; the next child gets one that is free.

    So there are as many threads as there were children at the same time, and a child that is short
    does not pay for the start of one. They end when this is closed.

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
        self._free: list[ChildThread] = []
        """The threads without a child; who was the last to get one is the first to have another."""
        self._closed = False
        self._asking = threading.Lock()
        """Held by who asks a child to end, and by the child that leaves its own code: what is
        raised in a thread must not meet the child after."""
        self._idents: dict[int, int] = {}
        """The threads of the children that are in their own code now."""

    def start(self, life: int, template: ChildTemplate, arguments: Sequence[Any]) -> None:
        """As `ChildRuntime.start`."""
        thread = self._thread()

        def live() -> None:
            end = self._live(life, template, arguments)
            self._post(lambda: self._over(life, thread, end))

        self._since[life] = time.monotonic()
        thread.tell(live)

    def signal(self, life: int, signal: Literal["terminate", "kill"]) -> None:
        """As `ChildRuntime.signal`: both raise an exception in the thread."""
        with self._asking:
            ident = self._idents.get(life)
            if ident is not None:
                _raise_in(ident, ctypes.py_object(_Ended))

    def running_since(self, life: int) -> float | None:
        """As `ChildRuntime.running_since`."""
        return self._since.get(life)

    def pid(self, life: int) -> int:
        """The stage's own."""
        return os.getpid() if life in self._since else 0

    def close(self) -> None:
        """Let the threads end: the free ones now, the others after their child.

        One whose child does not end is ended with the process.
        """
        self._closed = True
        for thread in self._free:
            thread.stop(block=False)
        self._free.clear()

    # --- on the stage's thread --------------------------------------------------------------------

    def _thread(self) -> ChildThread:
        while self._free:
            thread = self._free.pop()
            if thread.is_alive():  # a child may have stopped every actor of the process
                return thread
        try:
            return _ChildActor.start()
        except RuntimeError as error:
            raise OSError(str(error)) from error

    def _over(self, life: int, thread: ChildThread, end: ChildEnd) -> None:
        if self._closed:
            thread.stop(block=False)
        else:
            self._free.append(thread)
        if self._since.pop(life, None) is not None:
            self._observe((ChildEnded(life, end),))

    # --- on the child's thread --------------------------------------------------------------------

    def _live(self, life: int, template: ChildTemplate, arguments: Sequence[Any]) -> ChildEnd:
        try:
            try:
                self._idents[life] = threading.get_ident()
                return outcome_of(template.function, (*template.arguments, *arguments))
            finally:
                self._leave(life)
        except _Ended:
            # The request came in the moment after the child's own end.
            self._leave(life)
            return ChildEnd("shutdown", False)

    def _leave(self, life: int) -> None:
        """Nothing is raised in this thread any more when this has returned.

        What was raised before the lock was free arrives at the call inside, at the latest. It is
        not taken back: CPython 3.11 would look for it for ever, and stand still when it is traced.
        """
        with self._asking:
            self._idents.pop(life, None)


def _raise_in(ident: int, error: ctypes.py_object[Any]) -> None:
    """Have an exception raised in a thread."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(ident), error)
