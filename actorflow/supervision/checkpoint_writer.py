"""The thread that writes a checkpoint file, so that the supervisor never waits for a disk."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from actorflow.errors import CheckpointError
from actorflow.protocol.control import Snapshot
from actorflow.records import dataclass
from actorflow.supervision.checkpoint import CheckpointFile
from actorflow.supervision.recovery import SnapshotStore

__all__ = ["Checkpointing"]

_logger = logging.getLogger("actorflow.checkpoint")

RETRY_AFTER = 1.0
"""Seconds after which what could not be written is tried again."""

TOGETHER = 1000
"""How many writes share a transaction at most."""


@dataclass(frozen=True, slots=True)
class _Write:
    """One thing to write.

    Args:
        act: writes it, inside the transaction that it shares with others.
        stored: is called once it is kept.
    """

    act: Callable[[CheckpointFile], None]
    stored: Callable[[], None]


class Checkpointing(SnapshotStore):
    """Writes snapshots in the order in which it gets them, as many together as there are.

    While the disk refuses, nothing is lost and nothing is called stored: the stages stop at what
    may be unfinished, each refusal is a line in the log, and it is tried again every second.

    Args:
        file: the file, its own from now on.
        later: has something done in the supervisor's thread.
    """

    def __init__(self, file: CheckpointFile, later: Callable[[Callable[[], None]], None]) -> None:
        self._file = file
        self._later = later
        self._queue: queue.SimpleQueue[_Write | None] = queue.SimpleQueue()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="actorflow-checkpoint", daemon=True)
        self._thread.start()

    def keep(self, stage: str, snapshot: Snapshot, stored: Callable[[], None]) -> None:
        """Keep a snapshot; `stored` is called in the supervisor's thread."""
        kept = partial(self._later, stored)
        self._queue.put(_Write(lambda file: file.keep(stage, snapshot), kept))

    def keep_end(self, stage: str, reason: Any, result: bytes | None) -> None:
        """A stage has come to its orderly end."""
        self._queue.put(_Write(lambda file: file.keep_end(stage, reason, result), _nothing))

    def close(self, *, finished: bool) -> None:
        """Write what is left, and let go of the file.

        What cannot be written now is not waited for: the next run goes on from before it.

        Args:
            finished: whether the run has ended with success, so that the next one begins anew.
        """
        if not self._thread.is_alive():
            return
        if finished:
            self._queue.put(_Write(CheckpointFile.finish, _nothing))
        self._ending.set()
        self._queue.put(None)
        self._thread.join()

    # --- the thread -------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while self._write(self._next()):
                pass
        finally:
            self._file.close()

    def _next(self) -> list[_Write | None]:
        """What there is to write, at least one."""
        writes = [self._queue.get()]
        while len(writes) < TOGETHER and writes[-1] is not None:
            try:
                writes.append(self._queue.get_nowait())
            except queue.Empty:
                break
        return writes

    def _write(self, writes: list[_Write | None]) -> bool:
        """Write these, however often it takes; returns whether there is more to come."""
        wanted = [write for write in writes if write is not None]
        while wanted:
            try:
                with self._file.transaction():
                    for write in wanted:
                        write.act(self._file)
            except CheckpointError as error:
                _logger.warning("%s; it is tried again in %g s", error, RETRY_AFTER)
                if self._ending.wait(RETRY_AFTER):
                    _logger.warning("%d writes to the checkpoint were given up", len(wanted))
                    return False
                continue
            for write in wanted:
                write.stored()
            break
        return writes[-1] is not None


def _nothing() -> None:
    """Nobody waits for it."""
