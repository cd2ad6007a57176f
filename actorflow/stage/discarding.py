"""Events that were dropped, or may wait for ever: the behaviour is told, and the log."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from actorflow.stage.callbacks import Callbacks

__all__ = ["Discarding"]

Log = Callable[[str, str, dict[str, Any]], None]


class Discarding:
    """Tells of dropped events; who counts them is who drops them.

    Args:
        callbacks: the behaviour's callbacks.
        log: writes a line at a level.
        buffer_size: for the warning.
    """

    def __init__(self, callbacks: Callbacks, log: Log, buffer_size: int | None) -> None:
        self._callbacks = callbacks
        self._log = log
        self._buffer_size = buffer_size
        self._said: set[str] = set()

    def full(self, events: list[Any]) -> None:
        """The buffer had no room for them: a warning, unless the behaviour says no."""
        detail = {"discarded": len(events), "buffer_size": self._buffer_size}
        text = "the buffer is full, events were discarded"
        self._callbacks.discarded(events, lambda: self._log("warning", text, detail))

    def unheard(self, events: list[Any]) -> None:
        """Nobody was there, and the stage wants it so: one quiet line until somebody comes."""
        text = "there is no consumer, events are discarded"
        self._callbacks.discarded(events, lambda: self._say_once("info", text))

    def unassigned(self, events: list[Any]) -> None:
        """Their partition is nobody's: one line until somebody comes."""
        text = "nobody has their partition, events are discarded"
        self._callbacks.discarded(events, lambda: self._say_once("warning", text))

    def stranded(self) -> None:
        """They wait for a partition's next consumer, and there may be none: one line as well."""
        self._say_once("warning", "nobody has the partition of events that wait")

    def too_late(self, count: int) -> None:
        """They were emitted after every consumer was told the end; the behaviour is over."""
        self._log("warning", "events were emitted after the end", {"discarded": count})

    def somebody_came(self) -> None:
        """A consumer subscribes: what comes with each batch may be said again."""
        self._said.clear()

    def _say_once(self, level: str, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            self._log(level, text, {})
