"""The window of an asynchronous stage: which calls are in flight, what is ready, what is free.

Pure decisions: no coroutine, clock, thread or process. An item is claimed when it comes. It waits
until a call may begin, is in flight, is ready (with ``ordered`` it waits for its turn), is handed
over, and its place is free when those who took its result say so. A place is there before its call
begins, so a result never waits for room: what is limited is what comes in.

Idea: futures' `buffered`, without its fault that the window moves only while somebody polls it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

from actorflow.errors import ItemFailed, RunError
from actorflow.protocol.reasons import brief
from actorflow.records import dataclass
from actorflow.stage.children import ChildEnd, ChildEnded
from actorflow.stages.buffered.counts import CallCounts
from actorflow.stages.buffered.items import Item
from actorflow.stages.buffered.options import CallOptions
from actorflow.stages.buffered.pauses import Pauses

__all__ = ["CallWindow", "Owner"]

GONE_WITHIN = 5.0
"""Seconds in which a call that was cancelled must end. One that goes on all the same, or blocks
the event loop, ends with the stage's process."""


@dataclass(slots=True, eq=False)
class _Call:
    item: Item
    timed_out: bool = False


@dataclass(frozen=True, slots=True)
class Owner:
    """What the window needs from the stage around it.

    Args:
        start: begin a call: its number and the item.
        cancel: cancel the call of a number.
        emit: emit results.
        free: the places of these items are free.
        requeue: put items back where they came from, then call `CallWindow.requeued`.
        emptied: the window is stopping, and nothing is left in it.
        now: the clock, seconds.
        after: have something called in so many seconds.
        log: write a log line.
        who: whose window it is, for the random part of pauses.
    """

    start: Callable[[int, Any], None]
    cancel: Callable[[int], None]
    emit: Callable[[list[Any]], None]
    free: Callable[[list[Item]], None]
    requeue: Callable[[list[Item]], None]
    emptied: Callable[[], None]
    now: Callable[[], float]
    after: Callable[[float, Callable[[], None]], None]
    log: Callable[[str, str, dict[str, Any]], None]
    who: str


