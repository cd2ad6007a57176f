"""D-25: everything that may happen to a window, in random orders, in virtual time; D-15.

The rules, after every step: no more calls in flight than agreed (R-D1), no more bodies (R-D2), no
more items claimed (R-D3); a call whose I/O is ready ends in the step in which it is, whatever the
bodies do (R-D4); a call that has ended holds no permit (R-D5); with `ordered` results leave in
order (R-D6); after a stop each claimed item is finished, put back or reported, once (R-D7).
"""

from __future__ import annotations

import random
import sys
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

import pytest

from actorflow import Backoff, ItemFailed
from actorflow.stage.children import ChildEnd, ChildEnded
from actorflow.stages.buffered.claims import Claims
from actorflow.stages.buffered.items import Item
from actorflow.stages.buffered.options import CallOptions
from actorflow.stages.buffered.window import CallWindow, Owner
from actorflow.supervision.permits import PermitTable
from tests.seeds import seeds, size
from tests.systems.buffered_rig import select

STEPS = 80
PERMITS = 2
SOURCES = ("left", "right")


def put_back(items: list[Any]) -> None:
    """Stands for the source."""


@dataclass
class Machine:
    """A window, its source, its bodies, and the permits that all of them want."""

    options: CallOptions
    bodies: int
    claimed: int
    """How many items may be claimed: more than calls in flight, where there are many producers."""
    choose: random.Random
    now: float = 0.0
    asked: Counter[Any] = field(default_factory=Counter)
    given: Counter[Any] = field(default_factory=Counter)
    taken: int = 0
    lost: int = 0
    """What a source was asked for that has left."""
    calls: dict[int, int] = field(default_factory=dict)
    """The items of the calls in flight, by life."""
    cancelled: set[int] = field(default_factory=set)
    buffered: deque[Any] = field(default_factory=deque)
    in_body: dict[int, Any] = field(default_factory=dict)
    """What the bodies have, each by its number."""
    left: list[Any] = field(default_factory=list)
    """What has been handed over, in order."""
    finished: Counter[int] = field(default_factory=Counter)
    put_back: Counter[int] = field(default_factory=Counter)
    reported: Counter[int] = field(default_factory=Counter)
    freed: int = 0
    timers: list[tuple[float, Any]] = field(default_factory=list)
    stopped: bool = False
    over: bool = False

    def __post_init__(self) -> None:
        self.permits: PermitTable[Any] = PermitTable({"pool": PERMITS})
        self.holders: set[Any] = set()
        self.window = CallWindow(
            self.options,
            Owner(
                start=self._start,
                cancel=self.cancelled.add,
                emit=self._emit,
                free=self._free,
                requeue=self._requeue,
                emptied=self._emptied,
                now=lambda: self.now,
                after=lambda seconds, act: self.timers.append((self.now + seconds, act)),
                log=self._log,
                who="select/0",
            ),
        )
        self.sources = list(SOURCES)
        self.claims = Claims(self.claimed, lambda: len(self.sources), self._ask)
        for source in SOURCES:
            self.claims.joined(source)
        self.window.open()

    # --- what may happen --------------------------------------------------------------------------

    def steps(self) -> list[Any]:
        """Everything that may happen now."""
        found: list[Any] = []
        if self._willing() and not self.stopped:
            found.append(self.arrive)
        if len(self.sources) > 1 and not self.choose.randrange(40):
            found.append(self.source_leaves)
        if self.calls:
            found.append(self.io_fails)
        if self._with_permit("call"):
            found += [self.io_ready, self.io_ready]
        if self.buffered and len(self.in_body) < self.bodies:
            found.append(self.deliver)
        if self._with_permit("body"):
            found.append(self.body_ends)
        if self.timers:
            found.append(self.time_passes)
        return found

    def arrive(self) -> None:
        """A source gives some of what it was asked for."""
        source = self.choose.choice(self._willing())
        count = self.choose.randint(1, self.asked[source] - self.given[source])
        items = range(self.taken + 1, self.taken + count + 1)
        self.given[source] += count
        self.taken += count
        self.claims.came(source, count)
        self.window.add(items, source)

    def source_leaves(self) -> None:
        """One of two has nothing more, and owes what it was asked for."""
        source = self.sources.pop(self.choose.randrange(2))
        self.lost += self.asked[source] - self.given[source]
        self.claims.left(source)

    def io_ready(self) -> None:
        """A call's I/O is ready: it ends in this step, and gives its permit back."""
        life = self.choose.choice(self._with_permit("call"))
        self._call_ends(life, ChildEnd("normal", True, self.calls[life]))

    def io_fails(self) -> None:
        """A call fails, or its cancellation arrives."""
        life = self.choose.choice(list(self.calls))
        self._call_ends(life, ChildEnd(["error", "ValueError: no"], False))

    def deliver(self) -> None:
        """A body takes the oldest result, and asks for a permit."""
        result = self.buffered.popleft()
        self.left.append(result)
        self.in_body[len(self.left)] = result
        self._want(("body", len(self.left)))
        if self.options.claim == "window":
            self.window.handed_over(len(self.left))

    def body_ends(self) -> None:
        """One of the bodies ends, and gives its permit back."""
        number = self.choose.choice(self._with_permit("body"))
        result = self.in_body.pop(number)
        self.finished[result.item if isinstance(result, ItemFailed) else result] += 1
        self._return(("body", number))
        self.window.finished(sum(self.finished.values()))

    def time_passes(self) -> None:
        """Timers fire."""
        self.now += 0.3
        due = [timer for timer in self.timers if timer[0] <= self.now]
        self.timers = [timer for timer in self.timers if timer[0] > self.now]
        for _, act in due:
            act()

    def stop(self) -> None:
        """The stage is told to stop."""
        self.stopped = True
        self.claims.close()
        self.window.stop(takers=True)

    # --- the rules --------------------------------------------------------------------------------

    def check(self) -> None:
        """What holds after every step."""
        limit, counts = self.options.concurrency, self.window.counts
        assert limit is not None
        assert counts.in_flight == len(self.calls) <= limit
        assert counts.pausing == counts.waiting or counts.in_flight == limit or self.stopped
        assert not (counts.pausing and self.stopped)
        assert len(self.in_body) <= self.bodies
        beside = len(self.in_body) if self.options.claim == "window" else 0
        unfinished = self.taken - sum(self._fates().values())
        assert unfinished - beside <= self.claimed
        if not self.stopped:
            # Every place that is free is asked for, and none twice.
            assert sum(self.asked.values()) - self.lost - self.freed == self.claimed
        assert len(self.holders) <= PERMITS
        assert all(who[0] == "body" or who[1] in self.calls for who in self.holders)
        if self.options.ordered:
            order = [each.item if isinstance(each, ItemFailed) else each for each in self.left]
            assert order == sorted(order)

    def check_end(self) -> None:
        """Each claimed item had exactly one fate, and its place is free."""
        assert self.over
        assert self._fates() == Counter(range(1, self.taken + 1))
        assert self.freed == self.taken
        assert not self.holders

    # --- within -----------------------------------------------------------------------------------

    def _fates(self) -> Counter[int]:
        """What became of items, each of which may have one fate."""
        return self.finished + self.put_back + self.reported

    def _willing(self) -> list[Any]:
        """The sources that were asked for something and have not given it."""
        return [each for each in self.sources if self.asked[each] > self.given[each]]

    def _call_ends(self, life: int, end: ChildEnd) -> None:
        del self.calls[life]
        self._return(("call", life))
        # What is ready is settled here and now: nothing in it asks how the bodies are.
        self.window.ended([ChildEnded(life, end)])

    def _with_permit(self, kind: str) -> list[int]:
        """The calls, or bodies, that have a permit, so that they can get on."""
        return [number for what, number in sorted(self.holders) if what == kind]

    def _want(self, who: Any) -> None:
        if self.permits.ask(who, "pool"):
            self.holders.add(who)

    def _return(self, who: Any) -> None:
        successor = self.permits.gone(who)
        self.holders.discard(who)
        if successor is not None:
            self.holders.add(successor)

    def _ask(self, source: object, count: int) -> None:
        self.asked[source] += count

    def _start(self, life: int, item: int) -> None:
        self.calls[life] = item
        self._want(("call", life))

    def _emit(self, results: list[Any]) -> None:
        self.buffered.extend(results)

    def _free(self, items: list[Item]) -> None:
        self.freed += len(items)
        for item in items:
            self.claims.done(item.origin, 1)

    def _requeue(self, items: list[Item]) -> None:
        self.put_back.update(item.event for item in items)
        self.window.requeued(None)

    def _emptied(self) -> None:
        assert not self.over
        self.over = True

    def _log(self, level: str, event: str, values: dict[str, Any]) -> None:
        if "cancelled by the stop" in event or "skipped" in event:
            self.reported[values["item"]] += 1


