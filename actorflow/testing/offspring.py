"""A stage's children in the hands of a test."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

from actorflow.records import dataclass
from actorflow.stage.children import (
    ChildEnd,
    ChildEnded,
    ChildKind,
    ChildRuntime,
    ChildTemplate,
    Observer,
    end_by,
)

__all__ = ["PlayedChild", "PlayedChildren"]


@dataclass(slots=True)
class PlayedChild:
    """One child that the stage has started.

    Args:
        life: its number.
        template: what it was to run.
        arguments: what followed the template's own arguments.
        since: when it began, on the harness's clock; None while the test lets it wait.
    """

    life: int
    template: ChildTemplate
    arguments: tuple[Any, ...]
    since: float | None


class PlayedChildren(ChildRuntime):
    """Where a `StageHarness`'s children live: nothing runs, the test says what becomes of each.

    Example:
        >>> from actorflow import ConsumerSupervisor
        >>> from actorflow.testing import StageHarness
        >>> harness = StageHarness(ConsumerSupervisor, {"template": print})
        >>> harness.link_to_producer(1, "numbers", max_demand=2, min_demand=1)
        >>> harness.route(1, ["a", "b"])
        >>> [child.arguments for child in harness.offspring.running.values()]
        [('a',), ('b',)]
        >>> harness.offspring.returns(1), harness.asks(1)
        (None, [2, 1])
    """

    def __init__(self, kind: ChildKind, now: Callable[[], float], tell: Observer) -> None:
        self.kind = kind
        self.running: dict[int, PlayedChild] = {}
        """The children that have not ended, by number."""
        self.signals: list[tuple[int, str]] = []
        """Every signal the stage has sent: to whom, and which."""
        self.refusals: list[OSError] = []
        """What the next starts raise, one after the other."""
        self.waiting = False
        """Whether children that are started from now on wait for a place."""
        self.closed = False
        self._now = now
        self._tell = tell

    # --- what the test says -----------------------------------------------------------------------

    def returns(self, *lives: int, result: Any = None) -> None:
        """Children return."""
        self.end(*lives, end=ChildEnd("normal", True, result))

    def raises(self, *lives: int, error: BaseException | None = None) -> None:
        """Children raise."""
        self.end(*lives, end=end_by(error if error is not None else ValueError("no"), 0.0))

    def die(self, *lives: int, signal: int = 9) -> None:
        """Children are killed."""
        self.end(*lives, end=ChildEnd(["signal", signal], False))

    def end(self, *lives: int, end: ChildEnd) -> None:
        """Children end, in one turn."""
        for life in lives:
            del self.running[life]
        self._tell([ChildEnded(life, end) for life in lives])

    # --- what the stage says ----------------------------------------------------------------------

    def start(self, life: int, template: ChildTemplate, arguments: Sequence[Any]) -> None:
        """As `ChildRuntime.start`."""
        if self.refusals:
            raise self.refusals.pop(0)
        since = None if self.waiting else self._now()
        self.running[life] = PlayedChild(life, template, tuple(arguments), since)

    def signal(self, life: int, signal: Literal["terminate", "kill"]) -> None:
        """As `ChildRuntime.signal`; what the child makes of it the test says."""
        self.signals.append((life, signal))

    def running_since(self, life: int) -> float | None:
        """As `ChildRuntime.running_since`."""
        return self.running[life].since if life in self.running else None

    def pid(self, life: int) -> int:
        """As `ChildRuntime.pid`: the number that the test knows."""
        return life if life in self.running else 0

    def close(self) -> None:
        """As `ChildRuntime.close`."""
        self.closed = True
