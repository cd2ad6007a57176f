"""The stage of `from_iterable`, and what it shares with the program: the iterable of one run."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterable, Callable, Iterator
from contextvars import copy_context
from itertools import islice
from typing import TYPE_CHECKING, Any

from actorflow.errors import OptionError
from actorflow.records import dataclass
from actorflow.stage.behaviour import Producer, Subscription
from actorflow.stage.place import Place
from actorflow.stages.pumps import Pump, TaskPump, ThreadPump

if TYPE_CHECKING:
    from actorflow.stages.iterables import IterableSource

__all__ = ["FromIterable", "Inlet", "Taken"]


class Inlet(Place):
    """The iterable of one run, between the program and the lives of its stage.

    Args:
        source: the iterable.
        name: the stage's name.
        shutdown: seconds that an item in the making is waited for when the run is over.
        loop: the loop for an asynchronous iterable; None for one of its own.
    """

    final = True

    def __init__(
        self,
        source: IterableSource,
        name: str,
        shutdown: float,
        loop: asyncio.AbstractEventLoop | None,
    ) -> None:
        self._source = source
        self._name = name
        self._shutdown = shutdown
        self._loop = loop
        # A generator sees the variables of whoever started the run, as it would in a for loop.
        self._context = copy_context()
        self._ring: Callable[[], None] | None = None
        self._pump: Pump | None = None
        self._iterator: Iterator[Any] | None = None
        self._begun = False
        self._life: FromIterable | None = None
        self.stops_alone = source.on_cancel == "stop"
        self.left: list[Any] = []
        """What an earlier life of the stage had emitted, and nobody finished."""

    # --- the place --------------------------------------------------------------------------------

    def enter(self, ring: Callable[[], None]) -> None:
        """The stage has a thread, which may be rung."""
        self._ring = ring

    def leave(self) -> None:
        """A life is over; the pump stays for the next, or until the run is over."""
        life, self._life = self._life, None
        if life is not None:
            self.left[:0] = life.unfinished()

    def close(self) -> None:
        """Take nothing more."""
        if self._pump is not None:
            self._pump.stop(self._shutdown)

    def wait_closed(self) -> None:
        """Wait for an item in the making, for the stage's `shutdown` time at most."""
        if self._pump is not None:
            self._pump.join()

    # --- the stage's side -------------------------------------------------------------------------

    def begin(self, life: FromIterable) -> None:
        """A life of the stage begins.

        Args:
            life: the stage; what it leaves unfinished is for the next.

        Raises:
            OptionError: the iterable can be consumed once, and has been.
        """
        self._life = life
        if self._begun:
            return
        self._source.begin()
        self._begun = True
        iterable = self._source.iterable
        name = f"actorflow: items of {self._name}"
        if isinstance(iterable, AsyncIterable) and self._source.asynchronous:
            if self._ring is None:
                rule = "no asynchronous one in a simulation, which has no threads"
                raise OptionError("iterable", rule, iterable)
            self._pump = TaskPump(iterable, self._rung, name, self._context, self._loop)
        elif self._ring is not None:
            self._pump = ThreadPump(iterable, self._rung, name, self._context)  # type: ignore[arg-type]
        else:
            self._iterator = iter(iterable)  # type: ignore[arg-type]

    def want(self, count: int) -> None:
        """So many more items are wanted."""
        if self._pump is not None and not self._pump.over:
            self._pump.want(count)

    def take(self, count: int) -> Taken:
        """What is there, without waiting; in a simulation, as many as are wanted."""
        pump = self._pump
        if pump is None:
            return self._pull(count)
        # Looked at before the items are: the last of them was ready before it was over.
        over = pump.over
        return Taken(pump.fetch(), over, pump.error if over else None)

    def _rung(self) -> None:
        if self._ring is not None:
            self._ring()

    def _pull(self, count: int) -> Taken:
        assert self._iterator is not None
        items: list[Any] = []
        try:
            for item in islice(self._iterator, count):
                items.append(item)  # noqa: PERF402  (what came before an exception is kept)
        except Exception as error:  # noqa: BLE001  (the stage raises it)
            return Taken(items, True, error)
        return Taken(items, len(items) < count, None)


@dataclass(frozen=True, slots=True)
class Taken:
    """What was taken out of an iterable.

    Args:
        items: in order.
        over: whether nothing more will come.
        error: why, when it is not the iterable's end.
    """

    items: list[Any]
    over: bool
    error: BaseException | None


class FromIterable(Producer):
    """The stage of `from_iterable`.

    Args:
        place: the iterable of this run.
    """

    # It emits what was asked for and no more; but consumers may leave before it comes.
    buffer_size = None

    def __init__(self, place: Inlet) -> None:
        self._inlet = place
        self._emitted = 0
        self._unfinished: deque[_Chunk] = deque()

    def on_start(self) -> None:
        """Begin to read the iterable, or go on where an earlier life was stopped."""
        self._inlet.begin(self)

    def handle_demand(self, demand: int) -> list[Any]:
        """Order as many items as are wanted; those that are there leave at once."""
        left = self._inlet.left
        items, self._inlet.left = left[:demand], left[demand:]
        wanted = demand - len(items)
        if wanted:
            self._inlet.want(wanted)
            return self._take(items, wanted)
        return self._noted(items)

    def handle_info(self, message: Any) -> list[Any] | None:
        """Emit what has come since."""
        if message is self._inlet:
            return self._take([], 0)
        super().handle_info(message)
        return None

    def handle_cancel(self, reason: Any, subscription: Subscription) -> None:
        """A consumer has left; perhaps the last."""
        if self._inlet.stops_alone and not self._running().consumers:
            self.stop("normal")

    def unfinished(self) -> list[Any]:
        """What was emitted and nobody has finished, in order."""
        self._forget_finished()
        return [event for chunk in self._unfinished for event in chunk.events]

    def _take(self, items: list[Any], count: int) -> list[Any]:
        taken = self._inlet.take(count)
        events = self._noted(items + taken.items if items else taken.items)
        if taken.error is not None:
            self.emit(events)
            raise taken.error
        if taken.over:
            self.finish()
        return events

    def _noted(self, events: list[Any]) -> list[Any]:
        self._forget_finished()
        if events:
            self._unfinished.append(_Chunk(self._emitted, events))
            self._emitted += len(events)
        return events

    def _forget_finished(self) -> None:
        """What is emitted is numbered as the stage numbers it: in the order of emission."""
        lowest = self._running().lowest_unfinished
        chunks = self._unfinished
        while chunks and chunks[0].position + len(chunks[0].events) <= lowest:
            chunks.popleft()
        if chunks and chunks[0].position < lowest:
            first = chunks[0]
            chunks[0] = _Chunk(lowest, first.events[lowest - first.position :])


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Events that were emitted, the first of them at a place in the order of emission."""

    position: int
    events: list[Any]
