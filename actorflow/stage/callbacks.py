"""A behaviour's callbacks as work items, and what each may return.

Everything that is called on a user's object is queued here and nowhere else, so that the order of
callbacks is the order of this queue.
"""

from __future__ import annotations

import pickle
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from actorflow.errors import BadReturn, ProtocolError
from actorflow.protocol.identity import Incarnation
from actorflow.stage.behaviour import Consumer, Stage, StageContext, Subscription
from actorflow.stage.calls import LATER, Sender
from actorflow.stage.incoming import Ending, Taken
from actorflow.stage.options import SUBSCRIPTION_MODES
from actorflow.stage.routing import Redirect
from actorflow.stage.spec import StageSpec
from actorflow.stage.work import Work

if TYPE_CHECKING:
    from actorflow.stage.held import Holding

__all__ = ["HANDLED", "HANDLE_AGAIN", "HANDLE_EVENTS", "Callbacks"]

HANDLE_EVENTS = "handle_events"
"""The label of the work of handling a batch, for the first time."""

HANDLE_AGAIN = "handle_events again"
"""Of handling it, or part of it, after it has failed."""

HANDLED = "handled"
"""Of the end of a batch that had failed."""

Emit = Callable[[list[Any]], None]

_USUAL = frozenset((list, tuple, range))
"""What callbacks usually return: to ask whether something is iterable takes longer."""


