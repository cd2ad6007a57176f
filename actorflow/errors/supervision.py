"""Errors of children, calls and runs, and of the files that a supervisor keeps."""

from __future__ import annotations

from typing import Any

from actorflow.errors.base import ActorflowError, Refused

__all__ = [
    "AlreadyStarted",
    "CallError",
    "CallTimeout",
    "CheckpointError",
    "DeadLetterError",
    "IntensityExceeded",
    "NoSuchChild",
    "NoSuchStage",
    "RunError",
    "StageDown",
    "StageFailed",
    "StageKilled",
    "StartFailed",
]


class AlreadyStarted(Refused):
    """A child of that name exists; `holder` is its row, as `which_children` has it."""

    def __init__(self, detail: str, holder: Any = None) -> None:
        super().__init__("already_started", detail)
        self.holder = holder

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.detail, self.holder)


class CallError(ActorflowError):
    """A call to a stage got no result."""


class CallTimeout(CallError, TimeoutError):
    """No reply came within the deadline; the stage may still act on the request."""


class NoSuchStage(CallError):
    """There is no stage or child of that name."""


class NoSuchChild(CallError):
    """A `ConsumerSupervisor` has no child of that number, or it is gone already."""


class StageDown(CallError):
    """The called stage ended before it replied."""


class RunError(ActorflowError):
    """A run did not end well."""


class StageFailed(RunError):
    """A stage raised an exception that nothing handled.

    Args:
        stage: which stage, e.g. ``"count/1"``.
        summary: the exception's own text, ``"ValueError: no"``.
        remote_traceback: the formatted traceback of the stage's process.

    The original exception, where it could travel, is this error's ``__cause__``.
    """

    def __init__(self, stage: str, summary: str, remote_traceback: str = "") -> None:
        super().__init__(f"stage {stage} failed with {summary}")
        self.stage = stage
        self.summary = summary
        self.remote_traceback = remote_traceback

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.stage, self.summary, self.remote_traceback)


class StageKilled(RunError):
    """A stage's process died without a word: of a signal, or with an exit status.

    Args:
        stage: which stage, e.g. ``"count/1"``.
        detail: process id, signal or status, memory, out-of-memory kills, batch in hand.
    """

    def __init__(self, stage: str, detail: str) -> None:
        super().__init__(f"stage {stage} died: {detail}")
        self.stage = stage
        self.detail = detail

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.stage, self.detail)


class StartFailed(RunError):
    """A stage did not come up: its constructor or `on_start` raised, or it missed the deadline."""


class IntensityExceeded(RunError):
    """Children were restarted more often than `max_restarts` allows; the cause is ``__cause__``."""


class CheckpointError(ActorflowError):
    """A checkpoint file cannot be used: in use, damaged, of another topology, or a full disk."""


class DeadLetterError(ActorflowError):
    """A file of dead letters cannot be written or read, or a line of it is none."""
