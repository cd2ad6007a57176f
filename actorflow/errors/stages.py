"""Errors of joins and of asynchronous stages."""

from __future__ import annotations

from typing import Any

from actorflow.errors.base import ActorflowError

__all__ = [
    "ItemFailed",
    "PartitionLost",
    "SkewExceeded",
]


class PartitionLost(ActorflowError):
    """A partition is gone that others wait for, so that a result will not be complete.

    Args:
        partition: the stage, ``"count/1"``.
        reason: why it ended.
        windows: the windows that lack its report.
    """

    def __init__(self, partition: str, reason: object, windows: list[Any]) -> None:
        which = (
            f"window {windows[0]!r} lacks" if len(windows) == 1 else f"{len(windows)} windows lack"
        )
        super().__init__(f"partition {partition} is gone ({reason}); {which} its report")
        self.partition = partition
        self.reason = reason
        self.windows = windows

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.partition, self.reason, self.windows)


class SkewExceeded(ActorflowError):
    """The inputs of a join are so far apart that waiting for the slowest takes too much memory.

    Args:
        limit: how much may wait.
        what: of what.
        laggard: the stage that is waited for.
    """

    def __init__(self, limit: int, what: str, laggard: str) -> None:
        super().__init__(f"more than {limit} {what}: {laggard} is too far behind the others")
        self.limit = limit
        self.what = what
        self.laggard = laggard

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.limit, self.what, self.laggard)


class ItemFailed(ActorflowError):
    """An asynchronous stage's call failed for an item, and was not to be tried again.

    It ends the stage, or is an event in the item's place, as the stage's `on_error` says.

    Args:
        number: which item of this life of the stage it was, from 1.
        item: the item.
        summary: what the last try ended with, ``"ValueError: no"``.
        tries: how often it was tried, from 1.

    The exception itself, where there was one, is this error's ``__cause__``.

    Example:
        >>> str(ItemFailed(7, "a.png", "ValueError: no", 2))
        "item 7, 'a.png', failed with ValueError: no, tried 2 times"
    """

    def __init__(self, number: int, item: object, summary: str, tries: int) -> None:
        times = "" if tries == 1 else f", tried {tries} times"
        super().__init__(f"item {number}, {item!r:.100}, failed with {summary}{times}")
        self.number = number
        self.item = item
        self.summary = summary
        self.tries = tries

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.number, self.item, self.summary, self.tries)