class CallWindow:
    """The calls of one stage.

    Args:
        options: how it calls.
        owner: the stage around it.
    """

    def __init__(self, options: CallOptions, owner: Owner) -> None:
        self._options = options
        self._owner = owner
        self._waiting: deque[Item] = deque()
        self._pauses = Pauses(options.backoff, owner.who, owner.after, self._pause_over)
        self._calls: dict[int, _Call] = {}
        self._order: deque[Item] = deque()
        """With `ordered`: the items whose turn has not come, oldest first."""
        self._handed_over: deque[Item] = deque()
        self._results: list[Any] = []
        self._freed: list[Item] = []
        self._given_back: list[Item] = []
        """What a stop has left unfinished."""
        self._requeueing = False
        self._numbers = 0
        self._lives = 0
        self._emitted = 0
        self._released = 0
        """How many results have given the place of their item back."""
        self._finished = 0
        """How many have been finished by those who took them."""
        self._takers = True
        """Whether there is somebody who may finish more."""
        self._open = False
        self._stopping: Literal["", "finish", "requeue", "cancel"] = ""
        self._over = False
        self._due: deque[tuple[float, int]] = deque()
        self._armed = False
        self._retried = self._failed = self._cancelled = 0

    @property
    def counts(self) -> CallCounts:
        """Where the items are, and what became of those before."""
        return CallCounts(
            waiting=len(self._waiting) + len(self._pauses),
            in_flight=len(self._calls),
            ready=sum(item.settled for item in self._order),
            handed_over=len(self._handed_over),
            items=self._numbers,
            retried=self._retried,
            failed=self._failed,
            cancelled=self._cancelled,
            pausing=len(self._pauses),
        )

    # --- what comes -------------------------------------------------------------------------------

    def open(self) -> None:
        """Calls may begin."""
        self._open = True
        self._fill()

    def add(self, events: Iterable[Any], origin: Any) -> None:
        """Items have come.

        Args:
            events: the items.
            origin: comes back with each when its place is free.
        """
        for event in events:
            self._numbers += 1
            item = Item(self._numbers, event, origin)
            self._waiting.append(item)
            if self._options.ordered:
                self._order.append(item)
        self._fill()

    def ended(self, endings: Sequence[ChildEnded]) -> None:
        """Calls have ended.

        Raises:
            ItemFailed: one failed for good, and that ends the stage.
        """
        try:
            for each in endings:
                call = self._calls.pop(each.life, None)
                if call is not None:
                    self._call_ended(call, each.end)
        finally:
            # Also when one of them ends the stage: what is done is done.
            self._flush()
        self._go_on()

    def handed_over(self, total: int) -> None:
        """So many results, counted from the beginning, have left for somebody."""
        self._release(total)

    def finished(self, total: int) -> None:
        """So many results, counted from the beginning, are finished by those who took them."""
        self._finished = total
        if self._options.claim == "total" or self._stopping:
            self._release(total)
        self._check_emptied()

    # --- stopping ---------------------------------------------------------------------------------

    def stop(self, takers: bool) -> None:
        """Claim no more; what becomes of the rest is `on_stop`. `Owner.emptied` follows.

        Args:
            takers: whether there is anybody who could finish what is handed over.
        """
        if not self._stopping:
            self._stopping = self._options.on_stop
            if not self._open:
                self._waiting.clear()  # nothing was begun: all of it goes to somebody else
            self._waiting.extendleft(reversed(self._pauses.end()))
            if self._stopping != "finish":
                for item in self._waiting:
                    self._give_up(item)
                self._waiting.clear()
                for life in list(self._calls):
                    self._cancel(life)
                self._flush()
        self._takers = takers
        # In a turn of its own: the caller has not returned yet.
        self._owner.after(0.0, self._go_on)

    def nobody_left(self) -> None:
        """Nobody will finish what is handed over; what was made from it is not acknowledged."""
        self._takers = False
        self._check_emptied()

    def requeued(self, error: BaseException | None) -> None:
        """The items are back where they came from; or they are not, and stay unfinished."""
        items, self._given_back = self._given_back, []
        self._requeueing = False
        if error is None:
            self._owner.free(items)
        else:
            left = {"items": len(items), "error": repr(error)}
            self._owner.log("error", "items could not be put back; they stay unfinished", left)
        self._check_emptied()

    # --- within -----------------------------------------------------------------------------------

    def _fill(self) -> None:
        """Begin calls while one more may be in flight. Bodies have no say in it."""
        limit = self._options.concurrency
        while self._open and self._waiting and (limit is None or len(self._calls) < limit):
            item = self._waiting.popleft()
            item.tries += 1
            self._lives += 1
            self._retried += item.tries > 1
            self._calls[self._lives] = _Call(item)
            self._owner.start(self._lives, item.event)
            if self._options.timeout is not None:
                # All have the same limit, so the first to begin is the first to be due.
                self._due.append((self._owner.now() + self._options.timeout, self._lives))
                self._arm()

    def _pause_over(self, item: Item) -> None:
        """An item is to be tried again, before those that have not been tried."""
        self._waiting.appendleft(item)
        self._fill()

    def _go_on(self) -> None:
        self._fill()
        self._check_emptied()

    def _call_ended(self, call: _Call, end: ChildEnd) -> None:
        item = call.item
        item.seconds += end.seconds
        if end.normal:
            self._settle(item, [] if end.result is None else [end.result])
        elif self._stopping in ("requeue", "cancel"):
            self._give_up(item)
        else:
            self._call_failed(call, end)

    def _call_failed(self, call: _Call, end: ChildEnd) -> None:
        item, options = call.item, self._options
        error = _error_of(call, end, options.timeout)
        words = {**_naming(item), "tries": item.tries, "error": error.summary}
        if item.tries <= options.retries:
            pause = self._pauses.begin(item)
            self._owner.log("warning", "a call is tried again", {**words, "pause": pause})
        elif options.on_error == "emit":
            self._failed += 1
            self._settle(item, [error])
        elif options.on_error == "skip":
            self._failed += 1
            if end.failure is not None:
                words["traceback"] = end.failure.traceback
            self._owner.log("error", "a call failed, its item is skipped", words)
            self._settle(item, [])
        else:
            raise error

    def _settle(self, item: Item, outputs: list[Any]) -> None:
        """An item's call is over for good: its result leaves when it is its turn."""
        item.outputs, item.settled = outputs, True
        if not self._options.ordered:
            self._hand_over(item)
            return
        while self._order and self._order[0].settled:
            self._hand_over(self._order.popleft())

    def _hand_over(self, item: Item) -> None:
        if item.outputs:
            self._results += item.outputs
            item.outputs = []
            self._handed_over.append(item)
        elif not item.given_back:
            self._freed.append(item)

    def _flush(self) -> None:
        """Emit first: an acknowledgement must not overtake an output."""
        results, self._results = self._results, []
        freed, self._freed = self._freed, []
        if results:
            self._emitted += len(results)
            self._owner.emit(results)
        if freed:
            self._owner.free(freed)

    def _release(self, total: int) -> None:
        count = min(total - self._released, len(self._handed_over))
        if count > 0:
            self._released += count
            self._owner.free([self._handed_over.popleft() for _ in range(count)])

    def _give_up(self, item: Item) -> None:
        """A stop has left an item without a result."""
        if self._stopping == "requeue":
            item.given_back = True
            self._given_back.append(item)
        else:
            self._cancelled += 1
            message = "a call was cancelled by the stop of its stage"
            self._owner.log("warning", message, _naming(item))
        self._settle(item, [])

    def _check_emptied(self) -> None:
        if not self._stopping or self._over or self._requeueing:
            return
        if self._waiting or self._calls or (self._takers and self._finished < self._emitted):
            return
        if self._given_back and self._options.requeue is not None:
            self._requeueing = True
            self._owner.requeue(self._given_back)
            return
        self._over = True
        self._owner.emptied()

    # --- deadlines --------------------------------------------------------------------------------

    def _cancel(self, life: int) -> None:
        self._owner.cancel(life)
        self._owner.after(GONE_WITHIN, lambda: self._check_gone(life))

    def _check_gone(self, life: int) -> None:
        if life in self._calls and not self._stopping:
            item = self._calls[life].item
            raise RunError(
                f"the call of item {item.number} did not end within {GONE_WITHIN:g} s of being"
                " cancelled; this stage ends with it"
            )

    def _arm(self) -> None:
        if self._due and not self._armed:
            self._armed = True
            self._owner.after(max(0.0, self._due[0][0] - self._owner.now()), self._deadline)

    def _deadline(self) -> None:
        self._armed = False
        now = self._owner.now()
        while self._due and (self._due[0][0] <= now or self._due[0][1] not in self._calls):
            _, life = self._due.popleft()
            call = self._calls.get(life)
            if call is not None:
                call.timed_out = True
                self._cancel(life)
        self._arm()


def _naming(item: Item) -> dict[str, Any]:
    """How a log line says which item it is about."""
    return {"item": item.number, "value": brief(item.event)}


def _error_of(call: _Call, end: ChildEnd, timeout: float | None) -> ItemFailed:
    """What a call that was not to fail has failed with."""
    item = call.item
    cause: BaseException | None = None
    if call.timed_out:
        cause = TimeoutError(f"the call took longer than {timeout:g} s")
    elif end.failure is not None:
        cause = end.failure.exception()
    summary = f"{type(cause).__name__}: {cause}" if cause is not None else str(end.reason)
    if end.failure is not None and not call.timed_out:
        summary = end.failure.summary
    error = ItemFailed(item.number, item.event, summary, item.tries)
    error.__cause__ = cause
    return error
