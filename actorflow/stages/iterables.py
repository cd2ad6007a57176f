"""An iterable of the calling program as a source of events: `from_iterable`."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections import deque
from collections.abc import AsyncIterable, Callable, Iterable, Iterator, Mapping
from contextvars import copy_context
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Literal

from actorflow.dispatch.build import build_dispatcher
from actorflow.errors import OptionError
from actorflow.protocol.demand import SubscriptionOptions
from actorflow.stage.behaviour import Producer, Stage, Subscription
from actorflow.stage.options import StageOptions
from actorflow.stage.place import Place, ProgramSource
from actorflow.stages.pumps import Pump, TaskPump, ThreadPump

__all__ = ["FromIterable", "Inlet", "IterableSource", "from_iterable"]

_RULE = "an iterable of events"
_LONGEST = 40


def from_iterable(
    iterable: Iterable[Any] | AsyncIterable[Any],
    *,
    max_demand: int | Literal["auto"] | None = None,
    on_cancel: str = "continue",
    dispatcher: str | Mapping[str, Any] = "demand",
    demand: str = "forward",
) -> IterableSource:
    """Any iterable as a producer that runs in the calling program, for `Topology.stage`.

    A list, a generator, an open file, an asynchronous generator: it is never pickled, only its
    items are, on their way to the consumers. Its items are taken on a thread of their own, never
    more than consumers have asked for, and each leaves as soon as it is there. When it ends the
    stage finishes, and with it, in its turn, the run.

    An iterable can be consumed once. So an exception in it ends the run, with that very exception,
    after the items before it were sent; the stage is not started again, whatever its ``restart``.
    An iterator or a generator is good for one run; a list can be run any number of times. A
    generator is closed when the run is over.

    An asynchronous iterable is read on the event loop that runs where the topology is started, or
    on one of its own when there is none.

    Args:
        iterable: what to emit, item by item. Text, bytes and maps are refused, as they are hardly
            ever meant.
        max_demand: how many events may be under way to each consumer that does not say so itself,
            from 1; ``"auto"``; or None for the topology's default.
        on_cancel: ``"continue"``, or ``"stop"`` to end when the last consumer has left.
        dispatcher: who gets which event, as in `StageOptions`.
        demand: ``"forward"``, or ``"accumulate"`` to take nothing until the stage is told to.

    Returns:
        what `Topology.stage` takes in the place of a class.

    Raises:
        OptionError: an argument breaks its rule; `iterable` has ended or is closed already.

    Example:
        >>> from actorflow import Consumer, Topology, from_iterable
        >>> class Sum(Consumer):
        ...     total = 0
        ...     def handle_events(self, events, subscription):
        ...         self.total += sum(events)
        ...         self.set_result(self.total)
        >>> topology = (
        ...     Topology("sum")
        ...     .stage("numbers", from_iterable(range(10), max_demand=4))
        ...     .stage("sum", Sum, subscribe_to=["numbers"])
        ... )
        >>> with topology.start() as run:
        ...     run.wait(timeout=60)
        {'sum': 45}

    Idea from: GenStage's ``from_enumerable`` and its ``Streamer``.
    """
    if max_demand is not None:
        SubscriptionOptions(max_demand=max_demand)
    if on_cancel not in ("continue", "stop"):
        raise OptionError("on_cancel", "one of continue, stop", on_cancel)
    StageOptions(demand=demand)
    build_dispatcher(dispatcher)
    return IterableSource(
        iterable=checked_iterable(iterable),
        max_demand=max_demand,
        on_cancel=on_cancel,
        options={"dispatcher": dispatcher, "demand": demand},
    )


class _Use:
    """Whether an iterable that can be consumed once has been."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._used = False

    def __bool__(self) -> bool:
        return self._used

    def begin(self) -> bool:
        """Whether this is the first use."""
        with self._lock:
            first, self._used = not self._used, True
            return first


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class IterableSource(ProgramSource):
    """What `from_iterable` returns: an iterable, and how it is to produce."""

    iterable: Iterable[Any] | AsyncIterable[Any]
    max_demand: int | Literal["auto"] | None = None
    on_cancel: str = "continue"
    options: Mapping[str, Any] = field(default_factory=dict)
    use: _Use = field(default_factory=_Use, repr=False)

    @property
    def behaviour(self) -> type[Stage]:  # type: ignore[override]
        """The stage that reads it."""
        return FromIterable

    @property
    def asynchronous(self) -> bool:
        """Whether it is read with ``async for``."""
        return _is_asynchronous(self.iterable)

    @property
    def used_up(self) -> str:
        """Why it cannot be run, or nothing."""
        spent = _spent(self.iterable)
        if spent:
            return spent
        return "an earlier run, or another stage, has begun to consume it" if self.use else ""

    def place(self, name: str, shutdown: float) -> Inlet:
        """What one run's stage shares with the program."""
        loop = None
        if self.asynchronous:
            try:
                loop = asyncio.get_running_loop()
            except RuntimeError:
                # Started by a program without a loop, so it gets one.
                loop = None
        return Inlet(self, name, shutdown, loop)

    def begin(self) -> None:
        """A run begins to consume it.

        Raises:
            OptionError: it can be consumed once, and has been.
        """
        # An iterator is its own, and has this method; what can begin again makes one each time.
        step = "__anext__" if self.asynchronous else "__next__"
        once = hasattr(type(self.iterable), step)
        if once and not self.use.begin():
            rule = "consumed by one stage of one run, as it is an iterator"
            raise OptionError("iterable", rule, self.iterable, "give each run a new one")


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


def checked_iterable(value: Any) -> Iterable[Any] | AsyncIterable[Any]:
    """The value, if it can be a source.

    Raises:
        OptionError: it is no iterable, hardly meant as one, or at its end.
    """
    hint = ""
    if isinstance(value, str | bytes | bytearray | memoryview):
        hint = "for its parts give list(…), for a file's lines open(…)"
        value = value[:_LONGEST]
    elif isinstance(value, Mapping):
        hint = "give its .items(), .keys() or .values()"
    elif isinstance(value, type) or (callable(value) and not _is_iterable(value)):
        hint = "call it, and give what it returns"
    elif not _is_iterable(value):
        hint = "it is not one"
    if hint:
        raise OptionError("iterable", _RULE, value, hint)
    spent = _spent(value)
    if spent:
        raise OptionError("iterable", f"{_RULE} that has not ended", value, spent)
    iterable: Iterable[Any] | AsyncIterable[Any] = value
    return iterable


def _is_iterable(value: object) -> bool:
    return isinstance(value, Iterable | AsyncIterable) or hasattr(type(value), "__getitem__")


def _is_asynchronous(value: object) -> bool:
    return isinstance(value, AsyncIterable) and not isinstance(value, Iterable)


def _spent(value: Any) -> str:
    """Why an iterable has nothing to give any more, as far as that can be seen; or nothing."""
    if inspect.isgenerator(value) and inspect.getgeneratorstate(value) == inspect.GEN_CLOSED:
        return "this generator has ended"
    if inspect.isasyncgen(value) and value.ag_frame is None:
        return "this generator has ended"
    if getattr(value, "closed", False) is True:
        return "this file is closed"
    return ""
