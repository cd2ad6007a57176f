"""What happens when tasks that were made inside take too many bytes, and the file they go to."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from actorflow.errors import Broken
from actorflow.records import dataclass
from actorflow.stages.pool.lifecycle import QueryRun
from actorflow.stages.pool.options import PoolOptions
from actorflow.stages.pool.queues import WorkQueues
from actorflow.stages.pool.slices import Chunk

__all__ = ["Overflow", "Spill", "SpillFile"]


@dataclass(frozen=True, slots=True)
class _Place:
    start: int
    size: int


class Spill(Protocol):
    """Where bytes can be put and taken from again."""

    def put(self, data: bytes) -> Any:
        """Keep bytes; returns what `take` wants. Raises OSError when there is no room."""

    def take(self, place: Any) -> bytes:
        """The bytes, which are kept no longer. Raises OSError when they cannot be read."""

    def forget(self, place: Any) -> None:
        """They are not needed."""


class SpillFile:
    """A file without a name, made when it is first needed; it is empty again when nothing is in it.

    Example:
        >>> spill = SpillFile()
        >>> place = spill.put(b"tasks")
        >>> spill.take(place), spill.size
        (b'tasks', 0)
        >>> spill.close()
    """

    def __init__(self) -> None:
        self._file: Any = None
        self._kept = 0
        self.size = 0
        """How long the file is, in bytes."""

    def put(self, data: bytes) -> Any:
        """As `Spill.put`."""
        if self._file is None:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115  (it lives as long as this object)
        self._file.seek(self.size)
        self._file.write(data)
        self._file.flush()
        place = _Place(self.size, len(data))
        self.size += len(data)
        self._kept += 1
        return place

    def take(self, place: Any) -> bytes:
        """As `Spill.take`."""
        self._file.seek(place.start)
        data: bytes = self._file.read(place.size)
        self.forget(place)
        if len(data) != place.size:
            raise OSError(f"{place.size} bytes were spilled and {len(data)} are there")
        return data

    def forget(self, place: Any) -> None:
        """As `Spill.forget`."""
        self._kept -= 1
        if not self._kept:
            self._file.truncate(0)
            self.size = 0

    def close(self) -> None:
        """Give the file back; what is in it is gone."""
        if self._file is not None:
            self._file.close()
            self._file = None


class Overflow:
    """Keeps the bytes of internal tasks within their limit, as the options say.

    Args:
        options: the limit, and what to do about it.
        queues: the internal queue.
        spill: where tasks go that there is no memory for.
        log: writes a log line.
    """

    def __init__(
        self,
        options: PoolOptions,
        queues: WorkQueues,
        spill: Spill,
        log: Callable[[str, str, dict[str, Any]], None],
    ) -> None:
        self.limit = options.internal_bytes_limit
        self.spilled = 0
        """How many bytes are on disk."""
        self._does = options.on_overflow
        self._queues = queues
        self._spill = spill
        self._log = log
        self._places: dict[int, Any] = {}
        self._sizes: dict[int, int] = {}

    @property
    def over(self) -> bool:
        """Whether the limit is passed; then nothing more is admitted."""
        return self._queues.bytes > self.limit

    def check(self) -> int | None:
        """Do what is to be done; returns the query that is to be ended, or None."""
        if not self.over or self._does == "inline":
            return None
        if self._does == "fail_query":
            return self._queues.largest()
        self._spill_some()
        return None

    def back(
        self, run: QueryRun, chunks: list[Chunk], fail: Callable[[QueryRun, BaseException], None]
    ) -> list[Chunk]:
        """Have the bytes of these in memory; none of them, when that fails their query."""
        for chunk in chunks:
            place = self._places.pop(id(chunk), None)
            if place is None:
                continue
            self.spilled -= self._sizes.pop(id(chunk))
            try:
                chunk.body = self._spill.take(place)
            except OSError as error:
                fail(run, Broken(f"spilled tasks of {run.query.name!r} cannot be read: {error}"))
                return []
        return chunks

    def forget(self, chunk: Chunk) -> None:
        """A chunk is dropped."""
        place = self._places.pop(id(chunk), None)
        if place is not None:
            self.spilled -= self._sizes.pop(id(chunk))
            self._spill.forget(place)

    def _spill_some(self) -> None:
        """What will be run last goes first, until half of the limit is free."""
        for chunk in self._last_first():
            if self._queues.bytes <= self.limit // 2:
                return
            try:
                self._places[id(chunk)] = self._spill.put(chunk.body)
            except OSError as error:
                self._log("error", "tasks cannot be spilled", {"reason": str(error)})
                return
            size = len(chunk.body)
            self._sizes[id(chunk)] = size
            self.spilled += size
            self._queues.spilled(size)
            chunk.body = b""

    def _last_first(self) -> Sequence[Chunk]:
        return [chunk for chunk in self._queues.all_last_first() if chunk.body]