def machine(seed: int) -> Machine:
    """One with options that the seed chooses."""
    choose = random.Random(seed)
    mode = choose.choice(["finish", "requeue", "cancel"])
    concurrency = choose.randint(1, 5)
    options = CallOptions(
        run=select,
        concurrency=concurrency,
        ordered=choose.random() < 0.5,
        claim=choose.choice(["total", "window"]),  # type: ignore[arg-type]
        timeout=choose.choice([None, 1.0]),
        retries=choose.randint(0, 2),
        backoff=choose.choice([None, Backoff(initial=0.5, jitter=0.5)]),
        on_error=choose.choice(["emit", "skip"]),  # type: ignore[arg-type]
        on_stop=mode,  # type: ignore[arg-type]
        requeue=put_back if mode == "requeue" else None,
    )
    # Two sources are asked for one each at least; more of them would make more.
    claimed = max(2, concurrency + choose.choice([0, 0, 2]))
    return Machine(options, choose.randint(1, 3), claimed, choose)


@pytest.mark.parametrize("part", range(5))
def test_d_25_the_rules_hold_in_every_order(part: int) -> None:
    """80 random steps, then a stop, then everything that still may happen; for each seed."""
    for seed in seeds(500)[part::5]:
        stage = machine(seed)
        for _ in range(STEPS):
            stage.choose.choice(stage.steps() or [lambda: None])()
            stage.check()
        stage.stop()
        while not stage.over:
            step = [step for step in stage.steps() if step != stage.time_passes]
            stage.choose.choice(step or [stage.time_passes])()
            stage.check()
        stage.check_end()


