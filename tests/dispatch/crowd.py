"""The consumers of a dispatcher under test: what each asked for, got, and has not finished."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

from actorflow.dispatch.base import Delivery, Dispatcher, Told
from actorflow.protocol.delivery import Unfinished

__all__ = ["Crowd", "Member"]


@dataclass
class Member:
    """One subscription, seen by its producer."""

    ref: int
    name: str
    place: Hashable = None
    asked: int = 0
    got: list[Any] = field(default_factory=list)
    finished: int = 0
    store: Unfinished = field(default_factory=Unfinished)
    reachable: bool = True

    @property
    def credit(self) -> int:
        """What it asked for and has not got; nothing once it is unreachable."""
        return self.asked - len(self.got) if self.reachable else 0

    def unfinished(self) -> list[Any]:
        """What it got and has not finished."""
        return self.got[self.finished :]


class Crowd:
    """Takes deliveries, and checks what holds for every dispatcher.

    Args:
        dispatcher: what is tested.
    """

    def __init__(self, dispatcher: Dispatcher) -> None:
        self.dispatcher = dispatcher
        self.members: dict[int, Member] = {}
        self.refs = 0
        self.said: dict[Hashable, list[tuple[int, int]]] = {}
        """What was said to each place and not heard: a number, and what was emitted then."""
        self.tokens = 0

    def join(self, name: str, place: Hashable = None, **options: Any) -> Member:
        """Subscribe somebody."""
        member = Member(self.refs + 1, name, place)
        self.dispatcher.subscribe(member.ref, name, options)
        self.refs += 1
        self.members[member.ref] = member
        return member

    def ask(self, member: Member, count: int) -> None:
        """Ask, and take what waited for this."""
        member.asked += count
        self.dispatcher.ask(member.ref, count)
        self.take(self.dispatcher.ready())

    def tell(self, emitted: int, waiting: dict[Hashable, list[int]]) -> None:
        """Say something: to whom nothing waits for now, to every other place behind what does.

        Args:
            emitted: how many events there have been so far: they are numbered from 0.
            waiting: what waits for each place that is to hear it.
        """
        self.tokens += 1
        told = self.dispatcher.tell(self.tokens, [member.ref for member in self.reachable])
        now = {self.members[ref].place for ref in told}
        for place, events in waiting.items():
            if place in now:
                assert not events, "nobody is told before what waits for him"
                assert not self.said.get(place), "nor before what was said before"
            else:
                self.said.setdefault(place, []).append((self.tokens, emitted))
        assert now <= set(waiting)

    def take(self, deliveries: Sequence[Delivery | Told]) -> None:
        """Everybody gets what was decided, in order, and never more than was asked for."""
        for delivery in deliveries:
            member = self.members[delivery.ref]
            said = self.said.get(member.place, [])
            if isinstance(delivery, Told):
                assert member.reachable, "nothing is sent to whom nobody hears"
                assert delivery.token == said.pop(0)[0], "everything said is heard once, in order"
                continue
            assert all(max(delivery.events) < emitted for _, emitted in said), "in its place"
            assert delivery.events, "a message has at least one event"
            assert member.reachable, "nothing is sent to whom nobody hears"
            member.store.sent(delivery.events, delivery.position)
            member.got += delivery.events
            assert len(member.got) <= member.asked, "nobody gets more than asked for"

    def finish(self, member: Member, batches: int) -> None:
        """The member acknowledges some of its oldest batches."""
        seq = min(member.store.seq, member.store.acked + batches)
        member.finished += member.store.acknowledge(seq)

    def break_link(self, member: Member) -> None:
        """The member is unreachable from now on."""
        member.reachable = False
        self.dispatcher.suspend(member.ref)

    def check(self) -> None:
        """The books agree."""
        for member in self.members.values():
            assert self.dispatcher.outstanding(member.ref) == member.credit >= 0
        assert self.dispatcher.capacity >= 0
        first = self.dispatcher.first_position
        assert (first is None) == (self.dispatcher.queued == 0)

    @property
    def reachable(self) -> list[Member]:
        """Those to whom something can be sent."""
        return [member for member in self.members.values() if member.reachable]
