"""A started supervisor from outside: operations with a deadline, and its end."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, InvalidStateError
from concurrent.futures import wait as wait_for
from contextlib import suppress
from typing import Any, TypeVar, overload

import pykka

from actorflow.errors import CallTimeout, Closed, OptionError, Refused
from actorflow.protocol.arguments import check_timeout
from actorflow.supervision.core import SupervisorCore
from actorflow.supervision.events import Outcome
from actorflow.supervision.supervisor import (
    AtOnce,
    Listener,
    Operation,
    Runnable,
    Supervisor,
    is_own_thread,
    pass_on,
)

__all__ = ["SupervisorHandle"]

Result = TypeVar("Result")


class _DaemonSupervisor(Supervisor):
    """One that does not keep a program alive which has come to its end and forgotten its run."""

    use_daemon_thread = True


class SupervisorHandle:
    """A started supervisor, from outside: operations with a deadline, and its outcome.

    pykka's `ask` may wait for ever when it races a stop; here every wait has a limit.

    Args:
        topology: what to run.
        listener: is told of every event, from the supervisor's thread.
    """

    def __init__(self, topology: Runnable, listener: Listener | None = None) -> None:
        self.outcome: Future[Outcome] = Future()
        self._gone: Future[None] = Future()
        self._home = os.getpid()
        self.reference: pykka.ActorRef[_DaemonSupervisor] = _DaemonSupervisor.start(
            topology, listener, self.outcome, self._gone
        )

    @property
    def elsewhere(self) -> bool:
        """Whether this process was forked from the one that the supervisor's thread is in.

        A fork has a copy of everything but the thread, so whoever waits for it waits for ever. What
        the copy is told would reach nobody, and the run is not the fork's to end.
        """
        return os.getpid() != self._home

    def check_home(self) -> None:
        """Refuse what a forked process asks of a run that is not its own.

        Raises:
            Closed: it was forked from the process of the run.
        """
        if self.elsewhere:
            raise Closed(
                f"the run belongs to process {self._home}, of which this one is a fork;"
                " start a run of its own in it"
            )

    @overload
    def act(self, act: Callable[[SupervisorCore], Future[Result]], timeout: float) -> Result: ...

    @overload
    def act(self, act: Callable[[SupervisorCore], Result], timeout: float) -> Result: ...

    def act(self, act: Callable[[SupervisorCore], Any], timeout: float) -> Any:
        """Do something with the core, in the supervisor's thread, and wait for its result.

        Args:
            act: what to do; when it returns a future, that one's result is waited for.
            timeout: seconds to wait at most, from 0.

        Raises:
            Closed: the supervisor is gone.
            CallTimeout: no result in time; what was begun may still happen.
            Refused: ``own_thread``: a listener's or monitor's callback would wait for itself.
        """
        future = self._begin(act, timeout)
        # pykka drops what it had not read when it was stopped; so its end is waited for as well.
        wait_for((future, self._gone), timeout, FIRST_COMPLETED)
        return self._answer(future, timeout)

    @overload
    async def act_async(
        self, act: Callable[[SupervisorCore], Future[Result]], timeout: float
    ) -> Result: ...

    @overload
    async def act_async(
        self, act: Callable[[SupervisorCore], Result], timeout: float
    ) -> Result: ...

    async def act_async(self, act: Callable[[SupervisorCore], Any], timeout: float) -> Any:
        """As `act`, waiting on the running event loop without blocking it."""
        from actorflow.supervision.awaiting import is_done

        future = self._begin(act, timeout)
        either: Future[None] = Future()
        for each in (future, self._gone):
            each.add_done_callback(lambda _: _finish(either))
        try:
            await is_done(either, timeout)
        finally:
            if not future.done() and not self._gone.done():
                future.cancel()
        return self._answer(future, timeout)

    def begin(self, act: Callable[[SupervisorCore], Result]) -> Future[Result]:
        """Have something done, and wait for nothing.

        Returns:
            a future of its result; of `Closed` when the supervisor goes before it has done it.
        """
        either: Future[Result] = Future()
        try:
            future = self._begin(act, 0)
        except Closed as closed:
            either.set_exception(closed)
            return either
        self._gone.add_done_callback(lambda _: _close(either))
        future.add_done_callback(lambda done: _pass_on_first(done, either))
        return either

    def _begin(self, act: Callable[[SupervisorCore], Any], timeout: float) -> Future[Any]:
        if check_timeout(timeout) is None:
            raise OptionError("timeout", "a number of seconds from 0", timeout)
        self.check_home()
        if is_own_thread(self.reference.actor_urn):
            raise Refused(
                "own_thread",
                "a listener or monitor is called by the supervisor itself, which cannot answer"
                " meanwhile; do it from another thread",
            )
        future: Future[Any] = Future()
        try:
            self.reference.tell(Operation(act, future))
        except pykka.ActorDeadError:
            raise Closed("the supervisor is gone") from None
        return future

    def _answer(self, future: Future[Any], timeout: float) -> Any:
        if future.done() and not future.cancelled():
            return future.result()
        future.cancel()
        if self._gone.done():
            raise Closed("the supervisor is gone")
        raise CallTimeout(f"no answer within {timeout} s")

    def close(self, timeout: float) -> None:
        """Stop the actor, and kill whatever still runs. May be repeated; nothing in a fork.

        When the actor has been stopped by somebody else, its end is waited for.

        Args:
            timeout: seconds to wait at most.
        """
        if self.elsewhere:
            return
        # A listener or monitor is called by the actor itself, which ends when it returns.
        within = is_own_thread(self.reference.actor_urn)
        if self.reference.is_alive():
            with suppress(pykka.ActorDeadError):  # it has been stopped since
                self.reference.tell(AtOnce())
            self.reference.stop(block=not within, timeout=timeout)
        if not within:
            wait_for((self._gone,), timeout)


def _finish(either: Future[None]) -> None:
    with suppress(InvalidStateError):  # the other one was done before
        either.set_result(None)


def _close(either: Future[Any]) -> None:
    with suppress(InvalidStateError):
        either.set_exception(Closed("the supervisor is gone"))


def _pass_on_first(done: Future[Any], either: Future[Any]) -> None:
    with suppress(InvalidStateError):
        pass_on(done, either)
