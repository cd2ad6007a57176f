"""Memory that a producer shares with its consumers: both sides of it, in one process."""

from __future__ import annotations

import gc
import mmap
import os
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from actorflow.errors import Undecodable
from actorflow.protocol.blobs import PAGE
from actorflow.protocol.framing import LARGE
from actorflow.runtime.local import lanes, links, space
from actorflow.runtime.local.blobs import SharedBlobs
from actorflow.runtime.local.descriptors import _is_open, close_all
from actorflow.runtime.local.links import make_link
from actorflow.runtime.local.space import MOST_LENT, SharedSpace
from actorflow.stage.counters import SLOT_SIZE, Counter
from actorflow.stage.options import StageOptions

pytestmark = pytest.mark.skipif(not links.CAN_SHARE, reason="this system has no sealed files")

A, B = 7, 8


class Pair:
    """A space and the consumers on its links.

    Args:
        size: of the space.
        consumers: their links.
    """

    def __init__(self, size: int = 8 * PAGE, consumers: tuple[int, ...] = (A,)) -> None:
        self.counters = [0] * SLOT_SIZE
        self.refused: list[int] = []
        self.logged: list[str] = []
        self._lanes: dict[int, int] = {}
        self.consumers: dict[int, SharedBlobs] = {}
        for link in consumers:
            ends = make_link(wide=False, lane=True)
            close_all((*ends.producer[:2], *ends.consumer[:2]))
            self._lanes[link] = ends.producer[2]
            self.consumers[link] = SharedBlobs(ends.consumer[2])
        self.space = SharedSpace(
            size,
            lambda link: self._lanes.pop(link, -1),
            self.counters,
            lambda link, reason: self.refused.append(link),
            lambda level, event, values: self.logged.append(event),
        )

    @property
    def taken(self) -> int:
        """How many bytes are lent, after a look at what has been returned."""
        self.space._collect()
        return self.space._loans.taken

    def accept(self) -> None:
        """Every consumer is offered the space, and takes it."""
        for link, consumer in self.consumers.items():
            assert not self.space.reaches(link)
            assert consumer.take_offer()
            assert self.space.reaches(link)

    def send(self, data: bytes, *links: int) -> int | None:
        """Put a blob and lend it, as a producer does for a batch."""
        to = links or tuple(self.consumers)
        place = self.space.put(to[0], memoryview(data))
        if place is not None:
            for link in to:
                self.space.lend(link, [place])
            self.space.settle([place])
        return place

    def receive(self, link: int, place: int | None, size: int = LARGE) -> memoryview:
        """What a consumer makes of a place in a body."""
        assert place is not None
        return self.consumers[link].view(place, size)

    def close(self) -> None:
        """End both sides."""
        self.space.close()
        close_all(self._lanes.values())
        for consumer in self.consumers.values():
            consumer.close()


@pytest.fixture
def make() -> Iterator[Callable[..., Pair]]:
    """Makes pairs, and ends them."""
    made: list[Pair] = []

    def new(*arguments: Any, **options: Any) -> Pair:
        made.append(Pair(*arguments, **options))
        return made[-1]

    yield new
    for each in made:
        each.close()


def test_a_blob_goes_there_and_back(make: Callable[..., Pair]) -> None:
    """The consumer sees what was put; when it needs it no more, the place is used again."""
    pair = make()
    pair.accept()
    for content in (b"a", b"b"):
        place = pair.send(content * LARGE)
        assert place == 0
        view = pair.receive(A, place)
        assert view == content * LARGE
        assert pair.taken == PAGE
        del view
        assert pair.taken == 0
    assert pair.counters[Counter.LARGE_SHARED] == 2
    assert pair.counters[Counter.LARGE_PIPED] == 0


def test_nothing_is_made_before_there_is_a_large_buffer(make: Callable[..., Pair]) -> None:
    """A lane costs a descriptor at each end; there is no file until something is to be put."""
    pair = make()
    assert pair.space._file == -1
    # The first goes by pipe: the consumer has not taken the space yet.
    assert pair.send(bytes(LARGE)) is None
    assert pair.counters[Counter.LARGE_PIPED] == 1
    assert pair.space._file >= 0
    pair.consumers[A].take_offer()
    assert pair.send(bytes(LARGE)) == 0


def test_every_view_that_is_made_of_a_blob_keeps_it(make: Callable[..., Pair]) -> None:
    """A slice, a cast, a slice of a cast: the last one counts."""
    pair = make()
    pair.accept()
    view = pair.receive(A, pair.send(bytes(LARGE)))
    part = view[10:18].cast("d")
    del view
    gc.collect()
    assert pair.taken == PAGE
    del part
    assert pair.taken == 0


