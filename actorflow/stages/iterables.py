"""An iterable of the calling program as a source of events: `from_iterable`."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import AsyncIterable, Iterable, Mapping
from dataclasses import field
from typing import Any, Literal

from actorflow.dispatch.build import build_dispatcher
from actorflow.errors import OptionError
from actorflow.protocol.demand import SubscriptionOptions
from actorflow.records import dataclass
from actorflow.stage.behaviour import Stage
from actorflow.stage.options import StageOptions
from actorflow.stage.place import ProgramSource
from actorflow.stages.inlets import FromIterable, Inlet

__all__ = ["IterableSource", "checked_iterable", "from_iterable"]

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
