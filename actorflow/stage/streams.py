"""When a stage's input is at its end: pure bookkeeping over the streams of its producers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from actorflow.protocol.reasons import DONE, ends_consumer, is_normal
from actorflow.stage.incoming import Incoming

__all__ = ["Streams"]


class Streams:
    """Which producers' streams are still to end, by stage, and what an end means.

    Args:
        exhausted: every stream has come to its end, with this reason.
        stop: a cancel mode ends the stage, with this reason.
    """

    def __init__(self, exhausted: Callable[[Any], None], stop: Callable[[Any], None]) -> None:
        self.expected: set[str] = set()
        self._ended = False
        self._exhausted = exhausted
        self._stop = stop

    def over(self, ended: Incoming, reason: Any, others: Iterable[Incoming]) -> None:
        """One stream less: its cancel mode decides (GenStage 1.4).

        Args:
            ended: the subscription that is over.
            reason: why.
            others: the stage's other subscriptions.
        """
        cancel = ended.options.cancel
        self._forget(str(ended.handle.peer.stage), others)
        if reason == DONE or (is_normal(reason) and cancel == "permanent"):
            if cancel == "permanent":
                self._ended = True
                if reason != DONE:
                    self.expected.clear()
            if self._at_end:
                self._exhausted(reason)
        elif ends_consumer(cancel, reason):
            self._stop(reason)
        elif self._at_end:
            self._exhausted(DONE)

    def gone(self, stage: str, others: Iterable[Incoming]) -> None:
        """A stream is not waited for any longer: no cancel mode applies."""
        if stage in self.expected:
            self._forget(stage, others)
            if self._at_end:
                self._exhausted(DONE)

    @property
    def _at_end(self) -> bool:
        """Whether the last orderly end was the end of the stage's input."""
        return self._ended and not self.expected

    def _forget(self, stage: str, others: Iterable[Incoming]) -> None:
        """Unless there is another stream from the same stage."""
        if not any(str(other.handle.peer.stage) == stage for other in others if not other.ended):
            self.expected.discard(stage)