def test_who_writes_to_a_blob_writes_to_a_copy(make: Callable[..., Pair]) -> None:
    """Neither the other consumer sees it, nor who gets the next blob at that place."""
    pair = make(consumers=(A, B))
    pair.accept()
    place = pair.send(b"a" * LARGE)
    mine, yours = pair.receive(A, place), pair.receive(B, place)
    mine[:5] = b"mine!"
    assert bytes(yours[:5]) == b"aaaaa"
    assert bytes(mine[:6]) == b"mine!a"
    del mine, yours
    again = pair.send(b"b" * LARGE)
    assert again == place
    assert pair.receive(A, again) == b"b" * LARGE


def test_a_blob_is_free_when_every_consumer_has_returned_it(make: Callable[..., Pair]) -> None:
    """A broadcast's blob is one; who is gone has returned it."""
    pair = make(consumers=(A, B))
    pair.accept()
    place = pair.send(bytes(LARGE))
    view = pair.receive(A, place)
    del view
    assert pair.taken == PAGE
    pair.consumers[B].close()
    assert pair.taken == 0
    assert pair.space.reaches(A)
    assert not pair.space.reaches(B)


def test_a_subscription_that_ends_takes_no_view_away(make: Callable[..., Pair]) -> None:
    """Its consumer returns what it has when it needs it no more, and then the lane is closed."""
    pair = make()
    pair.accept()
    view = pair.receive(A, pair.send(b"a" * LARGE))
    unread = pair.send(b"b" * LARGE)
    assert unread == PAGE
    pair.consumers[A].close()
    pair.space.part(A)
    assert pair.taken == 2 * PAGE
    assert view[0] == ord("a")
    del view
    # The end of the lane says that it will not read the other one either.
    assert pair.taken == 0
    assert pair.consumers[A].fileno() == -1
    assert not pair.space._lanes


def test_a_producer_that_is_gone_leaves_the_views(make: Callable[..., Pair]) -> None:
    """What was sent can still be read, and what is returned then is nobody's business."""
    pair = make()
    pair.accept()
    first, second = pair.send(b"a" * LARGE), pair.send(b"b" * LARGE)
    view = pair.receive(A, first)
    pair.space.close()
    assert not pair.consumers[A].take_offer()  # the lane is at its end
    pair.consumers[A].not_offered()
    assert view == b"a" * LARGE
    del view
    assert pair.receive(A, second) == b"b" * LARGE


def test_without_room_a_buffer_goes_by_pipe(make: Callable[..., Pair]) -> None:
    """Nothing waits; when there is room again, it is used."""
    pair = make(2 * PAGE)
    pair.accept()
    views = [pair.receive(A, pair.send(bytes(LARGE))) for _ in range(2)]
    assert pair.send(bytes(LARGE)) is None
    assert pair.send(bytes(3 * LARGE)) is None
    assert pair.counters[Counter.LARGE_PIPED] == 2
    views.pop(0)
    assert pair.send(bytes(LARGE)) == 0


def test_returns_that_nobody_reads_find_room(make: Callable[..., Pair]) -> None:
    """As many as may be out at once: none of them stays at the consumer."""
    pair = make((MOST_LENT + 1) * PAGE)
    pair.accept()
    data = bytes(LARGE)
    views = [pair.receive(A, pair.send(data)) for _ in range(MOST_LENT)]
    assert pair.send(data) is None
    views.clear()
    assert not pair.consumers[A]._returns
    assert pair.send(data) == 0
    assert pair.taken == PAGE


def test_a_process_that_the_consumer_forks_returns_nothing(make: Callable[..., Pair]) -> None:
    """It has copies of the views; the blob is the consumer's own to return.

    The lane is closed there, so that its number may be another socket's.
    """
    pair = make()
    pair.accept()
    view = pair.receive(A, pair.send(b"a" * LARGE))
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if not pid:
        fine = view[0] == ord("a") and not _is_open(pair.consumers[A].fileno())
        os.dup2(theirs.fileno(), pair.consumers[A].fileno())
        del view
        os._exit(0 if fine else 1)
    theirs.close()
    assert os.waitpid(pid, 0)[1] == 0
    assert ours.recv(8) == b""
    ours.close()
    assert pair.taken == PAGE
    del view
    assert pair.taken == 0


