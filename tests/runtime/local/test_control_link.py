"""A stage's end of its control link: what the machine is given, and when room is waited for."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from actorflow.errors import ProtocolError
from actorflow.protocol.framing import frame
from actorflow.runtime.local.control import ControlSocket, control_pair
from actorflow.runtime.local.control_link import ControlLink
from actorflow.runtime.local.poller import READABLE, WRITABLE
from actorflow.stage.work import CONTROL_LINK

WORDS = frame(b"x" * 10_000)


class Stage:
    """The loop and the machine of a stage, which write down what they are told."""

    def __init__(self) -> None:
        self.machine: Any = self
        self.host, descriptor = control_pair()
        self.told: list[Any] = []
        self.waits: dict[int, int] = {}
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, descriptor)
        self.link = ControlLink(ControlSocket(sock), self)

    def watch(
        self, descriptor: int, callback: Callable[[int], None], events: int = READABLE
    ) -> None:
        assert descriptor not in self.waits
        self.waits[descriptor] = events
        self.ready = callback

    def unwatch(self, descriptor: int) -> None:
        del self.waits[descriptor]

    def receive(self, link: int, data: bytes) -> None:
        assert link == CONTROL_LINK
        if data == b"breaks":
            raise ValueError("broken")
        self.told.append(data)

    def fail(self, error: Exception) -> None:
        self.told.append(str(error))

    def link_closed(self, link: int) -> None:
        self.told.append(link)


@pytest.fixture
def stage() -> Iterator[Stage]:
    """One whose link is closed in the end."""
    made = Stage()
    yield made
    made.link.socket.close()
    made.host.close()


def test_what_comes_after_a_frame_that_breaks_something_is_heard(stage: Stage) -> None:
    """The machine is told of the error, and of the next frame."""
    for data in (b"one", b"breaks", b"two"):
        stage.host.send(frame(data))
    stage.ready(READABLE)
    assert stage.told == [b"one", "broken", b"two"]


def test_room_is_waited_for_while_something_waits_to_be_written(stage: Stage) -> None:
    """Not longer, or the loop would spin; what did not fit leaves in order."""
    descriptor = stage.link.descriptor
    assert stage.waits == {descriptor: READABLE}
    sent = 0
    while not stage.link.congested:
        stage.link.send(WORDS)
        sent += 1
    assert stage.waits == {descriptor: READABLE | WRITABLE}
    got = 0
    while stage.link.congested:
        got += len(stage.host.receive())
        stage.ready(WRITABLE)
    assert stage.waits == {descriptor: READABLE}
    assert got + len(stage.host.receive()) == sent
    assert stage.told == []


def test_the_end_is_told_once_and_nothing_is_waited_for_after_it(stage: Stage) -> None:
    """After everything that came before it."""
    stage.host.send(frame(b"last"))
    stage.host.close()
    while stage.waits:
        stage.ready(READABLE)
    assert stage.told == [b"last", CONTROL_LINK]
    assert stage.link.descriptor == -1
    stage.link.send(WORDS)
    stage.ready(READABLE)
    assert stage.told == [b"last", CONTROL_LINK]


def test_what_is_no_frame_is_the_loops_to_tell(stage: Stage) -> None:
    """It raises, as what a loop watches may."""
    stage.host.send(b"\xff" * 8)
    with pytest.raises(ProtocolError):
        stage.ready(READABLE)
