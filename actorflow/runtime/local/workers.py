"""Children as tasks in warm worker processes: forked once, fed by pipe, replaced when they die.

A worker says how each child ended before it begins the next, and notes in shared memory which one
it has in hand. So when it dies, exactly one child has ended badly; what waited in its pipe has not
begun, and is given to another worker.
"""

from __future__ import annotations

import mmap
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import field
from struct import Struct
from typing import Any, Literal

from actorflow.errors import ProtocolError
from actorflow.protocol.codec import encode_value
from actorflow.records import dataclass
from actorflow.runtime.local.descriptors import close_all
from actorflow.runtime.local.offspring import Loop, Offspring, Parenthood
from actorflow.runtime.local.pipes import CHUNK, WatchedLink
from actorflow.runtime.local.words import CODECS, end_of_process, read_end
from actorflow.runtime.local.worker import HEAD, Worker, define
from actorflow.stage.children import (
    ChildEnd,
    ChildEnded,
    ChildKind,
    ChildRuntime,
    ChildTemplate,
    Observer,
    end_by,
)

__all__ = ["WarmWorkers"]

AHEAD = 0.002
"""Seconds of work that may wait in a worker's pipe: enough to keep it busy, little to be stuck
behind a child that turns out slow."""

MOST_AHEAD = 64
"""How many children may, at most, be with one worker."""

AGAIN_AFTER = 0.1
"""Seconds until a worker is replaced that died without work, or that could not be forked."""

_RESULT = Struct("<Q")


@dataclass(slots=True)
class _Task:
    life: int
    template: int
    head: bytes
    body: bytes


@dataclass(slots=True)
class _Place:
    """One worker's place: its process, which may be replaced, and what it has to do."""

    index: int
    process: Offspring | None = None
    link: WatchedLink | None = None
    tasks: dict[int, _Task] = field(default_factory=dict)
    """What it has been given and not answered, in order."""
    victim: int | None = None
    """The child for whose sake it has been signalled."""
    killed: bool = False
    """And that was SIGKILL, which it cannot survive."""
    templates: int = 0
    """How many templates it knows."""
    done: int = 0


