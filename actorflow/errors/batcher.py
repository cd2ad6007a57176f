"""Errors of batchers."""

from __future__ import annotations

from typing import Any

from actorflow.errors.base import ActorflowError, Broken, Closed, Refused

__all__ = [
    "BatchCancelled",
    "BatchError",
    "BatchFailed",
    "BatchRejected",
    "BatchTimeout",
    "BatcherClosed",
    "BatcherGone",
    "ProcessorCrashed",
    "ProcessorInvariantViolation",
    "ProcessorPanic",
    "ResourceAcquisitionFailed",
]


class BatchError(ActorflowError):
    """An item that was given to a batcher has no result; the subclass says why.

    Args:
        message: a sentence for a person.
        cause: what the processor raised, if that is why; also this error's ``__cause__``.
        remote_traceback: the traceback of the process that raised it, as text.
    """

    def __init__(
        self, message: str, cause: BaseException | None = None, remote_traceback: str = ""
    ) -> None:
        super().__init__(message)
        self.message = message
        self.cause = cause
        self.__cause__ = cause
        self.remote_traceback = remote_traceback

    def inner(self) -> BaseException:
        """What the processor raised, or this error itself when there is nothing behind it.

        Example:
            >>> BatchFailed("no", ValueError("odd")).inner()
            ValueError('odd')
        """
        return self.cause if self.cause is not None else self

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.message, self.cause, self.remote_traceback)


class BatcherClosed(BatchError, Closed):
    """The batcher is shutting down, or has, and takes no more items."""


class BatcherGone(BatchError, Broken):
    """The batcher ended before it answered, and nobody had asked it to; it may have acted."""


class BatchRejected(BatchError, Refused):
    """A batcher has no room for an item: so many batches of its key wait. Try again later.

    Args:
        key: the item's key.
        concurrency: ``"maxed_out"``: no batch of the key can start either; ``"available"``: one
            could, and the policy waits.
    """

    reason = "batch_queue_full"

    def __init__(self, key: object, concurrency: str) -> None:
        BatchError.__init__(self, f"the batches of key {key!r} are full; capacity: {concurrency}")
        self.key = key
        self.concurrency = concurrency
        self.detail = concurrency

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.key, self.concurrency)


class BatchFailed(BatchError):
    """The processor raised; every item of the batch gets this error, or the item that it names."""


class ResourceAcquisitionFailed(BatchError):
    """The processor's `acquire_resources` raised; the batch was not processed."""


class ProcessorInvariantViolation(BatchError):
    """The processor did not return one result for each input, which is a mistake in it.

    Args:
        expected: how many inputs there were.
        actual: how many results it returned; None when it returned no list.
    """

    def __init__(self, expected: int, actual: int | None) -> None:
        returned = "no list of results" if actual is None else f"{actual} results"
        super().__init__(f"the processor returned {returned} for {expected} inputs")
        self.expected = expected
        self.actual = actual

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.expected, self.actual)


class ProcessorPanic(BatchError):
    """The processor raised what is no `Exception`, such as `SystemExit`."""


class ProcessorCrashed(BatchError):
    """The process that had the batch in hand died.

    Args:
        exitcode: its exit status; below 0 the signal that killed it.
        phase: what it was doing: ``"acquire"`` or ``"process"``.
    """

    def __init__(self, exitcode: int, phase: str) -> None:
        super().__init__(f"the processor's process died with {exitcode} in phase {phase}")
        self.exitcode = exitcode
        self.phase = phase

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.exitcode, self.phase)


class BatchCancelled(BatchError):
    """The item was given up: by its caller, or because the batcher was told to stop."""


class BatchTimeout(BatchError, TimeoutError):
    """A phase of the batch took too long.

    Args:
        phase: ``"acquire"``, ``"process"``, or ``"wait"``: the caller's own limit.
        seconds: the limit.
    """

    def __init__(self, phase: str, seconds: float) -> None:
        super().__init__(f"no end of phase {phase} within {seconds:g} s")
        self.phase = phase
        self.seconds = seconds

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.phase, self.seconds)
