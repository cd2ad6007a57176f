"""Two processes and their pipes: what happens to those that wait inside a write.

* *Bulk exchange*: two peers send three messages each before they read, over pipes of one place.
* *Credit loop*: a producer sends what it has credit for; its consumer answers each event with an
  ask and two other control messages, over a control pipe of its own.

An *evented* process never waits in a write: it writes what fits, and reads whatever comes.

The counts of the bulk exchange are those of the specification's table. The credit loop has three
events of credit and five events; the table's parameters are not written down, so its numbers (138,
9 and 15; 474; 179) are matched in kind: stuck and trapped states in the first, none in the others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from tests.models.explorer import Exploration, Step, explore

MESSAGES = 3
EVENTS, CREDIT = 5, 3
ANSWER = ("ask", "chatter", "chatter")


@dataclass(frozen=True, slots=True)
class Peer:
    """How much a peer has sent and read."""

    sent: int = 0
    read: int = 0


@dataclass(frozen=True, slots=True)
class Pair:
    """Two peers; what one has sent and the other has not read is in a pipe of one place."""

    left: Peer = Peer()
    right: Peer = Peer()


def exchanging(me: Peer, other: Peer, *, evented: bool) -> Iterator[Step[Peer]]:
    """What one of the peers may do next."""
    if me.sent < MESSAGES and me.sent - other.read < 1:
        yield Step("write", replace(me, sent=me.sent + 1))
    if me.read < other.sent and (evented or me.sent == MESSAGES):
        yield Step("read", replace(me, read=me.read + 1))


@pytest.mark.parametrize(("evented", "counts"), [(False, (4, 1, 4)), (True, (49, 0, 0))])
def test_bulk_exchange(evented: bool, counts: tuple[int, int, int]) -> None:
    """Two that write in bulk before they read wait for each other."""

    def steps(pair: Pair) -> Iterator[Step[Pair]]:
        for step in exchanging(pair.left, pair.right, evented=evented):
            yield Step(f"left {step.name}", replace(pair, left=step.state))
        for step in exchanging(pair.right, pair.left, evented=evented):
            yield Step(f"right {step.name}", replace(pair, right=step.state))

    finished = Peer(MESSAGES, MESSAGES)
    assert explore(Pair(), steps, lambda pair: pair == Pair(finished, finished)).counts == counts


@dataclass(frozen=True, slots=True)
class Loop:
    """A producer and a consumer, the pipe for events and the pipe for control messages."""

    events: int = EVENTS
    """What the producer has not begun to send."""
    credit: int = CREDIT
    writing: bool = False
    """The producer waits in a write."""
    in_pipe: int = 0
    control: tuple[str, ...] = ()
    """The control messages in their pipe."""
    outbox: tuple[str, ...] = ()
    """What the consumer has still to write."""


@dataclass(frozen=True, slots=True)
class Rules:
    """How the two of a credit loop go about their pipes."""

    room: int
    """The places in each pipe."""
    evented: bool = False

    def steps(self, loop: Loop) -> Iterator[Step[Loop]]:
        """What the producer or the consumer may do next."""
        yield from self.producer(loop)
        yield from self.consumer(loop)

    def producer(self, loop: Loop) -> Iterator[Step[Loop]]:
        """Begin to write with credit, write where there is room, read unless it waits."""
        if loop.writing:
            if loop.in_pipe < self.room:
                yield Step("write", replace(loop, writing=False, in_pipe=loop.in_pipe + 1))
            return
        if loop.events and loop.credit and (not self.evented or loop.in_pipe < self.room):
            spent = replace(loop, events=loop.events - 1, credit=loop.credit - 1)
            if self.evented:
                yield Step("write", replace(spent, in_pipe=loop.in_pipe + 1))
            else:
                yield Step("begin to write", replace(spent, writing=True))
        if loop.control:
            credit = loop.credit + (loop.control[0] == "ask")
            yield Step("read", replace(loop, credit=credit, control=loop.control[1:]))

    def consumer(self, loop: Loop) -> Iterator[Step[Loop]]:
        """Write what is in its outbox; read an event, when a blocking one has nothing to write."""
        if loop.outbox and len(loop.control) < self.room:
            control = (*loop.control, loop.outbox[0])
            yield Step("answer", replace(loop, control=control, outbox=loop.outbox[1:]))
        if loop.in_pipe and (self.evented or not loop.outbox):
            outbox = loop.outbox + ANSWER
            yield Step("take", replace(loop, in_pipe=loop.in_pipe - 1, outbox=outbox))


def looped(rules: Rules) -> Exploration[Loop]:
    """Every state of a credit loop, which is done when nothing is left anywhere."""
    done = Loop(events=0)
    return explore(
        Loop(), rules.steps, lambda loop: replace(loop, credit=CREDIT) == done and loop.credit >= 0
    )


def test_m29_a_credit_loop_that_waits_in_its_writes_gets_stuck() -> None:
    """The producer waits for the event pipe, the consumer for the control pipe."""
    found = looped(Rules(room=1))
    assert found.counts == (128, 8, 14)
    for stuck in found.deadlocks:
        assert stuck.writing
        assert stuck.outbox


@pytest.mark.parametrize(
    ("rules", "states"), [(Rules(room=14), 457), (Rules(room=1, evented=True), 141)]
)
def test_a_credit_loop_with_room_for_all_control_or_with_evented_writes(
    rules: Rules, states: int
) -> None:
    """Neither gets stuck: one never has to wait, the other never does."""
    assert looped(rules).counts == (states, 0, 0)
