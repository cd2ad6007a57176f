"""The fork server of fresh children, run by the test; what it forks is played by plain programs."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from actorflow.protocol.framing import FrameDecoder
from actorflow.runtime.local import fork_server
from actorflow.runtime.local.fork_server import (
    ENDED,
    NOT_FORKED,
    REPORT,
    WORDS,
    ForkServer,
    order_retirement,
    order_signal,
    order_start,
)
from tests.simulation.breaks import INTERPRETED_ONLY

pytestmark = INTERPRETED_ONLY

NO_PROCESS = b"no process"
"""The arguments of a child that cannot be forked."""


@dataclass(frozen=True, order=True)
class Report:
    """What a server has said of one child."""

    what: bytes
    life: int
    status: int
    words: bytes = b""


class Programs:
    """Instead of `FreshChild`: each child is a program that sleeps until it is killed."""

    def __init__(self, *_: object) -> None:
        self.pids: list[int] = []

    def rehearse(self) -> None:
        """Nothing is shared with a program."""

    def fork(self, place: int, template: int, arguments: bytes) -> int:
        """As `FreshChild.fork`."""
        if arguments == NO_PROCESS:
            raise BlockingIOError(arguments.decode())
        pid = os.posix_spawnp("sleep", ["sleep", "600"], os.environ, setpgroup=0)
        self.pids.append(pid)
        return pid

    def kill(self) -> None:
        """Leave nobody behind, whatever became of the server."""
        for pid in self.pids:
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Programs]:
    """What a server forks."""
    made = Programs()
    monkeypatch.setattr(fork_server, "FreshChild", lambda *_: made)
    # It would keep what this process has, which is no server's.
    monkeypatch.setattr(gc, "freeze", lambda: None)
    yield made
    made.kill()


def served(*orders: bytes) -> list[Report]:
    """What a server with room for four children reports that has these orders and no more."""
    orders_read, orders_write = os.pipe()
    reports_read, reports_write = os.pipe()
    try:
        os.write(orders_write, b"".join(orders))
        server = ForkServer(orders_read, reports_write, memoryview(bytearray(64)).cast("q"), ())
        try:
            assert server.run() == 0
        finally:
            server._link.close_reader()
            server._link.close_writer()
            server._poller.close()
            server._words.close()
        reports = FrameDecoder().feed(os.read(reports_read, 1 << 16))
        return [Report(*REPORT.unpack_from(each), each[WORDS:]) for each in reports]
    finally:
        os.close(orders_write)
        os.close(reports_read)


def test_a_signal_for_a_child_that_could_not_be_forked_is_for_nobody(programs: Programs) -> None:
    """Its stage has ordered it before it could know; the server and its other children live."""
    reports = served(
        order_start(1, 0, 0, b""),
        order_start(2, 1, 0, NO_PROCESS),
        order_signal(2, 1, signal.SIGKILL),
        order_start(3, 1, 0, b""),
        order_signal(2, 1, signal.SIGKILL),
        order_start(4, 2, 0, b""),
        *(order_signal(life, place, signal.SIGTERM) for life, place in ((1, 0), (3, 1), (4, 2))),
        order_retirement(),
    )
    assert reports[0] == Report(NOT_FORKED, 2, 0, NO_PROCESS)
    assert sorted(reports[1:]) == [Report(ENDED, life, -signal.SIGTERM) for life in (1, 3, 4)]
