"""A stage's events for the calling program: the consumer behind `Run.stream`.

It lives in the program, on a thread, and is a consumer like any other: it subscribes, asks, and
acknowledges a batch when the program is through with it. So a slow program slows its producers
down, and what a program had in hand that went away is delivered to somebody else.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from actorflow.protocol.reasons import DONE
from actorflow.records import dataclass
from actorflow.stage.behaviour import Consumer, Subscription
from actorflow.stage.place import Pending, Place

__all__ = ["Outlet", "StreamEnd", "ToProgram"]


@dataclass(frozen=True, slots=True)
class StreamEnd:
    """Why no more events will come.

    Args:
        reason: as the stage was stopped with it.
        kind: ``"cancel"`` when a producer ended the last subscription, ``"down"`` when it died, or
            nothing when the stage itself was stopped.
        refusal: why there never was a subscription, or None.
    """

    reason: Any
    kind: str = ""
    refusal: BaseException | None = None


class Outlet(Place):
    """Hands batches from the stage's thread to the program, one at a time.

    A batch is finished, and acknowledged, when the program asks for the next.
    """

    # With nobody left to come from, no event comes: the program would wait for ever.
    guest = True

    def __init__(self) -> None:
        self.end: StreamEnd | None = None
        """Why nothing more comes; None while it may."""
        self.when_left: Callable[[], None] | None = None
        """Called by the stage's thread as its last thing."""
        self._news = threading.Condition()
        self._watch: Callable[[], None] | None = None
        self._ring: Callable[[], None] | None = None
        self._offered: list[Any] | None = None
        self._pending: Pending | None = None

    # --- the place --------------------------------------------------------------------------------

    def enter(self, ring: Callable[[], None]) -> None:
        """The stage has its thread."""
        self._ring = ring
        if self.leaving is not None:
            ring()

    def leave(self) -> None:
        """The stage is over; if it has not said why, it was killed."""
        self.conclude(StreamEnd("killed"))
        if self.when_left is not None:
            self.when_left()

    # --- the stage's side -------------------------------------------------------------------------

    def offer(self, events: list[Any]) -> Pending:
        """Hand over a batch; the callback is over when the program asks for the next."""
        pending = Pending()
        with self._news:
            self._offered, self._pending = events, pending
        self._tell()
        return pending

    def conclude(self, end: StreamEnd) -> None:
        """Nothing more comes. What was offered and not taken goes back with the stage's end."""
        with self._news:
            if self.end is None:
                self.end = end
                self._offered = None
        self._tell()

    def _tell(self) -> None:
        with self._news:
            self._news.notify_all()
        watch = self._watch
        if watch is not None:
            watch()

    # --- the program's side -----------------------------------------------------------------------

    def watch(self, callback: Callable[[], None] | None) -> None:
        """Have this called, from the stage's thread, when there is something new."""
        self._watch = callback

    def finish(self) -> None:
        """The program is through with the batch that it took."""
        pending = self._pending
        # What is only offered is not through: the program has not seen it.
        if pending is not None and self._offered is None:
            self._pending = None
            pending.finish()
            if self._ring is not None:
                self._ring()

    def take(self) -> list[Any] | None:
        """The batch that is offered, or None."""
        with self._news:
            events, self._offered = self._offered, None
        return events

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until there is a batch, or the end; False when the time is up."""
        with self._news:
            return self._news.wait_for(
                lambda: self._offered is not None or self.end is not None, timeout
            )

    def abandon(self) -> None:
        """The program wants no more.

        Takes no lock, as the garbage collector may call it in the middle of anything.
        """
        self.leaving = "normal"
        ring = self._ring
        if ring is not None:
            ring()


class ToProgram(Consumer):
    """The stage behind a stream.

    Args:
        place: what it shares with the program.
    """

    def __init__(self, place: Outlet) -> None:
        self._outlet = place
        self._kind = ""

    def handle_events(self, events: list[Any], subscription: Subscription) -> Any:
        """Hand the batch over; it is over when the program is through with it."""
        return self._outlet.offer(events)

    def handle_cancel(self, reason: Any, subscription: Subscription) -> None:
        """Remember how the last subscription ended, should it end this stage."""
        self._kind = reason[0]

    def handle_info(self, message: Any) -> None:
        """The bell that the program rings needs no answer; anything else is logged."""
        if message is not self._outlet:
            super().handle_info(message)

    def on_stop(self, reason: Any) -> None:
        """Say why nothing more comes."""
        kind = "" if reason == DONE else self._kind
        self._outlet.conclude(StreamEnd(reason, kind))
