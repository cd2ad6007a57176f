"""Errors of dispatchers and of partition functions."""

from __future__ import annotations

from typing import Any

from actorflow.errors.base import ActorflowError, Refused

__all__ = [
    "CannotServe",
    "DispatcherError",
    "PartitionError",
]


class CannotServe(Refused):
    """A dispatcher cannot serve one subscription any more: that one ends, nobody else notices.

    Args:
        ref: the subscription.
        reason: what its consumer is told, e.g. ``"bad_selector"``.
        detail: a sentence for a person.
    """

    def __init__(self, ref: int, reason: object, detail: str = "") -> None:
        super().__init__(reason, detail)
        self.ref = ref

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.ref, self.reason, self.detail)


class DispatcherError(ActorflowError):
    """A dispatcher that is not one of actorflow's own broke a rule; its producer ends.

    What it raised, if that is what it did, is this error's ``__cause__``.

    Args:
        dispatcher: its class, ``"fair:Fair"``.
        rule: what a dispatcher must do.
        broken: what this one did.
    """

    def __init__(self, dispatcher: str, rule: str, broken: str) -> None:
        super().__init__(f"the dispatcher {dispatcher} broke a rule: {rule}; {broken}")
        self.dispatcher = dispatcher
        self.rule = rule
        self.broken = broken

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.dispatcher, self.rule, self.broken)


class PartitionError(ActorflowError):
    """A partition function raised, or named no partition; its producer ends.

    What it raised is this error's ``__cause__``.

    Args:
        problem: what the function did: ``"returned 7"``.
        event: the event, as text.
        partitions: the known partitions, as text.
    """

    def __init__(self, problem: str, event: str, partitions: str) -> None:
        super().__init__(
            f"for the event {event} the partition function {problem}; it must return one of"
            f" {partitions}, or None to drop the event"
        )
        self.problem = problem
        self.event = event
        self.partitions = partitions

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.problem, self.event, self.partitions)
