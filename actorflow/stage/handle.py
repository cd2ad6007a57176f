"""What a program holds of one running stage, to ask it for things."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from actorflow.errors import CallError

__all__ = ["StageHandle"]


class StageHandle:
    """The base of the handles that a run gives for its ready-made stages.

    Args:
        call: makes a call to the stage: request, seconds.
    """

    def __init__(self, call: Callable[[Any, float], Any]) -> None:
        self._call = call

    def _ask(self, request: Any, timeout: float) -> Any:
        try:
            return self._call(request, timeout)
        except CallError as error:
            # What the stage refused, as it would be raised in one program.
            if type(error) is CallError and error.__cause__ is not None:
                raise error.__cause__ from error
            raise
