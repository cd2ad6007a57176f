"""A conformance kit for dispatchers: random schedules against the laws that every one must keep."""

from __future__ import annotations

import pickle
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from itertools import pairwise
from random import Random
from typing import Any

from actorflow.dispatch.base import Delivery, Dispatcher, Told
from actorflow.dispatch.guard import GuardedDispatcher
from actorflow.errors import DispatcherError, OptionError
from actorflow.protocol.codec import dump
from actorflow.protocol.delivery import Unfinished
from actorflow.records import dataclass
from actorflow.testing.laws import LawBroken

__all__ = ["check_dispatcher"]

REMEMBERED = 25
"""How many of the last steps an error shows."""

ANY: tuple[Mapping[str, Any], ...] = ({}, {}, {})


def check_dispatcher(
    factory: Callable[[], Dispatcher],
    *,
    subscriptions: Sequence[Mapping[str, Any]] = ANY,
    event: Callable[[int], Any] = int,
    runs: int = 100,
    steps: int = 100,
    seed: int = 0,
) -> None:
    """Try a dispatcher in random schedules; it must keep every law.

    Each run plays a stage that emits, and consumers that come, ask, acknowledge, break, leave, and
    are succeeded. The same arguments try the same schedules. Besides what the guard around a
    dispatcher checks in a stage (see `DispatcherError`), these laws are asked:

    * nobody gets more than it asked for, at any moment, and nobody who has left gets anything;
    * what a consumer gets for the first time comes in the order of emission;
    * each event reaches one consumer exactly once, unless the dispatcher says `may_drop` or
      `may_copy`; what a consumer did not finish reaches another one, or its successor;
    * a notification reaches each consumer once, in its place among the events; a mark is passed
      once;
    * what is said of an unknown subscription changes nothing;
    * when everybody has left and others come who ask for enough, nothing stays behind;
    * it can be pickled, as it travels to its stage's process.

    Args:
        factory: makes a fresh dispatcher.
        subscriptions: the subscription options of the consumers that there may be at once, at
            least one, such as ``[{"partition": 0}, {"partition": 1}]``.
        event: makes an event from its number; each call makes a different one.
        runs: how many schedules to try, from 1.
        steps: how many steps each has, from 1.
        seed: of the schedules.

    Raises:
        LawBroken: a law does not hold; it names the law, the seed and run, and the last steps.
        OptionError: an argument breaks its rule.

    Example:
        >>> from actorflow import DemandDispatcher, PartitionDispatcher
        >>> check_dispatcher(lambda: DemandDispatcher(chunk=2), runs=20)
        >>> check_dispatcher(
        ...     lambda: PartitionDispatcher(partitions=2, by=lambda number: number % 2),
        ...     subscriptions=[{"partition": 0}, {"partition": 1}],
        ...     runs=20,
        ... )
    """
    for name, value in (("runs", runs), ("steps", steps)):
        if type(value) is not int or value < 1:
            raise OptionError(name, "an integer of at least 1", value)
    if not subscriptions:
        raise OptionError("subscriptions", "at least one map of options", subscriptions)
    _can_travel(factory)
    for run in range(runs):
        trial = _Trial(factory(), subscriptions, event, Random(f"{seed}/{run}"))
        try:
            for _ in range(steps):
                trial.step()
            trial.end()
        except LawBroken as broken:
            raise _in_context(broken, f"seed {seed}, run {run}", trial) from broken.__cause__
        except DispatcherError as error:
            rule = LawBroken(error.rule, error.broken)
            raise _in_context(rule, f"seed {seed}, run {run}", trial) from error


def _can_travel(factory: Callable[[], Dispatcher]) -> None:
    dispatcher = factory()
    if not isinstance(dispatcher, Dispatcher):
        raise OptionError("factory", "a function that returns a Dispatcher", dispatcher)
    try:
        pickle.loads(dump(dispatcher))
    except Exception as error:
        # Pickling runs somebody's code.
        raise LawBroken("it can be pickled", f"{type(error).__name__}: {error}") from error


def _in_context(broken: LawBroken, where: str, trial: _Trial) -> LawBroken:
    steps = "\n  ".join(trial.done)
    return LawBroken(broken.law, f"{broken.detail} ({where}; the last steps:\n  {steps})")


@dataclass(slots=True)
class _Member:
    """A consumer, as the stage sees it."""

    ref: int
    place: int
    asked: int = 0
    got: list[int] = field(default_factory=list)
    """The numbers of the events that it got, in order."""
    newest: int = -1
    """The last of them that nobody had got before."""
    store: Unfinished = field(default_factory=Unfinished)
    hears: list[_Notice] = field(default_factory=list)
    """What it was to be told and has not heard."""
    reachable: bool = True


@dataclass(slots=True)
class _Notice:
    """A notification, or a mark, and how many events there were before it."""

    before: int


