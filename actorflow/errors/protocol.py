"""What a peer or an event may not be: errors of messages, frames and codecs."""

from __future__ import annotations

from typing import Any

from actorflow.errors.base import ActorflowError

__all__ = [
    "EventNotEncodable",
    "FrameTooLarge",
    "ProtocolError",
    "Undecodable",
]


class ProtocolError(ActorflowError):
    """A peer sent what the protocol forbids.

    Args:
        reason: the wire reason that names the fault, e.g. ``"bad_demand"``.
        detail: a sentence for a person.
        ref: the subscription it concerns, when the message named one.
    """

    def __init__(self, reason: str, detail: str, ref: int | None = None) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
        self.ref = ref

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.reason, self.detail, self.ref)


class FrameTooLarge(ProtocolError):
    """A frame announces more bytes than the limit; the link cannot be trusted any more."""


class Undecodable(ProtocolError):
    """A body of events, or a frame, cannot be decoded."""


class EventNotEncodable(ActorflowError):
    """An emitted event cannot be turned into bytes, so it cannot leave its stage.

    Args:
        stage: the emitting stage.
        event_type: the event's type, qualified.
        cause: why, in the words of the codec.
    """

    def __init__(self, stage: str, event_type: str, cause: str) -> None:
        super().__init__(
            f"stage {stage!r} emitted an event of type {event_type} that cannot be sent to another"
            f" process ({cause}); emit plain data or an object that pickle accepts, and open files,"
            " locks and connections in the stage that uses them"
        )
        self.stage = stage
        self.event_type = event_type
        self.cause = cause

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.stage, self.event_type, self.cause)