def calls_of(items: int) -> int:
    """How many functions are called for so many trivial calls."""
    window: CallWindow
    waiting: deque[int] = deque()
    emitted = 0

    def emit(results: list[Any]) -> None:
        nonlocal emitted
        emitted += len(results)

    nothing = Owner(
        start=lambda life, item: waiting.append(life),
        cancel=lambda life: None,
        emit=emit,
        free=lambda items: None,
        requeue=lambda items: None,
        emptied=lambda: None,
        now=lambda: 0.0,
        after=lambda seconds, act: None,
        log=lambda level, event, values: None,
        who="select/0",
    )
    window = CallWindow(CallOptions(run=select, concurrency=256, ordered=True), nothing)
    window.open()
    count = 0

    def seen(frame: Any, event: str, argument: Any) -> None:
        nonlocal count
        count += 1

    done = ChildEnd("normal", True, "row")
    sys.setprofile(seen)
    try:
        for first in range(0, items, 256):
            window.add(range(256), None)
            while waiting:
                window.ended([ChildEnded(waiting.popleft(), done)])
            window.finished(emitted)
            del first
    finally:
        sys.setprofile(None)
    assert window.counts.claimed == 0
    return count


def test_d_15_the_cost_grows_with_the_number_of_items() -> None:
    """256 at a time: no more than 1.3 times what their number says.

    10 000 and 160 000 in a thorough run; else a tenth of the first, and four times that.
    """
    less, more = size(10_240, 1_024), size(163_840, 4_096)
    few, many = calls_of(less), calls_of(more)
    assert many <= 1.3 * (more // less) * few