@pytest.mark.parametrize(
    ("place", "size"),
    [
        (1, LARGE),
        (8 * PAGE, LARGE),
        (7 * PAGE, LARGE + 1),
        (0, LARGE - 1),
        (0, 0),
        (1 << 70, LARGE),
    ],
)
def test_a_place_that_cannot_be_is_refused(
    make: Callable[..., Pair], place: int, size: int
) -> None:
    """Beyond the end, across it, between two pages, too small."""
    pair = make()
    pair.accept()
    with pytest.raises(Undecodable):
        pair.receive(A, place, size)


def test_a_blob_that_is_in_hand_is_not_handed_out_again(make: Callable[..., Pair]) -> None:
    """Or the first of two returns would give the place to somebody else."""
    pair = make()
    pair.accept()
    place = pair.send(bytes(LARGE))
    view = pair.receive(A, place)
    with pytest.raises(Undecodable, match="in hand"):
        pair.receive(A, place)
    del view


def test_a_consumer_that_returns_what_it_has_not_is_told_of(make: Callable[..., Pair]) -> None:
    """It changes nothing: neither whose the blob is, nor what is read from the lane after it."""
    pair = make(consumers=(A, B))
    pair.accept()
    place = pair.send(bytes(LARGE), A)
    pair.space.lend(B, [])
    lane = pair.consumers[A].fileno()
    os.write(lane, lanes.NUMBER.pack(5 * PAGE)[:3])
    assert pair.taken == PAGE
    os.write(lane, lanes.NUMBER.pack(5 * PAGE)[3:])
    view = pair.receive(A, place)
    assert pair.taken == PAGE
    assert pair.refused == [A]
    del view
    assert pair.taken == 0


def no_memory(*arguments: Any, **options: Any) -> Any:
    """What the system says that has none."""
    raise OSError(12, "Cannot allocate memory")


def test_a_producer_that_gets_no_memory_goes_on(
    make: Callable[..., Pair], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No file, no mapping: then everything goes by pipe, and it is not tried again."""
    pair = make()
    for module, name in ((mmap, "mmap"), (os, "memfd_create")):
        with monkeypatch.context() as patched:
            patched.setattr(module, name, no_memory)
            other = make()
            assert other.send(bytes(LARGE)) is None
        assert other.send(bytes(LARGE)) is None
        assert other.space._file == -1
        assert len(other.logged) == 1
    pair.accept()


def test_a_consumer_that_gets_no_memory_turns_the_offer_down(
    make: Callable[..., Pair], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And its producer sends it everything by pipe."""
    pair = make()
    assert pair.send(bytes(LARGE)) is None
    with monkeypatch.context() as patched:
        patched.setattr(mmap, "mmap", no_memory)
        assert not pair.consumers[A].take_offer()
    pair.consumers[A].not_offered()
    assert pair.send(bytes(LARGE)) is None
    assert not pair.space.reaches(A)


def test_no_pages_are_written_to_that_the_system_has_not_given(
    make: Callable[..., Pair], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A space may be larger than what is left of a control group's memory."""
    pair = make()
    pair.accept()

    class Poor(mmap.mmap):
        def madvise(self, *arguments: Any) -> None:
            no_memory()

    with monkeypatch.context() as patched:
        pair.space._memory = Poor(pair.space._file, 8 * PAGE)
        assert pair.send(bytes(LARGE)) is None

        class Old(mmap.mmap):
            def madvise(self, *arguments: Any) -> None:
                raise OSError(22, "Invalid argument")

        pair.space._memory = Old(pair.space._file, 8 * PAGE)
        patched.setattr(os, "posix_fallocate", no_memory)
        assert pair.send(bytes(LARGE)) is None
    # A kernel that does not know the advice, and has memory.
    assert pair.send(b"a" * LARGE) == 0
    assert pair.taken == PAGE


def test_a_space_that_is_not_sealed_is_turned_down(
    make: Callable[..., Pair], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Made shorter, it would end who reads it."""
    monkeypatch.setattr(space.fcntl, "F_ADD_SEALS", space.fcntl.F_GET_SEALS)
    pair = make()
    assert not pair.space.reaches(A)
    assert not pair.consumers[A].take_offer()


def test_only_stages_whose_events_may_be_pickled_have_lanes() -> None:
    """Nothing is made where nothing could use it."""
    assert links.shares(StageOptions())
    assert links.shares(StageOptions(codec="pickle", shared_memory="64 KiB"))
    assert not links.shares(StageOptions(codec="msgpack"))
    assert not links.shares(StageOptions(shared_memory=0))
