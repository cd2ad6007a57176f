"""A simulated stage's children: they take virtual time, end in any order, and are killed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

from actorflow.stage.children import (
    ChildEnd,
    ChildEnded,
    ChildRuntime,
    ChildTemplate,
    Observer,
    outcome_of,
    outcome_without_waiting,
)

__all__ = ["SimulatedChildren"]


class SimulatedChildren(ChildRuntime):
    """Each child runs at once and ends some virtual time later, unless it is killed before.

    Args:
        now: the virtual clock.
        after: has a callback called at a later virtual time.
        observe: is told of ends.
        lasts: how long the next child takes, in virtual seconds.
        dies: whether the next child is killed before it is done.
    """

    def __init__(
        self,
        now: Callable[[], float],
        after: Callable[[float, Callable[[], None]], None],
        observe: Observer,
        lasts: Callable[[], float],
        dies: Callable[[], bool],
    ) -> None:
        self._now = now
        self._after = after
        self._observe = observe
        self._lasts = lasts
        self._dies = dies
        self._since: dict[int, float] = {}

    def start(self, life: int, template: ChildTemplate, arguments: Sequence[Any]) -> None:
        """As `ChildRuntime.start`."""
        self._since[life] = self._now()
        end = ChildEnd(["signal", 9], False)
        if not self._dies():
            live = outcome_without_waiting if template.kind == "task" else outcome_of
            end = live(template.function, (*template.arguments, *arguments))
        self._after(self._lasts(), lambda: self._over(life, end))

    def signal(self, life: int, signal: Literal["terminate", "kill"]) -> None:
        """As `ChildRuntime.signal`."""
        number = 15 if signal == "terminate" else 9
        self._after(0.0, lambda: self._over(life, ChildEnd(["signal", number], False)))

    def running_since(self, life: int) -> float | None:
        """As `ChildRuntime.running_since`."""
        return self._since.get(life)

    def pid(self, life: int) -> int:
        """As `ChildRuntime.pid`: its own number, as there is no process."""
        return life if life in self._since else 0

    def close(self) -> None:
        """As `ChildRuntime.close`."""
        self._since.clear()

    def _over(self, life: int, end: ChildEnd) -> None:
        if self._since.pop(life, None) is not None:
            self._observe((ChildEnded(life, end),))
