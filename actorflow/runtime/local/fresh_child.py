"""The inside of a fresh child: leave the family, run once, leave its last words, end.

Every object that is used here is written to, as it is counted, and its page is copied for this
child. So all is looked up before the fork, and what happens is written in one place.
"""

from __future__ import annotations

import os
import pickle
import sys
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from actorflow.records import dataclass
from actorflow.runtime.local import kernel
from actorflow.runtime.local.descriptors import FIRST_FREE
from actorflow.runtime.local.kernel import DIE_WITH_PARENT, KILL, exit_at_once
from actorflow.runtime.local.offspring import (
    CANNOT_REPORT,
    DESCRIPTORS,
    REHEARSALS,
    flush_stdio,
    seed_anew,
)
from actorflow.runtime.local.words import RESULT, LastWords, end_as_bytes, result_by_value
from actorflow.stage.children import ChildTemplate, end_by

__all__ = ["FreshChild"]


class FreshChild:
    """What each child of a fork server is and does.

    Args:
        words: where it leaves its end.
        templates: what children run, by number.
    """

    __slots__ = ("_exit", "_fork", "_parent", "_reseeds", "_runs", "_steps", "_streams", "_words")

    def __init__(self, words: LastWords, templates: Sequence[ChildTemplate]) -> None:
        self._words = words
        self._runs = [(_callable(each.function), tuple(each.arguments)) for each in templates]
        self._reseeds = "numpy.random" in sys.modules
        self._fork: Callable[[], int] = os.fork
        self._exit: Callable[[int], object] = exit_at_once
        self._parent = os.getpid()
        self._steps = _steps(words.file, DESCRIPTORS)
        self._streams = _streams()

    def fork(self, place: int, template: int, arguments: bytes) -> int:
        """Fork a child that lives its life; returns its process id.

        Args:
            place: where its last words go.
            template: what it runs, by number.
            arguments: a list of those that follow the template's own, pickled.

        Raises:
            OSError: there is no process to be had.
        """
        pid = self._fork()
        if pid:
            return pid
        status = 1
        try:
            status = self._live(place, template, arguments)
        except BaseException:  # noqa: BLE001  (a child must not return into its parent's loop)
            traceback.print_exc()
        try:
            self._flush()
        finally:
            try:
                self._exit(status)
            except BaseException:  # noqa: BLE001  (there was no memory for this way)
                os._exit(1)
        return 0

    def rehearse(self) -> None:
        """Do what every child will do, so that its first time writes to fewer pages.

        Nothing is forked, closed or ended; the rest is as real as in a child.
        """
        real = self._fork, self._exit, self._parent, self._steps
        self._fork, self._exit, self._parent = int, abs, os.getppid()
        self._steps = _steps(FIRST_FREE, FIRST_FREE)
        self._runs.append((abs, ()))
        arguments = pickle.dumps([1])
        for _ in range(REHEARSALS):
            self.fork(0, -1, arguments)
            self._words.take(0)
        self._runs.pop()
        self._fork, self._exit, self._parent, self._steps = real

    def _live(self, place: int, template: int, arguments: bytes) -> int:
        """Returns the exit status."""
        steps = self._steps
        if not steps.die_with_parent(DIE_WITH_PARENT, KILL):
            # A group of its own, so that what it forks can be killed with it.
            steps.lead_group()
        if steps.parent() != self._parent:
            return 1  # it died before its death could be signalled
        steps.close_below()
        steps.close_above()
        if self._reseeds:
            seed_anew()
        run, first = self._runs[template]
        try:
            # Reading an event may run its class's own code, so it is not done before the fork.
            result = run(*first, *steps.loads(arguments))
        except BaseException as error:  # noqa: BLE001  (whatever a child raises is how it ended)
            end = end_by(error, 0.0)
            status, words = 0 if end.normal else 1, end_as_bytes(end)
        else:
            if result is None:
                return 0
            status = 0
            try:
                words = RESULT + steps.dumps(result, 5)
            except Exception:  # noqa: BLE001  (pickling runs the result's own code)
                words = result_by_value(result)
        if steps.parent() != self._parent:
            return 0  # forked by the child's own code, which fell through to here
        try:
            self._words.leave(place, words)
        except OSError:
            return CANNOT_REPORT
        return status

    def _flush(self) -> None:
        streams = self._streams
        if sys.stdout is not streams.out or sys.stderr is not streams.error:
            flush_stdio()  # others have been put in their place
            return
        try:
            streams.flush_out()
            streams.flush_error()
        except (OSError, ValueError):
            flush_stdio()  # the one that is left


@dataclass(frozen=True, slots=True)
class _Steps:
    """What children call, each made ready.

    To call a partial counts no reference to the function in it, and all of them, made in a row,
    are on one page or two.
    """

    die_with_parent: Callable[..., int]
    lead_group: Callable[[], object]
    parent: Callable[[], int]
    close_below: Callable[[], object]
    close_above: Callable[[], object]
    loads: Callable[[bytes], Any]
    dumps: Callable[[Any, int], bytes]


def _steps(file: int, end: int) -> _Steps:
    """The steps of a child.

    Args:
        file: the descriptor that is kept; what is closed is below it, and from the next on.
        end: the first that is not closed.
    """
    return _Steps(
        die_with_parent=kernel.control_process,
        lead_group=partial(os.setpgid, 0, 0),
        parent=partial(os.getppid),
        close_below=partial(os.closerange, FIRST_FREE, file),
        close_above=partial(os.closerange, file + 1, end),
        loads=partial(pickle.loads),
        dumps=partial(pickle.dumps),
    )


@dataclass(frozen=True, slots=True)
class _Streams:
    """Standard output and error, and what flushes each."""

    out: Any
    error: Any
    flush_out: Callable[[], object]
    flush_error: Callable[[], object]


def _streams() -> _Streams:
    """Those that the server has; it may have none."""
    out, error = sys.stdout, sys.stderr
    return _Streams(out, error, flush_out=_flush_of(out), flush_error=_flush_of(error))


def _flush_of(stream: Any) -> Callable[[], object]:
    return partial(int if stream is None else stream.flush)


def _callable(run: Callable[..., Any]) -> Callable[..., Any]:
    """What lives the life of a child, for a function or a class with a method `run`."""
    return (lambda *arguments: run(*arguments).run()) if isinstance(run, type) else run