class Callbacks:
    """The queue of what is to be called on one behaviour.

    Args:
        child: which incarnation it is, for errors.
    """

    def __init__(self, child: Incarnation) -> None:
        self.queue: deque[Work] = deque()
        """What is called next."""
        self._arriving = self.queue
        """Where what is new goes: the same, or, while a batch is held on to, what waits for it."""
        self.behaviour: Stage | None = None
        self._child = child
        self.emit: Emit | None = None
        """Takes the events that a callback returned; None for a consumer, which returns none."""
        self._handle_events: Callable[..., Any] = self._not_ready
        self._closed = False
        self._next: list[Callable[[], None]] = []

    def close(self) -> None:
        """Nothing more is called, but what `stop` adds."""
        self.queue.clear()
        self._arriving = self.queue
        self._closed = True

    def hold(self) -> None:
        """Hold on to the batch in hand: until `release`, nothing but `events_now` is called."""
        self._arriving = deque(self.queue)
        self.queue.clear()

    @property
    def waiting(self) -> tuple[Work, ...]:
        """All that is to be called."""
        held = () if self._arriving is self.queue else self._arriving
        return (*self.queue, *held)

    def release(self) -> None:
        """The batch is over: what has waited for it is called."""
        if self._arriving is not self.queue:
            self.queue.extend(self._arriving)
            self._arriving = self.queue

    # --- the life of a behaviour ------------------------------------------------------------------

    def start(self, spec: StageSpec, context: StageContext, started: Callable[[], None]) -> None:
        """Construct the behaviour and call `on_start`, then `started`."""

        def construct() -> Any:
            # Any: `done` says what its callbacks may return, also where this module is compiled.
            behaviour: Any = spec.behaviour.__new__(spec.behaviour)
            behaviour._context = context
            behaviour.__init__(**spec.arguments)
            if self._closed:
                return None  # it has stopped itself before it began
            self.behaviour = behaviour
            if spec.restored is not None and spec.restored.state is not None:
                behaviour.restore(pickle.loads(spec.restored.state))
            if isinstance(behaviour, Consumer):
                self._handle_events = behaviour.handle_events
            return behaviour.on_start()

        def done(result: Any, seconds: float) -> None:
            if result is not None:
                raise BadReturn("on_start", "None", result)
            started()

        self._add("on_start", construct, (), done)

    def stop(self, reason: Any, stopped: Callable[[], None]) -> None:
        """Call `on_stop`, then `stopped`; whatever else was to be called is not.

        When it returns LATER, the stage itself says when it has stopped.
        """

        def done(result: Any, seconds: float) -> None:
            if result is not LATER:
                stopped()

        self.close()
        self.queue.append(Work("on_stop", self.live.on_stop, (reason,), done))

    def end(self, holding: Holding | None) -> None:
        """Call `on_end`, and emit what it returns; LATER has taken a handle of `holding`."""
        on_end = self.live.on_end  # type: ignore[attr-defined]
        if holding is None:
            self._simple("on_end", on_end)
        else:
            self._add("on_end", lambda: holding.end(on_end), (), lambda *_: None)

    def flush(self) -> None:
        """Call `on_flush`, and emit what it returns."""
        self._simple("on_flush", self.live.on_flush)  # type: ignore[attr-defined]

    # --- events and demand ------------------------------------------------------------------------

    def events(self, taken: Taken, handled: Callable[[Taken, Any, float], None]) -> None:
        """Call `handle_events` with a batch; this is the path of every batch."""
        if not self._closed:
            events, incoming = taken.events, taken.incoming
            self._arriving.append(
                Work(
                    HANDLE_EVENTS,
                    self._handle_events,
                    (events, incoming.handle),
                    partial(handled, taken),
                    len(events),
                    incoming.ref,
                    taken.message,
                )
            )

    def guarded_events(
        self,
        taken: Taken,
        handled: Callable[[Taken, Any, float], None],
        guard: Callable[..., Any],
    ) -> None:
        """Call `handle_events` with a batch through a guard, which takes the callback first."""
        if not self._closed:
            done = partial(handled, taken)
            self._arriving.append(self._guarded_work(taken, taken.events, done, guard))

    def events_now(
        self,
        taken: Taken,
        events: list[Any],
        done: Callable[[Any, float], None],
        guard: Callable[..., Any],
    ) -> None:
        """Call `handle_events` with part of the batch that is held on to, before anything else."""
        if not self._closed:
            work = self._guarded_work(taken, events, done, guard)
            work.label = HANDLE_AGAIN
            self.queue.append(work)

    def _guarded_work(
        self,
        taken: Taken,
        events: list[Any],
        done: Callable[[Any, float], None],
        guard: Callable[..., Any],
    ) -> Work:
        call = partial(guard, self._handle_events)
        incoming = taken.incoming
        arguments = (events, incoming.handle)
        count, ref = len(events), incoming.ref
        return Work(HANDLE_EVENTS, call, arguments, done, count, ref, taken.message)

    def in_turn(self, taken: Taken, act: Callable[[Taken], None], instead: Any) -> None:
        """Do something with a batch in its turn, with `instead` as what its handling came to."""
        if not self._closed:
            self._arriving.append(_no_call(HANDLE_EVENTS, taken, act, instead))

    def over(self, taken: Taken, act: Callable[[Taken], None]) -> None:
        """The batch that was held on to is over: `act`, before anything else, then `release`."""
        if not self._closed:
            self.queue.append(_no_call(HANDLED, taken, act, None))

    def in_hand(self) -> list[Taken]:
        """The batches that wait to be handled, oldest first; not those finished later."""
        return [
            work.done.args[0]
            for work in self._arriving
            if work.label == HANDLE_EVENTS and isinstance(work.done, partial)
        ]

    def next(self, label: str, act: Callable[[], None]) -> None:
        """Do something as soon as the callback in hand is over, and what it returned is taken."""
        if self._closed:
            return
        if not self._next:
            self.queue.appendleft(Work(label, lambda: None, (), lambda *_: self._do_next()))
        self._next.append(act)

    def _do_next(self) -> None:
        acts, self._next = self._next, []
        for act in acts:
            act()

    def held_events(self, taken: Taken, holding: Holding) -> None:
        """Call `handle_events` of a stage that may finish the batch later."""
        if self._closed:
            return

        def call(*arguments: Any) -> Any:
            return holding.call(taken, self._handle_events, arguments)

        def done(result: Any, seconds: float) -> None:
            holding.handled(taken, result, seconds)

        arguments = (taken.events, taken.incoming.handle)
        self._arriving.append(Work(HANDLE_EVENTS, call, arguments, done, len(taken.events)))

    def demander(self, done: Callable[[Any, float], None]) -> Callable[[int], None]:
        """What has `handle_demand` called with a count, then `done`; the path of every batch."""

        def demand(count: int) -> None:
            if not self._closed:
                handle_demand = self.live.handle_demand  # type: ignore[attr-defined]
                self._arriving.append(Work("handle_demand", handle_demand, (count,), done))

        return demand

    def decide(
        self, count: int, begun: Callable[[int], None], decided: Callable[[Any], None]
    ) -> None:
        """Call a producer-consumer's `handle_demand`: `begun` before it, `decided` after it."""

        def call(count: int) -> Any:
            begun(count)
            return self.live.handle_demand(count)  # type: ignore[attr-defined]

        self._add("handle_demand", call, (count,), lambda result, _: decided(result))

    def drop_demand(self) -> None:
        """Demand that is queued is not to be met any more."""
        waiting = self._arriving
        kept = [work for work in waiting if work.label != "handle_demand"]
        if len(kept) < len(waiting):
            waiting.clear()
            waiting.extend(kept)

    def discarded(self, events: list[Any], warn: Callable[[], None]) -> None:
        """Call `handle_discarded`, then `warn` unless it says no."""

        def done(result: Any, seconds: float) -> None:
            if result is not False:
                warn()

        self._add("handle_discarded", self.live.handle_discarded, (events,), done)  # type: ignore[attr-defined]

    # --- subscriptions ----------------------------------------------------------------------------

    def subscribed(
        self,
        handle: Subscription,
        agreed: Callable[[bool], None],
        redirected: Callable[[Redirect], None] | None = None,
    ) -> None:
        """Call `handle_subscribe`, then `agreed` with whether it said manual, or `redirected`."""
        accepted: tuple[str | None, ...] = (None, *SUBSCRIPTION_MODES)
        rule = "automatic, manual or None"
        if handle.side == "consumer":
            accepted = (None, "automatic")
            rule = "automatic, a Redirect or None: only a consumer's side can be manual"

        def done(result: Any, seconds: float) -> None:
            if redirected is not None and isinstance(result, Redirect):
                redirected(result)
                return
            if result not in accepted:
                raise BadReturn("handle_subscribe", rule, result)
            agreed(result == "manual")

        arguments = (handle.side, handle.options, handle)
        self._add("handle_subscribe", self.live.handle_subscribe, arguments, done)

    def cancelled(self, reason: Any, handle: Subscription) -> None:
        """Call `handle_cancel` for a consumer that left."""
        self._simple("handle_cancel", self.live.handle_cancel, reason, handle)

    def ending(self, ending: Ending, over: Callable[[Ending], None]) -> None:
        """Call `handle_cancel` for a producer that left, then `over`."""

        def done(result: Any, seconds: float) -> None:
            self.returned(result, "handle_cancel")
            over(ending)

        arguments = ((ending.kind, ending.reason), ending.incoming.handle)
        self._add("handle_cancel", self.live.handle_cancel, arguments, done)

    # --- messages ---------------------------------------------------------------------------------

    def call(self, request: Any, sender: Sender) -> None:
        """Call `handle_call`; its result is the reply, its exception too, and ends the stage."""

        def answer() -> None:
            try:
                result = self.live.handle_call(request, sender)
                sender.reply(result, default=True)
            except Exception as error:
                sender.fail(error)
                raise

        self._add("handle_call", answer, (), lambda *_: None)

    def cast(self, message: Any) -> None:
        """Call `handle_cast`."""
        self._simple("handle_cast", self.live.handle_cast, message)

    def info(self, message: Any) -> None:
        """Call `handle_info`."""
        self._simple("handle_info", self.live.handle_info, message)

    def notified(self, message: Any, handle: Subscription) -> None:
        """Call `handle_notification`."""
        self._simple("handle_notification", self.live.handle_notification, message, handle)

    # --- results ----------------------------------------------------------------------------------

    def returned(self, result: Any, callback: str) -> None:
        """Emit what a callback returned.

        Raises:
            BadReturn: it is no iterable of events, or a consumer returned some.
        """
        if result is None:
            return
        if self.emit is None:
            raise BadReturn(callback, "None: a consumer cannot dispatch events", result)
        if type(result) not in _USUAL and (
            isinstance(result, str | bytes | dict) or not isinstance(result, Iterable)
        ):
            raise BadReturn(callback, "an iterable of events, or None", result)
        # A list too: it is kept until it is acknowledged, and the stage may use its own again.
        self.emit(list(result))

    # --- within -----------------------------------------------------------------------------------

    @property
    def live(self) -> Stage:
        """The behaviour.

        Raises:
            ProtocolError: it is not constructed yet.
        """
        if self.behaviour is None:
            self._not_ready()
        assert self.behaviour is not None
        return self.behaviour

    def _not_ready(self, *_: Any) -> None:
        raise ProtocolError("not_ready", f"{self._child} has not started yet")

    def _simple(self, label: str, call: Callable[..., Any], *arguments: Any) -> None:
        """A callback whose events, if any, are all that matters."""
        self._add(label, call, arguments, lambda result, _: self.returned(result, label))

    def _add(
        self,
        label: str,
        call: Callable[..., Any],
        arguments: tuple[Any, ...],
        done: Callable[[Any, float], None],
    ) -> None:
        if not self._closed:
            self._arriving.append(Work(label, call, arguments, done))


def _no_call(label: str, taken: Taken, act: Callable[[Taken], None], result: Any) -> Work:
    """Something to be done with a batch, for which nothing of the user's is called."""
    arguments = (taken.events, taken.incoming.handle)
    return Work(label, lambda *_: result, arguments, partial(_do, taken, act))


def _do(taken: Taken, act: Callable[[Taken], None], result: Any, seconds: float) -> None:
    act(taken)
