"""How an exception travels: the exception itself when it pickles, and its traceback always."""

from __future__ import annotations

import pickle
import traceback
from dataclasses import asdict
from typing import Any

from actorflow.protocol.codec import dump
from actorflow.protocol.reasons import shown
from actorflow.records import dataclass

__all__ = ["Failure", "remote_traceback"]


class _RemoteTraceback(Exception):
    """Shown as the cause of a remote exception, so that Python prints the remote traceback."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f'\n"""\n{self.text}"""'


def remote_traceback(text: str) -> Exception:
    """What to set as an exception's cause, so that Python prints a remote traceback with it."""
    return _RemoteTraceback(text)


@dataclass(frozen=True, slots=True)
class Failure:
    """An exception on its way to another process.

    Args:
        summary: the exception's type and text, ``"ValueError: no"``.
        traceback: the formatted traceback of the process it was raised in.
        pickled: the exception itself, or None when it does not survive a round trip.

    Example:
        >>> failure = Failure.of(ValueError("no"))
        >>> failure.summary
        'ValueError: no'
        >>> failure.exception()
        ValueError('no')
    """

    summary: str
    traceback: str
    pickled: bytes | None = None

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        """Capture an exception; never raises, whatever the exception's own methods do."""
        try:
            said = str(error)
            name = type(error).__qualname__
            summary = f"{name}: {said}" if said else name
            text = "".join(traceback.format_exception(error))
        except Exception as broken:  # noqa: BLE001  (it is the text of an error that raised)
            # An exception whose __str__ raises still has to reach the user by name.
            summary = f"{type(error).__qualname__} (its text raised {type(broken).__name__})"
            text = summary + "\n" + "".join(traceback.format_tb(error.__traceback__))
        return cls(summary, text, _pickled(error))

    def exception(self) -> BaseException:
        """The original exception, its cause showing the remote traceback; or a RuntimeError."""
        error: BaseException
        try:
            error = pickle.loads(self.pickled) if self.pickled else RuntimeError(self.summary)
        except Exception:  # noqa: BLE001  (unpickling runs the exception's own code)
            # Its class cannot be imported here; the summary and traceback say what it was.
            error = RuntimeError(self.summary)
        if not isinstance(error, BaseException):
            error = RuntimeError(self.summary)
        error.__cause__ = _RemoteTraceback(self.traceback)
        return error

    def to_wire(self) -> dict[str, Any]:
        """Plain data for a control message."""
        return asdict(self)

    @classmethod
    def from_wire(cls, data: Any) -> Failure:
        """Read what `to_wire` wrote; of anything else, what it says is the summary.

        Example:
            >>> Failure.from_wire(["garbage"]).summary
            "a failure that cannot be read: ['garbage']"
        """
        if isinstance(data, dict):
            summary, text, pickled = map(data.get, ("summary", "traceback", "pickled"))
            if type(summary) is str and type(text) is str and isinstance(pickled, bytes | None):
                return cls(summary, text, pickled)
        return cls(f"a failure that cannot be read: {shown(data)}", "")


def _pickled(error: BaseException) -> bytes | None:
    """The pickled exception, or None when unpickling it would raise."""
    try:
        data = dump(error)
        return data if isinstance(pickle.loads(data), BaseException) else None
    except Exception:  # noqa: BLE001  (pickling runs the exception's own code)
        return None
