"""Dead letters in a file: one JSON object per line, for people, programs and another try."""

from __future__ import annotations

import base64
import json
import math
import os
import pickle
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from actorflow.errors import DeadLetterError
from actorflow.records import dataclass

__all__ = ["DeadLetter", "DeadLetterFile", "read_letters"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """An event that was given up.

    Args:
        stage: who gave it up, ``"count/1"``.
        producer: the stage that it had come from.
        event: the event, pickled.
        shown: the event as text.
        attempts: how often it was tried.
        error: what came of the last time, ``"ValueError: no"``.
        traceback: where that was raised; nothing when the stage's process just died.
        time: when, in UTC, as ISO 8601 has it; nothing for now.

    Example:
        >>> given_up = DeadLetter(
        ...     stage="count/0", producer="files/0", event=pickle.dumps((1, "a")), shown="(1, 'a')",
        ...     attempts=3, error="ValueError: no",
        ... )
        >>> DeadLetter.from_json(given_up.to_json()).value()
        (1, 'a')
    """

    stage: str
    producer: str
    event: bytes
    shown: str
    attempts: int
    error: str
    traceback: str = ""
    time: str = ""

    def value(self) -> Any:
        """The event itself.

        Raises:
            Exception: whatever its class raises when it is made again.
        """
        return pickle.loads(self.event)

    def to_json(self) -> str:
        """One line, without its end; an event that is no plain JSON is there pickled, too."""
        fields: dict[str, Any] = {
            "time": self.time or datetime.now(UTC).isoformat(timespec="milliseconds"),
            "stage": self.stage,
            "producer": self.producer,
            "attempts": self.attempts,
            "error": self.error,
            "traceback": self.traceback,
        }
        try:
            event = self.value()
        except Exception:  # noqa: BLE001  (unpickling runs the event's own code, made elsewhere)
            event = self.value  # which is nothing plain
        if _is_plain(event):
            fields["event"] = event
        else:
            fields |= {"event": self.shown, "pickled": base64.b64encode(self.event).decode()}
        return json.dumps(fields)

    @classmethod
    def from_json(cls, line: str) -> Self:
        """Read a line.

        Raises:
            ValueError: it is no dead letter.
        """
        fields = json.loads(line)
        if not isinstance(fields, dict) or "event" not in fields:
            raise ValueError("no object with an event")
        shown = fields.pop("event")
        pickled = fields.pop("pickled", None)
        event = pickle.dumps(shown) if pickled is None else base64.b64decode(pickled)
        try:
            letter = cls(event=event, shown=str(shown), **fields)
        except TypeError as error:
            raise ValueError(str(error).rpartition("__init__() ")[2]) from None
        if type(letter.stage) is not str or type(letter.producer) is not str:
            raise ValueError("stage and producer must be names")
        return letter


class DeadLetterFile:
    """A file that letters are added to; it belongs to one thread.

    Args:
        path: the file; it is made when it does not exist.

    Raises:
        DeadLetterError: it cannot be opened.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            self._file = open(self.path, "a+b", buffering=0)  # noqa: SIM115  (closed by `close`)
            self._end = self._file.seek(0, os.SEEK_END)
        except OSError as error:
            said = f"dead_letters: {self.path} cannot be written: {error}"
            raise DeadLetterError(said) from error

    def keep(self, letter: DeadLetter) -> None:
        """Add a letter.

        Raises:
            OSError: a full disk, say; the file is as it was, and it may be tried again.
        """
        self._write(letter.to_json().encode() + b"\n")

    def close(self) -> None:
        """Let go of the file. May be repeated."""
        self._file.close()

    def _write(self, data: bytes) -> None:
        written = 0
        try:
            while written < len(data):
                written += self._file.write(data[written:])
        except OSError:
            # Half a line would be taken for a damaged one.
            self._file.truncate(self._end)
            raise
        self._end += written


def read_letters(path: str | Path) -> Iterator[DeadLetter]:
    """The letters of a file, in their order.

    Raises:
        DeadLetterError: the file cannot be read, or a line of it is no letter.

    Example:
        >>> import os, tempfile
        >>> letter = DeadLetter(
        ...     stage="count/0", producer="files/0", event=pickle.dumps("a"), shown="'a'",
        ...     attempts=3, error="ValueError: no",
        ... )
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "letters")
        ...     with open(path, "w") as file:
        ...         print(letter.to_json(), file=file)
        ...     [(each.stage, each.value()) for each in read_letters(path)]
        [('count/0', 'a')]
    """
    try:
        with open(path, encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield read_letter(line, f"{path}, line {number}")
    except (OSError, UnicodeDecodeError) as error:
        raise DeadLetterError(f"{path} cannot be read: {error}") from error


def read_letter(line: str, where: str) -> DeadLetter:
    """The letter in a line.

    Args:
        line: the line.
        where: where it is, for the error.

    Raises:
        DeadLetterError: it is none.
    """
    try:
        return DeadLetter.from_json(line)
    except ValueError as error:
        raise DeadLetterError(f"{where} is no dead letter: {error}") from error


def _is_plain(value: object) -> bool:
    """Whether JSON gives a value back as it was, types included."""
    kind = type(value)
    if value is None or kind in (bool, int, str):
        return True
    if kind is float:
        return math.isfinite(value)  # type: ignore[arg-type]
    if kind is list:
        return all(map(_is_plain, value))  # type: ignore[call-overload]
    if kind is dict:
        return all(type(key) is str and _is_plain(each) for key, each in value.items())  # type: ignore[attr-defined]
    return False
