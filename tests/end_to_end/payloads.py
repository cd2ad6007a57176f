"""Stages that send each other large buffers, and say when one is not what it was."""

from __future__ import annotations

import pickle
from typing import Any

from actorflow import Consumer, Producer, ProducerConsumer, Subscription
from tests.end_to_end.stages import append

SIZE = 100_000


class Block:
    """Something that pickles as a NumPy array does.

    Args:
        data: its buffer.
    """

    def __init__(self, data: Any) -> None:
        self.data = data

    def __reduce_ex__(self, protocol: Any) -> Any:
        return Block, (pickle.PickleBuffer(self.data),)


def made_of(number: int) -> Any:
    """The buffer that belongs to a number: of each kind in turn."""
    content = number.to_bytes(4, "little") * (SIZE // 4)
    return (Block(bytearray(content)), content, bytearray(content))[number % 3]


def check(number: int, found: Any) -> memoryview:
    """That it is what was sent, whatever others have done with it; returns the buffer."""
    expected = made_of(number)
    if isinstance(expected, Block):
        expected, found = expected.data, found.data
    else:
        assert type(found) is type(expected)
    assert bytes(found) == bytes(expected), f"{number} is damaged"
    return memoryview(found)


class Pictures(Producer):
    """Emits pairs of a number and its buffer: endlessly, or so many."""

    def __init__(self, limit: int | None = None) -> None:
        self.next = 0
        self.limit = limit

    def handle_demand(self, demand: int) -> list[Any]:
        end = self.next + demand
        if self.limit is not None and end >= self.limit:
            end = self.limit
            self.finish()
        numbers = range(self.next, end)
        self.next = end
        return [(number, made_of(number)) for number in numbers]


class PassChecked(ProducerConsumer):
    """Looks at each buffer and passes it on as it came."""

    def handle_events(self, events: list[Any], subscription: Subscription) -> list[Any]:
        for number, buffer in events:
            check(number, buffer)
        return events


class Scribble(Consumer):
    """Writes over what it gets, keeps a view of some, and notes each number in a file."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.kept: list[memoryview] = []

    def handle_events(self, events: list[Any], subscription: Subscription) -> None:
        for number, buffer in events:
            view = check(number, buffer)
            if not view.readonly:
                view[:] = bytes(SIZE)
            self.kept = [*self.kept[-2:], view[5:10]]
        append(self.path, *(number for number, _ in events))


class Hoard(Consumer):
    """Keeps everything that it ever got, and in the end looks at all of it."""

    def __init__(self) -> None:
        self.kept: list[Any] = []

    def handle_events(self, events: list[Any], subscription: Subscription) -> None:
        self.kept += events

    def on_stop(self, reason: Any) -> None:
        for number, buffer in self.kept:
            check(number, buffer)
        self.set_result([number for number, _ in self.kept])
