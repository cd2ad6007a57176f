"""The control socket: frames and descriptors through a socket, without any process."""

from __future__ import annotations

import errno
import itertools
import os
import resource
import socket
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actorflow.errors import FrameTooLarge
from actorflow.protocol.framing import frame
from actorflow.runtime.local import control
from actorflow.runtime.local.control import ControlSocket
from actorflow.runtime.local.descriptors import close_all
from tests.runtime.local.watched import open_files
from tests.seeds import examples

Pair = tuple[ControlSocket, ControlSocket]


def make_pair(buffer: int = 0, limit: int = 1 << 30) -> Pair:
    """Two connected control sockets, with small buffers when asked."""
    sockets = socket.socketpair()
    for sock in sockets:
        if buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
    return ControlSocket(sockets[0]), ControlSocket(sockets[1], limit)


@pytest.fixture
def pair() -> Iterator[Pair]:
    """Two connected control sockets with the usual buffers."""
    ends = make_pair()
    yield ends
    for end in ends:
        end.close()


def a_file(text: str) -> int:
    """A new descriptor to read the text from."""
    read, write = os.pipe()
    os.write(write, text.encode())
    os.close(write)
    return read


def text_of(descriptor: int) -> str:
    """What a file holds; closes it."""
    text = os.read(descriptor, 1000).decode()
    os.close(descriptor)
    return text


def test_frames_arrive_whole_and_in_order(pair: Pair) -> None:
    """Small and large frames, the empty one too, arrive as they were sent."""
    ours, theirs = pair
    frames = [b"a", b"", bytes(100_000), b"b" * 1000]
    for data in frames:
        ours.send(frame(data))
    received: list[bytes] = []
    while len(received) < len(frames):
        ours.flush()
        received += theirs.receive()
    assert received == frames
    assert not ours.wants_write


def test_a_hundred_messages_with_descriptors_through_a_tiny_buffer() -> None:
    """Whatever is cut, each frame's descriptors are there when the frame is, and are its own."""
    before = open_files()
    ours, theirs = make_pair(buffer=2048)
    for number in range(100):
        # Every third without any, every other larger than the buffer.
        count = number % 3
        files = [a_file(f"{number}.{index}") for index in range(count)]
        ours.send(frame(b"%d %d" % (number, count) + bytes(number % 2 * 5000)), files)
    assert ours.wants_write
    got = 0
    while got < 100:
        ours.flush()
        for data in theirs.receive():
            number, count = map(int, data.rstrip(b"\0").split())
            assert number == got
            if count:
                texts = [text_of(file) for file in theirs.take_descriptors(count)]
                assert texts == [f"{number}.{index}" for index in range(count)]
            got += 1
    assert not ours.wants_write
    ours.close()
    theirs.close()
    assert open_files() == before


@given(
    sizes=st.lists(st.tuples(st.integers(0, 9000), st.integers(0, 2)), max_size=20),
    turns=st.lists(st.sampled_from(["send", "flush", "receive"]), max_size=60),
)
@settings(max_examples=examples(50), deadline=None)
def test_any_turns_of_writing_and_reading(sizes: list[tuple[int, int]], turns: list[str]) -> None:
    """Frames and descriptors stay in step however writing, flushing and reading alternate."""
    ours, theirs = make_pair(buffer=2048)
    sent = 0
    got: list[tuple[int, list[str]]] = []
    for turn in itertools.chain(turns, itertools.cycle(["send", "flush", "receive"])):
        if len(got) == len(sizes):
            break
        if turn == "send" and sent < len(sizes):
            size, count = sizes[sent]
            ours.send(frame(bytes(size)), [a_file(f"{sent}") for _ in range(count)])
            sent += 1
        elif turn == "flush":
            ours.flush()
        elif turn == "receive":
            for data in theirs.receive():
                number = len(got)
                count = sizes[number][1]
                files = theirs.take_descriptors(count) if count else []
                got.append((len(data), [text_of(file) for file in files]))
                assert got[number] == (sizes[number][0], [f"{number}"] * count)
    ours.close()
    theirs.close()


def test_received_descriptors_are_not_inherited(pair: Pair) -> None:
    """A program that a stage executes does not get its links."""
    ours, theirs = pair
    ours.send(frame(b"x"), [a_file("x")])
    theirs.receive()
    (file,) = theirs.take_descriptors(1)
    assert not os.get_inheritable(file)
    os.close(file)


def test_sent_descriptors_are_closed_here_at_once(pair: Pair) -> None:
    """The receiver alone holds what was sent, so that its end of file is everybody's."""
    ours, theirs = pair
    read, write = os.pipe()
    before = open_files()
    ours.send(frame(b"x"), [write])
    assert open_files() == before - 1
    theirs.receive()
    close_all(theirs.take_descriptors(1))
    assert os.read(read, 1) == b""
    os.close(read)


def test_close_closes_what_was_neither_sent_nor_taken() -> None:
    """No descriptor is lost in the outbox, on the way, or in the queue of received ones."""
    before = open_files()
    ours, theirs = make_pair(buffer=2048)
    for _ in range(50):
        ours.send(frame(bytes(1000)), [a_file("x"), a_file("y")])
    assert ours.wants_write
    theirs.receive()
    ours.close()
    theirs.close()
    ours.close()
    ours.send(frame(b"x"), [a_file("z")])
    assert theirs.receive() == []
    assert open_files() == before


