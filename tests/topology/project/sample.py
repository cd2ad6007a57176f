"""Stages and functions that the topologies of these tests name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from actorflow import DemandDispatcher
from actorflow.stage.behaviour import Consumer, Producer, ProducerConsumer, Stage

limit = 3


class Numbers(Producer):
    def __init__(self, start: int = 0, *, step: int = 1) -> None:
        self.next = start
        self.step = step


class Paths(Producer):
    buffer_size = 7
    buffer_keep = "first"
    poll_interval = 0.5

    def __init__(self, root: str, pattern: str = "*") -> None:
        self.root = root
        self.pattern = pattern


class Double(ProducerConsumer):
    pass


class Halve(ProducerConsumer):
    buffer_size = 5

    class Inner(ProducerConsumer):
        pass


class Print(Consumer):
    pass


class Anything(Consumer):
    def __init__(self, **options: Any) -> None:
        self.options = options


class PositionOnly(Producer):
    def __init__(self, place: int, /) -> None:
        self.place = place


class Follows(Consumer):
    subscribe_to = ("numbers",)


class FollowsMany(Consumer):
    subscribe_to = ({"to": "numbers", "max_demand": 4}, {"to": "paths", "cancel": "temporary"})


class FollowsBadly(Consumer):
    subscribe_to = ({"to": "numbers", "max_demand": 0},)


class FollowsOddly(Consumer):
    subscribe_to = ({"to": "numbers", "max_demnd": 4},)


class BadBuffer(Producer):
    buffer_size = -1


class BadDispatcher(Producer):
    dispatcher = {"partition": {}}  # noqa: RUF012  # what a careless user writes


class Bare(Stage):
    pass


class Abstract(Producer, ABC):
    @abstractmethod
    def connect(self) -> None: ...


class NotAStage:
    pass


def parity(event: int) -> str:
    """Which partition a number belongs to."""
    return "odd" if event % 2 else "even"


class Turns(DemandDispatcher):
    """A dispatcher, of one's own."""

    def __init__(self, *, size: int) -> None:
        super().__init__(chunk=size)


def scan_with_a_lock() -> object:
    """What cannot travel to another process."""
    import threading

    from actorflow.stages.scans import latest, lmap

    return lmap(threading.Lock().__enter__, latest())


class Awaited(Producer):
    async def handle_demand(self, demand: int) -> None:  # type: ignore[override]
        pass


class Misread(Consumer):
    def handle_events(self, events: list[Any]) -> None:  # type: ignore[override]
        pass

    def on_stop(self, reason: Any, code: int) -> None:  # type: ignore[override]
        pass
