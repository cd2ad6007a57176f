"""The reactor: descriptors, timers and posted callbacks on one thread."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from functools import partial

import pytest

from actorflow.runtime.local.reactor import Reactor
from tests.runtime.local.watched import open_files


@pytest.fixture
def reactor() -> Iterator[Reactor]:
    """A running reactor that must end when it is stopped."""
    crashes: list[BaseException] = []
    reactor = Reactor("test-reactor", crashes.append)
    reactor.start()
    yield reactor
    reactor.stop()
    assert reactor.join(10)
    assert not crashes


def test_posted_callbacks_run_in_order_on_its_thread(reactor: Reactor) -> None:
    """What many threads post runs on one, and each one's in the order it posted."""
    seen: list[tuple[int, int]] = []
    where: set[str] = set()
    done = threading.Event()

    def note(poster: int, number: int) -> None:
        seen.append((poster, number))
        where.add(threading.current_thread().name)

    def post(poster: int) -> None:
        for number in range(500):
            reactor.post(partial(note, poster, number))

    threads = [threading.Thread(target=post, args=(poster,)) for poster in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    reactor.post(done.set)
    assert done.wait(10)
    assert where == {"test-reactor"}
    for poster in range(4):
        assert [number for who, number in seen if who == poster] == list(range(500))


def test_a_callback_that_posts_does_not_starve_descriptors(reactor: Reactor) -> None:
    """An endless chain of posted callbacks leaves room for what is readable."""
    ours, theirs = socket.socketpair()
    read = threading.Event()
    stop = threading.Event()

    def again() -> None:
        if not stop.is_set():
            reactor.post(again)

    def ready(events: int) -> None:
        reactor.forget(ours)
        read.set()

    reactor.post(again)
    reactor.post(lambda: reactor.watch(ours, ready))
    theirs.send(b"x")
    assert read.wait(10)
    stop.set()
    ours.close()
    theirs.close()


def test_a_callback_that_raises_is_told_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    """What a callback was to do is lost: its owner hears of it, and nobody waits for ever."""
    done = threading.Event()
    crashes: list[BaseException] = []
    reactor = Reactor("test-reactor", crashes.append)
    reactor.start()

    def fail() -> None:
        raise ValueError("no")

    reactor.post(fail)
    reactor.post(done.set)
    assert done.wait(10)
    reactor.stop()
    assert reactor.join(10)
    assert [type(error) for error in crashes] == [ValueError]
    assert "ValueError: no" in caplog.text


def test_a_failure_of_the_loop_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """An error that is no callback's ends the thread, and whoever depends on it hears of it."""
    crashes: list[BaseException] = []
    reactor = Reactor("test-reactor", crashes.append)
    reactor.post(partial(os.close, -1))
    reactor._timers.append(None)  # type: ignore[arg-type]
    reactor.start()
    assert reactor.join(10)
    assert [type(error) for error in crashes] == [TypeError]
    assert "the thread test-reactor failed" in caplog.text


def test_a_watch_that_ended_in_the_same_turn_is_not_called(reactor: Reactor) -> None:
    """A file that another callback closed is left alone, whoever has its number by then."""
    pairs = [socket.socketpair() for _ in range(2)]
    calls: list[int] = []
    done = threading.Event()

    def ready(number: int, events: int) -> None:
        calls.append(number)
        for ours, _ in pairs:
            reactor.forget(ours)
            ours.close()
        reactor.post(done.set)

    def watch() -> None:
        for number, (ours, theirs) in enumerate(pairs):
            reactor.watch(ours, partial(ready, number))
            theirs.send(b"x")

    reactor.post(watch)
    assert done.wait(10)
    assert len(calls) == 1
    for _, theirs in pairs:
        theirs.close()


def test_writability_is_reported_only_while_it_is_wanted(reactor: Reactor) -> None:
    """`watch_writes` switches it on and off, and ignores what is not watched."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    called = threading.Event()

    def ready(events: int) -> None:
        reactor.watch_writes(ours, False)
        called.set()

    def begin() -> None:
        reactor.watch_writes(theirs, True)
        reactor.watch(ours, ready)
        reactor.watch_writes(ours, True)

    reactor.post(begin)
    assert called.wait(10)
    called.clear()
    settled = threading.Event()
    reactor.post(lambda: reactor.post(settled.set))
    assert settled.wait(10)
    assert not called.is_set()
    reactor.post(lambda: reactor.forget(ours))
    reactor.post(partial(settled.clear))
    reactor.stop()
    assert reactor.join(10)
    ours.close()
    theirs.close()


def test_timers_fire_in_order_of_their_moments(reactor: Reactor) -> None:
    """Later set, earlier due: the moment decides; of equal moments, the first set."""
    now = time.monotonic()
    seen: list[str] = []
    done = threading.Event()

    def begin() -> None:
        reactor.call_at(now + 0.03, partial(seen.append, "late"))
        reactor.call_at(now + 0.03, done.set)
        reactor.call_at(now - 1, partial(seen.append, "first"))
        reactor.call_at(now - 1, partial(seen.append, "second"))

    reactor.post(begin)
    assert done.wait(10)
    assert seen == ["first", "second", "late"]
    assert time.monotonic() - now >= 0.03


def test_one_that_was_never_started_leaves_no_descriptor() -> None:
    """Stopping is enough, and posting afterwards does nothing."""
    before = open_files()
    reactor = Reactor("never", print)
    reactor.stop()
    reactor.stop()
    reactor.post(print)
    assert reactor.join(0)
    assert open_files() == before
