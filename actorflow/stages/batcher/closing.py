"""How a batcher ends: the modes, and what is counted for the report."""

from __future__ import annotations

from dataclasses import field
from typing import Any, Literal

from actorflow.errors import OptionError
from actorflow.protocol.arguments import check_seconds
from actorflow.records import dataclass
from actorflow.stages.batcher.commands import ShutdownReport

__all__ = ["MODES", "Closing", "Mode", "ShutDown"]

Mode = Literal["upstream", "drain", "flush", "close", "abort"]

MODES: tuple[Mode, ...] = ("upstream", "drain", "flush", "close", "abort")
"""From the mildest to the strictest."""

MOST_NAMED = 100
"""How many abandoned keys a report names."""


@dataclass(frozen=True, slots=True)
class ShutDown:
    """Come to an end.

    Args:
        mode: one of `MODES`. ``flush``: take no more, start everything that waits, whatever the
            policy; ``drain``: take no more, and let the policy decide, unless it would wait for
            items; ``close``: cancel what waits, and let finish what runs; ``abort``: cancel all;
            ``upstream``: go on taking items, and leave when nothing is there.
        deadline: seconds after which it becomes an abort, from 0; None for no limit.

    Raises:
        OptionError: an argument breaks its rule.

    Example:
        >>> ShutDown("drain", deadline=5)
        ShutDown(mode='drain', deadline=5)
        >>> ShutDown("now")
        Traceback (most recent call last):
        ...
        actorflow.errors.OptionError: mode must be one of ...
    """

    mode: Mode = "flush"
    deadline: float | None = None

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise OptionError("mode", "one of " + ", ".join(MODES), self.mode)
        if self.deadline is not None:
            check_seconds("deadline", self.deadline)


@dataclass(slots=True)
class Closing:
    """A shutdown that is under way, and what it has come to."""

    mode: Mode
    escalated: bool = False
    replied: int = 0
    failed: int = 0
    refused: int = 0
    grace: float | None = None
    """When it leaves at the latest, once everything is answered."""
    abandoned: dict[str, None] = field(default_factory=dict)

    @property
    def refuses(self) -> bool:
        """Whether no more items are taken."""
        return self.mode != "upstream"

    def is_stricter(self, mode: Mode) -> bool:
        """Whether another mode is stricter than this one."""
        return MODES.index(mode) > MODES.index(self.mode)

    def abandon(self, key: Any) -> None:
        """An item of this key was cancelled."""
        if len(self.abandoned) < MOST_NAMED:
            self.abandoned[repr(key)] = None

    @property
    def report(self) -> ShutdownReport:
        """What the batcher says when it leaves."""
        return ShutdownReport(
            mode=self.mode,
            escalated=self.escalated,
            replied=self.replied,
            failed=self.failed,
            refused=self.refused,
            abandoned=tuple(self.abandoned),
        )
