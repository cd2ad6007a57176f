"""A channel: what is in the pipe survives its writer, what is in the outbox does not."""

from __future__ import annotations

from actorflow.errors import ProtocolError
from actorflow.protocol.framing import frame
from actorflow.runtime.simulated.actors import ReadySet
from actorflow.runtime.simulated.channel import Channel
from actorflow.runtime.simulated.schedule import Conditions, Schedule


class Listener:
    """A reader that writes everything down."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.ended = 0
        self.busy = False

    def can_read(self, channel: Channel) -> bool:
        return not self.busy

    def take(self, channel: Channel, frames: list[bytes]) -> None:
        self.frames += frames

    def end(self, channel: Channel) -> None:
        self.ended += 1

    def garbled(self, channel: Channel, error: ProtocolError) -> None:
        raise error


def channel(
    capacity: int, *, eager: bool = False, cut: str = "whole"
) -> tuple[Channel, Listener, ReadySet]:
    """A channel with a reader, and the set of what may happen."""
    ready = ReadySet()
    conditions = Conditions(eager=eager, cut=cut)  # type: ignore[arg-type]
    made = Channel("a>b", 1, capacity, Schedule(1, conditions), ready)
    listener = Listener()
    made.attach(listener)
    return made, listener, ready


def run(ready: ReadySet) -> int:
    """Let everything happen that can; returns how many actions that took."""
    actions = 0
    while ready.items:
        actor = ready.items[0]
        if actor.ready():
            actor.act()
            actions += 1
        else:
            ready.discard(actor)
    return actions


def test_frames_arrive_whole_and_in_order_through_a_pipe_of_one_byte() -> None:
    """However small the pipe, and however the bytes are cut."""
    for cut in ("whole", "random", "bytes"):
        made, listener, ready = channel(1, cut=cut)
        made.write(frame(b"first"))
        made.write(frame(b"second")[:4], b"second")
        run(ready)
        assert listener.frames == [b"first", b"second"]


def test_the_pipe_holds_no_more_than_its_capacity() -> None:
    """The rest waits in the writer's outbox until the reader makes room."""
    made, listener, ready = channel(4, eager=True)
    listener.busy = True
    made.write(frame(b"abcdef"))
    assert (made.in_pipe, made.outbox) == (4, 6)
    run(ready)
    assert (made.in_pipe, made.outbox) == (4, 6)
    listener.busy = False
    ready.add(made.reading)
    run(ready)
    assert listener.frames == [b"abcdef"]


def test_a_dead_writers_pipe_is_read_to_its_last_byte_and_half_a_frame_is_dropped() -> None:
    """What it had written arrives, what it had not is lost, then comes the end, once."""
    made, listener, ready = channel(12)
    made.write(frame(b"whole"))
    made.write(frame(b"half"))
    made.writing.act()
    made.kill_writer()
    assert made.outbox == 0
    run(ready)
    assert listener.frames == [b"whole"]
    assert listener.ended == 1


def test_what_is_queued_leaves_before_the_writer_closes() -> None:
    """Closing waits for the outbox; then it says so."""
    made, listener, ready = channel(3)
    made.write(frame(b"last words"))
    told: list[str] = []
    made.close_when_written(lambda: told.append("written"))
    made.write(frame(b"too late"))
    assert told == []
    run(ready)
    assert told == ["written"]
    assert listener.frames == [b"last words"]


def test_writing_to_a_closed_reader_vanishes() -> None:
    """As after EPIPE: nobody waits, and nothing piles up."""
    made, _, ready = channel(3)
    made.write(frame(b"on its way"))
    made.close_reader()
    made.write(frame(b"nobody there"))
    assert made.drained
    assert run(ready) == 0


def test_draining_reads_everything_at_once() -> None:
    """For a peer that is known to be dead: its last frames, then its end."""
    made, listener, ready = channel(100, eager=True)
    made.write(frame(b"one"))
    made.write(frame(b"two"))
    made.kill_writer()
    made.drain()
    assert listener.frames == [b"one", b"two"]
    assert listener.ended == 1
    assert run(ready) == 0
