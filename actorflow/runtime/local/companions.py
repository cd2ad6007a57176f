"""Where companions of a stage live: processes that it forks, or threads of its process."""

from __future__ import annotations

import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from actorflow.errors import ProtocolError
from actorflow.records import dataclass
from actorflow.runtime.local.companion import (
    SLICE,
    CompanionProcess,
    encoded,
    read_message,
    sayable,
)
from actorflow.runtime.local.descriptors import close_all
from actorflow.runtime.local.offspring import Loop, Offspring, Parenthood
from actorflow.runtime.local.pipes import CHUNK, WatchedLink
from actorflow.runtime.local.words import end_of_process
from actorflow.stage.children import ChildEnd, end_by
from actorflow.stage.companions import Companion, CompanionObserver, CompanionRuntime

__all__ = ["CompanionProcesses", "CompanionThreads"]


@dataclass(slots=True)
class _Beside:
    life: int
    link: WatchedLink
    since: float
    process: Offspring | None = None
    garbage: ProtocolError | None = None


class CompanionProcesses(CompanionRuntime):
    """A process for each companion, with a pipe to it and one from it.

    Args:
        stage: the stage's name, for the processes' titles.
        loop: its loop.
        observer: is told of what they say, and of their ends.
    """

    def __init__(self, stage: str, loop: Loop, observer: CompanionObserver) -> None:
        self._loop = loop
        self._observer = observer
        self._parenthood = Parenthood(stage, loop)
        self._beside: dict[int, _Beside] = {}

    def start(self, life: int, companion: Companion) -> None:
        """As `CompanionRuntime.start`. The companion need not be encoded: a fork has it."""
        told_read, told_write = os.pipe()
        try:
            said_read, said_write = os.pipe()
        except OSError:
            close_all((told_read, told_write))
            raise
        theirs, ours = (told_read, said_write), (told_write, said_read)
        link = WatchedLink(life, said_read, told_write, self._loop)
        beside = _Beside(life, link, time.monotonic())

        def live() -> int:
            return CompanionProcess(companion, told_read, said_write).run()

        def gone(status: int | None, number: int | None) -> None:
            self._gone(beside, status, number)

        try:
            beside.process = self._parenthood.fork(f"companion {life}", sorted(theirs), live, gone)
        except OSError:
            close_all(ours)
            raise
        finally:
            close_all(theirs)
        self._beside[life] = beside
        link.hear(lambda _: self._read(beside))

    def tell(self, lives: Sequence[int], message: Any) -> None:
        """As `CompanionRuntime.tell`."""
        data = encoded(message)
        for life in lives:
            beside = self._beside.get(life)
            if beside is not None and beside.link.writer >= 0:
                beside.link.queue(data)
                beside.link.send()

    def let_go(self, life: int) -> None:
        """As `CompanionRuntime.let_go`: its pipe ends behind what is on its way."""
        beside = self._beside.get(life)
        if beside is not None:
            beside.link.closing = True
            beside.link.send()

    def kill(self, life: int) -> None:
        """As `CompanionRuntime.kill`, with all that it has forked."""
        beside = self._beside.get(life)
        if beside is not None and beside.process is not None:
            beside.process.signal(signal.SIGKILL)

    def pid(self, life: int) -> int:
        """As `CompanionRuntime.pid`."""
        beside = self._beside.get(life)
        return 0 if beside is None or beside.process is None else beside.process.pid

    def close(self) -> None:
        """As `CompanionRuntime.close`."""
        for life in list(self._beside):
            self.kill(life)

    def _read(self, beside: _Beside) -> None:
        """Take what it has said. Its end of file is no end yet: the kernel tells how it ended."""
        link = beside.link
        while link.reader >= 0:
            data = link.read()
            if data is None:
                return
            if not data:
                self._hang_up(beside)
                return
            try:
                for message in link.decoder.feed(data):
                    self._observer.said(beside.life, read_message(message))
            except ProtocolError as error:
                beside.garbage = error
                self._hang_up(beside)
                return
            if len(data) < CHUNK:
                return

    def _hang_up(self, beside: _Beside) -> None:
        """Nothing more can be heard of it: whatever it does now, it is ended."""
        beside.link.close_reader()
        if not beside.link.closing or beside.garbage is not None:
            self.kill(beside.life)

    def _gone(self, beside: _Beside, status: int | None, number: int | None) -> None:
        self._read(beside)
        beside.link.close_reader()
        beside.link.close_writer()
        del self._beside[beside.life]
        seconds = time.monotonic() - beside.since
        end = end_of_process(status, number, seconds)
        if beside.garbage is not None:
            end = end_by(beside.garbage, seconds)
        self._observer.ended(beside.life, end)


