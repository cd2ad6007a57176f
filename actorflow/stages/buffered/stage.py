"""The asynchronous stage: an event loop beside the stage's own, and a window of calls in it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from actorflow.protocol.backoff import Backoff, backoff_of
from actorflow.records import dataclass
from actorflow.stage.behaviour import ProducerConsumer, Subscription
from actorflow.stage.calls import LATER
from actorflow.stage.children import (
    TASKS_AT_ONCE,
    ChildEnded,
    ChildKind,
    ChildRuntime,
    ChildTemplate,
)
from actorflow.stage.held import HeldBatch
from actorflow.stages.buffered.claims import Claims
from actorflow.stages.buffered.items import Item
from actorflow.stages.buffered.options import CallOptions, coroutine_function, function_of
from actorflow.stages.buffered.window import CallWindow, Owner

__all__ = ["AsyncStage"]

SETUP, TEARDOWN, REQUEUE = 0, -1, -2
"""The numbers of what runs in the event loop and is no item's call; those begin at 1."""


@dataclass(frozen=True, slots=True)
class _HandedOver:
    """Behind results: when this comes, so many in all have left."""

    total: int


class AsyncStage(ProducerConsumer):
    """Calls a coroutine function for each item, many at once, and emits what the calls return.

    The calls run in an event loop in a thread of the stage's process. Their results are events for
    this stage's consumers, which are processes of their own: so a call goes on whatever a consumer
    does meanwhile, be it asynchronous, blocking, busy or in an extension that keeps the
    interpreter. A result of None makes no event.

    It claims at most `concurrency` items from all its producers together, and asks for one more
    when the place of one is free. With ``claim="total"`` that is when its result has been
    processed; with ``"window"`` when it has been handed over, so that a consumer's are claimed
    beside the window. With more producers than `concurrency` it claims one of each.

    When a call fails, after `retries` more tries, with `on_error`

    * ``"fail"``: the stage ends with an `ItemFailed`, and its supervisor decides;
    * ``"emit"``: the `ItemFailed` is the item's result;
    * ``"skip"``: it has none; it is counted and logged;
    * ``"retry"``: as ``"fail"``, with at least one retry.

    When the stage is told to stop it claims nothing more, waits until what it has handed over is
    finished, ends the pauses between tries, and with `on_stop`

    * ``"finish"``: lets the calls in flight end, and hands over their results;
    * ``"requeue"``: cancels them; their items, and those that wait, go to `requeue`. Without that
      function they are not acknowledged, and their producers deliver them again;
    * ``"cancel"``: cancels them; each item is logged and counted, and is done with.

    A call is cancelled where it waits, unless that is inside ``async with actorflow.shielded():``.

    ``run.call(stage, "counts")`` returns a `CallCounts`.

    Args:
        run: a coroutine function, or ``"module:name"`` of one, called with the item.
        concurrency: at most so many calls are in flight, from 1; None for no limit but the
            subscriptions' `max_demand`.
        ordered: whether results leave in the order in which their items came. Those that wait for
            their turn keep their place.
        claim: ``"total"`` or ``"window"``.
        setup: called once, in the event loop, before the first call: a function or a coroutine
            function. What it returns is each call's first argument.
        teardown: called with that when the stage ends in an orderly way.
        timeout: seconds that a try may take, above 0; None for no limit.
        retries: how often a failed call is tried again, from 0.
        backoff: the pause before each retry, longer with each: a `Backoff`, or a map of its options
            but `attempts`; None for none. An item that pauses keeps its place and is in no call.
        on_error: ``"fail"``, ``"emit"``, ``"skip"`` or ``"retry"``.
        on_stop: ``"finish"``, ``"requeue"`` or ``"cancel"``.
        requeue: called with the list of unfinished items, after what `setup` returned.

    Raises:
        OptionError: an argument breaks its rule.

    Example:
        >>> import actorflow
        >>> from actorflow.stages.sources import Items
        >>> from actorflow.testing import simulate
        >>> from actorflow.testing.topologies import Sink
        >>> async def double(number):
        ...     return 2 * number
        >>> topology = (
        ...     actorflow.Topology("example")
        ...     .stage("numbers", Items, args={"items": [1, 2, 3]})
        ...     .stage("double", AsyncStage, args={"run": double, "concurrency": 2},
        ...            subscribe_to=["numbers"])
        ...     .stage("sink", Sink, subscribe_to=["double"])
        ... )
        >>> sorted(simulate(topology).handled("sink"))
        [2, 4, 6]
    """

    finishes_later = True
    works_ahead = True
    at_once = TASKS_AT_ONCE
    _window: CallWindow | None = None

    def __init__(
        self,
        run: Callable[..., Any] | str,
        *,
        concurrency: int | None,
        ordered: bool = False,
        claim: Literal["total", "window"] = "total",
        setup: Callable[..., Any] | str | None = None,
        teardown: Callable[..., Any] | str | None = None,
        timeout: float | None = None,
        retries: int = 0,
        backoff: Backoff | Mapping[str, Any] | None = Backoff(),  # noqa: B008
        on_error: Literal["fail", "emit", "skip", "retry"] = "fail",
        on_stop: Literal["finish", "requeue", "cancel"] = "finish",
        requeue: Callable[..., Any] | str | None = None,
    ) -> None:
        self.options = CallOptions(
            run=run,
            concurrency=concurrency,
            ordered=ordered,
            claim=claim,
            setup=setup,
            teardown=teardown,
            timeout=timeout,
            retries=retries,
            backoff=backoff_of(backoff),
            on_error=on_error,
            on_stop=on_stop,
            requeue=requeue,
        )
        self._stopping = False
        self._emitted = 0
        self._setting_up = False
        self._first: tuple[Any, ...] = ()
        """What comes before the item: what `setup` returned, if there is one."""

    @classmethod
    def check_arguments(cls, arguments: Mapping[str, Any]) -> None:
        """Refuse options that break a rule where the topology is declared."""
        super().check_arguments(arguments)
        CallOptions.of(arguments)

    # --- callbacks --------------------------------------------------------------------------------

    def on_start(self) -> None:
        """Start the event loop, and `setup` in it."""
        running, options = self._running(), self.options
        self._template = ChildTemplate(run=coroutine_function("run", options.run), kind="task")
        self._loop: ChildRuntime = running.children(ChildKind("task"), self._observe)
        owner = Owner(
            start=self._start,
            cancel=lambda life: self._loop.signal(life, "kill"),
            emit=self._emit,
            free=self._free,
            requeue=self._requeue,
            emptied=self._emptied,
            now=running.now,
            after=running.after,
            log=running.log_record,
            who=f"{self.name}/{self.index}",
        )
        self._window = CallWindow(options, owner)
        if options.concurrency is not None:
            self._claims: Claims | None = Claims(
                options.concurrency, lambda: running.producers, self._claim
            )
        else:
            self._claims = None
        # Under at_most_once nobody says what is finished: then handing over is all there is.
        self._by_hand_over = options.claim == "window" or not running.keeps
        if running.keeps:
            running.watch_finished(self._progressed)
        if options.setup is None:
            self._window.open()
        else:
            self._setting_up = True
            self._call_beside(SETUP, "setup", options.setup)

    def handle_subscribe(
        self, side: str, options: Mapping[str, Any], subscription: Subscription
    ) -> str | None:
        """A producer is asked for its share; a consumer asks for what it likes."""
        if side != "producer" or self._claims is None:
            return None
        self._claims.joined(subscription)
        return "manual"

    def handle_events(self, events: list[Any], subscription: Subscription) -> Any:
        """Items have come: they are claimed from now on."""
        batch = self.later()
        if self._claims is not None:
            self._claims.came(subscription, len(events))
        self._calls.add(events, (batch, subscription))
        return LATER

    def handle_cancel(self, reason: Any, subscription: Subscription) -> None:
        """A producer has left: others are asked for what it did not send."""
        if subscription.side == "producer" and self._claims is not None:
            self._claims.left(subscription)

    def handle_info(self, message: Any) -> None:
        """Results have left."""
        if isinstance(message, _HandedOver):
            self._calls.handed_over(message.total)
        else:
            super().handle_info(message)

    def handle_call(self, request: Any, sender: Any) -> Any:
        """Answer ``"counts"``; a subclass may answer others."""
        if request == "counts":
            return self._calls.counts
        return super().handle_call(request, sender)

    def on_stop(self, reason: Any) -> Any:
        """Let calls end, or end them, by `on_stop`."""
        if self._window is None:
            return None
        self._stopping = True
        if self._claims is not None:
            self._claims.close()
        if self._setting_up:
            self._loop.signal(SETUP, "kill")
        running = self._running()
        self._window.stop(takers=running.keeps and running.consumers > 0)
        return LATER

    # --- what the window wants --------------------------------------------------------------------

    @property
    def _calls(self) -> CallWindow:
        assert self._window is not None, "on_start of the base class has not been called"
        return self._window

    def _claim(self, subscription: Any, count: int) -> None:
        self.ask(subscription, count)

    def _start(self, life: int, event: Any) -> None:
        self._loop.start(life, self._template, (*self._first, event))

    def _emit(self, results: list[Any]) -> None:
        if self._by_hand_over:
            # What waits for demand is emitted one by one: the place of the first must not wait
            # until the second has left, too.
            leaving = min(self._running().capacity, len(results))
            self._emit_together(results[:leaving])
            for result in results[leaving:]:
                self._emit_together([result])
        else:
            self.emit(results)
        self._progressed()  # some may be finished already: nobody wanted them

    def _emit_together(self, results: list[Any]) -> None:
        if results:
            self.emit(results)
            self._emitted += len(results)
            self.send_behind(_HandedOver(self._emitted))

    def _free(self, items: list[Item]) -> None:
        shares: dict[tuple[HeldBatch, Subscription], list[Item]] = {}
        for item in items:
            shares.setdefault(item.origin, []).append(item)
        for (batch, subscription), done in shares.items():
            batch.finished(len(done), seconds=sum(item.seconds for item in done))
            if self._claims is not None:
                self._claims.done(subscription, len(done))

    def _requeue(self, items: list[Item]) -> None:
        assert self.options.requeue is not None
        self._call_beside(REQUEUE, "requeue", self.options.requeue, [item.event for item in items])

    def _emptied(self) -> None:
        if self.options.teardown is not None and self._first:
            self._call_beside(TEARDOWN, "teardown", self.options.teardown)
        else:
            self._close()

    # --- what happens -----------------------------------------------------------------------------

    def _progressed(self) -> None:
        """Consumers have finished something, or one has left."""
        running = self._running()
        self._calls.finished(running.finished)
        if self._stopping and not running.consumers:
            self._calls.nobody_left()

    def _observe(self, endings: Sequence[ChildEnded]) -> None:
        self._calls.ended([each for each in endings if each.life > 0])
        for each in endings:
            if each.life <= 0:
                self._ended_beside(each)

    def _call_beside(self, life: int, option: str, function: object, *arguments: Any) -> None:
        found = function_of(option, function)
        template = ChildTemplate(run=_call, kind="task", arguments=(found, *self._first))
        self._loop.start(life, template, arguments)

    def _ended_beside(self, ended: ChildEnded) -> None:
        end = ended.end
        error = None
        if not end.normal:
            failure = end.failure
            error = failure.exception() if failure is not None else RuntimeError(str(end.reason))
        if ended.life == SETUP:
            self._set_up(end.result, error)
        elif ended.life == REQUEUE:
            self._calls.requeued(error)
        else:
            if error is not None:
                self.log.error("teardown failed", error=repr(error))
            self._close()

    def _set_up(self, made: Any, error: BaseException | None) -> None:
        self._setting_up = False
        if self._stopping:
            return
        if error is not None:
            raise error
        self._first = (made,)
        self._calls.open()

    def _close(self) -> None:
        self._loop.close()
        self.stopped()


async def _call(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function or a coroutine function."""
    value = function(*arguments)
    return await value if inspect.isawaitable(value) else value
