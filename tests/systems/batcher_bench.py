"""A batcher's core on a bench: virtual time, and a processor that the test describes."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from actorflow.errors import BatchError
from actorflow.stages.batcher.closing import Mode
from actorflow.stages.batcher.commands import (
    Acquire,
    Answer,
    Interrupt,
    Leave,
    Process,
    Release,
    ShutdownReport,
)
from actorflow.stages.batcher.core import BatcherCore
from actorflow.stages.batcher.policies import Limits, Policy

__all__ = ["MS", "Bench", "Call", "Reply"]

MS = 0.001


@dataclass(frozen=True, slots=True)
class Call:
    """The processor was called."""

    at: int
    key: Any
    inputs: list[Any]
    resources: Any


@dataclass(frozen=True, slots=True)
class Reply:
    """An item was answered."""

    at: int
    value: Any
    error: BatchError | None


class Bench:
    """Drives a core; times are whole milliseconds.

    Args:
        policy: the core's.
        limits: as keywords of `Limits`.
        process: how long a batch takes, or a function of its inputs; None for gated: the test
            says when each ends.
        acquire: the same for resources; without one there are none.
        core: its other options.
    """

    def __init__(
        self,
        policy: Policy,
        limits: dict[str, Any] | None = None,
        *,
        process: int | None = 0,
        acquire: int | Callable[[int], int] | None = None,
        acquires: bool | None = None,
        **core: Any,
    ) -> None:
        self.acquires = acquire is not None if acquires is None else acquires
        self.core = BatcherCore(policy, Limits(**(limits or {})), acquires=self.acquires, **core)
        self.at = 0
        self.calls: list[Call] = []
        self.replies: dict[int, Reply] = {}
        self.acquiring: list[int] = []
        self.processing: dict[int, Process] = {}
        self.released: list[Release] = []
        self.interrupted: list[int] = []
        self.report: ShutdownReport | None = None
        self.left_at: int | None = None
        self._process = process
        self._acquire = acquire
        self._resources = itertools.count()
        self._tokens = itertools.count(1)
        self._later: list[tuple[int, int, Callable[[], None]]] = []
        self._order = itertools.count()

    # --- what the test does -----------------------------------------------------------------------

    def add(self, key: Any = "k", item: Any = None, weight: int = 0) -> int:
        """Add an item; returns its token, which is also the item unless one is given."""
        token = next(self._tokens)
        self.core.add(token, key, token if item is None else item, weight, self.now)
        self._obey()
        return token

    def try_add(self, key: Any = "k") -> int | BatchError:
        """Add an item, or return why not."""
        try:
            return self.add(key)
        except BatchError as error:
            return error

    def cancel(self, token: int) -> bool:
        """Cancel an item."""
        skipped = self.core.cancel(token, self.now)
        self._obey()
        return skipped

    def flush(self, key: Any = None) -> None:
        """Flush."""
        self.core.flush(key, self.now)
        self._obey()

    def shut_down(self, mode: Mode, deadline: float | None = None) -> None:
        """Shut down."""
        self.core.shut_down(mode, deadline, self.now)
        self._obey()

    def acquired(self, batch: int, resources: Any = None) -> None:
        """A batch has its resources."""
        self.acquiring.remove(batch)
        self.core.acquired(batch, resources, self.now)
        self._obey()

    def not_acquired(self, batch: int, error: BatchError) -> None:
        """A batch cannot have them."""
        self.acquiring.remove(batch)
        self.core.acquisition_failed(batch, error, self.now)
        self._obey()

    def finish(
        self, batch: int, error: BatchError | None = None, outputs: list[Any] | None = None
    ) -> None:
        """A batch has been processed; by default each output is ten times the input."""
        inputs = self.processing.pop(batch).inputs
        given = [each * 10 for each in inputs] if outputs is None else outputs
        self.core.finished(batch, [] if error is not None else given, error, self.now)
        self._obey()

    def advance(self, until: int) -> None:
        """Let time pass, in order."""
        while True:
            due = self.core.next_due
            times = [self._later[0][0]] if self._later else []
            if due is not None:
                times.append(max(self.at, round(due / MS)))
            if not times or min(times) > until:
                break
            self.at = min(times)
            if self._later and self._later[0][0] <= self.at:
                heapq.heappop(self._later)[2]()
            else:
                # A sum of seconds is not always the nearest number to the sum of milliseconds.
                self.core.tick(max(self.now, due or 0.0))
            self._obey()
        self.at = until

    # --- what the test sees -----------------------------------------------------------------------

    @property
    def now(self) -> float:
        """Seconds."""
        return self.at * MS

    def answered(self) -> dict[int, int]:
        """When each item got its value."""
        return {token: reply.at for token, reply in self.replies.items() if reply.error is None}

    def errors(self) -> dict[int, BatchError]:
        """The errors by item."""
        return {token: r.error for token, r in self.replies.items() if r.error is not None}

    @property
    def idle(self) -> bool:
        """Whether nothing is left in the core."""
        found = self.core.statistics
        return found.active_keys == found.processing == found.acquiring == found.queued_items == 0

    # --- within -----------------------------------------------------------------------------------

    def _obey(self) -> None:
        while self.core.commands:
            commands, self.core.commands = self.core.commands, []
            for command in commands:
                self._do(command)

    def _do(self, command: Any) -> None:
        if isinstance(command, Answer):
            assert command.token not in self.replies, "answered twice"
            self.replies[command.token] = Reply(self.at, command.value, command.error)
        elif isinstance(command, Acquire):
            self._begin_acquire(command.batch)
        elif isinstance(command, Process):
            self.calls.append(Call(self.at, command.key, command.inputs, command.resources))
            self.processing[command.batch] = command
            if self._process is not None:
                self._in(self._process, lambda: self.finish(command.batch))
        elif isinstance(command, Release):
            self.released.append(command)
            self.core.released(command.batch, self.now)
        elif isinstance(command, Interrupt):
            self.interrupted.append(command.batch)
        elif isinstance(command, Leave):
            self.report, self.left_at = command.report, self.at

    def _begin_acquire(self, batch: int) -> None:
        self.acquiring.append(batch)
        if not self.acquires:
            self._in(0, lambda: self.acquired(batch))
        elif self._acquire is not None:
            number = next(self._resources)
            takes = self._acquire(number) if callable(self._acquire) else self._acquire
            self._in(takes, lambda: self.acquired(batch, number))

    def _in(self, milliseconds: int, act: Callable[[], None]) -> None:
        heapq.heappush(self._later, (self.at + milliseconds, next(self._order), act))
