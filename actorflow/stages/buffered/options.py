"""What may be said about an asynchronous stage, and the checks of it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, Literal

from actorflow.dispatch.functions import function_of
from actorflow.errors import OptionError
from actorflow.protocol.arguments import check_integer, check_seconds
from actorflow.protocol.backoff import Backoff, backoff_of
from actorflow.records import dataclass

__all__ = ["CallOptions", "coroutine_function", "function_of"]

CLAIMS = ("total", "window")
ON_ERROR = ("fail", "emit", "skip", "retry")
ON_STOP = ("finish", "requeue", "cancel")


@dataclass(frozen=True, slots=True, kw_only=True)
class CallOptions:
    """How an `AsyncStage` calls: its constructor's arguments, checked.

    Args:
        run: a coroutine function, or ``"module:name"`` of one.
        concurrency: at most so many calls are in flight, from 1; None for no limit.
        ordered: whether results leave in the order in which their items came.
        claim: which items count as claimed: ``"total"``, until their body is finished, or
            ``"window"``, until their result is handed over.
        setup: called before the first call; what it returns is each call's first argument.
        teardown: called with that after the last call.
        timeout: seconds that a try may take, above 0; None for no limit.
        retries: how often a failed call is tried again, from 0.
        backoff: the pause before each retry, without `attempts`; None for none.
        on_error: what follows when it failed for good: ``"fail"``, ``"emit"``, ``"skip"``; or
            ``"retry"``, which is ``"fail"`` with at least one retry.
        on_stop: what becomes of calls in flight when the stage is stopped: ``"finish"``,
            ``"requeue"`` or ``"cancel"``.
        requeue: called with the list of unfinished items when the stage is stopped, with
            ``on_stop="requeue"``.

    Raises:
        OptionError: one of them breaks its rule.

    Example:
        >>> CallOptions(run="asyncio:sleep", concurrency=0)
        Traceback (most recent call last):
        ...
        actorflow.errors.OptionError: concurrency must be an integer of at least 1, or none for no \
limit, got 0
    """

    run: Callable[..., Any] | str
    concurrency: int | None
    ordered: bool = False
    claim: Literal["total", "window"] = "total"
    setup: Callable[..., Any] | str | None = None
    teardown: Callable[..., Any] | str | None = None
    timeout: float | None = None
    retries: int = 0
    backoff: Backoff | None = Backoff()
    on_error: Literal["fail", "emit", "skip", "retry"] = "fail"
    on_stop: Literal["finish", "requeue", "cancel"] = "finish"
    requeue: Callable[..., Any] | str | None = None

    def __post_init__(self) -> None:
        coroutine_function("run", self.run)
        number = self.concurrency
        if number is not None and (type(number) is not int or number < 1):
            raise OptionError(
                "concurrency", "an integer of at least 1, or none for no limit", number
            )
        if type(self.ordered) is not bool:
            raise OptionError("ordered", "true or false", self.ordered)
        for option, known in (("claim", CLAIMS), ("on_error", ON_ERROR), ("on_stop", ON_STOP)):
            if getattr(self, option) not in known:
                raise OptionError(option, "one of " + ", ".join(known), getattr(self, option))
        if self.timeout is not None and not check_seconds("timeout", self.timeout):
            raise OptionError("timeout", "above 0, or none for no limit", self.timeout)
        check_integer("retries", self.retries)
        if self.on_error == "retry" and not self.retries:
            raise OptionError("retries", "at least 1 when on_error is retry", self.retries)
        if self.backoff is not None and self.backoff.attempts is not None:
            hint = "retries says how often a call is tried again"
            raise OptionError("attempts", "left out here", self.backoff.attempts, hint)
        for option in ("setup", "teardown", "requeue"):
            if getattr(self, option) is not None:
                function_of(option, getattr(self, option))
        if self.teardown is not None and self.setup is None:
            hint = "it is called with what setup returned"
            raise OptionError("teardown", "left out without a setup", self.teardown, hint)
        if self.requeue is not None and self.on_stop != "requeue":
            raise OptionError("requeue", "left out unless on_stop is requeue", self.requeue)

    @classmethod
    def of(cls, arguments: Mapping[str, Any]) -> CallOptions | None:
        """Options from what a topology declares; None when an argument is missing or unknown.

        That is then refused by whoever looks at the constructor.
        """
        known = {each.name for each in fields(cls)}
        if not {"run", "concurrency"} <= set(arguments) <= known:
            return None
        given = dict(arguments)
        if "backoff" in given:
            given["backoff"] = backoff_of(given["backoff"])
        return cls(**given)


def coroutine_function(option: str, value: object) -> Callable[..., Any]:
    """The coroutine function that an option names.

    Raises:
        OptionError: it is none; an ordinary one would hold up all the others.
    """
    found = function_of(option, value)
    if not inspect.iscoroutinefunction(found):
        hint = "an ordinary function would hold up all the others; let it run in a process"
        raise OptionError(option, "a coroutine function", value, hint)
    return found
