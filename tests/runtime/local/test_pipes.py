"""A stage's end of a link: what leaves, what waits, and what is counted when nobody reads it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import FileIO

import pytest

from actorflow.protocol.framing import frame
from actorflow.runtime.local import descriptors
from actorflow.runtime.local.pipes import PipeLink, WatchedLink


@pytest.fixture
def narrow() -> Iterator[tuple[PipeLink, FileIO]]:
    """An end of a link whose pipe takes 64 KiB, and the file that its peer reads from."""
    reader, writer = _pipe()
    unused, other = _pipe()
    link = PipeLink(7, unused, writer)
    with FileIO(reader) as peer, FileIO(other):
        yield link, peer
        link.close_reader()
        link.close_writer()


def _pipe() -> tuple[int, int]:
    read, write = os.pipe()
    os.set_blocking(read, False)
    os.set_blocking(write, False)
    return read, write


def queue(link: PipeLink, *sizes: int) -> list[bytes]:
    """Queue frames with so many bytes, as the loop does: a head, and behind it a body."""
    frames = [frame(bytes([number]) * size) for number, size in enumerate(sizes)]
    for each in frames:
        head, body = each[:10], each[10:]
        link.outbox += [head, body] if body else [head]
        link.backlog += len(each)
    return frames


def test_neither_end_of_a_link_ever_waits() -> None:
    """What does not fit is refused at once, so that a stage goes on reading (rule 1)."""
    ends = descriptors.pipe()
    try:
        assert not any(map(os.get_blocking, ends))
        with pytest.raises(BlockingIOError):
            os.read(ends[0], 1)
    finally:
        descriptors.close_all(ends)


def test_what_a_full_pipe_does_not_take_leaves_later(narrow: tuple[PipeLink, FileIO]) -> None:
    """To the last byte, in order."""
    link, peer = narrow
    frames = queue(link, 50_000, 40_000, 3, 30_000)
    assert not link.flush()
    arrived = peer.read(1 << 20) or b""
    while not link.flush():
        arrived += peer.read(1 << 20) or b""
    arrived += peer.read(1 << 20) or b""
    assert arrived == b"".join(frames)
    assert link.dropped == 0


@pytest.mark.parametrize("sizes", [(0, 1, 2), (10, 6), (100_000,), (50_000, 15_526, 9, 9, 0)])
@pytest.mark.parametrize("taken", [0, 30_000])
def test_a22_frames_that_nobody_will_read_are_counted(
    narrow: tuple[PipeLink, FileIO], sizes: tuple[int, ...], taken: int
) -> None:
    """Those that were queued when the peer went, and the one of which a part had left."""
    link, peer = narrow
    frames = queue(link, *sizes)
    if sum(sizes) > 60_000:
        assert not link.flush()
        peer.read(max(taken, 1))
        link.flush()
        left = len(b"".join(frames)) - link.backlog
        lost = sum(1 for number in range(len(frames)) if _end(frames, number) > left)
    else:
        lost = len(sizes)
    peer.close()
    assert link.flush()
    assert link.dropped == lost
    queue(link, 5)
    link.close_writer()
    assert link.dropped == lost + 1


def _end(frames: list[bytes], number: int) -> int:
    return sum(len(each) for each in frames[: number + 1])


# --- a link that a loop watches -------------------------------------------------------------------


class Loop:
    """What is watched, and what is called for it."""

    def __init__(self) -> None:
        self.watched: dict[int, Callable[[int], None]] = {}

    def watch(self, descriptor: int, callback: Callable[[int], None], events: int = 0) -> None:
        assert descriptor not in self.watched
        self.watched[descriptor] = callback

    def unwatch(self, descriptor: int) -> None:
        os.fstat(descriptor)  # it is open
        del self.watched[descriptor]


@dataclass(frozen=True, slots=True)
class Watched:
    """An end of a link, the file that its peer reads from, and the loop."""

    link: WatchedLink
    peer: FileIO
    loop: Loop


@pytest.fixture
def watched() -> Iterator[Watched]:
    """All three; nothing is watched in the end."""
    reader, writer = os.pipe()
    unused, other = os.pipe()
    loop = Loop()
    link = WatchedLink(7, unused, writer, loop)
    os.set_blocking(reader, False)
    with FileIO(reader) as peer, FileIO(other):
        yield Watched(link, peer, loop)
        link.close_reader()
        link.close_writer()
    assert loop.watched == {}


def test_the_loop_writes_what_the_pipe_did_not_take(watched: Watched) -> None:
    """The writer is watched until the last byte has left, and no longer."""
    link, peer, loop = watched.link, watched.peer, watched.loop
    assert not any(map(os.get_blocking, (link.reader, link.writer)))
    link.queue(b"one", b"two")
    link.send()
    assert (peer.read(), loop.watched) == (b"onetwo", {})
    link.queue(frame(b"x" * 100_000))
    link.send()
    link.queue(frame(b"y"))
    link.send()
    assert list(loop.watched) == [link.writer]
    heard = b""
    while loop.watched:
        heard += peer.read() or b""
        for callback in tuple(loop.watched.values()):
            callback(0)
    heard += peer.read() or b""
    assert heard == frame(b"x" * 100_000) + frame(b"y")


@pytest.mark.parametrize("size", [3, 100_000])
def test_a_link_that_is_closing_closes_behind_its_last_byte(watched: Watched, size: int) -> None:
    """Whether it leaves at once or later; a further send does nothing."""
    link, peer, loop = watched.link, watched.peer, watched.loop
    link.queue(frame(b"z" * size))
    link.closing = True
    link.send()
    heard = peer.read() or b""
    for callback in tuple(loop.watched.values()):
        callback(0)
    heard += peer.read() or b""
    assert heard == frame(b"z" * size)
    assert peer.read() == b""
    assert link.writer == -1
    link.send()


def test_ends_are_watched_no_more_when_they_are_closed(watched: Watched) -> None:
    """Also with something left to write, which is counted as dropped."""
    link, loop = watched.link, watched.loop
    link.hear(lambda events: None)
    link.queue(frame(b"x" * 100_000))
    link.send()
    assert set(loop.watched) == {link.reader, link.writer}
    link.close_reader()
    link.close_writer()
    assert (loop.watched, link.dropped) == ({}, 1)


def test_a_process_whose_forks_end_with_it_keeps_nothing_from_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing is noted that would have to be closed in each of them."""
    monkeypatch.setattr(descriptors, "_shares_with_forks", False)
    descriptors.share_with_forks()
    before = set(descriptors._private)
    ends = descriptors.pipe()
    assert descriptors._private == before
    descriptors.close_all(ends)
