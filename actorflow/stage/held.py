"""Batches that a stage finishes later than its `handle_events` returns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from actorflow.errors import BadReturn, NotInStage, OptionError
from actorflow.stage.calls import LATER
from actorflow.stage.consuming import ConsumingHalf
from actorflow.stage.incoming import Taken
from actorflow.stage.producing import ProducingHalf

__all__ = ["HeldBatch", "Holding"]


class HeldBatch:
    """A batch that is being worked on after its `handle_events` has returned ``LATER``.

    Stages get one from `Consumer.later`. Each event that is finished returns its credit at once;
    the batch is acknowledged to the producer when all are.

    Example:
        >>> finished = []
        >>> batch = HeldBatch(3, lambda batch, count, seconds: finished.append(count))
        >>> batch.finished(2)
        >>> batch.left, finished
        (1, [2])
    """

    __slots__ = ("_finish", "left")

    def __init__(self, count: int, finish: Callable[[HeldBatch, int, float], None]) -> None:
        self._finish = finish
        self.left = count
        """How many of its events are not finished."""

    def finished(self, count: int | None = None, *, seconds: float = 0.0) -> None:
        """Events of this batch are finished. What was made from them must be emitted before.

        Args:
            count: how many, from 1 to `left`; None for all that are left.
            seconds: how long they took, added up, from 0. Under ``max_demand: auto`` the window
                follows it.

        Raises:
            OptionError: so many are not left.
        """
        number = self.left if count is None else count
        if type(number) is not int or not 0 < number <= self.left:
            raise OptionError("count", f"an integer from 1 to {self.left} (what is left)", count)
        self.left -= number
        self._finish(self, number, seconds)


class Holding:
    """What a machine does instead of `handled` for a stage whose class says `finishes_later`.

    Args:
        consuming: where events come from.
        producing: where results go, or None for a consumer.
        returned: emits what a callback of this name returned; raises for what it may not return.
    """

    __slots__ = ("_consuming", "_ending", "_in_hand", "_producing", "_returned", "_taken", "open")

    def __init__(
        self,
        consuming: ConsumingHalf,
        producing: ProducingHalf | None,
        returned: Callable[[Any, str], None],
    ) -> None:
        self.open = 0
        """How many batches are not finished."""
        self._consuming = consuming
        self._producing = producing
        self._returned = returned
        self._taken: Taken | None = None
        self._in_hand: HeldBatch | None = None
        self._ending = False

    def call(self, taken: Taken, handle_events: Callable[..., Any], arguments: Any) -> Any:
        """Have a batch handled; while the callback runs, `later` is about this batch."""
        self._taken, self._in_hand = taken, None
        try:
            return handle_events(*arguments)
        finally:
            self._taken = None

    def end(self, on_end: Callable[[], Any]) -> None:
        """Have the last events made; while the callback runs, `later` keeps the stage from ending.

        Raises:
            BadReturn: LATER without a handle, or no events.
        """
        self._ending, self._in_hand = True, None
        try:
            result = on_end()
        finally:
            self._ending = False
        batch, self._in_hand = self._in_hand, None
        if result is not LATER:
            self._returned(result, "on_end")
        elif batch is None:
            rule = "LATER only after self.later(), whose handle lets the stage end"
            raise BadReturn("on_end", rule, result)

    def later(self) -> HeldBatch:
        """The handle on the batch in hand, or on the end of the stage.

        Raises:
            NotInStage: neither `handle_events` nor `on_end` is running.
        """
        if self._ending:
            return self._hold_end()
        taken = self._taken
        if taken is None:
            raise NotInStage("later() belongs inside handle_events: it is about the batch in hand")
        if self._in_hand is None:
            self.open += 1
            self._in_hand = HeldBatch(
                len(taken.events),
                lambda batch, count, seconds: self._finish(taken, batch, count, seconds),
            )
        return self._in_hand

    def handled(self, taken: Taken, result: Any, seconds: float) -> None:
        """The callback has returned: with LATER, or with what was made of the whole batch.

        Raises:
            BadReturn: LATER without a handle, something else in spite of one, or no events.
        """
        batch, self._in_hand = self._in_hand, None
        if result is LATER:
            if batch is None:
                rule = "LATER only after self.later(), whose handle finishes the batch"
                raise BadReturn("handle_events", rule, result)
            return
        if batch is not None:
            raise BadReturn("handle_events", "LATER, as it has called self.later()", result)
        self._returned(result, "handle_events")
        self._done(taken, len(taken.events), seconds, last=True)

    def _hold_end(self) -> HeldBatch:
        if self._in_hand is None:
            self.open += 1
            self._in_hand = HeldBatch(1, lambda batch, count, seconds: self._let_end())
        return self._in_hand

    def _let_end(self) -> None:
        self.open -= 1

    def _finish(self, taken: Taken, batch: HeldBatch, count: int, seconds: float) -> None:
        last = not batch.left
        self.open -= last
        self._done(taken, count, seconds, last=last)

    def _done(self, taken: Taken, count: int, seconds: float, *, last: bool) -> None:
        consuming, producing = self._consuming, self._producing
        emitted = 0 if producing is None else producing.emitted
        consuming.finished_later(taken, count, seconds, emitted=emitted if last else None)
        if last and producing is not None:
            consuming.outputs_finished(producing.lowest_unfinished)
