"""What a stage that has ended hands over: for how long, and what is counted of the rest."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Sequence

import pytest

from actorflow.protocol.framing import frame
from actorflow.runtime.local import handover
from actorflow.runtime.local.control import ControlSocket
from actorflow.runtime.local.handover import hand_over, wait_for_room
from actorflow.runtime.local.pipes import PipeLink

LARGE = frame(b"x" * 1_000_000)
"""More than a pipe takes at once."""


class Leaving:
    """A stage with two links, whose peers read when they are told to."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        self.control, self.host = ControlSocket(ours), theirs
        self.peers: list[int] = []
        self.pipes: list[PipeLink] = []
        self.waited: list[float | None] = []
        for number in (1, 2):
            reader, writer = os.pipe()
            unused, other = os.pipe()
            os.close(other)
            for descriptor in (reader, writer):
                os.set_blocking(descriptor, False)
            self.peers.append(reader)
            self.pipes.append(PipeLink(number, unused, writer))

    def queue(self, number: int, data: bytes) -> None:
        pipe = self.pipes[number]
        pipe.outbox.append(data)
        pipe.backlog += len(data)

    def read(self, number: int) -> bytes | None:
        """What a peer has been sent; ``b""`` at the end, None when nothing is there now."""
        try:
            return os.read(self.peers[number], 1 << 20)
        except BlockingIOError:
            return None

    def waits(self, full: Sequence[PipeLink], seconds: float | None) -> bool:
        """Whoever is waited for reads."""
        self.waited.append(seconds)
        for pipe in full:
            assert self.read(pipe.number - 1)
        return wait_for_room(full, seconds)

    def close(self) -> None:
        self.control.close()
        self.host.close()
        for pipe in self.pipes:
            pipe.close_reader()
            pipe.close_writer()
        for descriptor in self.peers:
            os.close(descriptor)


@pytest.fixture
def leaving() -> Iterator[Leaving]:
    """One whose descriptors are closed in the end."""
    made = Leaving()
    yield made
    made.close()


def test_an_orderly_end_waits_as_long_as_somebody_reads(leaving: Leaving) -> None:
    """It reads no more itself; a link that was to be closed is, behind its last byte."""
    leaving.queue(0, LARGE)
    leaving.queue(1, b"the last")
    leaving.pipes[1].closing = True
    assert hand_over(leaving.control, leaving.pipes, failed=False, wait=leaving.waits) == 0
    assert set(leaving.waited) == {None}
    assert (leaving.read(1), leaving.read(1)) == (b"the last", b"")
    assert [pipe.reader for pipe in leaving.pipes] == [-1, -1]
    assert [pipe.backlog for pipe in leaving.pipes] == [0, 0]


def test_after_a_failure_there_is_a_limit_and_what_is_left_is_counted(
    leaving: Leaving, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody reads: one frame has begun to leave, two have not."""
    monkeypatch.setattr(handover, "LAST_WORDS", 0.01)
    for _ in range(3):
        leaving.queue(0, LARGE)
    leaving.queue(1, b"the last")
    assert hand_over(leaving.control, leaving.pipes, failed=True, wait=wait_for_room) == 3
    assert leaving.read(1) == b"the last"


def test_who_need_not_wait_any_longer_does_not(leaving: Leaving) -> None:
    """As a stage in the program whose run is over."""
    leaving.queue(0, LARGE)
    assert hand_over(leaving.control, leaving.pipes, failed=False, wait=lambda *_: False) == 1


def test_a_reader_that_is_gone_is_not_waited_for(leaving: Leaving) -> None:
    """Its frames are dropped at once."""
    leaving.queue(0, LARGE)
    os.close(leaving.peers.pop(0))
    assert hand_over(leaving.control, leaving.pipes, failed=False, wait=leaving.waits) == 1
    assert leaving.waited == []