class WarmWorkers(ChildRuntime):
    """A fixed number of workers and a queue.

    Args:
        name: the stage's.
        kind: how many workers, and whether children may wait in their pipes.
        loop: the stage's loop.
        observe: is told of ends.
        log: writes a log line: level, event, values.
    """

    def __init__(
        self,
        name: str,
        kind: ChildKind,
        loop: Loop,
        observe: Observer,
        log: Callable[[str, str, dict[str, Any]], None],
    ) -> None:
        self._loop = loop
        self._observe = observe
        self._log = log
        self._parenthood = Parenthood(name, loop)
        self._memory = mmap.mmap(-1, kind.workers * 2 * 8)
        self._in_hand = memoryview(self._memory).cast("q")
        self._queue: deque[_Task] = deque()
        self._where: dict[int, _Place] = {}
        self._doomed: dict[int, str] = {}
        self._templates: list[ChildTemplate] = []
        self._given = 0
        self._fewest = self._ahead = 1 + kind.waiting
        self._most_ahead = MOST_AHEAD if kind.ahead else 1
        self._per_child = 0.0
        self._closed = False
        self._ends: list[ChildEnded] = []
        self._places = [_Place(index) for index in range(kind.workers)]
        for place in self._places:
            self._fork(place)

    # --- the seam ---------------------------------------------------------------------------------

    def start(self, life: int, template: ChildTemplate, arguments: Sequence[Any]) -> None:
        """As `ChildRuntime.start`; a child waits here when every worker has enough to do."""
        if not self._templates or self._templates[-1] is not template:
            _ = template.function  # imported before a worker is forked, so that all share it
            self._templates.append(template)
        number = len(self._templates) - 1
        encoded = encode_value(list(arguments))
        body = encoded.body
        head = HEAD.pack(HEAD.size - 4 + len(body), life, number, CODECS[encoded.codec])
        self._queue.append(_Task(life, number, head, body))
        if self._given < self._ahead * len(self._places):
            self._give()

    def signal(self, life: int, signal: Literal["terminate", "kill"]) -> None:
        """As `ChildRuntime.signal`; one that has not begun yet does not begin."""
        place = self._where.get(life)
        if place is None:
            self._drop(life)
        elif self._in_hand[2 * place.index] == life:
            self._signal(place, life, signal)
        else:
            # It waits in the worker's pipe, from which nothing can be taken back. When its turn
            # comes its worker is killed; its own deadline is not to wait for the one before it.
            self._doomed[life] = signal
            if signal == "kill":
                self._end_soon(life)

    def running_since(self, life: int) -> float | None:
        """As `ChildRuntime.running_since`."""
        place = self._where.get(life)
        if place is None or self._in_hand[2 * place.index] != life:
            return None
        return self._in_hand[2 * place.index + 1] * 1e-9

    def pid(self, life: int) -> int:
        """As `ChildRuntime.pid`."""
        place = self._where.get(life)
        return 0 if place is None or place.process is None else place.process.pid

    def close(self) -> None:
        """As `ChildRuntime.close`."""
        self._closed = True
        for place in self._places:
            if place.process is not None:
                place.process.signal(signal.SIGKILL)

    # --- giving work ------------------------------------------------------------------------------

    def _give(self) -> None:
        """Let waiting children have a place, each at the worker that has the least to do."""
        queue = self._queue
        while queue:
            place = min(self._places, key=_load)
            link = place.link
            if link is None or len(place.tasks) >= self._ahead:
                break
            task = queue.popleft()
            if place.templates <= task.template:
                self._teach(place, link, task.template)
            link.queue(task.head, task.body)
            place.tasks[task.life] = task
            self._where[task.life] = place
            self._given += 1
        for place in self._places:
            if place.link is not None and place.link.outbox:
                place.link.send()

    def _teach(self, place: _Place, link: WatchedLink, upto: int) -> None:
        """A worker knows the templates that there were when it was forked; here are the others."""
        for number in range(place.templates, upto + 1):
            link.queue(define(number, self._templates[number]))
        place.templates = upto + 1

    # --- what workers say -------------------------------------------------------------------------

    def _readable(self, place: _Place) -> None:
        self._read(place)
        self._tell()
        self._give()

    def _read(self, place: _Place) -> None:
        link = place.link
        while link is not None and link.reader >= 0:
            data = link.read()
            if data is None:
                return
            if not data:
                self._at_end(place, link)
                return
            try:
                frames = link.decoder.feed(data)
            except ProtocolError as error:
                self._log("error", "a worker wrote garbage", {"reason": str(error)})
                self._at_end(place, link)
                return
            for frame in frames:
                if len(frame) > _RESULT.size:
                    self._answered(place, frame)
                else:
                    self._log("error", "a worker wrote garbage", {"bytes": len(frame)})
            if len(data) < CHUNK:
                return

    def _answered(self, place: _Place, frame: bytes) -> None:
        (life,) = _RESULT.unpack_from(frame)
        if place.tasks.pop(life, None) is None:
            return
        place.done += 1
        self._given -= 1
        if place.victim == life and not place.killed:
            place.victim = None  # its code took the signal, and the worker goes on
        del self._where[life]
        self._doomed.pop(life, None)
        try:
            end = read_end(frame[_RESULT.size :])
        except ProtocolError as error:
            end = end_by(error, 0.0)
        self._learn(end.seconds)
        self._ends.append(ChildEnded(life, end))
        if self._doomed and place.tasks:
            following = next(iter(place.tasks))
            if following in self._doomed:
                # Nothing else is in its hand: it is this one's turn.
                self._signal(place, following, "kill")

    def _learn(self, seconds: float) -> None:
        known = self._per_child
        self._per_child = seconds if seconds > known else known + (seconds - known) * 0.05
        most = self._most_ahead
        fits = self._per_child * most <= AHEAD
        self._ahead = most if fits else max(self._fewest, int(AHEAD / self._per_child))

    def _tell(self) -> None:
        ends, self._ends = self._ends, []
        if ends:
            self._observe(ends)

    # --- ends -------------------------------------------------------------------------------------

    def _signal(self, place: _Place, life: int, signal_: str) -> None:
        place.victim, place.killed = life, signal_ == "kill"
        if place.process is not None:
            place.process.signal(signal.SIGKILL if place.killed else signal.SIGTERM)

    def _drop(self, life: int) -> None:
        for task in self._queue:
            if task.life == life:
                self._queue.remove(task)
                self._end_soon(life)
                return

    def _end_soon(self, life: int) -> None:
        """A child that has not begun is over; it is told in a turn of its own."""
        self._ends.append(ChildEnded(life, ChildEnd("shutdown", False)))
        self._loop.after(0.0, self._tell)

    def _at_end(self, place: _Place, link: WatchedLink) -> None:
        """A worker without a pipe can tell nothing any more: if it lives, it is ended."""
        link.close_reader()
        if place.process is not None:
            place.process.signal(signal.SIGKILL)

    def _gone(self, place: _Place, status: int | None, number: int | None) -> None:
        """A worker has ended: whose fault it was, what is to be done by others, its successor."""
        self._read(place)
        link, place.link, place.process = place.link, None, None
        if link is not None:
            link.close_reader()
            link.close_writer()
        in_hand = self._in_hand[2 * place.index]
        culprit = place.victim if place.victim in place.tasks else None
        if culprit is None and place.victim is None and in_hand in place.tasks:
            culprit = in_hand
        seconds = time.monotonic() - self._in_hand[2 * place.index + 1] * 1e-9
        left = list(place.tasks.values())
        # Neither a child's fault nor after any work: it dies of itself, and might do so again.
        of_itself = culprit is None and place.victim is None and not place.done
        place.tasks, place.victim, place.killed, place.done = {}, None, False, 0
        for task in reversed(left):
            del self._where[task.life]
            self._given -= 1
            if task.life == culprit:
                end = end_of_process(status, number, seconds)
                self._ends.append(ChildEnded(task.life, end))
            elif self._doomed.pop(task.life, None):
                self._ends.append(ChildEnded(task.life, ChildEnd("shutdown", False)))
            else:
                self._queue.appendleft(task)
        if self._closed:
            return
        level = "info" if culprit is not None else "warning"
        how = {"status": status, "signal": number, "child": culprit}
        self._log(level, "a worker ended and is replaced", how)
        if of_itself:
            self._loop.after(AGAIN_AFTER, lambda: self._again(place))
        else:
            self._again(place)
        self._tell()

    # --- workers ----------------------------------------------------------------------------------

    def _again(self, place: _Place) -> None:
        if self._closed or place.process is not None:
            return
        try:
            self._fork(place)
        except OSError as error:
            self._log("error", "no worker could be forked", {"reason": str(error)})
            self._loop.after(AGAIN_AFTER, lambda: self._again(place))
            return
        self._give()

    def _fork(self, place: _Place) -> None:
        tasks_read, tasks_write = os.pipe()
        try:
            results_read, results_write = os.pipe()
        except OSError:
            close_all((tasks_read, tasks_write))
            raise
        theirs, ours = (tasks_read, results_write), (tasks_write, results_read)
        self._in_hand[2 * place.index] = 0
        known = list(self._templates)

        def live() -> int:
            return Worker(place.index, tasks_read, results_write, self._in_hand, known).run()

        try:
            process = self._parenthood.fork(
                f"worker {place.index}",
                sorted(theirs),
                live,
                lambda status, number: self._gone(place, status, number),
            )
        except OSError:
            close_all(ours)
            raise
        finally:
            close_all(theirs)
        place.process = process
        place.templates = len(known)
        place.link = WatchedLink(place.index, results_read, tasks_write, self._loop)
        place.link.hear(lambda _: self._readable(place))


def _load(place: _Place) -> int:
    return MOST_AHEAD + 1 if place.link is None else len(place.tasks)
