"""Companions of a stage: objects that work beside it, each in a process or a thread of its own.

A child of an event lives once and leaves a result (`actorflow.stage.children`). A companion lives
as long as its stage wants it, is told messages, and says some. It is a machine without I/O, which
whoever drives it asks to work; so the same companion runs in a process, in a thread, and in virtual
time.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

from actorflow.records import dataclass
from actorflow.stage.children import ChildEnd

__all__ = [
    "COMPANION_PLACES",
    "Companion",
    "CompanionObserver",
    "CompanionRuntime",
]

COMPANION_PLACES = ("process", "thread")


class Companion(ABC):
    """What lives beside a stage. Its driver tells it what has come, then has it work.

    Everything that the stage has told it so far is told before a piece of work is begun: so a word
    that ends something does not wait behind the work that it ends.
    """

    @abstractmethod
    def told(self, message: Any) -> None:
        """Take a message of the stage's, without doing the work that it brings."""

    @property
    @abstractmethod
    def busy(self) -> bool:
        """Whether there is work."""

    @abstractmethod
    def work(self, until: float) -> list[Any]:
        """Work; called while it is `busy`, and again if it still is.

        Args:
            until: when to look up, on `time.monotonic`: a piece of work that is begun is finished,
                and no other is begun after that.

        Returns:
            messages for the stage.
        """

    def cannot_say(self, message: Any, error: TypeError) -> list[Any]:
        """A message of `work` cannot be sent; returns what to say instead.

        Raises:
            TypeError: there is nothing to say instead: the companion ends, badly.
        """
        raise error

    def let_go(self) -> None:
        """The stage wants nothing more, or is gone; the last thing that is called."""


@dataclass(frozen=True, slots=True)
class CompanionObserver:
    """Whom the runtime tells of companions, on the stage's own thread, never during a call to it.

    Args:
        said: a companion's number and its messages, in order.
        ended: its number and how it ended; after everything that it has said.
    """

    said: Callable[[int, Sequence[Any]], None]
    ended: Callable[[int, ChildEnd], None]


class CompanionRuntime(ABC):
    """Where the companions of one stage live. Nothing here blocks.

    A companion is named by its *life*, a number that is never used twice.
    """

    @abstractmethod
    def start(self, life: int, companion: Companion) -> None:
        """Let a companion live.

        Raises:
            OSError: there is no process or thread to be had.
        """

    @abstractmethod
    def tell(self, lives: Sequence[int], message: Any) -> None:
        """Tell companions something, which is encoded once; those that have ended miss nothing.

        Raises:
            TypeError: the message cannot be sent.
        """

    @abstractmethod
    def let_go(self, life: int) -> None:
        """Have a companion end, after the piece of work that it has in hand."""

    @abstractmethod
    def kill(self, life: int) -> None:
        """End a companion now. A thread cannot be ended: it is heard no more."""

    @abstractmethod
    def pid(self, life: int) -> int:
        """The process it lives in; 0 when it has ended."""

    @abstractmethod
    def close(self) -> None:
        """Let go of everything; what still runs is killed. May be repeated."""