def test_what_was_sent_is_read_before_the_end() -> None:
    """The end of file is reported behind the last frame, also when the peer left unread data."""
    ours, theirs = make_pair()
    theirs.send(frame(b"never read"))
    ours.send(frame(b"last words"))
    ours.close()
    assert theirs.receive() == [b"last words"] or theirs.receive() == [b"last words"]
    theirs.receive()
    assert theirs.at_end
    assert theirs.failure is None
    theirs.close()


def test_sending_to_one_that_has_gone_drops_everything(pair: Pair) -> None:
    """No error, no growing outbox, no descriptor left."""
    ours, theirs = pair
    theirs.close()
    before = open_files()
    for _ in range(3):
        ours.send(frame(b"x"), [a_file("x")])
    assert not ours.wants_write
    assert ours.flush()
    assert open_files() == before


def test_the_outbox_is_dropped_when_the_peer_goes() -> None:
    """A half-written frame to a peer that goes is forgotten, with its descriptors."""
    ours, theirs = make_pair(buffer=2048)
    before = open_files()
    for _ in range(20):
        ours.send(frame(bytes(10_000)), [a_file("x")])
    assert ours.wants_write
    theirs.close()
    assert ours.flush()
    assert not ours.wants_write
    assert open_files() == before - 1
    ours.close()


def test_drain_needs_no_end_of_file(pair: Pair) -> None:
    """Everything that is there is read although another process may still hold the other end."""
    ours, theirs = pair
    for number in range(200):
        ours.send(frame(b"%d" % number), [a_file("x")] if number % 2 else [])
    assert theirs.drain() == [b"%d" % number for number in range(200)]
    assert not theirs.at_end
    ours.close()
    assert theirs.drain() == []
    assert theirs.at_end


def test_receive_lets_others_have_their_turn(pair: Pair) -> None:
    """A peer that always has more does not keep its reader for ever."""
    ours, theirs = pair
    for number in range(control.ROUNDS + 5):
        ours.send(frame(b"%d" % number), [a_file("x")])
    assert len(theirs.receive()) == control.ROUNDS
    assert len(theirs.receive()) == 5


def test_lost_descriptors_are_an_error_of_their_frame_alone(pair: Pair) -> None:
    """Out of descriptors, a set is lost and says so; the sets before and behind it are in step."""
    ours, theirs = pair
    ours.send(frame(b"0"), [a_file("a"), a_file("b")])
    assert theirs.receive() == [b"0"]
    for number in range(1, 4):
        ours.send(frame(b"%d" % number), [a_file("c"), a_file("d")])
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    top = a_file("top")
    os.close(top)
    # Room for one more: the first set is cut in the middle, the second does not arrive at all.
    resource.setrlimit(resource.RLIMIT_NOFILE, (top + 1, hard))
    blocker = -1
    try:
        frames = theirs._receive(1, to_the_end=True)
        blocker = os.dup(0)
        frames += theirs._receive(1, to_the_end=True)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        os.close(blocker)
    frames += theirs.receive()
    assert frames == [b"1", b"2", b"3"]
    assert [text_of(file) for file in theirs.take_descriptors(2)] == ["a", "b"]
    for _ in range(2):
        with pytest.raises(OSError, match="ulimit -n") as caught:
            theirs.take_descriptors(2)
        assert caught.value.errno == errno.EMFILE
    assert [text_of(file) for file in theirs.take_descriptors(2)] == ["c", "d"]


def test_another_number_of_descriptors_than_announced_is_an_error(pair: Pair) -> None:
    """A set is handed out whole or not at all, and never mixed with the next."""
    ours, theirs = pair
    ours.send(frame(b"x"), [a_file("x")])
    theirs.receive()
    before = open_files()
    with pytest.raises(OSError, match="2 descriptors were announced, 1 came"):
        theirs.take_descriptors(2)
    assert open_files() == before - 1
    with pytest.raises(OSError, match="1 descriptors were announced, 0 came"):
        theirs.take_descriptors(1)


def test_a_refusal_by_the_system_is_a_state_and_not_a_loop(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the kernel refuses to pass descriptors, sending ends, nothing leaks, reading goes on."""
    ours, theirs = pair
    before = open_files()

    def refuse(self: ControlSocket, item: object) -> int:
        raise OSError(errno.ETOOMANYREFS, "Too many references")

    monkeypatch.setattr(ControlSocket, "_write", refuse)
    ours.send(frame(b"x"), [a_file("x")])
    ours.send(frame(b"y"), [a_file("y")])
    assert ours.failure is not None
    assert ours.failure.errno == errno.ETOOMANYREFS
    assert not ours.wants_write
    assert open_files() == before
    monkeypatch.undo()
    theirs.send(frame(b"still heard"))
    assert ours.receive() == [b"still heard"]


def test_a_frame_beyond_the_limit_is_refused() -> None:
    """A length that cannot be meant is an error at once, not a wait for so many bytes."""
    ours, theirs = make_pair(limit=100)
    ours.send(frame(bytes(101)))
    with pytest.raises(FrameTooLarge):
        theirs.receive()
    ours.close()
    theirs.close()


def test_flush_within_waits_for_the_reader_and_no_longer() -> None:
    """It returns when all is written, when the peer is gone, or when the time is up."""
    ours, theirs = make_pair(buffer=2048)
    ours.send(frame(bytes(100_000)))
    assert not ours.flush_within(0.01)
    received: list[bytes] = []

    def read() -> None:
        while not received:
            received.extend(theirs.receive())

    reader = threading.Thread(target=read)
    reader.start()
    assert ours.flush_within(10.0)
    reader.join()
    assert received == [bytes(100_000)]
    ours.send(frame(bytes(100_000)))
    theirs.close()
    assert ours.flush_within(10.0)
    ours.close()
