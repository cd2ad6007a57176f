"""Who waits for what: futures that an observation resolves."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass
from typing import Generic, TypeVar

__all__ = ["Waiters"]

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
