"""The guard around a dispatcher that is not one of actorflow's own: it checks what it answers.

A dispatcher decides over every event of its stage. One that gives out more than was asked for, or
loses an event, would break promises that others rely on, far away and much later. So its answers
are checked before anything is sent, by counting; the first that breaks a rule ends the stage with a
`DispatcherError`. From then on the guard answers nothing else, whoever catches that error.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from actorflow.dispatch.base import Delivery, Dispatched, Dispatcher, Told
from actorflow.dispatch.broadcast import BroadcastDispatcher
from actorflow.dispatch.demand import DemandDispatcher
from actorflow.dispatch.partition import PartitionDispatcher
from actorflow.errors import CannotServe, DispatcherError, PartitionError, Refused
from actorflow.protocol.delivery import UnfinishedBatch
from actorflow.protocol.failure import Failure
from actorflow.protocol.reasons import brief

__all__ = ["GuardedDispatcher", "guarded"]

_OWN = (DemandDispatcher, BroadcastDispatcher, PartitionDispatcher)


def guarded(dispatcher: Dispatcher) -> Dispatcher:
    """A dispatcher as a stage may use it: actorflow's own as they are, any other with a guard."""
    return dispatcher if type(dispatcher) in _OWN else GuardedDispatcher(dispatcher)


