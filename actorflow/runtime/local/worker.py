"""A warm worker, from the inside: read a task, note it, live it, say how it ended."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from struct import Struct
from typing import Any

from actorflow.protocol.codec import decode_value, dump
from actorflow.protocol.framing import LENGTH, FrameDecoder
from actorflow.runtime.local.offspring import CANNOT_REPORT
from actorflow.runtime.local.words import NAMES, Words, end_as_bytes
from actorflow.stage.children import ChildTemplate, end_by, outcome_of

__all__ = ["HEAD", "Worker", "define"]

HEAD = Struct("<IQIc")
"""A task: the frame's length, the child, its template, the codec; its arguments follow."""

_BODY = Struct("<QIc")
_LIFE = Struct("<Q")
_DEFINITION = b"d"
_CHUNK = 1 << 16


def define(number: int, template: ChildTemplate) -> bytes:
    """A frame that tells a worker of a template it does not know."""
    body = dump(template)
    return HEAD.pack(_BODY.size + len(body), 0, number, _DEFINITION) + body


class Worker:
    """Runs one task after the other until its pipe ends; nothing that a task does ends it.

    Args:
        index: its place.
        tasks: where tasks come from.
        results: where ends go.
        in_hand: shared with the stage: which child is in hand, and since when, in nanoseconds.
        templates: those that there were when it was forked.
    """

    def __init__(
        self,
        index: int,
        tasks: int,
        results: int,
        in_hand: memoryview,
        templates: list[ChildTemplate],
    ) -> None:
        self._index = index
        self._tasks = tasks
        self._results = Words(results)
        self._in_hand = in_hand
        self._templates = templates
        self._decoder = FrameDecoder()
        self._known: tuple[int, Callable[..., Any], tuple[Any, ...]] | None = None

    def run(self) -> int:
        """Work; returns the exit status."""
        pid = os.getpid()
        while True:
            try:
                data = os.read(self._tasks, _CHUNK)
            except OSError:
                return CANNOT_REPORT  # a task has closed the descriptor
            if not data:
                return 0
            for frame in self._decoder.feed(data):
                said = self._do(frame)
                if os.getpid() != pid:
                    return 0  # forked by the task's own code, which fell through to here
                try:
                    if said:
                        self._results.write(said)
                except OSError:
                    return CANNOT_REPORT

    def _do(self, frame: bytes) -> bytes:
        life, number, codec = _BODY.unpack_from(frame)
        body = frame[_BODY.size :]
        if codec == _DEFINITION:
            self._templates.append(decode_value("pickle", body))
            return b""
        place = 2 * self._index
        # In this order: whoever looks in between takes the child for younger than it is.
        self._in_hand[place + 1] = time.monotonic_ns()
        self._in_hand[place] = life
        try:
            # Reading an event may run its class's own code, so it happens with the child in hand.
            run, first = self._template(number)
            arguments = (*first, *decode_value(NAMES[codec], body))
        except BaseException as error:  # noqa: BLE001  (whatever that code raises ends the child)
            end = end_by(error, 0.0)
        else:
            end = outcome_of(run, arguments)
        said = end_as_bytes(end)
        return LENGTH.pack(_LIFE.size + len(said)) + _LIFE.pack(life) + said

    def _template(self, number: int) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        known = self._known
        if known is None or known[0] != number:
            template = self._templates[number]
            known = self._known = (number, template.function, tuple(template.arguments))
        return known[1], known[2]