class _Trial:
    """One schedule: the stage and its consumers, in the dispatcher's view."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        subscriptions: Sequence[Mapping[str, Any]],
        event: Callable[[int], Any],
        random: Random,
    ) -> None:
        self.done: deque[str] = deque(maxlen=REMEMBERED)
        self._inner = dispatcher
        self._dispatcher = GuardedDispatcher(dispatcher)
        self._subscriptions = subscriptions
        self._event = event
        self._random = random
        self._members: dict[int, _Member] = {}
        self._awaited: dict[int, int] = {}
        """For each place whose successor is expected, the ref of who had it."""
        self._refs = 0
        self._events: list[Any] = []
        self._numbers: dict[int, int] = {}
        self._buffer: deque[int] = deque()
        self._first: set[int] = set()
        """What has been delivered once."""
        self._finished: dict[int, int] = {}
        """How often each event was finished."""
        self._marks: list[_Notice] = []

    # --- steps ------------------------------------------------------------------------------------

    def step(self) -> None:
        """Let one thing happen, then look."""
        actions = (
            *[self._emit] * 4,
            *[self._some_ask] * 4,
            *[self._some_finish] * 2,
            self._join,
            self._some_break,
            self._some_leave,
            self._notify,
            self._mark,
            self._stranger,
        )
        self._random.choice(actions)()
        self._look()

    def end(self) -> None:
        """Everybody leaves, others come and ask for enough: nothing may stay behind."""
        for place, ref in list(self._awaited.items()):
            self._say(f"no successor of {ref} comes")
            self._dispatcher.leave(ref)
            self._dispatcher.forget(ref)
            del self._awaited[place]
        for member in list(self._members.values()):
            self._leave(member, successor=False)
        for place in range(len(self._subscriptions)):
            self._admit(place)
        for _ in range(2):
            # Twice, since with a broadcast the first ask of all but the last does nothing.
            for member in list(self._members.values()):
                self._ask(member, 2 * len(self._events) + 1)
        if self._buffer or self._dispatcher.queued:
            left = f"{len(self._buffer)} left over, {self._dispatcher.queued} inside"
            raise LawBroken("nothing stays behind", f"everybody asked for enough, and {left}")
        self._look()
        if self._marks:
            raise LawBroken("a mark is passed once", f"{len(self._marks)} were never passed")
        for member in self._members.values():
            self._finish(member, member.store.seq)
        self._everything_arrived()

    # --- what the stage does ----------------------------------------------------------------------

    def _emit(self) -> None:
        first = not self._buffer
        for _ in range(self._random.randint(1, 6)):
            number = len(self._events)
            event = self._event(number)
            if id(event) in self._numbers:
                raise OptionError("event", "a function that makes a new event each time", event)
            self._events.append(event)
            self._numbers[id(event)] = number
            self._buffer.append(number)
        self._say(f"emit up to {len(self._events) - 1}")
        if first:
            # As a stage does: with nothing before them, events are offered whatever the capacity.
            self._offer(len(self._buffer))
        self._drain()

    def _drain(self) -> None:
        while self._buffer and (room := self._dispatcher.capacity):
            self._offer(self._contiguous(min(room, self._random.randint(1, 8))))

    def _offer(self, count: int) -> None:
        numbers = [self._buffer.popleft() for _ in range(count)]
        events = [self._events[number] for number in numbers]
        answer = self._dispatcher.dispatch(events, numbers[0])
        self._buffer.extendleft(reversed(numbers[count - answer.leftover :]))
        self._take(answer.deliveries)

    def _contiguous(self, at_most: int) -> int:
        """How many of the next events have places one after the other, as a stage's chunks have."""
        count = 1
        while count < min(at_most, len(self._buffer)):
            if self._buffer[count] != self._buffer[0] + count:
                break
            count += 1
        return count

    def _notify(self) -> None:
        if self._buffer:
            return  # the stage keeps it behind what is buffered
        notice = _Notice(len(self._events))
        refs = [member.ref for member in self._members.values() if member.reachable]
        self._say(f"tell {refs}")
        now = self._dispatcher.tell(notice, refs)
        for ref in refs:
            if ref not in now:
                self._members[ref].hears.append(notice)

    def _mark(self) -> None:
        if self._buffer:
            return
        notice = _Notice(len(self._events))
        self._say("mark")
        if not self._dispatcher.mark(notice):
            self._marks.append(notice)

    # --- what consumers do ------------------------------------------------------------------------

    def _join(self) -> None:
        taken = {member.place for member in self._members.values()}
        free = [place for place in range(len(self._subscriptions)) if place not in taken]
        if free:
            self._admit(self._random.choice(free))

    def _admit(self, place: int) -> None:
        self._refs += 1
        member = _Member(self._refs, place)
        self._say(f"subscribe {member.ref} {dict(self._subscriptions[place])}")
        self._dispatcher.subscribe(member.ref, f"consumer/{place}", self._subscriptions[place])
        self._members[member.ref] = member
        old = self._awaited.pop(place, None)
        if old is not None:
            self._dispatcher.succeed(old, member.ref)
            self._dispatcher.forget(old)

    def _some_ask(self) -> None:
        reachable = [member for member in self._members.values() if member.reachable]
        if reachable:
            self._ask(self._random.choice(reachable), self._random.randint(1, 6))

    def _ask(self, member: _Member, count: int) -> None:
        self._say(f"ask {member.ref} {count}")
        member.asked += count
        self._dispatcher.ask(member.ref, count)
        self._serve()

    def _serve(self) -> None:
        self._take(self._dispatcher.ready())
        self._drain()

    def _some_finish(self) -> None:
        if self._members:
            member = self._random.choice(list(self._members.values()))
            self._finish(member, min(member.store.seq, member.store.acked + 1))

    def _finish(self, member: _Member, seq: int) -> None:
        before = [event for batch in member.store.kept for event in batch.events]
        done = member.store.acknowledge(seq)
        for event in before[:done]:
            number = self._numbers[id(event)]
            self._finished[number] = self._finished.get(number, 0) + 1

    def _some_break(self) -> None:
        reachable = [member for member in self._members.values() if member.reachable]
        if reachable:
            member = self._random.choice(reachable)
            self._say(f"suspend {member.ref}")
            self._dispatcher.suspend(member.ref)
            member.reachable = False
            self._serve()

    def _some_leave(self) -> None:
        if self._members:
            member = self._random.choice(list(self._members.values()))
            self._leave(member, successor=self._random.random() < 0.5)

    def _leave(self, member: _Member, *, successor: bool) -> None:
        self._say(f"leave {member.ref}" + (", a successor comes" if successor else ""))
        self._dispatcher.leave(member.ref, successor=successor)
        returned = self._dispatcher.give_back(member.ref, member.store.give_back())
        numbers = [self._numbers[id(event)] for batch in returned for event in batch.events]
        self._buffer = deque(sorted([*numbers, *self._buffer]))
        del self._members[member.ref]
        if successor:
            self._awaited[member.place] = member.ref
        else:
            self._dispatcher.forget(member.ref)
        self._serve()

    def _stranger(self) -> None:
        dispatcher, ref = self._dispatcher, self._refs + 1000
        before = dispatcher.capacity, dispatcher.queued
        self._say(f"ask, suspend, leave and forget {ref}, which is unknown")
        dispatcher.ask(ref, 5)
        for act in (dispatcher.suspend, dispatcher.leave, dispatcher.forget):
            after = dispatcher.capacity, dispatcher.queued
            if after != before:
                law = "an unknown subscription changes nothing"
                raise LawBroken(law, f"capacity and queued were {before} and are {after}")
            act(ref)

    # --- what must hold ---------------------------------------------------------------------------

    def _take(self, found: Sequence[Delivery | Told]) -> None:
        for each in found:
            member = self._members[each.ref]
            if isinstance(each, Told):
                if member.hears and member.hears[0] is each.token:
                    member.hears.pop(0)
                continue
            numbers = [self._number(event) for event in each.events]
            fresh = [number for number in numbers if number not in self._first]
            self._in_order(member, numbers, fresh)
            self._first.update(numbers)
            member.got += numbers
            member.store.sent(each.events, each.position)
            if len(member.got) > member.asked:
                detail = f"subscription {member.ref} asked for {member.asked}"
                raise LawBroken("nobody gets more than was asked for", detail)

    def _number(self, event: Any) -> int:
        number = self._numbers.get(id(event))
        if number is None:
            raise LawBroken("only what was emitted is delivered", f"{event!r} was not emitted")
        return number

    def _in_order(self, member: _Member, numbers: list[int], fresh: list[int]) -> None:
        news = numbers if self._inner.may_copy else fresh
        if any(one >= other for one, other in pairwise([member.newest, *news])):
            law = "what a consumer gets for the first time comes in the order of emission"
            raise LawBroken(law, f"subscription {member.ref} got {numbers} after {member.got}")
        member.newest = max(news, default=member.newest)
        for notice in member.hears:
            if any(number >= notice.before for number in numbers):
                detail = f"subscription {member.ref} got {numbers} before it was told"
                raise LawBroken("a notification reaches each consumer in its place", detail)

    def _look(self) -> None:
        for token in self._dispatcher.passed_marks():
            self._marks = [mark for mark in self._marks if mark is not token]
        for member in self._members.values():
            self._dispatcher.waiting_for(member.ref)
        if self._dispatcher.queued:
            assert self._dispatcher.first_position is not None

    def _everything_arrived(self) -> None:
        for member in self._members.values():
            if member.hears:
                detail = f"subscription {member.ref} was never told"
                raise LawBroken("a notification reaches each consumer once", detail)
        if self._inner.may_drop or self._inner.may_copy or self._inner.discards:
            return
        law = "each event reaches one consumer, exactly once"
        for number in range(len(self._events)):
            times = self._finished.get(number, 0)
            if times != 1:
                raise LawBroken(law, f"event {number} was finished {times} times")

    def _say(self, step: str) -> None:
        self.done.append(step)
