"""The stage's side of fresh children: the test plays their fork server, no process is made."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from actorflow.protocol.framing import frame
from actorflow.runtime.local import fresh
from actorflow.runtime.local.fork_server import (
    ENDED,
    NOT_FORKED,
    REPORT,
    order_retirement,
    order_signal,
    order_start,
)
from actorflow.runtime.local.fresh import FreshProcesses
from actorflow.runtime.local.pipes import WatchedLink
from actorflow.runtime.local.words import RESULT
from actorflow.stage.children import ChildEnded, ChildTemplate


class Place(FreshProcesses):
    """Fresh children whose fork servers are two pipes; the other ends are the test's."""

    def __init__(self) -> None:
        self.watched: dict[int, Callable[[int], None]] = {}
        self.ends: list[ChildEnded] = []
        self.logged: list[str] = []
        self.theirs: list[tuple[int, int]] = []
        super().__init__("jobs", self, self.ends.extend, self._keep_log)  # type: ignore[arg-type]

    def watch(self, descriptor: int, callback: Callable[[int], None], events: int = 0) -> None:
        self.watched[descriptor] = callback

    def unwatch(self, descriptor: int) -> None:
        del self.watched[descriptor]

    def sleep_at_once(self) -> None:
        """The test does not wait."""

    def _keep_log(self, level: str, event: str, values: dict[str, Any]) -> None:
        self.logged.append(event)

    def _fork(self) -> fresh._Server:
        orders_read, orders_write = os.pipe()
        reports_read, reports_write = os.pipe()
        for descriptor in (orders_write, reports_read):
            os.set_blocking(descriptor, False)
        server = fresh._Server(WatchedLink(0, reports_read, orders_write, self))
        self.theirs.append((orders_read, reports_write))
        server.link.hear(lambda _: self._readable(server))
        self._servers.append(server)
        return server

    def ordered(self, index: int = 0) -> bytes:
        """What a server has been told by now."""
        return os.read(self.theirs[index][0], 1 << 16)

    def begin(self, place: int, pid: int) -> None:
        """The server has forked the child that has this place."""
        self._table[2 * place], self._table[2 * place + 1] = pid, 1_000_000_000

    def report(self, data: bytes, index: int = 0) -> None:
        """The server reports."""
        os.write(self.theirs[index][1], data)
        self.watched[self._servers[index].link.reader](1)

    def dies(self, index: int = 0) -> None:
        """The server is killed."""
        orders, reports = self.theirs[index]
        os.close(orders)
        os.close(reports)
        self.theirs[index] = (-1, -1)
        self._gone(self._servers[index], None, 9)


@pytest.fixture
def place() -> Iterator[Place]:
    """One whose descriptors are closed in the end."""
    made = Place()
    yield made
    for server in made._servers:
        server.link.close_reader()
        server.link.close_writer()
    for ends in made.theirs:
        for descriptor in ends:
            if descriptor >= 0:
                os.close(descriptor)


WORK = ChildTemplate(run=abs, kind="process")


def ended(life: int, status: int = 0, words: bytes = b"") -> bytes:
    """A report of an end."""
    return frame(REPORT.pack(ENDED, life, status) + words)


def test_a_child_is_ordered_seen_and_ended(place: Place) -> None:
    """Where it is and since when is in the table; its place is free again afterwards."""
    place.start(7, WORK, (-3,))
    assert place.ordered() == order_start(7, 0, 0, fresh.dump([-3]))
    assert (place.pid(7), place.running_since(7)) == (0, None)
    place.begin(0, 4711)
    assert (place.pid(7), place.running_since(7)) == (4711, 1.0)
    place.signal(7, "kill")
    assert place.ordered() == order_signal(7, 0, 9)
    place.report(ended(7, 0, RESULT + fresh.dump(3)))
    assert [(each.life, each.end.result) for each in place.ends] == [(7, 3)]
    assert (place.pid(7), place.running_since(7)) == (0, None)
    place.start(8, WORK, (-4,))
    assert place.ordered() == order_start(8, 0, 0, fresh.dump([-4]))


@pytest.mark.parametrize(
    ("status", "reason", "normal"),
    [(0, "normal", True), (3, ["exit", 3], False), (-9, ["signal", 9], False)],
)
def test_without_a_word_its_status_is_its_end(
    place: Place, status: int, reason: Any, normal: bool
) -> None:
    """A signal is reported as a number below 0."""
    place.start(1, WORK, ())
    place.begin(0, 4711)
    place.report(ended(1, status))
    (end,) = place.ends
    assert (end.end.reason, end.end.normal) == (reason, normal)


def test_a_child_that_cannot_be_forked_was_not_started(place: Place) -> None:
    """With the system's own words."""
    place.start(1, WORK, ())
    place.report(frame(REPORT.pack(NOT_FORKED, 1, 0) + b"no more processes"))
    (end,) = place.ends
    assert end.end.not_started
    assert end.end.reason == ["not_started", "no more processes"]


def test_with_a_server_those_end_that_it_had_begun(place: Place) -> None:
    """The others were not started; the next child has another server."""
    place.start(1, WORK, ())
    place.start(2, WORK, ())
    place.begin(0, 4711)
    place.dies()
    assert [(each.life, each.end.not_started) for each in place.ends] == [(1, False), (2, True)]
    assert place.ends[0].end.reason == ["signal", 9]
    assert place.logged == ["the process that forks children died"]
    place.start(3, WORK, ())
    assert len(place.theirs) == 2


@pytest.mark.parametrize("garbage", [frame(b"short"), b"\xff" * 64], ids=["short", "no frame"])
def test_a_server_that_writes_garbage_is_ended(place: Place, garbage: bytes) -> None:
    """It is listened to no more; its children end with it."""
    place.start(1, WORK, ())
    place.report(garbage)
    assert place.logged == ["a fork server wrote garbage"]
    assert place.watched == {}
    place.dies()
    assert [each.life for each in place.ends] == [1]


def test_a_new_template_has_a_new_server(place: Place) -> None:
    """The old one ends with its children; an old child that is run again has the new one."""
    other = ChildTemplate(run=len, kind="process")
    place.start(1, WORK, ())
    place.start(2, other, ())
    place.start(3, WORK, ())
    assert place.ordered(0) == order_start(1, 0, 0, fresh.dump([])) + order_retirement()
    assert place.ordered(1) == b"".join(
        (order_start(2, 1, 1, fresh.dump([])), order_start(3, 2, 0, fresh.dump([])))
    )
    place.report(ended(1))
    place.dies(0)
    assert [each.life for each in place.ends] == [1]
    assert place.logged == []


def test_there_is_an_end_to_how_many_there_may_be(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next is refused like one for which there is no process."""
    monkeypatch.setattr(fresh, "MOST", 2)
    place.start(1, WORK, ())
    place.start(2, WORK, ())
    with pytest.raises(OSError, match="no more can be watched"):
        place.start(3, WORK, ())
    place.report(ended(1))
    place.start(4, WORK, ())
