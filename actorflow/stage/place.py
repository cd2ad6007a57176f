"""A stage that lives in the calling program: what its thread and the program share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from actorflow.stage.behaviour import Stage

__all__ = ["Pending", "Place", "ProgramSource"]


class Place(ABC):
    """What a stage in the program shares with it; `StageSpec.place` says that it lives there.

    Every other stage has a process of its own. One with a place is turned by a thread of the
    calling program, with the same loop, control link and pipes. Its place is never pickled, and is
    the same object for each life of the stage in one run.
    """

    final = False
    """Whether a bad end of the stage ends the run, because the stage cannot be started again."""

    guest = False
    """Whether the stage is the program's guest among the children: it ends with its last
    subscription, whatever its cancel mode, and no group takes it along when it is restarted."""

    error: BaseException | None = None
    """The exception that ended the stage: the object itself, and not a copy that travelled."""

    leaving: Any = None
    """Why the program wants the stage to end; looked at when the stage's thread is rung."""

    @abstractmethod
    def enter(self, ring: Callable[[], None]) -> None:
        """A life of the stage begins, on a thread of its own.

        A simulated stage has no thread and is not told.

        Args:
            ring: has the stage's `handle_info` called soon, with this place; may be called from any
                thread at any moment, never blocks, and does nothing once that life is over.
        """

    @abstractmethod
    def leave(self) -> None:
        """That life is over, however it ended; must not block."""

    def close(self) -> None:
        """The run is over: begin to end what belongs to this place; must not block."""

    def wait_closed(self) -> None:
        """Wait for that, within a limit that the place itself has; what stays is logged."""


class Pending:
    """What a callback of a stage in the program returns when it is not over yet.

    The stage's thread goes on reading its links, and takes nothing else in hand until `finish` has
    been called, and the place's `ring` after it.
    """

    __slots__ = ("finished", "result")

    def __init__(self) -> None:
        self.finished = False
        self.result: Any = None

    def finish(self, result: Any = None) -> None:
        """The callback is over, with this result; from any thread."""
        self.result = result
        self.finished = True


class ProgramSource(ABC):
    """A source of events in the program, for `Topology.stage` in the place of a stage's class."""

    behaviour: type[Stage]
    """The stage that it becomes; its constructor takes the place, as ``place``."""

    max_demand: int | Literal["auto"] | None
    """How many events may be under way to a consumer that does not say; None for the default."""

    options: Mapping[str, Any]
    """Its options as a stage, by name."""

    @property
    @abstractmethod
    def used_up(self) -> str:
        """Why it cannot be run, or nothing."""

    @abstractmethod
    def place(self, name: str, shutdown: float) -> Place:
        """What the stage of one run shares with the program.

        Args:
            name: the stage's name.
            shutdown: seconds that the program's own code is waited for when the run is over.
        """
