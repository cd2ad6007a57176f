"""The stage of the bodies: what is done with each result, so many at a time, beside the calls."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Literal

from actorflow.errors import OptionError
from actorflow.protocol.arguments import check_integer
from actorflow.stage.behaviour import Subscription
from actorflow.stage.children import ChildTemplate
from actorflow.stage.held import HeldBatch
from actorflow.stages.buffered.claims import Claims
from actorflow.stages.buffered.options import coroutine_function, function_of
from actorflow.supervision.consumer import ConsumerSupervisor

__all__ = ["ForEach"]

KINDS: dict[str, Literal["worker", "thread", "task"]] = {
    "process": "worker",
    "thread": "thread",
    "async": "task",
}


class ForEach(ConsumerSupervisor):
    """Calls a function for each event: exactly so many at a time, and none is fetched ahead.

    It is a `ConsumerSupervisor` that asks by itself: for `concurrency` events in all, and for one
    more when one is finished. So a slow body holds nothing that another consumer could take.

    Args:
        run: a function, called with the event; or ``"module:name"`` of one.
        concurrency: how many run at the same time, from 1.
        executor: ``"process"``: in worker processes, so many as `concurrency`; ``"thread"``: in
            threads of this stage's process; ``"async"``: as asyncio tasks there, for coroutine
            functions alone.
        restart: ``"temporary"``: one that fails is logged, counted, and done with;
            ``"transient"``: it is run again, with the limit that `max_restarts` sets.
        shutdown: seconds from being asked to stop until it is killed.
        timeout: seconds after which one that runs is killed, above 0; None for no limit.
        max_restarts: more restarts than this within `max_seconds` end this stage.
        max_seconds: the time that `max_restarts` is about, above 0.

    Raises:
        OptionError: an argument breaks its rule.

    Example:
        >>> ForEach("operator:neg", concurrency=3).at_once
        3
        >>> ForEach("operator:neg", executor="async")
        Traceback (most recent call last):
        ...
        actorflow.errors.OptionError: run must be a coroutine function, got 'operator:neg'; an \
ordinary function would hold up all the others; let it run in a process
    """

    def __init__(
        self,
        run: Callable[..., Any] | str,
        *,
        concurrency: int = 1,
        executor: Literal["process", "thread", "async"] = "process",
        restart: Literal["transient", "temporary"] = "temporary",
        shutdown: float | Literal["brutal_kill", "infinity"] = 2.0,
        timeout: float | None = None,
        max_restarts: int = 3,
        max_seconds: float = 5.0,
    ) -> None:
        template = _template(
            run,
            concurrency=concurrency,
            executor=executor,
            restart=restart,
            shutdown=shutdown,
            timeout=timeout,
        )
        super().__init__(template, max_restarts=max_restarts, max_seconds=max_seconds)
        self.at_once = concurrency
        self._of: dict[HeldBatch, Subscription] = {}

    @classmethod
    def check_arguments(cls, arguments: Mapping[str, Any]) -> None:
        """Refuse options that break a rule where the topology is declared."""
        intensity = {key: arguments[key] for key in _INTENSITY if key in arguments}
        super().check_arguments(intensity)
        given = {key: value for key, value in arguments.items() if key not in _INTENSITY}
        if "run" in given and set(given) <= _TEMPLATE:
            _template(**given)

    def on_start(self) -> None:
        """Open the place where bodies run."""
        running = self._running()
        self._claims = Claims(self.at_once, lambda: running.producers, self._claim)
        super().on_start()

    def handle_subscribe(
        self, side: str, options: Mapping[str, Any], subscription: Subscription
    ) -> str:
        """A producer is asked for its share."""
        self._claims.joined(subscription)
        return "manual"

    def handle_events(self, events: list[Any], subscription: Subscription) -> Any:
        """Run the function for each event."""
        self._claims.came(subscription, len(events))
        self._of[self.later()] = subscription
        return super().handle_events(events, subscription)

    def handle_cancel(self, reason: Any, subscription: Subscription) -> None:
        """A producer has left: others are asked for what it did not send."""
        self._claims.left(subscription)

    def on_stop(self, reason: Any) -> Any:
        """Claim nothing more; every body ends by its `shutdown`."""
        self._claims.close()
        return super().on_stop(reason)

    def _claim(self, subscription: Any, count: int) -> None:
        self.ask(subscription, count)

    def _finish(self, batch: HeldBatch, count: int, seconds: float) -> None:
        super()._finish(batch, count, seconds)
        subscription = self._of[batch] if batch.left else self._of.pop(batch)
        self._claims.done(subscription, count)


def _template(
    run: Callable[..., Any] | str,
    *,
    concurrency: int = 1,
    executor: object = "process",
    restart: Literal["transient", "temporary"] = "temporary",
    shutdown: float | Literal["brutal_kill", "infinity"] = 2.0,
    timeout: float | None = None,
) -> ChildTemplate:
    """What is run for each event, as a `ConsumerSupervisor` knows it."""
    check_integer("concurrency", concurrency, 1)
    kind = KINDS.get(executor) if isinstance(executor, str) else None
    if kind is None:
        raise OptionError("executor", "one of " + ", ".join(KINDS), executor)
    if kind == "task":
        coroutine_function("run", run)
    elif inspect.iscoroutinefunction(function_of("run", run)):
        raise OptionError("run", "no coroutine function unless executor is async", run)
    return ChildTemplate(
        run=run,
        kind=kind,
        restart=restart,
        shutdown=shutdown,
        timeout=timeout,
        workers=concurrency if kind == "worker" else None,
    )


_INTENSITY = ("max_restarts", "max_seconds")
_TEMPLATE = {"run", "concurrency", "executor", "restart", "shutdown", "timeout"}
