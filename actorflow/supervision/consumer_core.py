"""One child per event: who runs, who is run again, when it is too often. Pure decisions.

Ideas from: GenStage's ConsumerSupervisor and OTP's simple_one_for_one. It knows no process, clock
or thread; a `ChildRuntime` starts and signals, and tells of ends.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import field
from enum import Enum, auto
from typing import Any

from actorflow.errors import IntensityExceeded, NoSuchChild, OptionError, RunError
from actorflow.records import dataclass
from actorflow.stage.children import (
    ChildEnd,
    ChildEnded,
    ChildRuntime,
    ChildTemplate,
    not_started,
)
from actorflow.supervision.consumer_rows import ConsumerChildCounts, ConsumerChildInfo
from actorflow.supervision.specs import Intensity
from actorflow.supervision.strategy import RestartLog, wants_restart

__all__ = ["ConsumerCore", "Owner"]

START_AGAIN = 0.1
"""Seconds after which a child is started again that could not be started: for want of processes, or
of memory, which take a moment to come back."""

GONE_WITHIN = 5.0
"""Seconds in which a child that was killed must be gone. What cannot be killed, a thread, ends with
the stage's process."""


class ChildState(Enum):
    """Where a child stands."""

    RUNNING = auto()
    RESTARTING = auto()
    """It ended badly and waits to be started again."""
    STOPPING = auto()
    """It has been asked to end."""


@dataclass(slots=True)
class _Child:
    number: int
    arguments: Sequence[Any]
    template: ChildTemplate
    token: Any
    """What the owner gave with the event; None for a child started by hand."""
    state: ChildState = ChildState.RUNNING
    life: int = 0
    restarts: int = 0
    timed_out: bool = False
    waiting: list[Callable[[], None]] = field(default_factory=list)
    """Who is told when it is gone."""


@dataclass(frozen=True, slots=True)
class Owner:
    """What the core needs from the stage around it.

    Args:
        now: the clock, seconds.
        after: have something called in so many seconds.
        finished: a child of an event is over: its token, and how it ended.
        emptied: no child is left, and the core is stopping.
        log: write a log line.
    """

    now: Callable[[], float]
    after: Callable[[float, Callable[[], None]], None]
    finished: Callable[[Any, ChildEnd], None]
    emptied: Callable[[], None]
    log: Callable[[str, str, dict[str, Any]], None]


