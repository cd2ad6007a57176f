"""A stage's end of a link: what leaves, what waits, and what is counted when nobody reads it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from io import FileIO

import pytest

from actorflow.protocol.framing import frame
from actorflow.runtime.local import descriptors
from actorflow.runtime.local.pipes import PipeLink


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