@dataclass(slots=True)
class _Thread:
    inbox: queue.SimpleQueue[tuple[Any] | None]
    """What it is told, each in a tuple of one; None to let go."""
    heard: bool = True


class CompanionThreads(CompanionRuntime):
    """A thread for each companion. It shares the interpreter's lock with its stage.

    Args:
        post: has a callback called on the stage's thread.
        observer: is told of what they say, and of their ends.
    """

    def __init__(
        self, post: Callable[[Callable[[], None]], None], observer: CompanionObserver
    ) -> None:
        self._post = post
        self._observer = observer
        self._threads: dict[int, _Thread] = {}

    def start(self, life: int, companion: Companion) -> None:
        """As `CompanionRuntime.start`."""
        thread = _Thread(queue.SimpleQueue())

        def live() -> None:
            began = time.monotonic()
            try:
                self._drive(life, companion, thread.inbox)
                end = ChildEnd("normal", True, seconds=time.monotonic() - began)
            except BaseException as error:  # noqa: BLE001  (whatever it raises is how it ended)
                end = end_by(error, time.monotonic() - began)
            self._post(lambda: self._over(life, end))

        try:
            threading.Thread(target=live, name=f"companion {life}", daemon=True).start()
        except RuntimeError as error:
            raise OSError(str(error)) from error
        self._threads[life] = thread

    def tell(self, lives: Sequence[int], message: Any) -> None:
        """As `CompanionRuntime.tell`. Each gets a copy, as in another process."""
        data = encoded(message)
        for life in lives:
            thread = self._threads.get(life)
            if thread is not None:
                thread.inbox.put((read_message(data[4:]),))

    def let_go(self, life: int) -> None:
        """As `CompanionRuntime.let_go`."""
        thread = self._threads.get(life)
        if thread is not None:
            thread.inbox.put(None)

    def kill(self, life: int) -> None:
        """As `CompanionRuntime.kill`."""
        thread = self._threads.get(life)
        if thread is not None and thread.heard:
            thread.heard = False
            thread.inbox.put(None)
            self._post(lambda: self._over(life, ChildEnd("killed", False)))

    def pid(self, life: int) -> int:
        """The stage's own."""
        return os.getpid() if life in self._threads else 0

    def close(self) -> None:
        """As `CompanionRuntime.close`; a thread that is in its own code ends with the process."""
        for life in list(self._threads):
            self.let_go(life)

    def _drive(
        self, life: int, companion: Companion, inbox: queue.SimpleQueue[tuple[Any] | None]
    ) -> None:
        while True:
            try:
                told = inbox.get(block=not companion.busy)
            except queue.Empty:
                said = companion.work(time.monotonic() + SLICE)
                if said:
                    self._say(life, read_message(sayable(companion, said)[4:]))
                continue
            if told is None:
                companion.let_go()
                return
            companion.told(told[0])

    def _say(self, life: int, messages: list[Any]) -> None:
        def said() -> None:
            thread = self._threads.get(life)
            if thread is not None and thread.heard:
                self._observer.said(life, messages)

        self._post(said)

    def _over(self, life: int, end: ChildEnd) -> None:
        if self._threads.pop(life, None) is not None:
            self._observer.ended(life, end)
