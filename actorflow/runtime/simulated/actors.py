"""What may happen next: actors, and the set of those that may be able to act."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Actor", "ReadySet"]


class Actor:
    """One thing that can happen, again and again: a read, a write, a turn of a stage, a timer.

    Args:
        name: for the trace.
        ready: whether it can act now.
        act: does it once; returns what happened, for the trace.
    """

    __slots__ = ("act", "name", "place", "rank", "ready", "slow")

    def __init__(self, name: str, ready: Callable[[], bool], act: Callable[[], str]) -> None:
        self.name = name
        self.ready = ready
        self.act = act
        self.place = -1
        """Its index in the ready set, or -1."""
        self.rank: float | None = None
        """Its priority, given when a schedule that has priorities first sees it."""
        self.slow: bool | None = None
        """Whether a schedule that has laggards chose it as one."""


class ReadySet:
    """Actors that may be able to act, in an order that depends on nothing but history.

    Adding is cheap and may be done on suspicion: the world asks `ready` before it lets one act.

    Example:
        >>> actors = ReadySet()
        >>> actor = Actor("tick", lambda: True, lambda: "done")
        >>> actors.add(actor)
        >>> [each.name for each in actors.items]
        ['tick']
    """

    __slots__ = ("items",)

    def __init__(self) -> None:
        self.items: list[Actor] = []

    def add(self, actor: Actor) -> None:
        """Put an actor in; nothing when it is in."""
        if actor.place < 0:
            actor.place = len(self.items)
            self.items.append(actor)

    def discard(self, actor: Actor) -> None:
        """Take an actor out; nothing when it is not in. The last one takes its place."""
        place = actor.place
        if place < 0:
            return
        items = self.items
        last = items.pop()
        if last is not actor:
            items[place] = last
            last.place = place
        actor.place = -1