class ConsumerCore:
    """The children of one supervisor.

    Args:
        template: what to run for the events to come.
        intensity: how many restarts are bearable.
        runtime: where children live.
        owner: the stage around it.
    """

    def __init__(
        self, template: ChildTemplate, intensity: Intensity, runtime: ChildRuntime, owner: Owner
    ) -> None:
        self.template = template
        self.stopping = False
        self.exceeded: BaseException | None = None
        """Why it stops by itself: too many restarts."""
        self._runtime = runtime
        self._owner = owner
        self._log = RestartLog(intensity)
        self._intensity = intensity
        self._children: dict[int, _Child] = {}
        self._by_life: dict[int, _Child] = {}
        self._lives = 0
        self._numbers = 0
        self._finished = 0
        self._failed = 0
        self._restarted = 0
        self._due: list[tuple[float, int]] = []
        self._armed = False
        self._empty = False

    # --- starting ---------------------------------------------------------------------------------

    def start(self, event: Any, token: Any) -> None:
        """Start a child for an event; when that is impossible the event counts as ended badly.

        Args:
            event: appended to the template's arguments.
            token: given back with the end.
        """
        if self.stopping:
            return
        self._begin(self._new((event,), token))

    def start_by_hand(self, arguments: Sequence[Any]) -> ConsumerChildInfo:
        """Start a child outside any demand.

        Raises:
            OSError: there is no process or thread to be had.
        """
        child = self._new(arguments, None)
        try:
            self._give_life(child)
        except OSError:
            del self._children[child.number]
            self._failed += 1
            raise
        return self._row(child)

    def replace_template(self, template: ChildTemplate) -> None:
        """Children to come use another template; those that run keep theirs (live upgrade).

        Raises:
            OptionError: it wants another kind of children, or another number of workers.
        """
        old = self.template
        if template.child_kind != old.child_kind:
            rule = f"{old.child_kind} as before: a running supervisor keeps its processes"
            raise OptionError("template", rule, template.child_kind)
        self.template = template

    # --- looking ----------------------------------------------------------------------------------

    def which_children(self) -> list[ConsumerChildInfo]:
        """A row for each child, oldest first."""
        return [self._row(child) for child in self._children.values()]

    def count_children(self) -> ConsumerChildCounts:
        """How many there are and have been."""
        return ConsumerChildCounts(
            specs=1,
            active=len(self._by_life),
            workers=len(self._children),
            started=self._numbers,
            finished=self._finished,
            failed=self._failed,
            restarted=self._restarted,
        )

    # --- ending -----------------------------------------------------------------------------------

    def ended(self, endings: Sequence[ChildEnded]) -> None:
        """Children are gone.

        Raises:
            IntensityExceeded: the last child is gone, after too many restarts.
        """
        for each in endings:
            child = self._by_life.pop(each.life, None)
            if child is not None:
                self._child_ended(child, each.end)
        self._check_emptied()

    def terminate(self, number: int, gone: Callable[[], None]) -> None:
        """End a child, by its template's `shutdown`; its event counts as finished.

        Args:
            number: which.
            gone: is called when it is.

        Raises:
            NoSuchChild: there is none of that number.
        """
        child = self._children.get(number)
        if child is None:
            raise NoSuchChild(f"there is no child {number}")
        child.waiting.append(gone)
        if child.state is ChildState.RESTARTING:
            self._over(child, ChildEnd("shutdown", True))
        elif child.state is ChildState.RUNNING:
            self._end(child)

    def stop(self) -> None:
        """End every child; `Owner.emptied` follows. Events that are not finished stay so."""
        if self.stopping:
            return
        self.stopping = True
        for child in list(self._children.values()):
            if child.state is ChildState.RESTARTING:
                del self._children[child.number]
                self._tell(child)
            elif child.state is ChildState.RUNNING:
                self._end(child)
        # In a turn of its own: the caller has not returned yet.
        self._owner.after(0.0, self._check_emptied)

    # --- within -----------------------------------------------------------------------------------

    def _new(self, arguments: Sequence[Any], token: Any) -> _Child:
        self._numbers += 1
        child = _Child(self._numbers, arguments, self.template, token)
        self._children[child.number] = child
        return child

    def _begin(self, child: _Child) -> None:
        """Give a child a life; one that cannot be had counts as a bad end."""
        try:
            self._give_life(child)
        except OSError as error:
            self._settle(child, not_started(str(error)))

    def _give_life(self, child: _Child) -> None:
        self._lives += 1
        template = child.template
        self._runtime.start(self._lives, template, child.arguments)
        child.life, child.state = self._lives, ChildState.RUNNING
        self._by_life[self._lives] = child
        if template.timeout is not None:
            self._watch(child.life, self._owner.now() + template.timeout)

    def _child_ended(self, child: _Child, end: ChildEnd) -> None:
        if child.timed_out and not end.normal:
            end = ChildEnd("timeout", False, seconds=end.seconds)
        asked = child.state is ChildState.STOPPING and not child.timed_out
        if asked:
            self._over(child, end)
        else:
            self._settle(child, end)

    def _settle(self, child: _Child, end: ChildEnd) -> None:
        """Run a child again, or be done with it; what is wanting takes a moment to come back."""
        if not self._runs_again(child, end, START_AGAIN if end.not_started else 0.0):
            self._over(child, end)

    def _runs_again(self, child: _Child, end: ChildEnd, delay: float) -> bool:
        """Whether a child that ended so has a life before it; if so, that is seen to."""
        if self.stopping or child.waiting:
            return False
        if not wants_restart(child.template.restart, normal=end.normal):
            return False
        self._owner.log("warning", "a child is run again", self._words(child, end))
        if not self._log.allows(self._owner.now()):
            child.state = ChildState.STOPPING  # it is gone already: nobody to be signalled
            self._give_up(end)
            return False
        child.state, child.timed_out = ChildState.RESTARTING, False
        child.restarts += 1
        self._restarted += 1
        if delay:
            self._owner.after(delay, lambda: self._again(child))
        else:
            self._begin(child)
        return True

    def _again(self, child: _Child) -> None:
        if self._children.get(child.number) is child and child.state is ChildState.RESTARTING:
            self._begin(child)

    def _over(self, child: _Child, end: ChildEnd) -> None:
        """A child is gone for good."""
        if self._children.pop(child.number, None) is None:
            return  # it waited to be run again when everything was stopped
        asked = child.state is ChildState.STOPPING and not child.timed_out
        if end.normal:
            self._finished += 1
        elif not asked and not self.stopping:
            self._failed += 1
            self._owner.log("error", "a child ended badly", self._words(child, end))
        # One that the stop has ended has not finished its event: somebody else will get it.
        unfinished = self.stopping and not end.normal and not child.waiting
        if child.token is not None and not unfinished:
            self._owner.finished(child.token, end)
        self._tell(child)

    def _tell(self, child: _Child) -> None:
        for gone in child.waiting:
            gone()

    def _give_up(self, end: ChildEnd) -> None:
        """Too many restarts: every child ends, then this supervisor."""
        most, within = self._intensity.max_restarts, self._intensity.max_seconds
        self.exceeded = IntensityExceeded(
            f"children were run again more than {most} times in {within:g} s; the last ended with"
            f" {end.reason}"
        )
        self.exceeded.__cause__ = end.failure.exception() if end.failure is not None else None
        self._owner.log("error", "children fail too often", {"last": end.reason})
        self.stop()

    def _check_emptied(self) -> None:
        if self._children or not self.stopping or self._empty:
            return
        self._empty = True
        if self.exceeded is not None:
            raise self.exceeded
        self._owner.emptied()

    # --- signals and deadlines --------------------------------------------------------------------

    def _end(self, child: _Child) -> None:
        """Ask a child to end, and see that it does."""
        child.state = ChildState.STOPPING
        shutdown = child.template.shutdown
        if shutdown == "brutal_kill":
            self._kill(child)
            return
        self._runtime.signal(child.life, "terminate")
        if shutdown != "infinity":
            life = child.life
            self._owner.after(float(shutdown), lambda: self._kill_life(life))

    def _kill_life(self, life: int) -> None:
        child = self._by_life.get(life)
        if child is not None:
            self._kill(child)

    def _kill(self, child: _Child) -> None:
        life = child.life
        self._runtime.signal(life, "kill")
        self._owner.after(GONE_WITHIN, lambda: self._check_gone(life))

    def _check_gone(self, life: int) -> None:
        """What no signal can end, a thread or a task that refuses, ends with the process."""
        child = self._by_life.get(life)
        if child is None:
            return
        if self.stopping:
            self._by_life.pop(life)
            self._owner.log("error", "a child does not end", {"child": child.number})
            del self._children[child.number]
            self._tell(child)
            self._check_emptied()
            return
        kind = child.template.kind
        raise RunError(
            f"child {child.number} did not end within {GONE_WITHIN:g} s of being killed"
            f" (kind: {kind}); this stage ends with it"
        )

    def _watch(self, life: int, due: float) -> None:
        heapq.heappush(self._due, (due, life))
        self._arm()

    def _arm(self) -> None:
        if self._due and not self._armed:
            self._armed = True
            self._owner.after(max(0.0, self._due[0][0] - self._owner.now()), self._deadline)

    def _deadline(self) -> None:
        """End children that have run for too long; one that waits for a place has not yet."""
        self._armed = False
        now = self._owner.now()
        while self._due and self._due[0][0] <= now:
            _, life = heapq.heappop(self._due)
            child = self._by_life.get(life)
            if child is None or child.state is not ChildState.RUNNING:
                continue
            limit = child.template.timeout or 0.0
            since = self._runtime.running_since(life)
            due = (now if since is None else since) + limit
            if due > now:
                heapq.heappush(self._due, (due, life))
                continue
            child.state, child.timed_out = ChildState.STOPPING, True
            self._owner.log("warning", "a child took too long", {"child": child.number})
            self._kill(child)
        self._arm()

    # --- words ------------------------------------------------------------------------------------

    def _row(self, child: _Child) -> ConsumerChildInfo:
        restarting = child.state is ChildState.RESTARTING
        return ConsumerChildInfo(
            id=child.number,
            state=child.state.name.lower(),
            pid=0 if restarting else self._runtime.pid(child.life),
            restarts=child.restarts,
            by_hand=child.token is None,
        )

    def _words(self, child: _Child, end: ChildEnd) -> dict[str, Any]:
        words = {"child": child.number, "reason": end.reason, "restarts": child.restarts}
        if end.failure is not None:
            words["traceback"] = end.failure.traceback
        return words
