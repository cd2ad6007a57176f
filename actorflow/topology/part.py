"""What every part of a `Run` has: the supervisor whose operations it offers."""

from __future__ import annotations

from actorflow.supervision.handle import SupervisorHandle

__all__ = ["CALL_TIMEOUT", "RunPart"]

CALL_TIMEOUT = 5.0
"""Seconds that an operation may take unless its caller says otherwise, as in OTP."""


class RunPart:
    """A part of a `Run`.

    Args:
        supervisor: who does what it offers.
    """

    def __init__(self, supervisor: SupervisorHandle) -> None:
        self._supervisor = supervisor