class GuardedDispatcher(Dispatcher):
    """Somebody's dispatcher, whose answers are checked.

    The guard keeps its own account of every subscription's credit and of how many events wait
    inside. Events are followed one by one only where each goes to one consumer and none waits.

    Args:
        inner: the dispatcher; nobody else may use it.
    """

    def __init__(self, inner: Dispatcher) -> None:
        self.holds = inner.holds
        self.may_drop = inner.may_drop
        self.may_copy = inner.may_copy
        self.discards = inner.discards
        self.memory = inner.memory
        self._exact = not (inner.may_drop or inner.may_copy or inner.discards)
        self._inner = inner
        self._credit: dict[int, int] = {}
        self._total = 0
        self._inside = 0
        self._marks: list[object] = []
        self._broken: DispatcherError | None = None

    @property
    def name(self) -> str:
        """The class of the dispatcher inside."""
        return type(self._inner).__qualname__

    # --- what it could take, and what it holds ----------------------------------------------------

    @property
    def capacity(self) -> int:
        """What the dispatcher says, which is at most the sum of all credit."""
        capacity = self._ask("capacity", lambda: self._inner.capacity)
        if type(capacity) is not int or not 0 <= capacity <= self._total:
            rule = "capacity is a number from 0 to the sum of all credit"
            self._break(rule, f"it is {brief(capacity)}, and the sum is {self._total}")
        return capacity

    @property
    def queued(self) -> int:
        """What the dispatcher says; where no event may be dropped or copied it must add up."""
        queued = self._ask("queued", lambda: self._inner.queued)
        if type(queued) is not int or queued < 0:
            self._break("queued is a number from 0", f"it is {brief(queued)}")
        return queued

    @property
    def first_position(self) -> int | None:
        """The place of the oldest event inside; without one, what waits would seem finished."""
        first = self._ask("first_position", lambda: self._inner.first_position)
        if self.queued and (type(first) is not int or first < 0):
            rule = "first_position is the place of the oldest event that waits inside"
            self._break(rule, f"it is {brief(first)}, and {self.queued} wait")
        return None if first is None else int(first)

    @property
    def stranded(self) -> bool:
        """What the dispatcher says; it is only for a line in the log."""
        return bool(self._ask("stranded", lambda: self._inner.stranded))

    def held_events(self) -> list[Any]:
        """What waits inside, all of it: a snapshot is made of it."""
        held = self._ask("held_events", self._inner.held_events)
        if not isinstance(held, list) or len(held) != self.queued:
            rule = "held_events returns a list of all the events that wait inside"
            self._break(rule, f"it returned {brief(held)}, and {self.queued} wait")
        return held

    # --- subscriptions ----------------------------------------------------------------------------

    def expect(self, consumer: str) -> None:
        """Passed on."""
        self._ask("expect", self._inner.expect, consumer)

    def expect_no_more(self, consumer: str) -> None:
        """Passed on."""
        self._ask("expect_no_more", self._inner.expect_no_more, consumer)

    def subscribe(self, ref: int, consumer: str, options: Mapping[str, Any]) -> None:
        """Passed on; it may refuse."""
        self._ask("subscribe", self._inner.subscribe, ref, consumer, options, may=(Refused,))
        self._credit[ref] = 0

    def catch_up(self, ref: int, position: int) -> int:
        """Passed on; what is replayed waits inside."""
        count = self._ask("catch_up", self._inner.catch_up, ref, position, may=(CannotServe,))
        if type(count) is not int or count < 0:
            self._break("catch_up returns a number from 0", f"it returned {brief(count)}")
        self._inside += count
        self._add_up("catch_up")
        return count

    def replace(self, old: int, ref: int, consumer: str, options: Mapping[str, Any]) -> None:
        """Passed on; it may refuse."""
        may = (Refused,)
        self._ask("replace", self._inner.replace, old, ref, consumer, options, may=may)
        self._credit[ref] = 0
        self._total -= self._credit.pop(old, 0)

    def ask(self, ref: int, count: int) -> None:
        """Passed on, and counted."""
        self._ask("ask", self._inner.ask, ref, count)
        if ref in self._credit:
            self._credit[ref] += count
            self._total += count

    def suspend(self, ref: int) -> None:
        """Passed on; nothing may be sent to it from here on."""
        self._ask("suspend", self._inner.suspend, ref)
        self._total -= self._credit.pop(ref, 0)

    def leave(self, ref: int, *, successor: bool = False) -> None:
        """Passed on; what waits inside may not vanish with it."""
        self._ask("leave", lambda: self._inner.leave(ref, successor=successor))
        self._total -= self._credit.pop(ref, 0)
        self._add_up("leave")

    def give_back(self, ref: int, batches: list[UnfinishedBatch]) -> list[UnfinishedBatch]:
        """Passed on; what it does not return waits inside."""
        given = sum(len(batch.events) for batch in batches)
        returned = self._ask("give_back", self._inner.give_back, ref, list(batches))
        rule = "give_back returns a list of the batches that anyone may have"
        if not isinstance(returned, list):
            self._break(rule, f"it returned {brief(returned)}")
        if not all(isinstance(batch, UnfinishedBatch) for batch in returned):
            self._break(rule, f"it returned {brief(returned)}")
        back = sum(len(batch.events) for batch in returned)
        if back > given:
            self._break(rule, f"it returned {back} events of {given}")
        self._inside += given - back
        self._add_up("give_back")
        return returned

    def forget(self, ref: int) -> None:
        """Passed on."""
        self._ask("forget", self._inner.forget, ref)

    def succeed(self, old: int, ref: int) -> None:
        """Passed on."""
        self._ask("succeed", self._inner.succeed, old, ref)

    def outstanding(self, ref: int) -> int:
        """By the guard's own account."""
        return self._credit.get(ref, 0)

    # --- events -----------------------------------------------------------------------------------

    def dispatch(self, events: list[Any], position: int) -> Dispatched:
        """Passed on; each answer is checked before anything is sent."""
        size, could = len(events), self.capacity
        original = events[:] if self._exact else events
        may = (CannotServe, PartitionError)
        try:
            answer = self._ask("dispatch", self._inner.dispatch, events, position, may=may)
        except CannotServe as refused:
            if refused.ref not in self._credit:
                rule = "CannotServe names a subscription that can be reached"
                self._break(rule, f"it named {brief(refused.ref)}")
            raise
        if not isinstance(answer, Dispatched):
            self._break("dispatch returns a Dispatched", f"it returned {brief(answer)}")
        left = answer.leftover
        if type(left) is not int or not 0 <= left <= size:
            self._break("leftover is how many events are left", f"it is {brief(left)} of {size}")
        if could and left == size:
            rule = "with a capacity above 0, dispatch takes at least one event"
            self._break(rule, f"its capacity was {could}, and all {size} are left over")
        self._account(answer.deliveries, position + size - left)
        if self._exact:
            delivered = sum(len(each.events) for each in answer.deliveries)
            self._inside += size - left - delivered
            self._add_up("dispatch")
            if not self._inside:
                self._compare(original[: size - left], answer.deliveries)
        return answer

    def ready(self) -> Sequence[Delivery | Told]:
        """Passed on; each delivery is checked."""
        found = self._ask("ready", self._inner.ready)
        if not isinstance(found, Sequence):
            self._break("ready returns a sequence", f"it returned {brief(found)}")
        deliveries = [each for each in found if not isinstance(each, Told)]
        for each in found:
            if isinstance(each, Told) and each.ref not in self._credit:
                self._unreachable(each.ref)
        self._account(deliveries, None)
        if self._exact:
            self._inside -= sum(len(each.events) for each in deliveries)
            self._add_up("ready")
        return found

    def take_discarded(self) -> list[Any]:
        """Passed on."""
        found = self._ask("take_discarded", self._inner.take_discarded)
        if not isinstance(found, list):
            self._break("take_discarded returns a list", f"it returned {brief(found)}")
        return found

    # --- messages between events ------------------------------------------------------------------

    def mark(self, token: object) -> bool:
        """Passed on, and remembered until it is passed."""
        passed = self._ask("mark", self._inner.mark, token)
        if type(passed) is not bool:
            self._break("mark returns whether it is passed", f"it returned {brief(passed)}")
        if not passed:
            self._marks.append(token)
        return passed

    def passed_marks(self) -> list[object]:
        """Passed on; each mark is passed once."""
        found = self._ask("passed_marks", self._inner.passed_marks)
        if not isinstance(found, list):
            self._break("passed_marks returns a list", f"it returned {brief(found)}")
        for token in found:
            place = next((i for i, mark in enumerate(self._marks) if mark is token), None)
            if place is None:
                rule = "passed_marks returns each token that mark has put off, once"
                self._break(rule, f"it returned {brief(token)}")
            del self._marks[place]
        return found

    def tell(self, token: object, refs: Sequence[int]) -> Sequence[int]:
        """Passed on; it answers with some of those who can be told."""
        now = self._ask("tell", self._inner.tell, token, refs)
        if not isinstance(now, Sequence) or not set(now) <= set(refs):
            self._break("tell returns some of the refs", f"it returned {brief(now)} of {refs}")
        return now

    # --- looking ----------------------------------------------------------------------------------

    def waiting_for(self, ref: int) -> int:
        """Passed on."""
        found = self._ask("waiting_for", self._inner.waiting_for, ref)
        if type(found) is not int or found < 0:
            self._break("waiting_for is a number from 0", f"it returned {brief(found)}")
        return found

    def describe(self) -> Mapping[str, Any]:
        """What it says; a status page never ends a stage, so that is all that is asked of it."""
        try:
            return self._inner.describe()
        except Exception as error:  # noqa: BLE001  (it is somebody else's code)
            return {"description": f"raised {Failure.of(error).summary}"}

    # --- within -----------------------------------------------------------------------------------

    def _ask(
        self,
        what: str,
        call: Callable[..., Any],
        *arguments: Any,
        may: tuple[type[Exception], ...] = (),
    ) -> Any:
        """Call a method of the dispatcher; it may raise what its description says, nothing else."""
        if self._broken is not None:
            raise self._broken
        try:
            return call(*arguments)
        except Exception as error:
            if isinstance(error, may):
                raise
            self._break(f"{what} does not raise", f"it raised {Failure.of(error).summary}", error)

    def _account(self, deliveries: Any, end: int | None) -> None:
        """Check each delivery and take it off its subscription's credit."""
        if not isinstance(deliveries, list):
            self._break("deliveries are a list", f"it is {brief(deliveries)}")
        for each in deliveries:
            if not isinstance(each, Delivery):
                self._break("a delivery is a Delivery", f"it is {brief(each)}")
            events: object = each.events
            if not isinstance(events, list) or not events:
                self._break("a delivery has a list of at least one event", f"it is {brief(each)}")
            if each.ref not in self._credit:
                self._unreachable(each.ref)
            at: object = each.position
            if not isinstance(at, int) or at < 0 or (end is not None and at >= end):
                self._break("a delivery has its first event's place", f"it is {brief(at)}")
            count, credit = len(each.events), self._credit[each.ref]
            if count > credit:
                rule = "nobody gets more than was asked for"
                self._break(rule, f"subscription {each.ref} has credit {credit}, and gets {count}")
            self._credit[each.ref] -= count
            self._total -= count

    def _add_up(self, what: str) -> None:
        if self._exact and self.queued != self._inside:
            rule = "every event goes to one consumer, waits inside, or is left over"
            told = f"after {what}, {self._inside} should wait inside, and queued is {self.queued}"
            self._break(rule, told)

    def _compare(self, taken: list[Any], deliveries: list[Delivery]) -> None:
        """Nothing waits inside: then what was taken is what is delivered, each event once."""
        given = Counter(id(event) for each in deliveries for event in each.events)
        if given != Counter(map(id, taken)):
            rule = "every event goes to one consumer, waits inside, or is left over"
            told = f"took {brief(taken)} and delivered {brief([d.events for d in deliveries])}"
            self._break(rule, told)

    def _unreachable(self, ref: object) -> NoReturn:
        rule = "only a subscription that was admitted and can be reached gets anything"
        self._break(rule, f"{brief(ref)} is none")

    def _break(self, rule: str, broken: str, cause: Exception | None = None) -> NoReturn:
        kind = type(self._inner)
        self._broken = DispatcherError(f"{kind.__module__}:{kind.__qualname__}", rule, broken)
        raise self._broken from cause
