"""One scan as the stage that feeds it sees it: what it has, what it owes, where it stands."""

from __future__ import annotations

from collections import deque
from dataclasses import field
from enum import Enum
from typing import Any

from actorflow.records import dataclass
from actorflow.stages.scans.config import ScanInfo, ScanRef

__all__ = ["Element", "Member", "Standing"]


class Standing(Enum):
    """Where a scan stands."""

    RUNNING = "running"
    DRAINING = "draining"
    """No more inputs for it; it ends behind those that it has."""
    ENDING = "ending"
    """It has been asked to end now."""


@dataclass(slots=True, eq=False)
class Element:
    """One input on its way.

    Args:
        item: what it is.
        batch: what the owner gave with it.
        key: whose it is, for a demultiplexer that has looked.
    """

    item: Any
    batch: Any
    key: Any = None
    looked: bool = False


@dataclass(slots=True, eq=False)
class Member:
    """A scan that has not ended.

    Args:
        id: its number.
        name: its name.
        pickled: the scan, as it begins.
        window: how many inputs and values it may have, or None.
        window_bytes: how many bytes of inputs, or None.
        host: where it runs.
        position: up to which place of its inputs it has consumed them.
    """

    id: int
    name: Any
    pickled: bytes
    window: int | None
    window_bytes: int | None
    host: int
    position: int = 0
    reach: int = field(init=False)
    """Up to which place of its inputs it has been fed."""
    standing: Standing = Standing.RUNNING
    held: int = 0
    """How many of its values nobody has taken yet."""
    consumed: int = 0
    emitted: int = 0
    restarts: int = 0
    lost: int = 0
    waiting_since: float | None = None
    overdue: bool = False
    """Whether it was killed because it did not end in time."""
    summons: int = 0
    """How often it has been given a time to end in, so that an older one does not count."""
    sizes: deque[int] = field(default_factory=deque)
    """The bytes of each input that it has, where they are limited."""
    elements: deque[Element] = field(default_factory=deque)
    """The inputs that it has, where they would go to another."""

    def __post_init__(self) -> None:
        self.reach = self.position

    @property
    def running(self) -> bool:
        """Whether it is fed."""
        return self.standing is Standing.RUNNING

    @property
    def queued(self) -> int:
        """How many inputs it has and has not consumed."""
        return self.reach - self.position

    @property
    def room(self) -> float:
        """How many more inputs it may have.

        An input makes one value at most. So places are given back when the value has left, and what
        it says always has one.
        """
        return float("inf") if self.window is None else self.window - self.queued - self.held

    def fits(self, size: int) -> bool:
        """Whether an input of so many bytes may follow; one always may, or nothing ever would."""
        limit = self.window_bytes
        return limit is None or not self.sizes or sum(self.sizes) + size <= limit

    def fed(self, count: int) -> None:
        """It was given so many inputs."""
        self.reach += count
        self.waiting_since = None

    def did(self, consumed: int, values: int) -> None:
        """It has consumed inputs and said values."""
        self.position += consumed
        self.consumed += consumed
        self.emitted += values
        self.held += values
        for _ in range(min(consumed, len(self.sizes))):
            self.sizes.popleft()

    def begin_anew(self, position: int, host: int) -> None:
        """It runs again, elsewhere, without what it had."""
        self.position = self.reach = position
        self.host = host
        self.restarts += 1
        self.waiting_since = None
        self.sizes.clear()

    @property
    def ref(self) -> ScanRef:
        """What names it outside."""
        return ScanRef(self.id, self.name)

    def info(self, state: str = "", pid: int = 0) -> ScanInfo:
        """Its row; `state` says how it ended."""
        return ScanInfo(
            id=self.id,
            name=self.name,
            state=state or self.standing.value,
            queued=0 if state else self.queued,
            consumed=self.consumed,
            emitted=self.emitted,
            waiting_since=self.waiting_since,
            restarts=self.restarts,
            lost=self.lost,
            pid=pid,
        )
