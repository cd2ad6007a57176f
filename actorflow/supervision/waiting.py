"""Who waits for what: futures that an observation resolves."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

from actorflow.records import dataclass

__all__ = ["Waiters", "when_all"]

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class _Waiter(Generic[Result]):
    subject: object
    future: Future[Result]


class Waiters(Generic[Result]):
    """Futures of one kind, each waiting for something to happen to one subject (by identity).

    Example:
        >>> waiters, door, future = Waiters(), object(), Future()
        >>> waiters.add(door, future)
        >>> waiters.resolve(door, "open")
        >>> future.result(timeout=0)
        'open'
    """

    def __init__(self) -> None:
        self._waiting: list[_Waiter[Result]] = []

    def add(self, subject: object, future: Future[Result]) -> None:
        """Have the future resolved when it happens to this subject."""
        self._waiting.append(_Waiter(subject, future))

    def resolve(self, subject: object, result: Result) -> None:
        """It happened."""
        for future in self._take(subject):
            future.set_result(result)

    def reject(self, subject: object, error: BaseException) -> None:
        """It will not happen."""
        for future in self._take(subject):
            future.set_exception(error)

    def reject_all(self, error: BaseException) -> None:
        """Nothing will happen any more."""
        for subject in [each.subject for each in self._waiting]:
            self.reject(subject, error)

    def _take(self, subject: object) -> list[Future[Result]]:
        mine = [each.future for each in self._waiting if each.subject is subject]
        self._waiting = [each for each in self._waiting if each.subject is not subject]
        # A future that its owner has cancelled, or given up after a time-out, takes no result.
        return [future for future in mine if future.set_running_or_notify_cancel()]


def when_all(futures: Sequence[Future[Any]]) -> Future[None]:
    """A future that is done when all others are; the first that fails fails it.

    Example:
        >>> first, second = Future(), Future()
        >>> both = when_all([first, second])
        >>> first.set_result(1)
        >>> both.done()
        False
        >>> second.set_result(2)
        >>> both.done()
        True
    """
    together: Future[None] = Future()
    left = len(futures)

    def one_is_done(future: Future[Any]) -> None:
        nonlocal left
        left -= 1
        error = future.exception()
        if together.done():
            return
        if error is not None:
            together.set_exception(error)
        elif not left:
            together.set_result(None)

    if not futures:
        together.set_result(None)
    for future in futures:
        future.add_done_callback(one_is_done)
    return together
